//! A log-linear histogram: four buckets to an octave, so every value is known to within a quarter, from
//! one tick to hours, in 1 KiB and with a handful of instructions per value.

use crate::published::P64;

/// Buckets per octave, as a power of two.
const LINEAR_BITS: u32 = 2;
const LINEAR: usize = 1 << LINEAR_BITS;
/// Values from 2^OCTAVES on share the last bucket.
const OCTAVES: usize = 44;
const BUCKETS: usize = (OCTAVES - LINEAR_BITS as usize + 1) * LINEAR;

/// Counts of values by size. One writer, any number of readers.
#[derive(Debug)]
pub struct Histogram {
    counts: [P64; BUCKETS],
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

impl Histogram {
    /// How many buckets there are.
    pub const BUCKETS: usize = BUCKETS;

    /// An empty histogram.
    pub const fn new() -> Histogram {
        Histogram {
            counts: [const { P64::new(0) }; BUCKETS],
        }
    }

    #[inline(always)]
    const fn bucket(value: u64) -> usize {
        if value < LINEAR as u64 {
            return value as usize;
        }
        let octave = value.ilog2();
        let index = ((octave - LINEAR_BITS) as usize + 1) * LINEAR
            + ((value >> (octave - LINEAR_BITS)) as usize & (LINEAR - 1));
        if index < BUCKETS { index } else { BUCKETS - 1 }
    }

    /// Counts a value. For the owner only.
    #[inline(always)]
    pub fn record(&self, value: u64) {
        self.counts[Self::bucket(value)].add(1);
    }

    /// The least value of bucket `index`; beyond the last bucket, `u64::MAX`.
    pub const fn lower_bound(index: usize) -> u64 {
        if index >= BUCKETS {
            u64::MAX
        } else if index < LINEAR {
            index as u64
        } else {
            let octave = index / LINEAR - 1;
            ((LINEAR + index % LINEAR) as u64) << octave
        }
    }

    /// How many values fell into bucket `index`.
    pub fn count(&self, index: usize) -> u64 {
        self.counts.get(index).map_or(0, P64::get)
    }

    /// How many values were counted.
    pub fn total(&self) -> u64 {
        self.counts.iter().map(P64::get).sum()
    }

    /// The value that `permille` thousandths of the counted values do not exceed, as the largest value of its
    /// bucket; 0 when nothing was counted.
    pub fn quantile(&self, permille: u32) -> u64 {
        let total = self.total();
        let rank = ((total as u128 * permille.min(1000) as u128).div_ceil(1000) as u64).max(1);
        let mut seen = 0;
        for index in 0..BUCKETS {
            seen += self.count(index);
            if seen >= rank {
                return Self::lower_bound(index + 1) - 1;
            }
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_tile_the_numbers() {
        for index in 0..BUCKETS {
            let low = Histogram::lower_bound(index);
            assert_eq!(Histogram::bucket(low), index);
            if index + 1 < BUCKETS {
                let high = Histogram::lower_bound(index + 1) - 1;
                assert_eq!(Histogram::bucket(high), index);
                assert!(
                    (high - low) * 4 <= low.max(1) * 4 && (high - low) <= low / 4,
                    "{low}..={high}"
                );
            }
        }
        assert_eq!(Histogram::bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles() {
        let histogram = Histogram::new();
        assert_eq!(histogram.quantile(500), 0);
        for value in 0..1000 {
            histogram.record(value);
        }
        let median = histogram.quantile(500);
        assert!((499..640).contains(&median), "{median}");
        assert!(histogram.quantile(1000) >= 999);
        assert_eq!(histogram.total(), 1000);
    }
}
