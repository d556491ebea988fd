//! Reading values, and saying what would have been accepted.

use super::Word;
use super::options::Takes;
use core::fmt;

/// A word whose value is not what its key takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValueError<'a> {
    /// The word.
    pub word: Word<'a>,
    /// What its key takes.
    pub accepted: Takes,
}

impl fmt::Display for ValueError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.word.value {
            Some(value) => write!(f, "option {}={}: not understood", self.word.key, value)?,
            None => write!(f, "option {} needs a value", self.word.key)?,
        }
        write!(f, "; it takes {}; its default is used", self.accepted)
    }
}

/// A number: decimal or `0x` hexadecimal, with an optional K, M, G or T (powers of 1024, either case). `None` for
/// anything else or above 2^64 - 1.
pub fn parse_number(text: &str) -> Option<u64> {
    let (digits, factor) = match text.as_bytes().last()?.to_ascii_uppercase() {
        b'K' => (text.get(..text.len() - 1)?, 1 << 10),
        b'M' => (text.get(..text.len() - 1)?, 1 << 20),
        b'G' => (text.get(..text.len() - 1)?, 1 << 30),
        b'T' => (text.get(..text.len() - 1)?, 1u64 << 40),
        _ => (text, 1),
    };
    let hexadecimal = digits
        .strip_prefix("0x")
        .or_else(|| digits.strip_prefix("0X"));
    let (digits, radix) = hexadecimal.map_or((digits, 10), |digits| (digits, 16));
    // `from_str_radix` would accept a sign.
    if !digits.starts_with(|c: char| c.is_digit(radix)) {
        return None;
    }
    u64::from_str_radix(digits, radix).ok()?.checked_mul(factor)
}

/// A switch: `on`, `yes`, `true`, `1`, or `off`, `no`, `false`, `0`.
pub fn parse_flag(text: &str) -> Option<bool> {
    match text {
        "on" | "yes" | "true" | "1" => Some(true),
        "off" | "no" | "false" | "0" => Some(false),
        _ => None,
    }
}
