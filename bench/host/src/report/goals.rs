//! What our executor set out to reach beside its peers, and whether it does.

use super::{OURS, OURS_OFF, Report, Row, short};
use crate::peers;
use crate::runner::DEADLINE_PEER;
use crate::work::{Kind, Workload};

/// Whom a figure of ours is compared with.
#[derive(Clone, Copy, Debug)]
enum Against {
    /// This one.
    Peer(&'static str),
    /// The faster of tokio's two runtimes.
    Tokio,
    /// Whichever is best; the floor, which does not wake at all, is not one of them.
    Best,
    /// Ours without statistics.
    Off,
    /// Nobody: a figure of our own.
    Nobody(&'static str),
}

struct Goal {
    workload: Workload,
    sizes: &'static [usize],
    against: Against,
    /// At most this, with statistics.
    on: f64,
    /// At most this without, where that differs.
    off: f64,
}

/// [`Against::Nobody`]: not a further figure, but the time of an operation.
const TIME: &str = "ns";
const FLOOR: &str = "poll-loop";
const TOKIO: [&str; 2] = ["tokio", "tokio-local"];
const FIFO: Against = Against::Peer("embassy-fifo");
const EDF: Against = Against::Peer("embassy-edf");

const fn goal(
    workload: Workload,
    sizes: &'static [usize],
    against: Against,
    on: f64,
    off: f64,
) -> Goal {
    Goal {
        workload,
        sizes,
        against,
        on,
        off,
    }
}

const GOALS: [Goal; 16] = [
    goal(Workload::YieldPing, &[1], FIFO, 0.8, 0.35),
    goal(
        Workload::RoundRobin,
        &[10, 100, 1_000, 10_000],
        FIFO,
        1.0,
        0.4,
    ),
    goal(Workload::EdfHold, &[10], EDF, 0.7, 0.7),
    goal(Workload::EdfHold, &[1_000], EDF, 0.02, 0.02),
    goal(
        Workload::EdfHold,
        &[10, 100, 1_000],
        Against::Tokio,
        1.0,
        1.0,
    ),
    goal(Workload::EdfBurst, &[1_000], Against::Tokio, 1.0, 1.0),
    goal(Workload::WakeChain, &[1_000], Against::Best, 0.8, 0.8),
    goal(Workload::CrossWakeSpin, &[1], Against::Best, 1.0, 1.0),
    goal(Workload::CrossWakePark, &[1], Against::Best, 1.0, 1.0),
    goal(Workload::Timers, &[10_000], Against::Tokio, 0.4, 0.4),
    goal(Workload::SpawnFinish, &[100, 1_000], FIFO, 0.7, 0.7),
    goal(
        Workload::SpawnFinish,
        &[100, 1_000],
        Against::Nobody("allocs_per_op"),
        0.0,
        0.0,
    ),
    goal(
        Workload::TaskBytes,
        &[10_000],
        Against::Nobody("bytes_per_task"),
        96.0,
        96.0,
    ),
    goal(
        Workload::QueueWorst,
        &[10_000],
        Against::Nobody(TIME),
        200.0,
        200.0,
    ),
    goal(
        Workload::EdfHold,
        &[10, 100, 1_000, 10_000],
        Against::Off,
        1.1,
        f64::INFINITY,
    ),
    goal(
        Workload::Order,
        &[1_000],
        Against::Nobody("late_percent"),
        0.0,
        0.0,
    ),
];

/// A goal and what was measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// Workload and size.
    pub what: String,
    /// Compared with whom, or which figure.
    pub against: String,
    /// Ours divided by theirs, or our figure: with statistics, and without.
    pub measured: [Option<f64>; 2],
    /// At most this: with statistics, and without.
    pub limit: [f64; 2],
    /// What one clock read at each operation already takes of the peer's time: with statistics no ratio can be below.
    pub clock_share: Option<f64>,
}

impl Verdict {
    /// Whether it was reached: with statistics, and without. `None` where nothing was measured or nothing is asked.
    pub fn reached(&self) -> [Option<bool>; 2] {
        std::array::from_fn(|kind| {
            self.measured[kind]
                .filter(|_| self.limit[kind].is_finite())
                .map(|value| value <= self.limit[kind])
        })
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let reached = self.reached();
        let part = |kind: usize| match (self.measured[kind], reached[kind]) {
            (Some(value), Some(true)) => {
                format!("{} <= {}  reached", short(value), short(self.limit[kind]))
            }
            (Some(value), Some(false)) => {
                format!("{} >  {}  MISSED", short(value), short(self.limit[kind]))
            }
            _ => "-".into(),
        };
        write!(
            f,
            "{:<24} {:<28} {:<26} {:<26}",
            self.what,
            self.against,
            part(0),
            part(1)
        )?;
        match self.clock_share {
            Some(share) if reached[0] == Some(false) && share > self.limit[0] / 2.0 => {
                write!(f, " the clock read alone: {}", short(share))
            }
            _ => Ok(()),
        }
    }
}

/// All goals whose workloads were measured.
pub fn verdicts(report: &Report) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    for goal in &GOALS {
        for &size in goal.sizes {
            if report.row(goal.workload, size, OURS).is_some() {
                verdicts.push(judge(report, goal, size));
            }
        }
    }
    let overtaken = goal(
        Workload::Order,
        &[1_000],
        Against::Nobody("overtaken_percent"),
        0.0,
        0.0,
    );
    if report.row(Workload::Order, 1_000, OURS).is_some() {
        verdicts.push(judge(report, &overtaken, 1_000));
    }
    verdicts
}

fn judge(report: &Report, goal: &Goal, size: usize) -> Verdict {
    let row = |executor: &str| report.row(goal.workload, size, executor);
    // The peer against which we look worst is the best one.
    let best = |candidates: Vec<&'static str>| {
        let ratio = |row: &&Row| row.ours_ratio.unwrap_or(0.0);
        let rows = candidates.into_iter().filter_map(row);
        rows.max_by(|a, b| ratio(a).total_cmp(&ratio(b)))
    };
    let own = |figure: &str| {
        [OURS, OURS_OFF].map(|executor| {
            let row = row(executor)?;
            if figure == TIME {
                row.ns_per_op
            } else {
                row.extra.get(figure).copied()
            }
        })
    };
    let rival = match goal.against {
        Against::Peer(name) => row(name),
        Against::Tokio => best(TOKIO.to_vec()),
        Against::Best => best(contenders()),
        Against::Off => row(OURS_OFF),
        Against::Nobody(_) => None,
    };
    let named = |prefix: &str| match rival {
        Some(row) => format!("{prefix}{}", row.executor),
        None => format!("{prefix}nobody"),
    };
    Verdict {
        what: format!("{}/{size}", goal.workload.name()),
        against: match goal.against {
            Against::Nobody(figure) => figure.to_owned(),
            Against::Best => named("the best, "),
            _ => named(""),
        },
        measured: match goal.against {
            Against::Nobody(figure) => own(figure),
            Against::Off => [rival.and_then(|row| row.ours_ratio), None],
            _ => rival.map_or([None; 2], |row| [row.ours_ratio, row.ours_off_ratio]),
        },
        limit: [goal.on, goal.off],
        clock_share: rival
            .and_then(|row| row.ns_per_op)
            .filter(|_| goal.workload.kind() == Kind::Timed)
            .map(|ns| report.machine.clock_ns / ns),
    }
}

/// Who can be the best: everyone but ours, and but the floor, which does not wake at all.
fn contenders() -> Vec<&'static str> {
    let names = peers::NAMES.iter().copied().chain([DEADLINE_PEER]);
    names
        .filter(|name| ![OURS, OURS_OFF, FLOOR].contains(name))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn row(executor: &str, ratio: f64, off: f64) -> Row {
        Row {
            workload: "yield_ping",
            executor: executor.into(),
            size: 1,
            ns_per_op: Some(1.0),
            spread: None,
            instructions: None,
            ours_ratio: Some(ratio),
            ours_off_ratio: Some(off),
            extra: BTreeMap::new(),
        }
    }

    #[test]
    fn judges_both_settings() {
        let report = Report {
            rows: vec![row(OURS, 1.0, 0.5), row("embassy-fifo", 0.7, 0.4)],
            ..Report::default()
        };
        let verdicts = verdicts(&report);
        assert_eq!(verdicts.len(), 1);
        assert_eq!(verdicts[0].reached(), [Some(true), Some(false)]);
        let text = verdicts[0].to_string();
        assert!(
            text.contains("0.70 <= 0.80  reached") && text.contains("0.40 >  0.35  MISSED"),
            "{text}"
        );
    }

    #[test]
    fn the_best_peer_counts() {
        let rename = |mut row: Row| {
            row.workload = "wake_chain";
            row.size = 1_000;
            row
        };
        let rows = [
            row(OURS, 1.0, 0.5),
            row("tokio", 0.5, 0.2),
            row("embassy-fifo", 0.9, 0.4),
            row("poll-loop", 9.0, 9.0),
        ];
        let verdicts = verdicts(&Report {
            rows: rows.map(rename).to_vec(),
            ..Report::default()
        });
        assert_eq!(verdicts[0].against, "the best, embassy-fifo");
        assert_eq!(verdicts[0].reached(), [Some(false), Some(true)]);
    }

    #[test]
    fn an_absent_peer_is_no_verdict() {
        let verdicts = verdicts(&Report {
            rows: vec![row(OURS, 1.0, 0.5)],
            ..Report::default()
        });
        assert_eq!(verdicts[0].reached(), [None, None]);
    }
}
