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

/// The end that records come out of.
#[derive(Debug)]
pub struct Receiver<M> {
    memory: M,
    capacity: u32,
    /// What the memory says too, but this is the truth.
    head: u32,
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

    /// Takes the next record into the beginning of `buffer`: its length, and whether the sender sleeps and must be woken.
    ///
    /// # Errors
    /// See [`ReceiveError`]; nothing was taken then.
    pub fn try_receive(&mut self, buffer: &mut [u8]) -> Result<(usize, bool), ReceiveError> {
        let used = self.used()?;
        if used == 0 {
            return Err(ReceiveError::Empty);
        }
        let mut len = [0; HEADER_BYTES as usize];
        self.take(self.head, &mut len)?;
        // Read once: the sender may change it at any time.
        let len = u32::from_le_bytes(len) as usize;
        let size = record_bytes(len)
            .filter(|&size| size <= used)
            .ok_or(ReceiveError::Corrupt)?;
        let place = buffer
            .get_mut(..len)
            .ok_or(ReceiveError::TooSmall { len })?;
        self.take(self.head.wrapping_add(HEADER_BYTES), place)?;
        self.head = self.head.wrapping_add(size);
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
        let wake = wanted != 0 && free >= wanted && sleeps.swap(0, Ordering::SeqCst) != 0;
        Ok((len, wake))
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
