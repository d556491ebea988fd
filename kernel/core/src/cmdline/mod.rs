//! The kernel command line: words separated by spaces, each `key` or `key=value`, with double quotes around what holds spaces.
//!
//! ```text
//! loglevel=debug bench.seed=7 selftest=idle selftest="nmi storm" smp=2
//! ```
//!
//! Boot parses the loader's bytes once ([`CommandLine::parse`]), logs everything [`CommandLine::diagnose`] finds (unknown
//! keys with the nearest known one, values that are not what the key takes, bad quoting), and reads options with the typed
//! getters. [`options::OPTIONS`] is the one table of what there is. A bad word never stops the boot: the option then has its default.
//!
//! Where a key is given twice, the last wins (loaders append), except for keys meant to be repeated.

mod diagnose;
pub mod options;
mod value;
mod words;

#[cfg(test)]
mod tests;

pub use diagnose::{Diagnosis, nearest};
pub use value::{ValueError, parse_flag, parse_number};
pub use words::{Quoting, Word, Words};

use crate::boot_info::{CommandLineBytes, MAX_COMMAND_LINE_BYTES};
use options::Takes;

/// A command line, made valid UTF-8. About 2 KiB.
#[derive(Clone, Copy)]
pub struct CommandLine {
    bytes: [u8; MAX_COMMAND_LINE_BYTES],
    len: usize,
    truncated: bool,
    invalid_sequences: u32,
}

impl CommandLine {
    /// No words.
    pub const EMPTY: Self = Self {
        bytes: [0; MAX_COMMAND_LINE_BYTES],
        len: 0,
        truncated: false,
        invalid_sequences: 0,
    };

    /// Reads what the loader gave.
    pub fn parse(given: &CommandLineBytes) -> Self {
        let mut line = Self::from_bytes(given.as_bytes());
        line.truncated |= given.is_truncated();
        line
    }

    /// Reads `bytes`. Each sequence that is not UTF-8 becomes one `?`, which [`Self::diagnose`] tells.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let mut line = Self::EMPTY;
        for chunk in bytes.utf8_chunks() {
            line.push(chunk.valid());
            if !chunk.invalid().is_empty() {
                line.push("?");
                line.invalid_sequences = line.invalid_sequences.saturating_add(1);
            }
        }
        line
    }

    fn push(&mut self, text: &str) {
        if self.truncated {
            return;
        }
        let fitting = crate::text::floor_char_boundary(text, MAX_COMMAND_LINE_BYTES - self.len);
        let places = self.bytes.iter_mut().skip(self.len);
        for (place, &byte) in places.zip(text.as_bytes().iter().take(fitting)) {
            *place = byte;
        }
        self.len += fitting;
        self.truncated = fitting < text.len();
    }

    /// The line as it is read.
    pub fn as_str(&self) -> &str {
        // Only whole characters are stored, so the fallback is not reached.
        core::str::from_utf8(self.bytes.get(..self.len).unwrap_or(&[])).unwrap_or("")
    }

    /// Whether the line was longer than [`MAX_COMMAND_LINE_BYTES`].
    pub const fn is_truncated(&self) -> bool {
        self.truncated
    }

    /// How many byte sequences were not UTF-8.
    pub const fn invalid_sequences(&self) -> u32 {
        self.invalid_sequences
    }

    /// The words, in order.
    pub fn words(&self) -> Words<'_> {
        Words::new(self.as_str())
    }

    /// All words with `key`, for keys that may be repeated.
    pub fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = Word<'a>> + Clone {
        self.words().filter(move |word| word.key == key)
    }

    /// All words whose key starts with `prefix` (such as `bench.`).
    pub fn with_prefix<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = Word<'a>> + Clone {
        self.words()
            .filter(move |word| word.key.starts_with(prefix))
    }

    /// The last word with `key`: the one that counts.
    pub fn last<'a>(&'a self, key: &'a str) -> Option<Word<'a>> {
        self.all(key).last()
    }

    /// The value of `key` as text; `None` without the key, or if it has no value.
    pub fn text<'a>(&'a self, key: &'a str) -> Option<&'a str> {
        self.last(key)?.value
    }

    /// The value of `key` as a number: decimal or `0x` hexadecimal, with an optional K, M, G or T (powers of 1024).
    ///
    /// # Errors
    /// [`ValueError`] naming the word and what is accepted.
    pub fn number<'a>(&'a self, key: &'a str) -> Result<Option<u64>, ValueError<'a>> {
        let Some(word) = self.last(key) else {
            return Ok(None);
        };
        match word.value.and_then(parse_number) {
            Some(number) => Ok(Some(number)),
            None => Err(ValueError {
                word,
                accepted: Takes::Number,
            }),
        }
    }

    /// The value of `key` as a switch: `on`, `yes`, `true`, `1` or no value at all; `off`, `no`, `false` or `0`.
    ///
    /// # Errors
    /// [`ValueError`] naming the word and what is accepted.
    pub fn flag<'a>(&'a self, key: &'a str) -> Result<Option<bool>, ValueError<'a>> {
        let Some(word) = self.last(key) else {
            return Ok(None);
        };
        match word.value.map_or(Some(true), parse_flag) {
            Some(flag) => Ok(Some(flag)),
            None => Err(ValueError {
                word,
                accepted: Takes::Flag,
            }),
        }
    }

    /// The value of `key` as one of `choices`; the answer is its position.
    ///
    /// # Errors
    /// [`ValueError`] naming the word and what is accepted.
    pub fn choice<'a>(
        &'a self,
        key: &'a str,
        choices: &'static [&'static str],
    ) -> Result<Option<usize>, ValueError<'a>> {
        let Some(word) = self.last(key) else {
            return Ok(None);
        };
        let found = word
            .value
            .and_then(|value| choices.iter().position(|&choice| choice == value));
        match found {
            Some(index) => Ok(Some(index)),
            None => Err(ValueError {
                word,
                accepted: Takes::OneOf(choices),
            }),
        }
    }

    /// Everything on the line that will not do what its writer meant, in order.
    pub fn diagnose(&self) -> impl Iterator<Item = Diagnosis<'_>> {
        diagnose::diagnose(self)
    }
}

impl core::fmt::Debug for CommandLine {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Debug::fmt(self.as_str(), f)
    }
}
