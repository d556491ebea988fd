//! The keys of all keyboards together: which are down, which one repeats, what each means.

use pc_keyboard::KeyState;
use proto::input::{KeyChange, What};
use proto::key::KeyPress;

use crate::codes::key_of;
use crate::keyboard::{Locks, Meaning};
use crate::keymap::Keymap;

/// Numbers of keys go up to this.
pub const CODES: usize = 256;

/// When a key that is held repeats, in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RepeatTicks {
    /// After it was pressed.
    pub delay: u64,
    /// After the last repetition; 0: never.
    pub interval: u64,
}

/// The key that repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Repeating {
    code: u16,
    due_ticks: u64,
}

/// The keys.
pub struct Keys {
    meaning: Meaning,
    /// By number: 0, or one more than the number of the keyboard that it is held on.
    held: [u8; CODES],
    repeating: Option<Repeating>,
    repeat: RepeatTicks,
}

/// A key that does nothing by being held.
fn is_modifier(code: u16) -> bool {
    use pc_keyboard::KeyCode as K;
    matches!(
        key_of(code),
        Some(
            K::LShift
                | K::RShift
                | K::LControl
                | K::RControl
                | K::LAlt
                | K::RAltGr
                | K::LWin
                | K::RWin
                | K::CapsLock
                | K::NumpadLock
                | K::ScrollLock
                | K::PauseBreak
        )
    )
}

impl Keys {
    /// None down.
    pub fn new(keymap: Keymap, repeat: RepeatTicks) -> Self {
        Self {
            meaning: Meaning::new(keymap),
            held: [0; CODES],
            repeating: None,
            repeat,
        }
    }

    /// The layout from now on. Keys that are down stay so.
    pub fn set_keymap(&mut self, keymap: Keymap) {
        self.meaning.set_keymap(keymap);
    }

    /// The times from now on.
    pub const fn set_repeat(&mut self, repeat: RepeatTicks) {
        self.repeat = repeat;
        if repeat.interval == 0 {
            self.repeating = None;
        }
    }

    /// A key of this number was pressed or released; what to tell. A press of one that is down is the keyboard's own repetition, which
    /// says nothing, as is the release of one that is not.
    pub fn change(&mut self, device: u8, code: u16, is_down: bool, now_ticks: u64) -> Option<What> {
        let held = self.held.get_mut(usize::from(code))?;
        if (*held != 0) == is_down {
            return None;
        }
        *held = if is_down { device.saturating_add(1) } else { 0 };
        if is_down && !is_modifier(code) {
            self.repeat_from(code, now_ticks);
        } else if self
            .repeating
            .is_some_and(|repeating| repeating.code == code)
        {
            self.repeating = None;
        }
        let (change, state) = if is_down {
            (KeyChange::Down, KeyState::Down)
        } else {
            (KeyChange::Up, KeyState::Up)
        };
        let press = key_of(code).and_then(|key| self.meaning.change(key, state));
        Some(self.what(code, change, press))
    }

    fn repeat_from(&mut self, code: u16, now_ticks: u64) {
        self.repeating = (self.repeat.interval > 0).then(|| Repeating {
            code,
            due_ticks: now_ticks.saturating_add(self.repeat.delay),
        });
    }

    fn what(&self, code: u16, change: KeyChange, press: Option<KeyPress>) -> What {
        What::Key {
            code,
            change,
            press,
            modifiers: self.meaning.modifiers(),
        }
    }

    /// When the key that is held repeats next.
    pub fn repeats_at(&self) -> Option<u64> {
        self.repeating.map(|repeating| repeating.due_ticks)
    }

    /// What to tell, with the keyboard's number, if a repetition is due. Those that were missed are not made up for.
    pub fn repeat(&mut self, now_ticks: u64) -> Option<(u8, What)> {
        let due = self
            .repeating
            .filter(|repeating| repeating.due_ticks <= now_ticks)?;
        let next = due.due_ticks.saturating_add(self.repeat.interval);
        self.repeating = Some(Repeating {
            due_ticks: if next > now_ticks {
                next
            } else {
                now_ticks.saturating_add(self.repeat.interval)
            },
            ..due
        });
        let press = key_of(due.code).and_then(|key| self.meaning.change(key, KeyState::Down));
        let device = self.device_of(due.code)?;
        Some((device, self.what(due.code, KeyChange::Repeat, press)))
    }

    fn device_of(&self, code: u16) -> Option<u8> {
        self.held.get(usize::from(code))?.checked_sub(1)
    }

    /// The keys that are down, each with its keyboard's number.
    pub fn held(&self) -> impl Iterator<Item = (u8, What)> {
        (0_u16..).zip(&self.held).filter_map(|(code, held)| {
            let device = held.checked_sub(1)?;
            Some((device, self.what(code, KeyChange::Held, None)))
        })
    }

    /// A key that is down on this keyboard, which is gone.
    pub fn held_on(&self, device: u8) -> Option<u16> {
        (0_u16..)
            .zip(&self.held)
            .find(|(_, held)| held.checked_sub(1) == Some(device))
            .map(|(code, _)| code)
    }

    /// What the next instance must know.
    pub fn state(&self) -> KeyStateSaved {
        let locks = self.meaning.locks();
        KeyStateSaved {
            held: self.held,
            repeating: self.repeating.map_or(0, |repeating| repeating.code),
            caps: locks.caps,
            number: locks.number,
        }
    }

    /// Goes on where another instance stopped: its keys are down, its last one repeats.
    pub fn restore(&mut self, state: &KeyStateSaved, now_ticks: u64) {
        for (code, held) in (0_u16..).zip(state.held) {
            if let Some(device) = held.checked_sub(1) {
                self.change(device, code, true, now_ticks);
            }
        }
        self.meaning.set_locks(Locks {
            caps: state.caps,
            number: state.number,
        });
        self.repeating = None;
        if self.device_of(state.repeating).is_some() && !is_modifier(state.repeating) {
            self.repeat_from(state.repeating, now_ticks);
        }
    }
}

/// What outlives an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyStateSaved {
    /// By number: 0, or one more than the number of the keyboard.
    pub held: [u8; CODES],
    /// The key that repeats; 0: none.
    pub repeating: u16,
    /// Caps Lock is on.
    pub caps: bool,
    /// Num Lock is on.
    pub number: bool,
}
