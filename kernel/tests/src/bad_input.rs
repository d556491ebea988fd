//! Nonsense from people, hosts and firmware: a clear message, and the rest works.

use crate::acpi::{self, Damage};
use crate::lab::{Firmware, Lab};
use crate::scenario::{Check, Scenario, Verdict};
use crate::session::{COMMAND_LIMIT, NEW_PROMPT, Prompt, Session};
use std::error::Error;
use xtask::host::RunDir;
use xtask::qemu::{Media, script};

pub fn scenarios() -> Vec<Scenario> {
    let mut scenarios = vec![
        Scenario::shared(
            |lab| Ok(lab.script_machine("")),
            vec![
                Check::new("qemu.bad.unknown_command", unknown_command),
                Check::new("qemu.bad.unknown_option", |session| {
                    for command in [
                        "ps --nonsense",
                        "mem --json --json=2",
                        "version extra words",
                        "irq -x",
                    ] {
                        session.refused(command)?;
                    }
                    session.alive()
                }),
                Check::new("qemu.bad.long_line", long_line),
                Check::new("qemu.bad.invalid_utf8", invalid_utf8),
                Check::new("qemu.bad.control_characters", control_characters),
                Check::new("qemu.bad.empty_lines", |session| {
                    for line in ["", "   ", "\t"] {
                        session.ok(line)?;
                    }
                    session.alive()
                }),
                Check::new("qemu.bad.quotes", |session| {
                    session.refused("echo \"never closed")?;
                    session.alive()
                }),
            ],
        ),
        Scenario::alone("qemu.bad.random_bytes", random_bytes),
        Scenario::alone("qemu.bad.long_line_at_prompt", long_line_at_prompt),
        Scenario::alone("qemu.bad.command_line", command_line),
        Scenario::alone("qemu.bad.long_command_line", |lab| {
            // More than the kernel keeps, less than QEMU's own buffer of 4096 bytes, which it overruns.
            let words = "bench.filler=0123456789 ".repeat(160);
            logged(lab, &words, &["longer than"])
        }),
        Scenario::alone("qemu.bad.no_framebuffer", no_framebuffer),
        Scenario::alone("qemu.bad.no_keyboard_controller", no_keyboard_controller),
        Scenario::alone("qemu.bad.acpi_address", |lab| {
            // No memory is there.
            logged(lab, "acpi_rsdp=0xfffffffffffff000", &["acpi"])?;
            logged(lab, "acpi_rsdp=0x7", &["acpi"])
        }),
    ];
    for damage in Damage::ALL {
        let name = format!("qemu.bad.acpi_{}", damage.name());
        scenarios.push(Scenario::alone(name, move |lab| {
            damaged_tables(lab, damage)
        }));
    }
    scenarios
}

fn unknown_command(session: &mut Session) -> Verdict {
    let message = session.refused("frobnicate --now")?;
    if !message.contains("frobnicate") || !message.contains("help") {
        return Err(format!("the message should name the command and `help`: {message:?}").into());
    }
    let message = session.refused("versoin")?;
    if !message.contains("version") {
        return Err(format!("`versoin` should suggest `version`: {message:?}").into());
    }
    session.alive()
}

/// A line of 10 000 characters is refused as a whole: nothing of it runs.
fn long_line(session: &mut Session) -> Verdict {
    let line = format!("echo {}", "echo tail ".repeat(1000));
    let message = session.refused(&line)?;
    if !message.contains("long") || message.contains("tail") {
        return Err(
            format!("the message should say that the line is too long: {message:?}").into(),
        );
    }
    session.alive()
}

fn invalid_utf8(session: &mut Session) -> Verdict {
    for bytes in [
        &b"echo \xff\xfe"[..],
        b"\xc3",
        b"echo \xe2\x82",
        b"\xf5\x80\x80\x80 x",
        b"echo a\xc0\xafb",
    ] {
        let reply = script::run_bytes(&mut session.vm.serial, bytes, COMMAND_LIMIT)?;
        if reply.output.is_empty() {
            return Err(format!("{bytes:x?} was swallowed without a word: {reply:?}").into());
        }
    }
    session.alive()
}

fn control_characters(session: &mut Session) -> Verdict {
    for bytes in [
        &b"echo a\0b"[..],
        b"\x01\x02\x1b",
        b"\x1e0",
        b"echo \x1b[999;999H\x1b]0;x\x07",
    ] {
        // Whatever it answers, it must answer.
        script::run_bytes(&mut session.vm.serial, bytes, COMMAND_LIMIT)?;
    }
    session.alive()
}

/// Random bytes at the prompt, then the shell is asked a question.
fn random_bytes(lab: &Lab) -> Verdict {
    const ROUNDS: u64 = 8;
    let seed = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(1, |time| time.as_nanos() as u64);
    let mut state = seed | 1;
    let mut prompt = Prompt::boot(&lab.machine(""))?;
    for round in 0..ROUNDS {
        // xorshift64 (Marsaglia 2003): any sequence will do, as long as the seed is told.
        let noise: Vec<u8> = (0..400)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state >> 32) as u8
            })
            .collect();
        prompt.vm.serial.send(&noise)?;
        // Interrupt whatever line is being edited, then ask.
        prompt
            .vm
            .serial
            .send(format!("\x03\recho round-{round}-done\r"))?;
        prompt
            .vm
            .serial
            .wait_for(&format!("\nround-{round}-done"), COMMAND_LIMIT)
            .map_err(|error| format!("seed {seed}: {error}"))?;
        prompt.vm.serial.wait_for(NEW_PROMPT, COMMAND_LIMIT)?;
    }
    Ok(format!("seed {seed}"))
}

fn long_line_at_prompt(lab: &Lab) -> Verdict {
    let mut prompt = Prompt::boot(&lab.machine(""))?;
    prompt.vm.serial.send("x".repeat(5000))?;
    prompt.type_line("")?;
    let text = prompt.type_line("echo still here")?;
    if text.lines().any(|line| line == "still here") {
        return Ok(String::new());
    }
    Err(format!("after an over-long line the shell answers {text:?}").into())
}

/// Boots with words that make no sense and looks for the words in the log's warnings.
fn logged(lab: &Lab, words: &str, expected: &[&str]) -> Verdict {
    let mut session = Session::boot(&lab.script_machine(words))?;
    warned(&mut session, expected)?;
    session.alive()
}

/// The log must have a warning or error with each of these texts.
fn warned(session: &mut Session, expected: &[&str]) -> Result<(), Box<dyn Error>> {
    let log = session.ok("dmesg")?;
    for text in expected {
        let found = log.lines().map(str::to_lowercase).any(|line| {
            (line.contains("warn") || line.contains("error")) && line.contains(&text.to_lowercase())
        });
        if !found {
            return Err(format!("dmesg has no warning about {text:?}:\n{log}").into());
        }
    }
    Ok(())
}

fn command_line(lab: &Lab) -> Verdict {
    let words = "smp=banana loglvel=debug watchdog=perhaps =7 kaslr keymap=\"never closed";
    logged(lab, words, &["smp", "loglvel", "watchdog", "quote"])
}

/// Without a screen the serial shell works, and the log says why there is nothing to see.
fn no_framebuffer(lab: &Lab) -> Verdict {
    let mut machine = lab.image_machine(Firmware::Bios, Media::Cd, script::SCRIPT_WORD)?;
    machine.vga = "none".into();
    let mut session = Session::boot(&machine)?;
    let log = session.ok("dmesg")?.to_lowercase();
    if !log.contains("framebuffer") && !log.contains("screen") {
        return Err(format!("dmesg does not say that there is no framebuffer:\n{log}").into());
    }
    session.alive()
}

fn no_keyboard_controller(lab: &Lab) -> Verdict {
    let mut machine = lab.image_machine(Firmware::Bios, Media::Cd, script::SCRIPT_WORD)?;
    machine.machine = "q35,i8042=off".into();
    let mut session = Session::boot(&machine)?;
    warned(&mut session, &["keyboard"])?;
    session.alive()
}

/// Tables that lie: the kernel says so and comes up on what is left.
fn damaged_tables(lab: &Lab, damage: Damage) -> Verdict {
    let folder = RunDir::new()?;
    let mut machine = lab.script_machine(&format!("acpi_rsdp={:#x}", acpi::ADDRESS));
    damage.plug_in(&mut machine, folder.path())?;
    let mut session = Session::boot(&machine)?;
    warned(&mut session, &["acpi"])?;
    session.alive()
}
