//! The regions of an address space: what lies where, and what happens when it is touched.
//!
//! A region maps consecutive pages of a vmo. Its pages come into the page tables one by one, when they are touched ([`Space::fault`]) or
//! in advance ([`Space::populate`]).
//!
//! * `place`: where a region goes. `map`: putting it there. `change`: unmap and protect. `fork`: a copy of it all. `bytes`: reading and writing by
//!   address.
//!
//! A fault looks the region up under the space's lock and maps the page under the vmo's, where it finds its mapping
//! again by a key that is never used twice; an unmapping ends the mapping under both. So no page comes into a region that is gone.
//! A region's addresses are free for others only when its unmapping has settled.

mod bytes;
mod change;
mod fork;
mod map;
mod place;
#[cfg(test)]
mod tests;

pub use map::{Inherit, MapArgs};
pub use place::Place;

use abi::memory::PAGE_BYTES;
use abi::{Error, Rights};
use executor::sync::Notify;
use spin::{Mutex, MutexGuard};

use super::account::Account;
use super::machine::{Access, Machine, Tables, Touch};
use super::regions::{Placed, RegionMap};
use super::vmo::{Blocked, Faulted, MapKey, Vmo};
use crate::job::Job;
use crate::refs::Ref;
use place::Run;

/// Regions that a space can have.
pub const MAX_REGIONS: usize = 65_536;

/// Whether an unmapped page beside a region stays free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Guards {
    below: bool,
    above: bool,
}

/// How far the end of a region is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    /// It is used.
    Live,
    /// It is being unmapped, by somebody or (`claimed` false) by nobody any more.
    Dying { claimed: bool },
}

/// Consecutive pages of a vmo at consecutive addresses.
struct Region<M: Machine> {
    /// Address of the first page, a multiple of the page size.
    address: u64,
    pages: u64,
    guards: Guards,
    vmo: Ref<Vmo<M>>,
    /// The vmo's page that is the first.
    first: u64,
    key: MapKey,
    access: Access,
    /// What access it may be given.
    limit: Rights,
    inherit: Inherit,
    life: Life,
    /// Changes of access begun.
    protects: u32,
}

impl<M: Machine> Region<M> {
    const fn body_end(&self) -> u64 {
        self.address
            .saturating_add(self.pages.saturating_mul(PAGE_BYTES))
    }

    const fn has(&self, address: u64) -> bool {
        self.address <= address && address < self.body_end()
    }

    /// The vmo's page at `address`, which it has.
    const fn page_at(&self, address: u64) -> u64 {
        self.first
            .saturating_add(address.saturating_sub(self.address) / PAGE_BYTES)
    }
}

impl<M: Machine> Placed for Region<M> {
    fn start(&self) -> u64 {
        self.address
            .saturating_sub(if self.guards.below { PAGE_BYTES } else { 0 })
    }

    fn end(&self) -> u64 {
        self.body_end()
            .saturating_add(if self.guards.above { PAGE_BYTES } else { 0 })
    }
}

struct State<M: Machine> {
    regions: RegionMap<Region<M>>,
    account: Account,
    mapped_pages: u64,
    /// Where the next small region goes.
    run: Run,
    /// A vmo whose last mapping was taken away, and its pages are being freed.
    closing: Option<Ref<Vmo<M>>>,
    /// Nothing can be mapped any more.
    closed: bool,
}

/// The address space of a process.
pub struct Space<M: Machine> {
    tables: Ref<M::Tables>,
    job: Ref<Job>,
    /// A removal is over.
    changed: Notify,
    state: Mutex<State<M>>,
}

/// Why a touch is not allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// Nothing is mapped there.
    Unmapped,
    /// What is mapped there does not allow that access.
    Access,
    /// The vmo was cut: it has no such page any more.
    OutOfRange,
    /// The handle it was mapped through was revoked.
    Revoked,
    /// The pager did not bring the page.
    PagerFailed,
}

impl From<Violation> for Error {
    fn from(violation: Violation) -> Self {
        match violation {
            Violation::Unmapped | Violation::Access | Violation::OutOfRange => Self::BadAddress,
            Violation::Revoked => Self::Revoked,
            Violation::PagerFailed => Self::PagerFailed,
        }
    }
}

/// What a touch led to.
#[must_use]
pub enum Outcome<M: Machine> {
    /// The page is mapped for it: go on.
    Mapped,
    /// Not yet, or there is no memory: [`Blocked::resolve`] it, then touch again.
    Blocked(Blocked<M>),
    /// Never.
    Violation(Violation),
}

/// Why [`Space::fault_in`] did not map the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultError {
    /// The touch is not allowed.
    Violation(Violation),
    /// There is no memory for the page or for page tables.
    NoMemory,
}

impl From<FaultError> for Error {
    fn from(error: FaultError) -> Self {
        match error {
            FaultError::Violation(violation) => violation.into(),
            FaultError::NoMemory => Self::NoMemory,
        }
    }
}

/// What lies at an address.
struct Found<M: Machine> {
    vmo: Ref<Vmo<M>>,
    key: MapKey,
    page: u64,
    access: Access,
}

impl<M: Machine> Space<M> {
    /// An empty space over empty page tables. Its regions are charged to `job`.
    ///
    /// # Errors
    /// [`Error::NoMemory`].
    pub fn new(tables: Ref<M::Tables>, job: &Ref<Job>) -> Result<Self, Error> {
        Ok(Self {
            tables,
            job: job.clone(),
            changed: Notify::new(),
            state: Mutex::new(State {
                regions: RegionMap::new(),
                account: Account::new(job)?,
                mapped_pages: 0,
                run: Run::NONE,
                closing: None,
                closed: false,
            }),
        })
    }

    /// Its page tables.
    pub fn tables(&self) -> &Ref<M::Tables> {
        &self.tables
    }

    /// Who pays.
    pub fn job(&self) -> &Ref<Job> {
        &self.job
    }

    /// Bytes of regions.
    #[must_use]
    pub fn mapped_bytes(&self) -> u64 {
        self.lock().mapped_pages.saturating_mul(PAGE_BYTES)
    }

    /// Bytes of pages in the page tables now.
    #[must_use]
    pub fn resident_bytes(&self) -> u64 {
        self.tables.mapped_pages().saturating_mul(PAGE_BYTES)
    }

    /// How many regions there are.
    #[must_use]
    pub fn regions(&self) -> usize {
        self.lock().regions.len()
    }

    fn lock(&self) -> MutexGuard<'_, State<M>> {
        self.state.lock()
    }

    fn find(&self, address: u64) -> Option<Found<M>> {
        let state = self.lock();
        let region = state.regions.at(address)?;
        if region.life != Life::Live || !region.has(address) {
            return None;
        }
        Some(Found {
            vmo: region.vmo.clone(),
            key: region.key,
            page: region.page_at(address),
            access: region.access,
        })
    }

    /// The vmo at `address` and the byte offset in it: what tells a place in memory apart wherever it is mapped.
    ///
    /// # Errors
    /// [`Error::BadAddress`] where nothing is mapped.
    pub fn lookup(&self, address: u64) -> Result<(u64, u64), Error> {
        let found = self.find(address).ok_or(Error::BadAddress)?;
        let offset = found
            .page
            .saturating_mul(PAGE_BYTES)
            .saturating_add(address % PAGE_BYTES);
        Ok((found.vmo.id(), offset))
    }

    /// Maps the page at `address` for `touch`: what a page fault does. Never sleeps.
    pub fn fault(&self, address: u64, touch: Touch) -> Outcome<M> {
        loop {
            let Some(found) = self.find(address) else {
                return Outcome::Violation(Violation::Unmapped);
            };
            if !found.access.allows(touch) {
                return Outcome::Violation(Violation::Access);
            }
            return match found.vmo.fault(found.key, found.page, touch) {
                Faulted::Mapped => Outcome::Mapped,
                // Somebody changed the region in between, so he has come further; look at what it is now.
                Faulted::Changed => continue,
                Faulted::Revoked => Outcome::Violation(Violation::Revoked),
                Faulted::Blocked(Blocked::Failed(Error::OutOfRange)) => {
                    Outcome::Violation(Violation::OutOfRange)
                }
                Faulted::Blocked(Blocked::Failed(Error::PagerFailed)) => {
                    Outcome::Violation(Violation::PagerFailed)
                }
                Faulted::Blocked(blocked) => Outcome::Blocked(blocked),
            };
        }
    }

    /// The same, until it is mapped. May be dropped.
    ///
    /// # Errors
    /// [`FaultError`].
    pub async fn fault_in(&self, address: u64, touch: Touch) -> Result<(), FaultError> {
        loop {
            let resolved = match self.fault(address, touch) {
                Outcome::Mapped => return Ok(()),
                Outcome::Violation(violation) => return Err(FaultError::Violation(violation)),
                Outcome::Blocked(blocked) => blocked.resolve(),
            };
            resolved.await.map_err(|_| FaultError::NoMemory)?;
        }
    }

    /// Maps all pages of `[address, address + len)` in advance: for the most access their regions allow. Dropped or failed, it has done a part.
    ///
    /// # Errors
    /// [`Error::BadAddress`] where nothing is mapped, and those of [`fault_in`](Self::fault_in).
    pub async fn populate(&self, address: u64, len: u64) -> Result<(), Error> {
        let end = address.checked_add(len).ok_or(Error::BadAddress)?;
        let mut page = address / PAGE_BYTES * PAGE_BYTES;
        let mut done = 0u32;
        while page < end {
            let access = self.find(page).ok_or(Error::BadAddress)?.access;
            let touch = match access {
                Access::Read => Touch::Read,
                Access::ReadWrite => Touch::Write,
                Access::ReadExecute => Touch::Execute,
            };
            match self.fault_in(page, touch).await {
                // The access changed in between: with the next look it is known.
                Err(FaultError::Violation(Violation::Access)) => continue,
                result => result?,
            }
            page = page.saturating_add(PAGE_BYTES);
            done = done.wrapping_add(1);
            if done.is_multiple_of(32) {
                M::checkpoint().await;
            }
        }
        Ok(())
    }

    /// Ends a space of which no core has the page tables any more nor ever will again, in steps; true once nothing is left. From
    /// the first step on nothing can be mapped. For one caller at a time.
    pub fn teardown_step(&self) -> bool {
        const REGIONS: usize = 16;
        let closing = self.lock().closing.take();
        if let Some(vmo) = closing
            && !Vmo::close_step(&vmo)
        {
            self.lock().closing = Some(vmo);
            return false;
        }
        for _ in 0..REGIONS {
            let region = {
                let state = &mut *self.lock();
                state.closed = true;
                let Some(start) = state.regions.from(0).map(Placed::start) else {
                    state.regions.trim(&mut state.account);
                    return true;
                };
                let region = state.regions.remove(start, &mut state.account);
                if let Some(region) = &region
                    && region.life == Life::Live
                {
                    state.mapped_pages = state.mapped_pages.saturating_sub(region.pages);
                }
                region
            };
            // Under no lock: this may drop page tables or a vmo.
            let Some(Region { vmo, key, .. }) = region else {
                continue;
            };
            vmo.detach(key);
            if !Vmo::close_step(&vmo) {
                self.lock().closing = Some(vmo);
                return false;
            }
        }
        false
    }
}

impl<M: Machine> Drop for Space<M> {
    fn drop(&mut self) {
        while !self.teardown_step() {}
    }
}
