//! Interior mutability behind the loom facade.

/// `UnsafeCell` whose accesses loom can check.
#[derive(Debug)]
pub(crate) struct RawCell<T> {
    #[cfg(not(loom))]
    value: core::cell::UnsafeCell<T>,
    #[cfg(loom)]
    value: loom::cell::UnsafeCell<T>,
}

impl<T> RawCell<T> {
    #[cfg(not(loom))]
    pub(crate) const fn new(value: T) -> Self {
        RawCell {
            value: core::cell::UnsafeCell::new(value),
        }
    }

    #[cfg(loom)]
    pub(crate) fn new(value: T) -> Self {
        RawCell {
            value: loom::cell::UnsafeCell::new(value),
        }
    }

    /// Runs `f` on the content.
    ///
    /// # Safety
    /// Nobody else may access the content meanwhile, and `f` must not either except through its argument.
    #[inline(always)]
    pub(crate) unsafe fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        #[cfg(not(loom))]
        return f(self.value.get());
        #[cfg(loom)]
        return self.value.with_mut(f);
    }
}
