//! Which reservations fit on a core: the books of one core, pure.
//!
//! The test is the one for EDF with non-preemptible sections, here polls (T. Baker, "Stack-based scheduling of
//! realtime processes", RTS 1991; S. Baruah, "The limited-preemption uniprocessor scheduling of sporadic task
//! systems", ECRTS 2005). With reservations by increasing relative deadline D, for every k:
//!
//! > Σ (Q/D over all D ≤ D_k) + B_k / D_k ≤ limit
//!
//! where B_k is the longest poll declared by anyone with a longer deadline than D_k, and at least the longest poll
//! allowed to tasks without a reservation. Using Q/D instead of Q/T is exact for D = T and safe for D < T. Best
//! effort counts as a reservation of its own, and the tasks with a deadline but no reservation keep a least share;
//! what nobody reserved is theirs.

use alloc::{collections::TryReserveError, vec::Vec};
use core::fmt;

use crate::sched::{
    FIRST_RESERVED,
    cbs::{Params, SHARE_BITS, WHOLE, bandwidth},
};

/// Thousandths as a 32-bit fixed-point share.
pub(crate) const fn permille(value: u32) -> u64 {
    (WHOLE as u128 * (if value > 1000 { 1000 } else { value }) as u128 / 1000) as u64
}

/// `share` of `ticks`.
pub(crate) const fn part_of(ticks: u64, share: u64) -> u64 {
    ((ticks as u128 * share as u128) >> SHARE_BITS) as u64
}

/// A share as parts in a million, rounded.
const fn ppm(share: u64) -> u64 {
    ((share as u128 * 1_000_000 + WHOLE as u128 / 2) >> SHARE_BITS) as u64
}

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
    fn density(&self) -> u64 {
        bandwidth(self.params.budget, self.params.deadline)
    }
}

/// Why a reservation was refused. Shares are parts in a million of the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AdmissionError {
    /// The numbers make no sense; needed are 0 < budget ≤ deadline ≤ period, and a period of at most 2⁵⁶ ticks.
    BadReservation,
    /// It does not fit beside what is admitted already.
    DoesNotFit {
        /// What it asks for, including the room for others' polls.
        wanted_ppm: u64,
        /// What was left for it at that deadline.
        free_ppm: u64,
        /// What may be given out in all.
        limit_ppm: u64,
        /// The relative deadline at which there is too little: its own, or that of an admitted reservation which
        /// would no longer be safe.
        deadline_ticks: u64,
        /// The longest poll that blocks reservations of this deadline.
        blocking_ticks: u64,
    },
    /// The core keeps no more reservations than it was started for.
    TooMany {
        /// How many.
        reservations: usize,
    },
    /// The core was not started.
    NoCore,
    /// The reservation was given up already.
    Gone,
}

impl AdmissionError {
    /// By how much it does not fit, in parts in a million of the core; 0 when that is not the problem.
    pub const fn excess_ppm(&self) -> u64 {
        match self {
            AdmissionError::DoesNotFit {
                wanted_ppm,
                free_ppm,
                ..
            } => wanted_ppm.saturating_sub(*free_ppm),
            _ => 0,
        }
    }
}

impl fmt::Display for AdmissionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AdmissionError::BadReservation => {
                f.write_str("a reservation needs 0 < budget <= deadline <= period")
            }
            AdmissionError::DoesNotFit {
                wanted_ppm,
                free_ppm,
                limit_ppm,
                deadline_ticks,
                blocking_ticks,
            } => write!(
                f,
                "does not fit by {} ppm: wants {wanted_ppm} of {free_ppm} free (limit {limit_ppm}) at deadline {deadline_ticks} ticks, where polls of {blocking_ticks} ticks block",
                wanted_ppm.saturating_sub(*free_ppm)
            ),
            AdmissionError::TooMany { reservations } => {
                write!(f, "the core keeps {reservations} reservations at most")
            }
            AdmissionError::NoCore => f.write_str("the core was not started"),
            AdmissionError::Gone => f.write_str("the reservation was given up"),
        }
    }
}

impl core::error::Error for AdmissionError {}

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
    limit: u64,
    fair: Params,
    open_period: u64,
    open_least: u64,
    longest_poll: u64,
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

struct Shortage {
    wanted: u64,
    free: u64,
    deadline: u64,
    blocking: u64,
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
        let Division {
            limit,
            fair,
            open_period,
            open_least,
            longest_poll,
        } = division;
        Ok(Ledger {
            entries,
            dirty,
            any_dirty: false,
            order,
            limit,
            fair,
            open_period,
            open_least,
            longest_poll,
        })
    }

    fn claim(&self, index: u16) -> Option<&Claim> {
        match self.entries.get(index as usize) {
            Some(Entry::Used(claim, _) | Entry::Leaving(claim)) => Some(claim),
            _ => None,
        }
    }

    /// The admitted claims by deadline, with `extra` among them and entry `without` left out.
    fn merged<'a>(
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

    /// What is left for tasks with a deadline and no reservation, or where there is too little.
    fn open_share(&self, extra: Option<&Claim>, without: Option<u16>) -> Result<u64, Shortage> {
        let mut blocking = self.longest_poll;
        let mut density: u64 = self
            .merged(extra, without)
            .map(Claim::density)
            .fold(0, u64::saturating_add);
        let fair = bandwidth(self.fair.budget, self.fair.deadline);
        let mut open = self.limit.saturating_sub(density).saturating_sub(fair);
        let wanted = extra.map_or(0, Claim::density);
        let all_else = density
            .saturating_sub(wanted)
            .saturating_add(fair)
            .saturating_add(self.open_least);
        if open < self.open_least {
            let deadline = extra.map_or(0, |claim| claim.params.deadline);
            return Err(Shortage {
                wanted,
                free: self.limit.saturating_sub(all_else),
                deadline,
                blocking,
            });
        }
        // From the longest deadline down, so that the blocking term is a running maximum.
        let mut same = u64::MAX;
        let mut pending = 0;
        for claim in self.merged(extra, without).rev() {
            let deadline = claim.params.deadline;
            if deadline < same {
                blocking = blocking.max(pending);
                pending = 0;
                same = deadline;
                let mut used = density.saturating_add(bandwidth(blocking, deadline));
                if self.fair.deadline <= deadline {
                    used = used.saturating_add(fair);
                }
                let counts_open = self.open_period <= deadline;
                let least = if counts_open { self.open_least } else { 0 };
                let room = self.limit.saturating_sub(used);
                if used.saturating_add(least) > self.limit {
                    let others = used.saturating_add(least).saturating_sub(wanted);
                    return Err(Shortage {
                        wanted,
                        free: self.limit.saturating_sub(others),
                        deadline,
                        blocking,
                    });
                }
                if counts_open {
                    open = open.min(room);
                }
            }
            pending = pending.max(claim.longest_poll);
            density -= claim.density().min(density);
        }
        Ok(open)
    }

    fn refuse(&self, shortage: Shortage) -> AdmissionError {
        AdmissionError::DoesNotFit {
            wanted_ppm: ppm(shortage.wanted),
            free_ppm: ppm(shortage.free).min(ppm(shortage.wanted).saturating_sub(1)),
            limit_ppm: ppm(self.limit),
            deadline_ticks: shortage.deadline,
            blocking_ticks: shortage.blocking,
        }
    }

    /// What tasks with a deadline and no reservation share now.
    pub(crate) fn open_params(&self) -> Params {
        let share = self.open_share(None, None).unwrap_or(self.open_least);
        Params {
            budget: part_of(self.open_period, share).max(1),
            period: self.open_period,
            deadline: self.open_period,
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
            .fold(self.fair.bandwidth(), u64::saturating_add);
        (ppm(reserved), ppm(self.limit))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const US: u64 = 1000;

    fn ledger() -> Ledger {
        Ledger::new(
            16,
            Division {
                limit: permille(950),
                fair: Params {
                    budget: 500 * US,
                    period: 10_000 * US,
                    deadline: 10_000 * US,
                },
                open_period: 1000 * US,
                open_least: permille(50),
                longest_poll: 50 * US,
            },
        )
        .expect("memory")
    }

    fn claim(budget: u64, period: u64, deadline: u64, longest_poll: u64) -> Claim {
        Claim {
            params: Params {
                budget: budget * US,
                period: period * US,
                deadline: deadline * US,
            },
            longest_poll: longest_poll * US,
            hard: true,
            reclaims: false,
        }
    }

    #[test]
    fn fills_up_to_the_limit_and_says_what_is_missing() {
        let mut ledger = ledger();
        // 95 % - 5 % best effort - 5 % open = 85 %, less 50 us of blocking in 100 ms.
        ledger
            .admit(claim(80_000, 100_000, 100_000, 50))
            .expect("80 % fit");
        let refusal = ledger
            .admit(claim(6000, 100_000, 100_000, 50))
            .expect_err("6 % more do not");
        let AdmissionError::DoesNotFit {
            wanted_ppm,
            free_ppm,
            ..
        } = refusal
        else {
            panic!("{refusal}")
        };
        assert_eq!(wanted_ppm, 60_000);
        assert!((49_000..=50_000).contains(&free_ppm), "{refusal}");
        assert!(refusal.excess_ppm() >= 10_000);
        ledger
            .admit(claim(4900, 100_000, 100_000, 50))
            .expect("4.9 % fit");
    }

    #[test]
    fn a_long_poll_blocks_a_short_deadline() {
        let mut ledger = ledger();
        ledger
            .admit(claim(10, 200, 200, 10))
            .expect("5 % + 50/200 fit");
        let refusal = ledger
            .admit(claim(300, 100_000, 100_000, 300))
            .expect_err("polls of 300 us in a deadline of 200 us");
        assert!(
            matches!(
                refusal,
                AdmissionError::DoesNotFit {
                    deadline_ticks: 200_000,
                    blocking_ticks: 300_000,
                    ..
                }
            ),
            "{refusal}"
        );
        ledger
            .admit(claim(300, 100_000, 100_000, 100))
            .expect("polls of 100 us are fine");
    }

    #[test]
    fn release_frees_after_zero_lag() {
        let mut ledger = ledger();
        let big = claim(80_000, 100_000, 100_000, 50);
        let server = ledger.admit(big).expect("fits");
        assert_eq!(ledger.next_change(), Some(Change::Install(server, big)));
        assert_eq!(ledger.next_change(), None);
        assert!(ledger.release(server));
        assert_eq!(ledger.next_change(), Some(Change::Retire(server)));
        ledger.admit(big).expect_err("still counted");
        assert_eq!(ledger.change(server, big), Err(AdmissionError::Gone));
        ledger.vacate(server);
        ledger.admit(big).expect("free again");
    }

    #[test]
    fn bad_numbers() {
        let mut ledger = ledger();
        for bad in [
            claim(0, 1, 1, 1),
            claim(2, 1, 1, 1),
            claim(1, 1, 2, 1),
            claim(2, 10, 1, 1),
        ] {
            assert_eq!(ledger.admit(bad), Err(AdmissionError::BadReservation));
        }
        let absurd = Claim {
            params: Params {
                budget: 1,
                period: u64::MAX,
                deadline: u64::MAX,
            },
            ..claim(1, 1, 1, 1)
        };
        assert_eq!(ledger.admit(absurd), Err(AdmissionError::BadReservation));
        let blocked = Claim {
            longest_poll: u64::MAX,
            ..claim(1, 100, 100, 1)
        };
        let _ = ledger.admit(blocked);
    }

    #[test]
    fn too_many() {
        let mut ledger = ledger();
        for _ in 0..16 {
            ledger.admit(claim(1, 100_000, 100_000, 1)).expect("fits");
        }
        assert_eq!(
            ledger.admit(claim(1, 100_000, 100_000, 1)),
            Err(AdmissionError::TooMany { reservations: 16 })
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Whatever is admitted satisfies the test, written down naively, and changing to the same terms always fits.
        #[test]
        fn admitted_sets_satisfy_the_test(claims in prop::collection::vec((1u64..5000, 1u64..100, 1u64..100, 1u64..300), 1..16)) {
            let mut ledger = ledger();
            let mut admitted = Vec::new();
            for (budget, deadline_factor, period_factor, poll) in claims {
                let deadline = budget * deadline_factor;
                let claim = claim(budget, deadline * period_factor.div_ceil(50), deadline, poll);
                if let Ok(server) = ledger.admit(claim) {
                    admitted.push((server, claim));
                }
            }
            let part = |a: u64, b: u64| a as f64 / b as f64;
            for (_, at) in &admitted {
                let d = at.params.deadline;
                let sum: f64 = admitted.iter().filter(|(_, c)| c.params.deadline <= d).map(|(_, c)| part(c.params.budget, c.params.deadline)).sum();
                let block = admitted.iter().filter(|(_, c)| c.params.deadline > d).map(|(_, c)| c.longest_poll).max().unwrap_or(0).max(50 * US);
                let fair = if d >= 10_000 * US { 0.05 } else { 0.0 };
                let open = if d >= 1000 * US { 0.05 } else { 0.0 };
                prop_assert!(sum + part(block, d) + fair + open <= 0.950_001);
            }
            for (server, claim) in admitted {
                prop_assert_eq!(ledger.change(server, claim), Ok(()));
            }
            prop_assert!(bandwidth(ledger.open_params().budget + 1, 1000 * US) >= permille(50));
        }
    }
}
