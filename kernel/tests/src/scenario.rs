//! Scenarios and the two workers that run them.

use crate::lab::Lab;
use crate::session::Session;
use std::collections::VecDeque;
use std::error::Error;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;
use xtask::qemu::Machine;
use xtask::suite::{Outcome, Reporter, Selection, Totals};

/// What a check gives: a figure worth printing (or nothing), or why it failed.
pub type Verdict = Result<String, Box<dyn Error>>;

/// Says that a check cannot run on this host, and why: as an error, it skips the check.
#[derive(Debug)]
pub struct Skip(pub String);

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Skip {}

fn outcome(verdict: Verdict) -> Outcome {
    match verdict {
        Err(error) if error.is::<Skip>() => Outcome::Skipped(error.to_string()),
        other => Outcome::from(other),
    }
}

/// Machines at the same time: more would slow each other down on two processors.
const WORKERS: usize = 2;

/// Describes the machine of several checks.
type Describe = dyn Fn(&Lab) -> Result<Machine, Box<dyn Error>> + Send;
type MachineOf = Box<Describe>;

/// A check that boots for itself.
pub struct Alone {
    name: String,
    long: bool,
    run: Box<dyn Fn(&Lab) -> Verdict + Send>,
}

/// A check on a machine it shares.
pub struct Check {
    name: String,
    long: bool,
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
        machine: impl Fn(&Lab) -> Result<Machine, Box<dyn Error>> + Send + 'static,
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
                .map(|check| (check.name.clone(), check.long))
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
                checks.retain(|check| selection.wants(&check.name, check.long));
                (!checks.is_empty()).then_some(Scenario::Shared { machine, checks })
            }
        }
    }

    fn run(&self, lab: &Lab, reporter: &Reporter) {
        match self {
            Scenario::Alone(alone) => reporter.run(&alone.name, || outcome((alone.run)(lab))),
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
            long: false,
            run: Box::new(run),
        }
    }

    /// A check on a booted machine that takes long.
    pub fn long(
        name: impl Into<String>,
        run: impl Fn(&mut Session) -> Verdict + Send + 'static,
    ) -> Check {
        Check {
            long: true,
            ..Check::new(name, run)
        }
    }
}

fn run_shared(machine: &Describe, checks: &[Check], lab: &Lab, reporter: &Reporter) {
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
        reporter.report(&check.name, started.elapsed(), &outcome(verdict));
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
