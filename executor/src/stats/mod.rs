//! Counting without stopping: what each task, spawn site and core did, readable from anywhere.

pub mod histogram;

use crate::{
    event::Late,
    published::{P32, P64},
};
pub use histogram::Histogram;

/// A task's counters; only kept with [`Platform::STATS`](crate::Platform::STATS).
#[derive(Debug, Default)]
pub(crate) struct TaskRecord {
    pub(crate) cpu_ticks: P64,
    pub(crate) polls: P64,
    pub(crate) wakes: P64,
    /// Since when the present job is ready.
    pub(crate) woken_at: P64,
    pub(crate) spawned_at: P64,
    pub(crate) longest_poll: P64,
    /// When the wake now in the inbox was issued.
    pub(crate) called_at: P64,
    pub(crate) misses: P32,
    pub(crate) overruns: P32,
    pub(crate) throttles: P32,
    /// Since when the job was ready that was counted last as throttled: the low half of that tick, which tells jobs apart well enough.
    pub(crate) throttled_job: P32,
}

impl TaskRecord {
    #[inline(always)]
    pub(crate) fn begin(&self, now: u64) {
        self.cpu_ticks.set(0);
        self.polls.set(0);
        self.wakes.set(0);
        self.longest_poll.set(0);
        self.misses.set(0);
        self.overruns.set(0);
        self.throttles.set(0);
        self.throttled_job.set(u32::MAX);
        self.spawned_at.set(now);
    }
}

/// What the tasks of one spawn site did on one core.
#[derive(Debug, Default)]
pub struct SiteRecord {
    /// Wake to start of poll, ticks.
    pub latency: Histogram,
    /// Longest poll, ticks.
    pub longest_poll: P64,
    /// Polls longer than allowed.
    pub overruns: P64,
    /// Deadline misses by cause ([`Late`]).
    pub misses: [P64; Late::COUNT],
}

/// A core's counters. Times in ticks.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct CoreStats {
    /// Polls.
    pub dispatches: P64,
    /// Time halted.
    pub idle_ticks: P64,
    /// Halts.
    pub halts: P64,
    /// Wake interrupts this core sent from task context.
    pub kicks_sent: P64,
    /// Wakes of other cores from task context that needed none.
    pub kicks_saved: P64,
    /// Times the inbox was emptied.
    pub inbox_drains: P64,
    /// Wakes that came through it.
    pub inbox_wakes: P64,
    /// Times a timer was armed by a task.
    pub timers_armed: P64,
    /// Timers that fired.
    pub timers_fired: P64,
    /// Times a sleeper found no free timer.
    pub timers_exhausted: P64,
    /// Tasks alive.
    pub tasks: P64,
    /// Tasks spawned here, ever.
    pub spawned: P64,
    /// Tasks ready at once, at most.
    pub ready_high_water: P64,
    /// Tasks moved away.
    pub moved_out: P64,
    /// Bytes of task memory obtained so far.
    pub slab_bytes: P64,
    /// Deadline misses by cause.
    pub misses: [P64; Late::COUNT],
    /// Longest poll.
    pub longest_poll: P64,
}
