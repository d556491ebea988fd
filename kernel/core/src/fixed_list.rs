//! A list of at most `N` `Copy` items, itself `Copy` and buildable in a `const`.
//!
//! It lives inside `BootInfo` and the parsed tables, which are written by early boot code into statics and copied as
//! plain data; `heapless::Vec` is not `Copy`, hence this one.

use core::fmt;
use core::ops::{Deref, DerefMut};

/// The list had no room; the item is handed back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full<T>(pub T);

/// A list of at most `N` items. Dereferences to a slice of those present.
#[derive(Clone, Copy)]
pub struct FixedList<T: Copy, const N: usize> {
    items: [T; N],
    len: usize,
}

impl<T: Copy, const N: usize> FixedList<T, N> {
    /// An empty list. `fill` only initialises the unused places and is never seen.
    pub const fn new(fill: T) -> Self {
        Self {
            items: [fill; N],
            len: 0,
        }
    }

    /// How many items fit.
    pub const fn capacity(&self) -> usize {
        N
    }

    /// Whether no further item fits.
    pub const fn is_full(&self) -> bool {
        self.len >= N
    }

    /// The items present.
    pub fn as_slice(&self) -> &[T] {
        self.items.get(..self.len).unwrap_or(&[])
    }

    /// The items present, writable.
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        self.items.get_mut(..self.len).unwrap_or(&mut [])
    }

    /// Appends `item`.
    ///
    /// # Errors
    /// [`Full`] with the item when `N` items are present.
    pub fn push(&mut self, item: T) -> Result<(), Full<T>> {
        match self.items.get_mut(self.len) {
            Some(place) => {
                *place = item;
                self.len += 1;
                Ok(())
            }
            None => Err(Full(item)),
        }
    }

    /// Inserts `item` before position `index` (at the end if `index` is past it), keeping the order of the others.
    ///
    /// # Errors
    /// [`Full`] with the item when `N` items are present.
    pub fn insert(&mut self, index: usize, item: T) -> Result<(), Full<T>> {
        self.push(item)?;
        if let Some(tail) = self.as_mut_slice().get_mut(index..) {
            tail.rotate_right(1);
        }
        Ok(())
    }

    /// Removes and returns the item at `index`, keeping the order of the others; `None` if there is no such item.
    pub fn remove(&mut self, index: usize) -> Option<T> {
        let item = *self.as_slice().get(index)?;
        self.items.get_mut(index..self.len)?.rotate_left(1);
        self.len -= 1;
        Some(item)
    }

    /// Keeps the first `len` items.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Removes all items.
    pub fn clear(&mut self) {
        self.len = 0;
    }
}

impl<T: Copy, const N: usize> Deref for FixedList<T, N> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        self.as_slice()
    }
}

impl<T: Copy, const N: usize> DerefMut for FixedList<T, N> {
    fn deref_mut(&mut self) -> &mut [T] {
        self.as_mut_slice()
    }
}

impl<'a, T: Copy, const N: usize> IntoIterator for &'a FixedList<T, N> {
    type Item = &'a T;
    type IntoIter = core::slice::Iter<'a, T>;
    fn into_iter(self) -> Self::IntoIter {
        self.as_slice().iter()
    }
}

impl<T: Copy + fmt::Debug, const N: usize> fmt::Debug for FixedList<T, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.as_slice()).finish()
    }
}

impl<T: Copy + PartialEq, const N: usize> PartialEq for FixedList<T, N> {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl<T: Copy + Eq, const N: usize> Eq for FixedList<T, N> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn insert_and_remove_keep_the_order() {
        let mut list: FixedList<u8, 4> = FixedList::new(0);
        for item in [1, 3] {
            list.push(item).unwrap();
        }
        list.insert(1, 2).unwrap();
        list.insert(9, 4).unwrap();
        assert_eq!(list.as_slice(), [1, 2, 3, 4]);
        assert_eq!(list.push(5), Err(Full(5)));
        assert_eq!(list.insert(0, 5), Err(Full(5)));
        assert_eq!(list.remove(0), Some(1));
        assert_eq!(list.remove(3), None);
        assert_eq!(list.as_slice(), [2, 3, 4]);
    }
}
