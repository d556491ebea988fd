//! A task's record: one cache line, type-stable for the life of the fleet.
//!
//! Only the home core writes it, except for the inbox words, which wakers elsewhere claim, and for the
//! fields of a slot that was just taken from the [remote pool](crate::fleet) and is not born yet. All of it may be
//! read from anywhere, which is what introspection does and why the words are published ones.

use core::sync::atomic::{AtomicPtr, Ordering};

use crate::{
    atomics::{AtomicBool, AtomicU32, AtomicU64},
    ident::{CoreId, TaskId},
    inbox::Linked,
    published::{P8, P16, P32, P64},
    raw::block::Head,
};

/// No slot: the end of a list, nobody.
pub(crate) const NONE: u32 = u32::MAX;

/// In [`Slot::cancel`] of a slot that forwards: the task it forwarded to is dead. More than any generation.
pub(crate) const FORWARDED_IS_DEAD: u64 = u64::MAX;

/// What a slot's occupant is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// No occupant.
    Free = 0,
    /// Spawned from elsewhere; the home core has not taken it over yet.
    Born = 1,
    /// Waits for a wake.
    Idle = 2,
    /// Ready: in a queue.
    Queued = 3,
    /// Being polled (it keeps its place in the queue meanwhile).
    Polling = 4,
    /// Moved to another core: the slot forwards wakes until the task dies.
    Moved = 5,
}

impl State {
    fn from_byte(byte: u8) -> State {
        match byte {
            1 => State::Born,
            2 => State::Idle,
            3 => State::Queued,
            4 => State::Polling,
            5 => State::Moved,
            _ => State::Free,
        }
    }
}

/// Flags of a slot.
pub(crate) mod flag {
    /// Cancelled: dropped instead of polled at its next dispatch.
    pub(crate) const CANCEL: u8 = 1;
    /// The future is not `Send`: it never leaves its core.
    pub(crate) const PINNED: u8 = 2;
    /// The slot came from the remote pool and returns there.
    pub(crate) const POOLED: u8 = 4;
    /// The present job's deadline miss has been counted.
    pub(crate) const MISSED: u8 = 8;
    /// The deadline is set per job from `relative`.
    pub(crate) const RELATIVE: u8 = 16;
    /// The job's deadline was lent by a waiting task.
    pub(crate) const LENT: u8 = 32;
    /// The task's reservation was throttled during the present job.
    pub(crate) const THROTTLED: u8 = 64;
    /// With [`CANCEL`]: and not dropped either.
    pub(crate) const ABANDON: u8 = 128;
}

/// A task's record.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct Slot {
    pub(crate) block: AtomicPtr<Head>,
    /// Of the occupant, or of the next one.
    pub(crate) id: P64,
    /// Absolute deadline of the present job (ticks); for best effort its virtual time.
    pub(crate) deadline: P64,
    /// Relative deadline (ticks) with [`flag::RELATIVE`]; for best effort what a tick costs; for a slot that forwards, to whom.
    pub(crate) relative: P64,
    /// The generation to cancel, or [`FORWARDED_IS_DEAD`].
    pub(crate) cancel: AtomicU64,
    /// The chain of the home core's inbox.
    inbox_next: AtomicU32,
    pub(crate) next: P32,
    pub(crate) previous: P32,
    pub(crate) server: P16,
    pub(crate) lends: P16,
    pub(crate) borrows: P16,
    /// Where it was spawned: an index into the fleet's sites.
    pub(crate) site: P16,
    pub(crate) state: P8,
    pub(crate) flags: P8,
    pending: AtomicBool,
    /// Of best effort: which of its lists the task is in.
    pub(crate) list: P8,
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<Slot>() == 64, "a slot is one cache line");

impl Slot {
    /// Number `number` of `core`.
    pub(crate) fn new(core: CoreId, number: u32) -> Slot {
        Slot {
            block: AtomicPtr::new(core::ptr::null_mut()),
            id: P64::new(TaskId::pack(core, number, 1).to_bits()),
            deadline: P64::new(u64::MAX),
            relative: P64::new(0),
            cancel: AtomicU64::new(0),
            inbox_next: AtomicU32::new(0),
            next: P32::new(NONE),
            previous: P32::new(NONE),
            server: P16::new(0),
            lends: P16::new(0),
            borrows: P16::new(0),
            site: P16::new(0),
            state: P8::new(State::Free as u8),
            flags: P8::new(0),
            pending: AtomicBool::new(false),
            list: P8::new(0),
        }
    }

    #[inline(always)]
    pub(crate) fn id(&self) -> TaskId {
        TaskId::from_bits(self.id.get())
    }

    /// Whether `task` lives here.
    #[inline(always)]
    pub(crate) fn is_of(&self, task: TaskId) -> bool {
        self.id.get() == task.to_bits()
    }

    #[inline(always)]
    pub(crate) fn state(&self) -> State {
        State::from_byte(self.state.get())
    }

    #[inline(always)]
    pub(crate) fn set_state(&self, state: State) {
        self.state.set(state as u8);
    }

    #[inline(always)]
    pub(crate) fn has(&self, flags: u8) -> bool {
        self.flags.get() & flags != 0
    }

    #[inline(always)]
    pub(crate) fn raise(&self, flags: u8) {
        self.flags.set(self.flags.get() | flags);
    }

    #[inline(always)]
    pub(crate) fn lower(&self, flags: u8) {
        self.flags.set(self.flags.get() & !flags);
    }

    /// Not zero if the task lends or borrows.
    #[inline(always)]
    pub(crate) fn loans(&self) -> u16 {
        self.lends.get() | self.borrows.get()
    }

    #[inline(always)]
    pub(crate) fn block(&self) -> *mut Head {
        self.block.load(Ordering::Relaxed)
    }

    #[inline(always)]
    pub(crate) fn set_block(&self, block: *mut Head) {
        self.block.store(block, Ordering::Relaxed);
    }
}

impl Linked for Slot {
    #[inline(always)]
    fn pending(&self) -> &AtomicBool {
        &self.pending
    }

    #[inline(always)]
    fn next(&self) -> &AtomicU32 {
        &self.inbox_next
    }
}
