//! Instructions per operation, which do not depend on the machine's load: the difference between a short and a long
//! run under callgrind, divided by the difference of their lengths.

use crate::child::trial_ops;
use crate::report::Error;
use crate::work::Workload;
use std::process::{Command, Stdio};

/// Counting beyond this many instructions takes minutes.
const BUDGET: f64 = 2e9;
/// For guessing whether a count fits into the budget.
const GUESS_PER_NS: f64 = 5.0;

/// Counts, unless that would take too long for an operation that takes `ns_per_op`.
pub fn per_op(
    program: &std::path::Path,
    executor: &str,
    workload: Workload,
    size: usize,
    ns_per_op: f64,
) -> Result<Option<f64>, Error> {
    let ops = trial_ops(size);
    if ns_per_op * GUESS_PER_NS * (3 * ops + 4 * size as u64) as f64 > BUDGET {
        return Ok(None);
    }
    let count = |ops| collected(program, executor, workload, size, ops);
    Ok(Some((count(2 * ops)? - count(ops)?) / ops as f64))
}

fn collected(
    program: &std::path::Path,
    executor: &str,
    workload: Workload,
    size: usize,
    ops: u64,
) -> Result<f64, Error> {
    let mut command = Command::new("valgrind");
    command
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .arg("measure");
    command.args(["--executor", executor, "--workload", workload.name()]);
    command
        .args(["--size", &size.to_string(), "--ops", &ops.to_string()])
        .stdin(Stdio::null());
    let output = command.output().map_err(|source| Error::Start {
        program: "valgrind".into(),
        source,
    })?;
    let text = String::from_utf8_lossy(&output.stderr);
    let count = text
        .lines()
        .find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok());
    match count {
        Some(count) if output.status.success() => Ok(count),
        _ => Err(Error::Child {
            executor: executor.into(),
            workload: workload.name(),
            size,
            output: text.into_owned(),
        }),
    }
}
