//! The atomics of the modules that are proven with loom: loom's under `--cfg loom`, core's otherwise.
//!
//! loom models sequentially consistent *accesses* as acquire/release only, but knows sequentially
//! consistent *fences*. [`dekker_fence`] is that fence under loom and nothing otherwise: the accesses
//! around it are `SeqCst`, which the memory model already orders, and which on x86-64 are locked
//! instructions on the writing side.

#[cfg(not(loom))]
pub(crate) use core::{
    hint::spin_loop,
    sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize},
};
#[cfg(loom)]
pub(crate) use loom::{
    hint::spin_loop,
    sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize},
};

pub(crate) use core::sync::atomic::Ordering;

/// Orders a `SeqCst` store before a `SeqCst` load under loom; see the module.
#[inline(always)]
pub(crate) fn dekker_fence() {
    #[cfg(loom)]
    loom::sync::atomic::fence(Ordering::SeqCst);
}

/// Whether the model checker runs with this step left out, as a control: some model must fail then. The name is that in the
/// environment variable `LOOM_MUTATION`; see `tests/loom.sh`.
#[cfg(loom)]
pub(crate) fn mutated(step: &str) -> bool {
    extern crate std;
    static LEFT_OUT: std::sync::OnceLock<Option<std::ffi::OsString>> = std::sync::OnceLock::new();
    let left_out = LEFT_OUT.get_or_init(|| std::env::var_os("LOOM_MUTATION"));
    left_out.as_ref().is_some_and(|left_out| left_out == step)
}

/// Nothing is left out.
#[cfg(not(loom))]
#[inline(always)]
pub(crate) const fn mutated(_: &str) -> bool {
    false
}
