//! A core's timers: a heap by time whose entries wake wakers.
//!
//! Owned by the core; cancelled through it. A timer is a number and a generation, so that a late
//! cancel hits nobody else. A future that was moved to another core since it armed a timer leaves a note with the old
//! core, which disarms it.

use alloc::{collections::TryReserveError, vec::Vec};
use core::task::Waker;

use crate::sched::heap::Heap;

/// An armed timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimerId {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

#[derive(Debug)]
struct Timer {
    waker: Option<Waker>,
    generation: u32,
    next_free: u32,
}

const NONE: u32 = u32::MAX;

/// The timers of one core.
#[derive(Debug)]
pub(crate) struct Timers {
    heap: Heap,
    table: Vec<Timer>,
    free: u32,
}

impl Timers {
    pub(crate) fn with_capacity(capacity: usize) -> Result<Timers, TryReserveError> {
        let heap = Heap::with_capacity(capacity)?;
        let mut table = Vec::new();
        table.try_reserve_exact(capacity)?;
        for index in 0..capacity as u32 {
            let next_free = if index + 1 < capacity as u32 {
                index + 1
            } else {
                NONE
            };
            table.push(Timer {
                waker: None,
                generation: 0,
                next_free,
            });
        }
        Ok(Timers {
            heap,
            table,
            free: if capacity == 0 { NONE } else { 0 },
        })
    }

    /// The earliest due time; `u64::MAX` when none is armed.
    #[inline(always)]
    pub(crate) fn first_time(&self) -> u64 {
        self.heap.first_time()
    }

    /// Arms a timer; `None` when all are in use.
    #[inline(always)]
    pub(crate) fn arm(&mut self, time: u64, waker: Waker) -> Option<TimerId> {
        let index = self.free;
        let timer = self.table.get_mut(index as usize)?;
        self.free = timer.next_free;
        // It held none: nothing is dropped.
        core::mem::forget(timer.waker.replace(waker));
        let generation = timer.generation;
        self.heap.set(index, time);
        Some(TimerId { index, generation })
    }

    /// Whether a timer has not fired yet.
    #[inline(always)]
    pub(crate) fn is_armed(&self, id: TimerId) -> bool {
        self.table
            .get(id.index as usize)
            .is_some_and(|timer| timer.generation == id.generation)
    }

    /// Puts `waker` into an armed timer, and returns the old one for the caller to drop.
    pub(crate) fn refresh(&mut self, id: TimerId, waker: Waker) -> Option<Waker> {
        self.table.get_mut(id.index as usize)?.waker.replace(waker)
    }

    /// Disarms; returns the waker for the caller to drop. A timer that fired is left alone.
    pub(crate) fn cancel(&mut self, id: TimerId) -> Option<Waker> {
        match self.table.get(id.index as usize) {
            Some(timer)
                if timer.generation == id.generation
                    || crate::atomics::mutated("timer_no_generation") =>
            {
                self.heap.remove(id.index);
                self.release(id.index)
            }
            _ => None,
        }
    }

    /// Disarms all timers whose wakers are `theirs`, and forgets the wakers: what they refer to is gone.
    #[cold]
    pub(crate) fn forget(&mut self, theirs: impl Fn(&Waker) -> bool) {
        for index in 0..self.table.len() as u32 {
            if self.table[index as usize]
                .waker
                .as_ref()
                .is_some_and(&theirs)
            {
                self.heap.remove(index);
                core::mem::forget(self.release(index));
            }
        }
    }

    /// Takes the earliest timer.
    #[inline(always)]
    pub(crate) fn expire(&mut self) -> Option<Waker> {
        let index = self.heap.pop()?;
        self.release(index)
    }

    /// Whom the earliest timer wakes.
    #[inline(always)]
    pub(crate) fn first_waker(&self) -> Option<&Waker> {
        let timer = self.table.get(self.heap.first()? as usize)?;
        timer.waker.as_ref()
    }

    #[inline]
    fn release(&mut self, index: u32) -> Option<Waker> {
        let timer = &mut self.table[index as usize];
        timer.generation = timer.generation.wrapping_add(1);
        timer.next_free = self.free;
        self.free = index;
        timer.waker.take()
    }
}
