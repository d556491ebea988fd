//! The two devices behind an i8042.

use i8042::{Mouse, Packets, Port};

use crate::codes::number_of;
use crate::keyboard::Scancodes;
use crate::seat::Seat;
use pc_keyboard::KeyState;

/// Number of the keyboard among the devices.
pub const KEYBOARD: u8 = 0;
/// Number of the mouse.
pub const MOUSE: u8 = 1;
/// The first number that is free for others.
pub const FIRST_FREE: u8 = 2;

/// Keyboard and mouse, half-read bytes too.
pub struct Ps2 {
    scancodes: Scancodes,
    packets: Option<Packets>,
}

impl Ps2 {
    /// A keyboard and, if there is one, a mouse; `pause_ticks` is [`Packets::PAUSE_NS`] in ticks.
    #[must_use]
    pub fn new(mouse: Option<Mouse>, pause_ticks: u64) -> Self {
        Self {
            scancodes: Scancodes::new(),
            packets: mouse.map(|mouse| Packets::new(mouse, pause_ticks)),
        }
    }

    /// Takes a byte, whose interrupt came at `time_ticks`.
    pub fn byte(&mut self, seat: &mut Seat, port: Port, byte: u8, time_ticks: u64) {
        match (port, &mut self.packets) {
            (Port::First, _) => {
                if let Some((code, state)) = self.scancodes.decode(byte)
                    && let Some(number) = number_of(code)
                {
                    seat.key(KEYBOARD, number, state != KeyState::Up, time_ticks);
                }
            }
            (Port::Second, Some(packets)) => {
                if let Some(packet) = packets.decode(byte, time_ticks) {
                    seat.packet(MOUSE, &packet);
                }
            }
            (Port::Second, None) => {}
        }
    }
}
