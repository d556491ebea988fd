//! Every way of booting and every size of machine reaches the shell.

use crate::json;
use crate::lab::{Firmware, Lab};
use crate::scenario::{Scenario, Verdict};
use crate::session::{Prompt, Session};
use std::time::Duration;
use xtask::build;
use xtask::host::RunDir;
use xtask::qemu::{Machine, Media};

pub fn scenarios() -> Vec<Scenario> {
    let image = |name: &str, firmware, media| {
        Scenario::alone(name, move |lab| {
            prompt(&lab.image_machine(firmware, media, "")?)
        })
    };
    let mut scenarios = vec![
        Scenario::alone("qemu.boot.kernel", |lab| prompt(&lab.machine(""))),
        Scenario::alone("qemu.boot.phases", phases),
        image("qemu.boot.bios_cd", Firmware::Bios, Media::Cd),
        image("qemu.boot.bios_usb", Firmware::Bios, Media::Usb),
        image("qemu.boot.uefi_cd", Firmware::Uefi, Media::Cd),
        image("qemu.boot.uefi_usb", Firmware::Uefi, Media::Usb),
        Scenario::alone("qemu.boot.command_line_bios", |lab| {
            image_command_line(lab, Firmware::Bios)
        }),
        Scenario::alone("qemu.boot.command_line_uefi", |lab| {
            image_command_line(lab, Firmware::Uefi)
        }),
    ];
    scenarios.push(Scenario::alone("qemu.image.reproducible", reproducible));
    scenarios.push(Scenario::long("qemu.soak.boots", many_boots));
    scenarios.push(Scenario::long("qemu.soak.commands", many_commands));
    for cpus in [1, 2, 4, 8] {
        scenarios.push(Scenario::alone(
            format!("qemu.boot.smp_{cpus}"),
            move |lab| all_cores_run(lab, cpus),
        ));
    }
    for cpu in ["max", "qemu64"] {
        scenarios.push(Scenario::alone(
            format!("qemu.boot.cpu_{cpu}"),
            move |lab| {
                let mut machine = lab.machine("");
                machine.cpu = cpu.into();
                prompt(&machine)
            },
        ));
    }
    for memory in ["64M", "128M", "1G", "4G"] {
        scenarios.push(Scenario::alone(
            format!("qemu.boot.memory_{memory}"),
            move |lab| {
                let mut machine = lab.machine("");
                machine.memory = memory.into();
                prompt(&machine)
            },
        ));
    }
    scenarios
}

/// Boots to the serial prompt and tries the shell.
fn prompt(machine: &Machine) -> Verdict {
    let mut prompt = Prompt::boot(machine)?;
    let text = prompt.type_line("echo up and running")?;
    // Once as the echo of what was typed, once as the answer.
    if text.matches("up and running").count() < 2 {
        return Err(format!("the shell's answer to `echo up and running` was {text:?}").into());
    }
    Ok(prompt.boot_note())
}

/// The log has `boot` lines with milliseconds.
fn phases(lab: &Lab) -> Verdict {
    let mut session = Session::boot(&lab.script_machine(""))?;
    let log = session.ok("dmesg")?;
    let phases: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("boot") && line.contains(" ms"))
        .collect();
    match phases.last() {
        Some(last) if phases.len() >= 3 => Ok((*last).to_owned()),
        _ => Err(format!("dmesg should show at least 3 boot phases with ms:\n{log}").into()),
    }
}

/// Each processor of the machine is up and runs an executor.
fn all_cores_run(lab: &Lab, cpus: u32) -> Verdict {
    let mut machine = lab.script_machine("");
    machine.cpus = cpus;
    let mut session = Session::boot(&machine)?;
    let rows = session.rows("cores --json")?;
    let online = rows.iter().filter(|row| row["state"] != "offline").count();
    if online != cpus as usize {
        return Err(format!("{online} of {cpus} cores are online: {rows:?}").into());
    }
    for row in &rows {
        if json::count(row, "up_ns")? == 0 {
            return Err(format!("a core has been up for no time: {row}").into());
        }
    }
    session.alive()?;
    Ok(format!("{online} cores"))
}

/// The command line inside the image reaches the kernel: script mode works, and a word of ours shows.
fn image_command_line(lab: &Lab, firmware: Firmware) -> Verdict {
    let words = "shell.serial=script bench.marker=\"from the image\" loglevel=debug";
    let mut session = Session::boot(&lab.image_machine(firmware, Media::Cd, words)?)?;
    let version = session.object("version --json")?;
    let line = version["command_line"].as_str().unwrap_or_default();
    let warnings = session.ok("dmesg")?;
    // GRUB moves the quotes before the key.
    let quoted = [
        "bench.marker=\"from the image\"",
        "\"bench.marker=from the image\"",
    ];
    let whole = quoted.iter().any(|word| line.contains(word))
        && line.trim_end().ends_with("loglevel=debug");
    if whole && !warnings.contains("command line:") {
        return Ok(String::new());
    }
    Err(format!("the kernel's command line is {line:?}; dmesg:\n{warnings}").into())
}

/// The image depends on the kernel and the command line only.
fn reproducible(lab: &Lab) -> Verdict {
    let folder = RunDir::new()?;
    let build = |name: &str| -> Result<Vec<u8>, Box<dyn std::error::Error>> {
        let file = folder.join(name);
        build::image::build(lab.kernel(), "a=1", &file)?;
        Ok(std::fs::read(file)?)
    };
    let first = build("first.iso")?;
    // The clock's seconds are what images usually differ by.
    std::thread::sleep(Duration::from_millis(1100));
    let second = build("second.iso")?;
    if first == second {
        return Ok(format!("{} KiB", first.len() >> 10));
    }
    let differ = first.iter().zip(&second).filter(|(a, b)| a != b).count();
    Err(format!("two builds differ in {differ} bytes").into())
}

/// Races of start-up show in some of many boots.
fn many_boots(lab: &Lab) -> Verdict {
    const BOOTS: u32 = 50;
    let mut slowest = Duration::ZERO;
    for boot in 0..BOOTS {
        let mut machine = lab.machine("");
        machine.cpus = [1, 2, 3, 4, 8][boot as usize % 5];
        let prompt = Prompt::boot(&machine)
            .map_err(|error| format!("boot {boot} with {} processors: {error}", machine.cpus))?;
        slowest = slowest.max(prompt.boot);
    }
    Ok(format!(
        "{BOOTS} boots, the slowest {} ms",
        slowest.as_millis()
    ))
}

/// Thousands of commands leave the machine as it was: no memory is lost.
fn many_commands(lab: &Lab) -> Verdict {
    const ROUNDS: u32 = 1000;
    let mut session = Session::boot(&lab.script_machine(""))?;
    let heap = |session: &mut Session| -> Result<u64, Box<dyn std::error::Error>> {
        Ok(json::count(&session.object("mem --json")?["heap"], "used")?)
    };
    let commands = [
        "ps",
        "cores --json",
        "irq",
        "mem",
        "pci",
        "time",
        "sleep 0.001",
        "echo x",
        "nonsense",
    ];
    let run_all = |session: &mut Session| -> Result<(), Box<dyn std::error::Error>> {
        commands
            .iter()
            .try_for_each(|command| session.run(command).map(drop))
    };
    run_all(&mut session)?;
    let before = heap(&mut session)?;
    for _ in 0..ROUNDS {
        run_all(&mut session)?;
    }
    let after = heap(&mut session)?;
    if after == before {
        return Ok(format!("{} commands", ROUNDS as usize * commands.len()));
    }
    Err(
        format!("the heap held {before} bytes before and {after} bytes after {ROUNDS} rounds")
            .into(),
    )
}
