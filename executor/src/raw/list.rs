//! First-in-first-out lists of slots, linked in a ring through the slots themselves: every step is O(1), nothing is
//! allocated, and a turn of the list is a move of its head.
//!
//! # What the unchecked accesses rely on
//! A list, and the slots in it, are only ever used with one table: links and heads are numbers of slots of that table.
//! Callers pass a slot's number together with its record in the table.

use crate::slot::{NONE, Slot};

/// A list of slots. A slot is in at most one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct List {
    first: u32,
}

#[inline(always)]
fn at(slots: &[Slot], slot: u32) -> &Slot {
    debug_assert!((slot as usize) < slots.len());
    // SAFETY: links and heads are numbers of slots of this table; see the module.
    unsafe { slots.get_unchecked(slot as usize) }
}

impl List {
    pub(crate) const fn new() -> List {
        List { first: NONE }
    }

    #[inline(always)]
    pub(crate) fn first(&self) -> Option<u32> {
        (self.first != NONE).then_some(self.first)
    }

    /// Whether `record`, which is in a list, is alone in it.
    #[inline(always)]
    pub(crate) fn is_alone(slot: u32, record: &Slot) -> bool {
        record.next.get() == slot
    }

    /// The one behind `slot`, unless that is the last.
    pub(crate) fn after(&self, slots: &[Slot], slot: u32) -> Option<u32> {
        let next = at(slots, slot).next.get();
        (next != self.first).then_some(next)
    }

    /// Behind all others. Whether it is the first.
    #[inline(always)]
    pub(crate) fn push(&mut self, slots: &[Slot], slot: u32, record: &Slot) -> bool {
        debug_assert!(core::ptr::eq(record, &slots[slot as usize]));
        if self.first == NONE {
            record.next.set(slot);
            record.previous.set(slot);
            self.first = slot;
            return true;
        }
        let first = at(slots, self.first);
        let last = first.previous.get();
        record.next.set(self.first);
        record.previous.set(last);
        at(slots, last).next.set(slot);
        first.previous.set(slot);
        false
    }

    /// The one that came last.
    pub(crate) fn last(&self, slots: &[Slot]) -> Option<u32> {
        self.first().map(|first| at(slots, first).previous.get())
    }

    /// The last one goes to the front.
    pub(crate) fn turn_back(&mut self, slots: &[Slot]) {
        if let Some(last) = self.last(slots) {
            self.first = last;
        }
    }

    /// The slot is in this list; `record` is its record, here and below. Whether it was the only one.
    #[inline(always)]
    pub(crate) fn remove(&mut self, slots: &[Slot], slot: u32, record: &Slot) -> bool {
        debug_assert!(core::ptr::eq(record, &slots[slot as usize]));
        let next = record.next.get();
        if next == slot {
            self.first = NONE;
            return true;
        }
        let previous = record.previous.get();
        at(slots, previous).next.set(next);
        at(slots, next).previous.set(previous);
        if self.first == slot {
            self.first = next;
        }
        false
    }

    /// The first goes to the back.
    #[inline(always)]
    pub(crate) fn rotate(&mut self, slot: u32, record: &Slot) {
        if self.first == slot {
            self.first = record.next.get();
        }
    }
}

/// A stack of slots that nobody uses, linked one way.
#[derive(Debug)]
pub(crate) struct Stack {
    first: u32,
}

impl Stack {
    pub(crate) const fn new() -> Stack {
        Stack { first: NONE }
    }

    #[inline(always)]
    pub(crate) fn push(&mut self, slot: u32, record: &Slot) {
        record.next.set(self.first);
        self.first = slot;
    }

    #[inline(always)]
    pub(crate) fn first(&self) -> Option<u32> {
        (self.first != NONE).then_some(self.first)
    }

    /// Takes off the first, whose record this is.
    #[inline(always)]
    pub(crate) fn pop(&mut self, record: &Slot) {
        self.first = record.next.get();
    }
}
