//! The ready queue: a 4-ary array heap of 16-byte entries with their keys inline, and beside it the
//! place of each item, so that an entry can be moved or removed without a search.
//!
//! The root lies at position 3, which puts any four siblings on one 64-byte line: a step down reads
//! exactly one line, and never the items themselves. Unused entries hold the largest key, so that the
//! least of four needs no length check. Equal times leave in the order they came: each entry carries
//! a sequence number. Times are compared first and by themselves, since they rarely are equal. Nothing here
//! allocates after [`Heap::with_capacity`].
//!
//! # What the unchecked accesses rely on
//! * `lines` has room for positions `0..ROOT + capacity`, `place` is `capacity` long; neither changes its length.
//! * The entries at positions `ROOT..ROOT + len` are those of `len` different items below the capacity, and `place` of
//!   each is its position; `place` of all other items is [`ABSENT`].
//!
//! While an entry is on its way there is one *hole*, a position in that range whose content does not matter.

use alloc::{collections::TryReserveError, vec::Vec};
use core::hint::select_unpredictable;

use super::prefetch::prefetch;

/// Bits of an item's number within an entry.
const ITEM_BITS: u32 = 20;
const ITEM_MASK: u64 = (1 << ITEM_BITS) - 1;
/// Sequence numbers: 44 bits, renumbered when they run out (days of pushes without ever being empty).
const SEQUENCE_END: u64 = 1 << 44;
const UNUSED: Entry = Entry {
    time: u64::MAX,
    turn: u64::MAX,
};
/// Position of the root; see the module.
const ROOT: usize = 3;
/// The nearest cache holds a heap of so many items beside other things.
const NEAR: usize = 1500;
/// `place` of an item that is not in the heap.
const ABSENT: u32 = 0;

/// In the order of comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    time: u64,
    /// The sequence number above the item.
    turn: u64,
}

impl Entry {
    #[inline(always)]
    fn item(self) -> u32 {
        (self.turn & ITEM_MASK) as u32
    }

    /// As `<`, with the common case first.
    #[inline(always)]
    fn is_before(self, other: Entry) -> bool {
        if self.time == other.time {
            self.turn < other.turn
        } else {
            self.time < other.time
        }
    }
}

/// Four siblings.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Line {
    times: [u64; 4],
    turns: [u64; 4],
}

impl Line {
    /// The lane of the least entry.
    fn least(&self) -> usize {
        let mut least = 0;
        for lane in 1..4 {
            if self.get(lane) < self.get(least) {
                least = lane;
            }
        }
        least
    }

    #[inline(always)]
    fn get(&self, lane: usize) -> Entry {
        Entry {
            time: self.times[lane & 3],
            turn: self.turns[lane & 3],
        }
    }
}

/// From a time of a line to its turn, in words.
const TURNS: usize = 4;
const _: () = assert!(core::mem::offset_of!(Line, turns) == TURNS * size_of::<u64>());

/// Where the time at `position` is.
///
/// # Safety
/// `lines` has room for `position`.
#[inline(always)]
unsafe fn time_at(lines: *mut Line, position: usize) -> *mut u64 {
    // SAFETY: the caller's promise; a line begins with its four times.
    unsafe { lines.add(position >> 2).cast::<u64>().add(position & 3) }
}

/// A priority queue of item numbers by time, first in first out among equals.
#[derive(Debug)]
pub struct Heap {
    lines: Vec<Line>,
    place: Vec<u32>,
    len: usize,
    sequence: u64,
    /// A copy of the root entry: whose turn it is and when is asked far more often than it changes.
    root: Entry,
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
        lines.resize(
            count,
            Line {
                times: [UNUSED.time; 4],
                turns: [UNUSED.turn; 4],
            },
        );
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
            Some(self.root.item())
        }
    }

    /// The earliest time; `u64::MAX` when empty.
    #[inline(always)]
    pub fn first_time(&self) -> u64 {
        self.root.time
    }

    /// The time `item` is queued for.
    #[inline]
    pub fn time(&self, item: u32) -> Option<u64> {
        match self.place.get(item as usize) {
            Some(&place) if place != ABSENT => Some(self.entry(place as usize).time),
            _ => None,
        }
    }

    /// Queues `item` for `time`, or moves it there, behind others of the same time. Items from the
    /// capacity on are ignored.
    #[inline]
    pub fn set(&mut self, item: u32, time: u64) {
        if self.sequence == SEQUENCE_END {
            self.renumber();
        }
        let Some(&place) = self.place.get(item as usize) else {
            return;
        };
        let entry = Entry {
            time,
            turn: self.sequence << ITEM_BITS | item as u64,
        };
        self.sequence += 1;
        if place == ABSENT {
            let position = ROOT + self.len;
            self.len += 1;
            self.sift_up(position, entry);
        } else {
            self.settle(place as usize, entry);
        }
    }

    /// Moves the earliest item to `time`, behind others of the same time. Nothing if the heap is empty.
    #[inline]
    pub fn move_first(&mut self, time: u64) {
        if self.len == 0 {
            return;
        }
        if self.sequence == SEQUENCE_END {
            self.renumber();
        }
        let turn = self.sequence << ITEM_BITS | self.root.turn & ITEM_MASK;
        self.sequence += 1;
        self.sift_root(Entry { time, turn });
    }

    /// Moves `item` to `time` without giving it a new turn. Nothing if it is not queued.
    pub fn advance(&mut self, item: u32, time: u64) {
        let Some(&place) = self.place.get(item as usize) else {
            return;
        };
        if place == ABSENT {
            return;
        }
        let turn = self.entry(place as usize).turn;
        self.settle(place as usize, Entry { time, turn });
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
        self.write(last, UNUSED);
        if last != position {
            self.settle(position, moved);
        } else if self.len == 0 {
            self.root = UNUSED;
            self.sequence = 0;
        }
        true
    }

    /// Takes the earliest item out.
    #[inline]
    pub fn pop(&mut self) -> Option<u32> {
        let item = self.first()?;
        self.len -= 1;
        debug_assert!((item as usize) < self.place.len());
        // SAFETY: entries are of items below the capacity.
        *unsafe { self.place.get_unchecked_mut(item as usize) } = ABSENT;
        let last = ROOT + self.len;
        let moved = self.entry(last);
        self.write(last, UNUSED);
        if self.len == 0 {
            self.root = UNUSED;
            self.sequence = 0;
        } else if self.len > NEAR {
            self.sift_far(moved);
        } else {
            self.sift_root(moved);
        }
        Some(item)
    }

    /// `position` is below `ROOT + capacity`.
    #[inline(always)]
    fn entry(&self, position: usize) -> Entry {
        debug_assert!(position >> 2 < self.lines.len());
        // SAFETY: positions are below ROOT + capacity, for which there are lines.
        unsafe { self.lines.get_unchecked(position >> 2) }.get(position)
    }

    /// `position` is below `ROOT + capacity`.
    #[inline(always)]
    fn write(&mut self, position: usize, entry: Entry) {
        debug_assert!(position >> 2 < self.lines.len());
        // SAFETY: as for `entry`.
        let line = unsafe { self.lines.get_unchecked_mut(position >> 2) };
        line.times[position & 3] = entry.time;
        line.turns[position & 3] = entry.turn;
    }

    /// Puts an entry of this heap into the hole at `position`.
    #[inline(always)]
    fn put(&mut self, position: usize, entry: Entry) {
        self.write(position, entry);
        debug_assert!((entry.item() as usize) < self.place.len());
        // SAFETY: entries are of items below the capacity.
        *unsafe { self.place.get_unchecked_mut(entry.item() as usize) } = position as u32;
    }

    /// Puts `entry` where it belongs, starting from the hole at `position`.
    #[inline(always)]
    fn settle(&mut self, position: usize, entry: Entry) {
        if position > ROOT && entry.is_before(self.entry((position >> 2) + 2)) {
            self.sift_up(position, entry);
        } else {
            self.sift_down(position, entry);
        }
    }

    #[inline(never)]
    fn sift_up(&mut self, mut position: usize, entry: Entry) {
        loop {
            if position == ROOT {
                self.root = entry;
                break;
            }
            let parent = (position >> 2) + 2;
            let above = self.entry(parent);
            if !entry.is_before(above) {
                break;
            }
            self.put(position, above);
            position = parent;
        }
        self.put(position, entry);
    }

    #[inline(never)]
    fn sift_down(&mut self, start: usize, entry: Entry) {
        self.sink::<false>(start, entry);
    }

    /// As `sift_down` from the root, which is most often.
    #[inline(never)]
    fn sift_root(&mut self, entry: Entry) {
        self.sink::<false>(ROOT, entry);
    }

    /// As `sift_root`, in a heap whose lower levels are far away and which others drive out of the cache meanwhile.
    #[inline(never)]
    fn sift_far(&mut self, entry: Entry) {
        self.sink::<true>(ROOT, entry);
    }

    /// Puts `entry` where it belongs, at or below the hole at `start`. If the heap is large (`FAR`), the four lines of which one comes
    /// next are asked for before it is known which.
    #[inline(always)]
    fn sink<const FAR: bool>(&mut self, start: usize, entry: Entry) {
        let used = (ROOT + self.len + 3) >> 2;
        debug_assert!(used <= self.lines.len() && start < ROOT + self.len);
        let (lines, place) = (self.lines.as_mut_ptr(), self.place.as_mut_ptr());
        let mut position = start;
        // SAFETY: positions start below ROOT + len and go on to those of entries in the `used` lines; see the module.
        unsafe {
            let mut hole = time_at(lines, position);
            loop {
                // The children of position p fill line p - 2.
                let below = position - 2;
                if below >= used {
                    break;
                }
                if FAR {
                    let next = lines.wrapping_add(below * 4 - 2);
                    for line in 0..4 {
                        prefetch(next.wrapping_add(line));
                    }
                }
                let children = lines.add(below).cast::<u64>();
                // The least of each pair, then of both. Which it is is anybody's guess: moves, not jumps.
                let (first, second) = (*children, *children.add(1));
                let (third, fourth) = (*children.add(2), *children.add(3));
                let left = select_unpredictable(second < first, second, first);
                let right = select_unpredictable(fourth < third, fourth, third);
                let turns_right = right < left;
                let lane = select_unpredictable(
                    turns_right,
                    2 + usize::from(fourth < third),
                    usize::from(second < first),
                );
                let time = select_unpredictable(turns_right, right, left);
                if right == left || *children.add(lane ^ 1) == time {
                    return self.sift_down_equals(start, position, entry);
                }
                if entry.time <= time {
                    if entry.time == time {
                        return self.sift_down_equals(start, position, entry);
                    }
                    break;
                }
                let least = children.add(lane);
                let turn = *least.add(TURNS);
                *hole = time;
                *hole.add(TURNS) = turn;
                *place.add((turn & ITEM_MASK) as usize) = position as u32;
                hole = least;
                position = below * 4 + lane;
            }
            *hole = entry.time;
            *hole.add(TURNS) = entry.turn;
            *place.add(entry.item() as usize) = position as u32;
        }
        self.note_root(start);
    }

    /// The rest of `sift_down` from the hole at `position`, where equal times were seen.
    #[inline(never)]
    fn sift_down_equals(&mut self, start: usize, mut position: usize, entry: Entry) {
        while let Some(line) = self.lines.get(position - 2) {
            let lane = line.least();
            let least = line.get(lane);
            if entry < least {
                break;
            }
            self.put(position, least);
            position = (position - 2) * 4 + lane;
        }
        self.put(position, entry);
        self.note_root(start);
    }

    #[inline(always)]
    fn note_root(&mut self, changed: usize) {
        if changed == ROOT {
            self.root = self.entry(ROOT);
        }
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
            self.write(last, first);
            self.sift_within(moved, live);
        }
        for rank in 0..total / 2 {
            let (low, high) = (ROOT + rank, ROOT + total - 1 - rank);
            let (a, b) = (self.entry(low), self.entry(high));
            self.write(low, b);
            self.write(high, a);
        }
        for rank in 0..total {
            let Entry { time, turn } = self.entry(ROOT + rank);
            let turn = (rank as u64) << ITEM_BITS | turn & ITEM_MASK;
            self.put(ROOT + rank, Entry { time, turn });
        }
        if total > 0 {
            self.root = self.entry(ROOT);
        }
        self.sequence = total as u64;
    }

    /// Sifts `entry` down from the root among the first `live` entries, without regard to `place`.
    #[cold]
    fn sift_within(&mut self, entry: Entry, live: usize) {
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
            self.write(position, below);
            position = least;
        }
        self.write(position, entry);
    }
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
            assert_eq!(heap.place[entry.item() as usize] as usize, position);
            if position > ROOT {
                assert!(heap.entry((position >> 2) + 2) < entry);
            }
        }
        let room = heap.lines.len() * 4;
        for position in ROOT + heap.len..room {
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
        MoveFirst(u64),
        Advance(u32, u64),
        Remove(u32),
        Pop,
        Renumber,
    }

    fn op(items: u32, times: u64) -> impl Strategy<Value = Op> {
        prop_oneof![
            6 => (0..items, prop_oneof![0..times, Just(u64::MAX), Just(u64::MAX - 1)]).prop_map(|(item, time)| Op::Set(item, time)),
            2 => (0..times).prop_map(Op::MoveFirst),
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
                    Op::MoveFirst(time) => {
                        heap.move_first(time);
                        if let Some(&(_, _, item)) = oracle.entries.first() {
                            oracle.set(item, time);
                        }
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
