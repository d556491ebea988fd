//! What the executor tells its platform about, and what it publishes for a watchdog.

use crate::{CoreId, TaskId};

/// Something rare and worth a record. Times in ticks.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A poll lasted longer than the task declared (or than the core allows to tasks that declare nothing).
    LongPoll {
        /// Whose.
        task: TaskId,
        /// How long.
        ticks: u64,
        /// How long was declared.
        allowed_ticks: u64,
    },
    /// A job ended, or was started, after its deadline.
    Missed {
        /// Whose.
        task: TaskId,
        /// By how much so far.
        late_ticks: u64,
        /// What made it late.
        cause: Late,
        /// Who stood in its way, if somebody did.
        behind: Option<TaskId>,
    },
    /// A core has no free timer: the sleeper polls until one is free.
    TimersExhausted {
        /// Which core.
        core: CoreId,
    },
}

/// What happens all the time, for a recorder; see [`Platform::recorder`](crate::Platform::recorder).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Moment {
    /// An idle task became ready, or the request is on its way to its core.
    Woken {
        /// Whose.
        task: TaskId,
    },
    /// A poll begins.
    Begins {
        /// Whose.
        task: TaskId,
        /// Under which deadline (ticks); `u64::MAX` for best effort.
        deadline: u64,
    },
    /// The poll ended.
    Ends {
        /// Whose.
        task: TaskId,
        /// How.
        how: Ended,
        /// Whether its reservation has used its budget.
        throttled: bool,
    },
}

/// How a poll ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The task is ready still, or again.
    Ready,
    /// It waits.
    Waits,
    /// It is over.
    Over,
}

/// Why a deadline was missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Late {
    /// Tasks with earlier deadlines came first.
    Queued = 0,
    /// Its reservation had used its budget.
    Throttled = 1,
    /// Somebody's poll with a later deadline could not be interrupted.
    BlockedByPoll = 2,
    /// Its own polls took longer than the deadline left.
    OwnWork = 3,
    /// It was woken when the deadline had passed, or the core woke late from its halt.
    WokenLate = 4,
    /// None of these. More than one in a hundred is an error in the accounting.
    Unknown = 5,
}

impl Late {
    /// How many causes there are.
    pub const COUNT: usize = 6;
    /// All of them, by number.
    pub const ALL: [Late; Self::COUNT] = [
        Late::Queued,
        Late::Throttled,
        Late::BlockedByPoll,
        Late::OwnWork,
        Late::WokenLate,
        Late::Unknown,
    ];

    /// A short name for tables.
    pub const fn name(self) -> &'static str {
        match self {
            Late::Queued => "queued",
            Late::Throttled => "throttled",
            Late::BlockedByPoll => "blocked-by-poll",
            Late::OwnWork => "own-work",
            Late::WokenLate => "woken-late",
            Late::Unknown => "unknown",
        }
    }
}
