//! Addresses for mappings made at run time, from one random range of the kernel's half.
//!
//! Handed out upwards and never taken back: such mappings (device windows, stacks, the heap) live as long as
//! the system. An unmapped guard page lies between any two.

use core::sync::atomic::{AtomicU64, Ordering};

use super::paging::MapError;

/// Bytes in a page.
pub const PAGE: u64 = 4096;

static NEXT: AtomicU64 = AtomicU64::new(0);
static END: AtomicU64 = AtomicU64::new(0);

pub(super) fn init(base: u64, size: u64) {
    NEXT.store(base, Ordering::Relaxed);
    END.store(base + size, Ordering::Relaxed);
}

/// Reserves `pages` consecutive pages with an unmapped page before and after them, and returns the first
/// page's address.
pub fn reserve(pages: u64) -> Result<u64, MapError> {
    let bytes = pages
        .checked_add(1)
        .and_then(|n| n.checked_mul(PAGE))
        .ok_or(MapError::BadRange)?;
    NEXT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |next| {
        let after = next.checked_add(bytes)?;
        (after <= END.load(Ordering::Relaxed)).then_some(after)
    })
    .map(|first| first + PAGE)
    .map_err(|_| MapError::OutOfAddresses)
}
