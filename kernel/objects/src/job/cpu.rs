//! Processor time that a job uses and may use.
//!
//! The limit is one word, the tick up to which all that was used is paid for: use moves it on, by as much time as the limit takes to pay
//! for the use, and a job may run while it lies in the past (a leaky bucket in the form of the virtual scheduling algorithm, ITU-T
//! I.371 annex A). It lies at most a *window* in the past, so that who slept long gets no more than one window's share at a stretch.
//! What a poll used is known after it, so a job may run over; that is paid later, and over time the limit is exact on any number of cores.

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// The unit of limits: a core's whole time.
const WHOLE_PPM: u64 = 1_000_000;

/// How many jobs have a limit.
static LIMITED: AtomicUsize = AtomicUsize::new(0);

/// Whether any job has a limit on its processor time: else nobody need look.
#[inline]
pub fn any_is_limited() -> bool {
    LIMITED.load(Ordering::Relaxed) != 0
}

/// Whether a job may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allowance {
    /// For as long as it likes.
    Unlimited,
    /// So many ticks, on one core.
    Ticks(u64),
    /// Not before this tick, by the limit as it is now.
    From(u64),
}

impl Allowance {
    /// What both allow.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Unlimited, other) => other,
            (this, Self::Unlimited) => this,
            (Self::From(one), Self::From(another)) => Self::From(one.max(another)),
            (Self::From(from), Self::Ticks(_)) | (Self::Ticks(_), Self::From(from)) => {
                Self::From(from)
            }
            (Self::Ticks(one), Self::Ticks(another)) => Self::Ticks(one.min(another)),
        }
    }
}

/// One job's own limit.
#[derive(Debug)]
pub(super) struct CpuLimit {
    /// `u64::MAX`: none.
    ppm: AtomicU64,
    paid_until: AtomicU64,
}

impl CpuLimit {
    pub(super) fn new(ppm: u64) -> Self {
        if ppm != u64::MAX {
            LIMITED.fetch_add(1, Ordering::Relaxed);
        }
        Self {
            ppm: AtomicU64::new(ppm),
            paid_until: AtomicU64::new(0),
        }
    }

    pub(super) fn ppm(&self) -> u64 {
        self.ppm.load(Ordering::Relaxed)
    }

    pub(super) fn set(&self, ppm: u64) {
        let before = self.ppm.swap(ppm, Ordering::Relaxed);
        match (before, ppm) {
            (u64::MAX, u64::MAX) => {}
            (u64::MAX, _) => {
                // What it used without a limit is its own.
                self.paid_until.store(0, Ordering::Relaxed);
                LIMITED.fetch_add(1, Ordering::Relaxed);
            }
            (_, u64::MAX) => {
                LIMITED.fetch_sub(1, Ordering::Relaxed);
            }
            _ => {}
        }
    }

    /// `used` ticks up to `now`.
    pub(super) fn charge(&self, used: u64, now: u64, window: u64) {
        let ppm = self.ppm();
        if ppm == u64::MAX || used == 0 {
            return;
        }
        let cost = u128::from(used) * u128::from(WHOLE_PPM) / u128::from(ppm.max(1));
        let cost = u64::try_from(cost).unwrap_or(u64::MAX);
        let oldest = now.saturating_sub(window);
        let add = |paid: u64| Some(paid.max(oldest).saturating_add(cost));
        let _ = self
            .paid_until
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }

    /// Who must wait waits for some of the window, so that it then gets more than a moment.
    pub(super) fn allowance(&self, now: u64, window: u64) -> Allowance {
        let ppm = self.ppm();
        if ppm == u64::MAX {
            return Allowance::Unlimited;
        }
        let oldest = now.saturating_sub(window);
        let paid = self.paid_until.load(Ordering::Relaxed).max(oldest);
        let ticks = u128::from(now.saturating_sub(paid)) * u128::from(ppm) / u128::from(WHOLE_PPM);
        match u64::try_from(ticks).unwrap_or(u64::MAX) {
            0 => Allowance::From(paid.saturating_add(window / 8).max(now.saturating_add(1))),
            ticks => Allowance::Ticks(ticks),
        }
    }
}

impl Drop for CpuLimit {
    fn drop(&mut self) {
        self.set(u64::MAX);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WINDOW: u64 = 1000;

    #[test]
    fn a_share_is_paid_for_by_time() {
        let limit = CpuLimit::new(100_000);
        assert!(any_is_limited());
        let now = 50_000;
        // One window's share at first, however long it slept.
        assert_eq!(limit.allowance(now, WINDOW), Allowance::Ticks(100));
        limit.charge(300, now, WINDOW);
        // 300 at a tenth take 3000, of which one window is past.
        assert_eq!(limit.allowance(now, WINDOW), Allowance::From(52_125));
        assert_eq!(limit.allowance(52_000, WINDOW), Allowance::From(52_125));
        assert_eq!(limit.allowance(52_125, WINDOW), Allowance::Ticks(12));
        limit.set(u64::MAX);
        assert_eq!(limit.allowance(now, WINDOW), Allowance::Unlimited);
        limit.set(0);
        assert!(matches!(limit.allowance(now, WINDOW), Allowance::From(_)));
        limit.charge(u64::MAX, u64::MAX, WINDOW);
        assert!(matches!(
            limit.allowance(u64::MAX, WINDOW),
            Allowance::From(u64::MAX)
        ));
    }

    #[test]
    fn the_strictest_counts() {
        use Allowance::{From, Ticks, Unlimited};
        assert_eq!(Unlimited.and(Ticks(3)), Ticks(3));
        assert_eq!(Ticks(4).and(Ticks(3)), Ticks(3));
        assert_eq!(Ticks(4).and(From(30)), From(30));
        assert_eq!(From(40).and(From(30)), From(40));
        assert_eq!(From(40).and(Unlimited), From(40));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        /// However often it asks and however far each run goes over what it was allowed: over the whole time it gets its share, one
        /// window's more, and the last run's excess.
        #[test]
        fn over_time_the_limit_holds(ppm in 1_000u64..2_000_000, runs in prop::collection::vec((0u64..500, 0u64..300), 1..200)) {
            let limit = CpuLimit::new(ppm);
            let (start, mut now, mut used, mut excess) = (1 << 40, 1 << 40, 0, 0);
            for (over, pause) in runs {
                now += pause;
                match limit.allowance(now, WINDOW) {
                    Allowance::Ticks(ticks) => {
                        let run = ticks + over;
                        now += run;
                        used += run;
                        excess = over;
                        limit.charge(run, now, WINDOW);
                    }
                    Allowance::From(from) => {
                        prop_assert!(from > now);
                        now = from;
                        prop_assert!(!matches!(limit.allowance(now, WINDOW), Allowance::From(_)) || ppm < 8_000);
                    }
                    Allowance::Unlimited => prop_assert!(false),
                }
                let share = (now - start + 2 * WINDOW) * ppm / WHOLE_PPM;
                prop_assert!(used <= share + excess + 2, "{} of {}", used, share);
            }
        }
    }
}
