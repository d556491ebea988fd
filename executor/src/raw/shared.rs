//! A reference count that is allocated fallibly: what `Arc` is, without its abort when memory is short.

use alloc::boxed::Box;
use core::{
    ops::Deref,
    ptr::NonNull,
    sync::atomic::{AtomicUsize, Ordering, fence},
};

struct Counted<T> {
    count: AtomicUsize,
    value: T,
}

/// One of several owners of a value.
pub(crate) struct Shared<T> {
    counted: NonNull<Counted<T>>,
}

// SAFETY: as for `Arc`: owners on several threads share `&T`, and any of them may be the last, who drops it.
unsafe impl<T: Send + Sync> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for Shared<T> {}

impl<T> Shared<T> {
    /// `None` when memory is short.
    pub(crate) fn new(value: T) -> Option<Shared<T>> {
        let counted = super::try_box(Counted {
            count: AtomicUsize::new(1),
            value,
        })?;
        Some(Shared {
            counted: NonNull::from(Box::leak(counted)),
        })
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: alive while an owner is.
        unsafe { &self.counted.as_ref().value }
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        // SAFETY: alive while an owner is. The count cannot overflow: each owner takes memory.
        unsafe { self.counted.as_ref() }
            .count
            .fetch_add(1, Ordering::Relaxed);
        Shared {
            counted: self.counted,
        }
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        // SAFETY: alive while an owner is.
        if unsafe { self.counted.as_ref() }
            .count
            .fetch_sub(1, Ordering::Release)
            == 1
        {
            fence(Ordering::Acquire);
            // SAFETY: the last owner; the memory came from a box.
            drop(unsafe { Box::from_raw(self.counted.as_ptr()) });
        }
    }
}
