//! What a core is started with, and why starting can fail.

use core::{fmt, time::Duration};

use crate::CoreId;

/// The sizes and policies of one core. Everything is allocated when the core starts and nothing of it grows; with statistics,
/// the counts of each spawn site (1.5 KiB) are added when it first spawns there.
#[derive(Clone, Copy, Debug)]
pub struct CoreConfig {
    /// How many tasks can live on the core at once. At most 2²⁰ − 1.
    pub tasks: usize,
    /// How many of these slots are set aside for tasks spawned or moved here from elsewhere.
    pub remote_tasks: usize,
    /// How many timers can be armed at once. Sleepers beyond that number poll.
    pub timers: usize,
    /// How many reservations the core can admit.
    pub reservations: usize,
    /// The part of the core that may be given to reservations, best effort's included: thousandths.
    pub limit_permille: u32,
    /// What best effort is sure to get: this budget every [`best_effort_period`](Self::best_effort_period).
    pub best_effort_budget: Duration,
    /// See [`best_effort_budget`](Self::best_effort_budget).
    pub best_effort_period: Duration,
    /// Over what period tasks with a deadline but no reservation are given what nobody reserved. A short one
    /// lets them in sooner beside busy reservations.
    pub open_period: Duration,
    /// The least part of the core left to them: thousandths.
    pub open_permille: u32,
    /// The longest poll of a task without a reservation: blocks every reservation and is part of their
    /// admission. Longer polls are counted.
    pub longest_poll: Duration,
    /// Whether the core takes only tasks that name it ([`Task::core`](crate::Task::core)).
    pub isolated: bool,
}

impl CoreConfig {
    /// A core for a thousand tasks.
    pub const fn new() -> CoreConfig {
        CoreConfig {
            tasks: 1024,
            remote_tasks: 128,
            timers: 1024,
            reservations: 256,
            limit_permille: 950,
            best_effort_budget: Duration::from_micros(500),
            best_effort_period: Duration::from_millis(10),
            open_period: Duration::from_millis(1),
            open_permille: 50,
            longest_poll: Duration::from_micros(50),
            isolated: false,
        }
    }
}

impl Default for CoreConfig {
    fn default() -> Self {
        Self::new()
    }
}

/// Why a core could not be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartError {
    /// The core has been started already.
    AlreadyStarted(CoreId),
    /// The configuration contradicts itself; the field is named.
    BadConfig(&'static str),
    /// Memory for the core's tables is short. Start it with fewer tasks or timers.
    NoMemory,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::AlreadyStarted(core) => write!(f, "core {core} is started already"),
            StartError::BadConfig(field) => write!(f, "core configuration: bad value of `{field}`"),
            StartError::NoMemory => {
                f.write_str("no memory for a core's tables; ask for fewer tasks or timers")
            }
        }
    }
}

impl core::error::Error for StartError {}
