//! A short vector whose room is charged before it is allocated.

use alloc::vec::Vec;
use core::ops::{Deref, DerefMut};

use abi::Error;

use crate::{
    job::{Charge, Job},
    refs::Ref,
};

/// For sorted lists of some thousand elements at most: moving them takes less than keeping a tree.
#[derive(Debug)]
pub(crate) struct ChargedVec<T> {
    list: Vec<T>,
    charge: Charge,
}

impl<T> ChargedVec<T> {
    pub(crate) fn new(job: &Ref<Job>) -> Result<Self, Error> {
        Ok(Self {
            list: Vec::new(),
            charge: job.charge_kernel(0)?,
        })
    }

    /// Makes room for one more, up to `most`.
    ///
    /// # Errors
    /// `full` at `most`; [`Error::NoMemory`].
    #[inline]
    pub(crate) fn make_room(&mut self, most: usize, full: Error) -> Result<(), Error> {
        if self.list.len() < self.list.capacity() {
            return Ok(());
        }
        self.grow(most, full)
    }

    #[cold]
    fn grow(&mut self, most: usize, full: Error) -> Result<(), Error> {
        if self.list.len() >= most {
            return Err(full);
        }
        let more = self.list.len().max(4).min(most - self.list.len());
        let bytes = (more * size_of::<T>()) as u64;
        self.charge.grow(bytes)?;
        if self.list.try_reserve_exact(more).is_err() {
            self.charge.shrink(bytes);
            return Err(Error::NoMemory);
        }
        Ok(())
    }

    /// Puts one in where there is room for it: after [`make_room`](Self::make_room).
    pub(crate) fn insert(&mut self, place: usize, value: T) {
        debug_assert!(self.list.len() < self.list.capacity());
        self.list.insert(place.min(self.list.len()), value);
    }

    /// Puts one at the end, where there is room for it.
    #[inline]
    pub(crate) fn push(&mut self, value: T) {
        debug_assert!(self.list.len() < self.list.capacity());
        self.list.push(value);
    }

    pub(crate) fn remove(&mut self, place: usize) -> Option<T> {
        (place < self.list.len()).then(|| self.list.remove(place))
    }

    /// All of it, to be dropped elsewhere; this one stays empty and has no room any more.
    pub(crate) fn take(&mut self) -> Self {
        let amount = self.charge.amount();
        Self {
            list: core::mem::take(&mut self.list),
            charge: self.charge.split(amount),
        }
    }

    pub(crate) fn pop(&mut self) -> Option<T> {
        self.list.pop()
    }
}

impl<T> Deref for ChargedVec<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        &self.list
    }
}

impl<T> DerefMut for ChargedVec<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.list
    }
}
