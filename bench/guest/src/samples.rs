//! Raw samples and what is said of them.

/// Latencies gathered in memory the caller provides; when it is full, further ones are counted but not kept.
pub struct Samples<'a> {
    values: &'a mut [u64],
    count: usize,
    not_kept: u64,
}

/// The figures of a metric, all in the samples' own unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// How many samples there are.
    pub n: usize,
    /// The smallest.
    pub min: u64,
    /// The sum, from which the mean is made.
    pub sum: u128,
    /// Sorted sample number floor(0.5 n).
    pub p50: u64,
    /// Sorted sample number floor(0.99 n).
    pub p99: u64,
    /// Sorted sample number floor(0.999 n).
    pub p999: u64,
    /// The largest.
    pub max: u64,
}

impl<'a> Samples<'a> {
    /// No samples yet, room for `values.len()`.
    pub fn new(values: &'a mut [u64]) -> Self {
        Self {
            values,
            count: 0,
            not_kept: 0,
        }
    }

    /// Samples that are there already.
    pub fn full(values: &'a mut [u64]) -> Self {
        Self {
            count: values.len(),
            values,
            not_kept: 0,
        }
    }

    /// Adds a sample.
    pub fn push(&mut self, value: u64) {
        match self.values.get_mut(self.count) {
            Some(place) => {
                *place = value;
                self.count += 1;
            }
            None => self.not_kept += 1,
        }
    }

    /// Samples that found no room.
    pub fn not_kept(&self) -> u64 {
        self.not_kept
    }

    /// Applies `convert` to each sample kept (ticks to nanoseconds, say).
    pub fn map(&mut self, convert: impl Fn(u64) -> u64) {
        if let Some(kept) = self.values.get_mut(..self.count) {
            kept.iter_mut().for_each(|value| *value = convert(*value));
        }
    }

    /// The samples kept, as they came, until they are [summed up](Self::summary).
    pub fn kept(&self) -> &[u64] {
        self.values.get(..self.count).unwrap_or_default()
    }

    /// Sorts the samples and sums them up; `None` if there are none.
    pub fn summary(&mut self) -> Option<Summary> {
        let kept = self.values.get_mut(..self.count)?;
        kept.sort_unstable();
        let at = |permille: usize| kept.get(kept.len() * permille / 1000).copied();
        Some(Summary {
            n: kept.len(),
            min: *kept.first()?,
            sum: kept.iter().map(|&value| u128::from(value)).sum(),
            p50: at(500)?,
            p99: at(990)?,
            p999: at(999)?,
            max: *kept.last()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn percentiles_follow_the_protocol() {
        let mut memory = [0; 1000];
        let mut samples = Samples::new(&mut memory);
        (0..1000).rev().for_each(|value| samples.push(value));
        let summary = samples.summary().unwrap();
        assert_eq!((summary.n, summary.min, summary.max), (1000, 0, 999));
        assert_eq!((summary.p50, summary.p99, summary.p999), (500, 990, 999));
        assert_eq!(summary.sum, 499_500);
    }

    #[test]
    fn nothing_gives_nothing_and_overflow_is_counted() {
        assert_eq!(Samples::new(&mut [0; 4]).summary(), None);
        let mut memory = [0; 2];
        let mut samples = Samples::new(&mut memory);
        (0..5).for_each(|value| samples.push(value));
        assert_eq!(samples.not_kept(), 3);
        assert_eq!(samples.summary().unwrap().n, 2);
    }

    proptest! {
        #[test]
        fn figures_are_ordered(values in proptest::collection::vec(any::<u64>(), 1..200)) {
            let mut memory = [0; 200];
            let mut samples = Samples::new(&mut memory);
            values.iter().for_each(|&value| samples.push(value));
            let s = samples.summary().unwrap();
            prop_assert!(s.min <= s.p50 && s.p50 <= s.p99 && s.p99 <= s.p999 && s.p999 <= s.max);
            prop_assert_eq!(s.sum, values.iter().map(|&v| u128::from(v)).sum());
        }
    }
}
