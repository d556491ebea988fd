//! Where a region goes when the caller does not say.
//!
//! Random, so that addresses cannot be guessed: a space has 2^35 pages, and where its first region lies is drawn from all of
//! them that fit. Regions of 2 MiB and more are each drawn anew. Smaller ones follow each other, with gaps of random length, in
//! runs of up to 1 GiB that are drawn anew: each region somewhere else would cost three page tables a piece (12 KiB).
//!
//! Free places are found by trying: of random places 16, then from the last one upward the first that fits, past the end
//! from the beginning; so what fits somewhere is found.

use abi::Error;
use abi::memory::{PAGE_BYTES, USER_BASE, USER_END};

use super::Region;
use crate::memory::machine::Machine;
use crate::memory::regions::{Placed, RegionMap};

/// From this many pages on, a region goes anywhere.
const LARGE_PAGES: u64 = 512;
/// Longest run of small regions, in bytes.
const RUN_BYTES: u64 = 1 << 30;
/// Longest gap between small regions, in pages, plus one: a power of two.
const GAP_PAGES: u64 = 16;
const TRIES: u64 = 16;

/// Where a region is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Exactly at this address, which must be free.
    Fixed(u64),
    /// Somewhere, drawn with this random number.
    Random(u64),
}

/// Where small regions follow each other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    next: u64,
    end: u64,
}

impl Run {
    /// None yet.
    pub(super) const NONE: Self = Self { next: 0, end: 0 };
}

/// The `n`th number of a sequence that begins with `seed`: splitmix64 (Steele, Lea & Flood, OOPSLA 2014, fig. 17).
fn mix(seed: u64, n: u64) -> u64 {
    let mut z = seed.wrapping_add(n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Whether `[start, end)` is free and the process's.
fn is_free<M: Machine>(regions: &RegionMap<Region<M>>, start: u64, end: u64) -> bool {
    USER_BASE <= start
        && start < end
        && end <= USER_END
        && regions.from(start).is_none_or(|next| next.start() >= end)
}

/// Checks that `bytes` at `address` are free.
pub(super) fn fixed<M: Machine>(
    regions: &RegionMap<Region<M>>,
    address: u64,
    bytes: u64,
) -> Result<u64, Error> {
    if !address.is_multiple_of(PAGE_BYTES) {
        return Err(Error::BadArgument);
    }
    let end = address.checked_add(bytes).ok_or(Error::BadAddress)?;
    if address < USER_BASE || end > USER_END {
        return Err(Error::BadAddress);
    }
    if !is_free(regions, address, end) {
        return Err(Error::Occupied);
    }
    Ok(address)
}

/// Finds a free place for `bytes`, not 0; its address.
pub(super) fn random<M: Machine>(
    regions: &RegionMap<Region<M>>,
    run: &mut Run,
    bytes: u64,
    random: u64,
) -> Result<u64, Error> {
    if bytes < LARGE_PAGES * PAGE_BYTES {
        if let Some(address) = in_run(regions, run, bytes, random) {
            return Ok(address);
        }
        let start = anywhere(regions, bytes, random)?;
        run.next = start + bytes;
        // Up to a boundary, so that a run's page tables have one table above them.
        run.end = (start / RUN_BYTES + 1)
            .saturating_mul(RUN_BYTES)
            .min(USER_END);
        return Ok(start);
    }
    anywhere(regions, bytes, random)
}

/// The next free place of the run.
fn in_run<M: Machine>(
    regions: &RegionMap<Region<M>>,
    run: &mut Run,
    bytes: u64,
    random: u64,
) -> Option<u64> {
    let gap = (mix(random, TRIES) % GAP_PAGES) * PAGE_BYTES;
    let mut start = run.next.checked_add(gap)?;
    for _ in 0..TRIES {
        let end = start.checked_add(bytes)?;
        if end > run.end {
            return None;
        }
        match regions.from(start).filter(|next| next.start() < end) {
            None => {
                run.next = end;
                return Some(start);
            }
            Some(taken) => start = taken.end(),
        }
    }
    None
}

fn anywhere<M: Machine>(
    regions: &RegionMap<Region<M>>,
    bytes: u64,
    random: u64,
) -> Result<u64, Error> {
    let room = (USER_END - USER_BASE)
        .checked_sub(bytes)
        .ok_or(Error::OutOfRange)?;
    let places = room / PAGE_BYTES + 1;
    let draw = |n| USER_BASE + mix(random, n) % places * PAGE_BYTES;
    for n in 0..TRIES {
        let start = draw(n);
        if is_free(regions, start, start + bytes) {
            return Ok(start);
        }
    }
    let from = draw(TRIES - 1);
    first_fit(regions, from, USER_END, bytes)
        .or_else(|| {
            first_fit(
                regions,
                USER_BASE,
                USER_END.min(from.saturating_add(bytes)),
                bytes,
            )
        })
        .ok_or(Error::NoMemory)
}

fn first_fit<M: Machine>(
    regions: &RegionMap<Region<M>>,
    from: u64,
    to: u64,
    bytes: u64,
) -> Option<u64> {
    let mut start = from;
    for region in regions.iter_from(from) {
        if region.start() >= start.checked_add(bytes)? {
            break;
        }
        start = start.max(region.end());
    }
    (start.checked_add(bytes)? <= to).then_some(start)
}
