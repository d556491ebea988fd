//! The desktop, driven from outside: keys and mouse by QMP, what it shows by pictures of the screen, what it did by the serial shell.
//!
//! Places on the screen are those of a 1280 x 800 framebuffer (the standard VGA's as the kernel sets it), and colours those of the dark theme.

mod frames;
mod gpu;
mod hand;
mod pictures;
mod vnc;
mod windows;

use crate::json;
use crate::lab::{Lab, MANAGER};
use crate::picture::Picture;
use crate::scenario::{Check, Scenario, Verdict};
use crate::screen::look;
use crate::session::Session;
use hand::*;
use serde_json::json;
use std::error::Error;
use std::thread;
use std::time::{Duration, Instant};
use xtask::qemu::Machine;

/// This module's scenarios.
pub fn scenarios() -> Vec<Scenario> {
    let mut all = gpu::scenarios();
    all.extend(frames::scenarios());
    all.push(Scenario::long("qemu.desktop.random_minute", |lab| {
        let mut session = Session::boot(&machine(lab))?;
        random_for(&mut session, Duration::from_secs(60))
    }));
    all.push(Scenario::shared(
        |lab| Ok(machine(lab)),
        vec![
            Check::new("qemu.desktop.shows", shows),
            Check::new("qemu.desktop.terminal", terminal),
            Check::new("qemu.desktop.windows", windows::moved),
            Check::new("qemu.desktop.focus", windows::focused),
            Check::new("qemu.desktop.compositor_dies", compositor_dies),
            Check::new("qemu.desktop.input_dies", input_dies),
            Check::new("qemu.desktop.both_die", both_die),
            Check::new("qemu.desktop.hostile", hostile),
            Check::new("qemu.desktop.snoop", snoop),
            Check::new("qemu.desktop.idle", frames::idle),
            Check::new("qemu.desktop.overlay", overlay),
            Check::new("qemu.desktop.pictures", pictures::themes),
            Check::new("qemu.desktop.random_input", random_input),
        ],
    ));
    all.push(Scenario::shared(
        |lab| Ok(resident_machine(lab)),
        vec![
            Check::new("qemu.desktop.resident_shows", |session| {
                let unit = session.unit("compositor")?;
                match unit["placement"] == "resident" {
                    true => shows(session),
                    false => Err(format!("the compositor is not resident: {unit}").into()),
                }
            }),
            Check::new("qemu.desktop.resident_terminal", terminal),
            Check::new("qemu.desktop.resident_dies", compositor_dies),
            Check::new("qemu.desktop.resident_hostile", hostile),
            Check::new("qemu.desktop.resident_overlay", overlay),
        ],
    ));
    all
}

fn machine(lab: &Lab) -> Machine {
    lab.script_machine(&format!("{MANAGER} screen=desktop"))
}

/// The same with the compositor in the kernel.
fn resident_machine(lab: &Lab) -> Machine {
    lab.script_machine("init=\"servers/manager compositor=resident\" screen=desktop")
}

/// Wallpaper, panel, and nothing else.
fn shows(session: &mut Session) -> Verdict {
    for unit in ["input", "compositor", "desktop"] {
        wait_for_unit(session, unit, "ready")?;
    }
    let picture = wait_until(session, "the panel", |picture| {
        colour(picture, (640, 779)) == PANEL
    })?;
    if (picture.width as i32, picture.height as i32) != (WIDTH, HEIGHT) {
        return Err(format!("{} x {}", picture.width, picture.height).into());
    }
    if title_bar(&picture, TITLE).is_some() {
        return Err("a window is open that nobody opened".into());
    }
    Ok(String::new())
}

/// What is typed reaches the shell in the terminal.
fn typed_is_run(session: &mut Session) -> Verdict {
    type_line(session, "svc enable echo-isolated\n")?;
    wait_for_unit(session, "echo-isolated", "ready")?;
    type_line(session, "svc disable echo-isolated\n")?;
    wait_for_unit(session, "echo-isolated", "stopped")?;
    Ok(String::new())
}

/// Opened by the mouse, the terminal runs what is typed; nobody else gets the keys. A second one has a shell of its own.
fn terminal(session: &mut Session) -> Verdict {
    with_terminal(session)?;
    typed_is_run(session)?;
    choose(session, MENU_TERMINAL)?;
    wait_for_unit(session, "terminal-2", "ready")?;
    settled(session)?;
    keys(session, &["alt"], "f4")?;
    wait_for_unit(session, "terminal-2", "ended")?;
    focused_window(session)?;
    typed_is_run(session)
}

/// Killed in the middle of a drag, the compositor comes back with all windows where they were and what they showed.
fn compositor_dies(session: &mut Session) -> Verdict {
    let (left, y, right) = with_terminal(session)?;
    let picture = look(&mut session.vm)?;
    let generation = json::count(&session.unit("compositor")?, "generation")?;
    point(session, (left + 150, y + 4))?;
    button(session, true)?;
    move_by(session, 30, 20)?;
    let moved = wait_until(session, "the window dragged", |picture| {
        title_bar(picture, TITLE).is_some_and(|bar| bar.0 > left + 20)
    })?;
    let there = title_bar(&moved, TITLE).ok_or("no window")?;
    let begin = Instant::now();
    session.ok("svc kill compositor")?;
    wait_for_unit(session, "compositor", "ready")?;
    wait_until(session, "the window where it was", |picture| {
        title_bar(picture, TITLE).is_some_and(|bar| {
            (bar.0 - there.0).abs() <= 6
                && bar.1 == there.1
                && (bar.2 - bar.0 - (right - left)).abs() <= 6
        }) && colour(picture, (640, 779)) == PANEL
    })?;
    let taken = begin.elapsed();
    button(session, false)?;
    if json::count(&session.unit("compositor")?, "generation")? <= generation {
        return Err("the compositor was not started again".into());
    }
    // The terminal shows what it showed: its first line, moved with it.
    let after = look(&mut session.vm)?;
    let line = |picture: &Picture, (left, top, _): (i32, i32, i32)| -> Vec<[u8; 3]> {
        (0..80)
            .map(|x| colour(picture, (left + 4 + x, top + 36)))
            .collect()
    };
    let _ = picture;
    if line(&after, there) != line(&moved, there) {
        return Err("the terminal does not show what it showed".into());
    }
    typed_is_run(session)?;
    Ok(format!("seen again after {} ms", taken.as_millis()))
}

/// Killed, the input server comes back; what is typed then arrives.
fn input_dies(session: &mut Session) -> Verdict {
    with_terminal(session)?;
    session.ok("svc kill input")?;
    wait_for_unit(session, "input", "ready")?;
    typed_is_run(session)
}

/// Both killed in the middle of a drag: the window is where it was dragged to, and can be dragged on once the button was let go.
fn both_die(session: &mut Session) -> Verdict {
    let (left, y, _) = with_terminal(session)?;
    point(session, (left + 150, y + 4))?;
    button(session, true)?;
    move_by(session, 24, 16)?;
    let moved = wait_until(session, "the window dragged", |picture| {
        title_bar(picture, TITLE).is_some_and(|bar| bar.0 > left + 16)
    })?;
    let there = title_bar(&moved, TITLE).ok_or("no window")?;
    let begin = Instant::now();
    session.ok("svc kill input; svc kill compositor")?;
    for unit in ["input", "compositor", "desktop"] {
        wait_for_unit(session, unit, "ready")?;
    }
    wait_until(session, "the window where it was", |picture| {
        title_bar(picture, TITLE)
            .is_some_and(|bar| (bar.0 - there.0).abs() <= 6 && bar.1 == there.1)
            && colour(picture, (640, 779)) == PANEL
    })?;
    let taken = begin.elapsed();
    button(session, false)?;
    point(session, (there.0 + 150, there.1 + 4))?;
    button(session, true)?;
    move_by(session, -24, -16)?;
    button(session, false)?;
    wait_until(session, "the window dragged back", |picture| {
        title_bar(picture, TITLE).is_some_and(|bar| (bar.0 - left).abs() <= 8)
    })?;
    typed_is_run(session)?;
    Ok(format!("seen again after {} ms", taken.as_millis()))
}

/// A program that does to the compositor what no program should: it is refused or cut off, and nobody else notices.
fn hostile(session: &mut Session) -> Verdict {
    let before = json::count(&session.unit("compositor")?, "generation")?;
    session.ok("svc enable test.windows")?;
    let row = wait_for_unit(session, "test.windows", "ended")?;
    let log = session.ok("svc logs test.windows")?;
    if row["exit_code"] != 0 {
        return Err(log.into());
    }
    if json::count(&session.unit("compositor")?, "generation")? != before {
        return Err("the compositor was started again".into());
    }
    with_terminal(session)?;
    let line = log
        .lines()
        .find(|line| line.contains("attacks,"))
        .unwrap_or_default();
    Ok(line.rsplit(": ").next().unwrap_or_default().to_owned())
}

/// A program hears nothing of what is typed and pointed at in another one's window, nor the clipboard, nor what was in its memory before.
fn snoop(session: &mut Session) -> Verdict {
    with_terminal(session)?;
    session.ok("svc enable test.snoop")?;
    // It is not seen; the terminal has the focus again.
    let (left, y, _) = focused_window(session)?;
    type_line(session, "svc enable echo-isolated\n")?;
    click(session, (left + 100, y + 100))?;
    type_line(session, "svc disable echo-isolated\n")?;
    let row = wait_for_unit(session, "test.snoop", "ended")?;
    if row["exit_code"] != 0 {
        return Err(session.ok("svc logs test.snoop")?.into());
    }
    focused_window(session)?;
    Ok(String::new())
}

/// The figures come and go.
fn overlay(session: &mut Session) -> Verdict {
    let place = (900, 250);
    wait_until(session, "the panel", |picture| {
        colour(picture, (640, 779)) == PANEL
    })?;
    settled(session)?;
    let before = colour(&look(&mut session.vm)?, place);
    keys(session, &["meta_l"], "f12")?;
    wait_until(session, "the overlay", |picture| {
        colour(picture, place) != before
    })?;
    keys(session, &["meta_l"], "f12")?;
    wait_until(session, "no overlay", |picture| {
        colour(picture, place) == before
    })?;
    Ok(String::new())
}

/// Whatever is typed and pressed: all servers go on, none was started again.
fn random_input(session: &mut Session) -> Verdict {
    random_for(session, Duration::from_secs(15))
}

fn random_for(session: &mut Session, time: Duration) -> Verdict {
    with_terminal(session)?;
    let started = |session: &mut Session| -> Result<Vec<u64>, Box<dyn Error>> {
        ["input", "compositor", "desktop"]
            .iter()
            .map(|name| Ok(json::count(&session.unit(name)?, "generation")?))
            .collect()
    };
    choose(session, MENU_BRICKS)?;
    wait_for_unit(session, "bricks", "ready")?;
    let before = started(session)?;
    const KEYS: [&str; 16] = [
        "a", "f", "tab", "ret", "esc", "up", "down", "left", "right", "meta_l", "alt", "shift",
        "ctrl", "f12", "spc", "pgup",
    ];
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = |below: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % below
    };
    let end = Instant::now() + time;
    let mut count = 0;
    while Instant::now() < end {
        let event = match random(4) {
            0 => {
                json!({ "type": "rel", "data": { "axis": "x", "value": random(200) as i64 - 100 } })
            }
            1 => {
                json!({ "type": "rel", "data": { "axis": "y", "value": random(200) as i64 - 100 } })
            }
            2 => json!({ "type": "btn", "data": { "button": "left", "down": random(2) == 0 } }),
            _ => {
                json!({ "type": "key", "data": { "down": random(2) == 0, "key": { "type": "qcode", "data": KEYS[random(16) as usize] } } })
            }
        };
        events(&mut session.vm.qmp, &[event])?;
        count += 1;
        thread::sleep(Duration::from_millis(5));
    }
    for key in KEYS {
        session.vm.qmp.input_keys(&[(key, false)])?;
    }
    button(session, false)?;
    for name in ["input", "compositor", "desktop"] {
        wait_for_unit(session, name, "ready")?;
    }
    let after = started(session)?;
    if after != before {
        return Err(format!("servers were started again: {before:?}, {after:?}").into());
    }
    session.alive()?;
    Ok(format!("{count} events"))
}
