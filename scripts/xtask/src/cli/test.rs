//! `scripts/test`: the whole suite.

use crate::error::{Doing, Error, Result};
use crate::host;
use crate::packages::{self, Tool};
use crate::suite::{Outcome, Reporter, Selection, Step, Totals, binary, host_steps, nostd};
use crate::{say, sayln};
use lexopt::prelude::*;
use std::io::{BufRead, BufReader};
use std::process::{ExitCode, Stdio};
use std::time::Instant;

const HELP: &str = "\
Usage: scripts/test [--long] [--list] [FILTER...]

Runs the checks whose names contain one of the filters; all without a filter. The last line
counts them.

  --long  also run soaks and full counts
  --list  print the names instead (after `long:` those that only --long runs)
";

pub(super) fn main(parser: &mut lexopt::Parser) -> Result<ExitCode> {
    let mut selection = Selection::default();
    let mut list = false;
    while let Some(argument) = parser.next()? {
        match argument {
            Long("help") | Short('h') => {
                say!("{HELP}");
                return Ok(ExitCode::SUCCESS);
            }
            Long("long") => selection.long = true,
            Long("list") => list = true,
            Value(filter) => selection
                .filters
                .push(filter.to_string_lossy().into_owned()),
            other => return Err(other.unexpected().into()),
        }
    }
    let mut steps: Vec<Step> = host_steps::steps(selection.long)?;
    steps.extend(nostd::steps());
    steps.extend(binary::steps());
    if list {
        for step in &steps {
            sayln!("{}{}", if step.long { "long: " } else { "" }, step.name);
        }
        return scenarios(&["--list"], &Reporter::default()).map(|()| ExitCode::SUCCESS);
    }
    let reporter = Reporter::default();
    let started = Instant::now();
    for step in steps
        .iter()
        .filter(|step| selection.wants(&step.name, step.long))
    {
        reporter.run(&step.name, &step.run);
    }
    if let Err(error) = run_scenarios(&selection, &reporter) {
        reporter.report(
            "qemu",
            started.elapsed(),
            &Outcome::Failed(error.to_string()),
        );
    }
    let seconds = started.elapsed().as_secs();
    sayln!("{} min {:02} s", seconds / 60, seconds % 60);
    let totals = reporter.totals();
    sayln!("{totals}");
    Ok(if totals.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Runs the scenarios, which print their own lines, and takes over their counts.
fn run_scenarios(selection: &Selection, reporter: &Reporter) -> Result<()> {
    // A filter that names only host checks needs no QEMU.
    let hostly = |filter: &String| {
        ["host", "nostd", "binary"]
            .iter()
            .any(|group| filter.starts_with(group))
    };
    if !selection.filters.is_empty() && selection.filters.iter().all(hostly) {
        return Ok(());
    }
    packages::require(&[Tool::Qemu, Tool::Ovmf])?;
    packages::require(&Tool::IMAGE)?;
    let mut arguments: Vec<&str> = selection.filters.iter().map(String::as_str).collect();
    if selection.long {
        arguments.push("--long");
    }
    scenarios(&arguments, reporter)
}

/// Builds and runs the scenarios' program.
fn scenarios(arguments: &[&str], reporter: &Reporter) -> Result<()> {
    host::run_cargo(host::cargo().args(["build", "--release", "--package", "kernel-tests"]))?;
    let program = host::target_dir().join("release/kernel-tests");
    let mut command = std::process::Command::new(&program);
    let mut child = command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .doing(|| format!("starting {}", program.display()))?;
    let mut last = String::new();
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines() {
            let line = line.doing(|| "reading the scenarios' lines".into())?;
            // The totals come last and are counted in ours.
            if Totals::parse(&line).is_none() {
                sayln!("{line}");
            }
            last = line;
        }
    }
    let status = child.wait().doing(|| "waiting for the scenarios".into())?;
    match Totals::parse(&last) {
        Some(totals) => {
            reporter.add(totals);
            Ok(())
        }
        None if status.success() => Ok(()),
        None => Err(Error::Command {
            command: host::spelled(&command),
            status: status.to_string(),
            output: last,
        }),
    }
}
