//! Frames under load, and what an idle desktop costs.

use super::hand::*;
use super::*;

/// Ticks of the clock in the panel and of the manager are allowed, and the question itself.
const MOST_WAKES_A_SECOND: u64 = 20;
/// For what is measured to be over, on a busy host.
const MEASURE_LIMIT: Duration = Duration::from_secs(240);
/// Busy programs in ring 3, one that takes all the memory it may have, a terminal that scrolls.
const LOAD: [&str; 3] = ["test.scroll", "test.spin", "test.hog"];
/// What all windows of an idle desktop need.
const DESKTOP: [&str; 3] = ["input", "compositor", "desktop"];

pub fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::alone("qemu.desktop.frames", |lab| {
            let mut session = Session::boot(&machine(lab))?;
            let (_, figures) = measure(&mut session, "test.pace-whole", &[])?;
            Ok(figures)
        }),
        Scenario::shared(
            |lab| {
                let mut machine = machine(lab);
                machine.icount = true;
                machine.cpus = 1;
                Ok(machine)
            },
            vec![
                Check::new("qemu.desktop.frames_icount", |session| {
                    none_late(session, &LOAD)
                }),
                Check::new("qemu.desktop.variable_icount", |session| {
                    wait_for_unit(session, "desktop", "ready")?;
                    let (late, figures) = measure(session, "test.pace-own", &[])?;
                    let row = session.unit("test.pace-own")?;
                    match (late, row["exit_code"].as_i64()) {
                        (0, Some(0)) => Ok(figures),
                        _ => Err(figures.into()),
                    }
                }),
                Check::new("qemu.desktop.crowd_icount", |session| {
                    wait_for_unit(session, "desktop", "ready")?;
                    session.ok("svc enable test.crowd")?;
                    let said = wait_for_log(session, "test.crowd", "is refused")?;
                    let figures = none_late(session, &["test.crowd"])?;
                    let done = wait_for_log(session, "test.crowd", "pictures, ")?;
                    Ok(format!("{said}; {done}; {figures}"))
                }),
            ],
        ),
        // The same with the compositor in the kernel.
        Scenario::alone("qemu.desktop.resident_frames_icount", |lab| {
            let mut machine = resident_machine(lab);
            machine.icount = true;
            machine.cpus = 1;
            let mut session = Session::boot(&machine)?;
            none_late(&mut session, &LOAD)
        }),
    ]
}

/// None of 120 frames a second is late beside these.
fn none_late(session: &mut Session, units: &[&str]) -> Verdict {
    match measure(session, "test.pace-120", units)? {
        (0, figures) => Ok(figures),
        (_, figures) => Err(figures.into()),
    }
}

/// Measures frames beside these programs, and the way of keys that are pressed meanwhile. How many frames were late, and all figures.
fn measure(
    session: &mut Session,
    pace: &str,
    units: &[&str],
) -> Result<(u64, String), Box<dyn Error>> {
    wait_for_unit(session, "desktop", "ready")?;
    for unit in units {
        session.ok(&format!("svc enable {unit}"))?;
        wait_for_unit(session, unit, "ready")?;
    }
    session.ok(&format!("svc disable {pace}"))?;
    session.ok(&format!("svc enable {pace}"))?;
    let (begun, held_up) = (Instant::now(), session.vm.held_up()?);
    let end = begun + MEASURE_LIMIT;
    // Each key changes the colour of the window with the focus.
    while session.unit(pace)?["state"] != "ended" {
        session.vm.qmp.type_keys(["a"])?;
        if Instant::now() > end {
            return Err(format!("{pace} does not end").into());
        }
    }
    let held_up = session.vm.held_up()? - held_up;
    let taken = begun.elapsed();
    let log = session.ok(&format!("svc logs {pace}"))?;
    for unit in units {
        session.ok(&format!("svc disable {unit}"))?;
    }
    session.ok(&format!("svc disable {pace}"))?;
    // The unit may have measured before.
    let from = log.lines().rev().position(|line| line.contains(" Hz: "));
    let newest = log.lines().count() - from.map_or(0, |from| from + 1);
    let figures: Vec<&str> = log
        .lines()
        .skip(newest)
        .filter_map(|line| line.split_once(": "))
        .map(|(_, figure)| figure.trim())
        .filter(|figure| !figure.starts_with('('))
        .collect();
    let count = |behind: &str| {
        let (_, rest) = log.rsplit_once(behind)?;
        rest.split(' ').next()?.parse::<u64>().ok()
    };
    let late = count(" frames, ").ok_or_else(|| format!("no count of late frames: {log}"))?;
    if figures.contains(&"0 inputs") {
        return Err(format!("no key was seen: {}", figures.join("; ")).into());
    }
    Ok((
        late,
        format!(
            "{}; in {} ms the host held up QEMU's threads for {} ms",
            figures.join("; "),
            taken.as_millis(),
            held_up.as_millis()
        ),
    ))
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
