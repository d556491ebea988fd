//! Leaving: poweroff, reboot, panic, and what `scripts/run --exec` makes of them.

use crate::lab::{Lab, MANAGER};
use crate::scenario::{Scenario, Verdict};
use crate::session::{KERNEL_BOOT_LIMIT, NEW_PROMPT, Prompt};
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use xtask::host;
use xtask::qemu::OnReset;

/// For QEMU to end, or to begin again.
const LEAVE_LIMIT: Duration = Duration::from_secs(60);

pub fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::alone("qemu.power.poweroff", |lab| {
            let mut prompt = Prompt::boot(&lab.machine(MANAGER))?;
            prompt.vm.serial.send("poweroff\r")?;
            prompt.vm.wait_exit(LEAVE_LIMIT)?;
            Ok(String::new())
        }),
        Scenario::alone("qemu.power.reboot", reboot),
        Scenario::alone("qemu.power.panic", panic),
        Scenario::alone("qemu.power.panic_reboots", |lab| {
            let mut machine = lab.plain_machine("panic=reboot");
            machine.on_reset = OnReset::Restart;
            let mut prompt = Prompt::boot(&machine)?;
            prompt.vm.serial.send("panic --yes once\r")?;
            prompt.vm.serial.wait_panic(LEAVE_LIMIT)?;
            prompt.vm.serial.wait_for(NEW_PROMPT, KERNEL_BOOT_LIMIT)?;
            Ok(String::new())
        }),
        Scenario::alone("qemu.exec.output_and_status", |_| {
            let output = exec("echo one; echo two")?;
            expect(&output, 0, "one\ntwo\n", "")
        }),
        Scenario::alone("qemu.exec.last_status", |_| {
            let output = exec("echo fine; no-such-command")?;
            if output.status.code().is_none_or(|code| code == 0) {
                return Err(format!("an unknown command should give a status: {output:?}").into());
            }
            let output = exec("no-such-command; echo fine")?;
            if output.status.success() && output.stdout.ends_with(b"fine\n") {
                return Ok(String::new());
            }
            Err(format!("the last command's status should count: {output:?}").into())
        }),
        Scenario::alone("qemu.exec.panic", |_| {
            expect(
                &exec("echo before; panic of the test")?,
                101,
                "before\n",
                "of the test",
            )
        }),
        Scenario::alone("qemu.exec.timeout", |_| {
            let output = run(&["--timeout", "8", "--exec", "sleep 1000"])?;
            expect(&output, 124, "", "sleep 1000")
        }),
        Scenario::alone("qemu.exec.uefi_usb", |_| {
            let arguments = [
                "--firmware",
                "uefi",
                "--media",
                "usb",
                "--timeout",
                "240",
                "--exec",
                "echo from a stick",
            ];
            expect(&run(&arguments)?, 0, "from a stick\n", "")
        }),
        Scenario::alone("qemu.exec.icount", |_| {
            expect(
                &run(&["--icount", "--exec", "echo counted"])?,
                0,
                "counted\n",
                "",
            )
        }),
    ]
}

fn reboot(lab: &Lab) -> Verdict {
    let mut machine = lab.machine("");
    machine.on_reset = OnReset::Restart;
    let mut prompt = Prompt::boot(&machine)?;
    prompt.vm.serial.send("reboot\r")?;
    prompt.vm.qmp.wait_event("RESET", LEAVE_LIMIT)?;
    prompt.vm.serial.wait_for(NEW_PROMPT, KERNEL_BOOT_LIMIT)?;
    Ok(String::new())
}

fn panic(lab: &Lab) -> Verdict {
    let mut prompt = Prompt::boot(&lab.machine(""))?;
    prompt.vm.serial.send("panic --yes for the test\r")?;
    let report = prompt.vm.serial.wait_panic(LEAVE_LIMIT)?;
    if !report.contains("for the test") {
        return Err(format!("the report does not give the reason:\n{report}").into());
    }
    if report.matches("RAEDE PANIC").count() != 1 {
        return Err(format!("one core's panic should make one report:\n{report}").into());
    }
    crate::faults::has_backtrace(&report)?;
    prompt.vm.wait_exit(LEAVE_LIMIT)?;
    Ok(String::new())
}

fn exec(commands: &str) -> std::io::Result<Output> {
    run(&["--exec", commands])
}

/// Runs `scripts/run` as a person would.
fn run(arguments: &[&str]) -> std::io::Result<Output> {
    Command::new(host::root().join("scripts/run"))
        .args(arguments)
        .stdin(Stdio::null())
        .output()
}

fn expect(output: &Output, status: i32, stdout: &str, stderr_part: &str) -> Verdict {
    let stderr = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(status)
        && output.stdout == stdout.as_bytes()
        && stderr.contains(stderr_part)
    {
        return Ok(String::new());
    }
    Err(format!(
        "expected status {status}, output {stdout:?} and {stderr_part:?} among the messages; got {}, {:?} and\n{stderr}",
        output.status,
        String::from_utf8_lossy(&output.stdout)
    )
    .into())
}
