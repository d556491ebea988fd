//! Numbered things: a number is never used for another one again.

use alloc::vec::Vec;

/// The number of a thing in a [`Slab`]: its place, and how often the place was used before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    place: u32,
    generation: u32,
}

#[derive(Debug)]
struct Place<T> {
    generation: u32,
    thing: Option<T>,
}

/// Things by number.
#[derive(Debug)]
pub struct Slab<T>(Vec<Place<T>>);

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Slab<T> {
    /// Keeps a thing; it comes back if there is no memory.
    ///
    /// # Errors
    /// The thing.
    pub fn insert(&mut self, thing: T) -> Result<Key, T> {
        let free = self.0.iter().position(|place| place.thing.is_none());
        let index = match free {
            Some(index) => index,
            None => {
                if self.0.try_reserve(1).is_err() {
                    return Err(thing);
                }
                self.0.push(Place {
                    generation: 0,
                    thing: None,
                });
                self.0.len() - 1
            }
        };
        let (Some(place), Ok(number)) = (self.0.get_mut(index), u32::try_from(index)) else {
            return Err(thing);
        };
        place.thing = Some(thing);
        Ok(Key {
            place: number,
            generation: place.generation,
        })
    }

    fn place(&mut self, key: Key) -> Option<&mut Place<T>> {
        let place = self.0.get_mut(key.place as usize)?;
        (place.generation == key.generation).then_some(place)
    }

    /// The thing of this number, unless it is gone.
    pub fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        self.place(key)?.thing.as_mut()
    }

    /// Takes it out.
    pub fn remove(&mut self, key: Key) -> Option<T> {
        let place = self.place(key)?;
        let thing = place.thing.take()?;
        place.generation = place.generation.wrapping_add(1);
        Some(thing)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().filter_map(|place| place.thing.as_ref())
    }

    /// All of them, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.0.iter_mut().filter_map(|place| place.thing.as_mut())
    }

    /// The thing at a place, for tables; `None` also where there is none, and behind the last one.
    pub fn at(&self, place: u32) -> Option<&T> {
        self.0.get(place as usize)?.thing.as_ref()
    }

    /// How many places there are.
    #[must_use]
    pub fn places(&self) -> u32 {
        u32::try_from(self.0.len()).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_not_used_again() {
        let mut slab = Slab::default();
        let one = slab.insert("one").expect("memory");
        let two = slab.insert("two").expect("memory");
        assert_eq!(slab.remove(one), Some("one"));
        let three = slab.insert("three").expect("memory");
        assert_eq!(slab.remove(one), None);
        assert_eq!(slab.get_mut(one), None);
        assert_eq!(slab.get_mut(three), Some(&mut "three"));
        assert_eq!(slab.get_mut(two), Some(&mut "two"));
        assert_eq!((slab.places(), slab.at(2)), (2, None));
        assert_eq!(slab.iter().count(), 2);
    }
}
