//! The panel: the menu's button, a button for each window, the clock.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use gui::{Canvas, Palette, Rect, Theme, Ui, WindowId};
use proto::window::Title;
use rt::sys::clock;

/// Rows of the panel.
pub const HEIGHT_PX: u16 = 42;
const BUTTON_PX: i32 = 30;
const EDGE_PX: i32 = 6;
const MENU_PX: i32 = 92;
const CLOCK_PX: i32 = 76;
/// Columns of a window's button, if there is room for all.
const WINDOW_PX: i32 = 190;

/// A window that there is.
pub struct Entry {
    /// Its number.
    pub window: WindowId,
    title: Title,
    focused: bool,
    minimised: bool,
}

/// What was pressed.
pub enum Pressed {
    /// The menu's button.
    Menu,
    /// A window's.
    Window {
        /// Whose.
        window: WindowId,
        /// Whether it has the focus.
        focused: bool,
        /// Whether it is out of sight.
        minimised: bool,
    },
}

/// What the panel shows.
#[derive(Default)]
pub struct Panel {
    /// Its pointer.
    pub ui: Ui,
    /// All windows, in order of their numbers.
    pub windows: Vec<Entry>,
    /// Whether the menu is open.
    pub menu_is_open: bool,
    shown_minute: Option<u64>,
}

/// Hours and minutes, as the hardware's clock has them, and the minute's number.
fn time() -> (String, u64) {
    let page = clock::page();
    let seconds = page.utc_at_zero_ns.saturating_add(clock::now_ns()) / 1_000_000_000;
    let minute = seconds / 60;
    (
        format!("{:02}:{:02}", minute / 60 % 24, minute % 60),
        minute,
    )
}

impl Panel {
    /// A window is there, or changed.
    pub fn note(&mut self, window: WindowId, title: Title, focused: bool, minimised: bool) {
        let entry = Entry {
            window,
            title,
            focused,
            minimised,
        };
        match self.windows.iter_mut().find(|entry| entry.window == window) {
            Some(known) => *known = entry,
            None => self.windows.push(entry),
        }
    }

    /// Whether the clock shows another minute than the panel.
    pub fn clock_changed(&self) -> bool {
        self.shown_minute != Some(time().1)
    }

    /// Draws it; what was pressed.
    pub fn paint(&mut self, canvas: &mut Canvas<'_>, theme: Theme) -> Option<Pressed> {
        let palette = Palette::of(theme);
        let whole = canvas.clip();
        let (time, minute) = time();
        self.shown_minute = Some(minute);
        let mut pressed = None;
        let mut page = self.ui.begin(canvas, theme);
        page.canvas().replace(&whole, palette.raised);
        page.canvas()
            .fill(&Rect::new(0, 0, whole.width(), 1), palette.line);
        if page.button_at(
            &Rect::new(EDGE_PX, EDGE_PX, MENU_PX, BUTTON_PX),
            "Raede",
            self.menu_is_open,
        ) {
            pressed = Some(Pressed::Menu);
        }
        let first = EDGE_PX + MENU_PX + 2 * EDGE_PX;
        let room = whole.width() - first - CLOCK_PX - EDGE_PX;
        let count = i32::try_from(self.windows.len()).unwrap_or(i32::MAX).max(1);
        let width = (room / count - EDGE_PX).clamp(24, WINDOW_PX);
        for (entry, number) in self.windows.iter().zip(0..) {
            let rect = Rect::new(
                first + number * (width + EDGE_PX),
                EDGE_PX,
                width,
                BUTTON_PX,
            );
            if rect.right > whole.width() - CLOCK_PX {
                break;
            }
            let title = page.fitting(&entry.title, width - 16);
            if page.button_at(&rect, &title, entry.focused && !entry.minimised) {
                let (window, focused, minimised) = (entry.window, entry.focused, entry.minimised);
                pressed = Some(Pressed::Window {
                    window,
                    focused,
                    minimised,
                });
            }
        }
        let (height, _) = page.line_heights();
        let x = whole.width() - EDGE_PX - 8 - page.text_width(&time);
        page.text_at(x, (i32::from(HEIGHT_PX) - height) / 2, &time, palette.text);
        page.end();
        pressed
    }
}
