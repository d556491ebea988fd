//! Unmapping, and changing what is allowed.

use abi::Error;
use abi::memory::{PAGE_BYTES, USER_BASE, USER_END};

use super::{Guards, Life, Region, Space, State};
use crate::memory::machine::{Access, Machine};
use crate::memory::regions::Placed;
use crate::memory::vmo::{MapKey, Vmo};
use crate::refs::Ref;
use crate::signals::until;

/// Addresses `[start, end)`, multiples of the page size.
#[derive(Clone, Copy)]
struct Addresses {
    start: u64,
    end: u64,
}

impl Addresses {
    fn new(address: u64, len: u64) -> Result<Self, Error> {
        if !address.is_multiple_of(PAGE_BYTES) || !len.is_multiple_of(PAGE_BYTES) || len == 0 {
            return Err(Error::BadArgument);
        }
        let end = address.checked_add(len).ok_or(Error::BadAddress)?;
        if address < USER_BASE || end > USER_END {
            return Err(Error::BadAddress);
        }
        Ok(Self {
            start: address,
            end,
        })
    }
}

/// A region that is being unmapped by its holder. Given up (dropped), it keeps its addresses until somebody unmaps them again.
struct Removal<'a, M: Machine> {
    space: &'a Space<M>,
    address: u64,
    vmo: Ref<Vmo<M>>,
    key: MapKey,
    finished: bool,
}

/// What others are doing to regions that were to be unmapped.
enum Others {
    None,
    Working,
    GaveUp,
}

impl<M: Machine> Removal<'_, M> {
    async fn run(mut self) {
        let mut next = Some(0);
        while let Some(from) = next {
            next = self.vmo.unmap_step(self.key, from);
            if next.is_some() {
                M::checkpoint().await;
            }
        }
        self.vmo.unsettled().settle().await;
        M::checkpoint().await;
        self.finished = true;
        let region = {
            let state = &mut *self.space.lock();
            self.space.take_region(state, self.address, self.key)
        };
        self.space.changed.notify_waiters();
        if let Some(region) = region {
            region.vmo.detach(region.key);
            let Region { vmo, .. } = region;
            // Two references: the region's and this removal's.
            drop(vmo);
        }
        M::checkpoint().await;
        Vmo::close(&self.vmo).await;
    }
}

impl<M: Machine> Drop for Removal<'_, M> {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        // What was unmapped is shot down now, so that nobody waits for it for ever.
        drop(self.vmo.unsettled());
        {
            let state = &mut *self.space.lock();
            if let Some(region) = state.regions.at_mut(self.address)
                && region.key == self.key
            {
                region.life = Life::Dying { claimed: false };
            }
        }
        self.space.changed.notify_waiters();
    }
}

impl<M: Machine> Space<M> {
    /// Unmaps all of `[address, address + len)`, whole regions or pieces; where nothing is mapped, nothing is done. Guard pages go
    /// with the end of the region that they guard. When it is over no core reaches the pages through these addresses, and they are free.
    /// Touches fail from the beginning on. Dropped, it has done a part, and one region may be out of use but keep its addresses until unmapped again.
    ///
    /// # Errors
    /// [`Error::BadArgument`] for address or length that are no multiples of the page size, or no length; [`Error::BadAddress`] outside of the process's
    /// addresses; [`Error::NoMemory`] or [`Error::LimitReached`] if a region would have to be cut in two and there is no room to do so.
    pub async fn unmap(&self, address: u64, len: u64) -> Result<(), Error> {
        let range = Addresses::new(address, len)?;
        loop {
            let mut rest = range;
            while let Some(removal) = self.next_removal(&mut rest)? {
                removal.run().await;
                M::checkpoint().await;
            }
            // What others are unmapping there must be gone too, and what they gave up on is done here.
            let look = || match self.others_remove(range) {
                Others::Working => None,
                Others::GaveUp => Some(Ok(true)),
                Others::None => Some(Ok(false)),
            };
            if !until(&self.changed, None, look).await? {
                return Ok(());
            }
        }
    }

    fn others_remove(&self, range: Addresses) -> Others {
        let state = self.lock();
        let dying = state
            .regions
            .iter_from(range.start)
            .take_while(|region| region.start() < range.end)
            .filter(|region| region.address < range.end && region.body_end() > range.start)
            .find_map(|region| match region.life {
                Life::Live => None,
                Life::Dying { claimed } => Some(claimed),
            });
        match dying {
            None => Others::None,
            Some(true) => Others::Working,
            Some(false) => Others::GaveUp,
        }
    }

    /// The first region of the range that nobody unmaps yet, cut to it.
    fn next_removal(&self, range: &mut Addresses) -> Result<Option<Removal<'_, M>>, Error> {
        let state = &mut *self.lock();
        let found = state
            .regions
            .iter_from(range.start)
            .take_while(|region| region.start() < range.end)
            .find(|region| {
                let inside = region.address < range.end && region.body_end() > range.start;
                inside && region.life != (Life::Dying { claimed: true })
            })
            .map(|region| region.address);
        let Some(address) = found else {
            return Ok(None);
        };
        let address = self.cut(state, address, range.start)?;
        self.cut(state, address, range.end)?;
        let region = state.regions.at_mut(address).ok_or(Error::BadState)?;
        if region.life == Life::Live {
            region.vmo.kill(region.key);
            state.mapped_pages = state.mapped_pages.saturating_sub(region.pages);
        }
        region.life = Life::Dying { claimed: true };
        // What lies before was seen to.
        range.start = region.address;
        Ok(Some(Removal {
            space: self,
            address,
            vmo: region.vmo.clone(),
            key: region.key,
            finished: false,
        }))
    }

    /// Cuts the region at `address` in two at `at`, if that lies inside; returns the address of the part that begins there, or of the whole.
    fn cut(&self, state: &mut State<M>, address: u64, at: u64) -> Result<u64, Error> {
        let region = state.regions.at(address).ok_or(Error::BadState)?;
        if at <= region.address || at >= region.body_end() {
            return Ok(address);
        }
        if state.regions.len() >= super::MAX_REGIONS {
            return Err(Error::LimitReached);
        }
        state.regions.prepare(&mut state.account)?;
        let region = state.regions.at_mut(address).ok_or(Error::BadState)?;
        let page = region.page_at(at);
        let key = region.vmo.split(region.key, page)?;
        let below = (at - region.address) / PAGE_BYTES;
        let above = Region {
            address: at,
            pages: region.pages.saturating_sub(below),
            guards: Guards {
                below: false,
                above: region.guards.above,
            },
            vmo: region.vmo.clone(),
            first: page,
            key,
            access: region.access,
            limit: region.limit,
            inherit: region.inherit,
            life: region.life,
            protects: region.protects,
        };
        region.pages = below;
        region.guards.above = false;
        // Prepared for: it does not fail.
        state.regions.insert(above)?;
        Ok(at)
    }

    /// Takes the region at `address` out, if it still is the one that is meant.
    fn take_region(&self, state: &mut State<M>, address: u64, key: MapKey) -> Option<Region<M>> {
        let region = state.regions.at(address)?;
        if region.address != address || region.key != key {
            return None;
        }
        let start = region.start();
        state.regions.remove(start, &mut state.account)
    }

    /// Gives all of `[address, address + len)` another access. Each of its regions must have been mapped through a handle with the rights
    /// for it. When it is over no core can use what was allowed before only. On the way from writing to execution or back there is a time
    /// when neither is allowed. Dropped or failed, it has done a part; a region that it was at allows what both allow.
    ///
    /// # Errors
    /// [`Error::BadArgument`] as in [`unmap`](Self::unmap); [`Error::BadAddress`] if something of it is not mapped, [`Error::NoRight`]: nothing was
    /// changed then, unless the space was changed meanwhile. [`Error::NoMemory`], [`Error::LimitReached`] if a region cannot be cut.
    pub async fn protect(&self, address: u64, len: u64, access: Access) -> Result<(), Error> {
        let range = Addresses::new(address, len)?;
        let mut checked = range.start;
        while checked < range.end {
            checked = self.check_step(checked, range.end, access)?;
            if checked < range.end {
                M::checkpoint().await;
            }
        }
        let mut from = range.start;
        while from < range.end {
            let weakened = self.weaken(from, range.end, access)?;
            let mut next = weakened.changes.then_some(0);
            while let Some(page) = next {
                next = weakened.vmo.read_only_step(weakened.key, page);
                if next.is_some() {
                    M::checkpoint().await;
                }
            }
            weakened.vmo.unsettled().settle().await;
            self.strengthen(from, &weakened, access);
            from = weakened.end;
            M::checkpoint().await;
        }
        Ok(())
    }

    /// Checks that a number of regions from `from` on may have the access; returns up to where.
    fn check_step(&self, from: u64, end: u64, access: Access) -> Result<u64, Error> {
        const STEP: usize = 256;
        let state = self.lock();
        let mut checked = from;
        for region in state.regions.iter_from(from).take(STEP) {
            if checked >= end {
                break;
            }
            if region.life != Life::Live || !region.has(checked) {
                return Err(Error::BadAddress);
            }
            if !region.limit.contains(access.rights()) {
                return Err(Error::NoRight);
            }
            checked = region.body_end();
        }
        if checked == from {
            return Err(Error::BadAddress);
        }
        Ok(checked)
    }

    /// Cuts out the region at `from`; no new page of it is mapped with more than reads.
    fn weaken(&self, from: u64, end: u64, access: Access) -> Result<Weakened<M>, Error> {
        let state = &mut *self.lock();
        let region = state.regions.at(from).ok_or(Error::BadAddress)?;
        if region.life != Life::Live || !region.has(from) {
            return Err(Error::BadAddress);
        }
        if !region.limit.contains(access.rights()) {
            return Err(Error::NoRight);
        }
        let whole = region.address;
        let address = self.cut(state, whole, from)?;
        self.cut(state, address, end)?;
        let region = state.regions.at_mut(address).ok_or(Error::BadState)?;
        // Where only reads are allowed, more may be mapped still: a change may have been dropped.
        let changes = region.access != access || access == Access::Read;
        if changes {
            region.access = Access::Read;
            region.vmo.set_access(region.key, Access::Read);
            region.protects = region.protects.wrapping_add(1);
        }
        Ok(Weakened {
            vmo: region.vmo.clone(),
            key: region.key,
            end: region.body_end(),
            protects: region.protects,
            changes,
        })
    }

    /// Gives the region at `address` its access, if it still is the one that was weakened, and nobody weakened it since.
    fn strengthen(&self, address: u64, weakened: &Weakened<M>, access: Access) {
        let state = &mut *self.lock();
        if let Some(region) = state.regions.at_mut(address)
            && region.key == weakened.key
            && region.protects == weakened.protects
            && region.life == Life::Live
        {
            region.access = access;
            region.vmo.set_access(region.key, access);
        }
    }
}

/// A region that allows only reads for now.
struct Weakened<M: Machine> {
    vmo: Ref<Vmo<M>>,
    key: MapKey,
    end: u64,
    protects: u32,
    /// Something must be taken from its page tables.
    changes: bool,
}
