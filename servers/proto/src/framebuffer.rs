//! The block that says what the pixels of a framebuffer vmo are.
//!
//! Who is given a framebuffer gets two vmos: `framebuffer`, the pixels, to be mapped for writing, and `framebuffer.info`, whose
//! first bytes are a [`FramebufferInfo`].

use core::fmt;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// "RAEDEFB1", little-endian.
pub const MAGIC: u64 = u64::from_le_bytes(*b"RAEDEFB1");
/// Most pixels in a row, and rows.
pub const MAX_SIDE: u32 = 16384;

/// Where a colour lies in a pixel.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Channel {
    /// Its lowest bit.
    pub shift: u8,
    /// Its bits, 1 to 8.
    pub bits: u8,
}

/// What the pixels are: 48 bytes.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct FramebufferInfo {
    /// [`MAGIC`].
    pub magic: u64,
    /// The first pixel's byte in the vmo.
    pub offset_bytes: u64,
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Bytes from one row to the next.
    pub pitch_bytes: u32,
    /// Bits of a pixel in memory: 16, 24 or 32, lowest byte first.
    pub bits_per_pixel: u32,
    /// Red.
    pub red: Channel,
    /// Green.
    pub green: Channel,
    /// Blue.
    pub blue: Channel,
    /// 0.
    pub reserved: [u8; 10],
}

/// Why pixels cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadFramebuffer {
    /// The block does not begin with the magic number, or is cut.
    Magic,
    /// There is none: the machine has pixels only where a graphics device's driver puts them.
    Absent,
    /// No pixels, or more than [`MAX_SIDE`] in a row or column.
    Size,
    /// Not 16, 24 or 32 bits per pixel, or a colour outside of them.
    Format,
    /// Rows overlap, or the last one ends behind the vmo.
    Range,
}

impl fmt::Display for BadFramebuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Magic => "framebuffer.info does not hold a framebuffer's description",
            Self::Absent => "this machine's firmware set up no framebuffer",
            Self::Size => "the framebuffer has no pixels, or too many",
            Self::Format => "the framebuffer's pixels are of no known format",
            Self::Range => "the framebuffer's rows overlap or lie outside of its memory",
        })
    }
}

impl core::error::Error for BadFramebuffer {}

impl FramebufferInfo {
    /// Says that there is none.
    #[must_use]
    pub fn absent() -> Self {
        Self {
            magic: MAGIC,
            ..Self::default()
        }
    }

    /// Reads a block and checks it against a vmo of `vmo_bytes`.
    ///
    /// # Errors
    /// See [`BadFramebuffer`].
    pub fn parse(block: &[u8], vmo_bytes: u64) -> Result<Self, BadFramebuffer> {
        let (info, _) = Self::read_from_prefix(block).map_err(|_| BadFramebuffer::Magic)?;
        if info.magic != MAGIC {
            return Err(BadFramebuffer::Magic);
        }
        if info.width == 0 && info.height == 0 {
            return Err(BadFramebuffer::Absent);
        }
        let sides = 1..=MAX_SIDE;
        if !sides.contains(&info.width) || !sides.contains(&info.height) {
            return Err(BadFramebuffer::Size);
        }
        let inside = |channel: Channel| {
            (1..=8).contains(&channel.bits)
                && u32::from(channel.shift) + u32::from(channel.bits) <= info.bits_per_pixel
        };
        if !matches!(info.bits_per_pixel, 16 | 24 | 32)
            || ![info.red, info.green, info.blue].into_iter().all(inside)
        {
            return Err(BadFramebuffer::Format);
        }
        if info.pitch_bytes < info.width * info.pixel_bytes() {
            return Err(BadFramebuffer::Range);
        }
        // Below 2^14 * 2^32: no overflow but by the offset.
        let rows = u64::from(info.height - 1) * u64::from(info.pitch_bytes);
        let end = info
            .offset_bytes
            .checked_add(rows + u64::from(info.width * info.pixel_bytes()));
        if end.is_none_or(|end| end > vmo_bytes) {
            return Err(BadFramebuffer::Range);
        }
        Ok(info)
    }

    /// Bytes of a pixel.
    #[must_use]
    pub const fn pixel_bytes(&self) -> u32 {
        self.bits_per_pixel / 8
    }

    /// The byte in the vmo of a pixel; `None` outside of the picture.
    #[must_use]
    pub fn position(&self, x: u32, y: u32) -> Option<u64> {
        if x >= self.width || y >= self.height {
            return None;
        }
        let row = u64::from(y) * u64::from(self.pitch_bytes);
        Some(self.offset_bytes + row + u64::from(x * self.pixel_bytes()))
    }

    /// A pixel given as `0x00RRGGBB` in this format. Its bytes are the lowest [`pixel_bytes`](Self::pixel_bytes) ones.
    #[must_use]
    pub fn pack(&self, pixel: u32) -> u32 {
        let [_, red, green, blue] = pixel.to_be_bytes();
        place(self.red, red) | place(self.green, green) | place(self.blue, blue)
    }
}

fn place(channel: Channel, value: u8) -> u32 {
    let value = u32::from(value) >> 8_u32.saturating_sub(u32::from(channel.bits));
    value.checked_shl(u32::from(channel.shift)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info() -> FramebufferInfo {
        let channel = |shift| Channel { shift, bits: 8 };
        FramebufferInfo {
            magic: MAGIC,
            offset_bytes: 16,
            width: 10,
            height: 4,
            pitch_bytes: 48,
            bits_per_pixel: 32,
            red: channel(16),
            green: channel(8),
            blue: channel(0),
            ..FramebufferInfo::default()
        }
    }

    const BYTES: u64 = 16 + 3 * 48 + 40;

    fn parse(info: &FramebufferInfo) -> Result<FramebufferInfo, BadFramebuffer> {
        FramebufferInfo::parse(info.as_bytes(), BYTES)
    }

    #[test]
    fn a_block_is_read_and_measured() {
        assert_eq!(size_of::<FramebufferInfo>(), 48);
        let info = parse(&info()).expect("it is right");
        assert_eq!(info.position(0, 0), Some(16));
        assert_eq!(info.position(9, 3), Some(BYTES - 4));
        assert_eq!(info.position(10, 0), None);
        assert_eq!(info.position(0, 4), None);
        assert_eq!(info.pack(0x0012_3456), 0x0012_3456);
    }

    #[test]
    fn narrow_pixels_keep_the_upper_bits() {
        let narrow = FramebufferInfo {
            bits_per_pixel: 16,
            red: Channel { shift: 11, bits: 5 },
            green: Channel { shift: 5, bits: 6 },
            blue: Channel { shift: 0, bits: 5 },
            ..info()
        };
        assert_eq!(parse(&narrow), Ok(narrow));
        assert_eq!(narrow.pack(0x00ff_ffff), 0xffff);
        assert_eq!(narrow.pack(0x00f8_0408), 0xf821);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let wrong = |change: fn(&mut FramebufferInfo)| {
            let mut info = info();
            change(&mut info);
            parse(&info).err()
        };
        assert_eq!(wrong(|info| info.magic += 1), Some(BadFramebuffer::Magic));
        assert_eq!(wrong(|info| info.width = 0), Some(BadFramebuffer::Size));
        assert_eq!(
            wrong(|info| info.height = u32::MAX),
            Some(BadFramebuffer::Size)
        );
        assert_eq!(
            wrong(|info| info.bits_per_pixel = 31),
            Some(BadFramebuffer::Format)
        );
        assert_eq!(
            wrong(|info| info.red.shift = 25),
            Some(BadFramebuffer::Format)
        );
        assert_eq!(
            wrong(|info| info.blue.bits = 0),
            Some(BadFramebuffer::Format)
        );
        assert_eq!(
            wrong(|info| info.pitch_bytes = 39),
            Some(BadFramebuffer::Range)
        );
        assert_eq!(
            wrong(|info| info.offset_bytes = 17),
            Some(BadFramebuffer::Range)
        );
        assert_eq!(
            wrong(|info| info.offset_bytes = u64::MAX),
            Some(BadFramebuffer::Range)
        );
        assert_eq!(
            FramebufferInfo::parse(&[0; 47], u64::MAX),
            Err(BadFramebuffer::Magic)
        );
    }
}
