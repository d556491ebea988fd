//! Shells and console as processes: what a person does there, and what happens when one of them dies.

use crate::json;
use crate::lab::{Lab, MANAGER};
use crate::scenario::{Check, Scenario, Verdict};
use crate::screen::{keep, type_text, wait_for_text};
use crate::session::{COMMAND_LIMIT, KERNEL_BOOT_LIMIT, NEW_PROMPT, PROMPT, Prompt, Session};
use serde_json::Value;
use std::error::Error;
use std::time::{Duration, Instant};

/// How often each of them is killed.
const KILLS: u32 = 20;
/// The shells and the console.
const UNITS: [&str; 3] = ["console", "shell-screen", "shell-serial"];

/// This module's scenarios.
pub fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::shared(
            |lab| Ok(lab.script_machine(MANAGER)),
            vec![
                Check::new("qemu.terminal.ps", ps),
                Check::new("qemu.terminal.caps", caps),
                Check::new("qemu.terminal.run", run),
                Check::new("qemu.terminal.svc", svc),
                Check::new("qemu.terminal.kill", kill),
            ],
        ),
        Scenario::alone("qemu.terminal.prompt", prompt),
        Scenario::alone("qemu.terminal.screen", screen),
        Scenario::alone("qemu.terminal.panic", panic),
        Scenario::alone("qemu.terminal.deaths", deaths),
    ]
}

fn has<'a>(rows: &'a [Value], field: &str, value: &str) -> Option<&'a Value> {
    rows.iter().find(|row| row[field] == value)
}

/// The process that a unit runs as.
fn process_of(session: &mut Session, unit: &str) -> Result<u64, Box<dyn Error>> {
    Ok(json::count(&session.unit(unit)?, "process")?)
}

/// Processes and tasks are in one listing, told apart.
fn ps(session: &mut Session) -> Verdict {
    let rows = session.rows("ps --json")?;
    let processes: Vec<&Value> = rows.iter().filter(|row| row["kind"] == "process").collect();
    for name in ["manager", "console", "shell-screen", "shell-serial"] {
        let row = processes.iter().find(|row| row["name"] == name);
        let row = row.ok_or_else(|| format!("no process {name}: {rows:?}"))?;
        if row["state"] != "running" || json::count(row, "memory_bytes")? == 0 {
            return Err(format!("it should run and have memory: {row}").into());
        }
    }
    let tasks = rows.iter().filter(|row| row["kind"] == "task").count();
    if tasks < processes.len() {
        return Err(format!("{tasks} tasks for {} processes", processes.len()).into());
    }
    Ok(format!("{} processes, {tasks} tasks", processes.len()))
}

/// What the shell holds: its terminal, which cannot be duplicated, and the system.
fn caps(session: &mut Session) -> Verdict {
    let shell = process_of(session, "shell-serial")?;
    let rows = session.rows(&format!("caps {shell} --json"))?;
    has(&rows, "type", "system").ok_or_else(|| format!("no system: {rows:?}"))?;
    let only_one = rows.iter().any(|row| {
        row["type"] == "channel"
            && row["rights"]
                .as_array()
                .is_some_and(|rights| !rights.iter().any(|right| right == "DUPLICATE"))
    });
    if !only_one {
        return Err(format!("its terminal can be duplicated: {rows:?}").into());
    }
    session.refused("caps 999999")?;
    Ok(format!("{} handles", rows.len()))
}

/// A program's output, its exit code, and how it ended.
fn run(session: &mut Session) -> Verdict {
    let reply = session.run("run hello 7 \"two words\"")?;
    if reply.status != 7 || !reply.output.contains("argument 2: two words\n") {
        return Err(format!("`run hello` gave {reply:?}").into());
    }
    let reply = session.run("run crash null")?;
    if reply.status != 134 || !reply.output.contains("the program crashed") {
        return Err(format!("`run crash null` gave {reply:?}").into());
    }
    session.refused("run nothere")?;
    Ok(String::new())
}

/// Units are listed, stopped, started, and their state is what was asked for.
fn svc(session: &mut Session) -> Verdict {
    let rows = session.rows("svc list --json")?;
    for name in UNITS {
        let row = has(&rows, "unit", name).ok_or_else(|| format!("no {name}: {rows:?}"))?;
        if row["state"] != "ready" {
            return Err(format!("it should be ready: {row}").into());
        }
    }
    let state = |session: &mut Session| -> Result<Value, Box<dyn Error>> {
        Ok(session.object("svc status console --json")?["state"].clone())
    };
    for (command, wanted) in [
        ("svc stop console", "stopped"),
        ("svc start console", "ready"),
        ("svc restart console", "ready"),
        ("svc disable console", "stopped"),
        ("svc enable console", "ready"),
    ] {
        session.ok(command)?;
        let state = state(session)?;
        if state != wanted {
            return Err(format!("after `{command}` it is {state}").into());
        }
        if command == "svc disable console" {
            session.refused("svc restart console")?;
        }
    }
    session.ok("svc logs console")?;
    session.refused("svc status nothere")?;
    Ok(format!("{} units", rows.len()))
}

/// A unit's process that is killed comes again, and so does the manager; any other ends with the exit code that was given.
fn kill(session: &mut Session) -> Verdict {
    let before = process_of(session, "console")?;
    session.ok(&format!("kill {before}"))?;
    session.ok("svc start console")?;
    let after = process_of(session, "console")?;
    if after == before {
        return Err(format!("it is process {after} still").into());
    }
    session.refused("kill 999999")?;
    session.refused("kill nobody")?;
    let manager = |session: &mut Session| -> Result<u64, Box<dyn Error>> {
        let rows = session.rows("ps --json")?;
        let row = rows
            .iter()
            .find(|row| row["name"] == "manager" && row["state"] == "running");
        Ok(json::count(
            row.ok_or_else(|| format!("no manager: {rows:?}"))?,
            "process",
        )?)
    };
    let first = manager(session)?;
    // It answers, and dies; who asks next is answered by the next one.
    session.run(&format!("kill {first} 5"))?;
    session.ok("svc status console")?;
    let next = manager(session)?;
    if next == first || process_of(session, "console")? != after {
        return Err(format!("manager {first}, then {next}; the console should run on").into());
    }
    Ok(String::new())
}

/// At the prompt: Ctrl-C, a burst, bytes that mean nothing, names completed.
fn prompt(lab: &Lab) -> Verdict {
    let mut prompt = Prompt::boot(&lab.machine(MANAGER))?;
    for command in ["sleep 1000", "run spin", "dmesg --follow"] {
        prompt.vm.serial.send(format!("{command}\r"))?;
        prompt.vm.serial.wait_for(command, COMMAND_LIMIT)?;
        prompt.vm.serial.wait_for("\n", COMMAND_LIMIT)?;
        prompt.vm.serial.send("\x03")?;
        prompt.vm.serial.wait_for(NEW_PROMPT, COMMAND_LIMIT)?;
        let text = prompt.type_line("echo status $?")?;
        if !text.contains("\nstatus 130") {
            return Err(format!("`{command}` and Ctrl-C: {text:?}").into());
        }
    }
    // Sequences without an end, with endless numbers, for a terminal's most obscure powers; bytes that are no text.
    let mut nonsense: Vec<u8> = Vec::new();
    for round in 0..20u8 {
        nonsense
            .extend(b"\x1b[99999999999;9999999999H\x1b]0;title\x1b[?1049h\x1bP$q\x18\x9b\xff\xfe");
        nonsense.extend([round, 0x80 | round, 0x1b, b'[']);
    }
    nonsense.retain(|byte| !matches!(byte, b'\r' | b'\n'));
    nonsense.extend(b"\x03");
    prompt.vm.serial.send(&nonsense)?;
    prompt.vm.serial.send("\recho answer $?\r")?;
    prompt.vm.serial.wait_for("\nanswer 130", COMMAND_LIMIT)?;
    prompt.vm.serial.wait_for(NEW_PROMPT, COMMAND_LIMIT)?;
    prompt.vm.serial.send("svc status shell-se\t")?;
    prompt.vm.serial.wait_for("shell-serial", COMMAND_LIMIT)?;
    let text = prompt.type_line("")?;
    if !text.contains("ready") {
        return Err(format!("the unit's name was not completed: {text:?}").into());
    }
    // From a key to its echo: each wakes everything on its way.
    let mut echoes: Vec<Duration> = Vec::new();
    for key in ["h", "e", "l", "p", " ", "e", "c", "h", "o"] {
        let sent = Instant::now();
        prompt.vm.serial.send(key)?;
        prompt.vm.serial.wait_for(key, COMMAND_LIMIT)?;
        echoes.push(sent.elapsed());
    }
    echoes.sort();
    let median = echoes.get(echoes.len() / 2).copied().unwrap_or_default();
    Ok(format!(
        "{}; echo after {} us",
        prompt.boot_note(),
        median.as_micros()
    ))
}

/// Keys reach the screen's shell and its answer the pixels, all of it in ring 3.
fn screen(lab: &Lab) -> Verdict {
    let mut vm = lab.machine(MANAGER).spawn()?;
    vm.serial.wait_for(NEW_PROMPT, KERNEL_BOOT_LIMIT)?;
    wait_for_text(&mut vm, |lines| {
        lines.iter().any(|line| line == PROMPT.trim())
    })?;
    // At most seven keys at once are what the emulated controller holds.
    for part in ["svc ", "list", "\n"] {
        type_text(&mut vm, part)?;
    }
    let lines = wait_for_text(&mut vm, |lines| {
        lines.iter().any(|line| line.starts_with("shell-serial"))
            && lines
                .iter()
                .filter(|line| line.starts_with(PROMPT.trim()))
                .count()
                >= 2
    })?;
    // The kernel's own start is there, too.
    if !lines.iter().any(|line| line.contains("boot: services")) {
        return Err(format!(
            "the log of the boot is not on the screen:\n{}",
            lines.join("\n")
        )
        .into());
    }
    let kept = lab.keepsakes()?.join("ring3.png");
    keep(&mut vm, &kept)?;
    Ok(format!("{}", kept.display()))
}

/// A panic's report takes the screen back.
fn panic(lab: &Lab) -> Verdict {
    let mut vm = lab.plain_machine("").spawn()?;
    vm.serial.wait_for(NEW_PROMPT, KERNEL_BOOT_LIMIT)?;
    wait_for_text(&mut vm, |lines| {
        lines.iter().any(|line| line == PROMPT.trim())
    })?;
    vm.serial.send("panic --yes seen by all\r")?;
    let report = vm.serial.wait_panic(COMMAND_LIMIT)?;
    if !report.contains("seen by all") {
        return Err(format!("the report does not give the reason:\n{report}").into());
    }
    wait_for_text(&mut vm, |lines| {
        lines.first().is_some_and(|line| line.is_empty())
            && lines
                .iter()
                .any(|line| line.contains("RAEDE PANIC") && line.contains("seen by all"))
    })?;
    Ok(String::new())
}

/// Shell and console are killed again and again: the prompt comes back, the screen shows what it showed.
fn deaths(lab: &Lab) -> Verdict {
    let mut prompt = Prompt::boot(&lab.machine(MANAGER))?;
    let mut slowest = Duration::ZERO;
    for round in 0..KILLS {
        let killed = Instant::now();
        // It dies over its own request; what comes next is the next one's prompt.
        prompt.vm.serial.send("svc kill shell-serial\r")?;
        prompt
            .vm
            .serial
            .wait_for("ended with exit code -1", COMMAND_LIMIT)?;
        prompt.vm.serial.wait_for(PROMPT, COMMAND_LIMIT)?;
        slowest = slowest.max(killed.elapsed());
        prompt.vm.serial.send(format!("echo alive {round}\r"))?;
        prompt
            .vm
            .serial
            .wait_for(&format!("\nalive {round}\r"), COMMAND_LIMIT)?;
        prompt.vm.serial.wait_for(NEW_PROMPT, COMMAND_LIMIT)?;
    }
    wait_for_text(&mut prompt.vm, |lines| {
        lines.iter().any(|line| line == PROMPT.trim())
    })?;
    type_text(&mut prompt.vm, "echo x\n")?;
    wait_for_text(&mut prompt.vm, |lines| lines.iter().any(|line| line == "x"))?;
    for _ in 0..KILLS {
        prompt.type_line("svc kill console")?;
    }
    prompt.type_line("svc start console")?;
    wait_for_text(&mut prompt.vm, |lines| {
        lines.iter().any(|line| line == "x") && lines.iter().any(|line| line == PROMPT.trim())
    })?;
    for unit in ["shell-serial", "console"] {
        prompt
            .vm
            .serial
            .send(format!("svc status {unit} --json\r"))?;
        let line = prompt.vm.serial.wait_line("\"restarts\":", COMMAND_LIMIT)?;
        let row: Value = serde_json::from_str(line.trim())?;
        if row["state"] != "ready" || json::count(&row, "generation")? <= u64::from(KILLS) {
            return Err(format!("after {KILLS} kills: {row}").into());
        }
    }
    Ok(format!(
        "from `svc kill` to the next prompt at most {} ms",
        slowest.as_millis()
    ))
}
