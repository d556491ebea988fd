//! Best effort: who is next among the tasks without a deadline.
//!
//! Start-time fair queueing (P. Goyal, H. Vin, H. Cheng, "Start-time Fair Queueing", SIGCOMM 1996) with
//! virtual time cut into bands. A task's virtual time grows by CPU time ÷ weight; tasks within the
//! current band take turns, poll by poll; one whose virtual time leaves the band waits until all others
//! of the band have used theirs or blocked. So every step is O(1) at any number of tasks, short polls
//! share like round robin, and no task gets more than one band ahead of its fair share (plus one poll).
//! A task that slept resumes at the current band: sleeping earns nothing.

use super::list::List;
use crate::slot::Slot;

const BANDS: u64 = 64;
/// The weight of a task that does not say.
pub const DEFAULT_WEIGHT: u32 = 1024;

/// 2¹⁶ × default weight ÷ weight: what a tick costs a task of this weight, in 1/2¹⁶ virtual ticks.
#[inline(always)]
pub(crate) fn tick_cost(weight: u32) -> u64 {
    if weight == DEFAULT_WEIGHT {
        return 1 << 16;
    }
    ((DEFAULT_WEIGHT as u64) << 16) / weight.clamp(1, 1 << 20) as u64
}

const COST_MASK: u64 = (1 << 32) - 1;

/// The best-effort queue. A slot's `deadline` is its virtual time; its `relative` holds the tick cost
/// below the number of the list it is in.
#[derive(Debug)]
pub(crate) struct Fair {
    lists: [List; BANDS as usize],
    occupied: u64,
    band: u64,
    shift: u32,
    ready: usize,
}

impl Fair {
    /// `band_ticks` is rounded down to a power of two.
    pub(crate) fn new(band_ticks: u64) -> Fair {
        Fair {
            lists: [List::new(); BANDS as usize],
            occupied: 0,
            band: 0,
            shift: band_ticks.max(2).ilog2(),
            ready: 0,
        }
    }

    #[inline(always)]
    pub(crate) fn len(&self) -> usize {
        self.ready
    }

    #[inline(always)]
    pub(crate) fn is_empty(&self) -> bool {
        self.ready == 0
    }

    /// The virtual time at which a new task starts.
    pub(crate) fn virtual_now(&self) -> u64 {
        self.band << self.shift
    }

    #[inline]
    pub(crate) fn push(&mut self, slots: &[Slot], slot: u32, record: &Slot) {
        let start = self.band << self.shift;
        let mut band = self.band;
        let time = record.deadline.get();
        if time < start {
            record.deadline.set(start);
        } else {
            band = (time >> self.shift).min(band + BANDS - 1);
        }
        let list = band % BANDS;
        record
            .relative
            .set(record.relative.get() & COST_MASK | list << 32);
        self.lists[list as usize].push(slots, slot, record);
        self.occupied |= 1 << list;
        self.ready += 1;
    }

    #[inline]
    pub(crate) fn remove(&mut self, slots: &[Slot], slot: u32, record: &Slot) {
        let list = (record.relative.get() >> 32) % BANDS;
        self.lists[list as usize].remove(slots, slot, record);
        if self.lists[list as usize].is_empty() {
            self.occupied &= !(1 << list);
        }
        self.ready -= 1;
    }

    /// The front task yields after `ticks`: it goes to the back, of this band or of the one it has come to.
    #[inline(always)]
    pub(crate) fn rotate(&mut self, slots: &[Slot], slot: u32, record: &Slot, ticks: u64) {
        let mut stays = true;
        if ticks != 0 {
            // A poll is shorter than 2^32 ticks x weight, or its cost saturates: no 128-bit product needed.
            let cost = ticks.saturating_mul(record.relative.get() & COST_MASK) >> 16;
            let time = record.deadline.get().saturating_add(cost);
            record.deadline.set(time);
            stays = time >> self.shift <= self.band;
        }
        if stays {
            self.lists[(self.band % BANDS) as usize].rotate(slots, slot, record);
        } else {
            self.leave_band(slots, slot);
        }
    }

    #[inline(never)]
    fn leave_band(&mut self, slots: &[Slot], slot: u32) {
        let record = &slots[slot as usize];
        self.remove(slots, slot, record);
        self.push(slots, slot, record);
    }

    /// Whose turn it is.
    #[inline]
    pub(crate) fn first(&mut self) -> Option<u32> {
        match self.lists[(self.band % BANDS) as usize].first() {
            Some(slot) => Some(slot),
            None => self.next_band(),
        }
    }

    #[inline(never)]
    fn next_band(&mut self) -> Option<u32> {
        if self.occupied == 0 {
            return None;
        }
        let ahead = self
            .occupied
            .rotate_right((self.band % BANDS) as u32)
            .trailing_zeros();
        self.band += ahead as u64;
        self.lists[(self.band % BANDS) as usize].first()
    }

    /// Charges CPU time against a task's virtual time.
    #[inline]
    pub(crate) fn charge(&self, record: &Slot, ticks: u64) {
        if ticks == 0 {
            return;
        }
        let cost = ticks.saturating_mul(record.relative.get() & COST_MASK) >> 16;
        record
            .deadline
            .set(record.deadline.get().saturating_add(cost));
    }
}
