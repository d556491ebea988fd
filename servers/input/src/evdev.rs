//! From the events of a virtio-input device, which are Linux's (input-event-codes.h; virtio 1.2 § 5.8.6), to those of the seat.

use proto::input::{Button, MAX_POSITION};

use crate::keys::CODES;
use crate::seat::Seat;

/// Types of events.
mod kind {
    pub const SYNC: u16 = 0;
    pub const KEY: u16 = 1;
    pub const RELATIVE: u16 = 2;
    pub const ABSOLUTE: u16 = 3;
}

/// Codes of [`kind::RELATIVE`].
mod relative {
    pub const X: u16 = 0;
    pub const Y: u16 = 1;
    pub const WHEEL_RIGHT: u16 = 6;
    pub const WHEEL_UP: u16 = 8;
}

/// Codes of [`kind::ABSOLUTE`].
mod absolute {
    pub const X: u16 = 0;
    pub const Y: u16 = 1;
}

/// The code of the horizontal and the vertical axis of absolute positions.
pub const ABSOLUTE_AXES: [u8; 2] = [absolute::X as u8, absolute::Y as u8];

fn button(code: u16) -> Option<Button> {
    Some(match code {
        0x110 => Button::Left,
        0x111 => Button::Right,
        0x112 => Button::Middle,
        // The names differ from mouse to mouse: side and extra, or back and forward.
        0x113 | 0x116 => Button::Back,
        0x114 | 0x115 => Button::Forward,
        _ => return None,
    })
}

/// Values that an absolute axis can have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Range {
    /// Least.
    pub min: u32,
    /// Most.
    pub max: u32,
}

impl Range {
    /// A value in it, as a position; `None` if the range is none.
    fn position(self, value: u32) -> Option<u16> {
        let width = self.max.checked_sub(self.min).filter(|width| *width > 0)?;
        let from_start = value.clamp(self.min, self.max) - self.min;
        let scaled = u64::from(from_start) * u64::from(MAX_POSITION) / u64::from(width);
        u16::try_from(scaled).ok()
    }
}

/// One event as the device says it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RawEvent {
    /// Its type.
    pub kind: u16,
    /// What of that type.
    pub code: u16,
    /// How much, or where; negative ones in two's complement.
    pub value: u32,
}

/// What a device said since its last SYN.
#[derive(Clone, Copy, Debug, Default)]
struct Pending {
    dx: i32,
    dy: i32,
    x: Option<u16>,
    y: Option<u16>,
    wheel_down: i32,
    wheel_right: i32,
}

/// A device.
#[derive(Clone, Debug)]
pub struct Device {
    number: u8,
    /// Of its absolute axes, if it has any.
    axes: [Range; 2],
    /// Where it last was.
    position: [u16; 2],
    pending: Pending,
}

impl Device {
    /// Device number `number`, whose absolute axes have these ranges.
    #[must_use]
    pub fn new(number: u8, axes: [Range; 2]) -> Self {
        Self {
            number,
            axes,
            position: [0; 2],
            pending: Pending::default(),
        }
    }

    /// Its number.
    #[must_use]
    pub const fn number(&self) -> u8 {
        self.number
    }

    /// Takes an event that its interrupt at `time_ticks` brought.
    pub fn event(&mut self, seat: &mut Seat, event: RawEvent, time_ticks: u64) {
        let signed = event.value.cast_signed();
        let [x_axis, y_axis] = self.axes;
        let pending = &mut self.pending;
        match (event.kind, event.code) {
            (kind::SYNC, 0) => self.flush(seat, time_ticks),
            (kind::KEY, code) => {
                // What is pressed is pressed where the pointer is by now.
                self.flush(seat, time_ticks);
                if let Some(button) = button(code) {
                    seat.button(self.number, button, event.value != 0, time_ticks);
                } else if usize::from(code) < CODES {
                    seat.key(self.number, code, event.value != 0, time_ticks);
                }
            }
            (kind::RELATIVE, relative::X) => pending.dx = pending.dx.saturating_add(signed),
            (kind::RELATIVE, relative::Y) => pending.dy = pending.dy.saturating_add(signed),
            (kind::RELATIVE, relative::WHEEL_UP) => {
                pending.wheel_down = pending.wheel_down.saturating_sub(signed);
            }
            (kind::RELATIVE, relative::WHEEL_RIGHT) => {
                pending.wheel_right = pending.wheel_right.saturating_add(signed);
            }
            (kind::ABSOLUTE, absolute::X) => {
                pending.x = x_axis.position(event.value).or(pending.x);
            }
            (kind::ABSOLUTE, absolute::Y) => {
                pending.y = y_axis.position(event.value).or(pending.y);
            }
            _ => {}
        }
    }

    fn flush(&mut self, seat: &mut Seat, time_ticks: u64) {
        let pending = core::mem::take(&mut self.pending);
        let (dx, dy) = (as_i16(pending.dx), as_i16(pending.dy));
        seat.motion(self.number, dx, dy, time_ticks);
        if pending.x.is_some() || pending.y.is_some() {
            let [x, y] = self.position;
            let (x, y) = (pending.x.unwrap_or(x), pending.y.unwrap_or(y));
            self.position = [x, y];
            seat.position(self.number, x, y, time_ticks);
        }
        let (down, right) = (as_i8(pending.wheel_down), as_i8(pending.wheel_right));
        seat.wheel(self.number, down, right, time_ticks);
    }
}

fn as_i16(value: i32) -> i16 {
    value.clamp(i16::MIN.into(), i16::MAX.into()) as i16
}

fn as_i8(value: i32) -> i8 {
    value.clamp(i8::MIN.into(), i8::MAX.into()) as i8
}
