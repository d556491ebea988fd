//! Regions in order of their addresses: two levels of sorted vectors, a B+ tree of height two.
//!
//! A chunk holds at most [`CHUNK`] regions, so that putting one in moves a few KiB however many there are; the list of chunks
//! is one vector with a pointer per chunk. Looking up is two binary searches. All memory is charged and may fail to come;
//! [`RegionMap::prepare`] gets it in advance, so that a change of several steps cannot stop in the middle.

use alloc::vec::Vec;

use abi::Error;

use super::account::Account;
use crate::refs::NoMemory;

/// Regions in a chunk.
const CHUNK: usize = 32;
/// Chunks that one prepared change can need: two insertions, each splitting one.
const SPARE: usize = 2;

/// Something that takes up addresses `[start, end)`.
pub(super) trait Placed {
    /// First address.
    fn start(&self) -> u64;
    /// Address after the last; above `start`.
    fn end(&self) -> u64;
}

/// Things in order of their addresses, which do not overlap.
pub(super) struct RegionMap<T> {
    /// Sorted; none is empty.
    chunks: Vec<Vec<T>>,
    /// Empty ones with their memory, for what was prepared.
    spare: Vec<Vec<T>>,
    len: usize,
}

impl<T: Placed> RegionMap<T> {
    pub(super) const fn new() -> Self {
        Self {
            chunks: Vec::new(),
            spare: Vec::new(),
            len: 0,
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// Gets the memory for two insertions.
    pub(super) fn prepare(&mut self, account: &mut Account) -> Result<(), Error> {
        self.chunks.try_reserve(SPARE).map_err(|_| NoMemory)?;
        self.spare.try_reserve(SPARE).map_err(|_| NoMemory)?;
        while self.spare.len() < SPARE {
            account.take_kernel(Self::chunk_bytes())?;
            let mut chunk = Vec::new();
            if chunk.try_reserve_exact(CHUNK).is_err() {
                account.give_kernel(Self::chunk_bytes());
                return Err(Error::NoMemory);
            }
            self.spare.push(chunk);
        }
        Ok(())
    }

    /// What a chunk costs, its place in the list included.
    const fn chunk_bytes() -> u64 {
        (CHUNK * size_of::<T>() + 2 * size_of::<Vec<T>>()) as u64
    }

    /// Gives back what was prepared and not used.
    pub(super) fn trim(&mut self, account: &mut Account) {
        while self.spare.pop().is_some() {
            account.give_kernel(Self::chunk_bytes());
        }
    }

    /// Puts `item` in, which overlaps none. After [`prepare`](Self::prepare) two of these cannot fail.
    pub(super) fn insert(&mut self, item: T) -> Result<(), Error> {
        let at = self.chunk_of(item.start());
        let Some(chunk) = self.chunks.get_mut(at) else {
            let mut chunk = self.take_spare()?;
            chunk.push(item);
            self.chunks.push(chunk);
            self.len += 1;
            return Ok(());
        };
        let index = chunk.partition_point(|other| other.start() < item.start());
        if chunk.len() < CHUNK {
            chunk.insert(index, item);
            self.len += 1;
            return Ok(());
        }
        // Full. What is added at an end starts a chunk (regions often come in order); else the chunk is halved.
        let keep = if index == CHUNK { CHUNK } else { CHUNK / 2 };
        let mut upper = self.take_spare()?;
        let Some(chunk) = self.chunks.get_mut(at) else {
            return Err(Error::NoMemory);
        };
        upper.extend(chunk.drain(keep..));
        if index < keep || (index == keep && keep < CHUNK) {
            chunk.insert(index, item);
        } else {
            upper.insert(index - keep, item);
        }
        self.chunks.insert(at + 1, upper);
        self.len += 1;
        Ok(())
    }

    fn take_spare(&mut self) -> Result<Vec<T>, Error> {
        if self.chunks.len() == self.chunks.capacity() {
            return Err(Error::NoMemory);
        }
        self.spare.pop().ok_or(Error::NoMemory)
    }

    /// Takes out what starts at `start`.
    pub(super) fn remove(&mut self, start: u64, account: &mut Account) -> Option<T> {
        let (at, index) = self.position(start)?;
        let chunk = self.chunks.get_mut(at)?;
        if chunk.get(index)?.start() != start {
            return None;
        }
        let item = chunk.remove(index);
        self.len -= 1;
        if chunk.is_empty() {
            let chunk = self.chunks.remove(at);
            if self.spare.len() < self.spare.capacity().min(SPARE) {
                self.spare.push(chunk);
            } else {
                account.give_kernel(Self::chunk_bytes());
            }
        }
        Some(item)
    }

    /// What lies at `address`.
    pub(super) fn at(&self, address: u64) -> Option<&T> {
        let (at, index) = self.position(address)?;
        let item = self.chunks.get(at)?.get(index)?;
        (item.end() > address).then_some(item)
    }

    /// What lies at `address`, to be changed; its place must stay in order.
    pub(super) fn at_mut(&mut self, address: u64) -> Option<&mut T> {
        let (at, index) = self.position(address)?;
        let item = self.chunks.get_mut(at)?.get_mut(index)?;
        (item.end() > address).then_some(item)
    }

    /// The first that ends after `address`.
    pub(super) fn from(&self, address: u64) -> Option<&T> {
        self.iter_from(address).next()
    }

    /// All from the first on that ends after `address`.
    pub(super) fn iter_from(&self, address: u64) -> impl Iterator<Item = &T> {
        let (at, index) = match self.position(address) {
            Some((at, index)) => (at, index),
            None => (0, 0),
        };
        self.chunks
            .get(at..)
            .unwrap_or_default()
            .iter()
            .enumerate()
            .flat_map(move |(offset, chunk)| {
                let skip = if offset == 0 { index } else { 0 };
                chunk.iter().skip(skip)
            })
            .skip_while(move |item| item.end() <= address)
    }

    /// The last that starts at or before `address`.
    fn position(&self, address: u64) -> Option<(usize, usize)> {
        let chunks = self
            .chunks
            .partition_point(|chunk| chunk.first().is_some_and(|item| item.start() <= address));
        let at = chunks.checked_sub(1)?;
        let index = self
            .chunks
            .get(at)?
            .partition_point(|item| item.start() <= address);
        Some((at, index.checked_sub(1)?))
    }

    /// The chunk that something starting at `start` belongs into; past the end if there is none.
    fn chunk_of(&self, start: u64) -> usize {
        self.chunks
            .partition_point(|chunk| chunk.first().is_some_and(|item| item.start() <= start))
            .saturating_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;
    use proptest::prelude::*;

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Item(u64);

    impl Placed for Item {
        fn start(&self) -> u64 {
            self.0 * 10
        }
        fn end(&self) -> u64 {
            self.0 * 10 + 5
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn is_a_sorted_map(changes in prop::collection::vec((0u64..200, any::<bool>()), 0..400)) {
            let mut account = Account::unlimited();
            let mut map = RegionMap::new();
            let mut model = BTreeMap::new();
            for (key, insert) in changes {
                if insert && !model.contains_key(&key) {
                    map.prepare(&mut account).unwrap();
                    map.insert(Item(key)).unwrap();
                    model.insert(key, Item(key));
                } else if !insert {
                    prop_assert_eq!(map.remove(key * 10, &mut account), model.remove(&key));
                }
                prop_assert_eq!(map.len(), model.len());
            }
            prop_assert!(map.iter_from(0).eq(model.values()));
            for address in 0..2010 {
                let at = model.values().find(|item| item.start() <= address && address < item.end());
                prop_assert_eq!(map.at(address), at);
                let from = model.values().find(|item| item.end() > address);
                prop_assert_eq!(map.from(address), from);
            }
            for key in model.into_keys() {
                map.remove(key * 10, &mut account).unwrap();
            }
            map.trim(&mut account);
            prop_assert_eq!(account.kernel_bytes(), 0);
        }
    }

    #[test]
    fn thousands_in_order_fill_their_chunks() {
        let mut account = Account::unlimited();
        let mut map = RegionMap::new();
        for key in 0..10_000 {
            map.prepare(&mut account).unwrap();
            map.insert(Item(key)).unwrap();
        }
        assert!(map.chunks.len() <= 10_000 / CHUNK + 1);
        assert_eq!(map.at(77_773), Some(&Item(7777)));
    }
}
