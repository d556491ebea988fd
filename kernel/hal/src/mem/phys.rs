//! Reading physical memory that the direct map may not cover, such as firmware tables in reserved ranges.

use spin::Mutex;

use super::paging::{Access, MapError, PageFlags, map_page, unmap_page};
use super::vspace::{self, PAGE};

/// Why physical memory could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PhysError {
    /// The range wraps around or lies beyond what a page table entry can name.
    BadRange,
    /// No window could be mapped onto it.
    Map(MapError),
}

/// The one page through which such memory is looked at, made at the first use.
static WINDOW: Mutex<Option<u64>> = Mutex::new(None);

/// Copies `buffer.len()` bytes from physical address `address`.
///
/// Meant for firmware tables at boot: a page is mapped and unmapped for each page read. The address is not
/// trusted; memory that does not exist reads as whatever the bus answers.
pub fn read(address: u64, buffer: &mut [u8]) -> Result<(), PhysError> {
    let end = address
        .checked_add(buffer.len() as u64)
        .ok_or(PhysError::BadRange)?;
    if end > 1 << u32::from(crate::cpu::features().physical_address_bits.min(52)) {
        return Err(PhysError::BadRange);
    }
    let mut window = WINDOW.lock();
    let page = match *window {
        Some(page) => page,
        None => *window.insert(vspace::reserve(1).map_err(PhysError::Map)?),
    };
    let mut at = address;
    let mut rest = buffer;
    while !rest.is_empty() {
        let within = at % PAGE;
        let (now, later) = rest.split_at_mut(rest.len().min((PAGE - within) as usize));
        map_page(page, at - within, PageFlags::kernel(Access::ReadOnly)).map_err(PhysError::Map)?;
        // Another core may have had another page here, and this one may have looked at it in passing.
        super::user_tables::flush_page(page);
        for (offset, byte) in now.iter_mut().enumerate() {
            // SAFETY: the page is mapped, and `within + offset` stays inside it. Volatile: firmware or devices
            // may change it, and any byte value is a `u8`.
            *byte = unsafe { ((page + within) as *const u8).add(offset).read_volatile() };
        }
        unmap_page(page).map_err(PhysError::Map)?;
        at += now.len() as u64;
        rest = later;
    }
    Ok(())
}
