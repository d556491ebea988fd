//! What happens to units.

use alloc::vec::Vec;

use proto::Text;

use super::{Command, Instance, Next, SETTLED_NS, State, Supervisor, delay_ns};
use crate::manifest::{Readiness, Restart};

/// What happened to an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Its process was made and runs.
    Started {
        /// The process id.
        process: u64,
    },
    /// Its process could not be made.
    StartFailed {
        /// Why.
        reason: Text<96>,
    },
    /// It says that it serves.
    Ready,
    /// It says that it is well.
    Alive,
    /// Its process has ended.
    Ended {
        /// With this exit code.
        exit_code: i32,
    },
}

impl Supervisor {
    /// Takes note of an event. One about an instance that is not the present one changes nothing; whether it was.
    pub fn event(
        &mut self,
        instance: Instance,
        event: Event,
        now_ns: u64,
        commands: &mut Vec<Command>,
    ) -> bool {
        let index = instance.unit;
        let present = self.instance(index) == instance;
        let state = self.units.get(index).map(|unit| unit.state);
        let Some(state) = state.filter(|state| present && state.is_live()) else {
            return false;
        };
        match event {
            Event::Started { process } => self.started(index, process, state, now_ns),
            Event::StartFailed { reason } => {
                if let Some(unit) = self.units.get_mut(index) {
                    unit.failure = reason;
                    unit.exit_code = None;
                }
                self.gone(index, state, None, now_ns);
            }
            Event::Ready => {
                if matches!(state, State::Starting { .. }) {
                    self.ready(index, now_ns);
                }
            }
            Event::Alive => self.alive(index, now_ns),
            Event::Ended { exit_code } => {
                if let Some(unit) = self.units.get_mut(index) {
                    unit.failure = Text::new();
                    unit.exit_code = Some(exit_code);
                }
                self.gone(index, state, Some(exit_code), now_ns);
            }
        }
        self.settle(now_ns, commands);
        true
    }

    fn started(&mut self, index: usize, process: u64, state: State, now_ns: u64) {
        if let Some(unit) = self.units.get_mut(index) {
            unit.process = Some(process);
            unit.failure = Text::new();
        }
        if self.readiness(index) == Readiness::Start && matches!(state, State::Starting { .. }) {
            self.ready(index, now_ns);
        }
    }

    fn readiness(&self, index: usize) -> Readiness {
        self.plan
            .manifest(index)
            .map_or(Readiness::Call, |manifest| manifest.readiness)
    }

    fn ready(&mut self, index: usize, now_ns: u64) {
        let says_so = self.readiness(index) == Readiness::Call;
        if let Some(unit) = self.units.get_mut(index).filter(|_| says_so) {
            unit.failures = 0;
        }
        let alive_by_ns = self.alive_by_ns(index, now_ns);
        self.enter(index, State::Ready { alive_by_ns }, now_ns);
    }

    /// Until when a unit that was well now has to say so again.
    pub(super) fn alive_by_ns(&self, index: usize, now_ns: u64) -> Option<u64> {
        let health = self.plan.manifest(index)?.health?;
        let patience_ns = health.every_ns.saturating_mul(health.misses.into());
        Some(now_ns.saturating_add(patience_ns))
    }

    fn alive(&mut self, index: usize, now_ns: u64) {
        let until_ns = self.alive_by_ns(index, now_ns);
        if let Some(unit) = self.units.get_mut(index)
            && let State::Ready { alive_by_ns } = &mut unit.state
        {
            *alive_by_ns = until_ns;
            unit.excused = false;
        }
    }

    /// An instance is no more. `exit_code` is `None` if it never ran.
    fn gone(&mut self, index: usize, state: State, exit_code: Option<i32>, now_ns: u64) {
        let again = match self.policy(index) {
            Restart::Always => true,
            Restart::OnFailure => exit_code != Some(0),
            Restart::Never => false,
        };
        // Who does not say that it is ready shows it by living on.
        let silent = self.readiness(index) == Readiness::Start;
        let Some(unit) = self.units.get_mut(index) else {
            return;
        };
        unit.process = None;
        let settled = now_ns.saturating_sub(unit.since_ns) >= SETTLED_NS;
        if silent && settled && matches!(state, State::Ready { .. }) {
            unit.failures = 0;
        }
        let early = match state {
            State::Stopping {
                next: Next::Rest, ..
            } => return self.enter(index, State::Stopped, now_ns),
            State::Stopping {
                next: Next::Again, ..
            } => return self.enter(index, State::Waiting, now_ns),
            State::Stopping { next, .. } => next == Next::Unready,
            State::Ready { .. } => silent && !settled,
            _ => matches!(state, State::Starting { .. }),
        };
        if early {
            unit.failures = unit.failures.saturating_add(1);
        }
        if !again {
            return self.enter(index, State::Ended, now_ns);
        }
        unit.restarts = unit.restarts.saturating_add(1);
        let next = if early {
            let until_ns = now_ns.saturating_add(delay_ns(unit.failures));
            State::BackOff { until_ns }
        } else {
            State::Waiting
        };
        self.enter(index, next, now_ns);
    }
}
