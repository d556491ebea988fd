//! Where a vmo is mapped, and what cores may still remember of how it was.
//!
//! `changes`: taking pages and access away, and what is owed to the cores for it.

mod changes;

use alloc::vec::Vec;

use abi::Error;
use abi::memory::PAGE_BYTES;

use super::super::account::Account;
use super::super::machine::{Access, Machine, Span};
use super::super::{PageRange, STEP_PAGES};
use crate::lease::Lease;
use crate::refs::{NoMemory, Ref};
pub(super) use changes::Owed;
use changes::Unsettled;

/// Mappings a vmo can have: changes look at all of them under its lock.
pub(in super::super) const MAX_MAPPINGS: usize = 16_384;

/// Mappings in a chunk.
const CHUNK: usize = 64;

/// Names a mapping of a vmo. The serial is never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct MapKey {
    index: u32,
    serial: u64,
}

/// Pages of the vmo in one address space.
pub(in super::super) struct Mapping<M: Machine> {
    serial: u64,
    tables: Ref<M::Tables>,
    /// Address of the first page.
    address: u64,
    pages: PageRange,
    /// What faults may map.
    pub(in super::super) access: Access,
    /// Faults may map. Once false, for ever.
    alive: bool,
    lease: Option<Ref<Lease>>,
    /// It was unmapped after its lease was revoked.
    swept: bool,
    unsettled: Option<Unsettled>,
}

impl<M: Machine> Mapping<M> {
    /// The address of a page, which it has.
    pub(in super::super) fn address_of(&self, page: u64) -> u64 {
        let bytes = page
            .saturating_sub(self.pages.start)
            .saturating_mul(PAGE_BYTES);
        self.address.saturating_add(bytes)
    }

    fn span(&self, pages: PageRange) -> Span {
        Span {
            address: self.address_of(pages.start),
            pages: pages.pages(),
        }
    }

    pub(in super::super) fn tables(&self) -> &Ref<M::Tables> {
        &self.tables
    }

    pub(in super::super) fn has(&self, page: u64) -> bool {
        self.pages.contains(page)
    }

    pub(in super::super) fn is_alive(&self) -> bool {
        self.alive
    }

    pub(super) fn lease(&self) -> Option<&Ref<Lease>> {
        self.lease.as_ref()
    }

    /// Whether the handle that it was mapped through was revoked.
    pub(in super::super) fn is_revoked(&self) -> bool {
        self.lease.as_ref().is_some_and(|lease| lease.is_revoked())
    }
}

enum Entry<M: Machine> {
    Free { next: Option<u32> },
    Used(Mapping<M>),
}

/// What to map.
pub(in super::super) struct NewMapping<'a, M: Machine> {
    pub(in super::super) tables: &'a Ref<M::Tables>,
    pub(in super::super) address: u64,
    pub(in super::super) pages: PageRange,
    pub(in super::super) access: Access,
    pub(in super::super) lease: Option<&'a Ref<Lease>>,
}

/// The mappings of a vmo.
pub(in super::super) struct Mappings<M: Machine> {
    /// In chunks, so that growing moves little; the first one grows from one entry on, as most vmos are mapped once.
    chunks: Vec<Vec<Entry<M>>>,
    free: Option<u32>,
    used: usize,
    /// Mappings with unsettled changes.
    unsettled: usize,
    serials: u64,
    changes: u64,
}

impl<M: Machine> Mappings<M> {
    pub(super) const fn new() -> Self {
        Self {
            chunks: Vec::new(),
            free: None,
            used: 0,
            unsettled: 0,
            serials: 0,
            changes: 0,
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.used
    }

    /// Pages that a step may change in all mappings: fewer, the more there are.
    pub(super) fn step_pages(&self) -> u64 {
        (4 * STEP_PAGES / (self.used as u64).max(1)).clamp(1, STEP_PAGES)
    }

    fn used_at(&self, index: u32) -> Option<(MapKey, &Mapping<M>)> {
        let chunk = self.chunks.get(index as usize / CHUNK)?;
        match chunk.get(index as usize % CHUNK)? {
            Entry::Used(mapping) => {
                let serial = mapping.serial;
                Some((MapKey { index, serial }, mapping))
            }
            Entry::Free { .. } => None,
        }
    }

    fn iter_mut(&mut self) -> impl Iterator<Item = &mut Mapping<M>> {
        let entries = self.chunks.iter_mut().flatten();
        entries.filter_map(|entry| match entry {
            Entry::Used(mapping) => Some(mapping),
            Entry::Free { .. } => None,
        })
    }

    fn iter(&self) -> impl Iterator<Item = (MapKey, &Mapping<M>)> {
        let entries = self.chunks.iter().flatten().zip(0..);
        entries.filter_map(|(entry, index)| match entry {
            Entry::Used(mapping) => {
                let serial = mapping.serial;
                Some((MapKey { index, serial }, mapping))
            }
            Entry::Free { .. } => None,
        })
    }

    fn entry_mut(&mut self, index: u32) -> Option<&mut Entry<M>> {
        self.chunks
            .get_mut(index as usize / CHUNK)?
            .get_mut(index as usize % CHUNK)
    }

    pub(in super::super) fn get(&self, key: MapKey) -> Option<&Mapping<M>> {
        let (used, mapping) = self.used_at(key.index)?;
        (used == key).then_some(mapping)
    }

    fn get_mut(&mut self, key: MapKey) -> Option<&mut Mapping<M>> {
        match self.entry_mut(key.index)? {
            Entry::Used(mapping) if mapping.serial == key.serial => Some(mapping),
            _ => None,
        }
    }

    pub(super) fn attach(
        &mut self,
        new: &NewMapping<'_, M>,
        account: &mut Account,
    ) -> Result<MapKey, Error> {
        // After the lease is revoked, its mappings are looked for under this lock: none may come later.
        if new.lease.is_some_and(|lease| lease.is_revoked()) {
            return Err(Error::Revoked);
        }
        self.put(
            Mapping {
                serial: 0,
                tables: new.tables.clone(),
                address: new.address,
                pages: new.pages,
                access: new.access,
                alive: true,
                lease: new.lease.cloned(),
                swept: false,
                unsettled: None,
            },
            account,
        )
    }

    fn put(&mut self, mut mapping: Mapping<M>, account: &mut Account) -> Result<MapKey, Error> {
        let index = match self.free {
            Some(index) => index,
            None => self.grow(account)?,
        };
        let serial = self.serials + 1;
        let unsettled = usize::from(mapping.unsettled.is_some());
        let Some(entry @ &mut Entry::Free { next }) = self.entry_mut(index) else {
            return Err(Error::BadState);
        };
        mapping.serial = serial;
        *entry = Entry::Used(mapping);
        self.free = next;
        self.serials = serial;
        self.unsettled += unsettled;
        self.used += 1;
        Ok(MapKey { index, serial })
    }

    /// Adds free entries; returns the first.
    fn grow(&mut self, account: &mut Account) -> Result<u32, Error> {
        let full = self.chunks.last().is_none_or(|chunk| chunk.len() >= CHUNK);
        let len = self.entries();
        if len >= MAX_MAPPINGS {
            return Err(Error::LimitReached);
        }
        let more = if full && len != 0 {
            CHUNK
        } else {
            len.clamp(1, CHUNK)
        };
        let bytes = (more * size_of::<Entry<M>>()) as u64;
        account.take_kernel(bytes)?;
        if self.make_room(full, more).is_err() {
            account.give_kernel(bytes);
            return Err(Error::NoMemory);
        }
        if let Some(chunk) = self.chunks.last_mut() {
            for index in len..len + more {
                let next = (index + 1 < len + more).then_some(index as u32 + 1);
                chunk.push(Entry::Free { next });
            }
        }
        self.free = Some(len as u32);
        Ok(len as u32)
    }

    fn make_room(&mut self, new_chunk: bool, more: usize) -> Result<(), NoMemory> {
        if new_chunk {
            self.chunks.try_reserve(1)?;
            let mut chunk = Vec::new();
            chunk.try_reserve_exact(more)?;
            self.chunks.push(chunk);
        } else if let Some(chunk) = self.chunks.last_mut() {
            chunk.try_reserve_exact(more)?;
        }
        Ok(())
    }

    /// Entries there are, used or not.
    fn entries(&self) -> usize {
        match self.chunks.split_last() {
            Some((last, full)) => full.len() * CHUNK + last.len(),
            None => 0,
        }
    }

    /// Cuts a mapping at `page`, which lies inside; returns the upper part's key.
    pub(super) fn split(
        &mut self,
        key: MapKey,
        page: u64,
        account: &mut Account,
    ) -> Result<MapKey, Error> {
        let mapping = self.get(key).ok_or(Error::BadState)?;
        if page <= mapping.pages.start || page >= mapping.pages.end {
            return Err(Error::OutOfRange);
        }
        let above = PageRange::new(page, mapping.pages.end);
        let upper = Mapping {
            serial: 0,
            tables: mapping.tables.clone(),
            address: mapping.address_of(page),
            pages: above,
            access: mapping.access,
            alive: mapping.alive,
            lease: mapping.lease.clone(),
            swept: mapping.swept,
            unsettled: mapping.unsettled.and_then(|changes| changes.within(above)),
        };
        let upper = self.put(upper, account)?;
        if let Some(mapping) = self.get_mut(key) {
            mapping.pages.end = page;
            if let Some(changes) = mapping.unsettled {
                mapping.unsettled = changes.within(mapping.pages);
                self.unsettled -= usize::from(self.get(key).is_some_and(|m| m.unsettled.is_none()));
            }
        }
        Ok(upper)
    }

    /// Makes faults stop mapping through it.
    pub(super) fn kill(&mut self, key: MapKey) {
        if let Some(mapping) = self.get_mut(key) {
            mapping.alive = false;
        }
    }

    /// Forgets a mapping. Its tables hold nothing of it any more, or are never used again. What it held is returned, to be dropped under no lock.
    pub(super) fn detach(
        &mut self,
        key: MapKey,
        account: &mut Account,
    ) -> Option<impl Sized + use<M>> {
        self.get(key)?;
        let free = Entry::Free { next: self.free };
        let entry = self.entry_mut(key.index)?;
        let Entry::Used(mapping) = core::mem::replace(entry, free) else {
            return None;
        };
        self.free = Some(key.index);
        self.used -= 1;
        self.unsettled -= usize::from(mapping.unsettled.is_some());
        if self.used == 0 {
            account.give_kernel((self.entries() * size_of::<Entry<M>>()) as u64);
            self.chunks = Vec::new();
            self.free = None;
        }
        Some(mapping)
    }

    pub(super) fn set_access(&mut self, key: MapKey, access: Access) {
        if let Some(mapping) = self.get_mut(key) {
            mapping.access = access;
        }
    }

    /// What was mapped through it before its lease was revoked is unmapped.
    pub(super) fn set_swept(&mut self, key: MapKey) {
        if let Some(mapping) = self.get_mut(key) {
            mapping.swept = true;
        }
    }

    /// A mapping whose lease is revoked and that was not unmapped since.
    pub(super) fn find_revoked(&self) -> Option<MapKey> {
        self.iter()
            .find(|(_, mapping)| !mapping.swept && mapping.is_revoked())
            .map(|(key, _)| key)
    }
}
