//! The content of locks, reached through guards that hold permits of a [`Gate`].

use core::{
    cell::UnsafeCell,
    fmt,
    ops::{Deref, DerefMut},
};

use super::gate::Gate;

/// A value behind a gate.
pub(crate) struct Guarded<T: ?Sized> {
    pub(crate) gate: Gate,
    value: UnsafeCell<T>,
}

// SAFETY: the gate admits one writer, or readers only.
unsafe impl<T: ?Sized + Send> Send for Guarded<T> {}
// SAFETY: as above; readers on several threads share `&T`.
unsafe impl<T: ?Sized + Send + Sync> Sync for Guarded<T> {}

/// As [`Guarded`], without readers: `Sync` asks less.
pub(crate) struct Exclusive<T: ?Sized>(pub(crate) Guarded<T>);

// SAFETY: only one guard at a time: `&T` is never on two threads.
unsafe impl<T: ?Sized + Send> Sync for Exclusive<T> {}

impl<T> Guarded<T> {
    #[cfg(not(loom))]
    pub(crate) const fn new(value: T, permits: usize) -> Guarded<T> {
        Guarded {
            gate: Gate::new(permits, permits),
            value: UnsafeCell::new(value),
        }
    }

    #[cfg(loom)]
    pub(crate) fn new(value: T, permits: usize) -> Guarded<T> {
        Guarded {
            gate: Gate::new(permits, permits),
            value: UnsafeCell::new(value),
        }
    }

    pub(crate) fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> Guarded<T> {
    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }
}

/// Shared access; gives its permit back when dropped.
pub struct ReadGuard<'a, T: ?Sized> {
    guarded: &'a Guarded<T>,
}

/// Sole access; gives its permits back when dropped.
pub struct WriteGuard<'a, T: ?Sized> {
    guarded: &'a Guarded<T>,
    permits: usize,
}

// SAFETY: as `&mut T` and `&T`; the gate may be released from any thread.
unsafe impl<T: ?Sized + Sync> Sync for WriteGuard<'_, T> {}
// SAFETY: as `&mut T`.
unsafe impl<T: ?Sized + Send> Send for WriteGuard<'_, T> {}
// SAFETY: as `&T`.
unsafe impl<T: ?Sized + Sync> Sync for ReadGuard<'_, T> {}
// SAFETY: as `&T`.
unsafe impl<T: ?Sized + Sync> Send for ReadGuard<'_, T> {}

impl<'a, T: ?Sized> ReadGuard<'a, T> {
    /// # Safety
    /// The caller took one permit of the gate for this guard.
    pub(crate) unsafe fn new(guarded: &'a Guarded<T>) -> Self {
        ReadGuard { guarded }
    }
}

impl<'a, T: ?Sized> WriteGuard<'a, T> {
    /// # Safety
    /// The caller took all permits of the gate for this guard, `permits` of them.
    pub(crate) unsafe fn new(guarded: &'a Guarded<T>, permits: usize) -> Self {
        WriteGuard { guarded, permits }
    }
}

impl<T: ?Sized> Deref for ReadGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: a permit keeps writers out.
        unsafe { &*self.guarded.value.get() }
    }
}

impl<T: ?Sized> Deref for WriteGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: all permits keep everybody else out.
        unsafe { &*self.guarded.value.get() }
    }
}

impl<T: ?Sized> DerefMut for WriteGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above.
        unsafe { &mut *self.guarded.value.get() }
    }
}

impl<T: ?Sized> Drop for ReadGuard<'_, T> {
    fn drop(&mut self) {
        self.guarded.gate.release(1);
    }
}

impl<T: ?Sized> Drop for WriteGuard<'_, T> {
    fn drop(&mut self) {
        self.guarded.gate.release(self.permits);
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for ReadGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for WriteGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// Takes the write guard of a gate whose permits the caller holds.
///
/// # Safety
/// As for [`WriteGuard::new`].
pub(crate) unsafe fn all<T: ?Sized>(guarded: &Guarded<T>, permits: usize) -> WriteGuard<'_, T> {
    // SAFETY: the caller's promise.
    unsafe { WriteGuard::new(guarded, permits) }
}

/// Awaits sole access.
pub(crate) async fn write<T: ?Sized>(guarded: &Guarded<T>, permits: usize) -> WriteGuard<'_, T> {
    // The gate of a lock is never closed, so the permits are there.
    let _ = guarded.gate.acquire(permits).await;
    // SAFETY: all permits were acquired.
    unsafe { all(guarded, permits) }
}

/// Sole access, if nobody else has any.
pub(crate) fn try_write<T: ?Sized>(
    guarded: &Guarded<T>,
    permits: usize,
) -> Option<WriteGuard<'_, T>> {
    // SAFETY: all permits were acquired.
    (guarded.gate.try_acquire(permits) == Ok(true)).then(|| unsafe { all(guarded, permits) })
}

/// Awaits shared access.
pub(crate) async fn read<T: ?Sized>(guarded: &Guarded<T>) -> ReadGuard<'_, T> {
    let _ = guarded.gate.acquire(1).await;
    // SAFETY: one permit was acquired.
    unsafe { ReadGuard::new(guarded) }
}

/// Shared access, if nobody has or awaits sole access.
pub(crate) fn try_read<T: ?Sized>(guarded: &Guarded<T>) -> Option<ReadGuard<'_, T>> {
    // SAFETY: one permit was acquired.
    (guarded.gate.try_acquire(1) == Ok(true)).then(|| unsafe { ReadGuard::new(guarded) })
}
