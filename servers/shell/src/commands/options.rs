//! Options and operands of a command.
//!
//! `--name`, `--name VALUE`, `--name=VALUE`, `-n`, `-n VALUE`, `-nVALUE`; several letters in one word;
//! `--` ends the options. `echo` and `panic` take text: from their first operand on all words are.

use core::fmt;

use heapless::Vec;

use super::{Command, OptionSpec};
use crate::parse::{MAX_WORDS, Words};

/// What is wrong with the words behind a command.
#[derive(Debug, PartialEq, Eq)]
pub enum UsageError<'w> {
    /// No such option.
    UnknownOption(&'w str),
    /// The option needs a value and has none.
    MissingValue(&'static str),
    /// The option takes no value and got one.
    UnwantedValue(&'static str),
    /// The value is none of the words it may be.
    BadValue {
        /// The option.
        option: &'static str,
        /// Its value.
        value: &'w str,
    },
    /// Too few operands.
    MissingOperand(&'static str),
    /// More operands than the command takes; the first of those.
    ExtraOperand(&'w str),
}

impl fmt::Display for UsageError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownOption(word) => write!(f, "there is no option {word}"),
            Self::MissingValue(option) => write!(f, "--{option} needs a value"),
            Self::UnwantedValue(option) => write!(f, "--{option} takes no value"),
            Self::BadValue { option, value } => write!(f, "--{option} cannot be {value:?}"),
            Self::MissingOperand(operands) => write!(f, "{operands} is missing"),
            Self::ExtraOperand(word) => write!(f, "{word:?} is one word too many"),
        }
    }
}

/// The words behind a command, sorted out.
pub struct Parsed<'w> {
    /// `--help` was there.
    pub help: bool,
    given: Vec<(&'static str, &'w str), MAX_WORDS>,
    /// What is no option.
    pub operands: Vec<&'w str, MAX_WORDS>,
}

impl<'w> Parsed<'w> {
    /// Sorts out the words of `command`.
    pub fn new(command: &'static Command, words: &'w Words) -> Result<Self, UsageError<'w>> {
        let mut parsed = Self {
            help: false,
            given: Vec::new(),
            operands: Vec::new(),
        };
        let takes_text = command.operand_counts.1 == usize::MAX;
        let mut rest = words.from(1);
        let mut options_ended = false;
        while let Some(word) = rest.next() {
            if options_ended || !word.starts_with('-') || word == "-" {
                options_ended |= takes_text;
                parsed.operand(word);
            } else if word == "--" {
                options_ended = true;
            } else if let Some(long) = word.strip_prefix("--") {
                parsed.long(command, word, long, &mut rest)?;
            } else if takes_text && command.options.is_empty() && !word.starts_with("-h") {
                // `echo -1`: nothing but `-h` can be meant as an option.
                options_ended = true;
                parsed.operand(word);
            } else {
                parsed.letters(command, word, &mut rest)?;
            }
        }
        let (fewest, most) = command.operand_counts;
        if !parsed.help && parsed.operands.len() < fewest {
            return Err(UsageError::MissingOperand(command.operands));
        }
        match parsed.operands.get(most) {
            Some(extra) if !parsed.help => Err(UsageError::ExtraOperand(extra)),
            _ => Ok(parsed),
        }
    }

    /// Whether option `long` was given.
    pub fn has(&self, long: &str) -> bool {
        self.value(long).is_some()
    }

    /// The value of option `long`, the last one if given several times.
    pub fn value(&self, long: &str) -> Option<&'w str> {
        self.given
            .iter()
            .rev()
            .find(|(name, _)| *name == long)
            .map(|(_, value)| *value)
    }

    fn operand(&mut self, word: &'w str) {
        // There are no more operands, or options, than words.
        let kept = self.operands.push(word);
        debug_assert!(kept.is_ok());
    }

    fn long(
        &mut self,
        command: &'static Command,
        word: &'w str,
        long: &'w str,
        rest: &mut impl Iterator<Item = &'w str>,
    ) -> Result<(), UsageError<'w>> {
        let (name, value) = match long.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (long, None),
        };
        if name == "help" && value.is_none() {
            self.help = true;
            return Ok(());
        }
        let option = command.options.iter().find(|option| option.long == name);
        let option = option.ok_or(UsageError::UnknownOption(word))?;
        match (option.value, value) {
            (None, Some(_)) => Err(UsageError::UnwantedValue(option.long)),
            (None, None) => self.give(option, ""),
            (Some(_), Some(value)) => self.give(option, value),
            (Some(_), None) => {
                let value = rest.next().ok_or(UsageError::MissingValue(option.long))?;
                self.give(option, value)
            }
        }
    }

    fn letters(
        &mut self,
        command: &'static Command,
        word: &'w str,
        rest: &mut impl Iterator<Item = &'w str>,
    ) -> Result<(), UsageError<'w>> {
        let mut letters = word.get(1..).unwrap_or_default().chars();
        while let Some(letter) = letters.next() {
            let known = command
                .options
                .iter()
                .find(|option| option.short == Some(letter));
            let Some(option) = known else {
                if letter == 'h' {
                    self.help = true;
                    continue;
                }
                return Err(UsageError::UnknownOption(word));
            };
            if option.value.is_none() {
                self.give(option, "")?;
                continue;
            }
            let attached = letters.as_str();
            let value = if attached.is_empty() {
                rest.next()
            } else {
                Some(attached)
            };
            return self.give(option, value.ok_or(UsageError::MissingValue(option.long))?);
        }
        Ok(())
    }

    fn give(&mut self, option: &'static OptionSpec, value: &'w str) -> Result<(), UsageError<'w>> {
        if !option.choices.is_empty() && !option.choices.contains(&value) {
            return Err(UsageError::BadValue {
                option: option.long,
                value,
            });
        }
        if self.given.push((option.long, value)).is_err() {
            // More options than words: letters in one word, repeated beyond any use.
            return Err(UsageError::ExtraOperand(value));
        }
        Ok(())
    }
}
