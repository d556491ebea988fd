//! Page tables of processes: changes on one core are everywhere before anything relies on them.

use crate::interrupts::self_test_on;
use crate::lab::Lab;
use crate::scenario::{Scenario, Verdict};

/// Changes of a page by each core. Four emulated cores on two real ones answer each other in milliseconds.
const ROUNDS_OF_TWO: u32 = 10_000;
const SHORT_ROUNDS: u32 = 2_000;
const ROUNDS_OF_FOUR: u32 = 200;
const LONG_ROUNDS_OF_FOUR: u32 = 5_000;

/// This module's scenarios.
pub fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::alone("qemu.memory.user_tables", |lab| {
            user_tables(lab, 2, "max", ROUNDS_OF_TWO)
        }),
        Scenario::alone("qemu.memory.user_tables_old_cpu", |lab| {
            user_tables(lab, 2, "qemu64", SHORT_ROUNDS)
        }),
        Scenario::alone("qemu.memory.user_tables_one_core", |lab| {
            user_tables(lab, 1, "max", SHORT_ROUNDS)
        }),
        Scenario::alone("qemu.memory.user_tables_four_cores", |lab| {
            user_tables(lab, 4, "max", ROUNDS_OF_FOUR)
        }),
        Scenario::long("qemu.memory.user_tables_four_cores_long", |lab| {
            user_tables(lab, 4, "max", LONG_ROUNDS_OF_FOUR)
        }),
    ]
}

/// Every core changes a page while every core reads all of them.
fn user_tables(lab: &Lab, cpus: u32, cpu: &str, rounds: u32) -> Verdict {
    let mut machine = lab.machine(&format!("selftest=user_tables:{rounds}"));
    machine.cpus = cpus;
    machine.cpu = cpu.into();
    self_test_on(&machine, "user_tables")
}
