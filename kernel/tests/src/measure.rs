//! Speed: from QEMU's start to the prompt, and that the probes inside give figures.

use crate::lab::{Firmware, Lab, MANAGER};
use crate::no_trace;
use crate::scenario::{Scenario, Verdict};
use crate::screen::{self, wait_for_text};
use crate::session::Prompt;
use std::thread;
use std::time::{Duration, Instant};
use xtask::bench::guest::{self, Mode};
use xtask::bench::{Results, gate, ring_of};
use xtask::build;
use xtask::qemu::{Media, Ports};

/// From QEMU's start to the serial prompt on an idle machine of two processors.
const BOOT_GOAL: Duration = Duration::from_secs(1);
/// Others use the machine too, but hardly at each of these attempts.
const ATTEMPTS: u32 = 5;
/// GRUB is there sooner, on any host that is not much slower than a person.
const MENU_LIMIT: Duration = Duration::from_secs(8);
const BETWEEN_KEYS: Duration = Duration::from_millis(200);
/// All probes have been run and told by then.
const TABLE_LIMIT: Duration = Duration::from_secs(600);
/// How long each periodic probe lasts, in the machine's time.
const SECONDS: u64 = 2;
/// For one boot of a measuring machine.
const LIMIT: Duration = Duration::from_secs(600);
/// Probes every kernel must have.
const PROBES: [&str; 3] = ["exec.wake.same", "exec.yield", "exec.irq_to_task"];

pub fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::alone("qemu.speed.boot", boot),
        Scenario::alone("qemu.speed.gates", gates),
        Scenario::long("qemu.speed.boot_entry", boot_entry),
        Scenario::alone("qemu.speed.protocol", protocol),
        Scenario::long("qemu.speed.gates_notice", gates_notice),
        Scenario::long("qemu.speed.delays_leave_no_trace", |_| no_trace::scenario()),
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

/// The figures that are counted in instructions, as `bench/goals.toml` wants them.
fn gates(lab: &Lab) -> Verdict {
    let results = guest::counted(lab.kernel(), "all", SECONDS, "", LIMIT)?;
    for probe in PROBES {
        plausible(&results, probe)?;
    }
    let (mut met, mut held, mut closed) = (0, 0, Vec::new());
    for gate in gate::gates(Mode::Icount.name(), &[])? {
        // What the host drives takes longer: `scripts/bench --gate` judges it.
        if is_driven(&gate.metric) {
            continue;
        }
        match gate.judge(&[(&results, &[])]) {
            gate::Verdict::Met(_) => met += 1,
            verdict if verdict.passes() => held += 1,
            verdict => closed.push(gate.tell(&verdict)),
        }
    }
    if closed.is_empty() {
        return Ok(format!("{met} goals met, {held} no worse than they were"));
    }
    Err(closed.join("\n").into())
}

/// Whether the host takes part in measuring it.
fn is_driven(metric: &str) -> bool {
    metric.starts_with("input.")
}

/// The image's entry "latency bench", chosen by keys: the table is on the screen and on the first serial port.
fn boot_entry(lab: &Lab) -> Verdict {
    let machine = lab.image_machine(Firmware::Bios, Media::Cd, "")?;
    let mut vm = machine.spawn()?;
    // Any key stops the menu's clock, and the last entry stays the last; keys before GRUB is there wait for it.
    let chosen = Instant::now() + MENU_LIMIT;
    while Instant::now() < chosen {
        vm.qmp.type_keys(["down"])?;
        thread::sleep(BETWEEN_KEYS);
    }
    vm.qmp.type_keys(["ret"])?;
    let end = "latency bench: done";
    vm.serial.wait_for("latency bench ", TABLE_LIMIT)?;
    let table = vm.serial.wait_for(end, TABLE_LIMIT)?;
    let rows = [
        "syscall.null",
        "wake.futex.same",
        "timer1k.load",
        "thread.10k.bytes_each",
    ];
    if let Some(row) = rows.iter().find(|row| !table.contains(**row)) {
        return Err(format!("no {row} in the table on the serial port:\n{table}").into());
    }
    wait_for_text(&mut vm, |lines| {
        let shows = |text: &str| lines.iter().any(|line| line.contains(text));
        shows(end) && shows("timer1k.load") && shows("thread.10k.bytes_each")
    })?;
    let kept = lab.keepsakes()?.join("bench.png");
    screen::keep(&mut vm, &kept)?;
    Ok(kept.display().to_string())
}

/// Another harness starts the kernel with nothing but words of the protocol.
fn protocol(lab: &Lab) -> Verdict {
    let machine = lab.plain_machine("bench.phases=none bench.timer_idle=2");
    let mut vm = machine.spawn_with(Ports::MEASURING)?;
    let debug = vm.debug_console.as_mut().ok_or("no debug console")?;
    debug.wait_for("U", TABLE_LIMIT)?;
    let com2 = vm.com2.as_mut().ok_or("no COM2")?;
    let said = com2.wait_for("{\"event\":\"done\"}", TABLE_LIMIT)?;
    let first = said.lines().next().unwrap_or_default();
    if !first.contains("\"event\":\"meta\"") || !first.contains("\"cpus\":2") {
        return Err(format!("not who is measured: {first}").into());
    }
    for metric in ["boot.tsc_at_user", "mem.total_minus_available"] {
        if !said.contains(metric) {
            return Err(format!("no {metric}: {said}").into());
        }
    }
    Ok(String::new())
}

/// Each gate, with a delay on purpose in its metric's path: it closes.
fn gates_notice(_: &Lab) -> Verdict {
    let kernel = build::injecting_kernel()?;
    let (mut silent, mut noticed) = (Vec::new(), 0);
    let delayed = gate::gates(Mode::Icount.name(), &[])?
        .into_iter()
        .filter(|gate| inject::point_of(&gate.metric).is_some());
    for gate in delayed {
        // Beyond the goal and beyond what is tolerated.
        let amount = (gate.goal.max(gate.stored) * 2.0) as u64;
        let word = format!("{}:{amount}", gate.metric);
        let (mode, append) = (Mode::Icount, format!("inject={word}"));
        let results = if is_driven(&gate.metric) {
            guest::keyboards(mode, &kernel, &append, LIMIT)?
        } else if ring_of(&gate.metric) == 0 {
            guest::run(&mode.machine(&kernel, "all", &append), LIMIT)?
        } else {
            let arguments = format!("{} {word}", gate.metric);
            let machine = mode.ring3_machine(&kernel, SECONDS, &arguments, &append);
            guest::run(&machine, LIMIT)?
        };
        match gate.judge(&[(&results, &[])]) {
            gate::Verdict::Worse(_) => noticed += 1,
            verdict => silent.push(format!("inject={word}: {}", gate.tell(&verdict))),
        }
    }
    if silent.is_empty() {
        return Ok(format!("{noticed} gates notice a delay"));
    }
    Err(silent.join("\n").into())
}

/// Runs the probes; gives the table of medians and a short form of it.
fn probes(lab: &Lab) -> Result<(String, String), Box<dyn std::error::Error>> {
    let machine = Mode::Icount.machine(lab.kernel(), "all", "");
    let results = guest::run(&machine, LIMIT)?;
    let mut medians = Vec::new();
    for probe in PROBES {
        medians.push(format!("{probe} {}", plausible(&results, probe)?));
    }
    let note = format!("median instructions: {}", medians.join(", "));
    Ok((results.table(&[]), note))
}

/// The median of a metric that cannot be wrong by much.
fn plausible(results: &Results, probe: &str) -> Result<u64, Box<dyn std::error::Error>> {
    let metric = results
        .metric(probe)
        .ok_or_else(|| format!("no {probe} in\n{}", results.table(&[])))?;
    let (samples, median) = (
        metric["n"].as_u64().unwrap_or(0),
        metric["p50"].as_u64().unwrap_or(0),
    );
    // A probe that measures nothing gives 0; one that waits for a timer gives millions.
    if samples < 100 || !(1..100_000).contains(&median) {
        let figures = [&metric["n"], &metric["p50"]];
        return Err(format!("implausible figures of {probe}: {figures:?}").into());
    }
    Ok(median)
}
