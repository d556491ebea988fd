//! Counting permits.

use core::mem;

use super::Disconnected;
use crate::raw::gate::Gate;

/// Permits that tasks take and give back, first come first served.
#[derive(Debug)]
pub struct Semaphore(pub(crate) Gate);

impl Semaphore {
    /// The most permits there can be.
    pub const MAX_PERMITS: usize = usize::MAX >> 3;

    /// A semaphore with so many permits.
    #[cfg(not(loom))]
    pub const fn new(permits: usize) -> Semaphore {
        Semaphore(Gate::new(permits, Self::MAX_PERMITS))
    }

    /// A semaphore with so many permits.
    #[cfg(loom)]
    pub fn new(permits: usize) -> Semaphore {
        Semaphore(Gate::new(permits, Self::MAX_PERMITS))
    }

    /// Waits for permits. Cancel-safe; keeps its place in the line while it waits.
    ///
    /// # Errors
    /// [`Disconnected`] once the semaphore is closed.
    pub async fn acquire(&self, permits: usize) -> Result<Permit<'_>, Disconnected> {
        self.0.acquire(permits).await.map_err(|_| Disconnected)?;
        Ok(Permit {
            semaphore: self,
            permits,
        })
    }

    /// Permits, if they are there and nobody waits.
    pub fn try_acquire(&self, permits: usize) -> Option<Permit<'_>> {
        (self.0.try_acquire(permits) == Ok(true)).then(|| Permit {
            semaphore: self,
            permits,
        })
    }

    /// Adds permits. Never spins: may be called from interrupt handlers.
    pub fn release(&self, permits: usize) {
        self.0.release(permits);
    }

    /// Ends waiting for good: all who wait or come later get an error.
    pub fn close(&self) {
        self.0.close();
    }

    /// How many permits could be taken now.
    pub fn available(&self) -> usize {
        self.0.available()
    }
}

/// Permits taken; given back when dropped.
#[derive(Debug)]
#[must_use = "dropping the permit gives it back"]
pub struct Permit<'a> {
    semaphore: &'a Semaphore,
    permits: usize,
}

impl Permit<'_> {
    /// Keeps the permits out of the semaphore for good.
    pub fn forget(self) {
        mem::forget(self);
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.semaphore.release(self.permits);
    }
}
