//! Many readers or one writer.

use core::fmt;

use crate::raw::guarded::{self, Guarded, ReadGuard, WriteGuard};

const READERS: usize = 1 << 20;

/// A value that many tasks may read at once, or one may change. First come, first served: readers that come after a
/// waiting writer wait behind it.
pub struct RwLock<T: ?Sized>(pub(crate) Guarded<T>);

impl<T> RwLock<T> {
    /// A free lock around `value`.
    #[cfg(not(loom))]
    pub const fn new(value: T) -> RwLock<T> {
        RwLock(Guarded::new(value, READERS))
    }

    /// A free lock around `value`.
    #[cfg(loom)]
    pub fn new(value: T) -> RwLock<T> {
        RwLock(Guarded::new(value, READERS))
    }

    /// The value.
    pub fn into_inner(self) -> T {
        self.0.into_inner()
    }
}

impl<T: ?Sized> RwLock<T> {
    /// Awaits shared access. Cancel-safe.
    pub async fn read(&self) -> ReadGuard<'_, T> {
        guarded::read(&self.0).await
    }

    /// Awaits sole access. Cancel-safe.
    pub async fn write(&self) -> WriteGuard<'_, T> {
        guarded::write(&self.0, READERS).await
    }

    /// Shared access, if nobody has or awaits sole access.
    pub fn try_read(&self) -> Option<ReadGuard<'_, T>> {
        guarded::try_read(&self.0)
    }

    /// Sole access, if nobody has any.
    pub fn try_write(&self) -> Option<WriteGuard<'_, T>> {
        guarded::try_write(&self.0, READERS)
    }

    /// The value, which nobody else can reach.
    pub fn get_mut(&mut self) -> &mut T {
        self.0.get_mut()
    }
}

impl<T: ?Sized> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RwLock { .. }")
    }
}
