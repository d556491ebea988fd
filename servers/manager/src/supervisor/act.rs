//! What a person asks to be done with units, and when it is.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use proto::{Action, Text};

use super::{Command, Next, State, Supervisor};

/// Something that was asked and accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// The unit.
    pub unit: usize,
    action: Action,
    generation: u32,
    failures: u32,
}

/// How far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Done.
    Done,
    /// Not yet done.
    Pending,
    /// It will not be.
    Failed(Text<120>),
}

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ActError {
    /// The unit, or one that it needs, is disabled.
    Disabled(String),
    /// It has no process to kill.
    NotRunning,
    /// The system is going down.
    ShuttingDown,
}

impl fmt::Display for ActError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disabled(name) => {
                write!(f, "{name} is disabled; `svc enable {name}` lets it run")
            }
            Self::NotRunning => f.write_str("it is not running"),
            Self::ShuttingDown => f.write_str("the system is shutting down"),
        }
    }
}

impl core::error::Error for ActError {}

impl Supervisor {
    /// Does what was asked with a unit, which must be one of the plan's.
    ///
    /// # Errors
    /// See [`ActError`]; nothing was changed then.
    pub fn act(
        &mut self,
        index: usize,
        action: Action,
        now_ns: u64,
        commands: &mut Vec<Command>,
    ) -> Result<Ticket, ActError> {
        let starts = matches!(action, Action::Start | Action::Restart | Action::Enable);
        if starts && self.shutting_down {
            return Err(ActError::ShuttingDown);
        }
        let unit = self.units.get(index).ok_or(ActError::NotRunning)?;
        let (generation, failures, state) = (unit.generation, unit.failures, unit.state);
        match action {
            Action::Start => self.start_all(index, false, now_ns)?,
            Action::Enable => self.start_all(index, true, now_ns)?,
            Action::Restart => {
                self.start_all(index, false, now_ns)?;
                if matches!(state, State::Starting { .. } | State::Ready { .. }) {
                    self.stop(index, Next::Again, now_ns, commands);
                }
            }
            Action::Stop => self.rest(index, state, now_ns, commands),
            Action::Disable => {
                if let Some(unit) = self.units.get_mut(index) {
                    unit.enabled = false;
                }
                self.rest(index, state, now_ns, commands);
            }
            Action::Kill => match state {
                State::Starting { .. } | State::Ready { .. } => {
                    self.kill(index, Next::Again, now_ns, commands);
                }
                State::Stopping { next, .. } => self.kill(index, next, now_ns, commands),
                _ => return Err(ActError::NotRunning),
            },
        }
        self.settle(now_ns, commands);
        Ok(Ticket {
            unit: index,
            action,
            generation,
            failures,
        })
    }

    /// Makes a unit, and all that it needs, wait for its start.
    fn start_all(&mut self, index: usize, enable: bool, now_ns: u64) -> Result<(), ActError> {
        let mut wanted = Vec::from([index]);
        let mut next = 0;
        while let Some(&unit) = wanted.get(next) {
            next += 1;
            for &other in self.plan.before(unit) {
                if !wanted.contains(&other) {
                    wanted.push(other);
                }
            }
        }
        let disabled = wanted.iter().find(|&&other| {
            let enabled = self.units.get(other).is_some_and(|unit| unit.enabled);
            !(enabled || (enable && other == index))
        });
        if let Some(&other) = disabled {
            let name = self.plan.manifest(other).map(|unit| unit.name.clone());
            return Err(ActError::Disabled(name.unwrap_or_default()));
        }
        if let Some(unit) = self.units.get_mut(index) {
            unit.enabled = true;
        }
        // Lower indices first: what is needed before what needs it.
        wanted.sort_unstable();
        for unit in wanted {
            self.want(unit, now_ns);
        }
        Ok(())
    }

    fn rest(&mut self, index: usize, state: State, now_ns: u64, commands: &mut Vec<Command>) {
        match state {
            State::Waiting | State::BackOff { .. } | State::Ended => {
                self.enter(index, State::Stopped, now_ns);
            }
            State::Starting { .. } | State::Ready { .. } => {
                self.stop(index, Next::Rest, now_ns, commands);
            }
            State::Stopping { kill_at_ns, .. } => {
                if let Some(unit) = self.units.get_mut(index) {
                    unit.state = State::Stopping {
                        kill_at_ns,
                        next: Next::Rest,
                    };
                }
            }
            State::Stopped => {}
        }
    }

    /// How far a request is.
    #[must_use]
    pub fn progress(&self, ticket: &Ticket) -> Progress {
        let Some(unit) = self.units.get(ticket.unit) else {
            return Progress::Done;
        };
        let newer = unit.generation > ticket.generation;
        match ticket.action {
            Action::Start | Action::Restart | Action::Enable => match unit.state {
                State::Ready { .. } => Progress::Done,
                State::Ended if unit.exit_code == Some(0) => Progress::Done,
                State::Ended => self.failed(ticket.unit),
                State::BackOff { .. } if unit.failures > ticket.failures => {
                    self.failed(ticket.unit)
                }
                State::Stopped => {
                    Progress::Failed(Text::from_start("somebody stopped it meanwhile"))
                }
                _ => Progress::Pending,
            },
            Action::Stop | Action::Disable => match unit.state {
                State::Stopped | State::Ended => Progress::Done,
                State::Stopping { .. } if !newer => Progress::Pending,
                _ => Progress::Failed(Text::from_start("somebody started it meanwhile")),
            },
            Action::Kill if newer || !unit.state.is_live() => Progress::Done,
            Action::Kill => Progress::Pending,
        }
    }

    fn failed(&self, index: usize) -> Progress {
        Progress::Failed(Text::format(format_args!("{}", self.row(index).reason)))
    }
}
