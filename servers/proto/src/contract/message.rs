//! Messages of contracts as bytes and as words.

use abi::message::{WORDS, Words};
use postcard::Serializer;
use postcard::ser_flavors::Flavor;
use serde::Serialize;
use serde::de::Deserialize;
use zerocopy::IntoBytes;

const _: () = assert!(
    cfg!(target_endian = "little"),
    "words lie in memory as their bytes"
);

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

/// A message where it lies in words, without a copy. `None` if the words are none of a message.
#[must_use]
#[inline(always)]
pub fn in_words(words: &Words) -> Option<&[u8]> {
    let (len, rest) = words.as_bytes().split_first()?;
    rest.get(..usize::from(*len))
}

/// Where a message goes in words that are zero: its length, and its bytes.
#[must_use]
#[inline(always)]
pub fn room_in_words(words: &mut Words) -> Option<(&mut u8, &mut [u8])> {
    words.as_mut_bytes().split_first_mut()
}

/// Writes a byte and a value: a request or an answer. `None` if they do not fit.
#[inline]
pub fn encode<'a, T: Serialize>(first: u8, value: &T, message: &'a mut [u8]) -> Option<&'a [u8]> {
    *message.first_mut()? = first;
    let mut serializer = Serializer {
        output: Front { message, len: 1 },
    };
    value.serialize(&mut serializer).ok()?;
    let Front { message, len } = serializer.output;
    message.get(..len)
}

/// Bytes are put behind those at the front of a message.
struct Front<'a> {
    message: &'a mut [u8],
    len: usize,
}

impl<'a> Flavor for Front<'a> {
    type Output = &'a [u8];

    #[inline(always)]
    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        let full = postcard::Error::SerializeBufferFull;
        *self.message.get_mut(self.len).ok_or(full)? = byte;
        self.len += 1;
        Ok(())
    }

    #[inline(always)]
    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        // As most numbers are: a call to copy it takes longer than that.
        if let &[byte] = bytes {
            return self.try_push(byte);
        }
        let full = postcard::Error::SerializeBufferFull;
        let end = self.len + bytes.len();
        let place = self.message.get_mut(self.len..end).ok_or(full)?;
        place.copy_from_slice(bytes);
        self.len = end;
        Ok(())
    }

    fn finalize(self) -> postcard::Result<&'a [u8]> {
        let full = postcard::Error::SerializeBufferFull;
        self.message.get(..self.len).ok_or(full)
    }
}

/// Reads a value that is all of `bytes`.
#[inline]
pub fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Option<T> {
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Some(value),
        _ => None,
    }
}
