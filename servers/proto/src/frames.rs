//! How frames went: what the compositor counts, for the desktop, the system monitor and tests.

use serde::{Deserialize, Serialize};

/// Counts of a histogram.
pub const BUCKETS: usize = 16;

/// How long something took, in ns; more than 4 s is 4 s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spread {
    /// Half of them at most.
    pub p50_ns: u32,
    /// 99 of a hundred at most.
    pub p99_ns: u32,
    /// All of them at most.
    pub max_ns: u32,
}

/// The stages from an input to the screen, in order.
pub const STAGES: [&str; 5] = ["told", "painted", "waited", "composed", "shown"];

/// Frames since the figures were begun anew.
///
/// A histogram's count number n is of what took less than 16 µs times 2 to the n, and not less than half of that; the last one also has
/// what took longer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameFigures {
    /// Frames.
    pub frames: u32,
    /// On the screen more than a frame after they were to begin.
    pub late: u32,
    /// Because of what, in the order of [`Late`](crate::window::Late).
    pub late_by: [u32; 4],
    /// In which nothing was composed, as a window had the screen for itself.
    pub direct: u32,
    /// From when a frame was to begin to when it did.
    pub start: Spread,
    /// Composing.
    pub compose: Spread,
    /// Bringing it to the screen.
    pub show: Spread,
    /// Inputs whose effect was shown.
    pub inputs: u32,
    /// From the interrupt to the program, to its picture, to the frame's begin, to its end, to the screen: see [`STAGES`].
    pub stages: [Spread; STAGES.len()],
    /// All of that.
    pub input: Spread,
    /// Histogram of `start`.
    pub start_counts: [u32; BUCKETS],
    /// Histogram of `input`.
    pub input_counts: [u32; BUCKETS],
}
