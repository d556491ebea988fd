//! The typed end of a task: its handle.

use core::{
    fmt,
    future::Future,
    marker::PhantomData,
    mem::ManuallyDrop,
    pin::Pin,
    ptr::NonNull,
    task::{Context, Poll},
};

use super::{
    abandon::release_block,
    block::{self, Head},
};
use crate::{ident::TaskId, platform::Platform};

/// Why there is no output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinError {
    /// The task was cancelled before it finished.
    Cancelled,
    /// The task died in a poll that will never return; see [`Abandoned`](crate::Abandoned).
    Abandoned,
    /// The output was taken by an earlier poll of the handle.
    Taken,
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            JoinError::Cancelled => "the task was cancelled",
            JoinError::Abandoned => "the task was abandoned in the middle of a poll",
            JoinError::Taken => "the task's output was taken already",
        })
    }
}

impl core::error::Error for JoinError {}

/// Awaits a task's output. Dropping the handle detaches the task, which runs on.
#[must_use = "dropping a handle detaches the task; say so with `detach`"]
pub struct JoinHandle<P: Platform, T> {
    id: TaskId,
    head: Option<NonNull<Head>>,
    output: PhantomData<(fn() -> P, T)>,
}

// SAFETY: the handle gives away the output, if that may cross threads; the join cell is made for that. The future
// itself is never touched through it.
unsafe impl<P: Platform, T: Send> Send for JoinHandle<P, T> {}
// SAFETY: `&JoinHandle` gives nothing but the id and cancellation.
unsafe impl<P: Platform, T: Send> Sync for JoinHandle<P, T> {}

impl<P: Platform, T> Unpin for JoinHandle<P, T> {}

impl<P: Platform, T> fmt::Debug for JoinHandle<P, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("JoinHandle").field(&self.id).finish()
    }
}

/// The handle of a block that was just spawned, whose future's output is `T`.
pub(crate) fn handle<P: Platform, T>(id: TaskId, head: NonNull<Head>) -> JoinHandle<P, T> {
    JoinHandle {
        id,
        head: Some(head),
        output: PhantomData,
    }
}

impl<P: Platform, T> JoinHandle<P, T> {
    /// The task's id.
    pub fn id(&self) -> TaskId {
        self.id
    }

    /// Whether the task has finished or was dropped.
    pub fn is_finished(&self) -> bool {
        // SAFETY: the block lives at least until the handle lets go of it.
        self.head
            .is_none_or(|head| unsafe { head.as_ref() }.join.is_done())
    }

    /// Asks that the task be dropped instead of polled again. The handle then gives [`JoinError::Cancelled`], unless
    /// the task had finished. `false` if it is gone already.
    pub fn cancel(&self) -> bool {
        P::fleet().cancel(self.id)
    }

    /// Cancels the task and forgets it.
    pub fn abort(self) {
        self.cancel();
    }

    /// Lets the task run on by itself; its output is dropped.
    #[inline(always)]
    pub fn detach(self) {
        let handle = ManuallyDrop::new(self);
        if let Some(head) = handle.head {
            // SAFETY: the handle's own block, and it does not touch it any more.
            unsafe { let_go::<P>(handle.id, head) };
        }
    }

    /// # Safety
    /// The task is done.
    unsafe fn take(&mut self, head: NonNull<Head>) -> Result<T, JoinError> {
        self.head = None;
        // SAFETY: done, and the handle is the only one left: output and memory are its own. The block's type was
        // that of the spawn which made the handle.
        unsafe {
            let join = &head.as_ref().join;
            let output = if join.is_lost() {
                Err(JoinError::Abandoned)
            } else if join.is_empty() {
                Err(JoinError::Cancelled)
            } else {
                Ok(block::take_output::<T>(head))
            };
            release_block::<P>(self.id, head);
            output
        }
    }
}

impl<P: Platform, T> Future for JoinHandle<P, T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(head) = self.head else {
            return Poll::Ready(Err(JoinError::Taken));
        };
        // SAFETY: the block lives at least until the handle lets go of it.
        if unsafe { head.as_ref() }.join.register(context.waker()) {
            // SAFETY: done.
            return Poll::Ready(unsafe { self.take(head) });
        }
        Poll::Pending
    }
}

impl<P: Platform, T> Drop for JoinHandle<P, T> {
    #[inline]
    fn drop(&mut self) {
        if let Some(head) = self.head.take() {
            // SAFETY: the handle's own block, and it does not touch it any more.
            unsafe { let_go::<P>(self.id, head) };
        }
    }
}

/// What a handle does last.
///
/// # Safety
/// The caller owns the handle's half of the join cell, and uses the block no more.
#[inline(always)]
unsafe fn let_go<P: Platform>(id: TaskId, head: NonNull<Head>) {
    // SAFETY: the block lives at least until the handle lets go of it.
    let join = unsafe { &head.as_ref().join };
    let home = P::fleet()
        .core(id.core())
        .is_some_and(|core| core.is_home_of(id));
    let done = if home {
        join.abandon_at_home()
    } else {
        join.abandon()
    };
    if done {
        // SAFETY: done, and the handle came last: output and memory are its own.
        unsafe { free_finished::<P>(id, head) };
    }
}

/// # Safety
/// The task is done; output and memory are the caller's.
#[cold]
unsafe fn free_finished<P: Platform>(id: TaskId, head: NonNull<Head>) {
    // SAFETY: the caller's promise.
    unsafe {
        if !head.as_ref().join.is_empty() {
            block::drop_output_of(head);
        }
        release_block::<P>(id, head);
    }
}
