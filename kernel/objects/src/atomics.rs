//! The atomics of `refs`: loom's under `--cfg loom`, core's otherwise.

#[cfg(not(loom))]
pub(crate) use core::sync::atomic::AtomicUsize;
#[cfg(loom)]
pub(crate) use loom::sync::atomic::AtomicUsize;

pub(crate) use core::sync::atomic::Ordering;

/// Sees everything that happened before the last release of this count.
#[inline(always)]
pub(crate) fn acquire_fence(_count: &AtomicUsize) {
    #[cfg(not(loom))]
    core::sync::atomic::fence(Ordering::Acquire);
    #[cfg(loom)]
    loom::sync::atomic::fence(Ordering::Acquire);
}
