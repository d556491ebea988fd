//! The end that records come out of.

use core::fmt;
use core::sync::atomic::Ordering;

use crate::Memory;
use crate::atomics::{dekker_fence, mutated};
use crate::layout::{
    HEAD, HEADER_BYTES, OpenError, RECEIVED, RECEIVER_SLEEPS, RECEIVER_SLEPT, SENDER_SLEEPS, TAIL,
    count, open, record_bytes, split,
};

/// Why a record was not received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReceiveError {
    /// There is none now.
    Empty,
    /// The next one is longer than the buffer; it stays.
    TooSmall {
        /// Its length.
        len: usize,
    },
    /// The sender wrote nonsense into the ring.
    Corrupt,
}

impl fmt::Display for ReceiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the ring is empty"),
            Self::TooSmall { len } => {
                write!(f, "the next record has {len} bytes, and the buffer fewer")
            }
            Self::Corrupt => {
                f.write_str("the sender wrote a position or length into the ring that cannot be")
            }
        }
    }
}

impl core::error::Error for ReceiveError {}

/// What [`Receiver::try_take`] took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Bytes put into the buffer.
    pub bytes: usize,
    /// Bytes of the record that are still there. 0: the record is gone.
    pub left: usize,
    /// Whether the sender sleeps and must be woken.
    pub wake: bool,
}

/// The end that records come out of.
#[derive(Debug)]
pub struct Receiver<M> {
    memory: M,
    capacity: u32,
    /// What the memory says too, but this is the truth.
    head: u32,
    /// Bytes of the record at the head that were taken already.
    taken: u32,
}

impl<M: Memory> Receiver<M> {
    /// The receiver of the ring in `memory`, going on where it was left.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn new(memory: M) -> Result<Self, OpenError> {
        let capacity = open(&memory)?;
        let head = memory.word(HEAD).ok_or(OpenError::NotARing)?;
        let head = head.load(Ordering::Acquire);
        Ok(Self {
            memory,
            capacity,
            head,
            taken: 0,
        })
    }

    /// The memory, for its [`Counters`](crate::Counters).
    pub const fn memory(&self) -> &M {
        &self.memory
    }

    /// Bytes that the sender put in and nobody took out.
    fn used(&self) -> Result<u32, ReceiveError> {
        let tail = self.memory.word(TAIL).ok_or(ReceiveError::Corrupt)?;
        let used = tail.load(Ordering::SeqCst).wrapping_sub(self.head);
        if used > self.capacity || !used.is_multiple_of(4) {
            return Err(ReceiveError::Corrupt);
        }
        Ok(used)
    }

    fn take(&self, position: u32, bytes: &mut [u8]) -> Result<(), ReceiveError> {
        let (at, before_end) = split(position, self.capacity, bytes.len());
        let (first, rest) = bytes
            .split_at_mut_checked(before_end)
            .ok_or(ReceiveError::Corrupt)?;
        let (start, _) = split(0, self.capacity, 0);
        if self.memory.copy_out(at, first) && (rest.is_empty() || self.memory.copy_out(start, rest))
        {
            Ok(())
        } else {
            Err(ReceiveError::Corrupt)
        }
    }

    /// The record at the head: how many bytes of it are left, what it takes in the ring, and what all records there take.
    fn first(&self) -> Result<(usize, u32, u32), ReceiveError> {
        let used = self.used()?;
        if used == 0 {
            return Err(ReceiveError::Empty);
        }
        let mut len = [0; HEADER_BYTES as usize];
        self.take(self.head, &mut len)?;
        // Read once: the sender may change it at any time, also between two parts of the record.
        let len = u32::from_le_bytes(len);
        let size = record_bytes(len as usize)
            .filter(|&size| size <= used)
            .ok_or(ReceiveError::Corrupt)?;
        let left = len.checked_sub(self.taken).ok_or(ReceiveError::Corrupt)?;
        Ok((left as usize, size, used))
    }

    /// Where the bytes that are left of the record at the head begin.
    const fn rest_at(&self) -> u32 {
        self.head
            .wrapping_add(HEADER_BYTES)
            .wrapping_add(self.taken)
    }

    /// Gives the room of the record at the head back; whether the sender sleeps and must be woken.
    fn release(&mut self, size: u32, used: u32) -> Result<bool, ReceiveError> {
        self.head = self.head.wrapping_add(size);
        self.taken = 0;
        count(&self.memory, RECEIVED);
        let head = self.memory.word(HEAD).ok_or(ReceiveError::Corrupt)?;
        head.store(self.head, Ordering::SeqCst);
        dekker_fence();
        let sleeps = self
            .memory
            .word(SENDER_SLEEPS)
            .ok_or(ReceiveError::Corrupt)?;
        let wanted = sleeps.load(Ordering::SeqCst);
        let free = self.capacity - (used - size);
        Ok(wanted != 0 && free >= wanted && sleeps.swap(0, Ordering::SeqCst) != 0)
    }

    /// Takes the next record, or what is left of it, into the beginning of `buffer`: its length, and whether the sender sleeps and
    /// must be woken.
    ///
    /// # Errors
    /// See [`ReceiveError`]; nothing was taken then.
    pub fn try_receive(&mut self, buffer: &mut [u8]) -> Result<(usize, bool), ReceiveError> {
        let (len, size, used) = self.first()?;
        let place = buffer
            .get_mut(..len)
            .ok_or(ReceiveError::TooSmall { len })?;
        self.take(self.rest_at(), place)?;
        Ok((len, self.release(size, used)?))
    }

    /// Takes as much of the next record as `buffer` has room for; the rest of it comes next time. An empty buffer takes an empty
    /// record, and of others nothing.
    ///
    /// # Errors
    /// [`ReceiveError::Empty`], [`ReceiveError::Corrupt`]; nothing was taken then.
    pub fn try_take(&mut self, buffer: &mut [u8]) -> Result<Taken, ReceiveError> {
        let (left, size, used) = self.first()?;
        let bytes = left.min(buffer.len());
        let place = buffer.get_mut(..bytes).ok_or(ReceiveError::Corrupt)?;
        self.take(self.rest_at(), place)?;
        let left = left - bytes;
        let wake = if left == 0 {
            self.release(size, used)?
        } else {
            // Not more than the record, whose length is a `u32`.
            self.taken += bytes as u32;
            false
        };
        Ok(Taken { bytes, left, wake })
    }

    /// Gives up what is left of the next record; whether the sender sleeps and must be woken.
    ///
    /// # Errors
    /// As [`Receiver::try_take`].
    pub fn skip(&mut self) -> Result<bool, ReceiveError> {
        let (_, size, used) = self.first()?;
        self.release(size, used)
    }

    /// Says that the receiver sleeps until there is a record. `true`: now wait to be woken; `false`: there is one already.
    ///
    /// # Errors
    /// [`ReceiveError::Corrupt`].
    pub fn sleep(&mut self) -> Result<bool, ReceiveError> {
        let sleeps = self
            .memory
            .word(RECEIVER_SLEEPS)
            .ok_or(ReceiveError::Corrupt)?;
        // A read-modify-write as all changes of it are: they are in one order for all.
        sleeps.swap(1, Ordering::SeqCst);
        dekker_fence();
        if !mutated("receiver_no_recheck") && self.used()? != 0 {
            sleeps.swap(0, Ordering::SeqCst);
            return Ok(false);
        }
        count(&self.memory, RECEIVER_SLEPT);
        Ok(true)
    }
}
