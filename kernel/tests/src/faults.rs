//! Faults provoked by the kernel's own tests (`selftest=NAME`) end in the right report.

use crate::lab::Lab;
use crate::scenario::{Scenario, Verdict};
use crate::session::{COMMAND_LIMIT, KERNEL_BOOT_LIMIT, Prompt};
use std::error::Error;
use std::time::Duration;

/// Deadly tests, each with words that must all be in its report: the exception, and what it was about.
const DEADLY: [(&str, &[&str]); 8] = [
    (
        "page_fault",
        &["#PF", "tried to read 0x", "nothing is mapped", "rip 0x"],
    ),
    ("general_protection", &["#GP", "rip 0x"]),
    ("double_fault", &["#DF", "rip 0x"]),
    ("stack_overflow", &["stack", "rip 0x"]),
    ("write_text", &["#PF", "tried to write 0x", "rip 0x"]),
    (
        "write_constant",
        &["#PF", "tried to write 0x", "forbids that"],
    ),
    (
        "contain_held",
        &["#PF", "could have been abandoned", "held kernel state"],
    ),
    ("exec_data", &["#PF", "tried to execute 0x", "rip 0x"]),
];

pub fn scenarios() -> Vec<Scenario> {
    let deadly = DEADLY.iter().map(|(test, words)| {
        Scenario::alone(format!("qemu.fault.{test}"), move |lab| {
            dies(lab, test, words)
        })
    });
    let mut scenarios: Vec<Scenario> = deadly.collect();
    scenarios.push(Scenario::alone("qemu.fault.nmi_watchdog", watchdog));
    scenarios
}

/// A core that is stuck with interrupts off is named, with what it was doing; the system goes on.
fn watchdog(lab: &Lab) -> Verdict {
    let mut prompt = Prompt::boot(&lab.machine("selftest=nmi_watchdog"))?;
    prompt
        .vm
        .serial
        .wait_for("selftest nmi_watchdog: ", KERNEL_BOOT_LIMIT)?;
    let verdict = prompt.vm.serial.wait_for("\n", COMMAND_LIMIT)?;
    let said = String::from_utf8_lossy(&prompt.vm.serial.transcript()).into_owned();
    let frames: Vec<&str> = said.lines().filter(|line| is_named_frame(line)).collect();
    if verdict.starts_with("ok")
        && frames
            .iter()
            .any(|frame| frame.contains("hog_with_interrupts_off"))
    {
        return Ok(String::new());
    }
    Err(format!(
        "the stuck core should be reported with its backtrace:\n{}",
        prompt.vm.serial.tail()
    )
    .into())
}

/// Boots with the test and checks the report that it dies with.
fn dies(lab: &Lab, test: &str, words: &[&str]) -> Verdict {
    let mut vm = lab.machine(&format!("selftest={test}")).spawn()?;
    let report = vm.serial.wait_panic(KERNEL_BOOT_LIMIT)?;
    let lower = report.to_lowercase();
    if let Some(word) = words
        .iter()
        .find(|word| !lower.contains(&word.to_lowercase()))
    {
        return Err(format!("the report does not mention {word}:\n{report}").into());
    }
    has_backtrace(&report)?;
    // Not a triple fault: the kernel lived to switch off.
    vm.wait_exit(Duration::from_secs(60))?;
    Ok(report.lines().next().unwrap_or_default().to_owned())
}

/// A report must name the functions it came through, not only addresses.
pub fn has_backtrace(report: &str) -> Result<(), Box<dyn Error>> {
    let Some((_, frames)) = report.split_once("backtrace:") else {
        return Err(format!("the report has no backtrace:\n{report}").into());
    };
    let named = frames.lines().filter(|line| is_named_frame(line)).count();
    if named >= 2 {
        return Ok(());
    }
    Err(format!("the backtrace names {named} functions, at least 2 are expected:\n{report}").into())
}

/// `... path::function+0x12`.
fn is_named_frame(line: &str) -> bool {
    line.split_whitespace().any(|word| {
        word.rsplit_once("+0x").is_some_and(|(name, offset)| {
            let digits = offset.trim_end_matches([')', ']', ',']);
            name.chars().any(|c| c.is_ascii_alphabetic())
                && !name.starts_with("0x")
                && !digits.is_empty()
                && digits.chars().all(|c| c.is_ascii_hexdigit())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_with_names() {
        assert!(is_named_frame("  0xffffffff80201234  kernel::main+0x12"));
        assert!(is_named_frame("#1 <hal::A as hal::B>::run+0x1f0"));
        assert!(!is_named_frame("  0xffffffff80201234"));
        assert!(!is_named_frame(
            "  0xffffffff80201234 0xffffffff80200000+0x1234"
        ));
        assert!(has_backtrace("RAEDE PANIC\nbacktrace:\n a a::b+0x1\n b c+0x2\n").is_ok());
        assert!(has_backtrace("RAEDE PANIC\nbacktrace:\n a a::b+0x1\n 0x12\n").is_err());
        assert!(has_backtrace("RAEDE PANIC a+0x1 b+0x2").is_err());
    }
}
