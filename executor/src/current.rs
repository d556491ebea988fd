//! What a task asks about itself.

use core::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use crate::{
    Platform, TaskId,
    raw::core::{Core, Window},
};

/// Lets others run, and comes back behind those of the same deadline.
pub fn yield_now() -> YieldNow {
    YieldNow { yielded: false }
}

/// See [`yield_now`].
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct YieldNow {
    yielded: bool,
}

impl Future for YieldNow {
    type Output = ();

    #[inline]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.yielded {
            return Poll::Ready(());
        }
        self.yielded = true;
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

/// A place where a long computation can stop: yields if something more urgent waits, or if the poll has lasted as
/// long as it may; else goes on at once. See [`need_resched`].
pub async fn checkpoint<P: Platform>() {
    if need_resched::<P>() {
        yield_now().await;
    }
}

/// Whether the running task should yield: something with an earlier deadline waits, in the queue or in the inbox,
/// a timer is due, or the budget or the longest allowed poll is used up. Reads memory and the clock; cheap enough for
/// every loop of a microsecond.
pub fn need_resched<P: Platform>() -> bool {
    P::fleet().here().is_some_and(|core| core.need_resched())
}

/// The running task, if the caller is one.
pub fn current_task<P: Platform>() -> Option<TaskId> {
    P::fleet().here()?.current()
}

/// The deadline under which the running task runs (ticks): its own, or a shorter one that was lent to it. `None` for
/// best effort and outside of tasks.
pub fn deadline<P: Platform>() -> Option<u64> {
    P::fleet().here()?.current_deadline()
}

/// Gives the running task another absolute deadline (ticks), for the rest of this job; a task without a relative
/// deadline keeps it. `false` if the caller is no task, or one with a reservation (whose deadlines follow from it). A
/// best-effort task becomes a task with a deadline.
#[inline]
pub fn set_deadline<P: Platform>(ticks: u64) -> bool {
    Core::<P>::at_home().is_some_and(|home| home.set_current_deadline(ticks))
}

/// The running task has nothing to do that is due before `ticks`: a process, say, whose own executor says so. Only for a task with a reservation
/// to itself, which others may then precede: it is scheduled by that time where its budget's deadline is earlier, for one period at
/// most, until it blocks, its budget is used up, or it says otherwise. 0, or any time before that deadline, takes it back.
pub fn postpone<P: Platform>(ticks: u64) {
    if let Some(core) = P::fleet().here() {
        core.postpone_current(ticks);
    }
}

/// Opens a window in which the running task may be interrupted, for a kernel that is about to enter ring 3 inside a poll.
///
/// `None` means: do not enter, something more urgent is ready or due; yield instead. While the window is open, the wake
/// of a task with an earlier deadline [kicks](Platform::kick) this core (best effort counts as due never), and the kernel must
/// leave ring 3 by [`Window::until`]. Best effort takes turns: while other best effort is ready, the window ends with a slice; and
/// every wake kicks it, as best effort that slept goes first. Dropping the window closes it.
#[inline]
pub fn preemptible<P: Platform>() -> Option<Window<P>> {
    Core::<P>::at_home()?.preemptible()
}
