//! The kernel's heap: TLSF, so that allocating and freeing take bounded time (Masmano et al., "TLSF: a new
//! dynamic memory allocator for real-time systems", ECRTS 2004), in one range mapped at start-up.
//!
//! What a resident server allocates comes from its [arena](super::arena) instead.
//!
//! Top halves never allocate, so the lock needs no interrupts off. After start-up every allocation in the kernel is
//! made through a fallible path; [`fail_the_nth`] lets a test refuse any single one of them.

use core::alloc::{GlobalAlloc, Layout};
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
    start: AtomicUsize,
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
    /// All of it.
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
    start: AtomicUsize::new(0),
    size_bytes: AtomicUsize::new(0),
    used_bytes: AtomicUsize::new(0),
    peak_bytes: AtomicUsize::new(0),
    allocations: AtomicU64::new(0),
    failures: AtomicU64::new(0),
    until_refusal: AtomicU64::new(u64::MAX),
};

/// The heap gets this share of free memory, within the bounds below.
const SHARE_OF_MEMORY: u64 = 8;
const LEAST_BYTES: u64 = 4 << 20;
const MOST_BYTES: u64 = 256 << 20;

/// Maps the heap's range and gives it to the allocator.
///
/// # Safety
/// Once, after the frame allocator has started.
pub(super) unsafe fn init() -> Result<(), MapError> {
    let pages =
        (frames::free_bytes() / SHARE_OF_MEMORY).clamp(LEAST_BYTES, MOST_BYTES) / vspace::PAGE;
    let start = vspace::reserve(pages)?;
    map_memory(start, pages, Usage::KernelHeap)?;
    let len = (pages * vspace::PAGE) as usize;
    let block = core::ptr::slice_from_raw_parts_mut(start as *mut u8, len);
    let Some(block) = NonNull::new(block) else {
        return Err(MapError::BadRange);
    };
    // SAFETY: the range was just mapped for this and nobody else knows it.
    unsafe { HEAP.lists.lock().insert_free_block_ptr(block) };
    HEAP.start.store(start as usize, Ordering::Relaxed);
    HEAP.size_bytes.store(len, Ordering::Relaxed);
    Ok(())
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

/// What may be promised to jobs, in bytes: what is free now, less an eighth of the heap for the kernel's own needs and for what the
/// allocator loses between blocks. Ask once start-up has taken what it keeps: promises are not subtracted.
///
/// The policy: the heap has a fixed size, an eighth of the memory free at boot within 4 to 256 MiB, and all that
/// processes make the kernel allocate is charged against promises that never exceed this. So a job that reaches its limit
/// is refused, and nobody else. The other seven eighths are for frames.
pub fn promisable_bytes() -> usize {
    let stats = stats();
    stats
        .size_bytes
        .saturating_sub(stats.used_bytes)
        .saturating_sub(stats.size_bytes / KEPT_SHARE)
}

/// The share of the heap that is not promised.
const KEPT_SHARE: usize = 8;

/// Figures for `mem`.
pub fn stats() -> HeapStats {
    HeapStats {
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
        offset < self.size_bytes.load(Ordering::Relaxed)
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
            self.lists.lock().allocate(layout)
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
