//! What lies where, in bytes from the beginning of the memory. All words are little-endian.
//!
//! | offset | bytes | what | written by |
//! |---|---|---|---|
//! | 0 | 4 | [`MAGIC`] | [`format()`] |
//! | 4 | 4 | [`VERSION`] | [`format()`] |
//! | 8 | 4 | capacity: bytes of the data area, a power of two | [`format()`] |
//! | 64 | 4 | tail: bytes ever sent, modulo 2^32 | sender |
//! | 128 | 4 | head: bytes ever received, modulo 2^32 | receiver |
//! | 192 | 4 | not 0: the receiver sleeps | both |
//! | 256 | 4 | not 0: the sender sleeps until so many bytes are free | both |
//! | 320 | 3 × 8 | records sent, records refused, sleeps of the sender | sender |
//! | 384 | 2 × 8 | records received, sleeps of the receiver | receiver |
//! | 4096 | capacity | data | sender |
//!
//! A record is its length in a word, its bytes, and up to three bytes more so that the next one is aligned. It goes on at the
//! beginning of the data where it meets the end.

use core::fmt;
use core::sync::atomic::Ordering;

use crate::Memory;

/// `RING`.
pub const MAGIC: u32 = u32::from_le_bytes(*b"RING");
/// Of this layout.
pub const VERSION: u32 = 1;
/// Smallest and largest data area, in bytes.
pub const MIN_CAPACITY: u32 = 4096;
/// See [`MIN_CAPACITY`].
pub const MAX_CAPACITY: u32 = 1 << 30;
/// Where the data begin.
pub const DATA: usize = 4096;

pub(crate) const CAPACITY: usize = 8;
pub(crate) const TAIL: usize = 64;
pub(crate) const HEAD: usize = 128;
pub(crate) const RECEIVER_SLEEPS: usize = 192;
pub(crate) const SENDER_SLEEPS: usize = 256;
pub(crate) const SENT: usize = 320;
pub(crate) const REFUSED: usize = 328;
pub(crate) const SENDER_SLEPT: usize = 336;
pub(crate) const RECEIVED: usize = 384;
pub(crate) const RECEIVER_SLEPT: usize = 392;
/// A record's length word.
pub(crate) const HEADER_BYTES: u32 = 4;

/// Why memory cannot be used as a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// The capacity is no power of two from [`MIN_CAPACITY`] to [`MAX_CAPACITY`].
    Capacity(u32),
    /// It needs so many bytes and has fewer.
    TooSmall {
        /// What a ring of this capacity takes.
        needed: usize,
    },
    /// Its beginning is not that of a ring of this version.
    NotARing,
    /// Its positions contradict each other.
    Corrupt,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Capacity(capacity) => write!(
                f,
                "a ring of {capacity} bytes: the capacity must be a power of two from {MIN_CAPACITY} to {MAX_CAPACITY}"
            ),
            Self::TooSmall { needed } => {
                write!(
                    f,
                    "the memory is too small for the ring, which takes {needed} bytes"
                )
            }
            Self::NotARing => f.write_str("the memory holds no ring of this version"),
            Self::Corrupt => f.write_str("the ring's positions contradict each other"),
        }
    }
}

impl core::error::Error for OpenError {}

/// What went through a ring, as its ends wrote it down. Anybody who has it mapped may read this.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Records sent.
    pub sent: u64,
    /// Records that the sender gave up on because there was no room.
    pub refused: u64,
    /// Times the sender slept until there was room.
    pub sender_slept: u64,
    /// Records received.
    pub received: u64,
    /// Times the receiver slept until there was a record.
    pub receiver_slept: u64,
}

impl Counters {
    /// Those of the ring in `memory`.
    pub fn of<M: Memory>(memory: &M) -> Self {
        let at = |offset| {
            memory
                .long_word(offset)
                .map_or(0, |word| word.load(Ordering::Relaxed))
        };
        Self {
            sent: at(SENT),
            refused: at(REFUSED),
            sender_slept: at(SENDER_SLEPT),
            received: at(RECEIVED),
            receiver_slept: at(RECEIVER_SLEPT),
        }
    }
}

/// Bytes of memory that a ring of this capacity takes.
#[must_use]
pub const fn memory_bytes(capacity: u32) -> usize {
    DATA + capacity as usize
}

/// Bytes that a record takes in the ring.
pub(crate) fn record_bytes(len: usize) -> Option<u32> {
    let len = u32::try_from(len).ok()?;
    len.checked_next_multiple_of(4)?.checked_add(HEADER_BYTES)
}

const fn checked(capacity: u32) -> Result<u32, OpenError> {
    if capacity.is_power_of_two() && capacity >= MIN_CAPACITY && capacity <= MAX_CAPACITY {
        Ok(capacity)
    } else {
        Err(OpenError::Capacity(capacity))
    }
}

/// Makes zeroed memory a ring. The one that makes the memory does it, before the other side gets it.
///
/// # Errors
/// [`OpenError::Capacity`], [`OpenError::TooSmall`].
pub fn format<M: Memory>(memory: &M, capacity: u32) -> Result<(), OpenError> {
    let needed = memory_bytes(checked(capacity)?);
    if memory.bytes_len() < needed {
        return Err(OpenError::TooSmall { needed });
    }
    for (offset, value) in [(0, MAGIC), (4, VERSION), (CAPACITY, capacity)] {
        let word = memory.word(offset).ok_or(OpenError::TooSmall { needed })?;
        word.store(value, Ordering::Release);
    }
    Ok(())
}

/// Checks that there is a ring; its capacity, to be kept: it is not looked at again.
pub(crate) fn open<M: Memory>(memory: &M) -> Result<u32, OpenError> {
    let word = |offset| {
        memory
            .word(offset)
            .map(|word| word.load(Ordering::Acquire))
            .ok_or(OpenError::NotARing)
    };
    if word(0)? != MAGIC || word(4)? != VERSION {
        return Err(OpenError::NotARing);
    }
    let capacity = checked(word(CAPACITY)?)?;
    let needed = memory_bytes(capacity);
    if memory.bytes_len() < needed {
        return Err(OpenError::TooSmall { needed });
    }
    let used = word(TAIL)?.wrapping_sub(word(HEAD)?);
    if used > capacity || !used.is_multiple_of(4) {
        return Err(OpenError::Corrupt);
    }
    Ok(capacity)
}

/// Adds one to a counter that this side alone writes.
pub(crate) fn count<M: Memory>(memory: &M, offset: usize) {
    if let Some(word) = memory.long_word(offset) {
        word.store(
            word.load(Ordering::Relaxed).wrapping_add(1),
            Ordering::Relaxed,
        );
    }
}

/// Where `len` bytes at a position lie: how many of them before the end of the data.
pub(crate) fn split(position: u32, capacity: u32, len: usize) -> (usize, usize) {
    let at = (position & (capacity - 1)) as usize;
    (DATA + at, len.min(capacity as usize - at))
}
