//! A contract for tests of what happens when a server fails.

use serde::{Deserialize, Serialize};

/// A way for a server to fail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Failure {
    /// It panics.
    #[default]
    Panic,
    /// It reads address 0.
    NullPointer,
    /// It takes memory until there is none for it, and panics.
    Memory,
    /// It divides by zero, as the processor sees it.
    Division,
    /// It uses more stack than there is.
    Stack,
    /// It makes system calls with ever less stack left.
    DeepCalls,
    /// It ends itself.
    Exit,
    /// It computes for ever.
    Loop,
}

impl Failure {
    /// Those that end the server, in a system where each ends nothing else.
    pub const ALL: [Self; 7] = [
        Self::Panic,
        Self::NullPointer,
        Self::Memory,
        Self::Division,
        Self::Stack,
        Self::DeepCalls,
        Self::Exit,
    ];
}

crate::contract! {
    /// Answers, until it is told to fail.
    pub mod trial, "trial", at most 63 bytes {
        /// The number.
        fn number(value: u64) -> u64, idempotent;
        /// The number, after a time in milliseconds.
        fn later(value: u64, delay_ms: u32) -> u64, idempotent;
        /// Fails. There is an answer only if that goes wrong.
        fn fail(how: Failure) -> ();
    }
}

pub use trial::{AtOnce, Client, METHODS, Serve, Server, dictionary};
