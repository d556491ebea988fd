//! Windows for programs: [`Gui`] is the connection to the compositor, with pictures and events; [`Ui`] draws labels and buttons, and says what was pressed.
//!
//! The guide in `README.md` has a window with a button. The messages are [`proto::window`]'s.
//!
//! What must hold: a program that uses this never waits for the compositor but in [`Gui::next`]; what it painted is not lost when the compositor dies.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod connect;
mod gui;
mod ui;
mod window;

pub use connect::NotConnected;
pub use draw::{Canvas, Palette, Pixel, Rect, rgb, rgba, text};
pub use gui::{Gui, Happened};
pub use proto::window::{Demand, Extent, Kind, Look, Pointer, PointerWhat, Size, Theme, WindowId};
pub use ui::{Page, Ui};
