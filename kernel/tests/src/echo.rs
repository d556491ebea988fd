//! What an echoed datagram costs, by the net server and by a program that has the card for itself; and a flood of small frames beside
//! somebody who has deadlines, and others who want to be served.
//!
//! The machine has two cards with this process at the other end of both: `net` is the net server's, whose client `programs/peer` echoes; `own` is that of
//! `programs/frames`.

use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use xtask::qemu::Machine;

use crate::http::{LIMIT, wait};
use crate::lab::Lab;
use crate::scenario::{Scenario, Verdict};
use crate::session::Session;
use crate::wire::Wire;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Echo requests a second, and how many.
const RATE_HZ: u32 = 100;
const ECHOES: u32 = 300;
/// Of a hundred so many come back, also beside a full load: a machine that is busy drops none of so few.
const LEAST_PERCENT: usize = 99;
/// Echoes whose instructions are counted, and how many are on their way at a time.
const COUNTED: u32 = 1000;
const WINDOW: u32 = 8;
/// For an echo at most: three times what was counted.
const MOST_INSTRUCTIONS: u64 = 150_000;
/// How long the flood lasts at least, by the machine's clock; echo requests of the other client meanwhile, and how many a second.
const FLOOD: Duration = Duration::from_secs(1);
const BESIDE: u32 = 150;
const BESIDE_HZ: u32 = 50;
/// Of the other client's echoes so many come back during a flood.
const LEAST_PERCENT_BESIDE: usize = 95;

/// This module's scenarios.
pub fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::alone("qemu.net.echo_latency", latency),
        Scenario::alone("qemu.net.echo_instructions", instructions),
        Scenario::alone("qemu.net.flood", flood),
    ]
}

/// A machine with two cards, of which the first is the net server's.
struct World {
    session: Session,
    net: Wire,
    own: Wire,
}

impl World {
    /// Boots with these units beside `programs/peer`, and waits until echoes come back over both wires. The other card is at `slot`.
    fn boot(
        lab: &Lab,
        units: &str,
        slot: &str,
        change: impl FnOnce(&mut Machine),
    ) -> Outcome<Self> {
        let mut machine =
            lab.script_machine(&format!("init=\"servers/manager test.peer {units}\""));
        change(&mut machine);
        let (net, own) = (Wire::new()?, Wire::new()?);
        for (wire, name, slot) in [(&net, "net", "8"), (&own, "own", slot)] {
            let card = format!("virtio-net-pci,addr={slot}");
            machine.extra.extend(wire.arguments(name, &card));
        }
        let mut session = Session::boot(&machine)?;
        net.connect()?;
        own.connect()?;
        session.ok("ip set eth0 10.77.0.2/24")?;
        net.until_echo(LIMIT)?;
        Ok(Self { session, net, own })
    }

    /// The same with a processor whose instructions are counted.
    fn counted(lab: &Lab, units: &str) -> Outcome<Self> {
        Self::boot(lab, units, "10", |machine| {
            machine.icount = true;
            machine.cpus = 1;
        })
    }
}

/// How long echoes take, idle and beside a busy loop and a memory hog on each core: by the net server in ring 3 and in the kernel, and by a program
/// that has the card for itself.
fn latency(lab: &Lab) -> Verdict {
    let mut lines = Vec::new();
    let mut world = World::boot(lab, "test.frames-virtio", "10", |_| ())?;
    world.own.until_echo(LIMIT)?;
    open_loop(&mut world, &["net server", "own card"], &mut lines)?;
    drop(world);
    let mut world = World::boot(lab, "net=resident", "10", |_| ())?;
    open_loop(&mut world, &["resident net server"], &mut lines)?;
    Ok(format!(
        "echoes at {RATE_HZ} Hz, open loop\n{}",
        lines.join("\n")
    ))
}

/// Echoes over the net server's wire, and over the other if there is a second name.
fn open_loop(world: &mut World, names: &[&str], lines: &mut Vec<String>) -> Outcome<()> {
    for is_loaded in [false, true] {
        if is_loaded {
            world.session.ok("svc enable test.load")?;
        }
        for (name, wire) in names.iter().zip([&world.net, &world.own]) {
            let echoes = wire.echoes(RATE_HZ, ECHOES)?;
            let load = if is_loaded { "loaded" } else { "idle" };
            lines.push(format!("{name}, {load}: {}", echoes.line()));
            if echoes.back() * 100 < echoes.sent * LEAST_PERCENT {
                return Err(format!("echoes are lost: {}", lines.join("; ")).into());
            }
        }
    }
    world.session.alive()?;
    Ok(())
}

/// For how long all cores were not idle, in ns.
fn busy_ns(session: &mut Session) -> Outcome<u64> {
    let rows = session.rows("cores --json")?;
    let figure = |row: &serde_json::Value, name: &str| row[name].as_u64().unwrap_or(0);
    let busy = rows
        .iter()
        .map(|row| figure(row, "up_ns").saturating_sub(figure(row, "idle_ns")));
    Ok(busy.sum())
}

/// Instructions for an echoed datagram, of all that the machine does for it: by the net server in ring 3 and in the kernel, and by a program that has
/// the card for itself.
fn instructions(lab: &Lab) -> Verdict {
    let mut figures = {
        let mut world = World::counted(lab, "test.frames-virtio")?;
        world.own.until_echo(LIMIT)?;
        let mut figures = each(&mut world.session, "net server", &world.net)?;
        figures.extend(each(&mut world.session, "own card", &world.own)?);
        figures
    };
    let mut world = World::counted(lab, "test.frames-virtio net=resident")?;
    figures.extend(each(&mut world.session, "resident net server", &world.net)?);
    let said = format!("instructions for an echo: {}", figures.join("; "));
    Ok(said)
}

/// Instructions for an echo over this wire, one at a time and some at once.
fn each(session: &mut Session, name: &str, wire: &Wire) -> Outcome<Vec<String>> {
    let mut figures = Vec::new();
    for (what, window) in [("alone", 1), ("of a burst", WINDOW)] {
        // Asking costs as well: half the echoes, then all, and the difference counts.
        let mut busy = [0; 2];
        for (busy, count) in busy.iter_mut().zip([COUNTED / 2, COUNTED]) {
            let before = busy_ns(session)?;
            wire.bounce(count, window)?;
            *busy = busy_ns(session)?.saturating_sub(before);
        }
        let [half, whole] = busy;
        let each = whole.saturating_sub(half) / u64::from(COUNTED / 2);
        figures.push(format!("{name}, {what}: {each}"));
        if !(1..=MOST_INSTRUCTIONS).contains(&each) {
            return Err(format!("that is not so much work: {}", figures.join("; ")).into());
        }
    }
    Ok(figures)
}

/// The last figures of the metronome: met and missed.
fn beats(session: &mut Session) -> Outcome<(u64, u64, String)> {
    let said = |session: &mut Session| -> Outcome<Vec<String>> {
        let logs = session.ok("svc logs test.beats")?;
        let lines = logs.lines().filter(|line| line.contains("deadlines met"));
        Ok(lines.map(str::to_owned).collect())
    };
    let before = said(session)?.len();
    session.ok("svc enable test.beats")?;
    let line = wait("the metronome's figures", || {
        let lines = said(session)?;
        Ok((lines.len() > before).then(|| lines.last().cloned().unwrap_or_default()))
    })?;
    let figures = line.split(": ").last().unwrap_or_default().to_owned();
    let number = |behind: &str| -> Outcome<u64> {
        let text = figures.split(behind).next().unwrap_or_default();
        let word = text.split_whitespace().next_back().unwrap_or_default();
        Ok(word.parse().map_err(|_| format!("no figure in {line:?}"))?)
    };
    Ok((number(" deadlines met")?, number(" missed")?, figures))
}

/// The machine's clock.
fn uptime_ns(session: &mut Session) -> Outcome<u64> {
    let time = session.object("time --json")?;
    let up = time["uptime_ns"].as_u64();
    Ok(up.ok_or_else(|| format!("no time: {time}"))?)
}

/// Small frames as fast as they are taken, on one card: a reservation of the same core meets its deadlines, and who comes by the other card is served.
/// Instructions are counted, so that nothing else on this host is in the way.
fn flood(lab: &Lab) -> Verdict {
    let mut world = World::boot(lab, "test.metronome", "9", |machine| {
        machine.icount = true;
        machine.cpus = 1;
    })?;
    world.session.ok("ip set eth1 10.77.0.2/32")?;
    beats(&mut world.session)?;
    let over = AtomicBool::new(false);
    let (begun, begun_ns) = (Instant::now(), uptime_ns(&mut world.session)?);
    let (flooded, echoes) = thread::scope(|scope| -> Outcome<_> {
        let flooding = scope.spawn(|| world.own.flood(&over).map_err(|error| error.to_string()));
        let echoes = world.net.echoes(BESIDE_HZ, BESIDE);
        let lasted = wait("end of the flood", || {
            let up_ns = uptime_ns(&mut world.session)?.saturating_sub(begun_ns);
            Ok((u128::from(up_ns) >= FLOOD.as_nanos()).then_some(()))
        });
        over.store(true, Ordering::Relaxed);
        lasted?;
        let flooded = flooding
            .join()
            .map_err(|_| "a thread of this test panicked")?;
        Ok((flooded?, echoes?))
    })?;
    let seconds = begun.elapsed().as_secs_f64();
    let (met, missed, figures) = beats(&mut world.session)?;
    let said = format!(
        "{:.0} frames/s beside; {figures}; {}",
        flooded as f64 / seconds,
        echoes.line()
    );
    if missed > 0 || met == 0 || echoes.back() * 100 < echoes.sent * LEAST_PERCENT_BESIDE {
        return Err(said.into());
    }
    world.session.alive()?;
    Ok(said)
}
