//! What frames are shown on: a graphics device ([`gpu`]) if there is one that can be driven, else the pixels that firmware set up
//! ([`framebuffer`]).

pub mod framebuffer;
pub mod gpu;
pub mod pointer;

use alloc::vec::Vec;
use core::fmt;

use compositor::{Direct, PictureKey};
use draw::{Pixel, Rect};
use virtio::gpu::GpuError;

use crate::pictures::Reach;

/// Why a screen shows nothing any more.
#[derive(Debug)]
pub enum Failure {
    /// The device says so.
    Gpu(GpuError),
    /// The kernel gives no memory for pictures.
    Memory(abi::Error),
    /// It did not say for long that a frame is shown.
    Silent,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gpu(error) => error.fmt(f),
            Self::Memory(error) => write!(f, "memory for its pictures: {error}"),
            Self::Silent => f.write_str("it does not say that it shows what it was given"),
        }
    }
}

impl From<GpuError> for Failure {
    fn from(error: GpuError) -> Self {
        Self::Gpu(error)
    }
}

/// An output of a screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Output {
    /// Its number at the device.
    pub number: u32,
    /// Where it is on the desk.
    pub place: Rect,
}

/// A frame to be shown.
pub struct Picture<'a> {
    /// The whole desk as it was composed, rows without gaps.
    pub pixels: &'a [Pixel],
    /// Pixels of a row.
    pub width: u32,
    /// What differs from the frame before.
    pub parts: &'a [Rect],
    /// By output: what it shows in place of that.
    pub direct: &'a [Option<(Direct, Reach)>],
}

impl Picture<'_> {
    /// Pixels of a part's row.
    fn row(&self, part: &Rect, y: i32) -> &[Pixel] {
        let start = y as usize * self.width as usize;
        self.pixels
            .get(start + part.left as usize..start + part.right as usize)
            .unwrap_or_default()
    }
}

/// Something that shows frames. One frame at a time.
pub trait Screen {
    /// Its outputs, the main one first. First of all, and again when they have changed: then the whole desk must be shown again.
    async fn arrange(&mut self) -> Result<Vec<Output>, Failure>;

    /// Shows a frame; the time by the monotonic clock when it was seen.
    async fn show(&mut self, frame: &Picture<'_>) -> Result<u64, Failure>;

    /// These pictures are not shown any more, and their programs have let go of them.
    async fn forget(&mut self, pictures: Vec<(PictureKey, Reach)>) -> Result<(), Failure>;
}
