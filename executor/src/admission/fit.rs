//! The admission test.
//!
//! It is the one for EDF with sections that cannot be preempted, here polls (T. Baker, "Stack-based scheduling of realtime
//! processes", RTS 1991; S. Baruah, "The limited-preemption uniprocessor scheduling of sporadic task systems", ECRTS
//! 2005), whose servers overrun their budgets by at most one such section and pay it back (R. Davis, A. Burns, "Resource
//! Sharing in Hierarchical Fixed Priority Pre-Emptive Systems", RTSS 2006; for EDF M. Behnam, T. Nolte, M. Sjödin, I. Shin,
//! "Overrun Methods for Semi-Independent Real-Time Hierarchical Scheduling", MRTC report 2009). With reservations by
//! increasing relative deadline D, for every k:
//!
//! > Σ Q/D + (B_k + O_k) / D_k ≤ limit, the sum over all D ≤ D_k
//!
//! * **B_k, blocking**: the longest poll declared by anyone with a longer deadline than D_k, and at least the longest poll allowed
//!   to tasks without a reservation. It began before there was anything more urgent to do. (Somebody with D ≤ D_k
//!   can block too, when its deadline was postponed beyond. It then has no demand in that interval, which is more than its poll.)
//! * **O_k, overshoot**: a poll cannot be stopped when the budget ends, so whoever has one tick left uses up to its longest poll
//!   P more, under the deadline it had. The debt is paid from its next budgets, whose deadlines are later: in an interval that
//!   ends with a deadline each server exceeds Q/D of it by at most *one* P, however many periods the interval
//!   has. But all can do so in the same interval, hence Σ P over D ≤ D_k. Neither the order by deadline nor the debt makes this
//!   vanish, since the debt is paid too late for the one whose deadline comes first. Left out is the server that the
//!   guarantee is for: its jobs ask for no more than Q. Which one that is we do not know: so the least P is left out.
//!
//! Between D_k and the next longer deadline both terms weigh less, so the test at each D_k is enough, and at the periods of best
//! effort and open tasks, where their part begins to count. Using Q/D instead of Q/T is
//! exact for D = T and safe for D < T. Best effort counts as a reservation of its own, and the tasks with a deadline but no
//! reservation keep a least share; what nobody reserved is theirs. Both overshoot by the longest poll allowed to them.

use alloc::vec::Vec;

use super::{AdmissionError, Claim, Division, Ledger, ppm};
use crate::sched::cbs::bandwidth;

/// Where there is too little.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shortage {
    wanted: u64,
    free: u64,
    deadline: u64,
    blocking: u64,
    overshoot: u64,
}

/// What there is to do in intervals of some length.
struct Demand<'a> {
    division: &'a Division,
    /// Q/D of who applies.
    wanted: u64,
    /// Σ Q/D.
    density: u64,
    /// The longest poll of anyone with a longer deadline.
    blocking: u64,
    /// Σ P, and the least of these.
    polls: u64,
    shortest: u64,
}

impl Demand<'_> {
    /// What is left in intervals of this length for tasks with a deadline and no reservation; `None` if they have no part in such.
    fn room(&self, length: u64) -> Result<Option<u64>, Shortage> {
        let division = self.division;
        let mut overshoot = self.polls - self.shortest.min(self.polls);
        let mut used = self.density;
        if division.fair.deadline <= length {
            used = used.saturating_add(division.fair.bandwidth());
            overshoot = overshoot.saturating_add(division.longest_poll);
        }
        let counts_open = division.open_period <= length;
        let mut least = 0;
        if counts_open {
            least = division.open_least;
            overshoot = overshoot.saturating_add(division.longest_poll);
        }
        used = used.saturating_add(bandwidth(self.blocking.saturating_add(overshoot), length));
        if used.saturating_add(least) > division.limit {
            let others = used.saturating_add(least).saturating_sub(self.wanted);
            return Err(Shortage {
                wanted: self.wanted,
                free: division.limit.saturating_sub(others),
                deadline: length,
                blocking: self.blocking,
                overshoot,
            });
        }
        Ok(counts_open.then(|| division.limit - used))
    }
}

impl Ledger {
    /// What is left for tasks with a deadline and no reservation if `extra` is admitted and entry `without` goes, or where there
    /// is too little.
    pub(super) fn open_share(
        &mut self,
        extra: Option<&Claim>,
        without: Option<u16>,
    ) -> Result<u64, Shortage> {
        let mut least = core::mem::take(&mut self.least);
        let result = self.fits(extra, without, &mut least);
        self.least = least;
        result
    }

    /// `least` has room for all claims.
    fn fits(
        &self,
        extra: Option<&Claim>,
        without: Option<u16>,
        least: &mut Vec<u64>,
    ) -> Result<u64, Shortage> {
        let division = &self.division;
        let mut demand = Demand {
            division,
            wanted: extra.map_or(0, Claim::density),
            density: 0,
            blocking: division.longest_poll,
            polls: 0,
            shortest: u64::MAX,
        };
        least.clear();
        for claim in self.merged(extra, without) {
            demand.density = demand.density.saturating_add(claim.density());
            demand.polls = demand.polls.saturating_add(claim.longest_poll);
            demand.shortest = demand.shortest.min(claim.longest_poll);
            least.push(demand.shortest);
        }
        let all = demand
            .density
            .saturating_add(division.fair.bandwidth())
            .saturating_add(division.open_least);
        if all > division.limit {
            return Err(Shortage {
                wanted: demand.wanted,
                free: division
                    .limit
                    .saturating_sub(all.saturating_sub(demand.wanted)),
                deadline: extra.map_or(0, |claim| claim.params.deadline),
                blocking: demand.blocking,
                overshoot: 0,
            });
        }
        let mut open = division.limit - all + division.open_least;
        // Demand grows at the deadlines of reservations, and where best effort and open tasks begin to count.
        let (one, other) = (division.open_period, division.fair.deadline);
        let steps = [one.max(other), one.min(other)];
        let mut steps = steps.iter().peekable();
        // From the longest deadline down, so that the blocking term is a running maximum.
        let (mut same, mut pending) = (u64::MAX, 0);
        for claim in self.merged(extra, without).rev() {
            let deadline = claim.params.deadline;
            demand.shortest = least.pop().unwrap_or(0);
            let blocking = demand.blocking.max(pending);
            while let Some(&&step) = steps.peek()
                && step > deadline
            {
                steps.next();
                if step < same {
                    demand.blocking = blocking;
                    open = demand.room(step)?.map_or(open, |room| open.min(room));
                }
            }
            if deadline < same {
                (demand.blocking, pending, same) = (blocking, 0, deadline);
                open = demand.room(deadline)?.map_or(open, |room| open.min(room));
            }
            pending = pending.max(claim.longest_poll);
            demand.density -= claim.density().min(demand.density);
            demand.polls -= claim.longest_poll.min(demand.polls);
        }
        Ok(open)
    }

    pub(super) fn refuse(&self, shortage: Shortage) -> AdmissionError {
        AdmissionError::DoesNotFit {
            wanted_ppm: ppm(shortage.wanted),
            free_ppm: ppm(shortage.free).min(ppm(shortage.wanted).saturating_sub(1)),
            limit_ppm: ppm(self.division.limit),
            deadline_ticks: shortage.deadline,
            blocking_ticks: shortage.blocking,
            overshoot_ticks: shortage.overshoot,
        }
    }
}
