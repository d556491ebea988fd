//! Scenarios and the two workers that run them.

use crate::lab::Lab;
use crate::session::Session;
use std::collections::VecDeque;
use std::error::Error;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;
use xtask::qemu::Machine;
use xtask::suite::{Outcome, Reporter, Selection, Totals};

/// What a check gives: a figure worth printing (or nothing), or why it failed.
pub type Verdict = Result<String, Box<dyn Error>>;

/// Machines at the same time: more would slow each other down on two processors.
const WORKERS: usize = 2;

/// Describes the machine of several checks.
type MachineOf = Box<dyn Fn(&Lab) -> xtask::error::Result<Machine> + Send>;

/// A check that boots for itself.
pub struct Alone {
    name: String,
    long: bool,
    run: Box<dyn Fn(&Lab) -> Verdict + Send>,
}

/// A check on a machine it shares.
pub struct Check {
    name: String,
    run: Box<dyn Fn(&mut Session) -> Verdict + Send>,
}

/// Something to boot and what to check on it.
pub enum Scenario {
    /// One check with its own boots.
    Alone(Alone),
    /// One boot, with the shell in script mode, for several checks.
    Shared {
        /// Describes the machine.
        machine: MachineOf,
        /// The checks, in order. After a failed one the next gets a fresh boot.
        checks: Vec<Check>,
    },
}

impl Scenario {
    /// A check that boots for itself.
    pub fn alone(
        name: impl Into<String>,
        run: impl Fn(&Lab) -> Verdict + Send + 'static,
    ) -> Scenario {
        Scenario::Alone(Alone {
            name: name.into(),
            long: false,
            run: Box::new(run),
        })
    }

    /// A check that boots for itself and takes long.
    pub fn long(
        name: impl Into<String>,
        run: impl Fn(&Lab) -> Verdict + Send + 'static,
    ) -> Scenario {
        Scenario::Alone(Alone {
            name: name.into(),
            long: true,
            run: Box::new(run),
        })
    }

    /// Checks that share a machine.
    pub fn shared(
        machine: impl Fn(&Lab) -> xtask::error::Result<Machine> + Send + 'static,
        checks: Vec<Check>,
    ) -> Scenario {
        Scenario::Shared {
            machine: Box::new(machine),
            checks,
        }
    }

    /// The checks' names, and whether they are long.
    pub fn names(&self) -> Vec<(String, bool)> {
        match self {
            Scenario::Alone(alone) => vec![(alone.name.clone(), alone.long)],
            Scenario::Shared { checks, .. } => checks
                .iter()
                .map(|check| (check.name.clone(), false))
                .collect(),
        }
    }

    /// Leaves only the wanted checks.
    fn select(self, selection: &Selection) -> Option<Scenario> {
        match self {
            Scenario::Alone(alone) => selection
                .wants(&alone.name, alone.long)
                .then_some(Scenario::Alone(alone)),
            Scenario::Shared {
                machine,
                mut checks,
            } => {
                checks.retain(|check| selection.wants(&check.name, false));
                (!checks.is_empty()).then_some(Scenario::Shared { machine, checks })
            }
        }
    }

    fn run(&self, lab: &Lab, reporter: &Reporter) {
        match self {
            Scenario::Alone(alone) => reporter.run(&alone.name, || Outcome::from((alone.run)(lab))),
            Scenario::Shared { machine, checks } => run_shared(machine, checks, lab, reporter),
        }
    }
}

impl Check {
    /// A check on a booted machine.
    pub fn new(
        name: impl Into<String>,
        run: impl Fn(&mut Session) -> Verdict + Send + 'static,
    ) -> Check {
        Check {
            name: name.into(),
            run: Box::new(run),
        }
    }
}

fn run_shared(
    machine: &dyn Fn(&Lab) -> xtask::error::Result<Machine>,
    checks: &[Check],
    lab: &Lab,
    reporter: &Reporter,
) {
    let mut session: Option<Session> = None;
    for check in checks {
        let started = Instant::now();
        let verdict = (|| {
            let session = match &mut session {
                Some(session) => session,
                empty => empty.insert(Session::boot(&machine(lab)?)?),
            };
            (check.run)(session)
        })();
        if verdict.is_err() {
            session = None;
        }
        reporter.report(&check.name, started.elapsed(), &Outcome::from(verdict));
    }
}

/// Runs the wanted scenarios, two at a time.
pub fn run(scenarios: Vec<Scenario>, selection: &Selection) -> xtask::error::Result<Totals> {
    let wanted: VecDeque<Scenario> = scenarios
        .into_iter()
        .filter_map(|scenario| scenario.select(selection))
        .collect();
    let reporter = Reporter::default();
    if wanted.is_empty() {
        return Ok(reporter.totals());
    }
    let lab = Lab::new()?;
    let queue = Mutex::new(wanted);
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                loop {
                    let next = queue
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .pop_front();
                    let Some(scenario) = next else { break };
                    scenario.run(&lab, &reporter);
                }
            });
        }
    });
    Ok(reporter.totals())
}
