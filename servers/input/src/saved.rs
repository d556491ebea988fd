//! What outlives an instance of the server: a block of bytes in a state vmo.
//!
//! Layout, numbers little-endian: 0 version; 1 flags (bit 0: the i8042 is up, 1 Caps Lock, 2 Num Lock); 2 the mouse there (its id and
//! one, 0: none); 3 keymap (its place in [`Keymap::ALL`]); 4 the key that repeats (2 bytes); 6 and 8 repeat delay and interval in ms;
//! 16 buttons by device (16 bytes); 32 keys by number (256 bytes).

use i8042::Mouse;

use crate::keymap::Keymap;
use crate::keys::{CODES, KeyStateSaved};
use crate::seat::MAX_DEVICES;

/// Length of the block.
pub const SAVED_BYTES: usize = KEYS + CODES;
const VERSION: u8 = 1;
const CONTROLLER_UP: u8 = 1 << 0;
const CAPS: u8 = 1 << 1;
const NUMBER: u8 = 1 << 2;
const BUTTONS: usize = 16;
const KEYS: usize = BUTTONS + MAX_DEVICES;

/// How long a key is held until it repeats, and then between two repetitions, unless somebody says otherwise.
pub const DEFAULT_REPEAT_MS: (u16, u16) = (400, 33);

/// What is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Saved {
    /// The i8042 was brought up, with this mouse, and served since; the next instance need not do so again.
    pub controller: Option<Option<Mouse>>,
    /// The layout.
    pub keymap: Keymap,
    /// Delay and interval in ms.
    pub repeat_ms: (u16, u16),
    /// The keys.
    pub keys: KeyStateSaved,
    /// A bit for each button that is down, by device.
    pub buttons: [u8; MAX_DEVICES],
}

impl Saved {
    /// Nothing was kept.
    #[must_use]
    pub const fn new(keymap: Keymap) -> Self {
        Self {
            controller: None,
            keymap,
            repeat_ms: DEFAULT_REPEAT_MS,
            keys: KeyStateSaved {
                held: [0; CODES],
                repeating: 0,
                caps: false,
                number: true,
            },
            buttons: [0; MAX_DEVICES],
        }
    }

    /// As bytes.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; SAVED_BYTES] {
        let keymap = Keymap::ALL.iter().position(|map| *map == self.keymap);
        let mouse = self.controller.flatten().map_or(0, |mouse| mouse.id() + 1);
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        let flags = flag(self.controller.is_some(), CONTROLLER_UP)
            | flag(self.keys.caps, CAPS)
            | flag(self.keys.number, NUMBER);
        let [k0, k1] = self.keys.repeating.to_le_bytes();
        let [d0, d1] = self.repeat_ms.0.to_le_bytes();
        let [i0, i1] = self.repeat_ms.1.to_le_bytes();
        let keymap = keymap.map_or(0, |place| place as u8);
        let head = [VERSION, flags, mouse, keymap, k0, k1, d0, d1, i0, i1];
        let mut bytes = [0; SAVED_BYTES];
        let (front, held) = bytes.split_at_mut(KEYS);
        let (front, buttons) = front.split_at_mut(BUTTONS);
        for (to, from) in front.iter_mut().zip(head) {
            *to = from;
        }
        buttons.copy_from_slice(&self.buttons);
        held.copy_from_slice(&self.keys.held);
        bytes
    }

    /// What such bytes say; `None` for others, such as the zeroes of a new vmo.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; SAVED_BYTES]) -> Option<Self> {
        let (head, rest) = bytes.split_first_chunk::<BUTTONS>()?;
        let (buttons, held) = rest.split_first_chunk::<MAX_DEVICES>()?;
        let [version, flags, mouse, keymap, k0, k1, d0, d1, i0, i1, ..] = *head;
        if version != VERSION {
            return None;
        }
        let mouse = match mouse.checked_sub(1) {
            Some(id) => Some(Mouse::from_id(id)?),
            None => None,
        };
        Some(Self {
            controller: (flags & CONTROLLER_UP != 0).then_some(mouse),
            keymap: *Keymap::ALL.get(usize::from(keymap))?,
            repeat_ms: (u16::from_le_bytes([d0, d1]), u16::from_le_bytes([i0, i1])),
            keys: KeyStateSaved {
                held: held.try_into().ok()?,
                repeating: u16::from_le_bytes([k0, k1]),
                caps: flags & CAPS != 0,
                number: flags & NUMBER != 0,
            },
            buttons: *buttons,
        })
    }
}
