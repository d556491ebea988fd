//! Memory: frames, page tables, the kernel's address space, stacks and heap.
//!
//! - [`paging`]: page flags that cannot express writable+executable, and the kernel's page tables.
//! - [`direct`]: the direct map, physical RAM at a random base.
//! - [`frames`]: the frame allocator, per-core caches in front of one lock.
//! - [`vspace`]: addresses for mappings made at run time (MMIO windows, stacks, heap).
//! - [`mmio`], [`stack`], [`heap`], [`phys`]: what is built from these.
//!
//! Order at boot: `boot::handoff` builds the final tables, then [`init`] starts the frame allocator and the
//! heap. After that, every allocation may fail and every caller must cope.

pub mod direct;
pub mod frames;
pub mod heap;
mod intrinsics;
pub mod mmio;
pub mod paging;
pub mod phys;
pub mod stack;
pub mod vspace;

pub use mmio::{Mmio, map_mmio};
pub use paging::{Cache, MapError};

use kerncore::boot_info::BootInfo;

/// Starts the frame allocator and the heap.
///
/// # Safety
/// Once, on the boot core, on the final page tables, before anything allocates.
pub unsafe fn init(boot: &BootInfo) -> Result<(), MapError> {
    direct::init(boot.placement.direct_map.address, boot.placement.direct_map.len);
    vspace::init(boot.placement.heap.address, boot.placement.heap.len);
    // SAFETY: passed on to the caller.
    unsafe {
        frames::init(boot)?;
        heap::init()
    }
}
