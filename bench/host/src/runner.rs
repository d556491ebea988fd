//! Many measurements: a child process for each, executors interleaved within each repetition.

use crate::callgrind;
use crate::clock::Machine;
use crate::meter::Reading;
use crate::peers;
use crate::report::{Error, OURS, OURS_OFF, Report, Row, median, spread};
use crate::work::{Kind, Workload};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// The executor measured by the second program.
pub const DEADLINE_PEER: &str = "embassy-edf";
/// The order of columns: ours, those that claim deadlines, the rest, the floor last.
const AFTER: &str = OURS_OFF;

/// How thorough a run is.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Repetitions of timed workloads.
    pub repetitions: usize,
    /// CPU time of each, in ms.
    pub millis: u64,
    /// Whether instructions are counted too.
    pub instructions: bool,
}

impl Effort {
    /// For figures that are quoted.
    pub const FULL: Effort = Effort {
        repetitions: 9,
        millis: 60,
        instructions: false,
    };
    /// For a glance: minutes less, and more scatter.
    pub const QUICK: Effort = Effort {
        repetitions: 3,
        millis: 12,
        instructions: false,
    };
}

/// The programs that measure.
#[derive(Debug)]
pub struct Programs {
    own: PathBuf,
    deadline: PathBuf,
}

impl Programs {
    /// This program, and its sibling `bench-host-edf`.
    pub fn find() -> Result<Programs, Error> {
        let own = std::env::current_exe().map_err(|source| Error::Start {
            program: "this program".into(),
            source,
        })?;
        let deadline = own.with_file_name("bench-host-edf");
        if !deadline.is_file() {
            return Err(Error::Usage(format!(
                "{} is missing: cargo build --release -p bench-host --bin bench-host-edf --features embassy-deadline",
                deadline.display()
            )));
        }
        Ok(Programs { own, deadline })
    }

    /// All executors, in the order of the table's columns.
    pub fn executors(&self) -> Vec<String> {
        let mut names: Vec<String> = peers::NAMES.iter().map(|name| (*name).to_owned()).collect();
        let place = names
            .iter()
            .position(|name| name == AFTER)
            .map_or(0, |place| place + 1);
        names.insert(place, DEADLINE_PEER.into());
        names
    }

    fn of(&self, executor: &str) -> &PathBuf {
        if executor == DEADLINE_PEER {
            &self.deadline
        } else {
            &self.own
        }
    }

    /// Measures once. `None` if the workload does not suit the executor.
    fn measure(
        &self,
        executor: &str,
        workload: Workload,
        size: usize,
        millis: u64,
    ) -> Result<Option<Reading>, Error> {
        let program = self.of(executor);
        let mut command = Command::new(program);
        command.args([
            "measure",
            "--executor",
            executor,
            "--workload",
            workload.name(),
        ]);
        command
            .args(["--size", &size.to_string(), "--ms", &millis.to_string()])
            .stdin(Stdio::null());
        let output = command.output().map_err(|source| Error::Start {
            program: program.display().to_string(),
            source,
        })?;
        let text = String::from_utf8_lossy(&output.stdout);
        let reading = serde_json::from_str(text.trim())
            .ok()
            .filter(|_| output.status.success());
        reading.ok_or_else(|| Error::Child {
            executor: executor.into(),
            workload: workload.name(),
            size,
            output: format!(
                "{text}{}\n{}",
                String::from_utf8_lossy(&output.stderr),
                output.status
            ),
        })
    }

    /// Measures a workload on all executors, interleaved.
    pub fn compare(
        &self,
        workload: Workload,
        size: usize,
        effort: Effort,
    ) -> Result<Vec<Row>, Error> {
        let executors = self.executors();
        let repetitions = match workload.kind() {
            Kind::Exact => 1,
            // Two cores of a virtual machine are near or far from each other for a while: few repetitions mislead.
            Kind::Latency => effort.repetitions.max(Effort::FULL.repetitions),
            Kind::Timed => effort.repetitions,
        };
        let mut readings: Vec<Vec<Reading>> = vec![Vec::new(); executors.len()];
        for repetition in 0..repetitions {
            // Another one begins each time, so that none is always the first or behind the same neighbour.
            for turn in 0..executors.len() {
                let number = (turn + repetition) % executors.len();
                if let Some(reading) =
                    self.measure(&executors[number], workload, size, effort.millis)?
                {
                    readings[number].push(reading);
                }
            }
        }
        let place = |name: &str| executors.iter().position(|executor| executor == name);
        let times = |number: usize| {
            readings[number]
                .iter()
                .filter_map(|reading| reading.ns_per_op)
                .collect::<Vec<f64>>()
        };
        let of = |name: &str| place(name).map(times).unwrap_or_default();
        let (ours, ours_off) = (of(OURS), of(OURS_OFF));
        let mut rows = Vec::new();
        for (number, executor) in executors.iter().enumerate() {
            if readings[number].is_empty() {
                continue;
            }
            let theirs = times(number);
            let ratio = |ours: &[f64]| {
                let ratios: Vec<f64> = ours
                    .iter()
                    .zip(&theirs)
                    .filter(|(_, theirs)| **theirs > 0.0)
                    .map(|(ours, theirs)| ours / theirs)
                    .collect();
                median(&ratios)
            };
            let ns_per_op = median(&theirs);
            let counted = effort.instructions && workload.kind() == Kind::Timed;
            let instructions = match ns_per_op {
                Some(ns) if counted => {
                    callgrind::per_op(self.of(executor), executor, workload, size, ns)?
                }
                _ => None,
            };
            rows.push(Row {
                workload: workload.name(),
                executor: executor.clone(),
                size,
                ns_per_op,
                spread: spread(&theirs),
                instructions,
                ours_ratio: ratio(&ours),
                ours_off_ratio: ratio(&ours_off),
                extra: medians(&readings[number]),
            });
        }
        Ok(rows)
    }

    /// Measures all `workloads`, telling of progress on standard error.
    pub fn report(&self, workloads: &[Workload], effort: Effort) -> Result<Report, Error> {
        let mut report = Report {
            machine: Machine::measure(),
            ..Report::default()
        };
        for &workload in workloads {
            for &size in workload.sizes() {
                eprintln!("Measuring {}/{size}...", workload.name());
                report.rows.extend(self.compare(workload, size, effort)?);
            }
        }
        Ok(report)
    }
}

/// The median of each further figure.
fn medians(readings: &[Reading]) -> BTreeMap<String, f64> {
    let mut values: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for (name, value) in readings.iter().flat_map(|reading| &reading.extra) {
        values.entry(name.clone()).or_default().push(*value);
    }
    values
        .into_iter()
        .filter_map(|(name, values)| Some((name, median(&values)?)))
        .collect()
}
