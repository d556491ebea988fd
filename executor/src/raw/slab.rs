//! Memory for task blocks: per-core free lists by size, so that spawning and finishing cost a few moves and,
//! in steady state, no allocation.
//!
//! A block goes back to the core it came from: freed there it is pushed on the list, freed elsewhere it is
//! sent through a lock-free stack that the owner empties when a list runs dry. Chunks are kept for the life of
//! the fleet, so memory is flat at its high water. Blocks that are larger or more aligned than the classes
//! come from the global allocator. Every allocation may fail and says so.

use alloc::alloc::{Layout, alloc};
use core::{
    ptr::{NonNull, null_mut},
    sync::atomic::{AtomicPtr, Ordering},
};

use super::block::{self, Head};
use crate::ident::CoreId;

/// Sizes are multiples of this, and so are addresses.
const GRAIN: usize = 16;
/// Classes by 16 bytes up to this size,
const FINE: usize = 1024;
/// then by 256 up to this one.
const COARSE: usize = 8192;
const COARSE_GRAIN: usize = 256;
const CLASSES: usize = FINE / GRAIN + (COARSE - FINE) / COARSE_GRAIN;
/// How many bytes a list asks of the global allocator at a time, at least.
const CHUNK: usize = 4096;
/// `class` in the tag of blocks that belong to no slab.
const NO_CLASS: u32 = 0xff;

struct Free {
    next: *mut Free,
    /// Only meaningful on the way home.
    class: u32,
}

/// A core's free lists.
#[derive(Debug)]
pub(crate) struct Slab {
    lists: [*mut Free; CLASSES],
    held: usize,
}

/// Blocks freed elsewhere on their way home.
#[derive(Debug)]
pub(crate) struct Returns {
    head: AtomicPtr<Free>,
}

#[inline(always)]
const fn class_of(layout: Layout) -> Option<u32> {
    let size = layout.size();
    if layout.align() > GRAIN || size > COARSE {
        None
    } else if size <= FINE {
        let size = if size == 0 { 1 } else { size };
        Some((size.div_ceil(GRAIN) - 1) as u32)
    } else {
        Some((FINE / GRAIN + (size - FINE).div_ceil(COARSE_GRAIN) - 1) as u32)
    }
}

const fn size_of_class(class: u32) -> usize {
    let class = class as usize;
    if class < FINE / GRAIN {
        (class + 1) * GRAIN
    } else {
        FINE + (class - FINE / GRAIN + 1) * COARSE_GRAIN
    }
}

/// Bytes that a block of this layout takes.
pub(crate) const fn bytes_of(layout: Layout) -> usize {
    match class_of(layout) {
        Some(class) => size_of_class(class),
        None => layout.size(),
    }
}

fn tag(class: u32, owner: CoreId) -> u32 {
    (owner.index() as u32) << 8 | class
}

/// Memory for a block and the tag that finds its way back.
#[derive(Debug)]
pub(crate) struct Memory {
    pub(crate) address: NonNull<u8>,
    pub(crate) tag: u32,
}

/// Memory straight from the global allocator, for spawners that are no core.
pub(crate) fn allocate_globally(layout: Layout) -> Option<Memory> {
    // SAFETY: a block is never of size zero: it has a head.
    let address = NonNull::new(unsafe { alloc(layout) })?;
    Some(Memory {
        address,
        tag: NO_CLASS,
    })
}

impl Slab {
    pub(crate) const fn new() -> Slab {
        Slab {
            lists: [null_mut(); CLASSES],
            held: 0,
        }
    }

    /// Bytes this slab got from the global allocator so far.
    pub(crate) fn held(&self) -> usize {
        self.held
    }

    #[inline]
    pub(crate) fn allocate(
        &mut self,
        layout: Layout,
        owner: CoreId,
        returns: &Returns,
    ) -> Option<Memory> {
        let Some(class) = class_of(layout) else {
            return allocate_globally(layout);
        };
        let list = &mut self.lists[class as usize];
        let Some(free) = NonNull::new(*list) else {
            return self.refill(class, owner, returns);
        };
        // SAFETY: free blocks on this list are this slab's alone and hold a `Free`.
        *list = unsafe { free.as_ref().next };
        Some(Memory {
            address: free.cast(),
            tag: tag(class, owner),
        })
    }

    #[cold]
    fn refill(&mut self, class: u32, owner: CoreId, returns: &Returns) -> Option<Memory> {
        self.collect(returns);
        if self.lists[class as usize].is_null() {
            let size = size_of_class(class);
            let bytes = (CHUNK / size).max(1) * size;
            let layout = Layout::from_size_align(bytes, 64).ok()?;
            // SAFETY: the size is not zero.
            let chunk = NonNull::new(unsafe { alloc(layout) })?;
            self.held += bytes;
            for offset in (0..bytes).step_by(size).rev() {
                // SAFETY: within the chunk, aligned to 16 since sizes are, and unused.
                unsafe { self.push(class, chunk.add(offset).cast()) };
            }
        }
        let free = NonNull::new(self.lists[class as usize])?;
        // SAFETY: as in `allocate`.
        self.lists[class as usize] = unsafe { free.as_ref().next };
        Some(Memory {
            address: free.cast(),
            tag: tag(class, owner),
        })
    }

    /// # Safety
    /// `block` is unused memory of this class that belongs to this slab.
    #[inline(always)]
    unsafe fn push(&mut self, class: u32, block: NonNull<Free>) {
        let list = &mut self.lists[class as usize];
        // SAFETY: the memory is unused and large enough: the smallest class holds a `Free`.
        unsafe { block.as_ptr().write(Free { next: *list, class }) };
        *list = block.as_ptr();
    }

    /// Takes in what other cores returned.
    fn collect(&mut self, returns: &Returns) {
        let mut next = returns.head.swap(null_mut(), Ordering::Acquire);
        while let Some(block) = NonNull::new(next) {
            // SAFETY: the stack holds blocks of this slab that nobody else refers to any more.
            unsafe {
                next = block.as_ref().next;
                let class = block.as_ref().class;
                self.push(class, block);
            }
        }
    }

    /// Takes back a block of this slab's core, or one that belongs to none.
    ///
    /// # Safety
    /// The block holds neither future nor output and is not used again. `is_home` of its tag is true.
    #[inline]
    pub(crate) unsafe fn free(&mut self, head: NonNull<Head>) {
        // SAFETY: the head is still intact.
        let class = unsafe { head.as_ref().join.tag } & 0xff;
        // SAFETY: memory of this slab, by the caller's promise.
        unsafe { self.push(class, head.cast()) }
    }
}

/// The core a block must be returned to; `None` for the global allocator.
///
/// # Safety
/// `head` is a live block.
#[inline(always)]
pub(crate) unsafe fn owner(head: NonNull<Head>) -> Option<CoreId> {
    // SAFETY: the caller's promise.
    let tag = unsafe { head.as_ref().join.tag };
    if tag & 0xff == NO_CLASS {
        None
    } else {
        Some(CoreId::from_low_bits(tag >> 8))
    }
}

/// Returns a block to the global allocator.
///
/// # Safety
/// Its [`owner`] is `None`; it holds neither future nor output and is not used again.
pub(crate) unsafe fn free_globally(head: NonNull<Head>) {
    // SAFETY: `allocate_globally` used the layout of the vtable.
    unsafe { block::free_to_allocator(head) }
}

impl Returns {
    pub(crate) const fn new() -> Returns {
        Returns {
            head: AtomicPtr::new(null_mut()),
        }
    }

    /// Sends a block home, from anywhere.
    ///
    /// # Safety
    /// As for [`Slab::free`], for the slab of the core that these returns belong to.
    pub(crate) unsafe fn push(&self, head: NonNull<Head>) {
        // SAFETY: the head is still intact.
        let class = unsafe { head.as_ref().join.tag } & 0xff;
        let free = head.cast::<Free>().as_ptr();
        let mut next = self.head.load(Ordering::Relaxed);
        loop {
            // SAFETY: the block is unused and the caller's until the exchange succeeds.
            unsafe { free.write(Free { next, class }) };
            match self
                .head
                .compare_exchange_weak(next, free, Ordering::Release, Ordering::Relaxed)
            {
                Ok(_) => return,
                Err(seen) => next = seen,
            }
        }
    }
}
