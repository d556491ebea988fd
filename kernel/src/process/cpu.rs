//! Processor time: how much a task used, and who must wait as his job has used all it may.
//!
//! The executor times every poll, ring 3 and kernel alike, so that counting costs nothing where calls are made: a thread's time is its
//! task's. Where a deadline and a budget are lent, time is too: what a server does in its caller's poll counts for the caller, and
//! what a driven thread does for its driver.
//!
//! A job's limit is looked at where a thread's life goes round, and when a window opens: before ring 3 is entered after anything that took
//! the core away. While no job has a limit that is one load in each poll.

use executor::TaskId;
use objects::job::cpu::{Allowance, any_is_limited};

use super::process::Process;
use super::thread::Thread;
use crate::exec;

/// Over which time a limit is counted.
const WINDOW_NS: u64 = 100_000_000;
/// In [`Metered`]: nobody looked yet.
const NEVER: u64 = u64::MAX;

/// What a task has used, the poll in progress included, in ticks. 0 for a task that is over.
pub fn ticks_of(task: TaskId) -> u64 {
    let info = exec::fleet().task(task);
    info.map_or(0, |info| info.cpu_ticks)
}

/// How much of a task's time its job's limits know of, in ticks.
#[derive(Clone, Copy, Debug)]
pub struct Metered(u64);

impl Metered {
    /// Nothing.
    pub const fn new() -> Self {
        Self(NEVER)
    }

    /// As a word.
    pub const fn from_word(word: u64) -> Self {
        Self(word)
    }

    /// As a word.
    pub const fn to_word(self) -> u64 {
        self.0
    }
}

/// Whether a task may run now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// Until this tick; `u64::MAX`: as long as it likes.
    Until(u64),
    /// It is asked again at this tick.
    Wait(u64),
}

/// Whether the current task, of this process, may run, once it has paid for what it did since this was last asked.
#[inline]
pub fn share(process: &Process, metered: &mut Metered) -> Share {
    if !any_is_limited() {
        return Share::Until(u64::MAX);
    }
    limited_share(process, metered)
}

#[cold]
fn limited_share(process: &Process, metered: &mut Metered) -> Share {
    let account = process.account();
    let task = executor::current_task::<hal::platform::KernelPlatform>();
    let Some(task) = task.filter(|_| account.is_cpu_limited()) else {
        *metered = Metered::new();
        return Share::Until(u64::MAX);
    };
    let total = ticks_of(task);
    let used = match core::mem::replace(metered, Metered(total)) {
        Metered(NEVER) => 0,
        Metered(before) => total.saturating_sub(before),
    };
    let now = hal::time::now_ticks();
    let window = hal::time::ns_to_ticks_up(WINDOW_NS);
    match account.charge_cpu(used, now, window) {
        Allowance::Unlimited => Share::Until(u64::MAX),
        Allowance::Ticks(ticks) => Share::Until(now.saturating_add(ticks)),
        // The limit may be raised meanwhile.
        Allowance::From(from) => Share::Wait(from.min(now.saturating_add(window))),
    }
}

/// As [`share`], for a thread's own task.
#[inline]
pub fn share_of(thread: &Thread) -> Share {
    if !any_is_limited() {
        return Share::Until(u64::MAX);
    }
    let mut metered = thread.metered();
    let share = limited_share(&thread.process, &mut metered);
    thread.set_metered(metered);
    share
}
