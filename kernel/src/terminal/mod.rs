//! Terminals: where a person sits, and who answers there.
//!
//! The kernel has the devices: the serial port, the keyboard, the pixels until they are handed over. Each terminal is two pipes of
//! bytes at its device, and the display is one. What is behind them, shell and console, are the same library crates in one of two
//! places:
//!
//! * **Processes**, once the manager runs: [`bridge`] makes a channel for each terminal and gives it to the manager by name
//!   (`terminal.serial`, `terminal.screen`, `terminal.display`), which hands it to a unit. When that unit ends the channel closes, and
//!   the next one is given. With the display go `framebuffer`, the pixels as a vmo, and `framebuffer.info`; from then on the kernel draws
//!   only a panic's report.
//!   With `screen=desktop` there is no `terminal.screen` and no `terminal.display`: the pixels are given as `desktop.framebuffer` and
//!   `desktop.framebuffer.info`, the keyboard is left to a server ([`DESKTOP_INPUT`]), and windows are a compositor's.
//!   Where firmware set up no pixels, but a graphics device is there, those handles say so, and the compositor drives the device.
//! * **The kernel itself**, without a first process that is the manager (`init=`, or a kernel that carries no programs):
//!   [`resident`], the shell to rescue a system with.
//!
//! What must hold: bytes wait in bounded places, each pipe and each channel, and whoever finds them full waits; none is lost but those
//! that a process had been sent and not taken when it ended.

mod bridge;
mod line;
mod resident;
mod tail;

use input::Keymap;
use rt::{PipeReader, PipeWriter};
use spin::Mutex;

use crate::keyboard::Seat;
use crate::screen::TextConsole;
pub use tail::Tail;

/// What is typed somewhere and what is shown there.
pub struct Terminal {
    /// What the channel is called.
    pub name: &'static str,
    /// What is typed.
    pub typed: PipeReader<'static>,
    /// What the shell writes.
    pub output: PipeWriter<'static>,
    /// Who is there.
    pub config: shell::Config,
}

/// The screen.
pub struct Display {
    /// What is to be shown.
    pub to_show: PipeReader<'static>,
    /// What was shown so far.
    pub tail: Tail,
    /// The kernel's own console.
    pub console: TextConsole,
}

/// Everything that waits for somebody to answer there.
struct Waiting {
    terminals: heapless::Vec<Terminal, MOST>,
    display: Option<Display>,
    /// What is wanted there is a desktop; this is for when there is none after all.
    desktop: Option<Seat>,
    /// The same without a display of the kernel's: a server drives the graphics device; the keyboard's layout.
    unseen_desktop: Option<Keymap>,
}

/// The handle that says: keyboard and pointer are yours to drive.
pub const DESKTOP_INPUT: &str = "desktop.input";

/// The serial port's and the screen's.
const MOST: usize = 2;

static WAITING: Mutex<Waiting> = Mutex::new(Waiting {
    terminals: heapless::Vec::new(),
    display: None,
    desktop: None,
    unseen_desktop: None,
});

/// Notes a terminal, before it is decided who answers there.
pub fn add(terminal: Terminal) {
    if let Err(terminal) = WAITING.lock().terminals.push(terminal) {
        ::log::error!(target: "terminal", "{}: one more than there is room for", terminal.name);
    }
}

/// Notes the display.
pub fn add_display(display: Display) {
    WAITING.lock().display = Some(display);
}

/// Notes that the display is to be a desktop.
pub fn add_desktop(seat: Seat) {
    WAITING.lock().desktop = Some(seat);
}

/// Notes that a desktop is wanted of which the kernel has no pixels.
pub fn add_unseen_desktop(keymap: Keymap) {
    WAITING.lock().unseen_desktop = Some(keymap);
}

fn take_all() -> Waiting {
    let nobody = Waiting {
        terminals: heapless::Vec::new(),
        display: None,
        desktop: None,
        unseen_desktop: None,
    };
    core::mem::replace(&mut *WAITING.lock(), nobody)
}

/// The manager runs: its units get all terminals.
pub fn give_to_processes() {
    let all = take_all();
    for terminal in all.terminals {
        bridge::start(terminal);
    }
    match (all.display, all.desktop) {
        (Some(display), Some(seat)) => bridge::start_desktop(display, seat),
        (Some(display), None) => bridge::start_display(display),
        (None, _) => {}
    }
    if let Some(keymap) = all.unseen_desktop {
        bridge::start_unseen_desktop(keymap);
    }
}

/// There will be no manager: the kernel's own shells and console get them.
pub fn keep() {
    let seat = WAITING.lock().desktop.take();
    if let Some(seat) = seat {
        seat.start();
    }
    let all = take_all();
    for terminal in all.terminals {
        resident::start(terminal);
    }
    if let Some(display) = all.display {
        resident::start_display(display);
    }
}

/// Whether processes have nothing more to show that the kernel has not taken.
pub fn is_drained() -> bool {
    line::is_drained()
}
