//! Memory that a device and its driver exchange content by.

use abi::Error;
use abi::memory::{MapFlags, PAGE_BYTES};

use super::memory::Mapping;
use super::object::Dma;

/// Memory that one holder and one device reach, and nobody else.
///
/// There are slices of it, as nothing copies content that a device has written. So a driver tells the device to write only where it
/// holds no slice: that far who holds a [`Dma`] is trusted, which can have the device write anywhere anyway.
#[derive(Debug)]
pub struct DmaBytes(Mapping);

impl Dma {
    /// Zeroed memory and the address that the device knows it by. It stays until the device is closed.
    ///
    /// # Errors
    /// As [`Dma::memory`], and as mapping it.
    pub fn bytes(&self, bytes: usize) -> Result<(DmaBytes, u64), Error> {
        let bytes = (bytes as u64)
            .checked_next_multiple_of(PAGE_BYTES)
            .ok_or(Error::OutOfRange)?;
        // The vmo is closed here, so there is no other mapping of it.
        let (vmo, address) = self.memory(bytes)?;
        Ok((DmaBytes(vmo.map(0, bytes, MapFlags::WRITE)?), address))
    }
}

impl DmaBytes {
    /// Its length in bytes.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it has no bytes, which none has.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A part; `None` outside.
    #[must_use]
    pub fn slice(&self, offset: usize, len: usize) -> Option<&[u8]> {
        let start = self.0.at(offset, len, 1)?;
        // SAFETY: within the only mapping of this memory, which lives as long as `self`; the device does not write there, as its
        // driver promises.
        Some(unsafe { core::slice::from_raw_parts(start, len) })
    }

    /// A part, to be changed; `None` outside.
    #[must_use]
    pub fn slice_mut(&mut self, offset: usize, len: usize) -> Option<&mut [u8]> {
        let start = self.0.at(offset, len, 1)?;
        // SAFETY: as in `slice`; borrowed from `self` alone, and mapped for writing.
        Some(unsafe { core::slice::from_raw_parts_mut(start, len) })
    }
}
