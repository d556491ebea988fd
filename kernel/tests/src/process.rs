//! Processes: the first one, the manager, programs that attack the kernel, random system calls, what calls cost.

use crate::lab::Lab;
use crate::scenario::{Scenario, Verdict};
use crate::session::{COMMAND_LIMIT, KERNEL_BOOT_LIMIT, NEW_PROMPT, Prompt};
use std::time::Duration;
use xtask::qemu::Machine;

/// Two hundred processes, each started, attacked from and cleared away, on a busy host.
const SUITE_LIMIT: Duration = Duration::from_secs(300);
/// A million system calls on a busy host.
const FUZZ_LIMIT: Duration = Duration::from_secs(1200);
/// Random system calls of one seed, and the seeds of a long test beside the suite's.
const FUZZ_CALLS: u32 = 1_000_000;
const LONG_FUZZ_SEEDS: u32 = 9;

/// This module's scenarios.
pub fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::alone("qemu.process.first", first),
        Scenario::alone("qemu.process.manager", manager),
        Scenario::alone("qemu.process.crash", crash),
        Scenario::alone("qemu.process.missing", missing),
        Scenario::alone("qemu.process.hostile", hostile),
        Scenario::alone("qemu.process.hostile_old_cpu", hostile_old_cpu),
        Scenario::alone("qemu.process.driven", driven),
        Scenario::alone("qemu.process.driven_old_cpu", driven_old_cpu),
        Scenario::alone("qemu.process.driven_resident", driven_resident),
        Scenario::alone("qemu.process.crowd", |lab| {
            figures(lab, "programs/crowd 1000", " processes run:")
        }),
        Scenario::alone("qemu.process.deadlines", deadlines),
        Scenario::alone("qemu.process.devices", devices),
        Scenario::alone("qemu.process.ring", |lab| {
            figures(lab, "programs/ring 100000", "ring to core")
        }),
        Scenario::alone("qemu.process.threads", |lab| {
            figures(lab, "programs/many 10000", " threads sleep:")
        }),
        Scenario::alone("qemu.process.fuzz", fuzz),
        Scenario::long("qemu.process.fuzz_long", fuzz_long),
        Scenario::alone("qemu.process.probes_icount", probes),
        Scenario::alone("qemu.process.cross_core", cross_core),
    ]
}

/// Boots with `program` as the first process and waits for its end: its exit code, and all that was said.
fn run(
    machine: &Machine,
    program: &str,
    limit: Duration,
) -> Result<(i64, String), Box<dyn std::error::Error>> {
    let mut prompt = Prompt::boot(machine)?;
    let name = program.split(' ').next().unwrap_or(program);
    prompt.vm.serial.wait_for(
        &format!("{name} has ended with "),
        limit.max(KERNEL_BOOT_LIMIT),
    )?;
    let code = prompt.vm.serial.wait_for("\n", COMMAND_LIMIT)?;
    let said = String::from_utf8_lossy(&prompt.vm.serial.transcript()).into_owned();
    let code = code.trim().trim_end_matches("\u{1b}[0m").trim();
    let code = code
        .parse()
        .map_err(|_| format!("no exit code in {code:?}"))?;
    Ok((code, said))
}

fn machine(lab: &Lab, program: &str) -> Machine {
    lab.machine(&format!("init=\"{program}\""))
}

/// Lines of `said` with `part` in them.
fn lines<'a>(said: &'a str, part: &'a str) -> impl Iterator<Item = &'a str> {
    said.lines()
        .filter(move |line| line.contains(part))
        .map(str::trim)
}

/// A program is loaded, sees its arguments, logs, and its exit code arrives.
fn first(lab: &Lab) -> Verdict {
    let program = "programs/hello 7 abc";
    let (code, said) = run(&machine(lab, program), program, KERNEL_BOOT_LIMIT)?;
    if code == 7 && said.contains("argument 2: abc") {
        Ok("exit code and arguments".into())
    } else {
        Err(format!("exit code {code}:\n{said}").into())
    }
}

/// Where nothing else is asked for, the manager is the first process, and finds its units.
fn manager(lab: &Lab) -> Verdict {
    let mut vm = machine(lab, "servers/manager").spawn()?;
    let line = vm.serial.wait_line("manager: ", KERNEL_BOOT_LIMIT)?;
    vm.serial.wait_for(NEW_PROMPT, KERNEL_BOOT_LIMIT)?;
    Ok(line
        .rsplit("manager: ")
        .next()
        .unwrap_or(&line)
        .trim()
        .into())
}

/// A null pointer ends the process, with a report that names it, and nothing else.
fn crash(lab: &Lab) -> Verdict {
    let program = "programs/crash null";
    let (code, said) = run(&machine(lab, program), program, KERNEL_BOOT_LIMIT)?;
    let report = lines(&said, "crashed at").next();
    match report {
        Some(report) if code == -2 && report.contains("tried to read 0x0") => {
            Ok("reported, exit code -2".into())
        }
        _ => Err(format!("exit code {code}, report {report:?}:\n{said}").into()),
    }
}

/// A first process that is not there is said so, and the kernel's own shell answers.
fn missing(lab: &Lab) -> Verdict {
    let mut vm = machine(lab, "programs/nothing").spawn()?;
    vm.serial.wait_for(
        "programs/nothing cannot be started: the archive has no such program",
        KERNEL_BOOT_LIMIT,
    )?;
    vm.serial.wait_for(NEW_PROMPT, KERNEL_BOOT_LIMIT)?;
    vm.serial.send("echo still $?\r")?;
    vm.serial.wait_for("\nstill 0", COMMAND_LIMIT)?;
    Ok("said so, and the shell answers".into())
}

fn attacks(machine: &Machine) -> Verdict {
    let (code, said) = run(machine, "programs/hostile suite", SUITE_LIMIT)?;
    let failed: Vec<_> = lines(&said, "ERROR").collect();
    let summary = lines(&said, " attacks, ").next().unwrap_or("no summary");
    if code == 0 {
        let summary = summary.rsplit("suite: ").next().unwrap_or(summary);
        Ok(summary.to_string())
    } else {
        Err(format!("{summary}\n{}", failed.join("\n")).into())
    }
}

/// Every attack ends with the documented error, or ends its own process alone.
fn hostile(lab: &Lab) -> Verdict {
    attacks(&machine(lab, "programs/hostile suite"))
}

/// The same on a CPU without SMEP, SMAP, UMIP and XSAVE.
fn hostile_old_cpu(lab: &Lab) -> Verdict {
    let mut machine = machine(lab, "programs/hostile suite");
    machine.cpu = "qemu64".into();
    attacks(&machine)
}

fn foreign(machine: &Machine, program: &str) -> Verdict {
    let (code, said) = run(machine, program, SUITE_LIMIT)?;
    // What the program wrote, each line under the number of its process: the parent's first and last, and the child's.
    let wrote = [
        "foreign 1: hello from a foreign program",
        "foreign 2: the copy is its own",
        "foreign 1: all of it held",
    ];
    let missing: Vec<_> = wrote.iter().filter(|text| !said.contains(*text)).collect();
    let checks = lines(&said, ": as it should be").count();
    if code == 0 && missing.is_empty() {
        Ok(format!("{checks} checks"))
    } else {
        Err(format!("exit code {code}, not written: {missing:?}\n{said}").into())
    }
}

/// A program of another system's interface is driven by a server: its calls, a fork, its exceptions, and loops that never end.
fn driven(lab: &Lab) -> Verdict {
    let program = "programs/foreign-driver";
    foreign(&machine(lab, program), program)
}

/// The same with the driver in the kernel.
fn driven_resident(lab: &Lab) -> Verdict {
    let program = "programs/foreign-driver resident";
    foreign(&machine(lab, program), program)
}

/// The same where driver, program and whoever kicks it share one core, and vector state is saved by FXSAVE.
fn driven_old_cpu(lab: &Lab) -> Verdict {
    let program = "programs/foreign-driver";
    let mut machine = machine(lab, program);
    machine.cpu = "qemu64".into();
    machine.cpus = 1;
    foreign(&machine, program)
}

fn random_calls(lab: &Lab, seed: u32, calls: u32, limit: Duration) -> Verdict {
    let program = format!("programs/fuzz {seed} {calls}");
    let (code, said) = run(&machine(lab, &program), &program, limit)?;
    if code == 0 {
        let summary = lines(&said, "objects made").next().unwrap_or("no summary");
        let summary = summary.rsplit("fuzz: ").next().unwrap_or(summary);
        Ok(summary.to_string())
    } else {
        Err(format!("exit code {code}:\n{said}").into())
    }
}

/// Random system calls change nothing for anybody else and leave nothing behind.
fn fuzz(lab: &Lab) -> Verdict {
    random_calls(lab, 1, FUZZ_CALLS, FUZZ_LIMIT)
}

/// The same with other seeds.
fn fuzz_long(lab: &Lab) -> Verdict {
    let mut summaries = Vec::new();
    for seed in 2..2 + LONG_FUZZ_SEEDS {
        summaries.push(random_calls(lab, seed, FUZZ_CALLS, FUZZ_LIMIT)?);
    }
    Ok(summaries.join("; "))
}

/// Many processes or threads at the same time: what each costs, and nothing is left of them.
fn figures(lab: &Lab, program: &str, mark: &str) -> Verdict {
    let (code, said) = run(&machine(lab, program), program, SUITE_LIMIT)?;
    match lines(&said, mark).next() {
        Some(line) if code == 0 => {
            let name = program.trim_start_matches("programs/");
            let name = name.split(' ').next().unwrap_or(name);
            let mark = format!("{name}: ");
            Ok(line.rsplit(mark.as_str()).next().unwrap_or(line).into())
        }
        _ => Err(format!("exit code {code}:\n{said}").into()),
    }
}

/// Of two processes with reservations on one core the one goes first whose own earliest deadline says so.
fn deadlines(lab: &Lab) -> Verdict {
    let program = "programs/deadlines";
    let (code, said) = run(&machine(lab, program), program, SUITE_LIMIT)?;
    let rounds: Vec<_> = lines(&said, "quick came")
        .filter_map(|line| line.rsplit("quick came ").next())
        .collect();
    if code == 0 {
        Ok(rounds.join("; "))
    } else {
        Err(format!("exit code {code}:\n{said}").into())
    }
}

/// Devices driven from ring 3: ports, a line, registers, messages and DMA. When the driver is gone its device reaches memory no more.
fn devices(lab: &Lab) -> Verdict {
    /// The command register of the function at slot 16 of the first bus, in the q35 machine's window of configuration space.
    const COMMAND_AT: u64 = 0xb000_0000 + (16 << 15) + 4;
    const BUS_MASTER: u64 = 1 << 2;
    let mut machine = machine(lab, "programs/devices");
    machine.extra.extend(
        [
            "-device",
            "edu,addr=10,dma_mask=0xffffffff",
            "-serial",
            "null",
            "-debugcon",
            "null",
        ]
        .map(String::from),
    );
    let mut prompt = Prompt::boot(&machine)?;
    let line = prompt
        .vm
        .serial
        .wait_line("programs/devices has ended with", SUITE_LIMIT)?;
    if !line.contains("ended with 0") {
        let said = String::from_utf8_lossy(&prompt.vm.serial.transcript()).into_owned();
        return Err(said.into());
    }
    let shown = prompt.vm.qmp.monitor(&format!("xp /1hx {COMMAND_AT:#x}"))?;
    let command = shown
        .rsplit("0x")
        .next()
        .and_then(|word| u64::from_str_radix(word.trim(), 16).ok())
        .ok_or(format!("no command register in {shown:?}"))?;
    if command & BUS_MASTER != 0 {
        return Err(format!("the device may still reach memory: command {command:#x}").into());
    }
    Ok("ports, line, registers, messages, DMA, twice".into())
}

/// Calls and wakes from core to core, in wall time, beside what a loop sees that does nothing: the host's noise.
fn cross_core(lab: &Lab) -> Verdict {
    let program = "programs/probes";
    let mut machine = machine(lab, program);
    machine.cpus = 2;
    let (code, said) = run(&machine, program, SUITE_LIMIT)?;
    let per_us = said
        .lines()
        .find_map(|line| {
            let (before, _) = line.split_once(" ticks are a microsecond")?;
            before.split_whitespace().next_back()?.parse::<f64>().ok()
        })
        .filter(|ticks| *ticks > 0.0)
        .ok_or("no scale")?;
    let figures = |probe: &str| {
        let line = said
            .lines()
            .find(|line| line.contains(&format!("probe {probe} ")))
            .ok_or(format!("no probe {probe}:\n{said}"))?;
        let us = |word: &str| {
            let mut words = line.split_whitespace().skip_while(|found| *found != word);
            let ticks: f64 = words
                .nth(1)
                .and_then(|ticks| ticks.parse().ok())
                .unwrap_or(f64::NAN);
            ticks / per_us
        };
        Ok::<_, String>(format!(
            "{:.1}/{:.1}/{:.1}",
            us("p50"),
            us("p99"),
            us("p99.9")
        ))
    };
    let text = format!(
        "p50/p99/p99.9 in us: call and reply of two processes {}, of two threads {}, two wakes of two processes {}; nothing {}",
        figures("call_reply_process_other_core")?,
        figures("call_reply_thread_other_core")?,
        figures("two_wakes_process_other_core")?,
        figures("nothing")?,
    );
    if code == 0 {
        Ok(text)
    } else {
        Err(format!("exit code {code}\n{said}").into())
    }
}

/// The median of a probe's line, in instructions.
fn median(said: &str, probe: &str) -> Option<u64> {
    let name = format!("probe {probe} ");
    let line = lines(said, &name).next()?;
    let mut words = line.split_ascii_whitespace();
    words.find(|word| *word == "p50")?;
    words.next()?.parse().ok()
}

/// A call with its reply between processes.
const MOST_CALL: u64 = 900;
/// A wake of a thread by another; its goal is 900.
const MOST_WAKE: u64 = 1350;
/// Two switches between processes; their goal is 800.
const MOST_YIELDS: u64 = 1300;

/// A call of a contract, in words, that a resident server answers in its caller's system call: the goal.
const MOST_RESIDENT_CALL: u64 = 300;

/// What the gate costs, counted in instructions: the null system call, the clock read and calls of resident servers are within their
/// goals, calls between processes no further from theirs than they were.
fn probes(lab: &Lab) -> Verdict {
    let mut machine = machine(lab, "programs/probes");
    machine.icount = true;
    machine.cpus = 1;
    let (code, said) = run(&machine, "programs/probes", SUITE_LIMIT)?;
    let figure = |probe| median(&said, probe).ok_or(format!("no probe {probe}:\n{said}"));
    let null = figure("null_system_call")?;
    let clock = figure("clock_read")?;
    let call = figure("call_reply_process_same_core")?;
    let resident = figure("call_reply_resident_same_core")?;
    let started = figure("started_call_same_core")?;
    let wake = figure("wake_thread_same_core")?;
    let yields = figure("yield_two_processes")?;
    let foreign = figure("foreign_system_call")?;
    let foreign_resident = figure("foreign_system_call_resident")?;
    let text = format!(
        "instructions: null call {null}, clock {clock}, call and reply {call}, with a resident server {resident}, \
         started and waited for {started}, wake {wake}, two switches {yields}, foreign call {foreign}, with a resident driver {foreign_resident}"
    );
    let gate = null <= 80 && clock <= 40;
    let calls = call <= MOST_CALL && resident <= MOST_RESIDENT_CALL;
    let within = gate && calls && wake <= MOST_WAKE && yields <= MOST_YIELDS;
    if code == 0 && within {
        Ok(text)
    } else {
        Err(format!("{text}; exit code {code}\n{said}").into())
    }
}
