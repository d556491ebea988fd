//! The only home of `unsafe` in this crate.
//!
//! | module | what it does that needs it |
//! |---|---|
//! | [`here`] | lets a platform vouch for which core it is on |
//! | [`cell`] | interior mutability behind the loom facade |
//! | [`abandon`] | what is left of a task that died in its poll |
//! | [`block`] | a task's memory: future, output, and the way to reach both without their types |
//! | [`slab`] | where blocks come from and go back to, also from other cores |
//! | [`joincell`] | how a finished task and its handle meet |
//! | [`waker`] | a task id as a `Waker` |
//! | [`heap`] | the queue by time, whose hot steps check no index |
//! | [`prefetch`] | hints to memory |
//! | [`list`] | the lists of slots, whose links check no index |
//! | [`core`] | a core's unlocked state and the dispatch loop that owns it |
//! | [`join`] | the typed handle |
//! | [`locals`] | task-local values |
//! | [`sites`] | the append-only table of spawn places, and what is counted by them |
//! | [`gate`] | the wait list under `executor::sync` |
//! | [`guarded`] | what locks guard |
//! | [`ring`], [`oneshot`], [`shared`] | what channels carry |
//!
//! What must hold everywhere: a core's `Local` is touched only where `Platform::here` equals that core,
//! in task context, and never across a call into foreign code (a poll, a drop, a waker).

pub mod abandon;
pub(crate) mod block;
pub(crate) mod cell;
pub(crate) mod core;
pub mod gate;
pub(crate) mod guarded;
pub mod heap;
pub mod here;
pub mod join;
pub mod joincell;
pub(crate) mod list;
pub mod locals;
pub mod oneshot;
pub(crate) mod prefetch;
pub(crate) mod ring;
pub(crate) mod shared;
pub(crate) mod sites;
pub(crate) mod slab;
pub(crate) mod waker;

use alloc::{
    alloc::{Layout, alloc},
    boxed::Box,
};

/// A box, unless memory is short.
pub(crate) fn try_box<T>(value: T) -> Option<Box<T>> {
    let layout = Layout::new::<T>();
    if layout.size() == 0 {
        return Some(Box::new(value));
    }
    // SAFETY: the size is not zero.
    let memory = unsafe { alloc(layout) }.cast::<T>();
    if memory.is_null() {
        return None;
    }
    // SAFETY: fresh memory of the right layout from the global allocator, as `Box` wants it.
    unsafe {
        memory.write(value);
        Some(Box::from_raw(memory))
    }
}

use ::core::sync::atomic::{AtomicPtr, Ordering};

use crate::{fleet::Step, platform::Platform};

/// Publishes a box for ever, unless something is there already.
pub(crate) fn publish<T>(at: &AtomicPtr<T>, value: Box<T>) -> Result<(), Box<T>> {
    let fresh = Box::into_raw(value);
    match at.compare_exchange(
        ::core::ptr::null_mut(),
        fresh,
        Ordering::AcqRel,
        Ordering::Acquire,
    ) {
        Ok(_) => Ok(()),
        // SAFETY: `fresh` came from the box and was not shared.
        Err(_) => Err(unsafe { Box::from_raw(fresh) }),
    }
}

/// What was [published](publish) there.
#[inline(always)]
pub(crate) fn published<T>(at: &AtomicPtr<T>) -> Option<&'static T> {
    // SAFETY: what is published is never freed.
    unsafe { at.load(Ordering::Acquire).as_ref() }
}

/// Takes back what was [published](publish), when nobody can be looking.
#[cfg(loom)]
pub(crate) fn unpublish<T>(at: &AtomicPtr<T>) {
    let old = at.swap(::core::ptr::null_mut(), Ordering::AcqRel);
    if !old.is_null() {
        // SAFETY: it came from a box, and its owner is going away.
        drop(unsafe { Box::from_raw(old) });
    }
}

/// One step of a core that [`Fleet`](crate::Fleet) found runnable here.
pub(crate) fn step<P: Platform>(core: &'static core::Core<P>) -> Step {
    // SAFETY: the fleet checked that this is the core's task context and that no poll is in progress.
    if unsafe { core.step() } {
        Step::Ran
    } else {
        Step::Idle(core.next_due())
    }
}

/// One step, or a halt if there was nothing to do.
#[inline(always)]
pub(crate) fn step_or_idle<P: Platform>(core: &'static core::Core<P>) {
    // SAFETY: as for `step`; a poll that ended leaves the core's context as it was.
    unsafe {
        if !core.step() {
            core.idle();
        }
    }
}
