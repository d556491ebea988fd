//! Interrupts are wakes: none without a reason, none lost.

use crate::json;
use crate::lab::Lab;
use crate::scenario::{Scenario, Verdict};
use crate::session::{KERNEL_BOOT_LIMIT, Session};
use serde_json::Value;
use std::collections::BTreeMap;
use std::error::Error;
use std::time::Duration;
use xtask::qemu::Machine;

/// Wakes from another core in the normal suite, and with `--long`.
const STORM: u32 = 100_000;
const LONG_STORM: u32 = 1_000_000;
/// NMIs fired at a machine that works meanwhile.
const NMIS: u32 = 500;
/// Timer interrupts a core may take in 5 idle seconds, the sleep's own included.
const IDLE_TIMER_LIMIT: u64 = 5;

pub fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::alone("qemu.irq.idle_is_tickless", idle_is_tickless),
        Scenario::alone("qemu.irq.nmi_storm", nmi_storm),
        Scenario::alone("qemu.irq.device", |lab| {
            let mut machine = lab.machine("selftest=device_irq");
            machine.extra.extend(["-device", "edu"].map(String::from));
            self_test_on(&machine, "device_irq")
        }),
        Scenario::alone("qemu.irq.watchdog_without_hpet", |lab| {
            let mut machine = lab.machine("selftest=nmi_watchdog");
            machine.machine.push_str(",hpet=off");
            self_test_on(&machine, "nmi_watchdog")
        }),
        Scenario::alone("qemu.irq.xmm_preserved", |lab| self_test(lab, "xmm")),
        Scenario::alone("qemu.wake.irq_wakes_halted", |lab| {
            self_test(lab, "irq_wakes_halted")
        }),
        Scenario::alone("qemu.wake.cross_core", |lab| {
            self_test(lab, "cross_core_wake")
        }),
        Scenario::alone("qemu.wake.storm", |lab| {
            self_test(lab, &format!("wake_storm:{STORM}"))
        }),
        Scenario::long("qemu.wake.long_storm", |lab| {
            self_test(lab, &format!("wake_storm:{LONG_STORM}"))
        }),
    ]
}

/// Boots with a test that the kernel runs and judges itself.
pub fn self_test(lab: &Lab, test: &str) -> Verdict {
    self_test_on(&lab.machine(&format!("selftest={test}")), test)
}

/// As [`self_test`], on a machine whose command line names the test.
pub fn self_test_on(machine: &Machine, test: &str) -> Verdict {
    let mut vm = machine.spawn()?;
    let name = test.split(':').next().unwrap_or(test);
    // A million wakes take minutes under emulation on a busy host.
    let limit = KERNEL_BOOT_LIMIT + Duration::from_secs(600);
    let line = vm.serial.wait_line(&format!("selftest {name}: "), limit)?;
    let (_, verdict) = line
        .split_once(&format!("selftest {name}: "))
        .unwrap_or_default();
    match verdict.strip_prefix("ok") {
        Some(note) => Ok(note.trim().to_owned()),
        None => Err(format!("{line}\n{}", vm.serial.tail()).into()),
    }
}

/// Timer interrupts by core.
fn timer_counts(session: &mut Session) -> Result<BTreeMap<u64, u64>, Box<dyn Error>> {
    let table = session.rows("cores --json")?;
    let row = |row: &Value| -> Result<(u64, u64), String> {
        Ok((json::count(row, "core")?, json::count(row, "timer_irqs")?))
    };
    Ok(table.iter().map(row).collect::<Result<_, _>>()?)
}

/// With nothing due, no core takes timer interrupts.
fn idle_is_tickless(lab: &Lab) -> Verdict {
    let mut machine = lab.script_machine("");
    machine.cpus = 4;
    let mut session = Session::boot(&machine)?;
    let irq_before = session.ok("irq")?;
    let before = timer_counts(&mut session)?;
    session.ok("sleep 5")?;
    let after = timer_counts(&mut session)?;
    let taken: Vec<u64> = after
        .iter()
        .map(|(core, count)| count - before.get(core).copied().unwrap_or(0))
        .collect();
    if taken.len() == 4 && taken.iter().all(|&count| count < IDLE_TIMER_LIMIT) {
        return Ok(format!("timer interrupts per core in 5 s: {taken:?}"));
    }
    let irq_after = session.ok("irq")?;
    Err(
        format!("timer interrupts per core in 5 idle s: {taken:?}\n{irq_before}\n{irq_after}")
            .into(),
    )
}

/// NMIs at any instruction do no harm: the machine works meanwhile and afterwards.
fn nmi_storm(lab: &Lab) -> Verdict {
    let mut session = Session::boot(&lab.script_machine(""))?;
    for round in 0..10 {
        for _ in 0..NMIS / 10 {
            session.vm.qmp.inject_nmi()?;
        }
        let output = session.ok(&format!("echo round {round}"))?;
        if output != format!("round {round}\n") {
            return Err(format!("during the storm, echo gave {output:?}").into());
        }
    }
    session.ok("ps")?;
    session.alive()?;
    Ok(format!("{NMIS} NMIs"))
}
