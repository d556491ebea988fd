//! Windows onto device registers.

use kerncore::boot_info::PhysRange;

use super::paging::{Cache, MapError, PageFlags, map_page};
use super::vspace::{self, PAGE};

/// A mapped range of device memory. Offsets are in bytes and must be naturally aligned and inside the window:
/// a driver that errs reads all ones and writes nothing, as on an empty bus.
#[derive(Debug)]
pub struct Mmio {
    base: *mut u8,
    len: usize,
}

// SAFETY: the window is device memory that lives for ever; accesses are single volatile ones, and which core
// makes them does not matter to the device.
unsafe impl Send for Mmio {}
// SAFETY: as above.
unsafe impl Sync for Mmio {}

/// Maps `len` bytes of device memory at physical address `physical`, which is not trusted: it may come from damaged tables.
///
/// # Errors
/// [`MapError::BadRange`] beyond the processor's physical addresses, where an access would fault; [`MapError::Ram`] where the
/// kernel's own memory is, which a driver's writes would damage.
pub fn map_mmio(physical: u64, len: usize, cache: Cache) -> Result<Mmio, MapError> {
    let first = physical & !(PAGE - 1);
    let end = physical.checked_add(len as u64).ok_or(MapError::BadRange)?;
    let address_bits = crate::cpu::features().physical_address_bits.min(52);
    if len == 0 || end > 1 << u32::from(address_bits) {
        return Err(MapError::BadRange);
    }
    if crate::boot::boot_memory()
        .map
        .overlaps_own_ram(PhysRange::new(physical, end))
    {
        return Err(MapError::Ram);
    }
    let pages = (end - first).div_ceil(PAGE);
    let address = vspace::reserve(pages)?;
    for page in 0..pages {
        map_page(
            address + page * PAGE,
            first + page * PAGE,
            PageFlags::device(cache),
        )?;
    }
    Ok(Mmio {
        base: (address + (physical - first)) as *mut u8,
        len,
    })
}

macro_rules! accessors {
    ($($read:ident $write:ident $type:ty;)*) => {$(
        /// Reads the register at `offset`.
        #[inline]
        pub fn $read(&self, offset: usize) -> $type {
            match self.at::<$type>(offset) {
                // SAFETY: inside the window and aligned; reading device memory is what it is for.
                Some(register) => unsafe { register.read_volatile() },
                None => <$type>::MAX,
            }
        }

        /// Writes the register at `offset`.
        #[inline]
        pub fn $write(&self, offset: usize, value: $type) {
            if let Some(register) = self.at::<$type>(offset) {
                // SAFETY: as above.
                unsafe { register.write_volatile(value) }
            }
        }
    )*};
}

impl Mmio {
    #[inline]
    fn at<T>(&self, offset: usize) -> Option<*mut T> {
        let inside = offset.checked_add(size_of::<T>())? <= self.len;
        (inside && offset.is_multiple_of(align_of::<T>()))
            .then(|| self.base.wrapping_add(offset).cast())
    }

    /// First byte of the window.
    pub fn as_mut_ptr(&self) -> *mut u8 {
        self.base
    }

    /// Length of the window in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the window has no bytes (it never has).
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    accessors! {
        read8 write8 u8;
        read16 write16 u16;
        read32 write32 u32;
        read64 write64 u64;
    }
}
