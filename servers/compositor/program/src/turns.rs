//! Long work in short steps: what is more urgent has its turn in between.

use rt::sys::clock;
use rt::yield_now;

/// Longest work without a turn for others. Keys and the pointer wait so long for a frame that is being made.
const MOST_NS: u64 = 250_000;

/// How long it has gone on.
#[derive(Debug)]
pub struct Turns {
    since_ns: u64,
}

impl Turns {
    /// From now on.
    #[must_use]
    pub fn new() -> Self {
        Self {
            since_ns: clock::now_ns(),
        }
    }

    /// Behind each step: others have their turn if it has gone on for long.
    pub async fn next(&mut self) {
        if clock::now_ns().saturating_sub(self.since_ns) >= MOST_NS {
            yield_now().await;
            self.since_ns = clock::now_ns();
        }
    }
}
