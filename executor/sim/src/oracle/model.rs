//! What the oracle knows about cores, reservations and tasks.

use std::collections::VecDeque;

use super::{
    account::Account,
    shares::{Ceiling, Floor, Pair},
};
use crate::trace::{Class, Division, Terms};

/// A core.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) division: Division,
    /// Who is polled, and since when.
    pub(super) running: Option<(u32, u64)>,
    /// When the last poll began and ended.
    pub(super) last: (u64, u64),
    /// The longest poll there was.
    pub(super) longest_poll: u64,
    /// The longest poll that any reservation declared.
    pub(super) declared: u64,
    /// By how much open tasks and best effort polled longer than allowed.
    pub(super) excess: [u64; 2],
    /// The sum of what reservations polled longer than they declared.
    pub(super) reserved_excess: u64,
    pub(super) reservations: Vec<u32>,
    /// Ready tasks with a deadline and no reservation.
    pub(super) open: Vec<u32>,
    /// Ready best-effort tasks.
    pub(super) fair: Vec<u32>,
    pub(super) fair_floor: Floor,
    pub(super) open_floor: Floor,
    /// Since when reservations have been waiting all the time, and what others got meanwhile: open, best effort.
    pub(super) contended: Option<(u64, u64, u64)>,
    /// Ready tasks that look at both: all best-effort tasks seen here, and their pairs.
    pub(super) fair_tasks: Vec<u32>,
    pub(super) pairs: Vec<Pair>,
}

impl Core {
    pub(super) fn new(division: Division) -> Core {
        Core {
            division,
            running: None,
            last: (0, 0),
            longest_poll: 0,
            declared: 0,
            excess: [0; 2],
            reserved_excess: 0,
            reservations: Vec::new(),
            open: Vec::new(),
            fair: Vec::new(),
            fair_floor: Floor::default(),
            open_floor: Floor::lending(),
            contended: None,
            fair_tasks: Vec::new(),
            pairs: Vec::new(),
        }
    }

    /// The blocking term: the longest poll declared, or the longest there was.
    pub(super) fn blocking(&self) -> u64 {
        self.longest_poll
            .max(self.declared)
            .max(self.division.longest_poll)
    }
}

/// A reservation.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) terms: Terms,
    pub(super) core: u32,
    pub(super) account: Account,
    /// Ready members in order of their turns.
    pub(super) members: VecDeque<u32>,
    /// Its place among those of the same deadline.
    pub(super) turn: u64,
    pub(super) ceiling: Ceiling,
    pub(super) longest_poll: u64,
    pub(super) released: bool,
}

impl Server {
    pub(super) fn is_ready(&self) -> bool {
        !self.members.is_empty() && self.account.waits_until.is_none()
    }
}

/// A task.
#[derive(Clone, Copy, Debug)]
pub(super) struct Task {
    pub(super) core: u32,
    pub(super) class: Class,
    pub(super) guaranteed: bool,
    pub(super) ready: bool,
    /// Its own deadline, with no reservation.
    pub(super) deadline: u64,
    pub(super) turn: u64,
}
