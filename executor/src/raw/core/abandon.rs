//! Tasks that end without their futures being dropped; see [`crate::Abandoned`].

use core::{ptr::NonNull, sync::atomic::Ordering};

use super::{CONTROL, Core};
use crate::{
    fleet::AbandonError,
    ident::TaskId,
    platform::Platform,
    raw::{
        abandon::Guarded,
        block::{self, Head},
        waker,
    },
    slot::{Slot, State, flag},
};

impl<P: Platform> Core<P> {
    /// Ends a task that is cancelled, before its poll: drops its future, unless that was forbidden.
    ///
    /// # Safety
    /// As for a poll: called by `step`, and the block holds a live future.
    #[cold]
    pub(super) unsafe fn end_cancelled(&self, record: &Slot, id: TaskId, head: NonNull<Head>) {
        if record.has(flag::ABANDON) {
            return self.lose(id, head);
        }
        // SAFETY: the caller's promise.
        let drops = || unsafe { block::drop_future_of(head) };
        if let Guarded::Abandoned(_) = P::guard(id, drops) {
            self.lose(id, head);
        }
    }

    /// Gives the task's future up without dropping it.
    #[cold]
    pub(super) fn lose(&self, id: TaskId, head: NonNull<Head>) {
        // SAFETY: the task is being ended: its block is alive.
        unsafe { head.as_ref() }.join.lose();
        self.chain.cut();
        self.window.store(0, Ordering::SeqCst);
        let own = waker::of_task::<P>(id);
        self.with(|local| local.timers.forget(|waker| waker.will_wake(&own)));
    }

    /// The record of a task that lives here, in whose place an abandonment may be noted.
    fn living(&self, task: TaskId) -> Result<&Slot, AbandonError> {
        let record = self
            .slots
            .get(task.slot() as usize)
            .filter(|record| record.is_of(task) && task.slot() != CONTROL)
            .ok_or(AbandonError::Gone)?;
        // Acquire: behind the birth of a task from elsewhere lies all that its spawner wrote.
        let _ = record.state.acquire();
        match record.state() {
            State::Free => Err(AbandonError::Gone),
            State::Moved => Err(AbandonError::NotHere),
            _ if !self.is_here() => Err(AbandonError::NotHere),
            _ => Ok(record),
        }
    }

    /// See [`crate::Fleet::abandon`].
    pub(crate) fn abandon(&self, task: TaskId) -> Result<(), AbandonError> {
        let record = self.living(task)?;
        if record.state() == State::Polling {
            return Err(AbandonError::Running);
        }
        record.raise(flag::ABANDON);
        self.mark_cancelled(task.slot(), task.generation());
        if record.state() != State::Born {
            self.deliver(task.slot(), P::now());
        }
        Ok(())
    }

    /// See [`crate::Fleet::disown`].
    pub(crate) fn disown(&self, task: TaskId) -> Result<(), AbandonError> {
        let record = self.living(task)?;
        let head = NonNull::new(record.block()).ok_or(AbandonError::Gone)?;
        // SAFETY: the task lives, here, so does its block; the handle is not used any more.
        unsafe { head.as_ref() }.join.disown();
        Ok(())
    }

    /// See [`crate::Fleet::forget_wakers`].
    pub(crate) fn forget_wakers(&self, memory: &core::ops::Range<usize>) {
        self.with(|local| {
            local
                .timers
                .forget(|waker| memory.contains(&waker.data().addr()));
        });
    }
}
