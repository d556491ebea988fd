//! The menu: programs, settings, turning off.

use gui::{Gui, Page, Rect, Size, Theme};
use proto::Text;
use proto::manager::{MAX_ROWS_BYTES, Request as ManagerRequest};
use proto::services::Action;
use proto::table::Reader;
use proto::window::{Rate, Request};
use proto::{UnitRow, UnitState};
use rt::sys::message::Handles;
use rt::sys::object::System;
use rt::unit::Manager;

/// Its size.
pub const SIZE: Size = Size {
    width: 300,
    height: 432,
};

/// Programs: what they are called, and their units: the first that does not run is started.
const PROGRAMS: [(&str, &[&str]); 3] = [
    (
        "Terminal",
        &["terminal", "terminal-2", "terminal-3", "terminal-4"],
    ),
    ("System monitor", &["monitor"]),
    ("Bricks", &["bricks"]),
];
const THEMES: [(&str, Theme); 3] = [
    ("Light", Theme::Light),
    ("Dark", Theme::Dark),
    ("Contrast", Theme::HighContrast),
];
const KEYMAPS: [&str; 4] = ["us", "uk", "de", "fr"];
const RATES: [(&str, Rate); 3] = [
    ("60", Rate::Fixed(60)),
    ("120 Hz", Rate::Fixed(120)),
    (
        "40-120",
        Rate::Variable {
            least_hz: 40,
            most_hz: 120,
        },
    ),
];

/// What was chosen.
pub enum Choice {
    /// A program, by its units.
    Start(&'static [&'static str]),
    /// Colours.
    Theme(Theme),
    /// A keyboard layout.
    Keymap(&'static str),
    /// When frames begin.
    Rate(Rate),
    /// The figures over the picture.
    Overlay,
    /// Turn the machine off.
    PowerOff,
}

/// The menu.
pub struct Menu;

impl Menu {
    /// Draws it; what was chosen.
    pub fn draw(&mut self, page: &mut Page<'_, '_, '_>) -> Option<Choice> {
        let mut choice = None;
        let whole = page.canvas().clip();
        let line = page.palette().line;
        page.canvas().frame(&whole, line);
        page.note("Programs");
        for (title, units) in PROGRAMS {
            let rect = page.area(30);
            if page.button_at(&rect, title, false) {
                choice = Some(Choice::Start(units));
            }
        }
        section(page, "Colours");
        page.row(|page| {
            for (title, theme) in THEMES {
                if page.button(title) {
                    choice = Some(Choice::Theme(theme));
                }
            }
        });
        section(page, "Keyboard");
        page.row(|page| {
            for word in KEYMAPS {
                if page.button(word) {
                    choice = Some(Choice::Keymap(word));
                }
            }
        });
        section(page, "Frames");
        page.row(|page| {
            for (title, rate) in RATES {
                if page.button(title) {
                    choice = Some(Choice::Rate(rate));
                }
            }
            if page.button("Overlay") {
                choice = Some(Choice::Overlay);
            }
        });
        let rest = page.rest();
        let rect = Rect {
            top: rest.bottom - 30,
            ..rest
        };
        if page.button_at(&rect, "Turn off", false) {
            choice = Some(Choice::PowerOff);
        }
        choice
    }
}

fn section(page: &mut Page<'_, '_, '_>, title: &str) {
    page.space(4);
    page.note(title);
}

/// Whether a unit runs, as the manager says.
fn is_running(manager: &Manager, name: &str) -> bool {
    let mut bytes = [0; MAX_ROWS_BYTES];
    let request = ManagerRequest::Unit { name };
    let Ok((_, rows)) = manager.ask_blocking(&request, &mut bytes, &mut Handles::new()) else {
        return false;
    };
    let mut rows = Reader::<UnitRow>::new(bytes.get(rows).unwrap_or_default()).flatten();
    rows.next()
        .is_some_and(|row| matches!(row.state, UnitState::Starting | UnitState::Ready))
}

/// Does what was chosen.
pub async fn carry_out(choice: Choice, gui: &mut Gui, system: &System) {
    match choice {
        Choice::Start(units) => {
            let manager = gui.manager().clone();
            let start = async move {
                let unit = units.iter().find(|unit| !is_running(&manager, unit));
                let Some(unit) = unit else {
                    return log::warn!("all of {units:?} run already");
                };
                // It may run from now on; and it runs again if it had ended.
                for action in [Action::Enable, Action::Start] {
                    let request = ManagerRequest::Act { name: unit, action };
                    if let Err(error) = manager.ask(&request, &mut Handles::new()).await {
                        log::error!("{unit}: {error}");
                    }
                }
            };
            if rt::spawn("start", start).is_err() {
                log::error!("{units:?}: too many programs are being started");
            }
        }
        Choice::Theme(theme) => gui.ask(Request::SetTheme(theme)),
        Choice::Keymap(word) => gui.ask(Request::SetKeymap(Text::from_start(word))),
        Choice::Rate(rate) => gui.ask(Request::SetRate(rate)),
        Choice::Overlay => gui.ask(Request::ToggleOverlay),
        Choice::PowerOff => {
            let error = system.control(abi::system::Control::PowerOff, "");
            log::error!("the machine cannot be turned off: {error}");
        }
    }
}
