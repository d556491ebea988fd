//! A linear framebuffer as firmware describes it, and whether the description adds up.

use core::fmt;

/// Where one colour channel lies within a pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Channel {
    /// Lowest bit.
    pub shift: u8,
    /// Number of bits; 0 if the pixel has no such channel.
    pub width: u8,
}

impl Channel {
    /// The channel of a bit mask. `None` if its bits are not consecutive.
    pub const fn from_mask(mask: u32) -> Option<Self> {
        if mask == 0 {
            return Some(Self { shift: 0, width: 0 });
        }
        let shift = mask.trailing_zeros() as u8;
        let width = mask.count_ones() as u8;
        if mask.leading_zeros() as u8 + shift + width == 32 {
            Some(Self { shift, width })
        } else {
            None
        }
    }

    /// The channel as a bit mask.
    pub const fn mask(self) -> u32 {
        let ones = if self.width >= 32 {
            u32::MAX
        } else {
            (1 << self.width) - 1
        };
        if self.shift >= 32 {
            0
        } else {
            ones << self.shift
        }
    }

    /// The bits of an intensity of 0..=255 at this channel's place.
    pub const fn encode(self, intensity: u8) -> u32 {
        let value = if self.width >= 8 {
            // Repeat the byte so that 255 becomes all ones at any width.
            let repeated = intensity as u32 * 0x0101_0101;
            if self.width >= 32 {
                repeated
            } else {
                repeated >> (32 - self.width)
            }
        } else {
            intensity as u32 >> (8 - self.width)
        };
        if self.shift >= 32 {
            0
        } else {
            value << self.shift
        }
    }
}

/// How a pixel's bits are laid out in memory (little-endian).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PixelFormat {
    /// Red.
    pub red: Channel,
    /// Green.
    pub green: Channel,
    /// Blue.
    pub blue: Channel,
}

impl PixelFormat {
    /// 32-bit pixels with blue in the lowest byte, what nearly all PC firmware offers.
    pub const BGRX8888: Self = Self {
        red: Channel {
            shift: 16,
            width: 8,
        },
        green: Channel { shift: 8, width: 8 },
        blue: Channel { shift: 0, width: 8 },
    };
    /// 32-bit pixels with red in the lowest byte.
    pub const RGBX8888: Self = Self {
        red: Channel { shift: 0, width: 8 },
        green: Channel { shift: 8, width: 8 },
        blue: Channel {
            shift: 16,
            width: 8,
        },
    };

    /// The pixel value of a colour.
    pub const fn encode(self, red: u8, green: u8, blue: u8) -> u32 {
        self.red.encode(red) | self.green.encode(green) | self.blue.encode(blue)
    }
}

/// A linear framebuffer set up by firmware or the loader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Framebuffer {
    /// Physical address of the first pixel.
    pub address: u64,
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Bytes from one row to the next.
    pub stride_bytes: u32,
    /// Bits of one pixel in memory: 16, 24 or 32.
    pub bits_per_pixel: u8,
    /// Where the colours lie in a pixel.
    pub format: PixelFormat,
}

/// Why a framebuffer cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FramebufferError {
    /// Width or height is 0 or above [`Framebuffer::MAX_SIDE`].
    Size {
        /// Pixels in a row.
        width: u32,
        /// Rows.
        height: u32,
    },
    /// Not 16, 24 or 32 bits per pixel.
    Depth(u8),
    /// A row does not fit its stride.
    Stride {
        /// Bytes from one row to the next, as given.
        stride_bytes: u32,
        /// Bytes a row needs.
        row_bytes: u64,
    },
    /// A colour channel lies outside the pixel or two overlap.
    Channels(PixelFormat),
    /// The range is at address 0 or wraps around the address space.
    Address(u64),
}

impl fmt::Display for FramebufferError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size { width, height } => write!(f, "size of {width} x {height} pixels")?,
            Self::Depth(bits) => write!(f, "{bits} bits per pixel (16, 24 or 32 can be used)")?,
            Self::Stride {
                stride_bytes,
                row_bytes,
            } => {
                write!(
                    f,
                    "stride of {stride_bytes} bytes for rows of {row_bytes} bytes"
                )?;
            }
            Self::Channels(_) => f.write_str("colour channels outside the pixel or overlapping")?,
            Self::Address(address) => write!(f, "address {address:#x}")?,
        }
        f.write_str(
            ": the framebuffer from the boot loader is not used; the serial console still works",
        )
    }
}

impl Framebuffer {
    /// No display has more pixels on a side; a bound that keeps all products small.
    pub const MAX_SIDE: u32 = 32768;

    /// Bytes from the first pixel to the end of the last row.
    pub const fn len_bytes(&self) -> u64 {
        self.stride_bytes as u64 * self.height as u64
    }

    /// Whether what firmware said fits together.
    ///
    /// # Errors
    /// [`FramebufferError`] naming the field that does not.
    pub fn check(&self) -> Result<(), FramebufferError> {
        let sides = 1..=Self::MAX_SIDE;
        if !sides.contains(&self.width) || !sides.contains(&self.height) {
            return Err(FramebufferError::Size {
                width: self.width,
                height: self.height,
            });
        }
        if !matches!(self.bits_per_pixel, 16 | 24 | 32) {
            return Err(FramebufferError::Depth(self.bits_per_pixel));
        }
        let row_bytes = u64::from(self.width) * u64::from(self.bits_per_pixel / 8);
        if u64::from(self.stride_bytes) < row_bytes {
            return Err(FramebufferError::Stride {
                stride_bytes: self.stride_bytes,
                row_bytes,
            });
        }
        let mut taken = 0u32;
        for channel in [self.format.red, self.format.green, self.format.blue] {
            let past = u32::from(channel.shift) + u32::from(channel.width);
            if past > u32::from(self.bits_per_pixel) || taken & channel.mask() != 0 {
                return Err(FramebufferError::Channels(self.format));
            }
            taken |= channel.mask();
        }
        if taken == 0 {
            return Err(FramebufferError::Channels(self.format));
        }
        if self.address == 0 || self.address.checked_add(self.len_bytes()).is_none() {
            return Err(FramebufferError::Address(self.address));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_encoded_per_mask() {
        assert_eq!(PixelFormat::BGRX8888.encode(0x11, 0x22, 0x33), 0x112233);
        assert_eq!(PixelFormat::RGBX8888.encode(0x11, 0x22, 0x33), 0x332211);
        let rgb565 = PixelFormat {
            red: Channel::from_mask(0xf800).unwrap(),
            green: Channel::from_mask(0x07e0).unwrap(),
            blue: Channel::from_mask(0x001f).unwrap(),
        };
        assert_eq!(rgb565.encode(255, 255, 255), 0xffff);
        assert_eq!(rgb565.encode(255, 0, 8), 0xf801);
        let deep = Channel::from_mask(0x3ff0_0000).unwrap();
        assert_eq!(deep.encode(255), 0x3ff0_0000);
        assert_eq!(Channel::from_mask(0b101), None);
        assert_eq!(
            Channel::from_mask(u32::MAX).map(|c| (c.mask(), c.encode(255))),
            Some((u32::MAX, u32::MAX))
        );
    }

    #[test]
    fn a_framebuffer_that_does_not_add_up_is_refused() {
        let good = Framebuffer {
            address: 0xfd00_0000,
            width: 1024,
            height: 768,
            stride_bytes: 4096,
            bits_per_pixel: 32,
            format: PixelFormat::BGRX8888,
        };
        assert_eq!(good.check(), Ok(()));
        let refused = |change: fn(&mut Framebuffer)| {
            let mut changed = good;
            change(&mut changed);
            changed.check().unwrap_err()
        };
        assert!(matches!(
            refused(|f| f.width = 0),
            FramebufferError::Size { .. }
        ));
        assert!(matches!(
            refused(|f| f.height = u32::MAX),
            FramebufferError::Size { .. }
        ));
        assert!(matches!(
            refused(|f| f.bits_per_pixel = 8),
            FramebufferError::Depth(8)
        ));
        assert!(matches!(
            refused(|f| f.stride_bytes = 4095),
            FramebufferError::Stride { .. }
        ));
        assert!(matches!(
            refused(|f| f.bits_per_pixel = 16),
            FramebufferError::Channels(_)
        ));
        assert!(matches!(
            refused(|f| f.format.red.shift = 8),
            FramebufferError::Channels(_)
        ));
        assert!(matches!(
            refused(|f| f.address = u64::MAX - 5),
            FramebufferError::Address(_)
        ));
    }
}
