//! Names of things: cores and tasks.

use core::fmt;

/// A core of a [`Fleet`](crate::Fleet), 0 to 255.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CoreId(u8);

impl CoreId {
    /// How many cores a fleet can hold.
    pub const MAX: usize = 256;
    /// Core 0.
    pub const FIRST: CoreId = CoreId(0);

    /// Core number `index`, or `None` from [`CoreId::MAX`] on.
    pub const fn new(index: usize) -> Option<CoreId> {
        if index < Self::MAX {
            Some(CoreId(index as u8))
        } else {
            None
        }
    }

    /// The core's number.
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    pub(crate) const fn from_low_bits(bits: u32) -> CoreId {
        CoreId(bits as u8)
    }
}

impl fmt::Display for CoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A task for all time: core, slot and generation in one word.
///
/// Layout: bits 0..8 the core, 8..28 the slot, 28..64 the generation. A slot's generation never
/// repeats: a slot that used them all up is retired. The same word is the data of the task's waker.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(u64);

impl TaskId {
    pub(crate) const SLOT_BITS: u32 = 20;
    pub(crate) const MAX_GENERATION: u64 = (1 << 36) - 1;

    pub(crate) const fn pack(core: CoreId, slot: u32, generation: u64) -> TaskId {
        TaskId(generation << 28 | (slot as u64) << 8 | core.0 as u64)
    }

    /// The id of the slot's next occupant.
    pub(crate) const fn successor(self) -> TaskId {
        TaskId(self.0.wrapping_add(1 << 28))
    }

    /// Whether the slot's generations are used up with this one.
    pub(crate) const fn is_last(self) -> bool {
        self.generation() >= Self::MAX_GENERATION
    }

    /// The word itself; never zero for a task that exists.
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// The inverse of [`TaskId::to_bits`]. Any word is accepted: one that names no task is refused
    /// where it is used.
    pub const fn from_bits(bits: u64) -> TaskId {
        TaskId(bits)
    }

    /// The core whose slot this is.
    pub const fn core(self) -> CoreId {
        CoreId(self.0 as u8)
    }

    /// The slot's number on its core.
    pub const fn slot(self) -> u32 {
        (self.0 >> 8) as u32 & ((1 << Self::SLOT_BITS) - 1)
    }

    /// Which occupant of the slot, from 1.
    pub const fn generation(self) -> u64 {
        self.0 >> 28
    }
}

/// `core.slot#generation`.
impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}.{}#{}",
            self.core().index(),
            self.slot(),
            self.generation()
        )
    }
}

impl fmt::Debug for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
