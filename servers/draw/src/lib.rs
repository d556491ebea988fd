//! Pixels in memory: what the compositor and programs with windows draw with.
//!
//! * [`Canvas`]: a picture in a slice, with a clip; filled, blended and copied into. It is a target of `embedded-graphics`, whose
//!   shapes can be drawn on it.
//! * [`text`]: letters of the two fonts that come along, by `fontdue`.
//! * [`Palette`]: the colours of a theme.
//! * [`Rect`]: where something is.
//!
//! A pixel is a `u32`, 0xAARRGGBB, its colours multiplied by alpha ("premultiplied": Porter and Duff, Compositing Digital Images, 1984),
//! so that an opaque one is 0xffRRGGBB.
//!
//! What must hold: nothing is ever drawn outside of the clip, whatever the coordinates; no function panics.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod blend;
mod canvas;
mod palette;
mod rect;
pub mod text;

pub use canvas::Canvas;
pub use palette::Palette;
pub use rect::Rect;

/// A pixel: 0xAARRGGBB, multiplied by alpha.
pub type Pixel = u32;

/// An opaque colour.
#[must_use]
pub const fn rgb(rgb: u32) -> Pixel {
    0xff00_0000 | rgb
}

/// A colour that lets something through: `alpha` of 255.
#[must_use]
pub const fn rgba(rgb: u32, alpha: u8) -> Pixel {
    blend::scale(0xff00_0000 | rgb, alpha as u32)
}
