//! Judges a trace: were the rules kept at every dispatch, did everybody get what was promised?
//!
//! The oracle sees only [events](crate::trace::Event) and shares no code with the executor. It checks
//!
//! * **order**: the earliest deadline first among ready reservations, and among ready tasks without one; first come first
//!   served among equals and within a reservation. Deadlines of reservations are computed from [the budgets](account), and must
//!   equal what the executor says. The budget of a *reclaiming* reservation depends on everyone else's; for these only the
//!   other checks hold.
//! * **budgets**: a hard reservation does not run without budget, nor get more than 2Q + Q/T·(L + B) and a poll in any window L
//!   (B: the blocking term, by which a period's service can come late);
//!   a wake of a throttled one does not end that.
//! * **isolation**: while reservations wait, tasks without one get no more than their bandwidth, two budgets and a poll.
//! * **deadlines**: in a reservation whose task keeps what it declared, each job ends within D of its release, and the
//!   blocking term: the longest poll on that core. (A release that falls into a poll is only noticed at its end, which is why the
//!   term appears here too.) Nothing can stop a poll, so where somebody polls longer than it declared, its longest poll is taken
//!   instead, and what each such reservation exceeded its own declaration by is added once.
//! * **shares**: best effort as a whole gets its budget in any window in which it wants it, less two periods' worth, a blocking
//!   term's and a poll; tasks with a deadline but no reservation the least share set aside for them, where what they had
//!   before counts until it is paid for.
//! * **fairness**: the difference of time ÷ weight of two best-effort tasks which are both ready throughout stays in a range of
//!   three virtual-time bands and a poll of each. Where polls are only timed if something depends on it, that is one of the two
//!   having another weight than the default.
//! * **admission**: what is admitted satisfies the test, and nothing is refused that does. See [`admission`].
//! * **work is done**: no core idles while a task on it may run.

pub mod account;
pub mod admission;
mod judge;
mod model;
mod order;
mod parts;
pub mod shares;

use std::fmt;

use self::model::{Core, Server, Task};
use crate::trace::{Event, Terms};

/// What was wrong first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// At which event, from 0.
    pub event: u64,
    /// When (ticks).
    pub t: u64,
    /// What.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "event {} at {}: {}", self.event, self.t, self.what)
    }
}

/// What the oracle saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events.
    pub events: u64,
    /// Polls.
    pub polls: u64,
    /// Polls chosen while another reservation or open task waited.
    pub choices: u64,
    /// Jobs that had to be in time.
    pub jobs: u64,
    /// Of these, how many ended after D, though within the blocking term.
    pub within_blocking: u64,
    /// Jobs of other tasks.
    pub other_jobs: u64,
    /// Of these, how many were late.
    pub late_other_jobs: u64,
    /// Reservations admitted.
    pub admitted: u64,
    /// Reservations refused.
    pub refused: u64,
    /// Times a hard reservation had to wait for its next budget.
    pub throttled: u64,
}

impl Counts {
    /// Adds another run's.
    pub fn add(&mut self, other: &Counts) {
        self.events += other.events;
        self.polls += other.polls;
        self.choices += other.choices;
        self.jobs += other.jobs;
        self.within_blocking += other.within_blocking;
        self.other_jobs += other.other_jobs;
        self.late_other_jobs += other.late_other_jobs;
        self.admitted += other.admitted;
        self.refused += other.refused;
        self.throttled += other.throttled;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} polls ({} with a choice), {} guaranteed jobs ({} past D within the blocking term), {} other jobs ({} late), {} admitted, {} refused, {} throttled",
            self.polls,
            self.choices,
            self.jobs,
            self.within_blocking,
            self.other_jobs,
            self.late_other_jobs,
            self.admitted,
            self.refused,
            self.throttled
        )
    }
}

/// Judges events as they come. After the first violation it looks no further.
#[derive(Debug, Default)]
pub struct Oracle {
    cores: Vec<Option<Core>>,
    servers: Vec<Option<Server>>,
    tasks: Vec<Option<Task>>,
    turns: u64,
    counts: Counts,
    violation: Option<Violation>,
    now: u64,
}

/// Ids beyond this are a mistake in the trace.
const MOST: u32 = 1 << 20;

type Check = Result<(), String>;

impl Oracle {
    /// An oracle that has seen nothing.
    pub fn new() -> Oracle {
        Oracle::default()
    }

    /// Takes note of what happened next.
    pub fn observe(&mut self, event: &Event) {
        if self.violation.is_none() {
            if let Err(what) = self.check(event) {
                self.fail(what);
            }
            self.counts.events += 1;
        }
    }

    /// The recorder itself found something wrong.
    pub fn fail(&mut self, what: String) {
        if self.violation.is_none() {
            self.violation = Some(Violation {
                event: self.counts.events,
                t: self.now,
                what,
            });
        }
    }

    /// The first violation.
    pub fn verdict(&self) -> Option<Violation> {
        self.violation.clone()
    }

    /// What was seen.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// A reservation was refused: was that necessary? Only asked where nothing was given up before, since bandwidth
    /// is not free at once.
    pub fn refused(&mut self, core: u32, terms: &Terms, why: &str) {
        let Ok(home) = self.core(core) else { return };
        let division = home.division;
        let mut set = vec![*terms];
        for server in self
            .servers
            .iter()
            .flatten()
            .filter(|server| server.core == core)
        {
            if server.released {
                return;
            }
            set.push(server.terms);
        }
        if admission::clearly_fits(&division, &set) {
            self.fail(format!("core {core} refused {terms:?}, which fits: {why}"));
        }
    }
}

/// Judges a whole trace.
pub fn judge(events: &[Event]) -> (Counts, Option<Violation>) {
    let mut oracle = Oracle::new();
    events.iter().for_each(|event| oracle.observe(event));
    (oracle.counts(), oracle.verdict())
}
