//! Sole access to a value.

use core::{
    fmt,
    marker::PhantomData,
    ops::{Deref, DerefMut},
    sync::atomic::{AtomicU64, Ordering},
};

use crate::{
    Platform, TaskId,
    donate::lending,
    raw::guarded::{self, Exclusive, Guarded, WriteGuard},
};

/// A value for one task at a time, first come first served.
///
/// Who waits lends its deadline to who holds (transitively, if the holder waits itself): an urgent task never waits for
/// a less urgent one that is kept from running by others in between. The loan ends with the wait.
pub struct Mutex<P: Platform, T: ?Sized> {
    holder: AtomicU64,
    platform: PhantomData<fn() -> P>,
    pub(crate) content: Exclusive<T>,
}

impl<P: Platform, T> Mutex<P, T> {
    /// A free mutex around `value`.
    #[cfg(not(loom))]
    pub const fn new(value: T) -> Self {
        Mutex {
            holder: AtomicU64::new(0),
            platform: PhantomData,
            content: Exclusive(Guarded::new(value, 1)),
        }
    }

    /// A free mutex around `value`.
    #[cfg(loom)]
    pub fn new(value: T) -> Self {
        Mutex {
            holder: AtomicU64::new(0),
            platform: PhantomData,
            content: Exclusive(Guarded::new(value, 1)),
        }
    }

    /// The value.
    pub fn into_inner(self) -> T {
        self.content.0.into_inner()
    }
}

impl<P: Platform, T: ?Sized> Mutex<P, T> {
    /// Awaits sole access. Cancel-safe.
    pub async fn lock(&self) -> MutexGuard<'_, P, T> {
        if let Some(guard) = self.try_lock() {
            return guard;
        }
        let guard = lending::<P, _>(
            self.key(),
            || self.holder(),
            guarded::write(&self.content.0, 1),
        )
        .await;
        self.held(guard)
    }

    /// Sole access, if it is free and nobody waits.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, P, T>> {
        Some(self.held(guarded::try_write(&self.content.0, 1)?))
    }

    /// The value, which nobody else can reach.
    pub fn get_mut(&mut self) -> &mut T {
        self.content.0.get_mut()
    }

    /// The task that holds the mutex, if one does.
    pub fn holder(&self) -> Option<TaskId> {
        let bits = self.holder.load(Ordering::Relaxed);
        (bits != 0).then(|| TaskId::from_bits(bits))
    }

    /// Names this mutex among those that loans are about.
    fn key(&self) -> usize {
        core::ptr::from_ref(&self.holder).addr()
    }

    fn held<'a>(&'a self, guard: WriteGuard<'a, T>) -> MutexGuard<'a, P, T> {
        let here = P::fleet().here();
        let task = here.and_then(|here| here.hold(self.key()));
        self.holder
            .store(task.map_or(0, TaskId::to_bits), Ordering::Relaxed);
        MutexGuard { mutex: self, guard }
    }
}

impl<P: Platform, T: ?Sized> fmt::Debug for Mutex<P, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mutex")
            .field("holder", &self.holder())
            .finish_non_exhaustive()
    }
}

/// Sole access, until dropped.
pub struct MutexGuard<'a, P: Platform, T: ?Sized> {
    mutex: &'a Mutex<P, T>,
    guard: WriteGuard<'a, T>,
}

impl<P: Platform, T: ?Sized> Deref for MutexGuard<'_, P, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<P: Platform, T: ?Sized> DerefMut for MutexGuard<'_, P, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}

impl<P: Platform, T: ?Sized> Drop for MutexGuard<'_, P, T> {
    fn drop(&mut self) {
        // Before the permit goes to the next.
        let holder = self.mutex.holder.swap(0, Ordering::Relaxed);
        if let Some(here) = P::fleet().here() {
            here.let_go(TaskId::from_bits(holder), self.mutex.key());
        }
    }
}

impl<P: Platform, T: ?Sized + fmt::Debug> fmt::Debug for MutexGuard<'_, P, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
