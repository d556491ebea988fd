//! The supervisor: what each unit is doing and what to do next. It does nothing itself: events and requests come in with the
//! time, [`Command`]s come out, and whoever carries them out ([`world`](crate::world) in ring 3, a simulation in the tests)
//! tells what became of them as events.
//!
//! * `events`: what happens to units. `act`: what a person asks. `rows`: what is shown of them. `snapshot`: what outlives the manager.
//!
//! What must hold:
//! * A unit starts only when all units before it are ready, all handles it needs are there and its devices open, and never twice at once.
//! * A generation is given out once. An event about another instance than the present one changes nothing.
//! * A unit that dies once it was ready is started again at once, however often; one that dies before waits longer each time,
//!   from [`FIRST_DELAY_NS`] to [`MOST_DELAY_NS`], and never for good. A kill that somebody asked for counts as neither.
//! * A unit whose needs die goes on: its connections tell it, and asking for a new one waits.

mod act;
mod events;
mod obstacle;
mod rows;
mod snapshot;
#[cfg(test)]
mod tests;

use alloc::string::String;
use alloc::vec::Vec;

use proto::Text;

use crate::manifest::Restart;
use crate::plan::Plan;
use obstacle::Obstacle;

pub use act::{ActError, Progress, Ticket};
pub use events::Event;
pub use rows::Connection;
pub use snapshot::{BadSnapshot, Snapshot};

/// How long a unit waits after it died for the first time before it was ready; twice as long each further time.
pub const FIRST_DELAY_NS: u64 = 100_000_000;
/// A unit that never says that it is ready counts as dead before readiness unless it lived for so long.
pub const SETTLED_NS: u64 = 1_000_000_000;
/// How long it waits at most.
pub const MOST_DELAY_NS: u64 = 10_000_000_000;
/// Who judges a unit later than this after its time stood still itself.
const STALL_NS: u64 = 20_000_000;

/// An instance of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instance {
    /// The unit's index in the plan.
    pub unit: usize,
    /// Its number among the unit's instances, from 1.
    pub generation: u32,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Make its process. Answered by [`Event::Started`] or [`Event::StartFailed`].
    Start {
        /// The new instance.
        instance: Instance,
        /// The badge of its connection to the manager; never used before.
        badge: u32,
    },
    /// Ask it to end.
    Ask(Instance),
    /// End it, with all that is in its job. Answered by [`Event::Ended`].
    Kill(Instance),
}

/// Why an instance is being ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// Somebody wants it to be stopped.
    Rest,
    /// Somebody wants another instance.
    Again,
    /// It was not ready in time.
    Unready,
    /// It did not say that it is well.
    Unwell,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Stopped,
    Waiting,
    BackOff {
        until_ns: u64,
    },
    Starting {
        ready_by_ns: u64,
    },
    Ready {
        alive_by_ns: Option<u64>,
    },
    Stopping {
        /// `None`: it was killed already.
        kill_at_ns: Option<u64>,
        next: Next,
    },
    Ended,
}

impl State {
    const fn is_live(self) -> bool {
        matches!(
            self,
            Self::Starting { .. } | Self::Ready { .. } | Self::Stopping { .. }
        )
    }

    const fn deadline_ns(self) -> Option<u64> {
        match self {
            Self::BackOff { until_ns } => Some(until_ns),
            Self::Starting { ready_by_ns } => Some(ready_by_ns),
            Self::Ready { alive_by_ns } => alive_by_ns,
            Self::Stopping { kill_at_ns, .. } => kill_at_ns,
            Self::Stopped | Self::Waiting | Self::Ended => None,
        }
    }
}

#[derive(Clone, Debug, Default)]
struct Unit {
    state: State,
    since_ns: u64,
    enabled: bool,
    generation: u32,
    badge: u32,
    process: Option<u64>,
    /// Its devices are open for its next instance.
    has_devices: bool,
    restarts: u32,
    /// Deaths before readiness, in a row.
    failures: u32,
    /// Whether it was given time once for what the manager came too late to judge.
    excused: bool,
    exit_code: Option<i32>,
    /// Why the last start failed.
    failure: Text<96>,
}

/// A handle that the kernel gave to the manager to pass on.
#[derive(Clone, Debug)]
struct Resource {
    name: String,
    /// Only one unit at a time can have it.
    exclusive: bool,
    there: bool,
}

/// The state of all units.
#[derive(Debug)]
pub struct Supervisor {
    plan: Plan,
    units: Vec<Unit>,
    resources: Vec<Resource>,
    /// The last badge given out.
    last_badge: u32,
    shutting_down: bool,
}

impl Supervisor {
    /// All units at rest. [`begin`](Self::begin) starts those that are enabled.
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        let unit = |index| Unit {
            enabled: plan.manifest(index).is_some_and(|unit| unit.enabled),
            ..Unit::default()
        };
        Self {
            units: (0..plan.len()).map(unit).collect(),
            plan,
            resources: Vec::new(),
            last_badge: 0,
            shutting_down: false,
        }
    }

    /// The plan.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Says that there is a handle of this name to be passed on, to one unit at a time if it is `exclusive`; or that such a one
    /// has come back. Follow with [`tick`](Self::tick).
    pub fn offer_resource(&mut self, name: &str, exclusive: bool) {
        match self.resources.iter_mut().find(|known| known.name == name) {
            Some(known) => known.there = true,
            None => self.resources.push(Resource {
                name: name.into(),
                exclusive,
                there: true,
            }),
        }
    }

    /// Starts all enabled units.
    pub fn begin(&mut self, now_ns: u64, commands: &mut Vec<Command>) {
        for index in 0..self.units.len() {
            let enabled = self.units.get(index).is_some_and(|unit| unit.enabled);
            if enabled {
                self.want(index, now_ns);
            }
        }
        self.settle(now_ns, commands);
    }

    /// Stops all units, each before those it needs, and starts none any more.
    pub fn shut_down(&mut self, now_ns: u64, commands: &mut Vec<Command>) {
        self.shutting_down = true;
        self.settle(now_ns, commands);
    }

    /// Whether no unit has a process.
    #[must_use]
    pub fn all_at_rest(&self) -> bool {
        !self.units.iter().any(|unit| unit.state.is_live())
    }

    /// When [`tick`](Self::tick) is to be called at the latest.
    #[must_use]
    pub fn next_ns(&self) -> Option<u64> {
        let deadlines = self.units.iter().map(|unit| unit.state.deadline_ns());
        deadlines.flatten().min()
    }

    /// Does what is due. Take note of all [events](Self::event) that are there first: a unit is not to be judged while its word waits.
    pub fn tick(&mut self, now_ns: u64, commands: &mut Vec<Command>) {
        for index in 0..self.units.len() {
            let Some(state) = self.units.get(index).map(|unit| unit.state) else {
                continue;
            };
            let due_ns = state.deadline_ns().filter(|due_ns| *due_ns <= now_ns);
            let Some(due_ns) = due_ns else {
                continue;
            };
            if now_ns - due_ns > STALL_NS && self.excuse(index, now_ns, now_ns - due_ns) {
                continue;
            }
            match state {
                State::BackOff { .. } => self.enter(index, State::Waiting, now_ns),
                State::Starting { .. } => self.kill(index, Next::Unready, now_ns, commands),
                State::Ready { .. } => self.kill(index, Next::Unwell, now_ns, commands),
                State::Stopping { next, .. } => self.kill(index, next, now_ns, commands),
                State::Stopped | State::Waiting | State::Ended => {}
            }
        }
        self.settle(now_ns, commands);
    }

    /// Whoever comes this late stood still, and the unit may have too (a whole machine that is paused, a core that is busy for long): once,
    /// the unit gets that time again, and what its manifest gives it between two signs of life. Whether it did.
    fn excuse(&mut self, index: usize, now_ns: u64, late_ns: u64) -> bool {
        let health = self.plan.manifest(index).and_then(|unit| unit.health);
        let Some(unit) = self.units.get_mut(index).filter(|unit| !unit.excused) else {
            return false;
        };
        let until_ns = now_ns.saturating_add(late_ns);
        match &mut unit.state {
            State::Starting { ready_by_ns } => *ready_by_ns = until_ns,
            State::Ready { alive_by_ns } => {
                let every_ns = health.map_or(0, |health| health.every_ns);
                *alive_by_ns = Some(until_ns.saturating_add(every_ns));
            }
            _ => return false,
        }
        unit.excused = true;
        true
    }

    fn enter(&mut self, index: usize, state: State, now_ns: u64) {
        if let Some(unit) = self.units.get_mut(index) {
            unit.excused = false;
            unit.state = state;
            unit.since_ns = now_ns;
        }
    }

    fn instance(&self, index: usize) -> Instance {
        Instance {
            unit: index,
            generation: self.units.get(index).map_or(0, |unit| unit.generation),
        }
    }

    /// Makes a unit at rest wait for its start.
    fn want(&mut self, index: usize, now_ns: u64) {
        let Some(unit) = self.units.get_mut(index) else {
            return;
        };
        match &mut unit.state {
            State::Stopped | State::Ended | State::BackOff { .. } => {
                self.enter(index, State::Waiting, now_ns);
            }
            State::Stopping { next, .. } => *next = Next::Again,
            State::Waiting | State::Starting { .. } | State::Ready { .. } => {}
        }
    }

    /// Ends an instance at once.
    fn kill(&mut self, index: usize, next: Next, now_ns: u64, commands: &mut Vec<Command>) {
        commands.push(Command::Kill(self.instance(index)));
        let state = State::Stopping {
            kill_at_ns: None,
            next,
        };
        self.enter(index, state, now_ns);
    }

    /// Asks an instance to end, or ends it where its manifest has no time for asking.
    fn stop(&mut self, index: usize, next: Next, now_ns: u64, commands: &mut Vec<Command>) {
        let manifest = self.plan.manifest(index);
        let Some(within_ns) = manifest.and_then(|manifest| manifest.stop_within_ns) else {
            return self.kill(index, next, now_ns, commands);
        };
        commands.push(Command::Ask(self.instance(index)));
        let state = State::Stopping {
            kill_at_ns: Some(now_ns.saturating_add(within_ns)),
            next,
        };
        self.enter(index, state, now_ns);
    }

    fn is_ready(&self, index: usize) -> bool {
        self.units
            .get(index)
            .is_some_and(|unit| matches!(unit.state, State::Ready { .. }))
    }

    /// Starts what can start; when shutting down, stops what can stop.
    fn settle(&mut self, now_ns: u64, commands: &mut Vec<Command>) {
        if self.shutting_down {
            return self.settle_down(now_ns, commands);
        }
        for index in 0..self.units.len() {
            let waiting = self
                .units
                .get(index)
                .is_some_and(|unit| unit.state == State::Waiting);
            if waiting && self.obstacle(index).is_none() {
                self.start(index, now_ns, commands);
            }
        }
    }

    fn settle_down(&mut self, now_ns: u64, commands: &mut Vec<Command>) {
        for index in (0..self.units.len()).rev() {
            let Some(unit) = self.units.get_mut(index) else {
                continue;
            };
            match &mut unit.state {
                State::Waiting | State::BackOff { .. } => {
                    self.enter(index, State::Stopped, now_ns);
                }
                State::Stopping { next, .. } => *next = Next::Rest,
                State::Starting { .. } | State::Ready { .. } => {
                    let needed = self.plan.dependents(index).any(|other| {
                        let unit = self.units.get(other);
                        unit.is_some_and(|unit| unit.state.is_live())
                    });
                    if !needed {
                        self.stop(index, Next::Rest, now_ns, commands);
                    }
                }
                State::Stopped | State::Ended => {}
            }
        }
    }

    fn start(&mut self, index: usize, now_ns: u64, commands: &mut Vec<Command>) {
        let (Some(unit), Some(manifest)) = (self.units.get_mut(index), self.plan.manifest(index))
        else {
            return;
        };
        // Numbers are never used again: 2^32 starts, or the machine's life.
        let (Some(generation), Some(badge)) = (
            unit.generation.checked_add(1),
            self.last_badge.checked_add(1),
        ) else {
            unit.failure = Text::from_start("it was started too often; restart the system");
            return self.enter(index, State::Ended, now_ns);
        };
        self.last_badge = badge;
        unit.generation = generation;
        unit.badge = badge;
        unit.process = None;
        unit.has_devices = false;
        for resource in &mut self.resources {
            if resource.exclusive && manifest.needs.contains(&resource.name) {
                resource.there = false;
            }
        }
        let ready_by_ns = now_ns.saturating_add(manifest.ready_within_ns);
        self.enter(index, State::Starting { ready_by_ns }, now_ns);
        commands.push(Command::Start {
            instance: self.instance(index),
            badge,
        });
    }

    fn policy(&self, index: usize) -> Restart {
        self.plan
            .manifest(index)
            .map_or(Restart::Never, |manifest| manifest.restart)
    }
}

/// How long to wait after so many failures in a row.
fn delay_ns(failures: u32) -> u64 {
    let doublings = failures.saturating_sub(1).min(32);
    (FIRST_DELAY_NS << doublings).min(MOST_DELAY_NS)
}
