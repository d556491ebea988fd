//! The atomics of the modules that are proven with loom: loom's under `--cfg loom`, core's otherwise.
//!
//! loom models sequentially consistent *accesses* as acquire/release only, but knows sequentially
//! consistent *fences*. [`dekker_fence`] is that fence under loom and nothing otherwise: the accesses
//! around it are `SeqCst`, which the memory model already orders, and which on x86-64 are locked
//! instructions on the writing side.

#[cfg(not(loom))]
pub(crate) use core::{
    hint::spin_loop,
    sync::atomic::{AtomicBool, AtomicU32, AtomicUsize},
};
#[cfg(loom)]
pub(crate) use loom::{
    hint::spin_loop,
    sync::atomic::{AtomicBool, AtomicU32, AtomicUsize},
};

pub(crate) use core::sync::atomic::Ordering;

/// Orders a `SeqCst` store before a `SeqCst` load under loom; see the module.
#[inline(always)]
pub(crate) fn dekker_fence() {
    #[cfg(loom)]
    loom::sync::atomic::fence(Ordering::SeqCst);
}
