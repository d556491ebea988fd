//! Memory: frames, page tables, the kernel's address space, stacks and heap.
//!
//! - [`paging`]: page flags that cannot express writable+executable, and the kernel's page tables.
//! - [`direct`]: the direct map, physical RAM at a random base.
//! - [`frames`]: the frame allocator, per-core caches in front of one lock.
//! - [`counted`]: frames that several may hold, and their bytes: the memory of processes.
//! - [`user_tables`]: the page tables of a process, activation and shootdown; [`audit`] looks for W+X.
//! - [`vspace`]: addresses for mappings made at run time (MMIO windows, stacks, heap).
//! - [`mmio`], [`stack`], [`heap`], [`phys`]: what is built from these.
//!
//! Order at boot: `boot::handoff` builds the final tables, then [`start`] starts the frame allocator and the
//! heap. After that, every allocation may fail and every caller must cope.

pub mod arena;
pub mod audit;
pub mod counted;
pub mod direct;
pub mod frames;
pub mod heap;
mod intrinsics;
pub mod mmio;
pub mod paging;
pub mod phys;
pub mod stack;
pub mod user_tables;
pub mod vspace;

pub use mmio::{Mmio, map_mmio};
pub use paging::{Cache, MapError};

use core::sync::atomic::{AtomicBool, Ordering};

static STARTED: AtomicBool = AtomicBool::new(false);

/// Makes the direct map known: first thing on the final page tables, so that a report can look at memory.
pub(crate) fn use_direct_map() {
    let placement = &crate::boot::boot_info().placement;
    direct::init(placement.direct_map.address, placement.direct_map.len);
}

/// Starts the frame allocator and the heap, once, on the boot core. A second call does nothing.
pub fn start() -> Result<(), MapError> {
    if STARTED.swap(true, Ordering::AcqRel) {
        return Ok(());
    }
    let placement = &crate::boot::boot_info().placement;
    vspace::init(placement.heap.address, placement.heap.len);
    // SAFETY: the flag lets this happen once, and `boot_info` exists only on the final page tables.
    unsafe {
        frames::init()?;
        counted::init(crate::boot::boot_memory().frame_counts);
        user_tables::init_this_core();
        paging::complete_kernel_half(placement.heap.address, placement.heap.len)?;
        heap::init()
    }
}
