//! A contract for tests.

use crate::text::Text;

crate::contract! {
    /// Answers with what it was told.
    pub mod echo, "echo", at most 1024 bytes {
        /// The number. Fits into a short call.
        fn number(value: u64) -> u64, idempotent;
        /// The text, after a time in milliseconds. Needs a long call when the text is long.
        fn text(text: Text<512>, delay_ms: u32) -> Text<512>, idempotent;
        /// Counts the calls of this method since the server started: not idempotent.
        fn count() -> u64;
    }
}

pub use echo::{AtOnce, Client, METHODS, Serve, Server, dictionary};
