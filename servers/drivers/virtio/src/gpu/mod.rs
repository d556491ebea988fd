//! Graphics without acceleration (§5.7): pictures in memory that the device copies to its outputs, and a cursor of its own.
//!
//! A driver [starts](start) the device and gets its three parts, each for a task of its own. With the [`Control`] it asks for the
//! [modes](Control::modes) of the outputs and makes a [`Picture`]. Whatever is painted into
//! the picture's memory is seen after some [`Work`] of the device's, which is [done](Control::run) when it is shown. The [`Cursor`] is a picture
//! of 64 by 64 that moves without anything else being painted, also while something is presented. [`Changes`] says when an output
//! gets another size, or comes or goes.
//!
//! What must hold: a request's memory is not used again before the device gave it back, also when who asked has stopped waiting.

mod channel;
mod control;
mod cursor;
mod wire;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use rt::{Clock, Interrupt};

use crate::hardware::{Function, Shared, Space};
use crate::{Buffer, Device, Fault, Queue};
use channel::Channel;
pub use control::{Control, Picture, Work};
pub use cursor::{Changes, Cursor};
pub use wire::MOST_OUTPUTS;
use wire::{
    HEADER_BYTES, MOST_ANSWER_BYTES, MOST_EDID_BYTES, MOST_REQUEST_BYTES, OUTPUTS_BYTES, Request,
    answer, request,
};

/// The device can say what its outputs can.
const FEATURE_EDID: u64 = 1 << 1;
/// Offsets of its configuration: what has happened, what of that was seen, how many outputs there are.
const EVENTS: usize = 0;
const EVENTS_SEEN: usize = 4;
const OUTPUTS: usize = 8;
/// An output has changed.
const EVENT_DISPLAY: u32 = 1;

const CONTROL_QUEUE: u16 = 0;
const CURSOR_QUEUE: u16 = 1;
const CONFIG_MESSAGE: u16 = 0;
const CONTROL_MESSAGE: u16 = 1;
const CURSOR_MESSAGE: u16 = 2;
/// Requests that are with the device at the same time, in each queue.
const SLOTS: usize = 8;
/// A slot has a request and its answer.
const SLOT_BYTES: usize = (MOST_REQUEST_BYTES + MOST_ANSWER_BYTES).next_multiple_of(64);
/// Of either kind of picture.
const PIXEL_BYTES: u32 = 4;
/// Longest side of a picture: what outputs and drivers count in 16 bits elsewhere.
const MOST_PIXELS: u32 = 16_384;
/// Both sides of a cursor's picture (§5.7.6.10).
pub const CURSOR_PIXELS: u32 = 64;

/// A rectangle of pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rect {
    /// From the left.
    pub x: u32,
    /// From the top.
    pub y: u32,
    /// Pixels to the right.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
}

impl Rect {
    /// Whether it has pixels, all of them in a picture of this size.
    fn is_in(self, width: u32, height: u32) -> bool {
        let fits = |start: u32, len: u32, all: u32| {
            len > 0 && start.checked_add(len).is_some_and(|end| end <= all)
        };
        fits(self.x, self.width, width) && fits(self.y, self.height, height)
    }
}

/// An output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mode {
    /// Where it is beside the others, and how large its user wants it.
    pub rect: Rect,
    /// Whether it is there.
    pub enabled: bool,
}

/// What the bytes of a pixel are, first to last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pixels {
    /// Blue, green, red, opacity: for cursors.
    Bgra = 1,
    /// Blue, green, red, nothing: for screens.
    Bgrx = 2,
}

/// Why the device did not do what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GpuError {
    /// It is not to be used any more, or was never usable.
    Fault(Fault),
    /// It has no memory for that.
    OutOfMemory,
    /// It answered with this error (§5.7.6.7).
    Refused(u32),
    /// It answered with this, which is no answer to the request.
    Unexpected(u32),
    /// The picture would have no pixels, or more than 16384 in a row or column; or the rectangle leaves the picture.
    Size,
}

impl fmt::Display for GpuError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fault(fault) => fault.fmt(f),
            Self::OutOfMemory => f.write_str("the graphics device has no memory for that"),
            Self::Refused(error) => write!(f, "the graphics device answers error {error:#x}"),
            Self::Unexpected(sort) => {
                write!(
                    f,
                    "the graphics device answers {sort:#x}, which is no answer"
                )
            }
            Self::Size => f.write_str("no picture has that size, or the place is outside of it"),
        }
    }
}

impl core::error::Error for GpuError {}

impl From<Fault> for GpuError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// A graphics device's parts.
pub struct Gpu<F: Function> {
    /// Pictures and outputs.
    pub control: Control<F>,
    /// The cursors.
    pub cursor: Cursor<F>,
    /// What happens to the outputs.
    pub changes: Changes<F>,
}

/// Starts a graphics device. It is driven until all of its parts are dropped.
///
/// # Errors
/// [`Fault`].
pub async fn start<F: Function, C: Clock>(function: F, clock: &C) -> Result<Gpu<F>, Fault> {
    let device = Device::start(function, FEATURE_EDID, clock).await?;
    let line = device.config_interrupt(CONFIG_MESSAGE)?;
    let control = Channel::new(&device, CONTROL_QUEUE, CONTROL_MESSAGE)?;
    let cursor = Channel::new(&device, CURSOR_QUEUE, CURSOR_MESSAGE)?;
    let mut outputs = [0; 4];
    device.own().read(OUTPUTS, &mut outputs)?;
    let outputs = u32::from_le_bytes(outputs);
    if !(1..=MOST_OUTPUTS as u32).contains(&outputs) {
        return Err(Fault::Nonsense("it has no outputs, or more than 16"));
    }
    device.go();
    let device = Arc::new(device);
    Ok(Gpu {
        control: Control {
            device: Arc::clone(&device),
            channel: control,
            outputs,
            pictures: 0,
        },
        cursor: Cursor {
            channel: cursor,
            _device: Arc::clone(&device),
        },
        changes: Changes { device, line },
    })
}
