//! The linear framebuffer that firmware or the loader set up, mapped write-combining.

use core::fmt;

use kerncore::boot_info::{self, FramebufferError, PixelFormat};

use crate::mem::{Cache, MapError, Mmio, map_mmio};

/// Why there is nothing to draw on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoFramebuffer {
    /// None was handed over.
    Absent,
    /// What was handed over makes no sense.
    Unusable(FramebufferError),
    /// It cannot be mapped.
    Map(MapError),
}

impl fmt::Display for NoFramebuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => {
                f.write_str("no framebuffer from firmware or boot loader; use the serial console")
            }
            Self::Unusable(why) => why.fmt(f),
            Self::Map(why) => write!(
                f,
                "the framebuffer cannot be mapped: {why}; use the serial console"
            ),
        }
    }
}

/// Pixels that can be written. Reading them back is slow on real hardware, so there is no way to.
#[derive(Debug)]
pub struct Framebuffer {
    pixels: Mmio,
    info: boot_info::Framebuffer,
}

/// Maps the framebuffer of this boot.
pub fn map() -> Result<Framebuffer, NoFramebuffer> {
    map_device(
        crate::boot::boot_info()
            .framebuffer
            .ok_or(NoFramebuffer::Absent)?,
    )
}

/// Maps the pixels of a display adapter that a driver has set up. `info` is checked, but that its range is the adapter's is
/// the driver's word.
pub fn map_device(info: boot_info::Framebuffer) -> Result<Framebuffer, NoFramebuffer> {
    info.check().map_err(NoFramebuffer::Unusable)?;
    let len =
        usize::try_from(info.len_bytes()).map_err(|_| NoFramebuffer::Map(MapError::BadRange))?;
    let pixels = map_mmio(info.address, len, Cache::WriteCombining).map_err(NoFramebuffer::Map)?;
    Ok(Framebuffer { pixels, info })
}

impl Framebuffer {
    /// Where the pixels are and how they are laid out.
    pub fn info(&self) -> &boot_info::Framebuffer {
        &self.info
    }

    /// Pixels in a row.
    pub fn width(&self) -> u32 {
        self.info.width
    }

    /// Rows.
    pub fn height(&self) -> u32 {
        self.info.height
    }

    /// Bits of one pixel in memory.
    pub fn bits_per_pixel(&self) -> u8 {
        self.info.bits_per_pixel
    }

    /// Writes `colours` (0x00RRGGBB) to the pixels from (`x`, `y`) rightwards. What lies outside is left out.
    pub fn write_row(&self, x: u32, y: u32, colours: &[u32]) {
        if x >= self.info.width || y >= self.info.height {
            return;
        }
        let room = (self.info.width - x) as usize;
        let colours = colours.get(..room.min(colours.len())).unwrap_or(&[]);
        let bytes_per_pixel = usize::from(self.info.bits_per_pixel / 8);
        let offset = y as usize * self.info.stride_bytes as usize + x as usize * bytes_per_pixel;
        if self.info.bits_per_pixel == 32 && self.info.format == PixelFormat::BGRX8888 {
            // SAFETY: `check` saw to it that rows lie inside the mapped range, and x and y are inside as just checked;
            // the pixels are device memory nobody holds references to, 4-byte aligned or written bytewise by the copy.
            unsafe {
                let to = self.pixels.as_mut_ptr().add(offset);
                core::ptr::copy_nonoverlapping(
                    colours.as_ptr().cast::<u8>(),
                    to,
                    size_of_val(colours),
                );
            }
            return;
        }
        for (index, &colour) in colours.iter().enumerate() {
            let [_, red, green, blue] = colour.to_be_bytes();
            let encoded = self.info.format.encode(red, green, blue).to_le_bytes();
            for (byte, &value) in encoded.iter().take(bytes_per_pixel).enumerate() {
                self.pixels
                    .write8(offset + index * bytes_per_pixel + byte, value);
            }
        }
    }
}
