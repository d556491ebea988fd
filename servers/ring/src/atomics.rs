//! The atomics: loom's under `--cfg loom`, core's otherwise.

pub use inner::{AtomicU32, AtomicU64};

#[cfg(not(loom))]
mod inner {
    pub use core::sync::atomic::{AtomicU32, AtomicU64};
}
#[cfg(loom)]
mod inner {
    pub use loom::sync::atomic::{AtomicU32, AtomicU64};
}

/// Orders a `SeqCst` store before a `SeqCst` load under loom, which takes the accesses for acquire and release only. Elsewhere the
/// accesses do it.
#[inline(always)]
pub(crate) fn dekker_fence() {
    #[cfg(loom)]
    loom::sync::atomic::fence(core::sync::atomic::Ordering::SeqCst);
}

/// Whether the model checker runs with this step left out, as a control: a model must fail then. The name is that in the
/// environment variable `LOOM_MUTATION`.
#[inline(always)]
pub(crate) fn mutated(_step: &str) -> bool {
    #[cfg(loom)]
    {
        extern crate std;
        std::env::var_os("LOOM_MUTATION").is_some_and(|left_out| left_out == _step)
    }
    #[cfg(not(loom))]
    false
}
