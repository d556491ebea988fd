//! A copy-on-write copy of a space.
//!
//! The rule: a region mapped with [`Inherit::Copy`], as all are unless it was asked for otherwise, becomes a mapping of a copy of
//! its vmo; what several regions of the space map of one vmo, they map of one copy, so that they still are the same memory as each other.
//! A region mapped with [`Inherit::Share`], or of a device's memory, becomes another mapping of the same vmo. Copies are charged to the
//! child's job, page by page. Only what is mapped is copied.

use alloc::vec::Vec;

use abi::memory::PAGE_BYTES;
use abi::{Error, Rights};

use super::{Guards, Inherit, Life, MapArgs, Place, Space};
use crate::job::{Charge, Job};
use crate::lease::Lease;
use crate::memory::PageRange;
use crate::memory::machine::{Access, Machine};
use crate::memory::regions::Placed;
use crate::memory::vmo::Vmo;
use crate::refs::{NoMemory, Ref};

/// A region as the child gets it.
struct Inherited<M: Machine> {
    address: u64,
    pages: PageRange,
    vmo: Ref<Vmo<M>>,
    access: Access,
    limit: Rights,
    inherit: Inherit,
    guards: Guards,
    lease: Option<Ref<Lease>>,
}

/// The copies made so far, in order of their originals' numbers.
struct Copies<'a, M: Machine> {
    job: &'a Ref<Job>,
    list: Vec<(u64, Ref<Vmo<M>>)>,
    charge: Charge,
}

impl<M: Machine> Copies<'_, M> {
    /// The copy of a vmo, still without pages when it is new.
    fn of(&mut self, vmo: &Ref<Vmo<M>>) -> Result<Ref<Vmo<M>>, Error> {
        match self.list.binary_search_by_key(&vmo.id(), |&(id, _)| id) {
            Ok(index) => Ok(self.list.get(index).ok_or(Error::BadState)?.1.clone()),
            Err(index) => {
                self.charge.grow(size_of::<(u64, Ref<Vmo<M>>)>() as u64)?;
                self.list.try_reserve(1).map_err(NoMemory::from)?;
                let copy = vmo.empty_copy(self.job, PageRange::new(0, vmo.pages()))?;
                self.list.insert(index, (vmo.id(), copy.clone()));
                Ok(copy)
            }
        }
    }
}

impl<M: Machine> Space<M> {
    /// Makes `child`, an empty space that nobody uses yet, a copy of this one, as each page was at some moment of the call. Threads that run in
    /// this one meanwhile may wait for a step when they write. Failed or dropped, the child has a part, and is to be ended.
    ///
    /// # Errors
    /// [`Error::NoMemory`], [`Error::LimitReached`]; [`Error::Occupied`] if the child is not empty.
    pub async fn fork_into(&self, child: &Self, job: &Ref<Job>) -> Result<(), Error> {
        let mut copies = Copies {
            job,
            list: Vec::new(),
            charge: job.charge_kernel(0)?,
        };
        let mut from = 0;
        while let Some(region) = self.next_inherited(&mut from) {
            M::checkpoint().await;
            let Some(region) = region else { continue };
            let vmo = if region.inherit == Inherit::Share || region.vmo.is_physical() {
                region.vmo
            } else {
                let copy = copies.of(&region.vmo)?;
                let pages = region.pages;
                region.vmo.share_into(&copy, pages, pages.start).await?;
                copy
            };
            let args = MapArgs {
                vmo: &vmo,
                offset: region.pages.start.saturating_mul(PAGE_BYTES),
                len: region.pages.pages().saturating_mul(PAGE_BYTES),
                place: Place::Fixed(region.address),
                access: region.access,
                rights: region.limit,
                guarded: false,
                lease: region.lease.as_ref(),
                inherit: region.inherit,
            };
            match child.map_guarded(&args, region.guards) {
                // Its handle was revoked just now: the child has nothing there.
                Err(Error::Revoked) => {}
                result => result.map(drop)?,
            }
        }
        Ok(())
    }

    /// The next region from `from` on, which is moved behind it; inner `None` for one that is not inherited.
    fn next_inherited(&self, from: &mut u64) -> Option<Option<Inherited<M>>> {
        let state = self.lock();
        let region = state.regions.from(*from)?;
        // One that was mapped meanwhile over what is done begins after that.
        let address = region.address.max(*from);
        let guards = Guards {
            below: region.guards.below && address == region.address && region.start() >= *from,
            above: region.guards.above,
        };
        *from = region.end();
        if address >= region.body_end() {
            return Some(None);
        }
        if region.life != Life::Live || region.vmo.is_revoked(region.key) {
            return Some(None);
        }
        // Beyond the end of a vmo that was cut there is nothing to inherit.
        let end = region.first.saturating_add(region.pages);
        let pages = PageRange::new(region.page_at(address), end.min(region.vmo.pages()));
        if pages.is_empty() {
            return Some(None);
        }
        let shared = region.inherit == Inherit::Share || region.vmo.is_physical();
        Some(Some(Inherited {
            address,
            pages,
            vmo: region.vmo.clone(),
            access: region.access,
            limit: region.limit,
            inherit: region.inherit,
            guards,
            // A copy is the child's own: it cannot be taken back.
            lease: shared.then(|| region.vmo.lease_of(region.key)).flatten(),
        }))
    }
}
