//! Pictures of the desktop in each of its themes, left for people to look at: `target/desktop/{light,dark,contrast}.png`.

use super::hand::*;
use super::*;

/// The menu's buttons for colours, and the pictures' names. The dark one last: other checks know its colours.
const THEMES: [(&str, (i32, i32)); 3] = [
    ("light", (38, 519)),
    ("contrast", (188, 519)),
    ("dark", (108, 519)),
];

/// A place of the menu's edge, which is seen in each theme, with nothing but wallpaper behind it.
const ON_MENU: (i32, i32) = (299, 695);
/// The monitor's tab with frames, from the left end of its title bar.
const FRAMES_TAB: (i32, i32) = (313, 50);
/// The one with reservations.
const RESERVATIONS_TAB: (i32, i32) = (410, 50);

const ACCENT: [u8; 3] = [0x4c, 0x9f, 0xf0];

/// A terminal with something in it and the system monitor, in each theme.
pub fn themes(session: &mut Session) -> Verdict {
    let (left, y, _) = with_terminal(session)?;
    point(session, (left + 150, y + 4))?;
    button(session, true)?;
    move_by(session, 60 - left, 40 - y)?;
    button(session, false)?;
    type_line(session, "clear\nversion; cores; ps\n")?;
    if session.unit("monitor")?["state"] != "ready" {
        choose(session, MENU_MONITOR)?;
        wait_for_unit(session, "monitor", "ready")?;
    }
    let (left, y, _) = focused_window(session)?;
    click(session, (left + FRAMES_TAB.0, y + FRAMES_TAB.1))?;
    settled(session)?;
    let mut kept = Vec::new();
    for (name, place) in THEMES {
        let before = look(&mut session.vm)?;
        let panel = colour(&before, (640, 779));
        click(session, MENU_BUTTON)?;
        wait_until(session, "the menu", |picture| {
            colour(picture, ON_MENU) != colour(&before, ON_MENU)
        })?;
        click(session, place)?;
        let is_dark_already = name == "dark" && panel == PANEL;
        wait_until(session, "another theme", |picture| {
            is_dark_already || colour(picture, (640, 779)) != panel
        })?;
        // The menu is closed by a press elsewhere, the pointer out of the way.
        point(session, (1200, 700))?;
        settled(session)?;
        kept.push(keep_picture(session, &format!("{name}.png"))?);
    }
    let tab = (left + RESERVATIONS_TAB.0, y + RESERVATIONS_TAB.1);
    click(session, tab)?;
    // The tab that is on has the accent's colour, also beside its letters.
    wait_until(session, "the page of reservations", |picture| {
        colour(picture, (tab.0 - 44, tab.1)) == ACCENT
    })?;
    kept.push(keep_picture(session, "reservations.png")?);
    keys(session, &["alt"], "f4")?;
    wait_for_unit(session, "monitor", "ended")?;
    let shown = kept.last().ok_or("no picture")?;
    Ok(format!("pictures beside {}", shown.display()))
}
