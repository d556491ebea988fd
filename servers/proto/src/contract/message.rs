//! Messages of contracts as bytes and as words.

use abi::message::{WORDS, Words};
use serde::Serialize;
use serde::de::Deserialize;

/// Longest message in bytes that goes in the words of a short call; one byte of them holds its length.
pub const SHORT_BYTES: usize = WORDS * 8 - 1;

/// A message in words. `None` if it is longer than [`SHORT_BYTES`].
#[must_use]
pub fn to_words(message: &[u8]) -> Option<Words> {
    let mut bytes = [0; WORDS * 8];
    let (len, rest) = bytes.split_first_mut()?;
    rest.get_mut(..message.len())?.copy_from_slice(message);
    *len = message.len() as u8;
    let mut words = [0; WORDS];
    for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(8)) {
        *word = u64::from_le_bytes(bytes.try_into().unwrap_or_default());
    }
    Some(words)
}

/// A message out of words: its length, and the bytes at the front of `message`. `None` if the words are none of a message, or
/// `message` is too short.
#[must_use]
pub fn from_words(words: &Words, message: &mut [u8]) -> Option<usize> {
    let mut bytes = [0; WORDS * 8];
    for (word, bytes) in words.iter().zip(bytes.chunks_exact_mut(8)) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    let (len, rest) = bytes.split_first()?;
    let len = usize::from(*len);
    message.get_mut(..len)?.copy_from_slice(rest.get(..len)?);
    Some(len)
}

/// Writes a byte and a value: a request or an answer. `None` if they do not fit.
pub fn encode<'a, T: Serialize>(first: u8, value: &T, message: &'a mut [u8]) -> Option<&'a [u8]> {
    let (place, rest) = message.split_first_mut()?;
    *place = first;
    let len = 1 + postcard::to_slice(value, rest).ok()?.len();
    message.get(..len)
}

/// Reads a value that is all of `bytes`.
pub fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Option<T> {
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Some(value),
        _ => None,
    }
}
