//! Speed: from QEMU's start to the prompt, and that the probes inside give figures.

use crate::lab::{Lab, MANAGER};
use crate::scenario::{Scenario, Verdict};
use crate::session::Prompt;
use std::time::Duration;
use xtask::bench::guest::{self, Mode};

/// From QEMU's start to the serial prompt on an idle machine of two processors.
const BOOT_GOAL: Duration = Duration::from_secs(1);
/// Others use the machine too, but hardly at each of these attempts.
const ATTEMPTS: u32 = 5;
/// Probes every kernel must have.
const PROBES: [&str; 3] = ["exec.wake.same", "exec.yield", "exec.irq_to_task"];

pub fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::alone("qemu.speed.boot", boot),
        Scenario::alone("qemu.speed.probes_icount", |lab| {
            probes(lab).map(|(_, note)| note)
        }),
        Scenario::long("qemu.speed.probes_repeat", |lab| {
            let ((first, _), (second, note)) = (probes(lab)?, probes(lab)?);
            if first == second {
                return Ok(note);
            }
            Err(format!("counted instructions should repeat:\n{first}\n{second}").into())
        }),
    ]
}

/// On a busy host the clock is unfair; then the time QEMU computed must be within the goal.
fn boot(lab: &Lab) -> Verdict {
    let mut seen = Vec::new();
    for _ in 0..ATTEMPTS {
        let prompt = Prompt::boot(&lab.machine(""))?;
        let computed = prompt.vm.cpu_time()?;
        seen.push(format!(
            "{} ms ({} ms of CPU)",
            prompt.boot.as_millis(),
            computed.as_millis()
        ));
        if prompt.boot < BOOT_GOAL || computed < BOOT_GOAL {
            drop(prompt);
            let full = Prompt::boot(&lab.machine(MANAGER))?;
            seen.push(format!(
                "{} ms with the shell in ring 3",
                full.boot.as_millis()
            ));
            return Ok(format!("QEMU's start to prompt: {}", seen.join(", ")));
        }
    }
    Err(format!(
        "from QEMU's start to the prompt, goal {BOOT_GOAL:?}: {}",
        seen.join(", ")
    )
    .into())
}

/// Runs the probes; gives the table of medians and a short form of it.
fn probes(lab: &Lab) -> Result<(String, String), Box<dyn std::error::Error>> {
    let machine = Mode::Icount.machine(lab.kernel(), "all", "");
    let results = guest::run(&machine, Duration::from_secs(300))?;
    let mut medians = Vec::new();
    for probe in PROBES {
        let metric = results
            .metric(probe)
            .ok_or_else(|| format!("no {probe} in\n{}", results.table()))?;
        let (samples, median) = (
            metric["n"].as_u64().unwrap_or(0),
            metric["p50"].as_u64().unwrap_or(0),
        );
        // A probe that measures nothing gives 0; one that waits for a timer gives millions.
        if samples < 100 || !(1..100_000).contains(&median) {
            return Err(format!("implausible figures: {metric}").into());
        }
        medians.push(format!("{probe} {median}"));
    }
    let note = format!("median instructions: {}", medians.join(", "));
    Ok((results.table(), note))
}
