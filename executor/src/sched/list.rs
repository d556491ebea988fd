//! First-in-first-out lists of slots, linked through the slots themselves: every step is O(1) and
//! nothing is allocated.

use crate::slot::{NONE, Slot};

/// A list of slots. A slot is in at most one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct List {
    first: u32,
    last: u32,
}

impl List {
    pub(crate) const fn new() -> List {
        List {
            first: NONE,
            last: NONE,
        }
    }

    #[inline(always)]
    pub(crate) fn first(&self) -> Option<u32> {
        (self.first != NONE).then_some(self.first)
    }

    #[inline(always)]
    pub(crate) fn is_empty(&self) -> bool {
        self.first == NONE
    }

    #[inline]
    pub(crate) fn push(&mut self, slots: &[Slot], slot: u32, record: &Slot) {
        record.next.set(NONE);
        record.previous.set(self.last);
        if self.last == NONE {
            self.first = slot;
        } else {
            slots[self.last as usize].next.set(slot);
        }
        self.last = slot;
    }

    #[inline]
    pub(crate) fn push_front(&mut self, slots: &[Slot], slot: u32, record: &Slot) {
        record.next.set(self.first);
        record.previous.set(NONE);
        if self.first == NONE {
            self.last = slot;
        } else {
            slots[self.first as usize].previous.set(slot);
        }
        self.first = slot;
    }

    /// The slot is in this list; `record` is its record, here and below.
    #[inline]
    pub(crate) fn remove(&mut self, slots: &[Slot], slot: u32, record: &Slot) {
        debug_assert!(core::ptr::eq(record, &slots[slot as usize]));
        let (previous, next) = (record.previous.get(), record.next.get());
        if previous == NONE {
            self.first = next;
        } else {
            slots[previous as usize].next.set(next);
        }
        if next == NONE {
            self.last = previous;
        } else {
            slots[next as usize].previous.set(previous);
        }
    }

    /// The first goes to the back.
    #[inline(always)]
    pub(crate) fn rotate(&mut self, slots: &[Slot], slot: u32, record: &Slot) {
        let next = record.next.get();
        if self.first != slot || next == NONE {
            return;
        }
        self.first = next;
        slots[next as usize].previous.set(NONE);
        slots[self.last as usize].next.set(slot);
        record.previous.set(self.last);
        record.next.set(NONE);
        self.last = slot;
    }
}
