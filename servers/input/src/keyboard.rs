//! From scan codes to keys, and from keys to what they mean.

use pc_keyboard::layouts::AnyLayout;
use pc_keyboard::{
    DecodedKey, EventDecoder, HandleControl, KeyCode, KeyEvent, KeyState, ScancodeSet, ScancodeSet1,
};

use crate::keymap::Keymap;
use proto::key::{Key, KeyPress, Modifiers};

/// A keyboard whose key presses go to a terminal, repetitions as it sends them itself.
pub struct Keyboard {
    scancodes: Scancodes,
    meaning: Meaning,
}

impl Keyboard {
    /// A keyboard with nothing pressed.
    #[must_use]
    pub fn new(keymap: Keymap) -> Self {
        Self {
            scancodes: Scancodes::new(),
            meaning: Meaning::new(keymap),
        }
    }

    /// Scan codes that meant nothing, so far.
    #[must_use]
    pub const fn unknown(&self) -> u64 {
        self.scancodes.unknown
    }

    /// Takes the next byte from the keyboard; a key press if that completes one.
    pub fn decode(&mut self, scancode: u8) -> Option<KeyPress> {
        let (code, change) = self.scancodes.decode(scancode)?;
        self.meaning.change(code, change)
    }
}

/// Scan codes of set 1, half-read ones too.
pub(crate) struct Scancodes {
    set: ScancodeSet1,
    /// The key that sends "Num Lock behind a right control key that no keyboard has" is Pause.
    pause: bool,
    unknown: u64,
}

impl Scancodes {
    pub(crate) const fn new() -> Self {
        Self {
            set: ScancodeSet1::new(),
            pause: false,
            unknown: 0,
        }
    }

    /// Takes the next byte; a key that was pressed (again and again, while it is held) or released, if that completes one.
    pub(crate) fn decode(&mut self, scancode: u8) -> Option<(KeyCode, KeyState)> {
        let event = match self.set.advance_state(scancode) {
            Ok(event) => event?,
            Err(_) => {
                self.unknown += 1;
                // Starts over, so that a damaged prefix cannot garble the next key.
                self.set = ScancodeSet1::new();
                return None;
            }
        };
        match event.code {
            KeyCode::RControl2 => {
                self.pause |= event.state == KeyState::Down;
                None
            }
            // Around Print Screen and others, for keyboards of 1981.
            KeyCode::RAlt2 => None,
            KeyCode::NumpadLock if self.pause => {
                self.pause = event.state == KeyState::Down;
                Some((KeyCode::PauseBreak, event.state))
            }
            code => Some((code, event.state)),
        }
    }
}

/// What keys mean in a layout, with the modifiers and locks at the time.
pub(crate) struct Meaning {
    events: EventDecoder<AnyLayout>,
    held: Held,
    locks: Locks,
}

/// Locks that are on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Locks {
    pub(crate) caps: bool,
    pub(crate) number: bool,
}

impl Locks {
    /// As the decoder begins.
    pub(crate) const AT_START: Self = Self {
        caps: false,
        number: true,
    };
}

/// The modifier keys that are down, each side by itself.
#[derive(Default)]
struct Held {
    left_shift: bool,
    right_shift: bool,
    left_control: bool,
    right_control: bool,
    left_alt: bool,
    left_logo: bool,
    right_logo: bool,
}

impl Held {
    fn update(&mut self, event: &KeyEvent) {
        let down = event.state == KeyState::Down;
        match event.code {
            KeyCode::LShift => self.left_shift = down,
            KeyCode::RShift => self.right_shift = down,
            KeyCode::LControl => self.left_control = down,
            KeyCode::RControl => self.right_control = down,
            KeyCode::LAlt => self.left_alt = down,
            KeyCode::LWin => self.left_logo = down,
            KeyCode::RWin => self.right_logo = down,
            _ => {}
        }
    }

    fn modifiers(&self) -> Modifiers {
        Modifiers {
            shift: self.left_shift || self.right_shift,
            alt: self.left_alt,
            control: self.left_control || self.right_control,
            logo: self.left_logo || self.right_logo,
        }
    }
}

impl Meaning {
    pub(crate) fn new(keymap: Keymap) -> Self {
        Self {
            events: EventDecoder::new(keymap.layout(), HandleControl::MapLettersToUnicode),
            held: Held::default(),
            locks: Locks::AT_START,
        }
    }

    pub(crate) fn set_keymap(&mut self, keymap: Keymap) {
        self.events.change_layout(keymap.layout());
    }

    pub(crate) fn modifiers(&self) -> Modifiers {
        self.held.modifiers()
    }

    pub(crate) const fn locks(&self) -> Locks {
        self.locks
    }

    /// Presses the lock keys whose locks are not as they shall be.
    pub(crate) fn set_locks(&mut self, locks: Locks) {
        if locks.caps != self.locks.caps {
            self.change(KeyCode::CapsLock, KeyState::Down);
        }
        if locks.number != self.locks.number {
            self.change(KeyCode::NumpadLock, KeyState::Down);
        }
    }

    /// Notes the change of a key; a key press if it is one that means something by itself.
    pub(crate) fn change(&mut self, code: KeyCode, state: KeyState) -> Option<KeyPress> {
        let is_press = state == KeyState::Down;
        match code {
            KeyCode::CapsLock => self.locks.caps ^= is_press,
            KeyCode::NumpadLock => self.locks.number ^= is_press,
            _ => {}
        }
        let event = KeyEvent { code, state };
        self.held.update(&event);
        let decoded = self.events.process_keyevent(event)?;
        if !is_press {
            return None;
        }
        // By key, not by character: layouts give Backspace and Delete characters that a terminal
        // uses the other way round.
        let key = match named(code) {
            Some(key) => key,
            None => match decoded {
                DecodedKey::Unicode('\u{7f}') => Key::Delete,
                DecodedKey::Unicode(character) => Key::Char(self.apply_control(character)),
                DecodedKey::RawKey(other) => named(other)?,
            },
        };
        Some(KeyPress {
            key,
            modifiers: self.held.modifiers(),
        })
    }

    /// Control with the signs around the letters in ASCII; layouts do the letters themselves.
    fn apply_control(&self, character: char) -> char {
        if !self.held.modifiers().control {
            return character;
        }
        match character {
            ' ' | '@' => '\0',
            '[' => '\u{1b}',
            '\\' => '\u{1c}',
            ']' => '\u{1d}',
            '^' => '\u{1e}',
            '_' | '/' => '\u{1f}',
            other => other,
        }
    }
}

fn named(code: KeyCode) -> Option<Key> {
    Some(match code {
        KeyCode::Return | KeyCode::NumpadEnter => Key::Enter,
        KeyCode::Backspace => Key::Backspace,
        KeyCode::Tab => Key::Tab,
        KeyCode::Escape => Key::Escape,
        KeyCode::ArrowUp => Key::Up,
        KeyCode::ArrowDown => Key::Down,
        KeyCode::ArrowRight => Key::Right,
        KeyCode::ArrowLeft => Key::Left,
        KeyCode::Home => Key::Home,
        KeyCode::End => Key::End,
        KeyCode::Insert => Key::Insert,
        KeyCode::Delete => Key::Delete,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::F1 => Key::Function(1),
        KeyCode::F2 => Key::Function(2),
        KeyCode::F3 => Key::Function(3),
        KeyCode::F4 => Key::Function(4),
        KeyCode::F5 => Key::Function(5),
        KeyCode::F6 => Key::Function(6),
        KeyCode::F7 => Key::Function(7),
        KeyCode::F8 => Key::Function(8),
        KeyCode::F9 => Key::Function(9),
        KeyCode::F10 => Key::Function(10),
        KeyCode::F11 => Key::Function(11),
        KeyCode::F12 => Key::Function(12),
        _ => return None,
    })
}
