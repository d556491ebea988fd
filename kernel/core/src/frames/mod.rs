//! Physical memory in frames of 4 KiB: who has which.
//!
//! [`ShareCounts`] says how many hold a frame that may be shared. Two parts besides. [`FrameAllocator`] holds all free frames, behind one lock kept by its owner (`hal`). [`FrameCache`] is a core's
//! own small stack of frames, refilled and drained in batches: the usual allocation of one frame touches only that.
//!
//! The allocator is a binary buddy system (Knuth, TAOCP vol. 1 §2.5) of orders 0 (4 KiB) to 18 (1 GiB). Free blocks of
//! each order form a bitmap with summaries (`bit_tree`), so that there are no lists through the frames themselves, no
//! memory of a free frame is touched, and "the highest free block below an address" is one search of at most 12 words. Allocating and freeing
//! take at most 19 orders of such steps, whatever the amount or fragmentation of memory.
//!
//! The bitmaps are words given by the caller, about 2.04 bits per frame up to the highest address: under 5 KiB for 64 MiB, 66 KiB for
//! 1 GiB, 65 MiB (0.006 %) for 1 TiB. Setting up clears them once and then adds each region in a few dozen steps.
//!
//! A request takes from the smallest free block that does, and of those from the highest; above 4 GiB as long as there is any, so that
//! low memory is left for devices that can reach no other ([`Request::below`]). What must hold: every frame is free, or with whoever it was given to, once. Freeing what is free, or was never given to the
//! allocator, is an error and changes nothing. Any allocated frames may be freed together or piece by piece.

mod bit_tree;
mod cache;
mod shares;
#[cfg(test)]
mod shares_tests;
#[cfg(test)]
mod tests;
mod usage;

pub use cache::{CacheError, FrameCache};
pub use shares::{MOST_HOLDERS, ShareCounts, ShareError};
pub use usage::{Statistics, Usage};

use crate::boot_info::{MemoryKind, PhysRange};
use crate::fixed_list::FixedList;
use crate::memory_map::MemoryMap;
use bit_tree::BitTree;
use core::fmt;

/// Bytes of a frame.
pub const FRAME_BYTES: u64 = 4096;
/// Blocks have 2^order frames; this is the greatest order: 1 GiB.
pub const MAX_ORDER: u32 = 18;
/// Frames there can be: 16 TiB of addresses.
pub const MAX_FRAMES: u64 = 1 << 32;
/// Separate regions of memory there can be.
pub const MAX_REGIONS: usize = 320;

// The frames that devices with 32-bit addresses reach.
const DMA32_FRAMES: u64 = (1 << 32) / FRAME_BYTES;
const ORDERS: usize = MAX_ORDER as usize + 1;

/// A frame, by number: its address divided by 4096.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Frame(u64);

impl Frame {
    /// The frame with this number.
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// The frame that begins at physical `address`; `None` if none does.
    pub const fn from_address(address: u64) -> Option<Self> {
        if address.is_multiple_of(FRAME_BYTES) {
            Some(Self(address / FRAME_BYTES))
        } else {
            None
        }
    }

    /// Its number.
    pub const fn number(self) -> u64 {
        self.0
    }

    /// Its physical address.
    pub const fn address(self) -> u64 {
        self.0.wrapping_mul(FRAME_BYTES)
    }
}

/// Consecutive frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frames {
    /// The first.
    pub start: Frame,
    /// How many.
    pub count: u64,
}

impl Frames {
    /// Just `frame`.
    pub const fn one(frame: Frame) -> Self {
        Self {
            start: frame,
            count: 1,
        }
    }

    /// Their addresses.
    pub const fn range(&self) -> PhysRange {
        let start = self.start.address();
        PhysRange::new(
            start,
            start.saturating_add(self.count.saturating_mul(FRAME_BYTES)),
        )
    }

    const fn end(&self) -> u64 {
        self.start.0.saturating_add(self.count)
    }
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// How many consecutive frames, 1 to 2^18.
    pub count: u64,
    /// Alignment of the first in frames, a power of two up to 2^18.
    pub align: u64,
    /// The last must end at or below this physical address (`u64::MAX`: anywhere).
    pub below: u64,
    /// What for.
    pub usage: Usage,
}

impl Request {
    /// One frame anywhere.
    pub const fn one(usage: Usage) -> Self {
        Self {
            count: 1,
            align: 1,
            below: u64::MAX,
            usage,
        }
    }

    /// `count` consecutive frames below 4 GiB, for devices with 32-bit addresses.
    pub const fn dma32(count: u64) -> Self {
        Self {
            count,
            align: 1,
            below: 1 << 32,
            usage: Usage::Dma,
        }
    }
}

/// Why there are no frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AllocError {
    /// No run of free frames satisfies the request.
    OutOfMemory {
        /// What was asked for.
        request: Request,
        /// How many frames are free, anywhere.
        free: u64,
    },
    /// The count is 0 or above 2^18, or the alignment is no power of two up to 2^18.
    BadRequest(Request),
}

impl fmt::Display for AllocError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfMemory { request, free } => {
                let kib = FRAME_BYTES >> 10;
                write!(
                    f,
                    "out of memory: no {} KiB in one piece for {}",
                    request.count * kib,
                    request.usage
                )?;
                if request.below != u64::MAX {
                    write!(f, " below {:#x}", request.below)?;
                }
                write!(f, " ({} KiB free in all)", free * kib)
            }
            Self::BadRequest(request) => {
                write!(
                    f,
                    "cannot allocate {} frames aligned to {}: 1 to 262144 and powers of two are possible",
                    request.count, request.align
                )
            }
        }
    }
}

/// Why frames cannot be freed. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FreeError {
    /// Some are free already: they were freed twice.
    AlreadyFree(Frames),
    /// Some are not memory this allocator was given.
    Foreign(Frames),
    /// None, or more than 2^18.
    BadCount(Frames),
}

impl fmt::Display for FreeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (frames, what) = match self {
            Self::AlreadyFree(frames) => (frames, "they are (partly) free already"),
            Self::Foreign(frames) => (frames, "they are not memory this allocator was given"),
            Self::BadCount(frames) => (frames, "1 to 262144 can be freed at once"),
        };
        write!(
            f,
            "cannot free {} frames at {:#x}: {what}",
            frames.count,
            frames.start.address()
        )
    }
}

/// Why the allocator cannot be set up, or a region not be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetupError {
    /// The metadata is too small.
    MetadataTooSmall {
        /// Words needed.
        needed: usize,
        /// Words given.
        given: usize,
    },
    /// The region reaches past the frames the allocator was made for, or overlaps one added before.
    BadRegion(Frames),
    /// There are [`MAX_REGIONS`] already.
    TooManyRegions,
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MetadataTooSmall { needed, given } => {
                write!(
                    f,
                    "the frame allocator needs {needed} words of metadata and has {given}"
                )
            }
            Self::BadRegion(frames) => write!(
                f,
                "the region of {} frames at {:#x} overlaps another or is out of range; it is not used",
                frames.count,
                frames.start.address()
            ),
            Self::TooManyRegions => write!(
                f,
                "more than {MAX_REGIONS} regions of memory; the rest is not used"
            ),
        }
    }
}

/// All free frames.
pub struct FrameAllocator<'m> {
    words: &'m mut [u64],
    trees: [BitTree; ORDERS],
    frames: u64,
    // Ascending and disjoint; neighbours are joined.
    regions: FixedList<Frames, MAX_REGIONS>,
    statistics: Statistics,
}

impl<'m> FrameAllocator<'m> {
    /// How many words of metadata an allocator for addresses below `end` needs.
    pub const fn metadata_words(end: u64) -> usize {
        layout(frames_below(end)).1
    }

    /// An allocator for addresses below `end` (at most 16 TiB are used) that has no frames yet. Clears `words`.
    ///
    /// # Errors
    /// [`SetupError::MetadataTooSmall`].
    pub fn new(end: u64, words: &'m mut [u64]) -> Result<Self, SetupError> {
        let frames = frames_below(end);
        let (trees, needed) = layout(frames);
        let given = words.len();
        let words = words
            .get_mut(..needed)
            .ok_or(SetupError::MetadataTooSmall { needed, given })?;
        words.fill(0);
        let none = Frames {
            start: Frame(0),
            count: 0,
        };
        Ok(Self {
            words,
            trees,
            frames,
            regions: FixedList::new(none),
            statistics: Statistics::ZERO,
        })
    }

    /// Adds all regions of `kind` in `map`. Returns how many frames were added, and the last error if any region was left out.
    pub fn add_from(&mut self, map: &MemoryMap, kind: MemoryKind) -> (u64, Option<SetupError>) {
        let before = self.statistics.managed;
        let mut error = None;
        for region in map.regions().iter().filter(|region| region.kind == kind) {
            error = self.add_region(region.range()).err().or(error);
        }
        (self.statistics.managed - before, error)
    }

    /// Gives the allocator the whole frames of `range`, all free.
    ///
    /// # Errors
    /// [`SetupError`]; nothing is added then.
    pub fn add_region(&mut self, range: PhysRange) -> Result<(), SetupError> {
        let (first, end) = (range.start.div_ceil(FRAME_BYTES), range.end / FRAME_BYTES);
        if first >= end {
            return Ok(());
        }
        let new = Frames {
            start: Frame(first),
            count: end - first,
        };
        let index = self
            .regions
            .partition_point(|known| known.start < new.start);
        let before = index
            .checked_sub(1)
            .and_then(|index| self.regions.get(index))
            .copied();
        let after = self.regions.get(index).copied();
        let overlaps = before.is_some_and(|before| before.end() > first)
            || after.is_some_and(|after| after.start.0 < end);
        if end > self.frames || overlaps {
            return Err(SetupError::BadRegion(new));
        }
        self.regions
            .insert(index, new)
            .map_err(|_| SetupError::TooManyRegions)?;
        if after.is_some_and(|after| after.start.0 == end) {
            self.join(index);
        }
        if before.is_some_and(|before| before.end() == first) {
            self.join(index - 1);
        }
        self.insert_frames(new);
        self.statistics.managed += new.count;
        Ok(())
    }

    // Joins region `index` with the next.
    fn join(&mut self, index: usize) {
        if let Some(next) = self.regions.remove(index + 1)
            && let Some(region) = self.regions.get_mut(index)
        {
            region.count += next.count;
        }
    }

    /// Takes frames.
    ///
    /// An alignment greater than the count is found only in free blocks of that size.
    ///
    /// # Errors
    /// [`AllocError`].
    pub fn allocate(&mut self, request: Request) -> Result<Frames, AllocError> {
        let size = request.count.max(request.align);
        if request.count == 0 || !request.align.is_power_of_two() || size > 1 << MAX_ORDER {
            return Err(AllocError::BadRequest(request));
        }
        let order = size.next_power_of_two().ilog2();
        let free = self.statistics.free;
        let start = self
            .take_block(order, request)
            .ok_or(AllocError::OutOfMemory { request, free })?;
        let taken = Frames {
            start: Frame(start),
            count: request.count,
        };
        // What the block has beyond the request goes back.
        self.insert_frames(Frames {
            start: Frame(taken.end()),
            count: (1 << order) - request.count,
        });
        self.statistics.add(request.usage, request.count as i64);
        Ok(taken)
    }

    // Takes a block of `order` of which the first `request.count` frames end below the limit.
    fn take_block(&mut self, order: u32, request: Request) -> Option<u64> {
        let limit = (request.below / FRAME_BYTES).min(self.frames);
        // The highest possible start.
        let highest = limit.checked_sub(request.count)? >> order << order;
        let floors = [DMA32_FRAMES, 0];
        let (start, from) = floors
            .into_iter()
            .filter(|&floor| floor <= highest)
            .find_map(|floor| {
                (order..=MAX_ORDER).find_map(|from| {
                    let block =
                        self.trees[from as usize].last_at_or_below(self.words, highest >> from)?;
                    let start = highest.min(((block + 1) << from) - (1 << order));
                    (start >= floor).then_some((start, from))
                })
            })?;
        self.trees[from as usize].remove(self.words, start >> from);
        // Halve the block until it is of the order wanted; the halves without `start` stay free.
        for half in (order..from).rev() {
            self.trees[half as usize].insert(self.words, start >> half ^ 1);
        }
        self.statistics.free -= 1 << order;
        Some(start)
    }

    /// Gives frames back: all of an allocation or any part of it, in any grouping.
    ///
    /// # Errors
    /// [`FreeError`]; nothing is changed then.
    pub fn free(&mut self, frames: Frames, usage: Usage) -> Result<(), FreeError> {
        if frames.count == 0 || frames.count > 1 << MAX_ORDER {
            return Err(FreeError::BadCount(frames));
        }
        if !self.manages(frames) {
            return Err(FreeError::Foreign(frames));
        }
        if blocks(frames).any(|(start, order)| self.has_free(start, order)) {
            return Err(FreeError::AlreadyFree(frames));
        }
        self.insert_frames(frames);
        self.statistics.add(usage, -(frames.count as i64));
        Ok(())
    }

    /// Whether all of `frames` were given to this allocator.
    pub fn manages(&self, frames: Frames) -> bool {
        let after = self
            .regions
            .partition_point(|region| region.start <= frames.start);
        let region = after
            .checked_sub(1)
            .and_then(|index| self.regions.get(index));
        region.is_some_and(|region| frames.end() <= region.end())
    }

    /// Whether `frame` is free in the allocator (frames in a core's cache are not).
    pub fn is_free(&self, frame: Frame) -> bool {
        self.has_free(frame.0, 0)
    }

    /// The order of the largest free block; `None` if nothing is free.
    pub fn largest_free_order(&self) -> Option<u32> {
        (0..=MAX_ORDER).rev().find(|&order| {
            self.trees[order as usize]
                .last_at_or_below(self.words, u64::MAX)
                .is_some()
        })
    }

    /// Counts of frames.
    pub fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    // Whether any frame of the block of `order` at `start` is free: a block around it, or one within it.
    fn has_free(&self, start: u64, order: u32) -> bool {
        let around = (order..=MAX_ORDER)
            .any(|above| self.trees[above as usize].contains(self.words, start >> above));
        around
            || (0..order).any(|below| {
                self.trees[below as usize].any_in(self.words, start >> below, order - below)
            })
    }

    // Marks frames free that are not, joining buddies.
    fn insert_frames(&mut self, frames: Frames) {
        for (start, order) in blocks(frames) {
            let mut block = start >> order;
            let mut order = order;
            while order < MAX_ORDER && self.trees[order as usize].contains(self.words, block ^ 1) {
                self.trees[order as usize].remove(self.words, block ^ 1);
                block >>= 1;
                order += 1;
            }
            self.trees[order as usize].insert(self.words, block);
        }
        self.statistics.free += frames.count;
    }
}

const fn frames_below(end: u64) -> u64 {
    let frames = end / FRAME_BYTES;
    if frames > MAX_FRAMES {
        MAX_FRAMES
    } else {
        frames
    }
}

// The trees of all orders one after the other, and how many words they take.
const fn layout(frames: u64) -> ([BitTree; ORDERS], usize) {
    let mut trees = [BitTree::EMPTY; ORDERS];
    let mut end = 0;
    let mut order = 0;
    while order < ORDERS {
        (trees[order], end) = BitTree::place(frames >> order, end);
        order += 1;
    }
    (trees, end)
}

// The fewest aligned blocks that make up `frames`: start and order of each.
fn blocks(frames: Frames) -> impl Iterator<Item = (u64, u32)> {
    let end = frames.end();
    let mut start = frames.start.0;
    core::iter::from_fn(move || {
        let left = end.checked_sub(start).filter(|&left| left > 0)?;
        let order = start.trailing_zeros().min(left.ilog2()).min(MAX_ORDER);
        let block = (start, order);
        start += 1 << order;
        Some(block)
    })
}
