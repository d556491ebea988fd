//! From scan codes to key presses.

use pc_keyboard::layouts::AnyLayout;
use pc_keyboard::{
    DecodedKey, EventDecoder, HandleControl, KeyCode, KeyEvent, KeyState, ScancodeSet, ScancodeSet1,
};

use crate::keymap::Keymap;
use proto::key::{Key, KeyPress, Modifiers};

/// The state of a keyboard: half-read scan codes, held modifiers, locks.
pub struct Keyboard {
    scancodes: ScancodeSet1,
    events: EventDecoder<AnyLayout>,
    held: Held,
    unknown: u64,
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

impl Keyboard {
    /// A keyboard with nothing pressed.
    #[must_use]
    pub fn new(keymap: Keymap) -> Self {
        Self {
            scancodes: ScancodeSet1::new(),
            events: EventDecoder::new(keymap.layout(), HandleControl::MapLettersToUnicode),
            held: Held::default(),
            unknown: 0,
        }
    }

    /// Scan codes that meant nothing, so far.
    #[must_use]
    pub const fn unknown(&self) -> u64 {
        self.unknown
    }

    /// Takes the next byte from the keyboard; a key press if that completes one.
    pub fn decode(&mut self, scancode: u8) -> Option<KeyPress> {
        let event = match self.scancodes.advance_state(scancode) {
            Ok(event) => event?,
            Err(_) => {
                self.unknown += 1;
                // Starts over, so that a damaged prefix cannot garble the next key.
                self.scancodes = ScancodeSet1::new();
                return None;
            }
        };
        self.held.update(&event);
        let code = event.code;
        let is_press = event.state == KeyState::Down;
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
