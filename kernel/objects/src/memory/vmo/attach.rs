//! A vmo's side of its mappings: what [`Space`](crate::memory::Space) asks of it.

use abi::Error;

use super::page::Need;
use super::retired::Batch;
use super::{Blocked, Kind, MapKey, NewMapping, Retired, Vmo};
use crate::lease::Lease;
use crate::memory::machine::{Access, Cache, Frames, Machine, Tables, Touch};
use crate::refs::Ref;

/// How mapping a page went.
pub(in super::super) enum Faulted<M: Machine> {
    /// It is mapped.
    Mapped,
    /// The mapping is not what the caller thought: look at the region again.
    Changed,
    /// The handle that it was mapped through was revoked.
    Revoked,
    /// Not now.
    Blocked(Blocked<M>),
}

impl<M: Machine> Vmo<M> {
    /// Adds a mapping. Under the space's lock.
    pub(in super::super) fn attach(&self, new: &NewMapping<'_, M>) -> Result<MapKey, Error> {
        let state = &mut *self.lock();
        if new.pages.end > state.pages {
            return Err(Error::OutOfRange);
        }
        state.mappings.attach(new, &mut state.account)
    }

    /// Cuts a mapping at vmo page `page`; returns the key of the upper part. Under the space's lock.
    pub(in super::super) fn split(&self, key: MapKey, page: u64) -> Result<MapKey, Error> {
        let state = &mut *self.lock();
        state.mappings.split(key, page, &mut state.account)
    }

    /// From here on nothing more is mapped through it. Under the space's lock.
    pub(in super::super) fn kill(&self, key: MapKey) {
        self.lock().mappings.kill(key);
    }

    /// Forgets a mapping of which no core knows anything any more.
    pub(in super::super) fn detach(&self, key: MapKey) {
        let gone = {
            let state = &mut *self.lock();
            state.mappings.detach(key, &mut state.account)
        };
        // Perhaps the last reference to page tables: not under a lock.
        drop(gone);
        self.changed().notify_waiters();
    }

    pub(in super::super) fn set_access(&self, key: MapKey, access: Access) {
        self.lock().mappings.set_access(key, access);
    }

    /// Whether the handle it was mapped through was revoked.
    pub(in super::super) fn is_revoked(&self, key: MapKey) -> bool {
        let state = self.lock();
        let mapping = state.mappings.get(key);
        mapping.is_some_and(|mapping| mapping.is_revoked())
    }

    /// What the handle it was mapped through can be revoked by.
    pub(in super::super) fn lease_of(&self, key: MapKey) -> Option<Ref<Lease>> {
        self.lock().mappings.get(key)?.lease().cloned()
    }
}

impl<M: Machine> Ref<Vmo<M>> {
    /// Unmaps a piece of a mapping from vmo page `from` on; returns where to go on.
    pub(in super::super) fn unmap_step(&self, key: MapKey, from: u64) -> Option<u64> {
        self.lock().mappings.unmap_step(key, from)
    }

    /// Takes writes and execution from a piece of a mapping.
    pub(in super::super) fn read_only_step(&self, key: MapKey, from: u64) -> Option<u64> {
        self.lock().mappings.read_only_step(key, from)
    }

    /// All changes so far.
    pub(in super::super) fn unsettled(&self) -> Retired<M> {
        let upto = self.lock().mappings.changes();
        Retired::new(self, upto, Batch::empty())
    }

    /// Maps a page through a mapping, for `touch`.
    ///
    /// The region was looked up under another lock: all that is believed of it is checked here, under this one, which whoever takes the mapping
    /// away takes too.
    pub(in super::super) fn fault(&self, key: MapKey, page: u64, touch: Touch) -> Faulted<M> {
        let state = &mut *self.lock();
        let Some(mapping) = state.mappings.get(key) else {
            return Faulted::Changed;
        };
        if mapping.is_revoked() {
            return Faulted::Revoked;
        }
        if !mapping.is_alive() || !mapping.has(page) || !mapping.access.allows(touch) {
            return Faulted::Changed;
        }
        let need = match touch {
            Touch::Write => Need::Write,
            Touch::Read | Touch::Execute => Need::Read,
        };
        let frame = match self.bring(state, page, need) {
            Ok(frame) => frame,
            Err(blocked) => return Faulted::Blocked(blocked),
        };
        let Some(mapping) = state.mappings.get(key) else {
            return Faulted::Changed;
        };
        let (access, cache) = match &self.kind {
            Kind::Physical { cache, .. } => (mapping.access, *cache),
            _ if mapping.access == Access::ReadWrite && self.frames.count(frame) != 1 => {
                (Access::Read, Cache::WriteBack)
            }
            _ => (mapping.access, Cache::WriteBack),
        };
        match mapping
            .tables()
            .map(mapping.address_of(page), frame, access, cache)
        {
            Ok(()) => Faulted::Mapped,
            Err(no_memory) => Faulted::Blocked(Blocked::Failed(no_memory.into())),
        }
    }

    /// Unmaps what was mapped through handles that are revoked now; the regions stay, of no use, until they are unmapped. To be called after
    /// the revocation; when it is over, nobody reaches the vmo through such a handle. Dropped, it has done a part.
    pub async fn unmap_revoked(&self) {
        loop {
            let found = self.lock().mappings.find_revoked();
            let Some(key) = found else { return };
            let mut next = Some(0);
            while let Some(from) = next {
                next = self.unmap_step(key, from);
                M::checkpoint().await;
            }
            self.unsettled().settle().await;
            self.lock().mappings.set_swept(key);
        }
    }
}
