//! The seams: everything the executor asks of the world around it.

use crate::{CoreId, Event, Fleet, Guarded, Here, Moment, Remains, TaskId};

/// Clock, place, wake interrupt and idle: all that differs between ring 0, ring 3, a host thread and
/// a microcontroller. All functions are static so that they inline into the executor.
pub trait Platform: Sized + 'static {
    /// Whether statistics are kept: counters, CPU time, histograms, why-late accounting. When
    /// `false` their code is not compiled in, and the clock is read only where time decides
    /// something (timers, reservations).
    const STATS: bool = true;

    /// The one fleet of this platform.
    fn fleet() -> &'static Fleet<Self>;

    /// The clock in ticks: never goes backwards on one core, and is synchronised across cores to
    /// much better than a deadline's precision.
    fn now() -> u64;

    /// Ticks a second; constant once the first core has started.
    fn ticks_per_second() -> u64;

    /// Which core this is and whether it is serving an interrupt. Called at every wake: should be one
    /// load.
    fn here() -> Here;

    /// Makes `core` leave [`Platform::idle`] or, when it runs preemptible code, enter its kernel: an
    /// inter-processor interrupt, or `unpark`. Sticky: a kick that comes between `still_idle` and the
    /// halt must end the halt.
    fn kick(core: CoreId);

    /// Halts until an interrupt, a [`Platform::kick`], or the clock reaches `until`. In a kernel:
    /// disable interrupts; if `still_idle()`, arm the one-shot timer for `until` (disarm it for
    /// `None`), then enable interrupts and halt as one step; else enable interrupts. `still_idle` must
    /// be called with interrupts off and exactly once. Returning early is harmless.
    fn idle(core: CoreId, until: Option<u64>, still_idle: impl FnOnce() -> bool);

    /// Runs `poll`, which is one poll of `task`, or the drop of its future. A platform that can stop a task in the middle of its
    /// own code, without unwinding, does so around this call: it keeps the place to come back to, and if the task is lost, goes on
    /// from there with [`Guarded::Abandoned`]. The contract is that of [`Abandoned::new`](crate::Abandoned::new).
    /// Called in task context of the task's core, with nothing of the executor borrowed. Just runs it by default.
    #[inline(always)]
    fn guard(task: TaskId, poll: impl FnOnce()) -> Guarded {
        let _ = task;
        poll();
        Guarded::Returned
    }

    /// An abandoned task is over: neither the executor nor the task's handle refers to its memory any more. Called where that came
    /// last: on the task's core, or where the handle was dropped or awaited. Keeps the memory for ever by default.
    #[cold]
    fn remains(remains: Remains<Self>) {
        drop(remains);
    }

    /// Whether [`moment`](Self::moment) is to be told. Asked at each wake, and twice for each poll: a load at most. Never by default.
    #[inline(always)]
    fn recorder() -> bool {
        false
    }

    /// Called for wakes from anywhere, interrupts included, and for polls on their cores. Must not call back into the executor.
    #[cold]
    fn moment(moment: Moment) {
        let _ = moment;
    }

    /// Called on rare events worth a log line or a trace record: after the poll in question, in task
    /// context of its core. May wake tasks of any core and look at them; must not call back into the
    /// executor otherwise. Does nothing by default.
    #[inline(always)]
    fn event(event: Event) {
        let _ = event;
    }
}
