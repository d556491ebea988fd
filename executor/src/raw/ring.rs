//! A bounded queue for many senders and one or more receivers, lock-free: D. Vyukov's array queue, in which each
//! cell's sequence number says whose turn it is.

use alloc::{collections::TryReserveError, vec::Vec};
use core::mem::MaybeUninit;

use super::cell::RawCell;
use crate::atomics::{AtomicUsize, Ordering};

struct Cell<T> {
    turn: AtomicUsize,
    value: RawCell<MaybeUninit<T>>,
}

/// See the module. The capacity is a power of two, at least two.
pub(crate) struct Ring<T> {
    cells: Vec<Cell<T>>,
    head: AtomicUsize,
    tail: AtomicUsize,
}

// SAFETY: values pass from one thread to another; cells are touched by whoever's turn it is.
unsafe impl<T: Send> Send for Ring<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Ring<T> {}

impl<T> Ring<T> {
    pub(crate) fn with_capacity(capacity: usize) -> Result<Ring<T>, TryReserveError> {
        let count = capacity
            .max(2)
            .checked_next_power_of_two()
            .unwrap_or(usize::MAX);
        let mut cells = Vec::new();
        cells.try_reserve_exact(count)?;
        for index in 0..count {
            cells.push(Cell {
                turn: AtomicUsize::new(index),
                value: RawCell::new(MaybeUninit::uninit()),
            });
        }
        Ok(Ring {
            cells,
            head: AtomicUsize::new(0),
            tail: AtomicUsize::new(0),
        })
    }

    pub(crate) fn push(&self, value: T) -> Result<(), T> {
        let mask = self.cells.len() - 1;
        let mut tail = self.tail.load(Ordering::Relaxed);
        loop {
            let cell = &self.cells[tail & mask];
            let turn = cell.turn.load(Ordering::Acquire);
            if turn == tail {
                match self.tail.compare_exchange_weak(
                    tail,
                    tail.wrapping_add(1),
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                ) {
                    Ok(_) => {
                        // SAFETY: the exchange made this cell's turn ours, until the store below.
                        unsafe {
                            cell.value.with_mut(|cell| {
                                (*cell).write(value);
                            })
                        };
                        cell.turn.store(tail.wrapping_add(1), Ordering::Release);
                        return Ok(());
                    }
                    Err(seen) => tail = seen,
                }
            } else if (turn.wrapping_sub(tail) as isize) < 0 {
                return Err(value);
            } else {
                tail = self.tail.load(Ordering::Relaxed);
            }
        }
    }

    pub(crate) fn pop(&self) -> Option<T> {
        let mask = self.cells.len() - 1;
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            let cell = &self.cells[head & mask];
            let turn = cell.turn.load(Ordering::Acquire);
            let ready = head.wrapping_add(1);
            if turn == ready {
                match self.head.compare_exchange_weak(
                    head,
                    ready,
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                ) {
                    Ok(_) => {
                        // SAFETY: the exchange made this cell's turn ours, and a value is in it.
                        let value =
                            unsafe { cell.value.with_mut(|cell| (*cell).assume_init_read()) };
                        cell.turn
                            .store(head.wrapping_add(self.cells.len()), Ordering::Release);
                        return Some(value);
                    }
                    Err(seen) => head = seen,
                }
            } else if (turn.wrapping_sub(ready) as isize) < 0 {
                return None;
            } else {
                head = self.head.load(Ordering::Relaxed);
            }
        }
    }
}

impl<T> Drop for Ring<T> {
    fn drop(&mut self) {
        while self.pop().is_some() {}
    }
}
