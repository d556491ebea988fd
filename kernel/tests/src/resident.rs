//! Servers that fail in every way there is, in the kernel and in ring 3: nobody else notices more than a delay, and nothing is left
//! of them. The unit `trial-…` is the judge; see `servers/echo/program`.

use crate::lab::Lab;
use crate::scenario::{Scenario, Verdict};
use crate::session::{KERNEL_BOOT_LIMIT, NEW_PROMPT};
use std::time::Duration;
use xtask::qemu::Vm;

/// 21 deaths in a row on a busy host.
const TRIAL_LIMIT: Duration = Duration::from_secs(180);
/// Trials in a row of the long scenarios.
const MANY_TRIALS: u32 = 10;

/// This module's scenarios.
pub fn scenarios() -> Vec<Scenario> {
    let mut scenarios = Vec::new();
    for placement in [Placement::Isolated, Placement::Resident] {
        let name = placement.name();
        scenarios.push(Scenario::alone(
            format!("qemu.resident.deaths_{name}"),
            move |lab| trials(lab, placement, 1),
        ));
        scenarios.push(Scenario::long(
            format!("qemu.resident.deaths_{name}_long"),
            move |lab| trials(lab, placement, MANY_TRIALS),
        ));
    }
    scenarios
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Placement {
    Isolated,
    Resident,
}

impl Placement {
    const fn name(self) -> &'static str {
        match self {
            Self::Isolated => "isolated",
            Self::Resident => "resident",
        }
    }

    /// The server's unit, which is called like the service.
    const fn server(self) -> &'static str {
        match self {
            Self::Isolated => "echo-isolated",
            Self::Resident => "echo-resident",
        }
    }
}

/// What the trial that ends next has found.
fn verdict(vm: &mut Vm, placement: Placement) -> Verdict {
    let unit = format!("manager: trial-{} ", placement.name());
    let end = vm.serial.wait_line(&unit, TRIAL_LIMIT)?;
    let said = String::from_utf8_lossy(&vm.serial.transcript()).into_owned();
    let server = format!("{}: ", placement.server());
    let figures = said
        .lines()
        .rfind(|line| line.contains(" deaths, "))
        .and_then(|line| line.split_once(&server));
    match figures {
        Some((_, figures)) if end.trim_end().ends_with("code 0") => Ok(figures.trim().into()),
        _ => Err(format!("{end}\n{}", vm.serial.tail()).into()),
    }
}

/// The server dies over and over while others call it.
fn trials(lab: &Lab, placement: Placement, count: u32) -> Verdict {
    let (name, server) = (placement.name(), placement.server());
    let mut machine = lab.machine(&format!("init=\"servers/manager {server} trial-{name}\""));
    machine.cpus = 2;
    let mut vm = machine.spawn()?;
    vm.serial.wait_for(NEW_PROMPT, KERNEL_BOOT_LIMIT)?;
    let mut last = String::new();
    for _ in 0..count {
        last = verdict(&mut vm, placement)?;
    }
    let said = String::from_utf8_lossy(&vm.serial.transcript()).into_owned();
    let at_callers = said
        .matches("fails over a call in its caller's poll")
        .count();
    match placement {
        Placement::Isolated => Ok(last),
        Placement::Resident if at_callers == 0 => {
            Err("no call was answered where it was made".into())
        }
        Placement::Resident => Ok(format!("{last}; {at_callers} died in a caller's poll")),
    }
}
