//! What is shown.

use alloc::vec::Vec;

use proto::net::Row;
use proto::{CoreRow, MemoryInfo, ProcessRow, SystemInfo, TaskRow, TimeInfo};

/// Buckets of a [`Histogram`].
pub const BUCKETS: usize = 24;

/// How long something took, counted by powers of two of microseconds: bucket `n` has what took less than 2^n us, and not less than the
/// one before; the last one has the rest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// How many there were.
    pub buckets: [u64; BUCKETS],
    /// How long all took together.
    pub total_ns: u64,
}

impl Histogram {
    /// Counts one in.
    pub fn add(&mut self, ns: u64) {
        let us = ns / 1000;
        let bucket = (u64::BITS - us.leading_zeros()) as usize;
        if let Some(count) = self.buckets.get_mut(bucket.min(BUCKETS - 1)) {
            *count += 1;
        }
        self.total_ns = self.total_ns.saturating_add(ns);
    }

    /// How many there were in all.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// What this share of a thousand took at most, in microseconds: the upper end of its bucket.
    #[must_use]
    pub fn quantile_us(&self, permille: u64) -> u64 {
        let wanted = (self.count() * permille).div_ceil(1000);
        let mut seen = 0;
        for (bucket, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return 1 << bucket;
            }
        }
        1 << (BUCKETS - 1)
    }
}

/// All that is shown.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// The system.
    pub info: SystemInfo,
    /// Its clock.
    pub time: TimeInfo,
    /// Its memory.
    pub memory: MemoryInfo,
    /// Its cores.
    pub cores: Vec<CoreRow>,
    /// Its processes.
    pub processes: Vec<ProcessRow>,
    /// Its tasks.
    pub tasks: Vec<TaskRow>,
    /// Interfaces of the network.
    pub interfaces: Vec<Row>,
    /// How long requests took.
    pub requests: Histogram,
    /// How late timers were that requests for figures set.
    pub lateness: Histogram,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_counted_by_powers_of_two() {
        let mut histogram = Histogram::default();
        for us in [0, 1, 2, 3, 4, 1000, u64::MAX / 1000] {
            histogram.add(us * 1000);
        }
        assert_eq!(&histogram.buckets[..4], [1, 1, 2, 1]);
        assert_eq!(
            (histogram.buckets[10], histogram.buckets[BUCKETS - 1]),
            (1, 1)
        );
        assert_eq!((histogram.count(), histogram.quantile_us(500)), (7, 4));
        assert_eq!(histogram.quantile_us(1000), 1 << (BUCKETS - 1));
    }
}
