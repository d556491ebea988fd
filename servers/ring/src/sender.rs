//! The end that records go in at.

use core::fmt;
use core::sync::atomic::Ordering;

use crate::Memory;
use crate::atomics::{dekker_fence, mutated};
use crate::layout::{
    HEAD, HEADER_BYTES, OpenError, RECEIVER_SLEEPS, REFUSED, SENDER_SLEEPS, SENDER_SLEPT, SENT,
    TAIL, count, open, record_bytes, split,
};

/// Why a record was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendError {
    /// There is no room now.
    Full,
    /// It is longer than the ring.
    TooLong {
        /// The longest record.
        most: usize,
    },
    /// The receiver wrote nonsense into the ring.
    Corrupt,
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("the ring is full"),
            Self::TooLong { most } => write!(f, "the ring takes records of {most} bytes at most"),
            Self::Corrupt => {
                f.write_str("the receiver wrote a position into the ring that cannot be")
            }
        }
    }
}

impl core::error::Error for SendError {}

/// The end that records go in at.
#[derive(Debug)]
pub struct Sender<M> {
    memory: M,
    capacity: u32,
    /// What the memory says too, but this is the truth.
    tail: u32,
}

impl<M: Memory> Sender<M> {
    /// The sender of the ring in `memory`, going on where it was left.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn new(memory: M) -> Result<Self, OpenError> {
        let capacity = open(&memory)?;
        let tail = memory.word(TAIL).ok_or(OpenError::NotARing)?;
        let tail = tail.load(Ordering::Acquire);
        Ok(Self {
            memory,
            capacity,
            tail,
        })
    }

    /// The memory, for its [`Counters`](crate::Counters).
    pub const fn memory(&self) -> &M {
        &self.memory
    }

    /// The longest record, in bytes.
    pub const fn most_bytes(&self) -> usize {
        (self.capacity - HEADER_BYTES) as usize
    }

    fn size_of(&self, len: usize) -> Result<u32, SendError> {
        record_bytes(len)
            .filter(|&size| size <= self.capacity)
            .ok_or(SendError::TooLong {
                most: self.most_bytes(),
            })
    }

    fn free(&self) -> Result<u32, SendError> {
        let head = self.memory.word(HEAD).ok_or(SendError::Corrupt)?;
        let used = self.tail.wrapping_sub(head.load(Ordering::SeqCst));
        self.capacity.checked_sub(used).ok_or(SendError::Corrupt)
    }

    fn put(&self, position: u32, bytes: &[u8]) -> Result<(), SendError> {
        let (at, before_end) = split(position, self.capacity, bytes.len());
        let (first, rest) = bytes
            .split_at_checked(before_end)
            .ok_or(SendError::Corrupt)?;
        let (start, _) = split(0, self.capacity, 0);
        if self.memory.copy_in(at, first) && (rest.is_empty() || self.memory.copy_in(start, rest)) {
            Ok(())
        } else {
            Err(SendError::Corrupt)
        }
    }

    /// Sends a record if there is room. `true`: the receiver sleeps and must be woken.
    ///
    /// # Errors
    /// See [`SendError`]; nothing was sent then.
    pub fn try_send(&mut self, record: &[u8]) -> Result<bool, SendError> {
        self.try_send_parts(&[record])
    }

    /// [`try_send`](Sender::try_send) of a record whose bytes lie in several places.
    ///
    /// # Errors
    /// As there.
    pub fn try_send_parts(&mut self, parts: &[&[u8]]) -> Result<bool, SendError> {
        let len = parts.iter().map(|part| part.len()).sum();
        let size = self.size_of(len)?;
        if self.free()? < size {
            return Err(SendError::Full);
        }
        self.put(self.tail, &(len as u32).to_le_bytes())?;
        let mut at = self.tail.wrapping_add(HEADER_BYTES);
        for part in parts {
            self.put(at, part)?;
            at = at.wrapping_add(part.len() as u32);
        }
        self.tail = self.tail.wrapping_add(size);
        count(&self.memory, SENT);
        let tail = self.memory.word(TAIL).ok_or(SendError::Corrupt)?;
        tail.store(self.tail, Ordering::SeqCst);
        dekker_fence();
        let sleeps = self
            .memory
            .word(RECEIVER_SLEEPS)
            .ok_or(SendError::Corrupt)?;
        Ok(sleeps.load(Ordering::SeqCst) != 0 && sleeps.swap(0, Ordering::SeqCst) != 0)
    }

    /// Notes that a record was given up on.
    pub fn count_refused(&self) {
        count(&self.memory, REFUSED);
    }

    /// The longest record that there is room for now, in bytes; `None` if not even an empty one.
    ///
    /// # Errors
    /// [`SendError::Corrupt`].
    pub fn room(&self) -> Result<Option<usize>, SendError> {
        Ok(self
            .free()?
            .checked_sub(HEADER_BYTES)
            .map(|bytes| (bytes & !3) as usize))
    }

    /// Says that the sender sleeps until there is room for a record of `len` bytes. `true`: now wait to be woken; `false`: there is room already.
    ///
    /// # Errors
    /// As [`Sender::try_send`].
    pub fn sleep(&mut self, len: usize) -> Result<bool, SendError> {
        let size = self.size_of(len)?;
        let sleeps = self.memory.word(SENDER_SLEEPS).ok_or(SendError::Corrupt)?;
        sleeps.swap(size, Ordering::SeqCst);
        dekker_fence();
        if !mutated("sender_no_recheck") && self.free()? >= size {
            sleeps.swap(0, Ordering::SeqCst);
            return Ok(false);
        }
        count(&self.memory, SENDER_SLEPT);
        Ok(true)
    }
}
