//! Memory objects: vmos, who brings their pages, and the regions of an address space.
//!
//! # Tour
//! * [`machine`]: what the kernel implements: [`Frames`], [`Tables`], [`Machine`].
//! * [`vmo`]: [`Vmo`], memory in pages: committed when touched, copied when written, read and written by offset.
//! * [`pager`]: [`Pager`], who brings the pages of some vmos.
//! * [`space`]: [`Space`], what lies where in a process: map, unmap, protect, fault, fork.
//! * `store` (frames of a vmo), `regions` (the map of a space), `account` (charges), `wait` (for pages).
//!
//! # Who pays
//! A vmo's job pays for each page the vmo holds, shared with a clone or not: so writing to a page that is one's own already
//! never fails for want of quota, and closing a clone never makes another job pay. What the tree of frames and the lists cost is kernel memory of
//! the same job. A space's job pays for regions; page tables are charged by the kernel's [`Tables`].
//!
//! # What must hold
//! * **A frame has one truth.** What is mapped of a vmo's page is the frame that its store has, in every mapping, or nothing.
//!   The store is changed and the page unmapped everywhere under the vmo's lock.
//! * **Nothing is freed, and no page is mapped again, before all cores have forgotten.** Changes that take something away are noted in the
//!   mapping and a [`Retired`] keeps the frames. Until it has [settled](Retired::settle) nobody maps a page of the changed
//!   range of that vmo: faults [wait](Wait). So no two cores ever see different frames for a page,
//!   and a write through a stale translation can only hit a frame that still is the page's.
//! * **A frame with several holders is mapped without writes.** Writing copies it first.
//! * **Never writable and executable:** going from one to the other passes, shootdown included, through neither.
//!
//! # Locks
//! Spin locks, never held over an await, never taken by a top half; all work under one is bounded:
//! a space's regions < a vmo (a clone < the paged vmo it takes pages from) < a pager, wait lists, page tables. A clone that is being made is
//! locked under its original: nobody else knows it yet. Wakers are called and objects dropped under none of them.
//!
//! # Steps and futures
//! Long operations are async functions that take bounded steps with [`Machine::checkpoint`] between them. They may be dropped at any await: what
//! was taken away is then shot down on the spot, and the operation is done in part, as each says.

mod account;
pub mod machine;
pub mod pager;
mod regions;
pub mod space;
mod store;
#[cfg(test)]
mod tests;
pub mod vmo;
mod wait;

pub use machine::{Access, Cache, Changed, Frame, Frames, Machine, Span, Tables, Touch};
pub use pager::Pager;
pub use space::{FaultError, Inherit, MapArgs, Outcome, Place, Space, Violation};
pub use vmo::{Blocked, Retired, Vmo};
pub use wait::Wait;

use abi::Error;
use abi::memory::PAGE_BYTES;

/// Pages that one step of a long operation deals with at most. Between steps others go first: this is how late they come.
const STEP_PAGES: u64 = 8;

/// Consecutive pages of a vmo, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct PageRange {
    start: u64,
    end: u64,
}

impl PageRange {
    const fn new(start: u64, end: u64) -> Self {
        Self { start, end }
    }

    const fn one(page: u64) -> Self {
        Self {
            start: page,
            end: page.saturating_add(1),
        }
    }

    /// The pages of `len` bytes from `offset` on, both multiples of the page size.
    fn of_bytes(offset: u64, len: u64) -> Result<Self, Error> {
        if !offset.is_multiple_of(PAGE_BYTES) || !len.is_multiple_of(PAGE_BYTES) {
            return Err(Error::BadArgument);
        }
        let end = offset.checked_add(len).ok_or(Error::OutOfRange)?;
        Ok(Self::new(offset / PAGE_BYTES, end / PAGE_BYTES))
    }

    const fn is_empty(self) -> bool {
        self.start >= self.end
    }

    const fn pages(self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    const fn contains(self, page: u64) -> bool {
        self.start <= page && page < self.end
    }

    fn intersect(self, other: Self) -> Self {
        Self::new(self.start.max(other.start), self.end.min(other.end))
    }

    /// The smallest range with both in it.
    fn hull(self, other: Self) -> Self {
        match (self.is_empty(), other.is_empty()) {
            (true, _) => other,
            (_, true) => self,
            _ => Self::new(self.start.min(other.start), self.end.max(other.end)),
        }
    }
}
