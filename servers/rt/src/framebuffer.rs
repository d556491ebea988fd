//! A framebuffer that the kernel gave, mapped.

use core::fmt;

use abi::Error;
use abi::memory::{MapFlags, PAGE_BYTES};
use proto::FramebufferInfo;
use proto::framebuffer::BadFramebuffer;

use crate::Env;
use crate::sys::env::Missing;
use crate::sys::memory::{Mapping, copy_into};
use crate::sys::object::Vmo;

/// Pixels put together before they are copied.
const BATCH_PIXELS: usize = 256;
/// A pixel whose bytes all differ.
const PATTERN: u32 = 0x0012_3456;
/// Most bytes of a pixel.
const MOST_PIXEL_BYTES: usize = 4;

/// Why there is no framebuffer to be used.
#[derive(Debug)]
pub enum NoFramebuffer {
    /// A handle is not there.
    Handle(Missing),
    /// A step failed.
    Step(&'static str, Error),
    /// The description is none.
    Bad(BadFramebuffer),
}

impl fmt::Display for NoFramebuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Handle(missing) => missing.fmt(f),
            Self::Step(step, error) => write!(f, "{step}: {error}"),
            Self::Bad(bad) => bad.fmt(f),
        }
    }
}

impl core::error::Error for NoFramebuffer {}

/// The pixels.
#[derive(Debug)]
pub struct Framebuffer {
    info: FramebufferInfo,
    /// A pixel in memory is 0xRRGGBB, lowest byte first.
    is_plain: bool,
    mapping: Mapping,
}

impl Framebuffer {
    /// Maps the pixels of the handles `name` and `info_name` (see [`proto::framebuffer`]).
    ///
    /// # Errors
    /// See [`NoFramebuffer`].
    pub fn take(env: &mut Env, name: &str, info_name: &str) -> Result<Self, NoFramebuffer> {
        let vmo: Vmo = env.take(name).map_err(NoFramebuffer::Handle)?;
        let description: Vmo = env.take(info_name).map_err(NoFramebuffer::Handle)?;
        let mut block = [0; size_of::<FramebufferInfo>()];
        description
            .read(0, &mut block)
            .map_err(|error| NoFramebuffer::Step("reading the framebuffer's description", error))?;
        let bytes = vmo
            .sizes()
            .map_err(|error| NoFramebuffer::Step("measuring the framebuffer", error))?
            .size_bytes;
        let info = FramebufferInfo::parse(&block, bytes).map_err(NoFramebuffer::Bad)?;
        let len = bytes.next_multiple_of(PAGE_BYTES);
        let mapping = vmo
            .map(0, len, MapFlags::WRITE)
            .map_err(|error| NoFramebuffer::Step("mapping the framebuffer", error))?;
        Ok(Self {
            is_plain: info.bits_per_pixel == 32 && info.pack(PATTERN) == PATTERN,
            info,
            mapping,
        })
    }

    /// Columns and rows.
    #[must_use]
    pub const fn size(&self) -> (u32, u32) {
        (self.info.width, self.info.height)
    }

    /// Writes pixels of one row, each 0xRRGGBB (what is above is left out); what is outside of the picture is left out too.
    pub fn write_row(&self, x: u32, y: u32, pixels: &[u32]) {
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
