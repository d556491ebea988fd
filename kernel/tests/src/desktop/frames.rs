//! Frames under load, and what an idle desktop costs.

use super::hand::*;
use super::*;
use crate::lab::Lab;
use crate::session::KERNEL_BOOT_LIMIT;
use xtask::qemu::Vm;

/// Ticks of the clock in the panel and of the manager are allowed, and the question itself.
const MOST_WAKES_A_SECOND: u64 = 20;
/// For what is measured to be over, on a busy host.
const MEASURE_LIMIT: Duration = Duration::from_secs(240);
/// What all windows of an idle desktop need.
const DESKTOP: [&str; 3] = ["input", "compositor", "desktop"];

pub fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::alone("qemu.desktop.frames", |lab| {
            let mut vm = boot(lab, "test.pace test.spin test.hog", false)?;
            // Each changes the colour of the window with the focus.
            for _ in 0..40 {
                vm.qmp.type_keys(["a"])?;
                thread::sleep(LOOK_EVERY);
            }
            figures(&mut vm).map(|(_, figures)| figures)
        }),
        Scenario::alone("qemu.desktop.frames_icount", |lab| {
            let mut vm = boot(lab, "test.pace-120 test.spin test.hog", true)?;
            let (late, figures) = figures(&mut vm)?;
            match late {
                0 => Ok(figures),
                _ => Err(figures.into()),
            }
        }),
    ]
}

/// Boots with these units beside those of the desktop.
fn boot(lab: &Lab, units: &str, icount: bool) -> Result<Vm, Box<dyn Error>> {
    let mut machine = lab.machine(&format!("init=\"servers/manager {units}\" screen=desktop"));
    if icount {
        machine.icount = true;
        machine.cpus = 1;
    }
    let mut vm = machine.spawn()?;
    vm.serial
        .wait_line("windows are shown on the framebuffer", KERNEL_BOOT_LIMIT)?;
    Ok(vm)
}

/// How many frames were late, and all figures.
fn figures(vm: &mut Vm) -> Result<(u64, String), Box<dyn Error>> {
    let mut said = Vec::new();
    for what in [
        " Hz: ",
        "start: ",
        "compose: ",
        "show: ",
        " inputs",
        "input to screen: ",
        "told: ",
        "painted: ",
        "waited: ",
        "composed: ",
        "shown: ",
    ] {
        let line = vm.serial.wait_line(what, MEASURE_LIMIT)?;
        let (_, figure) = line.split_once(": ").unwrap_or(("", &line));
        said.push(figure.trim().to_owned());
    }
    let late = said[0]
        .split_once(" frames, ")
        .and_then(|(_, rest)| rest.split(' ').next())
        .and_then(|count| count.parse().ok())
        .ok_or_else(|| format!("no count of late frames: {}", said[0]))?;
    Ok((late, said.join("; ")))
}

/// What each core did so far: tasks polled and interrupts.
fn wakes(session: &mut Session) -> Result<Vec<(u64, u64)>, Box<dyn Error>> {
    let rows = session.rows("cores --json")?;
    rows.iter()
        .map(|row| Ok((json::count(row, "dispatches")?, json::count(row, "irqs")?)))
        .collect()
}

/// When nobody does anything nothing is composed, and no core is woken often.
pub fn idle(session: &mut Session) -> Verdict {
    const SECONDS: u64 = 5;
    point(session, (1000, 60))?;
    let end = Instant::now() + LIMIT;
    loop {
        let (cpu_before, before) = (cpu_ns(session)?, wakes(session)?);
        thread::sleep(Duration::from_secs(SECONDS));
        let after = wakes(session)?;
        let used_ns = cpu_ns(session)? - cpu_before;
        let most = before
            .iter()
            .zip(&after)
            .map(|(before, after)| (after.1 - before.1) / SECONDS)
            .max()
            .unwrap_or(0);
        // The panel's clock may change once: a composed line of text.
        if used_ns < 20_000_000 && most < MOST_WAKES_A_SECOND {
            let memory = memory_kib(session)?;
            return Ok(format!(
                "{used_ns} ns of processor time in {SECONDS} s, at most {most} interrupts a second and core; {memory} KiB for all of the desktop"
            ));
        }
        if Instant::now() > end {
            return Err(format!(
                "although nothing happened the compositor used {used_ns} ns in {SECONDS} s, a core took {most} interrupts a second"
            )
            .into());
        }
    }
}

/// The compositor's processor time.
fn cpu_ns(session: &mut Session) -> Result<u64, Box<dyn Error>> {
    let rows = session.rows("ps --json")?;
    let row = rows
        .iter()
        .find(|row| row["kind"] == "process" && row["name"] == "compositor");
    Ok(json::count(row.ok_or("no compositor")?, "cpu_ns")?)
}

/// Memory of the desktop's processes.
fn memory_kib(session: &mut Session) -> Result<u64, Box<dyn Error>> {
    let rows = session.rows("ps --json")?;
    let of_desktop = rows
        .iter()
        .filter(|row| row["kind"] == "process" && DESKTOP.iter().any(|name| row["name"] == *name));
    let mut bytes = 0;
    for row in of_desktop {
        bytes += json::count(row, "memory_bytes")?;
    }
    Ok(bytes >> 10)
}
