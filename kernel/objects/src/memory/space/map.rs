//! Putting a region into a space.

use abi::memory::PAGE_BYTES;
use abi::{Error, Rights};

use super::place::{self, Place};
use super::{Guards, Life, MAX_REGIONS, Region, Space};
use crate::lease::Lease;
use crate::memory::PageRange;
use crate::memory::machine::{Access, Machine};
use crate::memory::vmo::{NewMapping, Vmo};
use crate::refs::Ref;

/// What a fork makes of a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inherit {
    /// A copy, made when one of the two is written. (A device's memory is shared all the same.)
    Copy,
    /// The same memory.
    Share,
}

/// What to map, where and how.
pub struct MapArgs<'a, M: Machine> {
    /// The vmo.
    pub vmo: &'a Ref<Vmo<M>>,
    /// First byte of it, a multiple of the page size.
    pub offset: u64,
    /// Bytes, a multiple of the page size, not 0.
    pub len: u64,
    /// Where to.
    pub place: Place,
    /// What is allowed at first.
    pub access: Access,
    /// Of the handle it is mapped through: what may ever be allowed.
    pub rights: Rights,
    /// Whether an unmapped page stays free below and above.
    pub guarded: bool,
    /// What the handle can be revoked by.
    pub lease: Option<&'a Ref<Lease>>,
    /// What a fork makes of it.
    pub inherit: Inherit,
}

impl<M: Machine> Space<M> {
    /// Maps a range of a vmo; returns its address. Nothing is committed: see [`populate`](Self::populate).
    ///
    /// # Errors
    /// [`Error::NoRight`] if the handle lacks [`Rights::MAP`], [`Rights::READ`] or what the access needs; [`Error::BadArgument`] if offset, length or
    /// address are no multiples of the page size, or the length is 0; [`Error::OutOfRange`] if the vmo does not have the range;
    /// [`Error::BadAddress`] for a fixed address outside of the process's, [`Error::Occupied`] if something is there;
    /// [`Error::Revoked`]; [`Error::LimitReached`] for too many regions, or mappings of the vmo; [`Error::Dying`] if the space is ending;
    /// [`Error::NoMemory`], also if there is no free place for it.
    pub fn map(&self, args: &MapArgs<'_, M>) -> Result<u64, Error> {
        let guards = Guards {
            below: args.guarded,
            above: args.guarded,
        };
        self.map_guarded(args, guards)
    }

    /// The same with each guard by itself, whatever the arguments say of them.
    pub(super) fn map_guarded(&self, args: &MapArgs<'_, M>, guards: Guards) -> Result<u64, Error> {
        let limit = args.vmo.limit(args.rights);
        if !limit.contains(Rights::MAP.union(args.access.rights())) {
            return Err(Error::NoRight);
        }
        let pages = PageRange::of_bytes(args.offset, args.len)?;
        if pages.is_empty() {
            return Err(Error::BadArgument);
        }
        let below_bytes = u64::from(guards.below) * PAGE_BYTES;
        let above_bytes = u64::from(guards.above) * PAGE_BYTES;
        let taken_bytes = args
            .len
            .checked_add(below_bytes + above_bytes)
            .ok_or(Error::OutOfRange)?;

        let state = &mut *self.lock();
        if state.closed {
            return Err(Error::Dying);
        }
        if state.regions.len() >= MAX_REGIONS {
            return Err(Error::LimitReached);
        }
        let start = match args.place {
            Place::Fixed(address) => {
                let start = address.checked_sub(below_bytes).ok_or(Error::BadAddress)?;
                place::fixed(&state.regions, start, taken_bytes)?
            }
            Place::Random(random) => {
                place::random(&state.regions, &mut state.run, taken_bytes, random)?
            }
        };
        let address = start.checked_add(below_bytes).ok_or(Error::BadAddress)?;
        state.regions.prepare(&mut state.account)?;
        let key = args.vmo.attach(&NewMapping {
            tables: &self.tables,
            address,
            pages,
            access: args.access,
            lease: args.lease,
        })?;
        // Prepared for: it does not fail.
        state.regions.insert(Region {
            address,
            pages: pages.pages(),
            guards,
            vmo: args.vmo.clone(),
            first: pages.start,
            key,
            access: args.access,
            limit,
            inherit: args.inherit,
            life: Life::Live,
            protects: 0,
        })?;
        state.mapped_pages = state.mapped_pages.saturating_add(pages.pages());
        Ok(address)
    }

    /// A free place for `bytes` (rounded up to pages), where several regions are then to be mapped [fixed](Place::Fixed): the
    /// segments of a program. It is not kept: who maps into the space meanwhile may get it.
    ///
    /// # Errors
    /// [`Error::BadArgument`] for no bytes, [`Error::OutOfRange`] for more than a space has, [`Error::NoMemory`] if nothing is free.
    pub fn find_place(&self, bytes: u64, random: u64) -> Result<u64, Error> {
        let bytes = bytes
            .checked_next_multiple_of(PAGE_BYTES)
            .ok_or(Error::OutOfRange)?;
        if bytes == 0 {
            return Err(Error::BadArgument);
        }
        let state = &mut *self.lock();
        place::random(&state.regions, &mut state.run, bytes, random)
    }
}
