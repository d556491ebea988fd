//! The ready queue: a 4-ary array heap of 16-byte entries with their keys inline, and beside it the
//! place of each item, so that an entry can be moved or removed without a search.
//!
//! The root lies at position 3, which puts any four siblings on one 64-byte line: a step down reads
//! exactly one line, and never the items themselves. Unused entries hold the largest key, so that the
//! least of four needs no length check. Equal times leave in the order they came: each entry carries
//! a sequence number. Nothing here allocates after [`Heap::with_capacity`].

use alloc::{collections::TryReserveError, vec::Vec};

/// Bits of an item's number within an entry.
const ITEM_BITS: u32 = 20;
const ITEM_MASK: u128 = (1 << ITEM_BITS) - 1;
/// Sequence numbers: 44 bits, renumbered when they run out (days of pushes without ever being empty).
const SEQUENCE_END: u64 = 1 << 44;
const UNUSED: u128 = u128::MAX;
/// Position of the root; see the module.
const ROOT: usize = 3;
/// `place` of an item that is not in the heap.
const ABSENT: u32 = 0;

#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Line([u128; 4]);

/// A priority queue of item numbers by time, first in first out among equals.
#[derive(Debug)]
pub struct Heap {
    lines: Vec<Line>,
    place: Vec<u32>,
    len: usize,
    sequence: u64,
    /// A copy of the root entry: whose turn it is and when is asked far more often than it changes.
    root: u128,
}

impl Heap {
    /// The most items a heap can hold.
    pub const MAX_ITEMS: usize = (1 << ITEM_BITS) - 1;

    /// An empty heap for items `0..capacity`, at most [`Heap::MAX_ITEMS`].
    ///
    /// # Errors
    /// When memory is short.
    pub fn with_capacity(capacity: usize) -> Result<Heap, TryReserveError> {
        let capacity = capacity.min(Self::MAX_ITEMS);
        let count = (ROOT + capacity) / 4 + 1;
        let mut lines = Vec::new();
        lines.try_reserve_exact(count)?;
        lines.resize(count, Line([UNUSED; 4]));
        let mut place = Vec::new();
        place.try_reserve_exact(capacity)?;
        place.resize(capacity, ABSENT);
        Ok(Heap {
            lines,
            place,
            len: 0,
            sequence: 0,
            root: UNUSED,
        })
    }

    /// How many items are in the heap.
    #[inline(always)]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the heap is empty.
    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The earliest item.
    #[inline(always)]
    pub fn first(&self) -> Option<u32> {
        if self.len == 0 {
            None
        } else {
            Some(item_of(self.root))
        }
    }

    /// The earliest time; `u64::MAX` when empty.
    #[inline(always)]
    pub fn first_time(&self) -> u64 {
        time_of(self.root)
    }

    /// The time `item` is queued for.
    #[inline]
    pub fn time(&self, item: u32) -> Option<u64> {
        match self.place.get(item as usize) {
            Some(&place) if place != ABSENT => Some(time_of(self.entry(place as usize))),
            _ => None,
        }
    }

    /// Queues `item` for `time`, or moves it there, behind others of the same time. Items from the
    /// capacity on are ignored.
    #[inline]
    pub fn set(&mut self, item: u32, time: u64) {
        // First the entry: renumbering moves entries about.
        let entry = self.new_entry(item, time);
        let Some(&place) = self.place.get(item as usize) else {
            return;
        };
        if place == ABSENT {
            let position = ROOT + self.len;
            self.len += 1;
            self.sift_up(position, entry);
        } else {
            self.settle(place as usize, entry);
        }
    }

    /// Moves `item` to `time` without giving it a new turn. Nothing if it is not queued.
    pub fn advance(&mut self, item: u32, time: u64) {
        let Some(&place) = self.place.get(item as usize) else {
            return;
        };
        if place == ABSENT {
            return;
        }
        let low = self.entry(place as usize) & (u64::MAX as u128);
        self.settle(place as usize, (time as u128) << 64 | low);
    }

    /// Takes `item` out; `false` if it was not queued.
    #[inline]
    pub fn remove(&mut self, item: u32) -> bool {
        let Some(place) = self.place.get_mut(item as usize) else {
            return false;
        };
        let position = *place as usize;
        if position == ABSENT as usize {
            return false;
        }
        *place = ABSENT;
        self.len -= 1;
        let last = ROOT + self.len;
        let moved = self.entry(last);
        self.lines[last >> 2].0[last & 3] = UNUSED;
        if last == ROOT {
            self.root = UNUSED;
        }
        if last != position {
            self.settle(position, moved);
        } else if self.len == 0 {
            self.sequence = 0;
        }
        true
    }

    /// Takes the earliest item out.
    pub fn pop(&mut self) -> Option<u32> {
        let item = self.first()?;
        self.remove(item);
        Some(item)
    }

    #[inline(always)]
    fn entry(&self, position: usize) -> u128 {
        self.lines[position >> 2].0[position & 3]
    }

    #[inline(always)]
    fn put(&mut self, position: usize, entry: u128) {
        if position == ROOT {
            self.root = entry;
        }
        self.lines[position >> 2].0[position & 3] = entry;
        self.place[(entry & ITEM_MASK) as usize] = position as u32;
    }

    #[inline(always)]
    fn new_entry(&mut self, item: u32, time: u64) -> u128 {
        if self.sequence == SEQUENCE_END {
            self.renumber();
        }
        let sequence = self.sequence;
        self.sequence += 1;
        (time as u128) << 64 | (sequence as u128) << ITEM_BITS | item as u128
    }

    /// Puts `entry` where it belongs, starting from the hole at `position`.
    #[inline]
    fn settle(&mut self, position: usize, entry: u128) {
        if position > ROOT && entry < self.entry((position >> 2) + 2) {
            self.sift_up(position, entry);
        } else {
            self.sift_down(position, entry);
        }
    }

    #[inline]
    fn sift_up(&mut self, mut position: usize, entry: u128) {
        while position > ROOT {
            let parent = (position >> 2) + 2;
            let above = self.entry(parent);
            if entry >= above {
                break;
            }
            self.put(position, above);
            position = parent;
        }
        self.put(position, entry);
    }

    #[inline]
    fn sift_down(&mut self, mut position: usize, entry: u128) {
        // The children of position p fill line p - 2.
        while let Some(&Line([a, b, c, d])) = self.lines.get(position - 2) {
            let (low, low_lane) = if b < a { (b, 1) } else { (a, 0) };
            let (high, high_lane) = if d < c { (d, 3) } else { (c, 2) };
            let (least, lane) = if high < low {
                (high, high_lane)
            } else {
                (low, low_lane)
            };
            if entry <= least {
                break;
            }
            self.put(position, least);
            position = (position - 2) * 4 + lane;
        }
        self.put(position, entry);
    }

    /// Starts sequence numbers afresh without changing the order: a sorted array is a heap. O(n log n), once in 2^44
    /// pushes.
    #[cold]
    fn renumber(&mut self) {
        let total = self.len;
        // Heap sort in place, which leaves the latest first; then turn around.
        for live in (1..total).rev() {
            let first = self.entry(ROOT);
            let last = ROOT + live;
            let moved = self.entry(last);
            self.lines[last >> 2].0[last & 3] = first;
            self.sift_within(moved, live);
        }
        for rank in 0..total / 2 {
            let (low, high) = (ROOT + rank, ROOT + total - 1 - rank);
            let (a, b) = (self.entry(low), self.entry(high));
            self.lines[low >> 2].0[low & 3] = b;
            self.lines[high >> 2].0[high & 3] = a;
        }
        for rank in 0..total {
            let entry = self.entry(ROOT + rank);
            self.put(
                ROOT + rank,
                entry >> 64 << 64 | (rank as u128) << ITEM_BITS | entry & ITEM_MASK,
            );
        }
        self.sequence = total as u64;
    }

    /// Sifts `entry` down from the root among the first `live` entries, without regard to `place`.
    #[cold]
    fn sift_within(&mut self, entry: u128, live: usize) {
        let mut position = ROOT;
        loop {
            let child = (position - 2) * 4;
            let Some(least) =
                (child..(child + 4).min(ROOT + live)).min_by_key(|&at| self.entry(at))
            else {
                break;
            };
            let below = self.entry(least);
            if entry <= below {
                break;
            }
            self.lines[position >> 2].0[position & 3] = below;
            position = least;
        }
        self.lines[position >> 2].0[position & 3] = entry;
    }
}

#[inline(always)]
fn item_of(entry: u128) -> u32 {
    (entry & ITEM_MASK) as u32
}

#[inline(always)]
fn time_of(entry: u128) -> u64 {
    (entry >> 64) as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What the heap should be: a vector sorted by time, then turn.
    #[derive(Default)]
    struct Oracle {
        entries: Vec<(u64, u64, u32)>,
        turn: u64,
        renumbers: bool,
    }

    impl Oracle {
        fn set(&mut self, item: u32, time: u64) {
            if core::mem::take(&mut self.renumbers) {
                // Turns only count among equals: dealing them out anew by order changes nothing.
                for (rank, entry) in self.entries.iter_mut().enumerate() {
                    entry.1 = rank as u64;
                }
            }
            self.remove(item);
            self.turn += 1;
            self.entries.push((time, self.turn, item));
            self.entries.sort_unstable();
        }

        fn remove(&mut self, item: u32) -> bool {
            let before = self.entries.len();
            self.entries.retain(|entry| entry.2 != item);
            self.entries.len() != before
        }
    }

    fn check(heap: &Heap) {
        for position in ROOT..ROOT + heap.len {
            let entry = heap.entry(position);
            assert_eq!(heap.place[item_of(entry) as usize] as usize, position);
            if position > ROOT {
                assert!(heap.entry((position >> 2) + 2) < entry);
            }
        }
        for position in ROOT + heap.len..heap.lines.len() * 4 {
            assert_eq!(heap.entry(position), UNUSED);
        }
        assert_eq!(heap.root, heap.entry(ROOT));
        assert_eq!(
            heap.place.iter().filter(|&&place| place != ABSENT).count(),
            heap.len
        );
    }

    #[derive(Clone, Debug)]
    enum Op {
        Set(u32, u64),
        Advance(u32, u64),
        Remove(u32),
        Pop,
        Renumber,
    }

    fn op(items: u32, times: u64) -> impl Strategy<Value = Op> {
        prop_oneof![
            6 => (0..items, prop_oneof![0..times, Just(u64::MAX), Just(u64::MAX - 1)]).prop_map(|(item, time)| Op::Set(item, time)),
            1 => (0..items, 0..times).prop_map(|(item, time)| Op::Advance(item, time)),
            2 => (0..items).prop_map(Op::Remove),
            2 => Just(Op::Pop),
            1 => Just(Op::Renumber),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]

        /// Against the oracle: few different times, so that turns matter.
        #[test]
        fn behaves_like_a_sorted_vector(ops in prop::collection::vec(op(40, 6), 1..300)) {
            let mut heap = Heap::with_capacity(40).expect("memory");
            let mut oracle = Oracle::default();
            for op in ops {
                match op {
                    Op::Set(item, time) => {
                        heap.set(item, time);
                        oracle.set(item, time);
                    }
                    Op::Advance(item, time) => {
                        heap.advance(item, time);
                        if let Some(entry) = oracle.entries.iter_mut().find(|entry| entry.2 == item) {
                            entry.0 = time;
                        }
                        oracle.entries.sort_unstable();
                    }
                    Op::Remove(item) => prop_assert_eq!(heap.remove(item), oracle.remove(item)),
                    Op::Pop => {
                        let expected = (!oracle.entries.is_empty()).then(|| oracle.entries.remove(0).2);
                        prop_assert_eq!(heap.pop(), expected);
                    }
                    Op::Renumber => {
                        heap.sequence = SEQUENCE_END;
                        oracle.renumbers = true;
                    }
                }
                check(&heap);
                prop_assert_eq!(heap.first(), oracle.entries.first().map(|entry| entry.2));
                prop_assert_eq!(heap.first_time(), oracle.entries.first().map_or(u64::MAX, |entry| entry.0));
            }
        }
    }

    #[test]
    fn ignores_what_it_has_no_room_for() {
        let mut heap = Heap::with_capacity(2).expect("memory");
        heap.set(2, 1);
        heap.set(u32::MAX, 1);
        assert!(heap.is_empty() && !heap.remove(7) && heap.time(9).is_none());
        let mut none = Heap::with_capacity(0).expect("memory");
        none.set(0, 0);
        assert_eq!(none.pop(), None);
    }
}
