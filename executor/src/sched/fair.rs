//! Best effort: who is next among the tasks without a deadline.
//!
//! Start-time fair queueing (P. Goyal, H. Vin, H. Cheng, "Start-time Fair Queueing", SIGCOMM 1996) with
//! virtual time cut into bands. A task's virtual time grows by CPU time ÷ weight; tasks within the
//! current band take turns, poll by poll; one whose virtual time leaves the band waits until all others
//! of the band have used theirs or blocked. Short polls share like round robin, and no task gets more than one
//! band ahead of its fair share (plus one poll).
//!
//! A task that slept while its band passed has used less than its share: it comes back first, and whoever is running is
//! interrupted for it. For that the current band steps back by one, where such tasks queue among themselves; each uses up
//! what it lags behind, one band at most, and is one of the others then. So a task that works little and now and then (a
//! frame, an answer to a key) does not wait for the slices of those that always work, and cannot take more than its share.
//!
//! A poll of a light task leads far ahead: weight 1 pays 1024 times what the default does. So there are several levels, as
//! in a hierarchical timing wheel (G. Varghese, T. Lauck, SOSP 1987): a list of level *l* is a block of 64ˡ bands, and
//! when the current band comes to a block, its tasks are dealt out to finer lists, [`DEALT`] at each step, so that every
//! step is O(1) at any number of tasks. If a block holds more, the rest follows at the next steps: the order within the
//! block is loose then. A task reaches such a block only by a poll that cost at least as much virtual time as the
//! block is long, so this is an error of at most one more such poll; its virtual time stays exact, and so does its share.
//!
//! Virtual time wraps: at weight 1 it runs 1024 times as fast as the clock, and would be through after some weeks.

use super::list::List;
use crate::slot::Slot;

/// Lists per level.
const LISTS: usize = 64;
const DIGIT: u32 = LISTS.ilog2();
const LEVELS: usize = 4;
const _: () = assert!(LISTS * LEVELS == 1 << u8::BITS, "a list's number is a byte");
/// How many tasks of a block are dealt out in one step and level.
const DEALT: usize = 8;
/// Bands of at most 2³² ticks: the longest block is 2⁵⁰ then, well below the wrap.
const MAX_SHIFT: u32 = 32;
/// More ahead than any poll can lead, since a cost saturates at 2⁴⁸: such a time is not ahead, but past.
const PAST: u64 = 1 << 50;
/// The weight of a task that does not say.
pub const DEFAULT_WEIGHT: u32 = 1024;
const DEFAULT_COST: u64 = 1 << 16;

/// Whether a task has another weight than the default: polls must be timed then.
#[inline(always)]
pub(crate) fn is_weighted(record: &Slot) -> bool {
    record.relative.get() != DEFAULT_COST
}

/// 2¹⁶ × default weight ÷ weight: what a tick costs a task of this weight, in 1/2¹⁶ virtual ticks.
#[inline(always)]
pub(crate) fn tick_cost(weight: u32) -> u64 {
    if weight == DEFAULT_WEIGHT {
        return DEFAULT_COST;
    }
    ((DEFAULT_WEIGHT as u64) << 16) / weight.clamp(1, 1 << 20) as u64
}

/// The virtual time that `ticks` of a task with this record cost. Polls are shorter than 2³² ticks × weight, or their cost
/// saturates: no 128-bit product needed.
#[inline(always)]
fn cost(record: &Slot, ticks: u64) -> u64 {
    let rate = record.relative.get();
    if rate == DEFAULT_COST {
        ticks
    } else {
        ticks.saturating_mul(rate) >> 16
    }
}

/// The best-effort queue. A slot's `deadline` is its virtual time, its `relative` what a tick costs, its `list` the one it is in.
#[derive(Debug)]
pub(crate) struct Fair {
    lists: [List; LISTS * LEVELS],
    occupied: [u64; LEVELS],
    /// Where the current band begins (virtual time).
    start: u64,
    /// The current band's list.
    here: u8,
    /// Whether the current band has stepped back for those who slept.
    stepped_back: bool,
    shift: u32,
    ready: u32,
}

impl Fair {
    /// `band_ticks` is rounded down to a power of two.
    pub(crate) fn new(band_ticks: u64) -> Fair {
        Fair {
            lists: [List::new(); LISTS * LEVELS],
            occupied: [0; LEVELS],
            start: 0,
            here: 0,
            stepped_back: false,
            shift: band_ticks.max(2).ilog2().min(MAX_SHIFT),
            ready: 0,
        }
    }

    #[inline(always)]
    pub(crate) fn len(&self) -> usize {
        self.ready as usize
    }

    #[inline(always)]
    pub(crate) fn is_empty(&self) -> bool {
        self.ready == 0
    }

    /// How long a band is.
    pub(crate) fn band(&self) -> u64 {
        1 << self.shift
    }

    /// The virtual time at which a new task starts.
    pub(crate) fn virtual_now(&self) -> u64 {
        let back = u64::from(self.stepped_back) << self.shift;
        self.start.wrapping_add(back)
    }

    /// The list of level 0 that the virtual time `time` belongs to.
    #[inline(always)]
    fn near(&self, time: u64) -> u8 {
        ((time >> self.shift) as usize % LISTS) as u8
    }

    #[inline(always)]
    pub(crate) fn push(&mut self, slots: &[Slot], slot: u32, record: &Slot) {
        self.ready += 1;
        if record.deadline.get().wrapping_sub(self.start) >> self.shift != 0 {
            return self.push_beside(slots, slot, record);
        }
        self.append(slots, slot, record, self.here);
    }

    /// For a task whose time is not within the current band.
    #[inline(never)]
    fn push_beside(&mut self, slots: &[Slot], slot: u32, record: &Slot) {
        if record.deadline.get().wrapping_sub(self.start) > PAST {
            self.come_back(slots, slot, record);
        } else {
            self.place(slots, slot, record);
        }
    }

    /// For a task that slept while its band passed.
    fn come_back(&mut self, slots: &[Slot], slot: u32, record: &Slot) {
        let before = (self.here as usize + LISTS - 1) % LISTS;
        if self.lists[self.here as usize].first().is_none() {
            self.stepped_back = false;
        } else if !self.stepped_back && self.occupied[0] & 1 << before == 0 {
            self.stepped_back = true;
            self.start = self.start.wrapping_sub(self.band());
            self.here = before as u8;
        }
        if record.deadline.get().wrapping_sub(self.start) > PAST {
            record.deadline.set(self.start);
        }
        self.append(slots, slot, record, self.here);
    }

    #[inline(always)]
    fn place(&mut self, slots: &[Slot], slot: u32, record: &Slot) {
        let time = record.deadline.get();
        let list = if time.wrapping_sub(self.start) >> self.shift < LISTS as u64 {
            self.near(time)
        } else {
            self.far(record)
        };
        self.append(slots, slot, record, list);
    }

    #[inline(always)]
    fn append(&mut self, slots: &[Slot], slot: u32, record: &Slot, list: u8) {
        record.list.set(list);
        let list = list as usize;
        if self.lists[list].push(slots, slot, record) {
            self.occupied[list / LISTS] |= 1 << (list % LISTS);
        }
    }

    /// The list for a task whose time is not within the finest ones' reach: the current one if it is past.
    #[inline(never)]
    fn far(&self, record: &Slot) -> u8 {
        let time = record.deadline.get();
        let lead = time.wrapping_sub(self.start);
        if lead > PAST {
            return self.near(self.start);
        }
        for level in 1..LEVELS {
            let shift = self.block_shift(level);
            let ahead = time.wrapping_sub(self.start >> shift << shift) >> shift;
            if ahead < LISTS as u64 {
                return (level * LISTS + (time >> shift) as usize % LISTS) as u8;
            }
        }
        // Beyond all levels: as far as they reach. More than eight times that is forgiven.
        let (level, shift) = (LEVELS - 1, self.block_shift(LEVELS - 1));
        let most = (8 * LISTS as u64) << shift;
        if lead > most {
            record.deadline.set(self.start.wrapping_add(most));
        }
        (level * LISTS + ((self.start >> shift) as usize + LISTS - 1) % LISTS) as u8
    }

    /// A block of this level is so long (logarithm, virtual time).
    fn block_shift(&self, level: usize) -> u32 {
        self.shift + DIGIT * level as u32
    }

    #[inline]
    pub(crate) fn remove(&mut self, slots: &[Slot], slot: u32, record: &Slot) {
        self.take(slots, slot, record);
        self.ready -= 1;
    }

    #[inline(always)]
    fn take(&mut self, slots: &[Slot], slot: u32, record: &Slot) {
        let list = record.list.get() as usize;
        if self.lists[list].remove(slots, slot, record) {
            self.occupied[list / LISTS] &= !(1 << (list % LISTS));
        }
    }

    /// The front task yields after `ticks`: it goes to the back. `false` if they take it beyond this band, or it was interrupted for one that
    /// came back; nothing has happened then, and [`leave_band`](Self::leave_band) does it.
    #[inline(always)]
    pub(crate) fn rotate(&mut self, slot: u32, record: &Slot, ticks: u64) -> bool {
        if record.list.get() != self.here {
            return false;
        }
        if ticks != 0 {
            let time = record.deadline.get().wrapping_add(cost(record, ticks));
            // Signed: one that was dealt out late may still be behind.
            if (time.wrapping_sub(self.start) as i64) >> self.shift > 0 {
                return false;
            }
            record.deadline.set(time);
        }
        self.lists[self.here as usize].rotate(slot, record);
        true
    }

    /// A task goes to the back of the band that it comes to after `ticks`. One that was interrupted keeps its turn in its own.
    #[inline(never)]
    pub(crate) fn leave_band(&mut self, slots: &[Slot], slot: u32, ticks: u64) {
        let record = &slots[slot as usize];
        let before = record.deadline.get();
        self.charge(record, ticks);
        let same_band = before >> self.shift == record.deadline.get() >> self.shift;
        if same_band && record.list.get() != self.here && (record.list.get() as usize) < LISTS {
            return;
        }
        self.take(slots, slot, record);
        self.place(slots, slot, record);
    }

    /// Whose turn it is, if that is clear.
    #[inline(always)]
    pub(crate) fn front(&self) -> Option<u32> {
        self.lists[self.here as usize].first()
    }

    /// Whose turn it is.
    #[inline(always)]
    pub(crate) fn first(&mut self, slots: &[Slot]) -> Option<u32> {
        match self.lists[self.here as usize].first() {
            Some(slot) => Some(slot),
            None if self.ready == 0 => None,
            None => self.next_band(slots),
        }
    }

    /// Goes on to the next band with a task in it; whatever blocks begin before it are dealt out on the way.
    #[inline(never)]
    fn next_band(&mut self, slots: &[Slot]) -> Option<u32> {
        let mut dealt = [false; LEVELS];
        loop {
            let mut best = None;
            for level in (0..LEVELS).rev() {
                if self.occupied[level] == 0 {
                    continue;
                }
                let shift = self.block_shift(level);
                let here = (self.start >> shift) as u32 % LISTS as u32;
                let ahead = self.occupied[level].rotate_right(here).trailing_zeros() as u64;
                if ahead == 0 && dealt[level] {
                    // The rest of the block we are in has its turn at the next step. It is not passed over: what was dealt out
                    // of it lies within it.
                    continue;
                }
                let begins = (self.start >> shift << shift).wrapping_add(ahead << shift);
                let lead = if ahead == 0 {
                    0
                } else {
                    begins.wrapping_sub(self.start)
                };
                if best.is_none_or(|(least, _)| lead < least) {
                    best = Some((lead, level));
                }
            }
            let Some((lead, level)) = best else {
                if self.is_empty() {
                    return None;
                }
                // Nothing but what lies beyond all levels, and more of it than is dealt out at a time.
                dealt = [false; LEVELS];
                continue;
            };
            self.stepped_back &= lead == 0;
            self.start = self.start.wrapping_add(lead);
            self.here = self.near(self.start);
            if level == 0 {
                return self.lists[self.here as usize].first();
            }
            dealt[level] = true;
            self.deal(slots, level);
        }
    }

    /// Some tasks of the block that the current band has come to, to finer lists.
    fn deal(&mut self, slots: &[Slot], level: usize) {
        let shift = self.block_shift(level);
        let list = level * LISTS + (self.start >> shift) as usize % LISTS;
        for _ in 0..DEALT {
            let Some(slot) = self.lists[list].last(slots) else {
                return;
            };
            // They came before whoever is in a finer list already, and to its front they go, the last one first.
            self.leave_band(slots, slot, 0);
            let finer = slots[slot as usize].list.get() as usize;
            self.lists[finer].turn_back(slots);
        }
    }

    /// Charges CPU time against a task's virtual time.
    #[inline]
    pub(crate) fn charge(&self, record: &Slot, ticks: u64) {
        if ticks != 0 {
            let time = record.deadline.get().wrapping_add(cost(record, ticks));
            record.deadline.set(time);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use alloc::{vec, vec::Vec};

    use super::*;
    use crate::CoreId;

    /// Tasks of these weights that never block, at first at virtual time `start`; and what each got.
    fn run(weights: &[u32], polls: &[u64], rounds: u64, start: u64) -> (Fair, Vec<u64>) {
        let slots: Vec<Slot> = (0..weights.len() as u32)
            .map(|number| Slot::new(CoreId::FIRST, number))
            .collect();
        let mut fair = Fair::new(1 << 16);
        fair.start = start >> 16 << 16;
        for (slot, &weight) in slots.iter().zip(weights) {
            slot.deadline.set(fair.virtual_now());
            slot.relative.set(tick_cost(weight));
        }
        for (index, slot) in slots.iter().enumerate() {
            fair.push(&slots, index as u32, slot);
        }
        let mut got = vec![0; slots.len()];
        for _ in 0..rounds {
            let next = fair.first(&slots).expect("all are ready") as usize;
            got[next] += polls[next];
            if !fair.rotate(next as u32, &slots[next], polls[next]) {
                fair.leave_band(&slots, next as u32, polls[next]);
            }
        }
        assert_eq!(fair.len(), slots.len());
        for (index, slot) in slots.iter().enumerate() {
            fair.remove(&slots, index as u32, slot);
        }
        assert!(fair.is_empty() && fair.occupied == [0; LEVELS]);
        (fair, got)
    }

    #[test]
    fn virtual_time_wraps() {
        let (weights, polls) = ([1024, 512, 1], [50_000; 3]);
        let (_, fresh) = run(&weights, &polls, 20_000, 0);
        let (mut fair, wrapped) = run(&weights, &polls, 20_000, u64::MAX - (1 << 26));
        assert!(fair.start < 1 << 50, "it did wrap");
        assert_eq!(fresh, wrapped);
        assert_eq!(fair.first(&[]), None);
    }

    /// One who slept through a wrap, or for long, has its turn now; one who is ahead waits.
    #[test]
    fn sleepers_resume_at_the_current_band() {
        let (slots, mut fair) = tasks::<2>(1 << 40);
        for (time, resumes) in [
            (5, 1 << 40),
            (u64::MAX, 1 << 40),
            ((1 << 40) + 9, (1 << 40) + 9),
        ] {
            slots[0].deadline.set(time);
            fair.push(&slots, 0, &slots[0]);
            assert_eq!(slots[0].deadline.get(), resumes);
            assert_eq!(fair.first(&slots), Some(0));
            fair.remove(&slots, 0, &slots[0]);
        }
        slots[0].deadline.set((1 << 40) + (100 << 16));
        slots[1].deadline.set(0);
        fair.push(&slots, 0, &slots[0]);
        fair.push(&slots, 1, &slots[1]);
        assert_eq!(fair.first(&slots), Some(1));
    }

    fn tasks<const N: usize>(start: u64) -> ([Slot; N], Fair) {
        let slots = core::array::from_fn(|number| Slot::new(CoreId::FIRST, number as u32));
        let mut fair = Fair::new(1 << 16);
        fair.start = start;
        fair.here = fair.near(start);
        for slot in &slots {
            slot.relative.set(tick_cost(DEFAULT_WEIGHT));
            slot.deadline.set(start);
        }
        (slots, fair)
    }

    /// Those who slept go before who is running, in the order in which they came, until they used up what they lagged behind;
    /// whom they interrupted has the turn again.
    #[test]
    fn sleepers_go_first() {
        const BAND: u64 = 1 << 16;
        let start = 100 * BAND;
        let (slots, mut fair) = tasks::<4>(start);
        let end = |fair: &mut Fair, slot: usize, ticks| {
            if !fair.rotate(slot as u32, &slots[slot], ticks) {
                fair.leave_band(&slots, slot as u32, ticks);
            }
        };
        fair.push(&slots, 0, &slots[0]);
        fair.push(&slots, 1, &slots[1]);
        assert_eq!(fair.first(&slots), Some(0));
        for late in [2, 3] {
            slots[late].deadline.set(7);
            fair.push(&slots, late as u32, &slots[late]);
            assert_eq!(
                fair.front(),
                Some(2),
                "whoever runs is not the first any more"
            );
        }
        assert_eq!(fair.virtual_now(), start, "a new task is none that slept");
        end(&mut fair, 0, 1000);
        assert_eq!(fair.first(&slots), Some(2));
        fair.charge(&slots[2], 50);
        fair.remove(&slots, 2, &slots[2]);
        // It comes again at once, and queues behind the other.
        fair.push(&slots, 2, &slots[2]);
        assert_eq!(slots[2].deadline.get(), start - BAND + 50);
        assert_eq!(fair.first(&slots), Some(3));
        end(&mut fair, 3, BAND);
        assert_eq!(fair.first(&slots), Some(2));
        end(&mut fair, 2, BAND - 50);
        // All are of one band now. The interrupted one goes on, then the others in their order.
        for slot in [0, 1, 3, 2] {
            assert_eq!(fair.first(&slots), Some(slot));
            end(&mut fair, slot as usize, BAND);
        }
        assert_eq!(fair.len(), 4);
    }

    /// Polls beyond all levels, by more tasks than are dealt out at a time: nobody is lost, nobody starves.
    #[test]
    fn absurd_polls() {
        let (_, got) = run(&[1; 40], &[1 << 50; 40], 4000, 0);
        assert!(got.iter().all(|&ticks| ticks != 0));
        let mut polls = [1000; 20];
        polls[0] = 1 << 50;
        let (_, got) = run(&[1024; 20], &polls, 4000, 0);
        assert!(got[1..].iter().all(|&ticks| ticks >= 200_000), "{got:?}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Nobody is further from its share than the bands and polls say, as long as a step deals out all there is to.
        #[test]
        fn shares_are_by_weight(tasks in prop::collection::vec((0u32..=20, 1u64..100_000), 2..=DEALT), rounds in 1u64..20_000) {
            let weights: Vec<u32> = tasks.iter().map(|task| 1 << task.0).collect();
            let polls: Vec<u64> = tasks.iter().map(|task| task.1).collect();
            let (_, got) = run(&weights, &polls, rounds, 0);
            let cost = |index: usize, ticks: u64| ticks as f64 * tick_cost(weights[index]) as f64 / 65_536.0;
            for a in 0..tasks.len() {
                for b in 0..tasks.len() {
                    let bound = 2.0 * 65_536.0 + cost(a, polls[a]) + cost(b, polls[b]);
                    let apart = (cost(a, got[a]) - cost(b, got[b])).abs();
                    prop_assert!(apart <= bound, "{weights:?} {polls:?}: {got:?}");
                }
            }
        }
    }
}
