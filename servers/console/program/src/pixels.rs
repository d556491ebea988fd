//! The framebuffer as the console wants it.

use rt::framebuffer::Framebuffer;

/// The pixels.
pub struct Pixels(pub Framebuffer);

impl console::Framebuffer for Pixels {
    fn size(&self) -> (u32, u32) {
        self.0.size()
    }

    fn write_rect(&mut self, x: u32, y: u32, width: u32, pixels: &[u32]) {
        for (row, line) in pixels.chunks(width.max(1) as usize).enumerate() {
            let y = u32::try_from(row).ok().and_then(|row| y.checked_add(row));
            if let Some(y) = y {
                self.0.write_row(x, y, line);
            }
        }
    }
}
