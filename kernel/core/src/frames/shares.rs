//! How many hold each frame, for copy-on-write.
//!
//! One 32-bit count for each frame up to the end of memory: 1 MiB per GiB (0.1 %). 0 means that the frame is not counted: it
//! is free, or a page table, heap or stack, and has one owner who knows. 1 means one holder.

use core::fmt;
use core::sync::atomic::{AtomicU32, Ordering};

use super::{FRAME_BYTES, MAX_FRAMES};

/// Holders that one frame can have.
pub const MOST_HOLDERS: u32 = u32::MAX;

/// The counts of all frames. Changed by all cores, without a lock.
#[derive(Clone, Copy, Debug)]
pub struct ShareCounts<'m> {
    counts: &'m [AtomicU32],
}

/// Why a frame has no further holder, or none less. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShareError {
    /// The address is not that of a counted frame: whoever holds it has it alone, or it was released by all already.
    NotCounted {
        /// The physical address.
        frame: u64,
    },
    /// The frame is counted already: it has holders.
    Counted {
        /// The physical address.
        frame: u64,
    },
    /// The frame has [`MOST_HOLDERS`].
    TooManyHolders {
        /// The physical address.
        frame: u64,
    },
}

impl fmt::Display for ShareError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NotCounted { frame } => write!(f, "nobody shares a frame at {frame:#x}"),
            Self::Counted { frame } => write!(f, "the frame at {frame:#x} has holders already"),
            Self::TooManyHolders { frame } => {
                write!(f, "the frame at {frame:#x} has {MOST_HOLDERS} holders")
            }
        }
    }
}

impl core::error::Error for ShareError {}

impl<'m> ShareCounts<'m> {
    /// Counts that memory up to physical address `end` needs.
    pub const fn needed(end: u64) -> usize {
        let frames = end / FRAME_BYTES;
        (if frames > MAX_FRAMES {
            MAX_FRAMES
        } else {
            frames
        }) as usize
    }

    /// Counts in `counts`, which are all zero: no frame is counted.
    pub const fn new(counts: &'m [AtomicU32]) -> Self {
        Self { counts }
    }

    fn of(&self, frame: u64) -> Result<&'m AtomicU32, ShareError> {
        let count = usize::try_from(frame / FRAME_BYTES)
            .ok()
            .and_then(|index| self.counts.get(index));
        match count {
            Some(count) if frame.is_multiple_of(FRAME_BYTES) => Ok(count),
            _ => Err(ShareError::NotCounted { frame }),
        }
    }

    /// Starts counting a frame its owner has alone: it has one holder.
    ///
    /// # Errors
    /// [`ShareError::Counted`], [`ShareError::NotCounted`] where there is no such frame.
    pub fn begin(&self, frame: u64) -> Result<(), ShareError> {
        self.of(frame)?
            .compare_exchange(0, 1, Ordering::AcqRel, Ordering::Acquire)
            .map(drop)
            .map_err(|_| ShareError::Counted { frame })
    }

    /// One holder more. The caller is one.
    ///
    /// # Errors
    /// [`ShareError::NotCounted`], [`ShareError::TooManyHolders`].
    pub fn share(&self, frame: u64) -> Result<(), ShareError> {
        let change = |count: u32| (count != 0).then(|| count.checked_add(1)).flatten();
        match self
            .of(frame)?
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, change)
        {
            Ok(_) => Ok(()),
            Err(0) => Err(ShareError::NotCounted { frame }),
            Err(_) => Err(ShareError::TooManyHolders { frame }),
        }
    }

    /// One holder less. `true`: that was the last, the frame is no longer counted and the caller must free it.
    ///
    /// # Errors
    /// [`ShareError::NotCounted`].
    pub fn release(&self, frame: u64) -> Result<bool, ShareError> {
        // What any holder did with the frame has happened before the last one frees it.
        self.of(frame)?
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |count| {
                count.checked_sub(1)
            })
            .map(|before| before == 1)
            .map_err(|_| ShareError::NotCounted { frame })
    }

    /// How many hold the frame; 0 if it is not counted. A holder that reads 1 has it alone, until it shares it.
    pub fn count(&self, frame: u64) -> u32 {
        self.of(frame)
            .map_or(0, |count| count.load(Ordering::Acquire))
    }
}
