//! The compositor: windows of programs on one screen, and who is told of which key.
//!
//! Everything here is logic: [`Desk`] takes what programs ask ([`Desk::request`]), what happens at keyboard and pointer
//! ([`Desk::input`]) and the frames of a clock ([`Desk::frame`], [`Desk::scene`], [`Desk::shown`]), and gives out [`Effect`]s: events to be sent, pictures
//! to be made. The program around it (`servers/compositor/program`) has the channels, the memory and the screen.
//!
//! * [`desk`](mod@desk): the desk and its windows: what is asked of them. [`place`]: where windows are, which is over which.
//! * [`steer`]: keys and pointer: focus, moving, resizing.
//! * [`compose`]: pixels. [`damage`]: which of them changed. [`decor`]: title bars, shadows, the pointer's picture. [`overlay`]: figures over it all.
//! * [`clock`]: when frames begin. [`frame`]: how long they took and how late they were; [`times`]. [`keep`]: what the next compositor finds.
//!
//! What must hold:
//! * A program is told of nothing but its own windows: keys while one of them has the focus, the pointer while it is over one or was pressed in it.
//! * A program that asks for nonsense gets a refusal; no request, of any program in any order, makes the compositor fail or wait.
//! * What is shown is what was presented: only damaged parts are composed, and all of them.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod clock;
pub mod compose;
pub mod damage;
pub mod decor;
pub mod desk;
pub mod frame;
pub mod keep;
pub mod overlay;
pub mod place;
pub mod steer;
pub mod times;

pub use clock::{FrameClock, Wanted};
pub use compose::{Painter, Pictures, Scene};
pub use decor::Picture;
pub use desk::{ClientId, Desk, Direct, Effect, Frame, PictureKey};
pub use frame::FrameLog;
