//! Lists of objects that are not kept by being listed.

use alloc::vec::Vec;

use abi::Error;
use objects::refs::{Ref, WeakRef};

/// Objects that may be gone; those that are make room for new ones.
pub struct WeakList<T> {
    entries: Vec<WeakRef<T>>,
}

impl<T> WeakList<T> {
    /// Nobody.
    pub const fn new() -> Self {
        Self {
            entries: Vec::new(),
        }
    }

    /// Lists one more.
    ///
    /// # Errors
    /// [`Error::NoMemory`].
    pub fn add(&mut self, object: &Ref<T>) -> Result<(), Error> {
        if self.entries.len() == self.entries.capacity() {
            self.entries.retain(|entry| entry.upgrade().is_some());
            // Amortised: at least half of it is free after this.
            let more = self.entries.len().max(4);
            self.entries
                .try_reserve(more)
                .map_err(|_| Error::NoMemory)?;
        }
        self.entries.push(object.downgrade());
        Ok(())
    }

    /// Takes one out that still is there.
    pub fn take(&mut self) -> Option<Ref<T>> {
        loop {
            if let Some(object) = self.entries.pop()?.upgrade() {
                return Some(object);
            }
        }
    }

    /// The first at or after place `from` that still is there, and where to go on.
    pub fn next(&self, from: usize) -> Option<(usize, Ref<T>)> {
        (from..self.entries.len())
            .find_map(|place| Some((place + 1, self.entries.get(place)?.upgrade()?)))
    }
}
