//! The kernel's heap: TLSF, so that allocating and freeing take bounded time (Masmano et al., "TLSF: a new
//! dynamic memory allocator for real-time systems", ECRTS 2004), in one range of addresses that gets its memory as it is needed.
//!
//! What a resident server allocates comes from its [arena](super::arena) instead.
//!
//! Top halves never allocate, so the lock needs no interrupts off. After start-up every allocation in the kernel is
//! made through a fallible path; [`fail_the_nth`] lets a test refuse any single one of them.

use core::alloc::{GlobalAlloc, Layout};
use core::ops::Range;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use kerncore::frames::Usage;
use rlsf::Tlsf;
use spin::Mutex;

use super::paging::{MapError, map_memory};
use super::{frames, vspace};
use crate::user::contain;

/// First- and second-level lists: 2^5 sub-classes of 28 powers of two reach 16 GiB blocks.
type Lists = Tlsf<'static, u32, u32, 28, 32>;

struct Heap {
    lists: Mutex<Lists>,
    /// The part of its range that has no memory yet. Taken before [`lists`](Self::lists).
    rest: Mutex<Range<u64>>,
    start: AtomicUsize,
    most_bytes: AtomicUsize,
    size_bytes: AtomicUsize,
    used_bytes: AtomicUsize,
    peak_bytes: AtomicUsize,
    allocations: AtomicU64,
    failures: AtomicU64,
    /// Allocations still to succeed before one is refused; `u64::MAX`: none is.
    until_refusal: AtomicU64,
}

/// In place of a number of allocations.
const REFUSE_ALL: u64 = u64::MAX - 1;

/// What the heap holds, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeapStats {
    /// What it may become.
    pub most_bytes: usize,
    /// What it has of memory.
    pub size_bytes: usize,
    /// Asked for and not freed yet (without the allocator's own overhead).
    pub used_bytes: usize,
    /// The most ever in use.
    pub peak_bytes: usize,
    /// Allocations made since start-up.
    pub allocations: u64,
    /// Allocations refused since start-up.
    pub failures: u64,
}

#[global_allocator]
static HEAP: Heap = Heap {
    lists: Mutex::new(Tlsf::new()),
    rest: Mutex::new(0..0),
    start: AtomicUsize::new(0),
    most_bytes: AtomicUsize::new(0),
    size_bytes: AtomicUsize::new(0),
    used_bytes: AtomicUsize::new(0),
    peak_bytes: AtomicUsize::new(0),
    allocations: AtomicU64::new(0),
    failures: AtomicU64::new(0),
    until_refusal: AtomicU64::new(u64::MAX),
};

/// The heap may have this share of the memory free at boot, within the bounds below.
const SHARE_OF_MEMORY: u64 = 8;
const LEAST_BYTES: u64 = 4 << 20;
const MOST_BYTES: u64 = 256 << 20;
/// It grows by so much at least: in few steps, each a few microseconds long.
const STEP_PAGES: u64 = 16;

/// Reserves the heap's range, and gives it its first memory.
///
/// # Safety
/// Once, after the frame allocator has started.
pub(super) unsafe fn init() -> Result<(), MapError> {
    let pages =
        (frames::free_bytes() / SHARE_OF_MEMORY).clamp(LEAST_BYTES, MOST_BYTES) / vspace::PAGE;
    let start = vspace::reserve(pages)?;
    HEAP.start.store(start as usize, Ordering::Relaxed);
    let most = pages * vspace::PAGE;
    HEAP.most_bytes.store(most as usize, Ordering::Relaxed);
    *HEAP.rest.lock() = start..start + most;
    if HEAP.grow(0) {
        Ok(())
    } else {
        Err(MapError::OutOfFrames)
    }
}

/// Makes the `n`-th allocation from now fail (0: the next one); `None`: none.
pub fn fail_the_nth(n: Option<u64>) {
    HEAP.until_refusal
        .store(n.unwrap_or(u64::MAX), Ordering::SeqCst);
}

/// Makes every allocation fail, or none again.
pub fn refuse_all(refuse: bool) {
    HEAP.until_refusal
        .store(if refuse { REFUSE_ALL } else { u64::MAX }, Ordering::SeqCst);
}

/// Whether the refusal asked for by [`fail_the_nth`] has happened.
pub fn refusal_happened() -> bool {
    HEAP.until_refusal.load(Ordering::SeqCst) == u64::MAX
}

/// What it may still grow by, in bytes: memory to be left free for it.
pub fn growth_bytes() -> u64 {
    let stats = stats();
    stats.most_bytes.saturating_sub(stats.size_bytes) as u64
}

/// What may be promised to jobs, in bytes: what is free now or to come, less an eighth of the heap for the kernel's own needs and for what the
/// allocator loses between blocks. Ask once start-up has taken what it keeps: promises are not subtracted.
///
/// The policy: the heap may grow to an eighth of the memory free at boot within 4 to 256 MiB, and all that
/// processes make the kernel allocate is charged against promises that never exceed this. So a job that reaches its limit
/// is refused, and nobody else. The other seven eighths are what processes may have as pages: the memory is there when the heap grows.
pub fn promisable_bytes() -> usize {
    let stats = stats();
    stats
        .most_bytes
        .saturating_sub(stats.used_bytes)
        .saturating_sub(stats.most_bytes / KEPT_SHARE)
}

/// The share of the heap that is not promised.
const KEPT_SHARE: usize = 8;

/// Figures for `mem`.
pub fn stats() -> HeapStats {
    HeapStats {
        most_bytes: HEAP.most_bytes.load(Ordering::Relaxed),
        size_bytes: HEAP.size_bytes.load(Ordering::Relaxed),
        used_bytes: HEAP.used_bytes.load(Ordering::Relaxed),
        peak_bytes: HEAP.peak_bytes.load(Ordering::Relaxed),
        allocations: HEAP.allocations.load(Ordering::Relaxed),
        failures: HEAP.failures.load(Ordering::Relaxed),
    }
}

impl Heap {
    fn is_refused(&self) -> bool {
        if self.until_refusal.load(Ordering::Relaxed) == u64::MAX {
            return false;
        }
        if self.until_refusal.load(Ordering::Relaxed) == REFUSE_ALL {
            return true;
        }
        // Counts down; 0 wraps to MAX, which switches the refusal off again.
        self.until_refusal
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                (left != u64::MAX).then(|| left.wrapping_sub(1))
            })
            .is_ok_and(|left| left == 0)
    }

    /// Whether a block lies in it. Others are of arenas.
    #[inline]
    fn owns(&self, block: *mut u8) -> bool {
        let offset = block
            .addr()
            .wrapping_sub(self.start.load(Ordering::Relaxed));
        offset < self.most_bytes.load(Ordering::Relaxed)
    }

    /// Takes memory for a block of `bytes`, or for [`STEP_PAGES`] if that is more. `false` if the range or memory is used up.
    #[cold]
    fn grow(&self, bytes: usize) -> bool {
        // A block is looked for in the next class of sizes, 1/32 above at most; and it has a head.
        let wanted = bytes as u64 + bytes as u64 / 16 + vspace::PAGE;
        let mut rest = self.rest.lock();
        let pages = wanted.div_ceil(vspace::PAGE).max(STEP_PAGES);
        let pages = pages.min((rest.end - rest.start) / vspace::PAGE);
        if pages == 0 || wanted > pages * vspace::PAGE {
            return false;
        }
        let (mapped, outcome) = map_memory(rest.start, pages, Usage::KernelHeap);
        let len = (mapped * vspace::PAGE) as usize;
        let block = core::ptr::slice_from_raw_parts_mut(rest.start as *mut u8, len);
        if let Some(block) = NonNull::new(block)
            && len != 0
        {
            let mut lists = self.lists.lock();
            if self.size_bytes.load(Ordering::Relaxed) == 0 {
                // SAFETY: the range was just mapped for this and nobody else knows it.
                unsafe { lists.insert_free_block_ptr(block) };
            } else {
                // SAFETY: as above, and it begins where what the lists know ends.
                unsafe { lists.append_free_block_ptr(block) };
            }
            rest.start += len as u64;
            self.size_bytes.fetch_add(len, Ordering::Relaxed);
        }
        outcome.is_ok()
    }

    /// A block, for which the heap may grow.
    fn find(&self, layout: Layout) -> Option<NonNull<u8>> {
        // Others may take what it grew by.
        const ATTEMPTS: usize = 8;
        for _ in 0..ATTEMPTS {
            let found = self.lists.lock().allocate(layout);
            if found.is_some() || !self.grow(layout.size().saturating_add(layout.align())) {
                return found;
            }
        }
        None
    }

    fn count_use(&self, bytes: usize) {
        self.allocations.fetch_add(1, Ordering::Relaxed);
        let used = self.used_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.peak_bytes.fetch_max(used, Ordering::Relaxed);
    }
}

// SAFETY: TLSF gives out disjoint blocks of the mapped range or of an arena, aligned as asked; locks serialise it.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if let Some(arena) = contain::arena_in_use() {
            return arena.allocate(layout);
        }
        let block = if self.is_refused() {
            None
        } else {
            self.find(layout)
        };
        match block {
            Some(block) => {
                self.count_use(layout.size());
                block.as_ptr()
            }
            None => {
                self.failures.fetch_add(1, Ordering::Relaxed);
                core::ptr::null_mut()
            }
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let Some(block) = NonNull::new(block) else {
            return;
        };
        if !self.owns(block.as_ptr()) {
            // SAFETY: passed on to the caller; it is not this heap's.
            return unsafe { contain::free_in_arena(block, layout.align()) };
        }
        self.used_bytes.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller got this block from `alloc` with this layout.
        unsafe { self.lists.lock().deallocate(block, layout.align()) }
    }
}
