//! What on a command line will not do what its writer meant.

use super::options::{self, OPTIONS, Occurs, Takes};
use super::{CommandLine, Quoting, ValueError, Word, parse_flag, parse_number};
use core::fmt;

/// One thing wrong with a command line. Its text says what is wrong and what happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Diagnosis<'a> {
    /// The line was longer than what is kept of it.
    Truncated,
    /// Byte sequences that are not UTF-8, each read as `?`.
    InvalidUtf8 {
        /// How many.
        sequences: u32,
    },
    /// No option has this name.
    Unknown {
        /// The word.
        word: Word<'a>,
        /// The option whose name is nearest, if one is near.
        nearest: Option<&'static str>,
    },
    /// The value is not what the option takes.
    Value(ValueError<'a>),
    /// The word's closing quote is missing, or something follows it directly.
    Quotes(Word<'a>),
    /// A later word with the same key replaces this one.
    Replaced(Word<'a>),
}

impl fmt::Display for Diagnosis<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => write!(
                f,
                "the command line is longer than {} bytes; the rest is ignored",
                crate::boot_info::MAX_COMMAND_LINE_BYTES
            ),
            Self::InvalidUtf8 { sequences } => {
                write!(
                    f,
                    "the command line has {sequences} byte sequences that are not UTF-8, each read as '?'"
                )
            }
            Self::Unknown { word, nearest } => {
                write!(f, "option {} is unknown and ignored", word.key)?;
                nearest.map_or(Ok(()), |name| write!(f, "; did you mean {name}?"))
            }
            Self::Value(error) => error.fmt(f),
            Self::Quotes(word) => {
                let what = match word.quoting {
                    Quoting::Followed => {
                        "something follows its closing quote; it is read as a word of its own"
                    }
                    Quoting::Unclosed | Quoting::Fine => {
                        "its closing quote is missing; it is read up to the end of the line"
                    }
                };
                write!(f, "option {}: {what}", word.key)
            }
            Self::Replaced(word) => write!(
                f,
                "option {} is given again later; the last one counts",
                word.key
            ),
        }
    }
}

pub(super) fn diagnose(line: &CommandLine) -> impl Iterator<Item = Diagnosis<'_>> {
    let truncated = line.is_truncated().then_some(Diagnosis::Truncated);
    let sequences = line.invalid_sequences();
    let invalid = (sequences > 0).then_some(Diagnosis::InvalidUtf8 { sequences });
    let mut words = line.words();
    let of_words = core::iter::from_fn(move || words.next().map(|word| (word, words.clone())))
        .flat_map(|(word, later)| {
            let quotes = (word.quoting != Quoting::Fine).then_some(Diagnosis::Quotes(word));
            [quotes, diagnose_word(word, later)].into_iter().flatten()
        });
    truncated.into_iter().chain(invalid).chain(of_words)
}

fn diagnose_word<'a>(word: Word<'a>, mut later: super::Words<'a>) -> Option<Diagnosis<'a>> {
    let Some(option) = options::find(word.key) else {
        return Some(Diagnosis::Unknown {
            word,
            nearest: nearest(word.key, OPTIONS.iter().map(|option| option.name)),
        });
    };
    let good = match (option.takes, word.value) {
        (Takes::Number, value) => value.and_then(parse_number).is_some(),
        (Takes::Flag, value) => value.map_or(Some(true), parse_flag).is_some(),
        (Takes::OneOf(choices), value) => value.is_some_and(|value| choices.contains(&value)),
        (Takes::Text, value) => value.is_some(),
    };
    if !good {
        return Some(Diagnosis::Value(ValueError {
            word,
            accepted: option.takes,
        }));
    }
    let replaced = option.occurs == Occurs::Once && later.any(|next| next.key == word.key);
    replaced.then_some(Diagnosis::Replaced(word))
}

/// The name nearest to `word`, if no more than a third of it is mistyped: the restricted edit distance (insert, delete, replace or swap
/// neighbours), ignoring case and `-`, `_` and `.`. For "did you mean" in the command line and the shell.
///
/// Names and words over 32 bytes are not considered, which bounds the work.
pub fn nearest<'n>(word: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let allowed = word.len().div_ceil(3).min(4);
    names
        .filter(|&name| name != word)
        .filter_map(|name| Some((distance(word, name)?, name)))
        .filter(|&(distance, name)| distance <= allowed && distance < name.len())
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, name)| name)
}

const MAX_NAME_BYTES: usize = 32;

fn distance(a: &str, b: &str) -> Option<usize> {
    let plain = |text: &str| {
        let mut bytes = [0u8; MAX_NAME_BYTES];
        let mut len = 0;
        for byte in text.bytes().filter(|byte| !b"-_.".contains(byte)) {
            *bytes.get_mut(len)? = byte.to_ascii_lowercase();
            len += 1;
        }
        Some((bytes, len))
    };
    let ((a, a_len), (b, b_len)) = (plain(a)?, plain(b)?);
    // Three rows of the usual table: swaps look two back (Damerau 1964; the "optimal string alignment" form).
    let mut rows = [[0usize; MAX_NAME_BYTES + 1]; 3];
    rows[0] = core::array::from_fn(|j| j);
    for i in 1..=a_len {
        let (now, last, before) = (i % 3, (i + 2) % 3, (i + 1) % 3);
        rows[now][0] = i;
        for j in 1..=b_len {
            let replace = rows[last][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replace.min(rows[last][j] + 1).min(rows[now][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[before][j - 2] + 1);
            }
            rows[now][j] = best;
        }
    }
    Some(rows[a_len % 3][b_len])
}
