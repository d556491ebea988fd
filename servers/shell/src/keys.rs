//! From a terminal's bytes to keys.

/// What the line editor understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// A character that is not a control character.
    Char(char),
    /// Bytes that are not UTF-8; stands for one replacement character.
    Invalid,
    /// End of the line: CR, LF or both.
    Enter,
    /// Deletes the character before the cursor.
    Backspace,
    /// Deletes the character at the cursor.
    Delete,
    /// Completion.
    Tab,
    /// One character to the left.
    Left,
    /// One character to the right.
    Right,
    /// The line before in the history.
    Up,
    /// The line after in the history.
    Down,
    /// To the start of the line.
    Home,
    /// To the end of the line.
    End,
    /// One word to the left.
    WordLeft,
    /// One word to the right.
    WordRight,
    /// Another control character, by its letter: `Control('c')`.
    Control(char),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Ground,
    Utf8 {
        /// Bytes so far.
        bytes: [u8; 4],
        length: usize,
        /// Bytes of the whole character.
        needed: usize,
    },
    Escape,
    /// After `ESC [`: the first two parameters.
    Csi {
        params: [u16; 2],
        index: usize,
    },
    /// After `ESC O`.
    Ss3,
    /// In a string, as terminals answer questions with: after `ESC ]` and its like.
    Text,
}

/// Longest control sequence: a longer one is noise, and text after it is text again.
const MAX_SEQUENCE_BYTES: usize = 16;
/// The same for a string.
const MAX_STRING_BYTES: usize = 128;

/// Takes bytes, gives keys.
#[derive(Clone, Debug, Default)]
pub struct KeyDecoder {
    state: State,
    sequence_bytes: usize,
    after_cr: bool,
}

/// One byte can end a damaged character and be a key by itself.
pub type Keys = [Option<Key>; 2];

impl KeyDecoder {
    /// Takes the next byte.
    pub fn push(&mut self, byte: u8) -> Keys {
        let after_cr = core::mem::take(&mut self.after_cr);
        match self.state {
            State::Ground if after_cr && byte == b'\n' => [None, None],
            State::Ground => [self.ground(byte), None],
            State::Utf8 {
                mut bytes,
                length,
                needed,
            } => {
                if byte & 0xc0 != 0x80 {
                    self.state = State::Ground;
                    return [Some(Key::Invalid), self.ground(byte)];
                }
                bytes[length] = byte;
                if length + 1 < needed {
                    self.state = State::Utf8 {
                        bytes,
                        length: length + 1,
                        needed,
                    };
                    return [None, None];
                }
                self.state = State::Ground;
                let character = core::str::from_utf8(&bytes[..needed])
                    .ok()
                    .and_then(|text| text.chars().next())
                    .filter(|character| !character.is_control());
                [Some(character.map_or(Key::Invalid, Key::Char)), None]
            }
            State::Escape | State::Csi { .. } | State::Ss3 | State::Text => {
                let longest = if self.state == State::Text {
                    MAX_STRING_BYTES
                } else {
                    MAX_SEQUENCE_BYTES
                };
                self.sequence_bytes += 1;
                // A control character ends a sequence and counts: Enter always works.
                if byte < 0x20 && byte != 0x1b || self.sequence_bytes > longest {
                    self.state = State::Ground;
                    return [self.ground(byte), None];
                }
                [self.sequence(byte), None]
            }
        }
    }

    fn ground(&mut self, byte: u8) -> Option<Key> {
        let needed = match byte {
            b'\r' => {
                self.after_cr = true;
                return Some(Key::Enter);
            }
            b'\n' => return Some(Key::Enter),
            b'\t' => return Some(Key::Tab),
            0x08 | 0x7f => return Some(Key::Backspace),
            0x1b => {
                self.state = State::Escape;
                self.sequence_bytes = 0;
                return None;
            }
            0x01..=0x1a => return Some(Key::Control(char::from(byte + b'a' - 1))),
            0x00 | 0x1c..=0x1f => return None,
            0x20..=0x7e => return Some(Key::Char(char::from(byte))),
            0xc2..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf4 => 4,
            _ => return Some(Key::Invalid),
        };
        self.state = State::Utf8 {
            bytes: [byte, 0, 0, 0],
            length: 1,
            needed,
        };
        None
    }

    fn sequence(&mut self, byte: u8) -> Option<Key> {
        match self.state {
            State::Escape => {
                self.state = match byte {
                    b'[' => State::Csi {
                        params: [0; 2],
                        index: 0,
                    },
                    b'O' => State::Ss3,
                    // OSC, DCS, PM, APC.
                    b']' | b'P' | b'^' | b'_' => State::Text,
                    0x1b => State::Escape,
                    _ => State::Ground,
                };
                // Alt with a letter.
                match byte {
                    b'b' => Some(Key::WordLeft),
                    b'f' => Some(Key::WordRight),
                    _ => None,
                }
            }
            State::Ss3 => {
                self.state = State::Ground;
                final_letter(byte, 1)
            }
            State::Csi { mut params, index } => {
                match byte {
                    b'0'..=b'9' => {
                        if let Some(param) = params.get_mut(index) {
                            *param = param
                                .saturating_mul(10)
                                .saturating_add(u16::from(byte - b'0'));
                        }
                        self.state = State::Csi { params, index };
                        return None;
                    }
                    b';' => {
                        self.state = State::Csi {
                            params,
                            index: index + 1,
                        };
                        return None;
                    }
                    0x40..=0x7e => {}
                    _ => return None,
                }
                self.state = State::Ground;
                match (byte, params[0]) {
                    (b'~', 1 | 7) => Some(Key::Home),
                    (b'~', 4 | 8) => Some(Key::End),
                    (b'~', 3) => Some(Key::Delete),
                    _ => final_letter(byte, params[1]),
                }
            }
            // Ends with BEL, a control character like any other, or with `ESC \`.
            State::Text if byte == 0x1b => {
                self.state = State::Escape;
                None
            }
            State::Text | State::Ground | State::Utf8 { .. } => None,
        }
    }
}

/// xterm's cursor keys; a modifier of 3 or more holds Alt or Control.
fn final_letter(byte: u8, modifier: u16) -> Option<Key> {
    Some(match (byte, modifier) {
        (b'A', _) => Key::Up,
        (b'B', _) => Key::Down,
        (b'C', 3..) => Key::WordRight,
        (b'D', 3..) => Key::WordLeft,
        (b'C', _) => Key::Right,
        (b'D', _) => Key::Left,
        (b'H', _) => Key::Home,
        (b'F', _) => Key::End,
        _ => return None,
    })
}
