//! Numbered places with generations: what handle tables and reply tables are made of.
//!
//! Places come in chunks that never move, so that growing copies nothing but a list of pointers. A place's generation rises each time it
//! is given up, and a place whose generation would wrap is retired: a number never comes to mean something else.

use alloc::{boxed::Box, vec::Vec};

use abi::Error;
use spin::Mutex;

use crate::{
    graveyard::Progress,
    job::{Charge, Job, Resource},
    refs::{Ref, try_box},
};

/// Places in a chunk.
pub(crate) const CHUNK: usize = 32;
/// Most places: more handles than this nobody has.
pub(crate) const MAX_PLACES: usize = 1 << 20;
/// Generations stay below, so that handles and tokens are never negative as an `i64`: those are errors.
pub(crate) const GENERATIONS: u32 = 1 << 31;

const NONE: u32 = u32::MAX;

#[derive(Debug)]
enum Content<T> {
    Free { next: u32 },
    Used(T),
    Retired,
}

#[derive(Debug)]
struct Place<T> {
    generation: u32,
    content: Content<T>,
}

#[derive(Debug)]
pub(crate) struct Chunk<T>([Place<T>; CHUNK]);

/// The number of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Number {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

/// Places, and how many are free or promised to somebody.
#[derive(Debug)]
pub(crate) struct Slots<T> {
    chunks: Vec<Box<Chunk<T>>>,
    first_free: u32,
    free: usize,
    /// Of the free ones.
    reserved: usize,
    used: usize,
    closed: bool,
    /// Where taking everything out goes on, once closed.
    cleared: u32,
    memory: Charge,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self {
            chunks: Vec::new(),
            first_free: NONE,
            free: 0,
            reserved: 0,
            used: 0,
            closed: false,
            cleared: 0,
            memory: Charge::nobody(Resource::Kernel),
        }
    }
}

impl<T> Slots<T> {
    #[inline]
    fn place(&mut self, index: u32) -> Option<&mut Place<T>> {
        let chunk = self.chunks.get_mut(index as usize / CHUNK)?;
        Some(&mut chunk.0[index as usize % CHUNK])
    }

    pub(crate) fn used(&self) -> usize {
        self.used
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    pub(crate) fn places(&self) -> usize {
        self.chunks.len() * CHUNK
    }

    /// No more is put in; what is in stays until taken.
    pub(crate) fn close(&mut self) {
        self.closed = true;
    }

    /// Gives back a promise that is not kept.
    pub(crate) fn unreserve(&mut self, count: usize) {
        self.reserved -= count.min(self.reserved);
    }

    /// Nobody will come for what was promised.
    pub(crate) fn forget_promises(&mut self) {
        self.reserved = 0;
    }

    /// Puts something into a reserved place; given back if the table was closed meanwhile.
    #[inline]
    pub(crate) fn put_reserved(&mut self, value: T) -> Result<Number, T> {
        if self.reserved == 0 {
            return Err(value);
        }
        self.reserved -= 1;
        if self.closed {
            return Err(value);
        }
        let index = self.first_free;
        let Some(place) = self.place(index) else {
            return Err(value);
        };
        let Content::Free { next } = place.content else {
            return Err(value);
        };
        place.content = Content::Used(value);
        let generation = place.generation;
        self.first_free = next;
        self.free -= 1;
        self.used += 1;
        Ok(Number { index, generation })
    }

    /// What lies there.
    #[inline]
    pub(crate) fn get(&self, number: Number) -> Option<&T> {
        let chunk = self.chunks.get(number.index as usize / CHUNK)?;
        match &chunk.0[number.index as usize % CHUNK] {
            Place {
                generation,
                content: Content::Used(value),
            } if *generation == number.generation => Some(value),
            _ => None,
        }
    }

    /// What lies there.
    pub(crate) fn get_mut(&mut self, number: Number) -> Option<&mut T> {
        match self.place(number.index)? {
            Place {
                generation,
                content: Content::Used(value),
            } if *generation == number.generation => Some(value),
            _ => None,
        }
    }

    /// Takes it out; the number is never used again.
    #[inline]
    pub(crate) fn take(&mut self, number: Number) -> Option<T> {
        self.get(number)?;
        self.take_at(number.index)
    }

    /// What lies there, to be emptied in place; a place for the next thing is promised at once then. `None` also where one of the two is
    /// not to be had simply.
    #[inline(always)]
    pub(crate) fn begin_emptying(&mut self, number: Number) -> Option<Emptying<'_, T>> {
        if self.closed || number.generation >= GENERATIONS - 1 {
            return None;
        }
        let chunk = self.chunks.get_mut(number.index as usize / CHUNK)?;
        let place = &mut chunk.0[number.index as usize % CHUNK];
        if place.generation != number.generation {
            return None;
        }
        Some(Emptying {
            place,
            index: number.index,
            first_free: &mut self.first_free,
            free: &mut self.free,
            reserved: &mut self.reserved,
            used: &mut self.used,
        })
    }

    #[inline]
    fn take_at(&mut self, index: u32) -> Option<T> {
        let next = self.first_free;
        let place = self.place(index)?;
        if !matches!(place.content, Content::Used(_)) {
            return None;
        }
        place.generation += 1;
        let retired = place.generation >= GENERATIONS;
        let content = if retired {
            Content::Retired
        } else {
            Content::Free { next }
        };
        let Content::Used(value) = core::mem::replace(&mut place.content, content) else {
            return None;
        };
        if !retired {
            self.first_free = index;
            self.free += 1;
        }
        self.used -= 1;
        Some(value)
    }

    /// Once closed, takes out the next thing that `which` admits, looking at no more than a chunk; [`Progress::Done`] at the end.
    pub(crate) fn clear_next(&mut self, which: impl Fn(&T) -> bool) -> (Progress, Option<T>) {
        let end = self.places().min(self.cleared as usize + CHUNK) as u32;
        for index in self.cleared..end {
            let admitted = matches!(
                self.place(index),
                Some(Place { content: Content::Used(value), .. }) if which(value)
            );
            if admitted {
                self.cleared = index + 1;
                return (Progress::More, self.take_at(index));
            }
        }
        self.cleared = end;
        if end as usize >= self.places() {
            (Progress::Done, None)
        } else {
            (Progress::More, None)
        }
    }

    /// What lies at or after a place, looking at no more than `most` places.
    pub(crate) fn find_next(&self, from: u32, most: usize) -> Option<(Number, &T)> {
        let end = self.places().min(from as usize + most) as u32;
        (from..end).find_map(|index| {
            let place = &self.chunks[index as usize / CHUNK].0[index as usize % CHUNK];
            match &place.content {
                Content::Used(value) => Some((
                    Number {
                        index,
                        generation: place.generation,
                    },
                    value,
                )),
                _ => None,
            }
        })
    }

    #[inline]
    fn try_reserve(&mut self, count: usize) -> bool {
        let enough = self.free - self.reserved >= count;
        if enough {
            self.reserved += count;
        }
        enough
    }

    fn add(&mut self, mut chunk: Box<Chunk<T>>, charge: Charge) -> Result<(), Error> {
        if self.places() >= MAX_PLACES {
            return Err(Error::LimitReached);
        }
        self.chunks.try_reserve(1).map_err(|_| Error::NoMemory)?;
        if self.memory.job().is_none() {
            self.memory = charge;
        } else if self.memory.merge(charge).is_err() {
            return Err(Error::NoMemory);
        }
        let base = self.places() as u32;
        for (offset, place) in chunk.0.iter_mut().enumerate().rev() {
            place.content = Content::Free {
                next: self.first_free,
            };
            self.first_free = base + offset as u32;
        }
        self.free += CHUNK;
        self.chunks.push(chunk);
        Ok(())
    }
}

/// A place that is about to be given up; if [`done`](Self::done) is not called, nothing happens.
pub(crate) struct Emptying<'a, T> {
    place: &'a mut Place<T>,
    index: u32,
    first_free: &'a mut u32,
    free: &'a mut usize,
    reserved: &'a mut usize,
    used: &'a mut usize,
}

impl<T> Emptying<'_, T> {
    /// What lies there.
    #[inline(always)]
    pub(crate) fn value(&mut self) -> Option<&mut T> {
        match &mut self.place.content {
            Content::Used(value) => Some(value),
            _ => None,
        }
    }

    /// Gives the place up and promises one. What lies there has been emptied: nothing of it needs a drop.
    #[inline(always)]
    pub(crate) fn done(self) {
        let next = *self.first_free;
        let emptied = core::mem::replace(&mut self.place.content, Content::Free { next });
        core::mem::forget(emptied);
        self.place.generation += 1;
        *self.first_free = self.index;
        *self.free += 1;
        *self.used -= 1;
        *self.reserved += 1;
    }
}

/// Bytes of a chunk, its pointer with what lists of pointers keep spare included.
const fn chunk_bytes<T>() -> u64 {
    (size_of::<Chunk<T>>() + 4 * size_of::<Box<Chunk<T>>>()) as u64
}

/// Promises places, adding chunks as needed; memory is allocated outside of the lock.
///
/// # Errors
/// [`Error::Dying`] once closed, [`Error::LimitReached`] at [`MAX_PLACES`], [`Error::NoMemory`].
#[inline]
pub(crate) fn reserve<T>(
    slots: &Mutex<Slots<T>>,
    job: &Ref<Job>,
    count: usize,
) -> Result<(), Error> {
    loop {
        {
            let mut slots = slots.lock();
            if slots.closed {
                return Err(Error::Dying);
            }
            if slots.try_reserve(count) {
                return Ok(());
            }
        }
        grow(slots, job)?;
    }
}

#[cold]
fn grow<T>(slots: &Mutex<Slots<T>>, job: &Ref<Job>) -> Result<(), Error> {
    let charge = job.charge_kernel(chunk_bytes::<T>())?;
    let chunk = try_box(Chunk(core::array::from_fn(|_| Place {
        generation: 1,
        content: Content::Retired,
    })))?;
    slots.lock().add(chunk, charge)
}

/// Closes places and takes out what `which` admits, in up to `most` short steps; each thing is given to `end` under no lock.
pub(crate) fn close_some<T>(
    slots: &Mutex<Slots<T>>,
    most: usize,
    which: impl Fn(&T) -> bool,
    mut end: impl FnMut(T),
) -> Progress {
    slots.lock().close();
    for _ in 0..most.max(1) {
        let (progress, taken) = slots.lock().clear_next(&which);
        if let Some(taken) = taken {
            end(taken);
        }
        if progress == Progress::Done {
            return progress;
        }
    }
    Progress::More
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled() -> (Mutex<Slots<u32>>, Ref<Job>) {
        let job = Job::root(&abi::process::JobLimits::NONE).unwrap();
        let slots = Mutex::new(Slots::default());
        reserve(&slots, &job, CHUNK).unwrap();
        for value in 0..CHUNK as u32 {
            slots.lock().put_reserved(value).unwrap();
        }
        (slots, job)
    }

    #[test]
    fn a_place_whose_generation_would_wrap_is_retired() {
        let (slots, job) = filled();
        let last = Number {
            index: 5,
            generation: GENERATIONS - 1,
        };
        slots.lock().place(5).unwrap().generation = last.generation;
        assert_eq!(slots.lock().take(last), Some(5));
        assert_eq!(slots.lock().free, 0, "it is not free");
        reserve(&slots, &job, 1).unwrap();
        let next = slots.lock().put_reserved(99).unwrap();
        assert_eq!(next.index as usize / CHUNK, 1, "in a new chunk");
        for generation in [0, 1, GENERATIONS - 1, GENERATIONS, u32::MAX] {
            let old = Number {
                index: 5,
                generation,
            };
            assert_eq!(slots.lock().get(old), None);
        }
    }

    #[test]
    fn what_is_taken_can_promise_its_place() {
        let (slots, _job) = filled();
        let number = |generation| Number {
            index: 7,
            generation,
        };
        let take = |generation, admits: bool| {
            let mut slots = slots.lock();
            let mut place = slots.begin_emptying(number(generation))?;
            let value = *place.value()?;
            admits.then(|| {
                place.done();
                value
            })
        };
        assert_eq!(take(2, true), None, "another generation's");
        assert_eq!(take(1, false), None, "not admitted");
        assert_eq!(take(1, true), Some(7));
        assert_eq!(slots.lock().put_reserved(70), Ok(number(2)));
        assert_eq!(slots.lock().put_reserved(71), Err(71), "one was promised");
        slots.lock().place(7).unwrap().generation = GENERATIONS - 1;
        assert_eq!(take(GENERATIONS - 1, true), None, "it would be retired");
        slots.lock().close();
        slots.lock().place(7).unwrap().generation = 3;
        assert_eq!(take(3, true), None, "nothing is promised once closed");
        assert_eq!(slots.lock().take(number(3)), Some(70));
    }

    #[test]
    fn promises_are_kept_and_not_more() {
        let (slots, job) = filled();
        assert_eq!(slots.lock().put_reserved(1), Err(1), "none was promised");
        reserve(&slots, &job, 2).unwrap();
        slots.lock().unreserve(1);
        assert!(slots.lock().put_reserved(1).is_ok());
        assert_eq!(slots.lock().put_reserved(1), Err(1));
        reserve(&slots, &job, CHUNK * 3).unwrap();
        assert!(slots.lock().places() >= 4 * CHUNK);
        assert_eq!(
            reserve(&slots, &job, MAX_PLACES + 1).unwrap_err(),
            Error::LimitReached
        );
        slots.lock().close();
        assert_eq!(slots.lock().put_reserved(1), Err(1));
        assert_eq!(reserve(&slots, &job, 1).unwrap_err(), Error::Dying);
    }
}
