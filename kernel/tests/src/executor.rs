//! The executor in the kernel: a full load, and a task that does not let go of its core.

use crate::lab::Lab;
use crate::scenario::{Scenario, Verdict};
use crate::session::{COMMAND_LIMIT, KERNEL_BOOT_LIMIT, Prompt};
use std::time::Duration;
use xtask::qemu::Machine;

/// Five virtual seconds of a full core take some minutes on a busy host.
const LOAD_LIMIT: Duration = Duration::from_secs(600);

/// This module's scenarios.
pub fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::alone("qemu.executor.load_icount", load_icount),
        Scenario::long("qemu.executor.load_tcg", load_tcg),
        Scenario::alone("qemu.executor.long_poll", long_poll),
    ]
}

/// What the kernel said of its self-test `name`: its figures, or its complaint.
fn selftest(
    machine: &Machine,
    name: &str,
    limit: Duration,
) -> Result<(bool, String), Box<dyn std::error::Error>> {
    let mut prompt = Prompt::boot(machine)?;
    prompt
        .vm
        .serial
        .wait_for(&format!("selftest {name}: "), limit.max(KERNEL_BOOT_LIMIT))?;
    let verdict = prompt.vm.serial.wait_for("\n", COMMAND_LIMIT)?;
    let said = String::from_utf8_lossy(&prompt.vm.serial.transcript()).into_owned();
    Ok((verdict.starts_with("ok"), said))
}

fn load_lines(said: &str) -> String {
    let lines = said.lines().filter_map(|line| {
        line.split_once("selftest: load: ")
            .map(|(_, rest)| rest.trim())
    });
    lines.collect::<Vec<_>>().join("; ")
}

/// A thousand tasks for five virtual seconds: where no host steals time, no reserved job may be late by more than the
/// longest poll, and a throttled task gets no more than it reserved.
fn load_icount(lab: &Lab) -> Verdict {
    let mut machine = lab.machine("selftest=load");
    machine.icount = true;
    machine.cpus = 1;
    let (ok, said) = selftest(&machine, "load", LOAD_LIMIT)?;
    if ok {
        Ok(load_lines(&said))
    } else {
        Err(format!("the load was not carried:\n{said}").into())
    }
}

/// The same by the clock: jobs may be late, since the host takes processors away; each must say why.
fn load_tcg(lab: &Lab) -> Verdict {
    let (_, said) = selftest(&lab.machine("selftest=load"), "load", LOAD_LIMIT)?;
    let lines = load_lines(&said);
    if lines.contains("reserved jobs") {
        Ok(lines)
    } else {
        Err(format!("the load gave no account:\n{said}").into())
    }
}

/// A task that holds its core is named in the log, with where it was spawned.
fn long_poll(lab: &Lab) -> Verdict {
    let (_, said) = selftest(
        &lab.machine("selftest=long_poll"),
        "long_poll",
        KERNEL_BOOT_LIMIT,
    )?;
    let named = said
        .lines()
        .find(|line| line.contains("never-yields") && line.contains("selftest.rs"));
    match named {
        Some(line) => Ok(line.trim().into()),
        None => Err(format!("the task should be named:\n{said}").into()),
    }
}
