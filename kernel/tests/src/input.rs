//! What is typed arrives: complete, in order, at the shell it was meant for.

use crate::lab::{Lab, MANAGER};
use crate::scenario::{Scenario, Verdict};
use crate::session::{COMMAND_LIMIT, NEW_PROMPT, Prompt, Session};
use xtask::qemu::script;

/// Bytes sent to the serial port at once.
const BURST: usize = 500;

pub fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::alone("qemu.input.serial_line", |lab| serial_line(lab, MANAGER)),
        Scenario::alone("qemu.input.serial_burst", |lab| serial_burst(lab, MANAGER)),
        Scenario::alone("qemu.input.rescue_burst", |lab| serial_burst(lab, "")),
        Scenario::alone("qemu.input.line_editing", line_editing),
        Scenario::alone("qemu.input.history", history),
        Scenario::alone("qemu.input.completion", completion),
    ]
}

/// A text of `length` characters in which each stretch is different.
fn text(length: usize) -> String {
    let numbers: String = (0..).map(|n: u32| format!("{n}.")).take(length).collect();
    numbers[..length].to_owned()
}

/// One line of 500 bytes, at once, is echoed and answered whole.
fn serial_line(lab: &Lab, words: &str) -> Verdict {
    let mut prompt = Prompt::boot(&lab.machine(words))?;
    let sent = text(BURST - "echo \r".len());
    for _ in 0..5 {
        prompt.vm.serial.send(format!("echo {sent}\r"))?;
        let came = prompt.vm.serial.wait_for(NEW_PROMPT, COMMAND_LIMIT)?;
        // The line editor may move the cursor in its echo; the answer is plain.
        if !came.lines().any(|line| line.trim_end_matches('\r') == sent) {
            return Err(format!("sent {sent}\ngot {came}").into());
        }
    }
    Ok(String::new())
}

/// Ten lines in one burst of 500 bytes are answered one after another.
fn serial_burst(lab: &Lab, words: &str) -> Verdict {
    let mut session = Session::boot(&lab.script_machine(words))?;
    for round in 0..5 {
        let lines: Vec<String> = (0..BURST / 50)
            .map(|n| format!("echo {round}-{n}-{:x<40}", ""))
            .collect();
        let burst: String = lines.iter().map(|line| format!("{line:x<49}\n")).collect();
        session.vm.serial.send(&burst)?;
        for line in &lines {
            let awaited = format!("the answer to `{line}`");
            let reply = script::answer(&mut session.vm.serial, &awaited, COMMAND_LIMIT)?;
            let expected = format!("{line:x<49}\n").replacen("echo ", "", 1);
            if reply.output != expected || reply.status != 0 {
                return Err(format!("`{line}` was answered {reply:?}").into());
            }
        }
    }
    Ok(format!("5 x {BURST} bytes"))
}

/// The keys of line editing: backspace, arrows, home and end, kill.
fn line_editing(lab: &Lab) -> Verdict {
    const LEFT: &str = "\x1b[D";
    const HOME: &str = "\x1b[H";
    const END: &str = "\x1b[F";
    let mut prompt = Prompt::boot(&lab.machine(MANAGER))?;
    let cases = [
        ("backspace", "echo onex\x7f two".to_owned(), "one two"),
        ("left", format!("echo one tw{LEFT}{LEFT}X"), "one Xtw"),
        ("home and end", format!("cho abc{HOME}e{END}d"), "abcd"),
        ("kill line", "nonsense\x15echo fine".to_owned(), "fine"),
        ("interrupt", "nonsense\x03echo fine".to_owned(), "fine"),
    ];
    for (what, keys, expected) in cases {
        prompt.vm.serial.send(&keys)?;
        prompt.vm.serial.send("\r")?;
        let answered = format!("\n{expected}\r\n");
        prompt
            .vm
            .serial
            .wait_for(&answered, COMMAND_LIMIT)
            .map_err(|error| format!("{what}: {error}"))?;
    }
    Ok(String::new())
}

/// Arrow up brings back the last line.
fn history(lab: &Lab) -> Verdict {
    let mut prompt = Prompt::boot(&lab.machine(""))?;
    prompt.type_line("echo first")?;
    prompt.type_line("echo second")?;
    const UP: &str = "\x1b[A";
    // Entering the newest line again does not add it again, entering an older one does.
    let twice = format!("{UP}{UP}");
    for (keys, expected) in [
        (UP, "second"),
        (twice.as_str(), "first"),
        (twice.as_str(), "second"),
    ] {
        let text = prompt.type_line(keys)?;
        if !text.lines().any(|line| line == expected) {
            return Err(format!("after {keys:?}: expected {expected:?}, got {text:?}").into());
        }
    }
    Ok(String::new())
}

/// Tab completes a command.
fn completion(lab: &Lab) -> Verdict {
    let mut prompt = Prompt::boot(&lab.machine(MANAGER))?;
    prompt.vm.serial.send("vers\t")?;
    prompt.vm.serial.wait_for("version", COMMAND_LIMIT)?;
    let text = prompt.type_line("")?;
    if text.contains("Raede") {
        return Ok(String::new());
    }
    Err(format!("`vers` and Tab did not run `version`: {text:?}").into())
}
