//! A booted machine: with the shell in script mode ([`Session`]), or at the prompt ([`Prompt`]).

use crate::scenario::Verdict;
use serde_json::Value;
use std::error::Error;
use std::time::Duration;
use xtask::qemu::script::{self, Reply};
use xtask::qemu::{Boot, Machine, Vm};

/// What the serial shell prints when it takes a line.
pub const PROMPT: &str = "raede> ";
/// The prompt of a new line: behind a line feed, as the line editor paints it. It repeats the prompt
/// when it paints the same line again.
pub const NEW_PROMPT: &str = "\n\rraede> ";
/// From QEMU's start to the shell when QEMU loads the kernel. Takes under a second on an idle machine.
pub const KERNEL_BOOT_LIMIT: Duration = Duration::from_secs(90);
/// The same with firmware and boot loader before; OVMF alone takes seconds on an idle machine.
pub const IMAGE_BOOT_LIMIT: Duration = Duration::from_secs(240);
/// For a command's answer.
pub const COMMAND_LIMIT: Duration = Duration::from_secs(60);

/// The limit for this way of booting.
pub fn boot_limit(machine: &Machine) -> Duration {
    match machine.boot {
        Boot::Kernel { .. } => KERNEL_BOOT_LIMIT,
        Boot::Bios { .. } | Boot::Uefi { .. } => IMAGE_BOOT_LIMIT,
    }
}

/// A machine whose serial shell is in script mode.
#[derive(Debug)]
pub struct Session {
    /// The machine.
    pub vm: Vm,
}

impl Session {
    /// Boots until the shell is ready. The machine's command line must ask for script mode.
    pub fn boot(machine: &Machine) -> Result<Session, Box<dyn Error>> {
        let mut vm = machine.spawn()?;
        script::wait_ready(&mut vm.serial, boot_limit(machine))?;
        Ok(Session { vm })
    }

    /// Runs a command.
    pub fn run(&mut self, command: &str) -> Result<Reply, Box<dyn Error>> {
        Ok(script::run(&mut self.vm.serial, command, COMMAND_LIMIT)?)
    }

    /// Runs a command that reads lines, and types those behind it.
    pub fn run_pasted(&mut self, command: &str, lines: &str) -> Result<Reply, Box<dyn Error>> {
        // The shell takes CR for the end of a line, too; the line feed behind the last one is the session's.
        let bytes = format!("{command}\r{}", lines.trim_end().replace('\n', "\r"));
        let serial = &mut self.vm.serial;
        Ok(script::run_bytes(serial, bytes.as_bytes(), COMMAND_LIMIT)?)
    }

    /// Runs a command that must succeed; gives its output.
    pub fn ok(&mut self, command: &str) -> Result<String, Box<dyn Error>> {
        let reply = self.run(command)?;
        if reply.status == 0 {
            return Ok(reply.output);
        }
        Err(format!(
            "`{command}` ended with status {}:\n{}",
            reply.status, reply.output
        )
        .into())
    }

    /// Runs a command that must fail with a message; gives the message.
    pub fn refused(&mut self, command: &str) -> Result<String, Box<dyn Error>> {
        let reply = self.run(command)?;
        if reply.status != 0 && !reply.output.trim().is_empty() {
            return Ok(reply.output);
        }
        let status = reply.status;
        Err(format!(
            "`{command}` should fail with a message: status {status}, output {:?}",
            reply.output
        )
        .into())
    }

    /// Runs a command that must print one JSON object.
    pub fn object(&mut self, command: &str) -> Result<Value, Box<dyn Error>> {
        let output = self.ok(command)?;
        crate::json::object(&output).map_err(|error| format!("`{command}`: {error}").into())
    }

    /// Runs a command that must print a table as JSON: an object per line.
    pub fn rows(&mut self, command: &str) -> Result<Vec<Value>, Box<dyn Error>> {
        let output = self.ok(command)?;
        crate::json::rows(&output).map_err(|error| format!("`{command}`: {error}").into())
    }

    /// A unit's row.
    pub fn unit(&mut self, name: &str) -> Result<Value, Box<dyn Error>> {
        let rows = self.rows("svc list --json")?;
        let row = rows.into_iter().find(|row| row["unit"] == name);
        row.ok_or_else(|| format!("there is no unit {name}").into())
    }

    /// Checks that the shell still answers.
    pub fn alive(&mut self) -> Verdict {
        let output = self.ok("echo still here")?;
        if output == "still here\n" {
            return Ok(String::new());
        }
        Err(format!("the shell answers {output:?} to `echo still here`").into())
    }
}

/// A machine whose serial shell prompts.
#[derive(Debug)]
pub struct Prompt {
    /// The machine.
    pub vm: Vm,
    /// From QEMU's start to the prompt.
    pub boot: Duration,
}

impl Prompt {
    /// Boots until the serial shell prompts.
    pub fn boot(machine: &Machine) -> Result<Prompt, Box<dyn Error>> {
        let mut vm = machine.spawn()?;
        vm.serial.wait_for(NEW_PROMPT, boot_limit(machine))?;
        let boot = vm.started.elapsed();
        Ok(Prompt { vm, boot })
    }

    /// Types a line and waits for the next prompt; gives what came between.
    pub fn type_line(&mut self, line: &str) -> Result<String, Box<dyn Error>> {
        self.vm.serial.send(format!("{line}\r"))?;
        let text = self.vm.serial.wait_for(NEW_PROMPT, COMMAND_LIMIT)?;
        Ok(text.replace('\r', ""))
    }

    /// A figure for the report.
    pub fn boot_note(&self) -> String {
        format!("prompt {} ms after QEMU's start", self.boot.as_millis())
    }
}
