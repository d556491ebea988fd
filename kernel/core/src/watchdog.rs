//! Tells a core that polls one task for too long from a core that is stuck with interrupts off.
//!
//! One core watches another: at each look it passes what the other publishes (poll count, whether it is idle, which
//! task it polls, when it last answered a ping) to [`CoreWatch::observe`], reports the [`Verdict`] when it changes, and carries
//! out the [`Action`]. A core that makes no progress is pinged by an ordinary interrupt. If it answers, interrupts are on and a task
//! holds the core: a long poll. If it does not, interrupts are off, and one NMI makes it say where it is.
//!
//! Nothing here needs a clock or a timer of its own: an idle core is healthy and is not disturbed, and who looks, and when, is
//! the caller's. All times are nanoseconds of one clock that never goes back.

use core::fmt;

/// When a lack of progress is remarkable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A poll that takes longer is reported.
    pub long_poll_ns: u64,
    /// A ping unanswered for longer means that interrupts are off.
    pub answer_ns: u64,
}

impl Limits {
    /// Half a second, and half a second more for the answer: far above any honest poll, also where the processor is emulated
    /// or was itself not scheduled for a while.
    pub const DEFAULT: Self = Self {
        long_poll_ns: 500_000_000,
        answer_ns: 500_000_000,
    };
}

/// What a core publishes about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observation {
    /// Counts every task poll's beginning and end.
    pub progress: u64,
    /// Whether it is halted with interrupts on, waiting.
    pub idle: bool,
    /// The task being polled, if any.
    pub task: Option<u64>,
    /// When it last answered a ping, or 0.
    pub answered_ns: u64,
}

/// What a core is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It makes progress, is idle, or has not been still for long.
    Healthy,
    /// It takes interrupts, but has polled the same task since.
    LongPoll {
        /// The task, if the core says so.
        task: Option<u64>,
        /// When it was first seen at this.
        since_ns: u64,
    },
    /// It does not take interrupts.
    InterruptsOff {
        /// When it was first seen without progress.
        since_ns: u64,
        /// The task it was polling.
        task: Option<u64>,
    },
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, task) = match self {
            Self::Healthy => return f.write_str("makes progress"),
            Self::LongPoll { task, .. } => ("takes interrupts, but has long been polling", task),
            Self::InterruptsOff { task, .. } => ("is stuck with interrupts off, in", task),
        };
        match task {
            Some(task) => write!(f, "{what} task {task}"),
            None => write!(f, "{what} no task"),
        }
    }
}

/// What the watching core should do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing.
    None,
    /// Send an ordinary interrupt whose handler stores the time as the answer.
    Ping,
    /// Send an NMI whose handler reports where the core is. Asked for once for each time a core gets stuck.
    Nmi,
}

/// The memory of one watched core.
#[derive(Clone, Copy, Debug)]
pub struct CoreWatch {
    progress: u64,
    // Since when there is no progress; `None` before the first look and while idle.
    still_since_ns: Option<u64>,
    pinged_ns: Option<u64>,
    nmi_sent: bool,
}

impl CoreWatch {
    /// Knows nothing of the core yet.
    pub const fn new() -> Self {
        Self {
            progress: 0,
            still_since_ns: None,
            pinged_ns: None,
            nmi_sent: false,
        }
    }

    /// Judges the core by what it publishes at `now_ns`.
    pub fn observe(&mut self, now_ns: u64, seen: Observation, limits: Limits) -> (Verdict, Action) {
        let since_ns = match self.still_since_ns {
            Some(since_ns) if !seen.idle && seen.progress == self.progress => since_ns,
            _ => {
                *self = Self {
                    progress: seen.progress,
                    still_since_ns: (!seen.idle).then_some(now_ns),
                    pinged_ns: None,
                    nmi_sent: false,
                };
                return (Verdict::Healthy, Action::None);
            }
        };
        if now_ns.saturating_sub(since_ns) < limits.long_poll_ns {
            return (Verdict::Healthy, Action::None);
        }
        let Some(pinged_ns) = self.pinged_ns else {
            self.pinged_ns = Some(now_ns);
            return (Verdict::Healthy, Action::Ping);
        };
        let task = seen.task;
        if seen.answered_ns >= pinged_ns {
            // It may get stuck for good later in the same poll, so that it is pinged anew once the answer is old.
            let action = if now_ns.saturating_sub(seen.answered_ns) >= limits.answer_ns {
                self.pinged_ns = Some(now_ns);
                Action::Ping
            } else {
                Action::None
            };
            self.nmi_sent = false;
            return (Verdict::LongPoll { task, since_ns }, action);
        }
        if now_ns.saturating_sub(pinged_ns) < limits.answer_ns {
            // Undecided. A poll during which the core answered before stays a long poll until this ping has had its time.
            let known_long = seen.answered_ns > since_ns;
            let verdict = if known_long {
                Verdict::LongPoll { task, since_ns }
            } else {
                Verdict::Healthy
            };
            return (verdict, Action::None);
        }
        let action = if self.nmi_sent {
            Action::None
        } else {
            Action::Nmi
        };
        self.nmi_sent = true;
        (Verdict::InterruptsOff { since_ns, task }, action)
    }
}

impl Default for CoreWatch {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::string::ToString;

    const LIMITS: Limits = Limits {
        long_poll_ns: 100,
        answer_ns: 50,
    };
    const BUSY: Observation = Observation {
        progress: 5,
        idle: false,
        task: Some(9),
        answered_ns: 0,
    };

    #[test]
    fn progress_and_idleness_are_healthy() {
        let mut watch = CoreWatch::new();
        for step in 0..20u64 {
            let seen = Observation {
                progress: step,
                ..BUSY
            };
            assert_eq!(
                watch.observe(step * 90, seen, LIMITS),
                (Verdict::Healthy, Action::None)
            );
        }
        let mut watch = CoreWatch::new();
        for step in 0..20u64 {
            let seen = Observation { idle: true, ..BUSY };
            assert_eq!(
                watch.observe(step * 1000, seen, LIMITS),
                (Verdict::Healthy, Action::None)
            );
        }
        // Leaving idleness begins a new count.
        assert_eq!(
            watch.observe(30_000, BUSY, LIMITS),
            (Verdict::Healthy, Action::None)
        );
        assert_eq!(
            watch.observe(30_099, BUSY, LIMITS),
            (Verdict::Healthy, Action::None)
        );
    }

    #[test]
    fn a_core_that_answers_has_a_long_poll() {
        let mut watch = CoreWatch::new();
        watch.observe(1000, BUSY, LIMITS);
        assert_eq!(
            watch.observe(1100, BUSY, LIMITS),
            (Verdict::Healthy, Action::Ping)
        );
        let answered = Observation {
            answered_ns: 1101,
            ..BUSY
        };
        let long = Verdict::LongPoll {
            task: Some(9),
            since_ns: 1000,
        };
        assert_eq!(watch.observe(1110, answered, LIMITS), (long, Action::None));
        assert_eq!(watch.observe(1160, answered, LIMITS), (long, Action::Ping));
        // Until the second ping has had its time it stays a long poll; then interrupts are off.
        assert_eq!(watch.observe(1170, answered, LIMITS), (long, Action::None));
        let off = Verdict::InterruptsOff {
            since_ns: 1000,
            task: Some(9),
        };
        assert_eq!(watch.observe(1210, answered, LIMITS), (off, Action::Nmi));
        assert_eq!(
            long.to_string(),
            "takes interrupts, but has long been polling task 9"
        );
        // And it recovers.
        let on = Observation {
            progress: 6,
            ..answered
        };
        assert_eq!(
            watch.observe(1220, on, LIMITS),
            (Verdict::Healthy, Action::None)
        );
    }

    #[test]
    fn a_silent_core_gets_one_nmi() {
        let mut watch = CoreWatch::new();
        watch.observe(1000, BUSY, LIMITS);
        assert_eq!(
            watch.observe(1150, BUSY, LIMITS),
            (Verdict::Healthy, Action::Ping)
        );
        assert_eq!(
            watch.observe(1199, BUSY, LIMITS),
            (Verdict::Healthy, Action::None)
        );
        let off = Verdict::InterruptsOff {
            since_ns: 1000,
            task: Some(9),
        };
        assert_eq!(watch.observe(1200, BUSY, LIMITS), (off, Action::Nmi));
        assert_eq!(watch.observe(9000, BUSY, LIMITS), (off, Action::None));
        assert_eq!(off.to_string(), "is stuck with interrupts off, in task 9");
        // The next time it gets stuck there is another.
        watch.observe(
            9100,
            Observation {
                progress: 6,
                ..BUSY
            },
            LIMITS,
        );
        let again = Observation {
            progress: 6,
            ..BUSY
        };
        assert_eq!(watch.observe(9200, again, LIMITS).1, Action::Ping);
        assert_eq!(watch.observe(9300, again, LIMITS).1, Action::Nmi);
    }

    proptest! {
        // A core simulated in steps of 10 ns: it polls, idles, or masks interrupts; pings are answered at once when it can.
        #[test]
        fn verdicts_are_never_wrong(phases in prop::collection::vec((0..4u8, 1..60u64), 1..30)) {
            let mut watch = CoreWatch::new();
            let (mut now, mut progress, mut answered) = (0u64, 0u64, 0u64);
            let (mut masked_since, mut still_since, mut pending) = (0u64, 0u64, false);
            for (phase, steps) in phases {
                if phase != 3 || steps > 40 {
                    progress += 1;
                    still_since = now;
                }
                if phase == 2 {
                    masked_since = now;
                }
                for _ in 0..steps {
                    now += 10;
                    if phase == 0 {
                        progress += 1;
                        still_since = now;
                    }
                    if phase != 2 && core::mem::take(&mut pending) {
                        answered = now;
                    }
                    let seen = Observation { progress, idle: phase == 1, task: Some(1), answered_ns: answered };
                    let (verdict, action) = watch.observe(now, seen, LIMITS);
                    pending |= action == Action::Ping;
                    match verdict {
                        Verdict::Healthy => {}
                        Verdict::LongPoll { .. } => {
                            prop_assert!(phase >= 2 && now - still_since >= LIMITS.long_poll_ns);
                        }
                        Verdict::InterruptsOff { .. } => {
                            prop_assert!(phase == 2 && now - masked_since >= LIMITS.answer_ns, "at {} in {}", now, phase);
                        }
                    }
                    // And it is told in time.
                    if phase == 2 && now - masked_since > LIMITS.long_poll_ns + 2 * LIMITS.answer_ns + 30 {
                        let told = matches!(verdict, Verdict::InterruptsOff { .. });
                        prop_assert!(told, "at {}: {:?}", now, verdict);
                    }
                }
            }
        }
    }
}
