//! How a finished task and the holder of its handle meet: a one-shot cell with a waker.
//!
//! Two parties: the task's home core ([`JoinCell::complete`]) and the one handle
//! ([`JoinCell::register`], [`JoinCell::abandon`]), which may be anywhere. The task's memory belongs to
//! whoever comes last. The loom model in `tests/loom_join.rs` runs this very module.

use core::{mem::MaybeUninit, task::Waker};

use super::cell::RawCell;
use crate::atomics::{AtomicU32, Ordering};

const DONE: u32 = 1;
const ABANDONED: u32 = 2;
const WAKER: u32 = 4;
/// With DONE: there is no output, the task was cancelled.
const EMPTY: u32 = 8;
/// The task was abandoned: its content is not to be touched.
const LOST: u32 = 16;

/// The meeting point.
#[derive(Debug)]
pub struct JoinCell {
    waker: RawCell<MaybeUninit<Waker>>,
    state: AtomicU32,
    /// For the memory's owner; never changes.
    pub(crate) tag: u32,
}

/// What the home core must do after [`JoinCell::complete`].
#[derive(Debug)]
pub enum Completion {
    /// The handle is gone: the output and the memory are the caller's.
    Abandoned,
    /// The handle owns output and memory now; wake whoever waits.
    Delivered(Option<Waker>),
}

impl Default for JoinCell {
    fn default() -> Self {
        Self::new()
    }
}

impl JoinCell {
    /// A cell of a running task with a handle.
    pub fn new() -> JoinCell {
        Self::with_tag(0)
    }

    /// As [`JoinCell::new`], with a word for the memory's owner.
    pub(crate) fn with_tag(tag: u32) -> JoinCell {
        JoinCell {
            waker: RawCell::new(MaybeUninit::uninit()),
            state: AtomicU32::new(0),
            tag,
        }
    }

    /// Whether the task has finished and its output may be read.
    #[inline]
    pub fn is_done(&self) -> bool {
        self.state.load(Ordering::Acquire) & DONE != 0
    }

    /// Whether the task ended without output; to be asked once it is done.
    pub fn is_empty(&self) -> bool {
        self.state.load(Ordering::Acquire) & EMPTY != 0
    }

    /// Whether the handle is gone already; for the home core.
    #[inline]
    pub fn is_abandoned(&self) -> bool {
        self.state.load(Ordering::Acquire) & ABANDONED != 0
    }

    /// Whether the handle is gone, left no waker, and the content may be freed; for the home core.
    #[inline(always)]
    pub(crate) fn is_alone(&self) -> bool {
        self.state.load(Ordering::Acquire) & (ABANDONED | WAKER | LOST) == ABANDONED
    }

    /// The home core gives the content up, before it completes the task as empty.
    pub fn lose(&self) {
        self.state.fetch_or(LOST, Ordering::AcqRel);
    }

    /// Whether the content was given up.
    pub fn is_lost(&self) -> bool {
        self.state.load(Ordering::Acquire) & LOST != 0
    }

    /// The handle's memory is gone; for the home core, before the task is done. The waker it left is forgotten.
    pub(crate) fn disown(&self) {
        self.state.fetch_and(!WAKER, Ordering::AcqRel);
        self.state.fetch_or(ABANDONED, Ordering::AcqRel);
    }

    /// The handle asks to be woken; `true` when the task has finished (then nothing is kept).
    pub fn register(&self, waker: &Waker) -> bool {
        let state = self.state.load(Ordering::Acquire);
        if state & DONE != 0 {
            return true;
        }
        if state & WAKER != 0 {
            // Take the old one back; the task may have finished and own it by now.
            if self.state.fetch_and(!WAKER, Ordering::AcqRel) & DONE != 0 {
                return true;
            }
            // SAFETY: the bit was set by this handle after writing, and is clear again: only the handle
            // (unique) touches the cell while WAKER is clear, and `complete` did not run before.
            unsafe { self.waker.with_mut(|cell| (*cell).assume_init_drop()) };
        }
        // SAFETY: WAKER is clear, so the cell is the handle's.
        unsafe {
            self.waker.with_mut(|cell| {
                (*cell).write(waker.clone());
            })
        };
        if crate::atomics::mutated("join_no_recheck") {
            self.state.fetch_or(WAKER, Ordering::AcqRel);
            return false;
        }
        if self.state.fetch_or(WAKER, Ordering::AcqRel) & DONE != 0 {
            // Finished in between, without seeing the waker.
            // SAFETY: `complete` saw WAKER clear and left the cell to the handle.
            unsafe { self.waker.with_mut(|cell| (*cell).assume_init_drop()) };
            return true;
        }
        false
    }

    /// The handle goes away. `true` when the task has finished: output and memory are the caller's.
    pub fn abandon(&self) -> bool {
        self.state.fetch_or(ABANDONED, Ordering::AcqRel) & DONE != 0
    }

    /// As [`JoinCell::abandon`], by a handle on the task's home core before the task finished: plain
    /// memory, since nobody else can be looking.
    #[inline]
    pub fn abandon_at_home(&self) -> bool {
        let state = self.state.load(Ordering::Relaxed);
        if state & DONE != 0 {
            return true;
        }
        self.state.store(state | ABANDONED, Ordering::Relaxed);
        false
    }

    /// The task has finished and written its output, or was dropped (`empty`).
    #[inline]
    pub fn complete(&self, empty: bool) -> Completion {
        let done = if empty { DONE | EMPTY } else { DONE };
        let before = if self.is_abandoned() {
            self.state.load(Ordering::Relaxed)
        } else {
            self.state.fetch_or(done, Ordering::AcqRel)
        };
        let waker = if before & WAKER != 0 {
            // SAFETY: WAKER was set, and with DONE (or ABANDONED) set the handle leaves the cell alone.
            Some(unsafe { self.waker.with_mut(|cell| (*cell).assume_init_read()) })
        } else {
            None
        };
        if before & ABANDONED != 0 {
            Completion::Abandoned
        } else {
            Completion::Delivered(waker)
        }
    }
}
