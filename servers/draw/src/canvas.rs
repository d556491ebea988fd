//! A picture to draw on.

use core::convert::Infallible;

use embedded_graphics::Pixel as PointPixel;
use embedded_graphics::pixelcolor::{Rgb888, RgbColor};
use embedded_graphics::prelude::{DrawTarget, OriginDimensions, Point, Size};
use embedded_graphics::primitives::Rectangle;

use crate::{Pixel, Rect, blend, rgb};

/// Pixels in a slice, rows without gaps; its upper left corner is at `origin`, so that a part of something large can be drawn with
/// the coordinates of the whole.
#[derive(Debug)]
pub struct Canvas<'a> {
    pixels: &'a mut [Pixel],
    /// Where the pixels are.
    bounds: Rect,
    /// Where may be drawn; within `bounds`.
    clip: Rect,
}

impl<'a> Canvas<'a> {
    /// A picture so large; rows that the slice is too short for are not there.
    #[must_use]
    pub fn new(pixels: &'a mut [Pixel], width: u32, height: u32) -> Self {
        let width = i32::try_from(width).unwrap_or(i32::MAX);
        let rows = pixels.len() / (width.max(1) as usize);
        let height = i32::try_from(rows.min(height as usize)).unwrap_or(i32::MAX);
        let bounds = Rect::new(0, 0, width, height);
        Self {
            pixels,
            bounds,
            clip: bounds,
        }
    }

    /// The same, its upper left corner called this.
    #[must_use]
    pub fn with_origin(self, x: i32, y: i32) -> Self {
        Self {
            bounds: self.bounds.moved(x, y),
            clip: self.clip.moved(x, y),
            ..self
        }
    }

    /// Where may be drawn.
    #[must_use]
    pub const fn clip(&self) -> Rect {
        self.clip
    }

    /// The same picture, where only within `clip` can be drawn.
    #[must_use]
    pub fn clipped(&mut self, clip: &Rect) -> Canvas<'_> {
        Canvas {
            clip: self.clip.and(clip),
            bounds: self.bounds,
            pixels: self.pixels,
        }
    }

    /// The part of a row from `left` up to `right` that may be drawn.
    #[must_use]
    pub fn row_mut(&mut self, y: i32, left: i32, right: i32) -> &mut [Pixel] {
        let clip = &self.clip;
        let (left, right) = (left.max(clip.left), right.min(clip.right));
        if y < clip.top || y >= clip.bottom || left >= right {
            return &mut [];
        }
        let start = (y - self.bounds.top) as usize * self.bounds.width() as usize;
        let columns = (left - self.bounds.left) as usize..(right - self.bounds.left) as usize;
        self.pixels
            .get_mut(start + columns.start..start + columns.end)
            .unwrap_or_default()
    }

    /// Puts a pixel.
    pub fn put(&mut self, x: i32, y: i32, pixel: Pixel) {
        if let [place] = self.row_mut(y, x, x.saturating_add(1)) {
            *place = blend::over(pixel, *place);
        }
    }

    /// Fills a part.
    pub fn fill(&mut self, rect: &Rect, pixel: Pixel) {
        let rows = rect.and(&self.clip);
        for y in rows.top..rows.bottom {
            let row = self.row_mut(y, rect.left, rect.right);
            match pixel >> 24 {
                255 => row.fill(pixel),
                _ => row
                    .iter_mut()
                    .for_each(|below| *below = blend::over(pixel, *below)),
            }
        }
    }

    /// Makes a part exactly this, whatever was below.
    pub fn replace(&mut self, rect: &Rect, pixel: Pixel) {
        let rows = rect.and(&self.clip);
        for y in rows.top..rows.bottom {
            self.row_mut(y, rect.left, rect.right).fill(pixel);
        }
    }

    /// A frame of one pixel inside of `rect`.
    pub fn frame(&mut self, rect: &Rect, pixel: Pixel) {
        self.fill(
            &Rect {
                bottom: rect.top + 1,
                ..*rect
            },
            pixel,
        );
        self.fill(
            &Rect {
                top: rect.bottom - 1,
                ..*rect
            },
            pixel,
        );
        let sides = Rect {
            top: rect.top + 1,
            bottom: rect.bottom - 1,
            ..*rect
        };
        self.fill(
            &Rect {
                right: rect.left + 1,
                ..sides
            },
            pixel,
        );
        self.fill(
            &Rect {
                left: rect.right - 1,
                ..sides
            },
            pixel,
        );
    }

    /// From one colour at the upper edge of `rect` to another at the lower.
    pub fn gradient(&mut self, rect: &Rect, (upper, lower): (Pixel, Pixel)) {
        let rows = rect.and(&self.clip);
        let last = i64::from(rect.height() - 1).max(1);
        for y in rows.top..rows.bottom {
            let part = 255 * i64::from(y - rect.top) / last;
            let pixel = blend::mix(lower, upper, part as u32);
            self.row_mut(y, rect.left, rect.right).fill(pixel);
        }
    }

    /// A rectangle with round corners, smooth at their edges.
    pub fn round(&mut self, rect: &Rect, radius: i32, pixel: Pixel) {
        let radius = radius.clamp(0, rect.width().min(rect.height()) / 2);
        let rows = rect.and(&self.clip);
        for y in rows.top..rows.bottom {
            let from_edge = (y - rect.top).min(rect.bottom - 1 - y);
            if from_edge >= radius {
                self.fill(
                    &Rect {
                        top: y,
                        bottom: y + 1,
                        ..*rect
                    },
                    pixel,
                );
                continue;
            }
            let straight = Rect {
                left: rect.left + radius,
                top: y,
                right: rect.right - radius,
                bottom: y + 1,
            };
            self.fill(&straight, pixel);
            for column in 0..radius {
                let part = corner(radius, column, from_edge);
                if part > 0 {
                    let weak = blend::scale(pixel, part);
                    self.put(rect.left + column, y, weak);
                    self.put(rect.right - 1 - column, y, weak);
                }
            }
        }
    }

    /// Copies rows of `width` pixels, the first at `x`, `y`; with `alpha` they are laid over what is there.
    pub fn copy(&mut self, x: i32, y: i32, width: u32, pixels: &[Pixel], alpha: bool) {
        for (number, line) in pixels.chunks(width.max(1) as usize).enumerate() {
            let Some(row_y) = i32::try_from(number)
                .ok()
                .and_then(|number| y.checked_add(number))
            else {
                return;
            };
            let len = i32::try_from(line.len()).unwrap_or(i32::MAX);
            let skipped = self.clip.left.saturating_sub(x).max(0) as usize;
            let row = self.row_mut(row_y, x, x.saturating_add(len));
            let line = line.get(skipped..).unwrap_or_default();
            if alpha {
                blend::row_over(line, row);
            } else {
                row.iter_mut().zip(line).for_each(|(to, from)| *to = *from);
            }
        }
    }

    /// Lays a colour over it as strongly as `coverage` says: bytes in rows of `width`.
    pub fn stamp(&mut self, x: i32, y: i32, width: u32, coverage: &[u8], pixel: Pixel) {
        for (number, line) in coverage.chunks(width.max(1) as usize).enumerate() {
            let Some(row_y) = i32::try_from(number)
                .ok()
                .and_then(|number| y.checked_add(number))
            else {
                return;
            };
            let len = i32::try_from(line.len()).unwrap_or(i32::MAX);
            let skipped = self.clip.left.saturating_sub(x).max(0) as usize;
            let row = self.row_mut(row_y, x, x.saturating_add(len));
            for (below, part) in row.iter_mut().zip(line.get(skipped..).unwrap_or_default()) {
                *below = match *part {
                    0 => *below,
                    part => blend::over(blend::scale(pixel, u32::from(part)), *below),
                };
            }
        }
    }
}

/// How much of the pixel at (`column`, `row`) from a corner is inside of a circle of `radius`, of 255.
fn corner(radius: i32, column: i32, row: i32) -> u32 {
    // Sixteen points of the pixel; distances in eighths of one.
    let mut inside = 0;
    for sub in 0..16 {
        let dx = radius * 8 - (column * 8 + 1 + sub % 4 * 2);
        let dy = radius * 8 - (row * 8 + 1 + sub / 4 * 2);
        inside += u32::from(dx * dx + dy * dy <= radius * radius * 64);
    }
    (inside * 255 + 8) / 16
}

impl OriginDimensions for Canvas<'_> {
    fn size(&self) -> Size {
        Size::new(self.bounds.width() as u32, self.bounds.height() as u32)
    }
}

fn from_colour(colour: Rgb888) -> Pixel {
    rgb(u32::from(colour.r()) << 16 | u32::from(colour.g()) << 8 | u32::from(colour.b()))
}

fn from_rectangle(area: &Rectangle) -> Rect {
    let side = |length: u32| i32::try_from(length).unwrap_or(i32::MAX);
    Rect::new(
        area.top_left.x,
        area.top_left.y,
        side(area.size.width),
        side(area.size.height),
    )
}

impl DrawTarget for Canvas<'_> {
    type Color = Rgb888;
    type Error = Infallible;

    fn draw_iter<I: IntoIterator<Item = PointPixel<Rgb888>>>(
        &mut self,
        pixels: I,
    ) -> Result<(), Infallible> {
        for PointPixel(Point { x, y }, colour) in pixels {
            self.put(x, y, from_colour(colour));
        }
        Ok(())
    }

    fn fill_solid(&mut self, area: &Rectangle, colour: Rgb888) -> Result<(), Infallible> {
        self.fill(&from_rectangle(area), from_colour(colour));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::vec;
    use std::vec::Vec;

    use embedded_graphics::prelude::{Drawable, Primitive};
    use embedded_graphics::primitives::{Circle, PrimitiveStyle};
    use proptest::prelude::*;

    use super::*;

    const SIDE: u32 = 16;

    fn drawn(draw: impl FnOnce(&mut Canvas<'_>)) -> Vec<Pixel> {
        let mut pixels = vec![rgb(0); (SIDE * SIDE) as usize];
        draw(&mut Canvas::new(&mut pixels, SIDE, SIDE));
        pixels
    }

    fn at(pixels: &[Pixel], x: u32, y: u32) -> Pixel {
        pixels[(y * SIDE + x) as usize]
    }

    #[test]
    fn the_clip_holds() {
        let clip = Rect::new(4, 4, 3, 3);
        let white = rgb(0xff_ffff);
        let everywhere = Rect::new(-100, -100, 300, 300);
        let picture = vec![white; 40 * 40];
        let coverage = vec![255; 40 * 40];
        let ways: [&dyn Fn(&mut Canvas<'_>); 7] = [
            &|canvas| canvas.fill(&everywhere, white),
            &|canvas| canvas.replace(&everywhere, white),
            &|canvas| canvas.gradient(&everywhere, (white, white)),
            &|canvas| canvas.round(&Rect::new(-9, -9, 40, 40), 6, white),
            &|canvas| canvas.copy(-5, -5, 40, &picture, false),
            &|canvas| canvas.copy(-5, -5, 40, &picture, true),
            &|canvas| canvas.stamp(-5, -5, 40, &coverage, white),
        ];
        for (number, way) in ways.into_iter().enumerate() {
            let pixels = drawn(|canvas| way(&mut canvas.clipped(&clip)));
            for y in 0..SIDE {
                for x in 0..SIDE {
                    let inside = clip.has(x as i32, y as i32);
                    assert_eq!(
                        at(&pixels, x, y) == white,
                        inside,
                        "way {number} at {x}, {y}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_part_is_drawn_as_in_the_whole() {
        let picture: Vec<Pixel> = (0..100).map(|number| rgb(number * 7)).collect();
        let whole = drawn(|canvas| canvas.copy(3, 2, 10, &picture, false));
        let mut part = vec![rgb(0); 5 * 5];
        let mut canvas = Canvas::new(&mut part, 5, 5).with_origin(6, 5);
        canvas.copy(3, 2, 10, &picture, false);
        for y in 0..5 {
            for x in 0..5 {
                assert_eq!(
                    part[(y * 5 + x) as usize],
                    at(&whole, x + 6, y + 5),
                    "{x}, {y}"
                );
            }
        }
    }

    #[test]
    fn round_corners_are_round_and_alike() {
        let white = rgb(0xff_ffff);
        let pixels = drawn(|canvas| canvas.round(&Rect::new(0, 0, 16, 16), 8, white));
        assert_eq!(at(&pixels, 0, 0), rgb(0));
        assert_eq!(at(&pixels, 8, 8), white);
        for y in 0..SIDE {
            for x in 0..SIDE {
                assert_eq!(at(&pixels, x, y), at(&pixels, y, x));
                assert_eq!(at(&pixels, x, y), at(&pixels, SIDE - 1 - x, y));
            }
        }
    }

    #[test]
    fn shapes_of_embedded_graphics_are_drawn() {
        let style = PrimitiveStyle::with_fill(Rgb888::new(1, 2, 3));
        let pixels = drawn(|canvas| {
            let Ok(()) = Circle::new(Point::new(2, 2), 9)
                .into_styled(style)
                .draw(canvas);
        });
        assert_eq!(at(&pixels, 6, 6), rgb(0x01_0203));
        assert_eq!(at(&pixels, 2, 2), rgb(0));
    }

    proptest! {
        #[test]
        fn nothing_panics(x: i32, y: i32, width: i32, height: i32, radius: i32, pixel: u32) {
            let rect = Rect::new(x, y, width, height);
            drawn(|canvas| {
                canvas.fill(&rect, pixel);
                canvas.gradient(&rect, (pixel, pixel));
                canvas.put(x, y, pixel);
                canvas.copy(x, y, width as u32, &[pixel; 9], true);
                canvas.stamp(x, y, width as u32, &[7; 9], pixel);
                canvas.round(&rect.and(&Rect::new(-50, -50, 100, 100)), radius % 60, pixel);
            });
        }
    }
}
