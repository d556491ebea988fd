//! Messages of the contracts that are spoken over channels ([`input`](crate::input), [`net`](crate::net), [`window`](crate::window)): a byte that
//! says in which version, then the value.

use serde::{Deserialize, Serialize};

use crate::contract::{decode, encode};

/// A message: its bytes at the front of `buffer`; `None` if they do not fit.
pub fn to_bytes<'a, T: Serialize>(message: &T, buffer: &'a mut [u8]) -> Option<&'a [u8]> {
    encode(VERSION, message, buffer)
}

/// Reads a message; `None` for anything else.
pub fn from_bytes<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Option<T> {
    match bytes.split_first() {
        Some((&VERSION, message)) => decode(message),
        _ => None,
    }
}

/// First byte of all messages: programs and servers come in one archive, so there is one for all of them.
const VERSION: u8 = 1;
