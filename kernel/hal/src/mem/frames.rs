//! Physical memory in frames of 4 KiB: the one allocator of `kerncore::frames` behind a lock, and each core's cache of
//! free frames in front of it, so that the usual request takes no lock.
//!
//! Task context only: a core's cache is used by its own cooperative code, never by top halves.

use core::sync::atomic::Ordering;

use kerncore::boot_info::MemoryKind;
use kerncore::frames::{
    AllocError, CacheError, Frame, FrameAllocator, FrameCache, Frames, FreeError,
};
pub use kerncore::frames::{Request, Usage};
use spin::Mutex;
use x86_64::PhysAddr;
use x86_64::structures::paging::{self, PhysFrame, Size4KiB};

use super::direct;
use super::paging::MapError;
use crate::boot::boot_memory;
use crate::cpu::percpu::{self, PerCpu};

/// Frames a core keeps at hand.
pub(crate) const CACHED_FRAMES: usize = 64;

/// A core's cache, as its per-core block holds it.
pub(crate) type CoreCache = FrameCache<CACHED_FRAMES>;

static ALLOCATOR: Mutex<Option<FrameAllocator<'static>>> = Mutex::new(None);

/// What is known of physical memory, in frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameStats {
    /// Frames the allocator looks after.
    pub total: u64,
    /// Free ones, those in cores' caches included.
    pub free: u64,
}

/// Sets the allocator up from the boot memory map.
///
/// # Safety
/// Once, with the direct map in place and before anything else uses free memory.
pub(super) unsafe fn init() -> Result<(), MapError> {
    let memory = boot_memory();
    let range = memory.frame_metadata;
    let words = direct::to_virtual(range.start) as *mut u64;
    // SAFETY: the hand-off cut this range out of free RAM for exactly this use; it is mapped in the direct map and page
    // aligned, and zero is a valid word.
    let words = unsafe {
        words.write_bytes(0, range.len() as usize / size_of::<u64>());
        core::slice::from_raw_parts_mut(words, range.len() as usize / size_of::<u64>())
    };
    let mut allocator = FrameAllocator::new(memory.map.ram_end(), words).map_err(|error| {
        log::error!("memory: {error}");
        MapError::OutOfFrames
    })?;
    let (_, error) = allocator.add_from(&memory.map, MemoryKind::Usable);
    if let Some(error) = error {
        log::warn!("memory: {error}");
    }
    *ALLOCATOR.lock() = Some(allocator);
    Ok(())
}

/// Gives the allocator what only start-up needed: loader and boot-services memory, and the ACPI tables once they have
/// been read. Returns the frames gained.
pub fn release_boot_memory() -> u64 {
    let mut gained = 0;
    for kind in [MemoryKind::Reclaimable, MemoryKind::AcpiReclaim] {
        let outcome = ALLOCATOR
            .lock()
            .as_mut()
            .map(|allocator| allocator.add_from(&boot_memory().map, kind));
        if let Some((frames, error)) = outcome {
            gained += frames;
            if let Some(error) = error {
                log::warn!("memory: {error}");
            }
        }
    }
    gained
}

fn with_cache<R>(change: impl FnOnce(&mut CoreCache) -> R) -> R {
    let block: &PerCpu = percpu::this();
    // SAFETY: only this core's cooperative code gets here, `change` never calls back into this module and awaits
    // nothing, so no other reference to the cache exists.
    let cache = unsafe { &mut *block.frame_cache.get() };
    let result = change(cache);
    block
        .cached_frames
        .store(cache.len() as u32, Ordering::Relaxed);
    result
}

/// Takes a frame for `usage`: its physical address, or `None` if memory is out. The contents are whatever was there.
pub fn allocate(usage: Usage) -> Option<u64> {
    with_cache(|cache| {
        if let Some(frame) = cache.allocate(usage) {
            return Some(frame.address());
        }
        cache.refill(ALLOCATOR.lock().as_mut()?).ok()?;
        cache.allocate(usage).map(Frame::address)
    })
}

/// Takes consecutive frames.
pub fn allocate_frames(request: Request) -> Result<Frames, AllocError> {
    match ALLOCATOR.lock().as_mut() {
        Some(allocator) => allocator.allocate(request),
        None => Err(AllocError::OutOfMemory { request, free: 0 }),
    }
}

/// Gives consecutive frames back.
///
/// # Errors
/// If they are not the allocator's, or free already; nothing changes then.
pub fn free_frames(frames: Frames, usage: Usage) -> Result<(), FreeError> {
    match ALLOCATOR.lock().as_mut() {
        Some(allocator) => allocator.free(frames, usage),
        None => Err(FreeError::Foreign(frames)),
    }
}

/// Gives the frame at physical address `address` back.
///
/// # Errors
/// As [`free_frames`].
pub fn free(address: u64, usage: Usage) -> Result<(), FreeError> {
    let frame = Frame::from_number(address / kerncore::frames::FRAME_BYTES);
    with_cache(|cache| {
        if cache.free(frame, usage) == Err(CacheError::Full) {
            if let Some(allocator) = ALLOCATOR.lock().as_mut() {
                cache.drain(allocator)?;
            }
            // Draining made room.
            return cache
                .free(frame, usage)
                .map_err(|_| FreeError::AlreadyFree(Frames::one(frame)));
        }
        Ok(())
    })
}

/// Takes a page-table frame below 4 GiB, for a core that loads it in 32-bit mode.
pub(super) fn allocate_below_4_gib() -> Option<u64> {
    let request = Request {
        below: 1 << 32,
        ..Request::one(Usage::PageTable)
    };
    allocate_frames(request)
        .ok()
        .map(|frames| frames.start.address())
}

/// Free memory in bytes.
pub fn free_bytes() -> u64 {
    stats().free * kerncore::frames::FRAME_BYTES
}

/// How many frames there are and how many are free.
pub fn stats() -> FrameStats {
    let cached: u64 = (0..percpu::count())
        .map(|core| u64::from(cached(core)))
        .sum();
    match ALLOCATOR.lock().as_ref() {
        Some(allocator) => {
            let statistics = allocator.statistics();
            FrameStats {
                total: statistics.managed,
                free: statistics.free + cached,
            }
        }
        None => FrameStats::default(),
    }
}

/// Calls `visit` with each use's name and how many frames it has. Frames that went through other cores' caches lately are
/// counted under "core caches" until those cores go to the allocator again.
pub fn for_each_use(mut visit: impl FnMut(Usage, u64)) {
    with_cache(|cache| {
        if let Some(allocator) = ALLOCATOR.lock().as_mut() {
            cache.settle(allocator);
        }
    });
    for usage in Usage::ALL {
        let used = ALLOCATOR
            .lock()
            .as_ref()
            .map_or(0, |allocator| allocator.statistics().used(usage));
        visit(usage, used);
    }
}

/// Frames in core `core`'s cache.
pub fn cached(core: u32) -> u32 {
    percpu::get(core).map_or(0, |block| block.cached_frames.load(Ordering::Relaxed))
}

/// Frames for page tables, as the mapper asks for them.
pub(crate) struct ForTables;

// SAFETY: each frame comes from the allocator, which gives it to nobody else.
unsafe impl paging::FrameAllocator<Size4KiB> for ForTables {
    fn allocate_frame(&mut self) -> Option<PhysFrame> {
        PhysFrame::from_start_address(PhysAddr::new(allocate(Usage::PageTable)?)).ok()
    }
}
