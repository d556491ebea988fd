//! What the host implements, and bridges to and from `embedded-graphics`.
//!
//! A pixel here is `0x00RRGGBB`; the host turns it into the hardware's format.

use core::convert::Infallible;

use embedded_graphics::Pixel;
use embedded_graphics::draw_target::DrawTarget;
use embedded_graphics::geometry::{Dimensions, OriginDimensions, Point, Size};
use embedded_graphics::pixelcolor::{Rgb888, RgbColor};
use embedded_graphics::primitives::Rectangle;

/// A framebuffer that takes whole rectangles, which is what makes painting fast.
pub trait Framebuffer: Send {
    /// Width and height in pixels.
    fn size(&self) -> (u32, u32);
    /// Writes a rectangle with its left upper corner at (`x`, `y`): `pixels` row by row, each `width`
    /// long. Parts outside of the framebuffer are left out.
    fn write_rect(&mut self, x: u32, y: u32, width: u32, pixels: &[u32]);
}

impl<F: Framebuffer> Framebuffer for &mut F {
    fn size(&self) -> (u32, u32) {
        (**self).size()
    }
    fn write_rect(&mut self, x: u32, y: u32, width: u32, pixels: &[u32]) {
        (**self).write_rect(x, y, width, pixels);
    }
}

/// A colour as a pixel.
#[must_use]
pub fn pixel(color: Rgb888) -> u32 {
    u32::from_be_bytes([0, color.r(), color.g(), color.b()])
}

fn color(pixel: u32) -> Rgb888 {
    let [_, red, green, blue] = pixel.to_be_bytes();
    Rgb888::new(red, green, blue)
}

/// Pixels gathered before they are written, by [`Canvas`].
const BATCH_PIXELS: usize = 256;

/// Lets `embedded-graphics` draw on a [`Framebuffer`].
pub struct Canvas<F>(pub F);

impl<F: Framebuffer> OriginDimensions for Canvas<F> {
    fn size(&self) -> Size {
        let (width, height) = self.0.size();
        Size::new(width, height)
    }
}

impl<F: Framebuffer> Canvas<F> {
    /// Writes `width` pixels of one row, clipped to the framebuffer.
    fn row(&mut self, at: Point, colors: &mut dyn Iterator<Item = Rgb888>, width: u32) {
        let bounds = self.bounding_box();
        let mut batch = [0; BATCH_PIXELS];
        let (mut start, mut count) = (at.x, 0);
        let mut x = at.x;
        for color in colors.take(width as usize) {
            let inside = bounds.contains(Point::new(x, at.y));
            if inside {
                if count == 0 {
                    start = x;
                }
                batch[count] = pixel(color);
                count += 1;
            }
            x = x.saturating_add(1);
            if count == BATCH_PIXELS || (!inside && count > 0) {
                self.write_row(start, at.y, &batch[..count]);
                count = 0;
            }
        }
        self.write_row(start, at.y, &batch[..count]);
    }

    fn write_row(&mut self, x: i32, y: i32, pixels: &[u32]) {
        if let (Ok(x), Ok(y), Ok(width @ 1..)) = (
            u32::try_from(x),
            u32::try_from(y),
            u32::try_from(pixels.len()),
        ) {
            self.0.write_rect(x, y, width, pixels);
        }
    }
}

impl<F: Framebuffer> DrawTarget for Canvas<F> {
    type Color = Rgb888;
    type Error = Infallible;

    fn draw_iter<I>(&mut self, pixels: I) -> Result<(), Infallible>
    where
        I: IntoIterator<Item = Pixel<Rgb888>>,
    {
        for Pixel(at, color) in pixels {
            self.row(at, &mut core::iter::once(color), 1);
        }
        Ok(())
    }

    fn fill_contiguous<I>(&mut self, area: &Rectangle, colors: I) -> Result<(), Infallible>
    where
        I: IntoIterator<Item = Rgb888>,
    {
        let mut colors = colors.into_iter().fuse();
        for y in area.rows() {
            self.row(Point::new(area.top_left.x, y), &mut colors, area.size.width);
        }
        Ok(())
    }

    fn fill_solid(&mut self, area: &Rectangle, color: Rgb888) -> Result<(), Infallible> {
        let area = area.intersection(&self.bounding_box());
        for y in area.rows() {
            let at = Point::new(area.top_left.x, y);
            self.row(at, &mut core::iter::repeat(color), area.size.width);
        }
        Ok(())
    }
}

/// Makes a [`Framebuffer`] of anything `embedded-graphics` can draw on. A target that fails to draw
/// stays as it was: a console has nobody to tell.
pub struct TargetFramebuffer<T>(pub T);

impl<T: DrawTarget<Color = Rgb888> + Dimensions + Send> Framebuffer for TargetFramebuffer<T> {
    fn size(&self) -> (u32, u32) {
        let size = self.0.bounding_box().size;
        (size.width, size.height)
    }

    fn write_rect(&mut self, x: u32, y: u32, width: u32, pixels: &[u32]) {
        let (Ok(left), Ok(top)) = (i32::try_from(x), i32::try_from(y)) else {
            return;
        };
        let Ok(count) = u32::try_from(pixels.len()) else {
            return;
        };
        let Some(height) = count.checked_div(width) else {
            return;
        };
        let origin = self.0.bounding_box().top_left;
        let area = Rectangle::new(origin + Point::new(left, top), Size::new(width, height));
        let _ = self
            .0
            .fill_contiguous(&area, pixels.iter().map(|pixel| color(*pixel)));
    }
}
