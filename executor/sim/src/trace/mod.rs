//! What happened on the cores, event by event: what the oracle judges, and its text form.
//!
//! A trace is self-contained: it names cores, reservations and tasks before they appear, so that a trace recorded in
//! a kernel can be judged as well as a simulated one. One event is one line of words; times are ticks since some
//! origin. `#` starts a comment. The recorder of a kernel writes
//!
//! | line | when |
//! |---|---|
//! | `executor-trace 1` | first |
//! | `core C LIMIT OPEN_LEAST FAIR_BUDGET FAIR_PERIOD OPEN_PERIOD LONGEST_POLL timed\|untimed` | a core starts (shares in thousandths; `timed`: with `Platform::STATS`) |
//! | `reserve T R C BUDGET PERIOD DEADLINE P_MAX hard\|soft FLAGS` | reservation R is admitted, or its terms change; flags: `-`, or of `r` reclaims, `o` known to overrun |
//! | `release T R` | its last task and handle are gone |
//! | `task K C fair WEIGHT`, `task K C open RELATIVE`, `task K C open -`, `task K C in R FLAGS` | task K exists, as best effort, with a deadline, in a reservation; flags: `-` or `g`: a job never asks for more than the budget and comes at most once a period |
//! | `wake T C K STAMP DEADLINE` | the core queues K, which was idle; STAMP is when the wake was issued, DEADLINE its deadline or `-` |
//! | `run T C K DEADLINE` | a poll begins, under this scheduling deadline (`executor::deadline`), `-` for best effort |
//! | `end T C K yield\|block\|finish` | it ends |
//! | `job T C K RELEASE` | K finished what was asked of it at RELEASE (before the `end` of that poll) |
//! | `idle T C` | nothing is ready on the core |
//!
//! in the order in which the core itself does these things. Wakes of a task that is queued or running may be recorded or
//! left out. Record from before the first reservation, or the budgets that are left will not be known.

mod text;

pub use text::{BadLine, HEADER, parse, print};

/// How a task gets its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Best effort of this weight.
    Fair(u32),
    /// By deadline; relative to the wake if given (ticks).
    Open(Option<u64>),
    /// In a reservation.
    In(u32),
}

/// How a poll ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Pending and woken.
    Yield,
    /// Pending.
    Block,
    /// Ready.
    Finish,
}

/// How a core divides itself; times in ticks, shares in thousandths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Division {
    /// What may be given out.
    pub limit_permille: u64,
    /// What tasks with a deadline but no reservation are sure of.
    pub open_permille: u64,
    /// What best effort is sure of: so much ...
    pub fair_budget: u64,
    /// ... in so much.
    pub fair_period: u64,
    /// The period over which open tasks get their part.
    pub open_period: u64,
    /// The longest poll of a task without a reservation.
    pub longest_poll: u64,
    /// Every poll is timed; else only those on which a budget depends, and best effort alone on its core takes turns
    /// poll by poll.
    pub timed: bool,
}

impl Division {
    /// What best effort is sure of, as a part of the core.
    pub fn fair_rate(&self) -> f64 {
        self.fair_budget as f64 / self.fair_period as f64
    }

    /// What open tasks are sure of, as a part of the core.
    pub fn open_rate(&self) -> f64 {
        self.open_permille as f64 / 1000.0
    }
}

/// The terms of a reservation, in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Q.
    pub budget: u64,
    /// T.
    pub period: u64,
    /// D ≤ T.
    pub deadline: u64,
    /// The longest poll declared.
    pub p_max: u64,
    /// Throttled when out of budget.
    pub hard: bool,
    /// Takes time that others leave unused.
    pub reclaims: bool,
    /// Known to overrun what it declared: nothing is owed to it.
    pub overruns: bool,
}

/// Something that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the module's table says what the fields are")]
pub enum Event {
    Core {
        core: u32,
        division: Division,
    },
    Reserve {
        t: u64,
        res: u32,
        core: u32,
        terms: Terms,
    },
    Release {
        t: u64,
        res: u32,
    },
    Task {
        task: u32,
        core: u32,
        class: Class,
        guaranteed: bool,
    },
    Wake {
        t: u64,
        core: u32,
        task: u32,
        stamp: u64,
        deadline: Option<u64>,
    },
    Run {
        t: u64,
        core: u32,
        task: u32,
        deadline: Option<u64>,
    },
    End {
        t: u64,
        core: u32,
        task: u32,
        how: How,
    },
    Job {
        t: u64,
        core: u32,
        task: u32,
        release: u64,
    },
    Idle {
        t: u64,
        core: u32,
    },
}
