//! The executor beside its peers on the host: builds `bench/host` and lets it measure.

use crate::error::{Doing, Error, Result};
use crate::host;
use crate::packages::{self, Tool};
use std::process::{Command, Stdio};

/// What to measure and how thoroughly.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// These workloads; all if empty.
    pub only: Vec<String>,
    /// Fewer and shorter repetitions.
    pub quick: bool,
    /// Count instructions per operation too.
    pub instructions: bool,
}

/// Measures, prints table and verdicts, writes `host.json` and `host.svg`.
pub fn run(options: &Options) -> Result<()> {
    if options.instructions {
        packages::require(&[Tool::Valgrind])?;
    }
    // Two programs, because one peer chooses its queue when it is compiled.
    for (program, features) in [("bench-host", ""), ("bench-host-edf", "embassy-deadline")] {
        let mut cargo = host::cargo();
        cargo.args(["build", "--release", "--package", "bench-host"]);
        host::run_cargo(cargo.args(["--bin", program, "--features", features]))?;
    }
    let mut command = Command::new(host::target_dir().join("release/bench-host"));
    command.arg("run").arg("--out");
    command.arg(host::target_dir().join("bench"));
    for workload in &options.only {
        command.args(["--only", workload]);
    }
    if options.quick {
        command.arg("--quick");
    }
    if options.instructions {
        command.arg("--instructions");
    }
    let status = command
        .stdin(Stdio::null())
        .status()
        .doing(|| "starting the host bench".into())?;
    if status.success() {
        return Ok(());
    }
    Err(Error::Command {
        command: host::spelled(&command),
        status: status.to_string(),
        output: String::new(),
    })
}
