//! What is shown of units, and who may have a connection to whom.

use proto::{Text, UnitRow, UnitState, exit_status};

use super::{Instance, Next, Obstacle, State, Supervisor};

/// What becomes of a wish for a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Connection {
    /// The service's unit is ready: this instance of it.
    Ready(Instance),
    /// It is not, but will be.
    Wait,
    /// There will be none.
    Refused(Text<120>),
}

impl Supervisor {
    /// A unit's row.
    #[must_use]
    pub fn row(&self, index: usize) -> UnitRow {
        let (Some(unit), Some(manifest)) = (self.units.get(index), self.plan.manifest(index))
        else {
            return UnitRow::default();
        };
        UnitRow {
            name: Text::from_start(&manifest.name),
            state: match unit.state {
                State::Stopped => UnitState::Stopped,
                State::Waiting => UnitState::Waiting,
                State::BackOff { .. } => UnitState::BackOff,
                State::Starting { .. } => UnitState::Starting,
                State::Ready { .. } => UnitState::Ready,
                State::Stopping { .. } => UnitState::Stopping,
                State::Ended => UnitState::Ended,
            },
            enabled: unit.enabled,
            placement: manifest.placement,
            generation: unit.generation,
            restarts: unit.restarts,
            process: unit.process,
            since_ns: unit.since_ns,
            exit_code: unit.exit_code,
            reason: self.reason(index),
        }
    }

    fn reason(&self, index: usize) -> Text<120> {
        let Some(unit) = self.units.get(index) else {
            return Text::new();
        };
        match unit.state {
            State::Waiting => match self.obstacle(index) {
                Some(Obstacle::Unit(other)) => {
                    let name = self.plan.manifest(other).map_or("", |other| &other.name);
                    let state = self.row_state(other);
                    Text::format(format_args!("waits for {name}, which is {state}"))
                }
                Some(Obstacle::Resource(name)) => Text::format(format_args!(
                    "waits for {name}, which this machine does not have or another unit holds"
                )),
                Some(Obstacle::Devices) => Text::from_start(
                    "waits for its devices, which have another driver or are being reset",
                ),
                None => Text::new(),
            },
            State::Stopping { next, .. } => Text::from_start(match next {
                Next::Rest => "is being stopped",
                Next::Again => "is being restarted",
                Next::Unready => "was not ready in time",
                Next::Unwell => "did not say that it is well",
            }),
            State::Ended | State::BackOff { .. } if !unit.failure.is_empty() => {
                Text::from_start(&unit.failure)
            }
            State::BackOff { .. } => Text::format(format_args!(
                "died before it was ready ({}), {} times in a row",
                Death(unit.exit_code),
                unit.failures
            )),
            State::Ended => Text::format(format_args!("{}", Death(unit.exit_code))),
            _ => Text::new(),
        }
    }

    fn row_state(&self, index: usize) -> &'static str {
        let unit = self.units.get(index);
        match unit.map_or(State::Stopped, |unit| unit.state) {
            State::Stopped if unit.is_some_and(|unit| !unit.enabled) => "disabled",
            State::Stopped => "stopped",
            State::Waiting => "waiting",
            State::BackOff { .. } => "in back-off",
            State::Starting { .. } => "starting",
            State::Ready { .. } => "ready",
            State::Stopping { .. } => "stopping",
            State::Ended => "ended",
        }
    }

    /// Whether the unit `client` can have a connection to `service` now.
    #[must_use]
    pub fn connection(&self, client: usize, service: &str) -> Connection {
        let allowed = self
            .plan
            .manifest(client)
            .is_some_and(|manifest| manifest.may_connect(service));
        if !allowed {
            return Connection::Refused(Text::format(format_args!(
                "the manifest does not say that the unit uses {service:?}"
            )));
        }
        let Some(provider) = self.plan.provider(service) else {
            return Connection::Refused(Text::from_start("no unit offers it"));
        };
        let state = self.units.get(provider).map(|unit| unit.state);
        match state.unwrap_or_default() {
            State::Ready { .. } => Connection::Ready(self.instance(provider)),
            State::Stopped
            | State::Ended
            | State::Stopping {
                next: Next::Rest, ..
            } => {
                let name = self.plan.manifest(provider).map_or("", |unit| &unit.name);
                let state = self.row_state(provider);
                Connection::Refused(Text::format(format_args!(
                    "{service} is offered by {name}, which is {state}"
                )))
            }
            _ => Connection::Wait,
        }
    }

    /// The instance of a unit that has a process now, or is about to.
    #[must_use]
    pub fn live(&self, index: usize) -> Option<Instance> {
        let unit = self.units.get(index)?;
        unit.state.is_live().then(|| self.instance(index))
    }

    /// The badge of a unit's last instance.
    #[must_use]
    pub fn badge(&self, index: usize) -> u32 {
        self.units.get(index).map_or(0, |unit| unit.badge)
    }

    /// Which instance has this badge on its connection to the manager.
    #[must_use]
    pub fn by_badge(&self, badge: u32) -> Option<Instance> {
        let index = self
            .units
            .iter()
            .position(|unit| unit.badge == badge && badge != 0 && unit.state.is_live())?;
        Some(self.instance(index))
    }
}

/// What an instance ended with, in words.
struct Death(Option<i32>);

impl core::fmt::Display for Death {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.0 {
            None => f.write_str("never ran"),
            Some(abi::process::KILLED) => f.write_str("killed"),
            Some(abi::process::CRASHED) => f.write_str("crashed"),
            Some(code) if exit_status(code) == 101 => f.write_str("panicked, exit code 101"),
            Some(code) => write!(f, "exit code {code}"),
        }
    }
}
