//! Keeping translation caches honest, as logic without a CPU.
//!
//! Each core caches translations of the address spaces it has run. [`CoreSet`] says which cores have a space loaded
//! now; its generation counts the changes that cores must learn of; [`Tags`] is a core's memory of which spaces' translations its
//! TLB holds under which PCID, and as of which generation; [`Mailbox`] carries requests to a core that has the space loaded.
//!
//! The protocol, which `tests` checks against a model of TLBs under random interleavings:
//! - Who changes entries: changes them, then raises the generation, then reads the core set, then posts a request to each core
//!   in it. Once those are served no core uses the old entries: the rest find the generation raised when they next load the space.
//! - Who loads a space: enters the core set, then reads the generation, then loads; with interrupts off, so that no
//!   request is served in between.
//!
//! Each step is sequentially consistent. Either the loader sees the new generation, or the changer sees the loader.

mod cores;
mod mailbox;
mod tags;
#[cfg(test)]
mod tests;

pub use cores::{CoreSet, Cores, MAX_CORES, Member};
pub use mailbox::{Mailbox, Pending};
pub use tags::{Load, Tags};

/// Pages that are flushed one by one; more, and everything goes: refilling costs less than so many instructions that serialise.
pub const MOST_PAGES: u64 = 32;

/// What has to be flushed of a space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flush {
    /// Every translation.
    All,
    /// Those of some pages, at most [`MOST_PAGES`].
    Pages {
        /// Address of the first.
        start: u64,
        /// How many; at least one.
        count: u64,
    },
}

impl Flush {
    /// One page.
    pub const fn page(address: u64) -> Self {
        Self::range(address, address + 1)
    }

    /// The pages of `[start, end)`.
    pub const fn range(start: u64, end: u64) -> Self {
        let first = start & !0xfff;
        let count = end.saturating_sub(first).div_ceil(0x1000);
        match count {
            0 => Self::Pages {
                start: first,
                count: 1,
            },
            1..=MOST_PAGES => Self::Pages {
                start: first,
                count,
            },
            _ => Self::All,
        }
    }
}
