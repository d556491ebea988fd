//! A program's heap: TLSF, so that allocating takes bounded time, in vmos that are mapped as it grows.
//!
//! Every allocation may fail: when the job's memory limit is reached, a collection's `try_reserve` says so and the program goes
//! on. So the memory is committed when the heap grows: a page that could not be had when it is touched would end the process.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::{AtomicUsize, Ordering};

use abi::memory::{MapFlags, PAGE_BYTES};
use rlsf::Tlsf;
use spin::mutex::SpinMutex;
use spin::relax::RelaxStrategy;

use super::object::Vmo;
use super::process::yield_now;

/// Lists of as many sub-classes for 28 powers of two: blocks up to 16 GiB.
type Lists = Tlsf<'static, u32, u32, 28, CLASSES>;
const CLASSES: usize = 32;

/// The heap grows by at least this much.
const GROWTH_BYTES: usize = 64 << 10;
/// What TLSF needs around the largest block of a range, and for alignment up to a page.
const OVERHEAD_BYTES: usize = 2 * PAGE_BYTES as usize;

/// Lets the holder run: it may be a thread of the same core that was preempted.
#[derive(Debug)]
pub struct Yield;

impl RelaxStrategy for Yield {
    fn relax() {
        yield_now();
    }
}

/// The allocator that [`entry!`](crate::entry) makes a program's global one.
pub struct Heap {
    lists: SpinMutex<Lists, Yield>,
    mapped_bytes: AtomicUsize,
    used_bytes: AtomicUsize,
}

/// What the heap holds, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeapUse {
    /// Addresses mapped for it.
    pub mapped_bytes: usize,
    /// Allocated and not freed.
    pub used_bytes: usize,
}

impl Heap {
    /// An empty heap, which grows when first used.
    #[must_use]
    #[allow(clippy::new_without_default, reason = "a heap is a static")]
    pub const fn new() -> Self {
        Self {
            lists: SpinMutex::new(Tlsf::new()),
            mapped_bytes: AtomicUsize::new(0),
            used_bytes: AtomicUsize::new(0),
        }
    }

    /// How much it holds now.
    #[must_use]
    pub fn usage(&self) -> HeapUse {
        HeapUse {
            mapped_bytes: self.mapped_bytes.load(Ordering::Relaxed),
            used_bytes: self.used_bytes.load(Ordering::Relaxed),
        }
    }

    /// Adds a range in which a block of `layout` fits. `None` if the kernel gives none.
    fn grow(&self, lists: &mut Lists, layout: Layout) -> Option<()> {
        // TLSF looks only in lists whose blocks all fit: it rounds the size up to the next of 32 classes in a power of two.
        let wanted = layout
            .size()
            .checked_add(layout.size() / (CLASSES / 2))?
            .checked_add(layout.align())?
            .checked_add(OVERHEAD_BYTES)?
            .checked_next_multiple_of(PAGE_BYTES as usize)?;
        let bytes = wanted.max(GROWTH_BYTES) as u64;
        let vmo = Vmo::create(bytes).ok()?;
        let mapping = vmo.map(0, bytes, MapFlags::WRITE | MapFlags::COMMIT).ok()?;
        // SAFETY: the vmo is new, this is its only mapping, and its only handle is closed at the end of this function.
        let memory = unsafe { mapping.leak() };
        self.mapped_bytes.fetch_add(memory.len(), Ordering::Relaxed);
        // SAFETY: the range is mapped for ever and used by nothing else.
        unsafe { lists.insert_free_block_ptr(memory) };
        Some(())
    }
}

// SAFETY: TLSF gives out disjoint blocks of ranges that stay mapped, aligned as asked; the lock serialises it.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let mut lists = self.lists.lock();
        let block = match lists.allocate(layout) {
            Some(block) => Some(block),
            None => self
                .grow(&mut lists, layout)
                .and_then(|()| lists.allocate(layout)),
        };
        let Some(block) = block else {
            return null_mut();
        };
        self.used_bytes.fetch_add(layout.size(), Ordering::Relaxed);
        block.as_ptr()
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let Some(block) = NonNull::new(block) else {
            return;
        };
        self.used_bytes.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller got this block from `alloc` with this layout.
        unsafe { self.lists.lock().deallocate(block, layout.align()) }
    }
}
