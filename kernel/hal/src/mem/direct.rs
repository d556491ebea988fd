//! The direct map: all RAM, readable and writable, never executable, at a random base.
//!
//! The frames of the kernel image are left out, so that no writable alias of its code exists.

use core::sync::atomic::{AtomicU64, Ordering};

static BASE: AtomicU64 = AtomicU64::new(0);
static SIZE: AtomicU64 = AtomicU64::new(0);

pub(super) fn init(base: u64, size: u64) {
    BASE.store(base, Ordering::Relaxed);
    SIZE.store(size, Ordering::Relaxed);
}

/// First virtual address of the direct map (0 while booting: physical addresses are used as they are).
#[inline]
pub fn base() -> u64 {
    BASE.load(Ordering::Relaxed)
}

/// The virtual address of physical address `physical`, which must be RAM of the memory map.
#[inline]
pub fn to_virtual(physical: u64) -> u64 {
    base() + physical
}

/// The physical address behind an address of the direct map.
pub fn to_physical(address: u64) -> Option<u64> {
    let offset = address.checked_sub(base())?;
    (offset < SIZE.load(Ordering::Relaxed)).then_some(offset)
}
