//! A framebuffer in a mapped vmo.

use console::Framebuffer;
use proto::FramebufferInfo;
use rt::sys::memory::{Mapping, copy_into};

/// Pixels put together before they are copied.
const BATCH_PIXELS: usize = 256;
/// A pixel whose bytes all differ.
const PATTERN: u32 = 0x0012_3456;
/// Most bytes of a pixel.
const MOST_PIXEL_BYTES: usize = 4;

/// The pixels.
pub struct Pixels {
    info: FramebufferInfo,
    /// A pixel in memory is as the console gives it, lowest byte first.
    is_plain: bool,
    mapping: Mapping,
}

impl Pixels {
    /// Those that `info` describes, which was checked against what is mapped.
    pub fn new(info: FramebufferInfo, mapping: Mapping) -> Self {
        Self {
            is_plain: info.bits_per_pixel == 32 && info.pack(PATTERN) == PATTERN,
            info,
            mapping,
        }
    }

    /// Writes pixels of one row; what is outside of the picture is left out.
    fn write_row(&self, x: u32, y: u32, pixels: &[u32]) {
        let room = self.info.width.saturating_sub(x) as usize;
        let pixels = pixels.get(..room.min(pixels.len())).unwrap_or_default();
        let Some(start) = self.info.position(x, y) else {
            return;
        };
        let bytes_each = self.info.pixel_bytes() as usize;
        let mut offset = start as usize;
        for batch in pixels.chunks(BATCH_PIXELS) {
            let mut bytes = [0; BATCH_PIXELS * MOST_PIXEL_BYTES];
            let len = batch.len() * bytes_each;
            if self.is_plain {
                let (places, _) = bytes.as_chunks_mut::<MOST_PIXEL_BYTES>();
                for (place, pixel) in places.iter_mut().zip(batch) {
                    *place = pixel.to_le_bytes();
                }
            } else {
                for (place, pixel) in bytes.chunks_exact_mut(bytes_each).zip(batch) {
                    let packed = self.info.pack(*pixel).to_le_bytes();
                    for (to, from) in place.iter_mut().zip(packed) {
                        *to = from;
                    }
                }
            }
            // Inside: the description was checked.
            let copied = copy_into(&self.mapping, offset, bytes.get(..len).unwrap_or_default());
            debug_assert!(copied);
            offset += len;
        }
    }
}

impl Framebuffer for Pixels {
    fn size(&self) -> (u32, u32) {
        (self.info.width, self.info.height)
    }

    fn write_rect(&mut self, x: u32, y: u32, width: u32, pixels: &[u32]) {
        for (row, line) in pixels.chunks(width.max(1) as usize).enumerate() {
            let y = u32::try_from(row).ok().and_then(|row| y.checked_add(row));
            if let Some(y) = y {
                self.write_row(x, y, line);
            }
        }
    }
}
