//! Windows by hand: moved, resized, out of sight, one over the other.

use super::hand::*;
use super::*;

/// Rows of a window of the terminal's first size (`servers/desktop/src/terminal`), title bar and edges included.
const TERMINAL_ROWS: i32 = 512;
/// Rows of the monitor from its title bar to a place near its lower edge.
const MONITOR_ROWS: i32 = 535;

/// Moved by its title bar and by keys, made larger, out of sight and back, one over the other; closed by a key.
pub fn moved(session: &mut Session) -> Verdict {
    let (left, y, right) = with_terminal(session)?;
    point(session, (left + 150, y + 4))?;
    button(session, true)?;
    move_by(session, 90, 60)?;
    button(session, false)?;
    let near = |one: i32, other: i32| (one - other).abs() <= 6;
    wait_until(session, "the window where it was dragged", |picture| {
        title_bar(picture, TITLE).is_some_and(|bar| near(bar.0, left + 90) && near(bar.1, y + 60))
    })?;
    keys(session, &["meta_l", "shift"], "left")?;
    wait_until(session, "the window moved by a key", |picture| {
        title_bar(picture, TITLE).is_some_and(|bar| near(bar.0, left + 66))
    })?;
    keys(session, &["meta_l"], "up")?;
    wait_until(session, "the window maximised", |picture| {
        title_bar(picture, TITLE).is_some_and(|bar| bar.0 < 10 && bar.1 < 16)
    })?;
    keys(session, &["meta_l"], "down")?;
    wait_until(session, "the window as large as before", |picture| {
        title_bar(picture, TITLE)
            .is_some_and(|bar| near(bar.0, left + 66) && near(bar.2 - bar.0, right - left))
    })?;
    keys(session, &["meta_l"], "down")?;
    wait_until(session, "no window", |picture| {
        title_bar(picture, TITLE).is_none()
    })?;
    // Its button in the panel brings it back.
    click(session, (200, 779))?;
    focused_window(session)?;
    choose(session, MENU_MONITOR)?;
    wait_for_unit(session, "monitor", "ready")?;
    wait_until(session, "another window with the focus", |picture| {
        title_bar(picture, TITLE).is_some_and(|bar| bar.2 - bar.0 < right - left)
    })?;
    let kept = keep_picture(session, "desktop.png")?;
    keys(session, &["alt"], "f4")?;
    wait_for_unit(session, "monitor", "ended")?;
    focused_window(session)?;
    Ok(format!("picture: {}", kept.display()))
}

/// The focus follows a key and a click; the corner of a window that has it can be dragged, and what is typed then is run.
pub fn focused(session: &mut Session) -> Verdict {
    let terminal = with_terminal(session)?;
    choose(session, MENU_MONITOR)?;
    wait_for_unit(session, "monitor", "ready")?;
    let is_wider = |bar: (i32, i32, i32), than: (i32, i32, i32)| bar.2 - bar.0 > than.2 - than.0;
    let monitor = wait_until(session, "the monitor with the focus", |picture| {
        title_bar(picture, TITLE).is_some_and(|bar| is_wider(terminal, bar))
    })?;
    let monitor = title_bar(&monitor, TITLE).ok_or("no monitor")?;
    keys(session, &["alt"], "tab")?;
    wait_until(session, "the terminal with the focus again", |picture| {
        title_bar(picture, TITLE) == Some(terminal)
    })?;
    // Where the terminal does not hide it.
    let hidden = |(x, y): &(i32, i32)| {
        (terminal.0 - 8..terminal.2 + 8).contains(x)
            && (terminal.1 - 8..terminal.1 + TERMINAL_ROWS + 8).contains(y)
    };
    let place = [
        (monitor.0 + 30, monitor.1 + MONITOR_ROWS),
        (monitor.2 - 30, monitor.1 + MONITOR_ROWS),
        (monitor.0 + 100, monitor.1 + 4),
    ]
    .into_iter()
    .find(|place| !hidden(place));
    click(session, place.ok_or("the terminal hides the monitor")?)?;
    wait_until(session, "the monitor in front", |picture| {
        title_bar(picture, TITLE).is_some_and(|bar| is_wider(terminal, bar))
    })?;
    keys(session, &["alt"], "f4")?;
    wait_for_unit(session, "monitor", "ended")?;
    let (left, y, right) = focused_window(session)?;
    // Its lower right corner.
    point(session, (right - 2, y + TERMINAL_ROWS))?;
    button(session, true)?;
    move_by(session, 60, 40)?;
    button(session, false)?;
    wait_until(session, "the window made wider", |picture| {
        title_bar(picture, TITLE)
            .is_some_and(|bar| bar.0 == left && (bar.2 - right - 60).abs() <= 6)
    })?;
    typed_is_run(session)?;
    keys(session, &["alt"], "f4")?;
    wait_for_unit(session, "terminal", "ended")?;
    Ok(String::new())
}
