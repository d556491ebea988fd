//! The line being typed.
//!
//! Pure: keys in, an [`Action`] and the terminal's update out. The line is shown in one row of the
//! terminal; a line longer than that scrolls sideways, by half a row at a time, so that typing at
//! the end costs one character of output and not a row. Each character takes one column.

use core::fmt::{self, Write};

use heapless::Vec;

use crate::MAX_LINE_BYTES;
use crate::keys::Key;

/// What the shell has to do about a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing.
    None,
    /// Run the line.
    Submit,
    /// Forget the line.
    Cancel,
    /// Ctrl-D on an empty line.
    EndOfInput,
    /// Complete the word before the cursor.
    Complete,
    /// Show the line before, in the history.
    Earlier,
    /// Show the line after.
    Later,
    /// Show the next older line that contains what was typed.
    Search,
}

/// Fewest columns of the line that show beside the prompt.
const LEAST_COLUMNS: usize = 8;

/// The line and the cursor in it.
pub struct Editor {
    prompt: &'static str,
    /// Columns of the line that show beside the prompt.
    columns: usize,
    /// UTF-8.
    line: Vec<u8, MAX_LINE_BYTES>,
    /// A byte position in `line`, at a character.
    cursor: usize,
    /// Characters scrolled out to the left.
    first: usize,
    too_long: bool,
    invalid: bool,
}

impl Editor {
    /// An empty line behind `prompt` (one column a character) on a terminal of `columns` columns.
    #[must_use]
    pub fn new(prompt: &'static str, columns: usize) -> Self {
        // One column stays free for the cursor behind the last character.
        let columns = columns
            .saturating_sub(prompt.chars().count() + 1)
            .max(LEAST_COLUMNS);
        Self {
            prompt,
            columns,
            line: Vec::new(),
            cursor: 0,
            first: 0,
            too_long: false,
            invalid: false,
        }
    }

    /// The line.
    #[must_use]
    pub fn line(&self) -> &str {
        text(&self.line)
    }

    /// The line before the cursor.
    #[must_use]
    pub fn before_cursor(&self) -> &str {
        text(self.line.get(..self.cursor).unwrap_or_default())
    }

    fn after_cursor(&self) -> &str {
        text(self.line.get(self.cursor..).unwrap_or_default())
    }

    /// Whether more was typed than a line holds; the line is not to be run then.
    #[must_use]
    pub const fn is_too_long(&self) -> bool {
        self.too_long
    }

    /// Whether bytes that are not UTF-8 were replaced.
    #[must_use]
    pub const fn had_invalid(&self) -> bool {
        self.invalid
    }

    /// Empties the line; nothing is shown.
    pub fn clear(&mut self) {
        self.line.clear();
        self.cursor = 0;
        self.first = 0;
        self.too_long = false;
        self.invalid = false;
    }

    /// Takes a character without showing anything, at the end of the line.
    pub fn append(&mut self, character: char) {
        self.cursor = self.line.len();
        self.insert(character);
    }

    /// Remembers that bytes were not UTF-8, and takes the replacement character for them.
    pub fn append_invalid(&mut self) {
        self.invalid = true;
        self.append(char::REPLACEMENT_CHARACTER);
    }

    /// Takes a key, and updates the terminal.
    ///
    /// # Errors
    /// If `out` fails.
    pub fn key<W: Write>(&mut self, key: Key, out: &mut W) -> Result<Action, fmt::Error> {
        match key {
            Key::Char(character) => self.type_in(character, out)?,
            Key::Invalid => {
                self.invalid = true;
                self.type_in(char::REPLACEMENT_CHARACTER, out)?;
            }
            Key::Enter => return Ok(Action::Submit),
            Key::Tab => return Ok(Action::Complete),
            Key::Up | Key::Control('p') => return Ok(Action::Earlier),
            Key::Down | Key::Control('n') => return Ok(Action::Later),
            Key::Control('r') => return Ok(Action::Search),
            Key::Control('c') => return Ok(Action::Cancel),
            Key::Control('d') if self.line.is_empty() => return Ok(Action::EndOfInput),
            Key::Backspace => self.remove(self.left_of_cursor(), self.cursor, out)?,
            Key::Delete | Key::Control('d') => {
                self.remove(self.cursor, self.right_of_cursor(), out)?;
            }
            Key::Control('w') => self.remove(self.word_left(), self.cursor, out)?,
            Key::Control('u') => self.remove(0, self.cursor, out)?,
            Key::Control('k') => self.remove(self.cursor, self.line.len(), out)?,
            Key::Left | Key::Control('b') => self.go(self.left_of_cursor(), out)?,
            Key::Right | Key::Control('f') => self.go(self.right_of_cursor(), out)?,
            Key::Home | Key::Control('a') => self.go(0, out)?,
            Key::End | Key::Control('e') => self.go(self.line.len(), out)?,
            Key::WordLeft => self.go(self.word_left(), out)?,
            Key::WordRight => self.go(self.word_right(), out)?,
            Key::Control('l') => {
                out.write_str("\x1b[H\x1b[2J")?;
                self.show(out)?;
            }
            Key::Control(_) => {}
        }
        Ok(Action::None)
    }

    /// Puts another line in the place of this one; what does not fit is cut.
    ///
    /// # Errors
    /// If `out` fails.
    pub fn replace<W: Write>(&mut self, line: &str, out: &mut W) -> fmt::Result {
        let (too_long, invalid) = (self.too_long, self.invalid);
        self.clear();
        (self.too_long, self.invalid) = (too_long, invalid);
        for character in line.chars() {
            self.insert(character);
        }
        self.show(out)
    }

    /// Types `text` at the cursor.
    ///
    /// # Errors
    /// If `out` fails.
    pub fn type_text<W: Write>(&mut self, text: &str, out: &mut W) -> fmt::Result {
        text.chars()
            .try_for_each(|character| self.type_in(character, out))
    }

    /// Writes prompt and line over the current row of the terminal, the cursor in its place.
    ///
    /// # Errors
    /// If `out` fails.
    pub fn show<W: Write>(&mut self, out: &mut W) -> fmt::Result {
        let cursor = self.before_cursor().chars().count();
        let length = cursor + self.after_cursor().chars().count();
        if length <= self.columns {
            self.first = 0;
        } else if !self.is_visible(cursor) {
            self.first = cursor.saturating_sub(self.columns / 2);
        }
        write!(out, "\r{}", self.prompt)?;
        for character in self.line().chars().skip(self.first).take(self.columns) {
            out.write_char(character)?;
        }
        out.write_str("\x1b[K")?;
        if cursor < length {
            let column = self.prompt.chars().count() + (cursor - self.first) + 1;
            write!(out, "\x1b[{column}G")?;
        }
        Ok(())
    }

    fn is_visible(&self, position: usize) -> bool {
        (self.first..=self.first + self.columns).contains(&position)
    }

    fn type_in<W: Write>(&mut self, character: char, out: &mut W) -> fmt::Result {
        if !self.insert(character) {
            // A bell: the line takes no more.
            return out.write_char('\x07');
        }
        let at_end = self.cursor == self.line.len();
        if at_end && self.is_visible(self.before_cursor().chars().count()) {
            out.write_char(character)
        } else {
            self.show(out)
        }
    }

    /// Whether there was room.
    fn insert(&mut self, character: char) -> bool {
        let mut bytes = [0; 4];
        let bytes = character.encode_utf8(&mut bytes).as_bytes();
        let (length, added) = (self.line.len(), bytes.len());
        if self.too_long || self.line.resize(length + added, 0).is_err() {
            self.too_long = true;
            return false;
        }
        self.line
            .copy_within(self.cursor..length, self.cursor + added);
        self.line[self.cursor..self.cursor + added].copy_from_slice(bytes);
        self.cursor += added;
        true
    }

    fn remove<W: Write>(&mut self, from: usize, to: usize, out: &mut W) -> fmt::Result {
        if from == to {
            return Ok(());
        }
        let last_character = to == self.line.len()
            && self.cursor == to
            && text(&self.line[from..to]).chars().count() == 1;
        self.line.copy_within(to.., from);
        self.line.truncate(self.line.len() - (to - from));
        self.cursor = from;
        let column = self.before_cursor().chars().count();
        if last_character && self.first == 0 && column < self.columns {
            out.write_str("\x08 \x08")
        } else {
            self.show(out)
        }
    }

    fn go<W: Write>(&mut self, to: usize, out: &mut W) -> fmt::Result {
        if to == self.cursor {
            return Ok(());
        }
        self.cursor = to;
        self.show(out)
    }

    fn left_of_cursor(&self) -> usize {
        self.before_cursor()
            .char_indices()
            .next_back()
            .map_or(0, |(index, _)| index)
    }

    fn right_of_cursor(&self) -> usize {
        let next = self.after_cursor().chars().next();
        self.cursor + next.map_or(0, char::len_utf8)
    }

    fn word_left(&self) -> usize {
        let before = self.before_cursor().trim_end();
        let start = before
            .char_indices()
            .rev()
            .find(|(_, character)| character.is_whitespace());
        start.map_or(0, |(index, blank)| index + blank.len_utf8())
    }

    fn word_right(&self) -> usize {
        let after = self.after_cursor();
        let word = after.trim_start();
        let end = word.find(char::is_whitespace).unwrap_or(word.len());
        self.cursor + (after.len() - word.len()) + end
    }
}

/// The line is UTF-8 and cut only at characters, so this never takes the default.
fn text(bytes: &[u8]) -> &str {
    core::str::from_utf8(bytes).unwrap_or_default()
}
