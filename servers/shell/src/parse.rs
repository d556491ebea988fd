//! From a line to words.
//!
//! Words are separated by blanks and commands by `;`. `'…'` takes everything as it is; `"…"` keeps
//! blanks and `;`, while `\"`, `\\` and `\$` stand for the character; outside of quotes a backslash
//! takes the next character as it is. `$?` is the status of the command before, except in `'…'`.

use core::fmt::{self, Write};

use heapless::{String, Vec};

use crate::MAX_LINE_BYTES;

/// Most words of one command.
pub const MAX_WORDS: usize = 32;
/// `$?` is two bytes in a line and up to three in a word.
const WORDS_BYTES: usize = 2 * MAX_LINE_BYTES;

/// Why a line cannot be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParseError {
    /// A quote is not closed.
    OpenQuote(char),
    /// The line ends with a backslash.
    OpenBackslash,
    /// A command has more than [`MAX_WORDS`] words.
    TooManyWords,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OpenQuote(quote) => {
                write!(f, "the line has an opening {quote} without a closing one")
            }
            Self::OpenBackslash => {
                f.write_str("the line ends with a backslash, which needs a character after it")
            }
            Self::TooManyWords => write!(f, "a command takes at most {MAX_WORDS} words"),
        }
    }
}

impl core::error::Error for ParseError {}

/// The words of one command.
#[derive(Default)]
pub struct Words {
    text: String<WORDS_BYTES>,
    /// Where each word ends in `text`.
    ends: Vec<usize, MAX_WORDS>,
}

impl Words {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The word at `index`.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&str> {
        let end = *self.ends.get(index)?;
        let start = index
            .checked_sub(1)
            .and_then(|before| self.ends.get(before))
            .copied();
        self.text.get(start.unwrap_or(0)..end)
    }

    /// All of them from `first` on.
    pub fn from(&self, first: usize) -> impl Iterator<Item = &str> {
        (first..self.len()).filter_map(|index| self.get(index))
    }

    fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
    }

    fn push(&mut self, character: char) -> Result<(), ParseError> {
        self.text
            .push(character)
            .map_err(|_| ParseError::TooManyWords)
    }

    fn end_word(&mut self) -> Result<(), ParseError> {
        self.ends
            .push(self.text.len())
            .map_err(|_| ParseError::TooManyWords)
    }
}

/// Reads the first command of `line` into `words` (none if it is blank); gives what is behind its
/// `;`, or `None` at the end of the line.
///
/// # Errors
/// [`ParseError`], if the command is malformed.
pub fn next_command<'a>(
    line: &'a str,
    status: u8,
    words: &mut Words,
) -> Result<Option<&'a str>, ParseError> {
    words.clear();
    let mut in_word = false;
    let mut quote = None;
    let mut characters = line.char_indices().peekable();
    while let Some((index, character)) = characters.next() {
        let next = characters.peek().map(|(_, next)| *next);
        match (quote, character) {
            (Some(open), closing) if open == closing => quote = None,
            (Some('\''), literal) => words.push(literal)?,
            (_, '$') if next == Some('?') => {
                characters.next();
                in_word = true;
                write!(words.text, "{status}").map_err(|_| ParseError::TooManyWords)?;
            }
            (Some(_), '\\') if !matches!(next, Some('"' | '\\' | '$')) => words.push('\\')?,
            (_, '\\') => {
                let (_, literal) = characters.next().ok_or(ParseError::OpenBackslash)?;
                in_word = true;
                words.push(literal)?;
            }
            (Some(_), literal) => words.push(literal)?,
            (None, '\'' | '"') => {
                quote = Some(character);
                in_word = true;
            }
            (None, ';') => {
                if in_word {
                    words.end_word()?;
                }
                return Ok(line.get(index + 1..));
            }
            (None, blank) if blank.is_whitespace() => {
                if core::mem::take(&mut in_word) {
                    words.end_word()?;
                }
            }
            (None, literal) => {
                in_word = true;
                words.push(literal)?;
            }
        }
    }
    if let Some(open) = quote {
        return Err(ParseError::OpenQuote(open));
    }
    if in_word {
        words.end_word()?;
    }
    Ok(None)
}

/// Looks whether a whole line can be run, so that nothing of a malformed one is.
///
/// # Errors
/// The first [`ParseError`] in it.
pub fn check(line: &str, words: &mut Words) -> Result<(), ParseError> {
    let mut rest = Some(line);
    while let Some(line) = rest {
        rest = next_command(line, 0, words)?;
    }
    Ok(())
}
