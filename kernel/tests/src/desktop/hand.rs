//! A hand at mouse and keyboard, and an eye on the screen.

use crate::picture::Picture;
use crate::screen::{groups, keep, look, type_text};
use crate::session::Session;
use serde_json::{Value, json};
use std::error::Error;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};
use xtask::host;
use xtask::qemu::Qmp;

/// For something to be seen, or to happen, on a busy host.
pub const LIMIT: Duration = Duration::from_secs(90);
/// Between two looks.
pub const LOOK_EVERY: Duration = Duration::from_millis(100);

pub const WIDTH: i32 = 1280;
pub const HEIGHT: i32 = 800;
/// Colours of the dark theme (`servers/draw/src/palette.rs`).
pub const PANEL: [u8; 3] = [0x26, 0x2b, 0x34];
pub const TITLE: [u8; 3] = [0x31, 0x38, 0x44];
/// The desktop's own places.
pub const MENU_BUTTON: (i32, i32) = (50, 779);
pub const MENU_TERMINAL: (i32, i32) = (150, 375);
pub const MENU_MONITOR: (i32, i32) = (150, 413);
pub const MENU_BRICKS: (i32, i32) = (150, 451);
/// A place on the menu's ground, and one of the wallpaper's that is the same in the dark.
pub const ON_MENU: (i32, i32) = (290, 345);
pub const GROUND: [u8; 3] = [0x1c, 0x20, 0x27];

pub type Done = Result<(), Box<dyn Error>>;

/// The pixel's colour.
pub fn colour(picture: &Picture, (x, y): (i32, i32)) -> [u8; 3] {
    picture.colour(x as usize, y as usize)
}

/// Looks at the screen until it is as wanted.
pub fn wait_until(
    session: &mut Session,
    what: &str,
    wanted: impl Fn(&Picture) -> bool,
) -> Result<Picture, Box<dyn Error>> {
    let end = Instant::now() + LIMIT;
    loop {
        let picture = look(&mut session.vm)?;
        if wanted(&picture) {
            return Ok(picture);
        }
        if Instant::now() > end {
            let kept = keep_picture(session, "failed.png")?;
            return Err(format!("the screen does not show {what}, but {}", kept.display()).into());
        }
        thread::sleep(LOOK_EVERY);
    }
}

/// Leaves a picture of the screen for people to look at.
pub fn keep_picture(session: &mut Session, name: &str) -> Result<PathBuf, Box<dyn Error>> {
    let folder = host::target_dir().join("desktop");
    std::fs::create_dir_all(&folder)?;
    let file = folder.join(name);
    keep(&mut session.vm, &file)?;
    Ok(file)
}

pub fn events(qmp: &mut Qmp, events: &[Value]) -> Done {
    qmp.execute("input-send-event", json!({ "events": events }))?;
    Ok(())
}

/// Moves the mouse, which knows only steps, to a place: first into the corner.
pub fn point(session: &mut Session, (x, y): (i32, i32)) -> Done {
    let step =
        |axis: &str, value: i32| json!({ "type": "rel", "data": { "axis": axis, "value": value } });
    for _ in 0..WIDTH / 100 + 1 {
        events(&mut session.vm.qmp, &[step("x", -110), step("y", -110)])?;
        thread::sleep(Duration::from_millis(12));
    }
    move_by(session, x, y)
}

/// Steps small enough for one packet each, and time for the mouse to send it: it drops what it cannot.
pub fn move_by(session: &mut Session, x: i32, y: i32) -> Done {
    let step =
        |axis: &str, value: i32| json!({ "type": "rel", "data": { "axis": axis, "value": value } });
    let steps = (x.abs().max(y.abs()) / 100 + 1).max(1);
    let (mut done_x, mut done_y) = (0, 0);
    for number in 1..=steps {
        let (to_x, to_y) = (x * number / steps, y * number / steps);
        events(
            &mut session.vm.qmp,
            &[step("x", to_x - done_x), step("y", to_y - done_y)],
        )?;
        (done_x, done_y) = (to_x, to_y);
        thread::sleep(Duration::from_millis(15));
    }
    Ok(())
}

pub fn button(session: &mut Session, down: bool) -> Done {
    events(
        &mut session.vm.qmp,
        &[json!({ "type": "btn", "data": { "button": "left", "down": down } })],
    )?;
    thread::sleep(Duration::from_millis(30));
    Ok(())
}

pub fn click(session: &mut Session, place: (i32, i32)) -> Done {
    point(session, place)?;
    button(session, true)?;
    button(session, false)
}

pub fn keys(session: &mut Session, held: &[&str], key: &str) -> Done {
    for held in held {
        session.vm.qmp.input_keys(&[(held, true)])?;
    }
    session.vm.qmp.type_keys([key])?;
    for held in held.iter().rev() {
        session.vm.qmp.input_keys(&[(held, false)])?;
    }
    Ok(())
}

/// Types into the window with the focus, as fast as the screen shows it: the emulated keyboard drops keys beyond the few it holds.
pub fn type_line(session: &mut Session, line: &str) -> Done {
    for group in groups(line) {
        let before = look(&mut session.vm)?;
        type_text(&mut session.vm, &group)?;
        wait_until(session, &format!("{group:?} typed"), |picture| {
            *picture != before
        })?;
        settled(session)?;
    }
    Ok(())
}

/// Waits until two looks in a row see the same.
pub fn settled(session: &mut Session) -> Done {
    let mut before = look(&mut session.vm)?;
    let end = Instant::now() + LIMIT;
    while Instant::now() < end {
        thread::sleep(LOOK_EVERY);
        let now = look(&mut session.vm)?;
        if now == before {
            return Ok(());
        }
        before = now;
    }
    Err("the screen never comes to rest".into())
}

pub fn wait_for_unit(
    session: &mut Session,
    name: &str,
    state: &str,
) -> Result<Value, Box<dyn Error>> {
    let end = Instant::now() + LIMIT;
    loop {
        let row = session.unit(name)?;
        if row["state"] == state {
            return Ok(row);
        }
        if Instant::now() > end {
            return Err(format!("{name} should be {state}: {row}").into());
        }
        thread::sleep(LOOK_EVERY);
    }
}

/// Waits for a line of a unit's log with this in it; the newest such line, without what stands before the text.
pub fn wait_for_log(
    session: &mut Session,
    unit: &str,
    what: &str,
) -> Result<String, Box<dyn Error>> {
    let end = Instant::now() + LIMIT;
    loop {
        let log = session.ok(&format!("svc logs {unit}"))?;
        if let Some(line) = log.lines().rev().find(|line| line.contains(what)) {
            let (_, text) = line.split_once(": ").unwrap_or(("", line));
            return Ok(text.to_owned());
        }
        if Instant::now() > end {
            return Err(format!("{unit} does not say {what:?}, but:\n{log}").into());
        }
        thread::sleep(LOOK_EVERY);
    }
}

/// Chooses from the menu.
pub fn choose(session: &mut Session, entry: (i32, i32)) -> Done {
    click(session, MENU_BUTTON)?;
    wait_until(session, "the menu", |picture| {
        colour(picture, ON_MENU) == GROUND
    })?;
    click(session, entry)?;
    wait_until(session, "no menu any more", |picture| {
        colour(picture, ON_MENU) != GROUND
    })?;
    Ok(())
}

/// The title bar of the window with the focus: left end, row, right end. Title bars are the widest runs of their colour.
pub fn title_bar(picture: &Picture, wanted: [u8; 3]) -> Option<(i32, i32, i32)> {
    (8..HEIGHT - 50).step_by(4).find_map(|y| {
        let run = |from: i32| {
            (from..WIDTH)
                .take_while(|x| colour(picture, (*x, y)) == wanted)
                .count() as i32
        };
        let mut x = 0;
        while x < WIDTH {
            let length = run(x);
            if length > 100 {
                return Some((x, y, x + length));
            }
            x += length.max(1);
        }
        None
    })
}

/// Opens the terminal, if it is not open; checks can be run by themselves.
pub fn with_terminal(session: &mut Session) -> Result<(i32, i32, i32), Box<dyn Error>> {
    if session.unit("terminal")?["state"] != "ready" {
        wait_until(session, "the panel", |picture| {
            colour(picture, (640, 779)) == PANEL
        })?;
        choose(session, MENU_TERMINAL)?;
        wait_for_unit(session, "terminal", "ready")?;
    }
    let bar = focused_window(session)?;
    settled(session)?;
    Ok(bar)
}

pub fn focused_window(session: &mut Session) -> Result<(i32, i32, i32), Box<dyn Error>> {
    let picture = wait_until(session, "a window with the focus", |picture| {
        title_bar(picture, TITLE).is_some()
    })?;
    title_bar(&picture, TITLE).ok_or_else(|| "no window has the focus".into())
}
