//! Ticks to nanoseconds and back, without division: a 64-bit factor and a shift of the 128-bit product.
//!
//! With the factor's full 64 bits the error stays below 2 ns (or 2 ticks) over the whole range, and nothing overflows before 2^64 ns: 584
//! years, or 117 years of ticks at 5 GHz. Results beyond that are `u64::MAX`.

const NS_PER_SECOND: u128 = 1_000_000_000;

// A factor of `factor` / 2^`shift`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Factor {
    factor: u64,
    shift: u32,
}

impl Factor {
    const fn saturate(value: u128) -> u64 {
        if value > u64::MAX as u128 {
            u64::MAX
        } else {
            value as u64
        }
    }

    // The largest factor that fits 64 bits, rounded down.
    const fn new(numerator: u128, denominator: u128) -> Self {
        let mut shift = numerator.leading_zeros();
        let mut factor = (numerator << shift) / denominator;
        while factor > u64::MAX as u128 {
            factor >>= 1;
            shift -= 1;
        }
        Self {
            factor: factor as u64,
            shift,
        }
    }

    const fn apply(self, value: u64) -> u64 {
        Self::saturate((value as u128 * self.factor as u128) >> self.shift)
    }

    const fn apply_up(self, value: u64) -> u64 {
        // Multiplied with the next greater factor and rounded up: never below the exact result.
        let product = value as u128 * (self.factor as u128 + 1);
        Self::saturate((product >> self.shift) + (product & ((1 << self.shift) - 1) != 0) as u128)
    }
}

/// Converts between ticks of a counter and nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale {
    hz: u64,
    to_ns: Factor,
    to_ticks: Factor,
}

impl Scale {
    /// For a counter of `hz` ticks per second, at least 1 (0 is taken as 1) and less than 2^62.
    pub const fn new(hz: u64) -> Self {
        let hz = if hz == 0 {
            1
        } else if hz >> 62 != 0 {
            (1 << 62) - 1
        } else {
            hz
        };
        Self {
            hz,
            to_ns: Factor::new(NS_PER_SECOND, hz as u128),
            to_ticks: Factor::new(hz as u128, NS_PER_SECOND),
        }
    }

    /// Ticks per second.
    pub const fn hz(&self) -> u64 {
        self.hz
    }

    /// Multiplier and right shift that make nanoseconds of ticks, for whoever does it elsewhere.
    pub const fn to_ns_factor(&self) -> (u64, u32) {
        (self.to_ns.factor, self.to_ns.shift)
    }

    /// Nanoseconds that `ticks` take, rounded down.
    pub const fn ticks_to_ns(&self, ticks: u64) -> u64 {
        self.to_ns.apply(ticks)
    }

    /// Ticks in `ns` nanoseconds, rounded down: for budgets.
    pub const fn ns_to_ticks(&self, ns: u64) -> u64 {
        self.to_ticks.apply(ns)
    }

    /// Ticks after which at least `ns` nanoseconds have passed: for timers, which must not be early.
    pub const fn ns_to_ticks_up(&self, ns: u64) -> u64 {
        self.to_ticks.apply_up(ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CENTURY_NS: u64 = 100 * 366 * 86_400 * 1_000_000_000;

    #[test]
    fn a_century_at_5_ghz_does_not_overflow() {
        let scale = Scale::new(5_000_000_000);
        assert_eq!(scale.ns_to_ticks(CENTURY_NS), CENTURY_NS * 5);
        assert_eq!(scale.ticks_to_ns(CENTURY_NS * 5), CENTURY_NS - 1);
        assert_eq!(scale.ns_to_ticks(u64::MAX), u64::MAX);
        assert_eq!(scale.ns_to_ticks_up(u64::MAX), u64::MAX);
        assert_eq!(Scale::new(1).ticks_to_ns(20), 20_000_000_000);
        assert_eq!(Scale::new(0).ticks_to_ns(u64::MAX), u64::MAX);
        assert_eq!(Scale::new(u64::MAX).ns_to_ticks(1), 4_611_686_018);
    }

    proptest! {
        #[test]
        fn agrees_with_exact_arithmetic(
            hz in prop_oneof![1_000_000..10_000_000_000u64, 1..1u64 << 62], value in prop_oneof![0..CENTURY_NS, any::<u64>()]
        ) {
            let scale = Scale::new(hz);
            let exact = |numerator: u64, denominator: u64| u128::from(value) * u128::from(numerator) / u128::from(denominator);
            let capped = |exact: u128| u64::try_from(exact).unwrap_or(u64::MAX);
            let ns = capped(exact(1_000_000_000, hz));
            prop_assert!(scale.ticks_to_ns(value) <= ns && ns - scale.ticks_to_ns(value) <= 2, "{} {}", scale.ticks_to_ns(value), ns);
            let ticks = capped(exact(hz, 1_000_000_000));
            prop_assert!(scale.ns_to_ticks(value) <= ticks && ticks - scale.ns_to_ticks(value) <= 2);
            let up = scale.ns_to_ticks_up(value);
            let least = (u128::from(value) * u128::from(hz)).div_ceil(1_000_000_000);
            prop_assert!(u128::from(up) >= least.min(u128::from(u64::MAX)) && u128::from(up) <= least + 2);
        }

        #[test]
        fn never_goes_back(hz in 1_000_000..10_000_000_000u64, a: u64, b: u64) {
            let scale = Scale::new(hz);
            let (low, high) = (a.min(b), a.max(b));
            prop_assert!(scale.ticks_to_ns(low) <= scale.ticks_to_ns(high));
            prop_assert!(scale.ns_to_ticks(low) <= scale.ns_to_ticks(high));
        }
    }
}
