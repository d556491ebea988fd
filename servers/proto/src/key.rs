//! A key press, and what a terminal sends for it.

use core::fmt::Write;

use serde::{Deserialize, Serialize};

/// The keys that are no characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Key {
    /// A character, with shift, AltGr and control already applied (control-C is U+0003).
    Char(char),
    /// Enter, on either block.
    Enter,
    /// Backspace.
    Backspace,
    /// Tab.
    Tab,
    /// Escape.
    Escape,
    /// Arrow up.
    Up,
    /// Arrow down.
    Down,
    /// Arrow right.
    Right,
    /// Arrow left.
    Left,
    /// Home.
    Home,
    /// End.
    End,
    /// Insert.
    Insert,
    /// Delete.
    Delete,
    /// Page up.
    PageUp,
    /// Page down.
    PageDown,
    /// A function key, 1 to 12.
    Function(u8),
}

/// Modifier keys that were held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Modifiers {
    /// Either shift key.
    pub shift: bool,
    /// The left Alt key.
    pub alt: bool,
    /// Either control key.
    pub control: bool,
    /// Either key with a logo. Terminals know none.
    pub logo: bool,
}

impl Modifiers {
    /// xterm's modifier parameter: 1 plus a bit for each.
    const fn parameter(self) -> u8 {
        1 + self.shift as u8 + 2 * self.alt as u8 + 4 * self.control as u8
    }
}

/// A key that was pressed (or repeated).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyPress {
    /// Which key.
    pub key: Key,
    /// What was held with it.
    pub modifiers: Modifiers,
}

/// The bytes a terminal sends for one key press.
pub type TerminalBytes = heapless::Vec<u8, 12>;

/// How xterm writes a key without a character.
enum Sequence {
    /// `ESC [ <letter>`, with modifiers `ESC [ 1 ; <m> <letter>`.
    Csi(char),
    /// `ESC O <letter>`, with modifiers `ESC [ 1 ; <m> <letter>`.
    Ss3(char),
    /// `ESC [ <number> ~`, with modifiers `ESC [ <number> ; <m> ~`.
    Tilde(u8),
}

impl KeyPress {
    /// What an xterm sends for it ("XTerm Control Sequences", PC-style function keys): characters
    /// in UTF-8, after an ESC if Alt was held; Enter as CR; Backspace as DEL.
    #[must_use]
    pub fn terminal_bytes(&self) -> TerminalBytes {
        let mut out = Out(TerminalBytes::new());
        let sequence = match self.key {
            Key::Char(character) => return out.character(character, self.modifiers),
            Key::Enter => return out.character('\r', self.modifiers),
            Key::Backspace => return out.character('\u{7f}', self.modifiers),
            Key::Escape => return out.character('\u{1b}', self.modifiers),
            Key::Tab if self.modifiers.shift => Sequence::Csi('Z'),
            Key::Tab => return out.character('\t', self.modifiers),
            Key::Up => Sequence::Csi('A'),
            Key::Down => Sequence::Csi('B'),
            Key::Right => Sequence::Csi('C'),
            Key::Left => Sequence::Csi('D'),
            Key::Home => Sequence::Csi('H'),
            Key::End => Sequence::Csi('F'),
            Key::Insert => Sequence::Tilde(2),
            Key::Delete => Sequence::Tilde(3),
            Key::PageUp => Sequence::Tilde(5),
            Key::PageDown => Sequence::Tilde(6),
            Key::Function(number) => match number {
                1 => Sequence::Ss3('P'),
                2 => Sequence::Ss3('Q'),
                3 => Sequence::Ss3('R'),
                4 => Sequence::Ss3('S'),
                5 => Sequence::Tilde(15),
                6..=10 => Sequence::Tilde(number + 11),
                11 | 12 => Sequence::Tilde(number + 12),
                _ => return out.0,
            },
        };
        out.sequence(sequence, self.modifiers.parameter());
        out.0
    }
}

struct Out(TerminalBytes);

impl Out {
    fn character(mut self, character: char, modifiers: Modifiers) -> TerminalBytes {
        if modifiers.alt {
            self.put(format_args!("\u{1b}"));
        }
        self.put(format_args!("{character}"));
        self.0
    }

    fn sequence(&mut self, sequence: Sequence, modifiers: u8) {
        match (sequence, modifiers) {
            (Sequence::Csi('Z'), _) => self.put(format_args!("\u{1b}[Z")),
            (Sequence::Csi(letter), 1) => self.put(format_args!("\u{1b}[{letter}")),
            (Sequence::Ss3(letter), 1) => self.put(format_args!("\u{1b}O{letter}")),
            (Sequence::Tilde(number), 1) => self.put(format_args!("\u{1b}[{number}~")),
            (Sequence::Csi(letter) | Sequence::Ss3(letter), modifiers) => {
                self.put(format_args!("\u{1b}[1;{modifiers}{letter}"));
            }
            (Sequence::Tilde(number), modifiers) => {
                self.put(format_args!("\u{1b}[{number};{modifiers}~"));
            }
        }
    }

    fn put(&mut self, arguments: core::fmt::Arguments<'_>) {
        // The longest sequence, `ESC [ 24 ; 8 ~`, has 7 bytes: it always fits.
        let fits = self.0.write_fmt(arguments);
        debug_assert!(fits.is_ok());
    }
}
