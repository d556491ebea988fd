//! Arithmetic on pixels: two colours at a time in one multiplication.

use crate::Pixel;

const ODD: u32 = 0x00ff_00ff;

/// `value / 255` of both halves of a word, rounded, for products of two bytes.
const fn divide_both(value: u32) -> u32 {
    let value = value + 0x0080_0080;
    ((value + ((value >> 8) & ODD)) >> 8) & ODD
}

/// A pixel weakened to `part` of 255.
#[must_use]
pub const fn scale(pixel: Pixel, part: u32) -> Pixel {
    let low = divide_both((pixel & ODD) * part);
    let high = divide_both(((pixel >> 8) & ODD) * part);
    low | high << 8
}

/// `source` over `below`.
#[must_use]
pub const fn over(source: Pixel, below: Pixel) -> Pixel {
    // Both are multiplied by their alpha, so that no sum leaves its byte.
    add(source, scale(below, 255 - (source >> 24)))
}

/// Adds, each colour for itself, up to 255.
const fn add(one: Pixel, other: Pixel) -> Pixel {
    let low = (one & ODD) + (other & ODD);
    let high = ((one >> 8) & ODD) + ((other >> 8) & ODD);
    clamp(low) | clamp(high) << 8
}

/// Sums of two bytes in both halves, each at most 255.
const fn clamp(sums: u32) -> u32 {
    let over = (sums >> 8) & 0x0001_0001;
    (sums | (over * 0xff)) & ODD
}

/// The colour between two: `part` of 255 of `one`.
#[must_use]
pub const fn mix(one: Pixel, other: Pixel, part: u32) -> Pixel {
    add(scale(one, part), scale(other, 255 - part))
}

/// A row over another one of the same length.
pub fn row_over(source: &[Pixel], below: &mut [Pixel]) {
    for (below, source) in below.iter_mut().zip(source) {
        *below = match *source >> 24 {
            0 => *below,
            255 => *source,
            _ => over(*source, *below),
        };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes(pixel: Pixel) -> [u32; 4] {
        pixel.to_le_bytes().map(u32::from)
    }

    /// `value / 255` to the nearest.
    fn divided(value: u32) -> u32 {
        (2 * value + 255) / 510
    }

    proptest! {
        #[test]
        fn scaling_is_that_of_each_byte(pixel: u32, part in 0_u32..=255) {
            prop_assert_eq!(bytes(scale(pixel, part)), bytes(pixel).map(|byte| divided(byte * part)));
        }

        #[test]
        fn over_is_porter_and_duff_s(colour: u32, alpha: u8, below: u32) {
            let source = scale(colour | 0xff00_0000, u32::from(alpha));
            let rest = 255 - (source >> 24);
            let (source_bytes, below_bytes) = (bytes(source), bytes(below));
            for ((got, source), below) in bytes(over(source, below)).into_iter().zip(source_bytes).zip(below_bytes) {
                prop_assert_eq!(got, (source + divided(below * rest)).min(255));
            }
        }
    }

    #[test]
    fn ends_are_exact() {
        for pixel in [0, 0xffff_ffff, 0xff12_3456] {
            assert_eq!(scale(pixel, 255), pixel);
            assert_eq!(scale(pixel, 0), 0);
            assert_eq!(over(0, pixel), pixel);
            assert_eq!(over(0xff65_4321, pixel), 0xff65_4321);
        }
    }
}
