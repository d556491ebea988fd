//! Reading and writing a space's memory by address, through its vmos: for drivers of threads, debuggers and loaders.
//!
//! The page tables are neither used nor changed. What the space's own threads may not do at an address, this does not either.

use abi::Error;
use abi::memory::PAGE_BYTES;

use super::{Found, Space};
use crate::memory::machine::{Machine, Touch};
use crate::memory::vmo::Blocked;

impl<M: Machine> Space<M> {
    fn find_for(&self, address: u64, touch: Touch) -> Result<(Found<M>, u64), Error> {
        let found = self.find(address).ok_or(Error::BadAddress)?;
        if !found.access.allows(touch) {
            return Err(Error::BadAddress);
        }
        if found.vmo.is_revoked(found.key) {
            return Err(Error::Revoked);
        }
        let offset = found.page.saturating_mul(PAGE_BYTES);
        let offset = offset.saturating_add(address % PAGE_BYTES);
        Ok((found, offset))
    }

    /// Copies bytes out, as many as lie in one page; returns how many.
    ///
    /// # Errors
    /// [`Error::BadAddress`] where nothing is mapped or the vmo was cut; those of [`try_read`](crate::memory::Vmo).
    pub fn try_read(&self, address: u64, into: &mut [u8]) -> Result<usize, Blocked<M>> {
        let (found, offset) = self.find_for(address, Touch::Read)?;
        found.vmo.try_read(offset, into).map_err(as_address)
    }

    /// Copies bytes in, as many as lie in one page; returns how many.
    ///
    /// # Errors
    /// [`Error::BadAddress`] where nothing is mapped or writes are not allowed; those of [`try_write`](crate::memory::Vmo).
    pub fn try_write(&self, address: u64, from: &[u8]) -> Result<usize, Blocked<M>> {
        let (found, offset) = self.find_for(address, Touch::Write)?;
        found.vmo.try_write(offset, from).map_err(as_address)
    }

    /// Copies bytes out, waiting for pagers.
    ///
    /// # Errors
    /// [`Error::BadAddress`], [`Error::Revoked`], [`Error::Unsupported`] for a device's memory, [`Error::PagerFailed`], [`Error::NoMemory`].
    pub async fn read(&self, address: u64, into: &mut [u8]) -> Result<(), Error> {
        let mut done = 0;
        while let Some(rest) = into.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let at = address.checked_add(done as u64).ok_or(Error::BadAddress)?;
            match self.try_read(at, rest) {
                Ok(len) => done += len,
                Err(blocked) => blocked.resolve().await?,
            }
            M::checkpoint().await;
        }
        Ok(())
    }

    /// Copies bytes in, waiting for pagers and other cores.
    ///
    /// # Errors
    /// As [`read`](Self::read); what lies before the offending page is written then.
    pub async fn write(&self, address: u64, from: &[u8]) -> Result<(), Error> {
        let mut done = 0;
        while let Some(rest) = from.get(done..).filter(|rest| !rest.is_empty()) {
            let at = address.checked_add(done as u64).ok_or(Error::BadAddress)?;
            match self.try_write(at, rest) {
                Ok(len) => done += len,
                Err(blocked) => blocked.resolve().await?,
            }
            M::checkpoint().await;
        }
        Ok(())
    }
}

/// Beyond the end of a vmo that was cut there is no address.
fn as_address<M: Machine>(blocked: Blocked<M>) -> Blocked<M> {
    match blocked {
        Blocked::Failed(Error::OutOfRange) => Blocked::Failed(Error::BadAddress),
        other => other,
    }
}
