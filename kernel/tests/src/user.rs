//! Ring 3, entered and left in every way there is, on a CPU with everything and on one with little (no XSAVE, SMAP, SMEP or UMIP).

use crate::interrupts::self_test_on;
use crate::lab::Lab;
use crate::scenario::{Scenario, Verdict};
use crate::session::{COMMAND_LIMIT, KERNEL_BOOT_LIMIT};
use std::time::Duration;
use xtask::qemu::Machine;

/// CPU models of QEMU.
const CPUS: [&str; 2] = ["max", "qemu64"];
/// How long ring 3 makes system calls while NMIs come.
const STORM_SECONDS: u32 = 8;
/// NMIs sent meanwhile, and how many must have come in that time: some may be merged, or late on a busy host.
const NMIS: u32 = 600;
const LEAST_NMIS: u64 = 100;
/// Most instructions of a system call that does nothing.
const FAST_CALL_LIMIT: u64 = 80;
const BETWEEN_NMIS: Duration = Duration::from_millis(5);

pub fn scenarios() -> Vec<Scenario> {
    let mut scenarios = Vec::new();
    for cpu in CPUS {
        for cores in [1, 2] {
            scenarios.push(Scenario::alone(
                format!("qemu.user.ring3_{cpu}_{cores}_core"),
                move |lab| self_test_on(&machine(lab, cpu, cores, "selftest=user"), "user"),
            ));
        }
        scenarios.push(Scenario::alone(
            format!("qemu.user.nmi_storm_{cpu}"),
            move |lab| nmi_storm(lab, cpu),
        ));
    }
    scenarios.push(Scenario::alone("qemu.user.cost", cost));
    scenarios
}

/// Instructions of a fast system call that does nothing, from ring 3 and back: few.
fn cost(lab: &Lab) -> Verdict {
    let mut machine = machine(lab, "max", 1, "selftest=user_cost");
    machine.icount = true;
    let mut vm = machine.spawn()?;
    let line = vm.serial.wait_line("cost in ns", KERNEL_BOOT_LIMIT)?;
    let (_, figures) = line.split_once("instructions): ").unwrap_or_default();
    let fast: Option<u64> = figures
        .strip_prefix("fast call ")
        .and_then(|rest| rest.split(',').next()?.parse().ok());
    match fast {
        Some(1..=FAST_CALL_LIMIT) => Ok(figures.trim().to_owned()),
        _ => Err(format!("a fast call should take at most {FAST_CALL_LIMIT}: {line}").into()),
    }
}

fn machine(lab: &Lab, cpu: &str, cores: u32, words: &str) -> Machine {
    let mut machine = lab.machine(words);
    machine.cpu = cpu.into();
    machine.cpus = cores;
    machine
}

/// NMIs between any two instructions of the gate: each system call still comes out right.
fn nmi_storm(lab: &Lab, cpu: &str) -> Verdict {
    let words = format!("selftest=user_storm:{STORM_SECONDS}");
    let mut vm = machine(lab, cpu, 2, &words).spawn()?;
    vm.serial
        .wait_for("system calls begin", KERNEL_BOOT_LIMIT)?;
    for _ in 0..NMIS {
        vm.qmp.inject_nmi()?;
        // One that comes before the last was taken is merged with it.
        std::thread::sleep(BETWEEN_NMIS);
    }
    let verdict = vm
        .serial
        .wait_line("selftest user_storm: ", COMMAND_LIMIT)?;
    let said = String::from_utf8_lossy(&vm.serial.transcript()).into_owned();
    let counts = said
        .lines()
        .find(|line| line.contains("NMIs meanwhile"))
        .unwrap_or_default();
    let figure = |name: &str| -> Option<u64> {
        let (before, _) = counts.split_once(name)?;
        before.split_whitespace().last()?.parse().ok()
    };
    match (figure(" system calls"), figure(" NMIs")) {
        (Some(calls), Some(nmis)) if verdict.trim_end().ends_with("ok") && nmis >= LEAST_NMIS => {
            Ok(format!("{calls} system calls, {nmis} NMIs"))
        }
        _ => Err(format!("{counts}\n{verdict}\n{}", vm.serial.tail()).into()),
    }
}
