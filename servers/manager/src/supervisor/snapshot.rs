//! What of the supervisor outlives the manager.
//!
//! A snapshot is taken before commands are carried out, so that a number is on record before it is used, and again when their
//! outcome is known. The next manager reads the last one and carries on: units that run go on running.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use proto::Text;
use serde::{Deserialize, Serialize};

use super::{Command, Next, State, Supervisor, Unit, delay_ns};
use crate::plan::Plan;

/// Of another form than this, it is refused.
const VERSION: u32 = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Phase {
    Stopped,
    Waiting,
    BackOff,
    Starting,
    Ready,
    /// Stopping: asked or (`true`) killed.
    Rest(bool),
    Again(bool),
    Unready,
    Unwell,
    Ended,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    name: String,
    phase: Phase,
    since_ns: u64,
    enabled: bool,
    generation: u32,
    badge: u32,
    process: Option<u64>,
    restarts: u32,
    failures: u32,
    exit_code: Option<i32>,
    failure: Text<96>,
}

/// What of a [`Supervisor`] is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    version: u32,
    last_badge: u32,
    shutting_down: bool,
    units: Vec<Record>,
}

/// The snapshot is one of another manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadSnapshot {
    /// Its version.
    pub version: u32,
}

impl fmt::Display for BadSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = self.version;
        write!(
            f,
            "the last manager left a state of version {version}, not {VERSION}"
        )
    }
}

impl core::error::Error for BadSnapshot {}

fn phase(state: State) -> Phase {
    match state {
        State::Stopped => Phase::Stopped,
        State::Waiting => Phase::Waiting,
        State::BackOff { .. } => Phase::BackOff,
        State::Starting { .. } => Phase::Starting,
        State::Ready { .. } => Phase::Ready,
        State::Stopping { next, kill_at_ns } => match next {
            Next::Rest => Phase::Rest(kill_at_ns.is_none()),
            Next::Again => Phase::Again(kill_at_ns.is_none()),
            Next::Unready => Phase::Unready,
            Next::Unwell => Phase::Unwell,
        },
        State::Ended => Phase::Ended,
    }
}

impl Supervisor {
    /// What outlives the manager now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let record = |(index, unit): (usize, &Unit)| {
            Some(Record {
                name: self.plan.manifest(index)?.name.clone(),
                phase: phase(unit.state),
                since_ns: unit.since_ns,
                enabled: unit.enabled,
                generation: unit.generation,
                badge: unit.badge,
                process: unit.process,
                restarts: unit.restarts,
                failures: unit.failures,
                exit_code: unit.exit_code,
                failure: unit.failure.clone(),
            })
        };
        Snapshot {
            version: VERSION,
            last_badge: self.last_badge,
            shutting_down: self.shutting_down,
            units: self.units.iter().enumerate().filter_map(record).collect(),
        }
    }

    /// A supervisor that carries on. Units that the snapshot does not know are wanted if they are enabled.
    ///
    /// Commands of the last one may or may not have been carried out: killing and asking are repeated, and an instance whose
    /// process is not on record counts as never started, so whoever calls this first ends what may be left of it. For those
    /// on record whose process has ended meanwhile, [`Event::Ended`](super::Event::Ended) is to follow.
    ///
    /// # Errors
    /// [`BadSnapshot`].
    pub fn restore(
        plan: Plan,
        snapshot: &Snapshot,
        now_ns: u64,
        commands: &mut Vec<Command>,
    ) -> Result<Self, BadSnapshot> {
        if snapshot.version != VERSION {
            return Err(BadSnapshot {
                version: snapshot.version,
            });
        }
        let mut new = Self::new(plan);
        new.last_badge = snapshot.last_badge;
        new.shutting_down = snapshot.shutting_down;
        for index in 0..new.units.len() {
            let manifest = new.plan.manifest(index);
            let record = snapshot
                .units
                .iter()
                .find(|record| manifest.is_some_and(|manifest| manifest.name == record.name));
            match record {
                Some(record) => new.recall(index, record, now_ns, commands),
                None if new.units.get(index).is_some_and(|unit| unit.enabled) => {
                    new.want(index, now_ns);
                }
                None => {}
            }
        }
        Ok(new)
    }

    fn recall(&mut self, index: usize, record: &Record, now_ns: u64, commands: &mut Vec<Command>) {
        let ready_within_ns = self
            .plan
            .manifest(index)
            .map_or(0, |manifest| manifest.ready_within_ns);
        let runs = record.process.is_some();
        let state = match record.phase {
            Phase::Stopped | Phase::Ended | Phase::Waiting | Phase::BackOff if runs => {
                // Never taken so; if it were, the process would be nobody's.
                State::Stopping {
                    kill_at_ns: None,
                    next: Next::Rest,
                }
            }
            Phase::Stopped | Phase::Rest(_) if !runs => State::Stopped,
            Phase::Ended => State::Ended,
            Phase::BackOff => State::BackOff {
                until_ns: now_ns.saturating_add(delay_ns(record.failures)),
            },
            _ if !runs => State::Waiting,
            // Deadlines anew: while there was no manager, nobody could keep them.
            Phase::Starting => State::Starting {
                ready_by_ns: now_ns.saturating_add(ready_within_ns),
            },
            Phase::Ready => State::Ready {
                alive_by_ns: self.alive_by_ns(index, now_ns),
            },
            Phase::Again(_) => State::Stopping {
                kill_at_ns: None,
                next: Next::Again,
            },
            Phase::Unready => State::Stopping {
                kill_at_ns: None,
                next: Next::Unready,
            },
            Phase::Unwell => State::Stopping {
                kill_at_ns: None,
                next: Next::Unwell,
            },
            Phase::Rest(_) | Phase::Stopped | Phase::Waiting => State::Stopping {
                kill_at_ns: None,
                next: Next::Rest,
            },
        };
        let Some(unit) = self.units.get_mut(index) else {
            return;
        };
        *unit = Unit {
            // Opened by the last manager, they were closed with all that it had half done.
            has_devices: false,
            state,
            since_ns: record.since_ns,
            enabled: record.enabled,
            generation: record.generation,
            badge: record.badge,
            process: record.process,
            restarts: record.restarts,
            failures: record.failures,
            excused: false,
            exit_code: record.exit_code,
            failure: record.failure.clone(),
        };
        if let State::Stopping { next, .. } = state {
            match record.phase {
                Phase::Rest(false) | Phase::Again(false) => {
                    self.stop(index, next, now_ns, commands);
                }
                _ => self.kill(index, next, now_ns, commands),
            }
        }
    }
}
