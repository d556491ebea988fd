//! What happens at keyboards and pointers, as the input server tells it to the one who listens: the compositor.
//!
//! The service `input` takes long calls of a [`Request`]. [`Request::Listen`] is answered with a channel, through which every
//! [`Event`] comes as one message; who listened before is cut off. Keys that are down at that moment come first, as
//! [`KeyChange::Held`], and buttons as pressed, so that a compositor which was started again knows them. What a listener to the server
//! before knew to be down and is not told of was released in between.
//!
//! What must hold: an event carries the tick of the interrupt that brought it; a listener who does not read loses the oldest motion,
//! never a key or a button (the server waits with those, and counts what it dropped).

use serde::{Deserialize, Serialize};

use crate::key::{KeyPress, Modifiers};
pub use crate::messages::{from_bytes, to_bytes};
use crate::text::Text;

/// The service's name.
pub const SERVICE: &str = "input";
/// Longest request and longest event.
pub const MAX_BYTES: usize = 64;
/// Absolute positions go from 0 to this, left to right and top to bottom.
pub const MAX_POSITION: u16 = 0x7fff;

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// To listen; answered by a channel.
    Listen,
    /// Another keyboard layout, by its word.
    SetKeymap(Text<12>),
    /// How long a key is held until it repeats, and from then on between two repetitions.
    SetRepeat {
        /// In ms.
        delay_ms: u16,
        /// In ms; 0 for never.
        interval_ms: u16,
    },
}

/// What the server answers; with [`Answer::Done`] to [`Request::Listen`] comes the channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// Done.
    Done,
    /// Not done, and why.
    Refused(Text<56>),
}

/// What became of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyChange {
    /// It was pressed.
    Down,
    /// It was released.
    Up,
    /// It is still down, and repeats.
    Repeat,
    /// It was down before the listener came.
    Held,
}

/// A button of a pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Button {
    /// Where the index finger lies.
    Left,
    /// The other one.
    Right,
    /// The wheel.
    Middle,
    /// At the side, towards the palm.
    Back,
    /// At the side, towards the fingers.
    Forward,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum What {
    /// A key changed.
    Key {
        /// Which key, by its place on the keyboard: Linux's number (input-event-codes.h; 30 is where a US layout has A).
        code: u16,
        /// What became of it.
        change: KeyChange,
        /// What it means in the layout, if it is a press of a key that means something by itself.
        press: Option<KeyPress>,
        /// What was held.
        modifiers: Modifiers,
    },
    /// The pointer was moved by so many units, right and down.
    Motion {
        /// To the right.
        dx: i16,
        /// Downwards.
        dy: i16,
    },
    /// The pointer is now there, of [`MAX_POSITION`].
    Position {
        /// From the left.
        x: u16,
        /// From the top.
        y: u16,
    },
    /// A button changed.
    Button {
        /// Which.
        button: Button,
        /// Whether it is down now.
        pressed: bool,
    },
    /// The wheel was turned.
    Wheel {
        /// Notches towards the user.
        down: i8,
        /// Notches to the right.
        right: i8,
    },
}

/// One event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Tick (of the time stamp counter) of the interrupt.
    pub time_ticks: u64,
    /// Number of the device, from 0.
    pub device: u8,
    /// What happened.
    pub what: What,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::key::Key;

    #[test]
    fn the_longest_messages_fit() {
        let press = KeyPress {
            key: Key::Char('\u{10ffff}'),
            modifiers: Modifiers::default(),
        };
        let event = Event {
            time_ticks: u64::MAX,
            device: u8::MAX,
            what: What::Key {
                code: u16::MAX,
                change: KeyChange::Held,
                press: Some(press),
                modifiers: Modifiers::default(),
            },
        };
        let mut buffer = [0; MAX_BYTES];
        let bytes = to_bytes(&event, &mut buffer).expect("fits");
        assert_eq!(from_bytes(bytes), Some(event));
        let refused = Answer::Refused(Text::from_start(&"x".repeat(99)));
        let bytes = to_bytes(&refused, &mut buffer).expect("fits");
        assert_eq!(from_bytes(bytes), Some(refused));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_message_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let mut buffer = [0; MAX_BYTES];
            if let Some(event) = from_bytes::<Event>(&bytes) {
                let again = to_bytes(&event, &mut buffer).expect("fits");
                prop_assert_eq!(from_bytes::<Event>(again), Some(event));
            }
            let _ = from_bytes::<Request>(&bytes);
            let _ = from_bytes::<Answer>(&bytes);
        }
    }
}
