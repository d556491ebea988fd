//! How far a core's TSC is from the boot core's: the core asks, the boot core answers with its own TSC, and the
//! round with the shortest trip bounds the error (Cristian, "Probabilistic clock synchronization", 1989).

use core::sync::atomic::{AtomicU64, Ordering};

use super::read_tsc_ordered;

/// Rounds, if they are short.
const ROUNDS: u64 = 24;
/// After this many milliseconds a good measurement will do...
const ENOUGH_MS: u64 = 1;
/// ... and this many microseconds of uncertainty count as good.
const GOOD_US: u64 = 5;
/// After this many milliseconds any will do: emulated cores may wait for the host's between question and answer.
const LIMIT_MS: u64 = 8;

/// Where two cores meet to compare clocks.
pub(crate) struct Exchange {
    /// Number of the question, written by the asking core.
    question: AtomicU64,
    /// Number of the question that [`Exchange::ticks`] answers, written by the boot core.
    answer: AtomicU64,
    ticks: AtomicU64,
}

/// What a core learned about its clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offset {
    /// What to add to the core's own TSC to get the boot core's, in ticks.
    pub ticks: i64,
    /// At most this wrong, either way, in ticks.
    pub uncertainty_ticks: u64,
}

impl Offset {
    /// Whether the measurement is consistent with the clocks being equal.
    pub fn is_synchronised(&self) -> bool {
        self.ticks.unsigned_abs() <= self.uncertainty_ticks
    }

    /// What to correct by: nothing, where that is within the measurement's error.
    pub(super) fn correction(&self) -> i64 {
        if self.is_synchronised() {
            0
        } else {
            self.ticks
        }
    }
}

impl Exchange {
    pub(crate) const fn new() -> Self {
        Self {
            question: AtomicU64::new(0),
            answer: AtomicU64::new(0),
            ticks: AtomicU64::new(0),
        }
    }

    /// On the boot core: answers a question, if there is one.
    #[inline]
    pub(crate) fn serve(&self) {
        let question = self.question.load(Ordering::Acquire);
        if question != self.answer.load(Ordering::Relaxed) {
            self.ticks.store(read_tsc_ordered(), Ordering::Relaxed);
            self.answer.store(question, Ordering::Release);
        }
    }

    /// On a starting core, while the boot core serves: measures. `None` if nobody answers
    /// within a second.
    pub(crate) fn ask(&self, ticks_per_second: u64) -> Option<Offset> {
        let per_ms = ticks_per_second / 1000;
        let good_ticks = per_ms * GOOD_US / 1000;
        let give_up_ticks = ticks_per_second;
        let begin = read_tsc_ordered();
        let mut best: Option<Offset> = None;
        for round in 1..=ROUNDS {
            let asked = read_tsc_ordered();
            if let Some(best) = best {
                let passed = asked.wrapping_sub(begin);
                let enough = passed > per_ms * ENOUGH_MS && best.uncertainty_ticks <= good_ticks;
                if enough || passed > per_ms * LIMIT_MS {
                    break;
                }
            }
            self.question.store(round, Ordering::Release);
            while self.answer.load(Ordering::Acquire) != round {
                if read_tsc_ordered().wrapping_sub(asked) > give_up_ticks {
                    return best;
                }
                core::hint::spin_loop();
            }
            let told = self.ticks.load(Ordering::Relaxed);
            let trip = read_tsc_ordered().wrapping_sub(asked);
            let uncertainty_ticks = trip.div_ceil(2);
            let ticks = told.wrapping_sub(asked.wrapping_add(trip / 2)) as i64;
            if best.is_none_or(|best| uncertainty_ticks < best.uncertainty_ticks) {
                best = Some(Offset {
                    ticks,
                    uncertainty_ticks,
                });
            }
        }
        best
    }
}
