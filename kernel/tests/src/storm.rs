//! Servers and the manager, killed again and again while clients call them; and what manifests promise, kept by real units.

use crate::lab::Lab;
use crate::scenario::{Scenario, Verdict};
use crate::session::COMMAND_LIMIT;
use std::time::Duration;
use xtask::qemu::Machine;

/// Twenty kills of each on a busy host.
const LIMIT: Duration = Duration::from_secs(600);
/// Two hundred.
const LONG_LIMIT: Duration = Duration::from_secs(3600);

/// This module's scenarios.
pub fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::alone("qemu.storm.servers", servers),
        Scenario::alone("qemu.storm.deadlines_icount", deadlines),
        Scenario::alone("qemu.storm.manifests", manifests),
        Scenario::long("qemu.storm.long", long),
    ]
}

/// Boots with a unit for tests, and waits for its end: all that was said, if it ended well.
fn run(
    machine: &Machine,
    unit: &str,
    limit: Duration,
) -> Result<String, Box<dyn std::error::Error>> {
    let mut vm = machine.spawn()?;
    vm.serial
        .wait_for(&format!("{unit} 1: ended with exit code "), limit)?;
    let code = vm.serial.wait_for("\n", COMMAND_LIMIT)?;
    let said = String::from_utf8_lossy(&vm.serial.transcript()).into_owned();
    if code.trim_start().starts_with('0') {
        return Ok(said);
    }
    let about = |line: &&str| line.contains(unit) || line.contains("ERROR");
    let lines: Vec<&str> = said.lines().filter(about).collect();
    Err(format!("{unit} failed:\n{}", lines.join("\n")).into())
}

fn machine(lab: &Lab, unit: &str) -> Machine {
    lab.machine(&format!("init=\"servers/manager {unit}\" loglevel=info"))
}

/// What the unit said behind each of these words, on one line.
fn figures(said: &str, unit: &str, words: &[&str]) -> String {
    let own = format!("{unit}: ");
    let line = |word: &&str| {
        let line = said
            .lines()
            .filter_map(|line| line.split_once(&own))
            .map(|(_, text)| text.trim().trim_end_matches("\u{1b}[0m"))
            .find(|text| text.starts_with(word));
        line.unwrap_or("nothing").to_owned()
    };
    words.iter().map(line).collect::<Vec<_>>().join("; ")
}

const SAID: [&str; 9] = [
    "test.echo",
    "test.counter",
    "echo-isolated",
    "echo-resident",
    "shell-serial",
    "console",
    "manager",
    "metronome",
    "handles",
];

/// Clients of servers that are killed, and of a manager that is killed, see no error; nothing is left behind.
fn servers(lab: &Lab) -> Verdict {
    let said = run(&machine(lab, "test.storm"), "test.storm", LIMIT)?;
    Ok(figures(&said, "test.storm", &SAID))
}

/// The same, counted in instructions: a unit with a reservation misses no deadline meanwhile.
fn deadlines(lab: &Lab) -> Verdict {
    let mut machine = machine(lab, "test.storm");
    machine.icount = true;
    machine.cpus = 1;
    let said = run(&machine, "test.storm", LIMIT)?;
    let figures = figures(&said, "test.storm", &SAID);
    if figures.contains(" deadlines met, 0 missed") {
        Ok(figures)
    } else {
        Err(format!("deadlines were missed: {figures}").into())
    }
}

/// Two hundred kills of each.
fn long(lab: &Lab) -> Verdict {
    let unit = "test.storm-long";
    let said = run(&machine(lab, unit), unit, LONG_LIMIT)?;
    Ok(figures(&said, unit, &SAID))
}

/// Restarts, back-off, health, being asked to end, reservations and the order of starts are as manifests say.
fn manifests(lab: &Lab) -> Verdict {
    let unit = "test.manifests";
    let said = run(&machine(lab, unit), unit, LIMIT)?;
    let kept = said.lines().filter(|line| line.contains(": kept, in "));
    Ok(format!("{} promises kept", kept.count()))
}
