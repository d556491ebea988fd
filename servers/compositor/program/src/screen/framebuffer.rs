//! The pixels that firmware set up: written to by the processor, always seen.

use alloc::vec;
use alloc::vec::Vec;

use compositor::PictureKey;
use draw::Rect;
use rt::framebuffer::Framebuffer;
use rt::sys::clock;

use super::{Failure, Output, Picture, Screen};
use crate::pictures::Reach;
use crate::turns::Turns;

impl Screen for Framebuffer {
    async fn arrange(&mut self) -> Result<Vec<Output>, Failure> {
        let (width, height) = self.size();
        let side = |length: u32| i32::try_from(length).unwrap_or(i32::MAX);
        Ok(vec![Output {
            number: 0,
            place: Rect::new(0, 0, side(width), side(height)),
        }])
    }

    async fn show(&mut self, frame: &Picture<'_>) -> Result<u64, Failure> {
        let mut turns = Turns::new();
        for part in frame.parts {
            for y in part.top..part.bottom {
                self.write_row(part.left as u32, y as u32, frame.row(part, y));
                turns.next().await;
            }
        }
        Ok(clock::now_ns())
    }

    async fn forget(&mut self, _: Vec<(PictureKey, Reach)>) -> Result<(), Failure> {
        Ok(())
    }
}
