//! What was given out on a core, and to how many.

use alloc::{collections::TryReserveError, vec::Vec};

use super::{AdmissionError, part_of, ppm};
use crate::sched::{
    FIRST_RESERVED,
    cbs::{Params, bandwidth},
};

/// What a reservation declares, in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) params: Params,
    /// Longest poll of its tasks.
    pub(crate) longest_poll: u64,
    pub(crate) hard: bool,
    pub(crate) reclaims: bool,
}

impl Claim {
    pub(super) fn density(&self) -> u64 {
        bandwidth(self.params.budget, self.params.deadline)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry {
    Free,
    /// Admitted; used by so many tasks and handles.
    Used(Claim, u32),
    /// Given up, but its bandwidth counts until its 0-lag time.
    Leaving(Claim),
}

/// What the owner must pass on to its scheduler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Install(u32, Claim),
    Retire(u32),
}

/// A core's admitted reservations, by server number.
#[derive(Debug)]
pub(crate) struct Ledger {
    entries: Vec<Entry>,
    dirty: Vec<bool>,
    any_dirty: bool,
    /// Used entries by relative deadline.
    order: Vec<u16>,
    /// Room for the test to take notes: one for each entry, and one for who applies.
    pub(super) least: Vec<u64>,
    pub(super) division: Division,
}

/// How a core divides itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Division {
    pub(crate) limit: u64,
    pub(crate) fair: Params,
    pub(crate) open_period: u64,
    pub(crate) open_least: u64,
    pub(crate) longest_poll: u64,
}

impl Ledger {
    pub(crate) fn new(capacity: usize, division: Division) -> Result<Ledger, TryReserveError> {
        let mut entries = Vec::new();
        entries.try_reserve_exact(capacity)?;
        entries.resize(capacity, Entry::Free);
        let mut dirty = Vec::new();
        dirty.try_reserve_exact(capacity)?;
        dirty.resize(capacity, false);
        let mut order = Vec::new();
        order.try_reserve_exact(capacity)?;
        let mut least = Vec::new();
        least.try_reserve_exact(capacity + 1)?;
        Ok(Ledger {
            entries,
            dirty,
            any_dirty: false,
            order,
            least,
            division,
        })
    }

    fn claim(&self, index: u16) -> Option<&Claim> {
        match self.entries.get(index as usize) {
            Some(Entry::Used(claim, _) | Entry::Leaving(claim)) => Some(claim),
            _ => None,
        }
    }

    /// The admitted claims by deadline, with `extra` among them and entry `without` left out.
    pub(super) fn merged<'a>(
        &'a self,
        extra: Option<&'a Claim>,
        without: Option<u16>,
    ) -> impl DoubleEndedIterator<Item = &'a Claim> + Clone {
        let split = extra.map_or(0, |extra| {
            self.order.partition_point(|&index| {
                self.claim(index)
                    .is_some_and(|claim| claim.params.deadline <= extra.params.deadline)
            })
        });
        let kept = move |index: &&u16| Some(**index) != without;
        let (before, after) = self.order.split_at(split);
        let look = |index: &'a u16| self.claim(*index);
        before
            .iter()
            .filter(kept)
            .filter_map(look)
            .chain(extra)
            .chain(after.iter().filter(kept).filter_map(look))
    }

    /// What tasks with a deadline and no reservation share now.
    pub(crate) fn open_params(&mut self) -> Params {
        let least = self.division.open_least;
        let share = self.open_share(None, None).unwrap_or(least);
        let period = self.division.open_period;
        Params {
            budget: part_of(period, share).max(1),
            period,
            deadline: period,
        }
    }

    /// Admits a claim with one user, and returns its server.
    pub(crate) fn admit(&mut self, claim: Claim) -> Result<u32, AdmissionError> {
        if !claim.params.is_sane() {
            return Err(AdmissionError::BadReservation);
        }
        self.open_share(Some(&claim), None)
            .map_err(|shortage| self.refuse(shortage))?;
        let index = self
            .entries
            .iter()
            .position(|entry| *entry == Entry::Free)
            .ok_or(AdmissionError::TooMany {
                reservations: self.entries.len(),
            })?;
        self.entries[index] = Entry::Used(claim, 1);
        self.insert(index as u16, &claim);
        self.mark(index);
        Ok(index as u32 + FIRST_RESERVED)
    }

    /// Replaces the terms of a server.
    pub(crate) fn change(&mut self, server: u32, claim: Claim) -> Result<(), AdmissionError> {
        let index = (server - FIRST_RESERVED) as u16;
        let Some(&Entry::Used(_, users)) = self.entries.get(index as usize) else {
            return Err(AdmissionError::Gone);
        };
        if !claim.params.is_sane() {
            return Err(AdmissionError::BadReservation);
        }
        self.open_share(Some(&claim), Some(index))
            .map_err(|shortage| self.refuse(shortage))?;
        self.order.retain(|&other| other != index);
        self.entries[index as usize] = Entry::Used(claim, users);
        self.insert(index, &claim);
        self.mark(index as usize);
        Ok(())
    }

    fn insert(&mut self, index: u16, claim: &Claim) {
        let at = self.order.partition_point(|&other| {
            self.claim(other)
                .is_some_and(|other| other.params.deadline <= claim.params.deadline)
        });
        self.order.insert(at, index);
    }

    fn mark(&mut self, index: usize) {
        self.dirty[index] = true;
        self.any_dirty = true;
    }

    /// One more task; returns the relative deadline.
    pub(crate) fn retain(&mut self, server: u32) -> Result<u64, AdmissionError> {
        match self.entries.get_mut((server - FIRST_RESERVED) as usize) {
            Some(Entry::Used(claim, users)) => {
                *users += 1;
                Ok(claim.params.deadline)
            }
            _ => Err(AdmissionError::Gone),
        }
    }

    /// One task or handle less; `true` when that was the last.
    pub(crate) fn release(&mut self, server: u32) -> bool {
        let index = (server - FIRST_RESERVED) as usize;
        match self.entries.get_mut(index) {
            Some(Entry::Used(claim, users)) => {
                *users -= 1;
                if *users > 0 {
                    return false;
                }
                self.entries[index] = Entry::Leaving(*claim);
                self.mark(index);
                true
            }
            _ => false,
        }
    }

    /// The 0-lag time of a server that was given up has come.
    pub(crate) fn vacate(&mut self, server: u32) {
        let index = (server - FIRST_RESERVED) as usize;
        if let Some(entry @ Entry::Leaving(_)) = self.entries.get_mut(index) {
            *entry = Entry::Free;
            self.order.retain(|&other| other as usize != index);
        }
    }

    /// Takes one change that the scheduler must know.
    pub(crate) fn next_change(&mut self) -> Option<Change> {
        if !self.any_dirty {
            return None;
        }
        for index in 0..self.entries.len() {
            if !core::mem::take(&mut self.dirty[index]) {
                continue;
            }
            let server = index as u32 + FIRST_RESERVED;
            match self.entries[index] {
                Entry::Used(claim, _) => return Some(Change::Install(server, claim)),
                Entry::Leaving(_) => return Some(Change::Retire(server)),
                Entry::Free => {}
            }
        }
        self.any_dirty = false;
        None
    }

    /// What is admitted, best effort included, and the limit; parts in a million.
    pub(crate) fn load_ppm(&self) -> (u64, u64) {
        let reserved = self
            .merged(None, None)
            .map(|claim| claim.params.bandwidth())
            .fold(self.division.fair.bandwidth(), u64::saturating_add);
        (ppm(reserved), ppm(self.division.limit))
    }
}
