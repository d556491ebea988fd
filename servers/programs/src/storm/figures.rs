//! Times, and random numbers that can be had again.

use alloc::vec::Vec;

/// Times of one kind.
#[derive(Default)]
pub struct Times(Vec<u64>);

impl Times {
    /// One more, in nanoseconds.
    pub fn add(&mut self, ns: u64) {
        self.0.push(ns);
    }

    /// Logs them.
    pub fn report(&mut self, what: &str) {
        self.0.sort_unstable();
        let at = |share: usize| {
            let place = (self.0.len() * share / 100).min(self.0.len().saturating_sub(1));
            self.0.get(place).copied().unwrap_or(0) / 1000
        };
        log::info!(
            "{what}: from death to answer in us: p50 {} p99 {} worst {}",
            at(50),
            at(99),
            at(100)
        );
    }
}

/// Marsaglia's xorshift (Journal of Statistical Software 8/14, 2003): the same storms in each run.
pub struct Random(pub u64);

impl Random {
    /// A number below `below`.
    pub fn below(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below.max(1)
    }
}
