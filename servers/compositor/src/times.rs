//! How long things took: a histogram whose buckets grow with what is in them.

use proto::frames::{BUCKETS, Spread};

/// Parts of an octave: what is read is at most an eighth too much.
const PARTS: usize = 8;
/// Below this all is one.
const FIRST_NS: u64 = 1 << 8;
/// Octaves: up to 8 s.
const OCTAVES: usize = 26;

/// A histogram.
#[derive(Clone, Debug)]
pub struct Times {
    counts: [u32; 1 + OCTAVES * PARTS],
    count: u64,
    max_ns: u64,
}

impl Default for Times {
    fn default() -> Self {
        Self::new()
    }
}

/// The bucket of a time.
fn bucket(ns: u64) -> usize {
    if ns < FIRST_NS {
        return 0;
    }
    let octave = ns.ilog2() - FIRST_NS.ilog2();
    let part = (ns >> (ns.ilog2() - PARTS.ilog2())) as usize - PARTS;
    (1 + octave as usize * PARTS + part).min(OCTAVES * PARTS)
}

/// What a bucket's times are below.
const fn end_ns(bucket: usize) -> u64 {
    if bucket == 0 {
        return FIRST_NS;
    }
    let (octave, part) = ((bucket - 1) / PARTS, (bucket - 1) % PARTS);
    (FIRST_NS << octave) / PARTS as u64 * (PARTS + part + 1) as u64
}

impl Times {
    /// Nothing took any.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            counts: [0; 1 + OCTAVES * PARTS],
            count: 0,
            max_ns: 0,
        }
    }

    /// Adds one.
    pub fn add(&mut self, ns: u64) {
        if let Some(count) = self.counts.get_mut(bucket(ns)) {
            *count = count.saturating_add(1);
        }
        self.count += 1;
        self.max_ns = self.max_ns.max(ns);
    }

    /// How many there are.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// So many of a thousand took at most this, or an eighth less.
    #[must_use]
    pub fn part_ns(&self, permille: u64) -> u64 {
        let wanted = (self.count * permille).div_ceil(1000).max(1);
        let mut so_far = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            so_far += u64::from(*count);
            if so_far >= wanted {
                return end_ns(bucket).min(self.max_ns);
            }
        }
        self.max_ns
    }

    /// In short.
    #[must_use]
    pub fn spread(&self) -> Spread {
        let short = |ns: u64| u32::try_from(ns).unwrap_or(u32::MAX);
        Spread {
            p50_ns: short(self.part_ns(500)),
            p99_ns: short(self.part_ns(990)),
            max_ns: short(self.max_ns),
        }
    }

    /// A coarser histogram, as [`proto::frames::FrameFigures`] has it.
    #[must_use]
    pub fn coarse(&self) -> [u32; BUCKETS] {
        let mut coarse = [0_u32; BUCKETS];
        for (bucket, count) in self.counts.iter().enumerate() {
            // What is below the end of a bucket is below the power of two at or behind that.
            let power = (end_ns(bucket) - 1).ilog2() + 1;
            let place = (power as usize).saturating_sub(14).min(BUCKETS - 1);
            if let Some(place) = coarse.get_mut(place) {
                *place = place.saturating_add(*count);
            }
        }
        coarse
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn parts_are_near(mut times in proptest::collection::vec(0..8_000_000_000_u64, 1..200), permille in 1..=1000_u64) {
            let mut histogram = Times::new();
            for ns in &times {
                histogram.add(*ns);
            }
            times.sort_unstable();
            let exact = times[(times.len() as u64 * permille).div_ceil(1000) as usize - 1];
            let read = histogram.part_ns(permille);
            prop_assert!(read >= exact && read <= (exact + exact / PARTS as u64 + 1).max(FIRST_NS));
            prop_assert_eq!(histogram.coarse().iter().sum::<u32>() as usize, times.len());
        }
    }

    #[test]
    fn coarse_counts_are_powers_of_two() {
        let mut histogram = Times::new();
        for ns in [0, 15_999, 16_385, 32_000, 32_769, 5_000_000_000] {
            histogram.add(ns);
        }
        let counts = histogram.coarse();
        assert_eq!((&counts[..3], counts[15]), (&[2, 2, 1][..], 1));
    }
}
