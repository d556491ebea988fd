//! All keyboards and pointers of one person, and the events that come of them.

use i8042::{Buttons, Packet};
use proto::input::{Button, Event, What};

use crate::keymap::Keymap;
use crate::keys::{CODES, Keys, RepeatTicks};
use crate::outbox::Outbox;
use crate::saved::Saved;

/// Most devices.
pub const MAX_DEVICES: usize = 16;

/// The buttons, by bit.
pub(crate) const BUTTONS: [Button; 5] = [
    Button::Left,
    Button::Right,
    Button::Middle,
    Button::Back,
    Button::Forward,
];

/// The devices together.
pub struct Seat {
    keys: Keys,
    /// A bit for each button that is down, by device.
    buttons: [u8; MAX_DEVICES],
    outbox: Outbox,
    has_listener: bool,
    changed: bool,
}

impl Seat {
    /// Nothing is down, nobody listens.
    #[must_use]
    pub fn new(keymap: Keymap, repeat: RepeatTicks) -> Self {
        Self {
            keys: Keys::new(keymap, repeat),
            buttons: [0; MAX_DEVICES],
            outbox: Outbox::default(),
            has_listener: false,
            changed: false,
        }
    }

    /// Goes on where another instance stopped.
    pub fn restore(&mut self, saved: &Saved, now_ticks: u64) {
        self.keys.restore(&saved.keys, now_ticks);
        self.buttons = saved.buttons;
    }

    /// Puts into `saved` what the next instance must know; false if that has not changed since.
    pub fn save(&mut self, saved: &mut Saved) -> bool {
        saved.keys = self.keys.state();
        saved.buttons = self.buttons;
        core::mem::take(&mut self.changed)
    }

    /// The layout from now on.
    pub fn set_keymap(&mut self, keymap: Keymap) {
        self.keys.set_keymap(keymap);
    }

    /// When held keys repeat, from now on.
    pub const fn set_repeat(&mut self, repeat: RepeatTicks) {
        self.keys.set_repeat(repeat);
    }

    /// Somebody listens from now on, and first learns what is down.
    pub fn listen(&mut self, now_ticks: u64) {
        self.has_listener = true;
        self.outbox.clear();
        for (device, what) in self.keys.held() {
            self.outbox.push(Event {
                time_ticks: now_ticks,
                device,
                what,
            });
        }
        for (device, down) in (0..).zip(self.buttons) {
            for (bit, button) in BUTTONS.into_iter().enumerate() {
                if down & 1 << bit != 0 {
                    let pressed = true;
                    self.emit(device, now_ticks, What::Button { button, pressed });
                }
            }
        }
    }

    /// Nobody listens any more.
    pub fn forget_listener(&mut self) {
        self.has_listener = false;
        self.outbox.clear();
    }

    /// Whether what comes of one packet of a device can be taken.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.outbox.has_room()
    }

    /// The next event to be sent.
    #[must_use]
    pub fn next(&self) -> Option<&Event> {
        self.outbox.next()
    }

    /// It was sent.
    pub fn sent(&mut self) {
        self.outbox.sent();
    }

    /// Motions that the listener did not get by themselves, so far.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.outbox.dropped()
    }

    fn emit(&mut self, device: u8, time_ticks: u64, what: What) {
        if self.has_listener {
            self.outbox.push(Event {
                time_ticks,
                device,
                what,
            });
        }
    }

    /// A key was pressed or released.
    pub fn key(&mut self, device: u8, code: u16, is_down: bool, time_ticks: u64) {
        if let Some(what) = self.keys.change(device, code, is_down, time_ticks) {
            self.changed = true;
            self.emit(device, time_ticks, what);
        }
    }

    /// When a held key repeats next.
    #[must_use]
    pub fn repeats_at(&self) -> Option<u64> {
        self.keys.repeats_at()
    }

    /// Repeats the key that is held, if that is due. A listener who has no room gets no repetitions.
    pub fn repeat(&mut self, now_ticks: u64) {
        if let Some((device, what)) = self.keys.repeat(now_ticks)
            && self.outbox.next().is_none()
        {
            self.emit(device, now_ticks, what);
        }
    }

    /// A pointer moved by so much, to the right and down.
    pub fn motion(&mut self, device: u8, dx: i16, dy: i16, time_ticks: u64) {
        if (dx, dy) != (0, 0) {
            self.emit(device, time_ticks, What::Motion { dx, dy });
        }
    }

    /// A pointer is there, of [`MAX_POSITION`](proto::input::MAX_POSITION).
    pub fn position(&mut self, device: u8, x: u16, y: u16, time_ticks: u64) {
        self.emit(device, time_ticks, What::Position { x, y });
    }

    /// A wheel was turned, towards the user and to the right.
    pub fn wheel(&mut self, device: u8, down: i8, right: i8, time_ticks: u64) {
        if (down, right) != (0, 0) {
            self.emit(device, time_ticks, What::Wheel { down, right });
        }
    }

    /// A button is now up or down.
    pub fn button(&mut self, device: u8, button: Button, pressed: bool, time_ticks: u64) {
        let Some(down) = self.buttons.get_mut(usize::from(device)) else {
            return;
        };
        let bit = 1 << button as u8;
        if (*down & bit != 0) == pressed {
            return;
        }
        *down ^= bit;
        self.changed = true;
        self.emit(device, time_ticks, What::Button { button, pressed });
    }

    /// A mouse at the PS/2 port said this.
    pub fn packet(&mut self, device: u8, packet: &Packet) {
        let time = packet.stamp_ticks;
        self.motion(device, packet.right, packet.down, time);
        let Buttons {
            left,
            right,
            middle,
            fourth,
            fifth,
        } = packet.buttons;
        for (button, pressed) in BUTTONS
            .into_iter()
            .zip([left, right, middle, fourth, fifth])
        {
            self.button(device, button, pressed, time);
        }
        self.wheel(device, packet.wheel_down, 0, time);
    }

    /// A device is gone: what was held on it is released. False if there is more to release when there is [room](Self::has_room).
    pub fn release(&mut self, device: u8, time_ticks: u64) -> bool {
        for _ in 0..CODES {
            let Some(code) = self.keys.held_on(device) else {
                break;
            };
            if !self.has_room() {
                return false;
            }
            self.key(device, code, false, time_ticks);
        }
        if !self.has_room() {
            return false;
        }
        for button in BUTTONS {
            self.button(device, button, false, time_ticks);
        }
        true
    }
}
