//! Tasks that die in the middle of a poll, without unwinding: what a platform says, and what is left of them.
//!
//! A kernel that runs servers in its own address space cannot unwind them. When such a server panics or faults inside of
//! a task's poll, the platform drops the poll's frames on the floor and goes on behind [`Platform::guard`], as by `longjmp`; it
//! then answers [`Guarded::Abandoned`]. The executor never touches the task's future again, not even to drop it, and
//! tidies up all it has itself of the task. Nothing of this costs anything where the platform has no guard.
//!
//! # What becomes of what the task had
//! | | |
//! |---|---|
//! | its time | charged to it, as for any poll; counters and misses too |
//! | its id and wakers | stale from now on; wakes are no-ops |
//! | its handle | gives [`JoinError::Abandoned`](crate::JoinError::Abandoned) |
//! | its reservation | left: given up when the task was the last user |
//! | the deadline it lent | comes back at once: the borrower acts under what is left to it |
//! | what was lent to it | waits for whoever takes next what it held, or is never used |
//! | its timers | those that wake the task itself are disarmed at once; those with wakers of its own making by [`Fleet::forget_wakers`](crate::Fleet::forget_wakers), or else they fire in vain |
//! | task-local values, an open [`Window`](crate::Window) | gone with the poll |
//! | its place in a wait list of `executor::sync` | stays, and its memory with it, until `forget_waiters` of that primitive; a permit that reaches it there is lost |
//! | guards and permits it held | stay taken: no one can tell in what state the content is |
//! | its ends of channels | stay open, unheard and unanswered: the other end learns of the death by the handle, not by a disconnect |
//! | handles of other tasks in its memory | never dropped: [`Fleet::disown`](crate::Fleet::disown) lets those tasks' memory go |
//! | the future's memory | kept; comes as [`Remains`] to [`Platform::remains`] when neither executor nor handle refers to it any more |

use core::{marker::PhantomData, ops::Range, ptr::NonNull};

use super::{block::Head, core::free_block};
use crate::{
    AbandonError, Fleet, Platform, TaskId,
    sync::{Mutex, Notify, RwLock, Semaphore, mpsc},
};

/// How a guarded piece of a task ended.
#[derive(Debug)]
pub enum Guarded {
    /// It returned.
    Returned,
    /// It will never return.
    Abandoned(Abandoned),
}

/// Vouches for a poll that is over without having returned.
#[derive(Debug)]
pub struct Abandoned(());

impl Abandoned {
    /// To be returned from [`Platform::guard`].
    ///
    /// # Safety
    /// * The closure was entered, and none of the frames it stood on runs again, not even to drop what is in them.
    /// * It was left in the task's own code, or in code that the task called, but not inside of this crate's own functions,
    ///   which may have been changing a list or holding a lock; a future or closure of the task's that this crate was calling is the
    ///   task's own code, except for a `Waker`'s functions. A failure in there is the kernel's and fatal.
    /// * What the task's memory and the abandoned frames hold stays allocated and untouched as long as somebody may
    ///   refer to it: wait lists ([`Notify::forget_waiters`](crate::sync::Notify::forget_waiters) and the like),
    ///   timers ([`Fleet::forget_wakers`](crate::Fleet::forget_wakers)), handles, other tasks.
    /// * The calling context is again the task context of its core, and [`Platform::here`] says so.
    pub const unsafe fn new() -> Abandoned {
        Abandoned(())
    }
}

/// The memory of an abandoned task. Dropping this keeps it for ever.
#[derive(Debug)]
#[must_use = "dropped, the memory is never used again"]
pub struct Remains<P: Platform> {
    task: TaskId,
    head: NonNull<Head>,
    platform: PhantomData<fn() -> P>,
}

// SAFETY: nobody else has the memory.
unsafe impl<P: Platform> Send for Remains<P> {}

impl<P: Platform> Remains<P> {
    /// Which task this was. The id is stale.
    pub fn task(&self) -> TaskId {
        self.task
    }

    /// Where the future lies, its header included.
    pub fn memory(&self) -> NonNull<[u8]> {
        // SAFETY: the block is intact.
        let size = unsafe { self.head.as_ref() }.vtable.layout.size();
        NonNull::slice_from_raw_parts(self.head.cast(), size)
    }

    /// Gives the memory back to where the executor takes it from, for other tasks. From anywhere but an interrupt handler.
    ///
    /// # Safety
    /// Nothing refers to it any more: no wait list, no timer's waker, no other task.
    pub unsafe fn recycle(self) {
        // SAFETY: what is in the block is forgotten; the rest is the caller's promise.
        unsafe { free_block::<P>(self.head) }
    }
}

impl<P: Platform> Fleet<P> {
    /// The handle of `task` lies in memory that is given up: it counts as dropped, so that nothing waits for it.
    ///
    /// # Errors
    /// See [`AbandonError`]. If the task is gone already its memory stays with the handle, for ever.
    ///
    /// # Safety
    /// The handle is never used again, nor dropped.
    pub unsafe fn disown(&self, task: TaskId) -> Result<(), AbandonError> {
        self.core(task.core())
            .ok_or(AbandonError::Gone)?
            .disown(task)
    }
}

/// `forget_waiters`, for what tasks wait at.
macro_rules! forgets {
    ($([$($generics:tt)*] $type:ty, $this:ident => $gate:expr;)*) => {$(
        impl<$($generics)*> $type {
            /// Takes waiters out of the line whose futures lie in `memory`, which is given up; whoever waits behind them moves up.
            /// For the memory of [abandoned](crate::Abandoned) tasks: before it is used again. What these tasks hold, and a
            /// permit that was handed to them already, stays taken.
            ///
            /// # Safety
            /// No future in `memory` is polled or dropped any more.
            pub unsafe fn forget_waiters(&self, memory: Range<usize>) {
                let $this = self;
                // SAFETY: the caller's promise.
                unsafe { $gate.forget(&memory) }
            }
        }
    )*};
}
forgets! {
    [] Notify, this => this.0;
    [] Semaphore, this => this.0;
    [P: Platform, T: ?Sized] Mutex<P, T>, this => this.content.0.gate;
    [T: ?Sized] RwLock<T>, this => this.0.gate;
    [T] mpsc::Sender<T>, this => this.line();
    [T] mpsc::Receiver<T>, this => this.line();
}

/// Lets go of the block of a task whose handle and executor are both done with it, and whose content is gone.
///
/// # Safety
/// It is not used again.
pub(crate) unsafe fn release_block<P: Platform>(task: TaskId, head: NonNull<Head>) {
    // SAFETY: the head is intact; the rest is the caller's promise.
    unsafe {
        if head.as_ref().join.is_lost() {
            P::remains(Remains {
                task,
                head,
                platform: PhantomData,
            });
        } else {
            free_block::<P>(head);
        }
    }
}
