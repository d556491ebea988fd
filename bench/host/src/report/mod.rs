//! What comes out: rows, and from them a table, a JSON file, a plot and verdicts.

pub mod goals;
pub mod plot;
pub mod table;

use crate::clock::Machine;
use crate::work::Workload;
use serde::Serialize;
use std::collections::BTreeMap;
use std::{fmt, io};

/// Ours, with statistics on: every ratio is this one's figure divided by another's.
pub const OURS: &str = "raede";
/// Ours, with statistics off.
pub const OURS_OFF: &str = "raede-off";

/// One workload on one executor with one number of tasks.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// [`Workload::name`].
    pub workload: &'static str,
    /// [`Peer::NAME`](crate::peer::Peer::NAME).
    pub executor: String,
    /// How many tasks.
    pub size: usize,
    /// Median over the repetitions; absent where no time is measured.
    pub ns_per_op: Option<f64>,
    /// Interquartile range of the repetitions, divided by their median.
    pub spread: Option<f64>,
    /// Instructions per operation, if they were counted.
    pub instructions: Option<f64>,
    /// Ours divided by this one's: the median of the ratios within each repetition.
    pub ours_ratio: Option<f64>,
    /// Ours without statistics divided by this one's, likewise.
    pub ours_off_ratio: Option<f64>,
    /// Other figures, medians too; the unit is in the name.
    pub extra: BTreeMap<String, f64>,
}

/// All rows.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// In the order of the workloads, then of the executors.
    pub rows: Vec<Row>,
    /// Where they were measured.
    pub machine: Machine,
}

impl Report {
    /// The row of a workload, size and executor, if it was measured.
    pub fn row(&self, workload: Workload, size: usize, executor: &str) -> Option<&Row> {
        self.rows.iter().find(|row| {
            row.workload == workload.name() && row.size == size && row.executor == executor
        })
    }

    /// The rows as a JSON array.
    pub fn json(&self) -> Result<String, Error> {
        serde_json::to_string_pretty(&self.rows).map_err(Error::Json)
    }
}

/// What can go wrong outside the measured code.
#[derive(Debug)]
pub enum Error {
    /// A wrong command line.
    Usage(String),
    /// A program could not be started.
    Start {
        /// Which.
        program: String,
        /// The system's answer.
        source: io::Error,
    },
    /// A measurement failed.
    Child {
        /// On which executor.
        executor: String,
        /// Which one.
        workload: &'static str,
        /// With how many tasks.
        size: usize,
        /// What it said.
        output: String,
    },
    /// A file could not be written.
    Write {
        /// Which.
        path: String,
        /// The system's answer.
        source: io::Error,
    },
    /// Figures could not be written as JSON.
    Json(serde_json::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Usage(text) => write!(f, "{text} (see --help)"),
            Error::Start { program, source } => write!(f, "starting {program}: {source}"),
            Error::Child {
                executor,
                workload,
                size,
                output,
            } => {
                write!(
                    f,
                    "{workload}/{size} on {executor} failed:\n{}",
                    output.trim_end()
                )
            }
            Error::Write { path, source } => write!(f, "writing {path}: {source}"),
            Error::Json(source) => write!(f, "the figures as JSON: {source}"),
        }
    }
}

impl std::error::Error for Error {}

impl From<lexopt::Error> for Error {
    fn from(error: lexopt::Error) -> Error {
        Error::Usage(error.to_string())
    }
}

/// Part `permille` of values, by rank; `None` without values.
pub fn quantile(values: &[f64], permille: usize) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted
        .get(sorted.len().checked_sub(1)? * permille / 1000)
        .copied()
}

/// The middle one of values; `None` without values.
pub fn median(values: &[f64]) -> Option<f64> {
    quantile(values, 500)
}

/// How far values scatter: their interquartile range divided by their median.
pub fn spread(values: &[f64]) -> Option<f64> {
    let middle = median(values)?;
    (middle > 0.0).then_some((quantile(values, 750)? - quantile(values, 250)?) / middle)
}

/// A number in three significant digits or so.
pub fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 100_000.0 => format!("{:.0}k", value / 1000.0),
        size if size >= 10_000.0 => format!("{:.1}k", value / 1000.0),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 0.1 || size == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles() {
        let values = [5.0, 1.0, 3.0, 2.0, 4.0];
        assert_eq!(median(&values), Some(3.0));
        assert_eq!(spread(&values), Some((4.0 - 2.0) / 3.0));
        assert_eq!(median(&[]), None);
        assert_eq!(spread(&[0.0]), None);
    }

    #[test]
    fn short_numbers() {
        let shown = [0.0, 0.0123, 0.5, 12.34, 123.4, 12_345.0, 1_234_567.0].map(short);
        assert_eq!(
            shown,
            ["0.00", "0.0123", "0.50", "12.3", "123", "12.3k", "1235k"]
        );
    }
}
