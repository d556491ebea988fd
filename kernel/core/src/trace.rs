//! What a core did, moment by moment: the records of a trace.
//!
//! A buffer has one writer at a time in each of a core's contexts, its tasks and the interrupts that come between: a place is taken by
//! one step, and its kind, which says that the rest is there, is written last. When it is full, records are counted and not kept: what
//! is wanted is the time after the start.

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A task became ready. Value: 1 if an interrupt said so.
    Woken = 1,
    /// A poll began. Value: the deadline in ticks, `u64::MAX` for none.
    Begins = 2,
    /// It ended. Value: 0 the task is ready, 1 it waits, 2 it is over; and 4 if its reservation is used up.
    Ends = 3,
    /// In this poll ring 3 is entered for a process. Value: its number << 8, and how many calls deep it serves the task.
    Runs = 4,
    /// A deadline was missed. Value: by how many ticks << 8, and why (`executor::Late`).
    Missed = 5,
    /// The task is a thread's. Value: the number of its process.
    Thread = 6,
    /// An interrupt. Value: its vector. No task.
    Interrupt = 7,
}

impl Kind {
    const ALL: [Kind; 7] = [
        Kind::Woken,
        Kind::Begins,
        Kind::Ends,
        Kind::Runs,
        Kind::Missed,
        Kind::Thread,
        Kind::Interrupt,
    ];
}

/// Something that happened on a core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// When, in ticks.
    pub at_ticks: u64,
    /// What.
    pub kind: Kind,
    /// With which task (`executor::TaskId`), 0 for none.
    pub task: u64,
    /// See [`Kind`].
    pub value: u64,
}

/// A place for a record: time, task, value, kind; 0 as kind while there is none.
pub type Place = [AtomicU64; 4];

/// Records of a core.
#[derive(Debug)]
pub struct Buffer<'a> {
    places: &'a [Place],
    next: AtomicUsize,
}

impl<'a> Buffer<'a> {
    /// An empty one; the places are zeroes.
    pub const fn new(places: &'a [Place]) -> Self {
        Self {
            places,
            next: AtomicUsize::new(0),
        }
    }

    /// Adds a record, if there is room.
    pub fn push(&self, record: Record) {
        let at = self.next.fetch_add(1, Ordering::Relaxed);
        let Some([time, task, value, kind]) = self.places.get(at) else {
            return;
        };
        time.store(record.at_ticks, Ordering::Relaxed);
        task.store(record.task, Ordering::Relaxed);
        value.store(record.value, Ordering::Relaxed);
        kind.store(record.kind as u64, Ordering::Release);
    }

    /// The record at this place; `None` if there is none (yet).
    pub fn get(&self, index: usize) -> Option<Record> {
        let [time, task, value, kind] = self.places.get(index)?;
        let number = kind.load(Ordering::Acquire);
        let kind = *Kind::ALL.iter().find(|kind| **kind as u64 == number)?;
        Some(Record {
            at_ticks: time.load(Ordering::Relaxed),
            kind,
            task: task.load(Ordering::Relaxed),
            value: value.load(Ordering::Relaxed),
        })
    }

    /// How many places are taken.
    pub fn len(&self) -> usize {
        self.next.load(Ordering::Relaxed).min(self.places.len())
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many records found no place.
    pub fn lost(&self) -> usize {
        let wanted = self.next.load(Ordering::Relaxed);
        wanted.saturating_sub(self.places.len())
    }

    /// Forgets them all. Nobody writes meanwhile.
    pub fn clear(&self) {
        for [_, _, _, kind] in self.places.iter().take(self.len()) {
            kind.store(0, Ordering::Relaxed);
        }
        self.next.store(0, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    #[test]
    fn what_is_full_counts() {
        let places: Vec<Place> = (0..3).map(|_| Place::default()).collect();
        let buffer = Buffer::new(&places);
        assert!(buffer.is_empty() && buffer.get(0).is_none());
        let record = |number| Record {
            at_ticks: number,
            kind: Kind::ALL[number as usize],
            task: 7,
            value: u64::MAX,
        };
        for number in 0..5 {
            buffer.push(record(number));
        }
        assert_eq!((buffer.len(), buffer.lost()), (3, 2));
        for number in 0..3 {
            assert_eq!(buffer.get(number as usize), Some(record(number)));
        }
        assert_eq!(buffer.get(3), None);
        buffer.clear();
        assert_eq!((buffer.len(), buffer.lost(), buffer.get(0)), (0, 0, None));
    }

    /// Several writers at once, as a task and interrupts are: nothing is lost or mixed.
    #[test]
    fn writers_do_not_meet() {
        let places: Vec<Place> = (0..4000).map(|_| Place::default()).collect();
        let buffer = Buffer::new(&places);
        std::thread::scope(|scope| {
            for task in 0..4 {
                let buffer = &buffer;
                scope.spawn(move || {
                    for value in 0..1000 {
                        let at_ticks = task * 1000 + value;
                        buffer.push(Record {
                            at_ticks,
                            kind: Kind::Runs,
                            task,
                            value,
                        });
                    }
                });
            }
        });
        let mut times: Vec<u64> = (0..4000)
            .map(|index| {
                let record = buffer.get(index).expect("written");
                assert_eq!(record.at_ticks, record.task * 1000 + record.value);
                record.at_ticks
            })
            .collect();
        times.sort_unstable();
        assert!(times.into_iter().eq(0..4000));
    }
}
