//! The menu: programs, settings, turning off.

use gui::{Gui, Page, Rect, Size, Theme};
use proto::Text;
use proto::manager::Request as ManagerRequest;
use proto::services::Action;
use proto::window::{Rate, Request};
use rt::sys::message::Handles;
use rt::sys::object::System;

/// Its size.
pub const SIZE: Size = Size {
    width: 300,
    height: 432,
};

/// Programs: what they are called, and their units.
const PROGRAMS: [(&str, &str); 3] = [
    ("Terminal", "terminal"),
    ("System monitor", "monitor"),
    ("Bricks", "bricks"),
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
    /// A program's unit.
    Start(&'static str),
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
        for (title, unit) in PROGRAMS {
            let rect = page.area(30);
            if page.button_at(&rect, title, false) {
                choice = Some(Choice::Start(unit));
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

/// Does what was chosen.
pub async fn carry_out(choice: Choice, gui: &mut Gui, system: &System) {
    match choice {
        Choice::Start(unit) => {
            let manager = gui.manager().clone();
            let start = async move {
                // It may run from now on; and it runs again if it had ended.
                for action in [Action::Enable, Action::Start] {
                    let request = ManagerRequest::Act { name: unit, action };
                    if let Err(error) = manager.ask(&request, &mut Handles::new()).await {
                        log::error!("{unit}: {error}");
                    }
                }
            };
            if rt::spawn("start", start).is_err() {
                log::error!("{unit}: too many programs are being started");
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
