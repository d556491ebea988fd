//! Slots set aside for spawns from elsewhere: a lock-free stack that any core may pop from, so that such a spawn
//! knows its slot, and whether there is one, at once.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::slot::Slot;

/// Head: a tag above the slot's number plus one. The tag changes at every exchange, so that a head that went away
/// and came back is not taken for unchanged.
#[derive(Debug)]
pub(crate) struct Pool {
    head: AtomicU64,
}

const END: u32 = 0;

fn word(tag: u64, item: u32) -> u64 {
    tag << 32 | item as u64
}

impl Pool {
    pub(crate) const fn new() -> Pool {
        Pool {
            head: AtomicU64::new(0),
        }
    }

    pub(crate) fn push(&self, slots: &[Slot], slot: u32) {
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            slots[slot as usize].next.set(head as u32);
            match self.head.compare_exchange_weak(
                head,
                word((head >> 32) + 1, slot + 1),
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(seen) => head = seen,
            }
        }
    }

    pub(crate) fn pop(&self, slots: &[Slot]) -> Option<u32> {
        let mut head = self.head.load(Ordering::Acquire);
        loop {
            let item = head as u32;
            if item == END {
                return None;
            }
            let next = slots[item as usize - 1].next.get();
            match self.head.compare_exchange_weak(
                head,
                word((head >> 32) + 1, next),
                Ordering::Acquire,
                Ordering::Acquire,
            ) {
                Ok(_) => return Some(item - 1),
                Err(seen) => head = seen,
            }
        }
    }
}
