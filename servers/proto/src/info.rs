//! The single answers of [`System`](crate::System): memory, time, identity.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::rows::MAX_CORES;
use crate::text::Text;

/// Most kinds of frame use that are told apart.
pub const MAX_FRAME_KINDS: usize = 12;

/// Frames in one kind of use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KindFrames {
    /// The use: `kernel image`, `heap`, `page tables`.
    pub kind: Text<24>,
    /// Frames in that use.
    pub frames: u64,
}

/// The kernel heap, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeapInfo {
    /// What the heap may grow to.
    pub total: u64,
    /// What it has grown to: frames of the use "kernel heap".
    pub taken: u64,
    /// Allocated now.
    pub used: u64,
    /// Most that was ever allocated at once.
    pub peak: u64,
    /// Allocations that were refused.
    pub failed: u64,
}

/// Physical memory and the kernel heap.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryInfo {
    /// Bytes in a frame.
    pub frame_bytes: u32,
    /// Frames of usable memory.
    pub total_frames: u64,
    /// Frames free, those in the cores' caches included.
    pub free_frames: u64,
    /// The used frames by use; they sum to `total_frames - free_frames`.
    pub kinds: heapless::Vec<KindFrames, MAX_FRAME_KINDS>,
    /// Free frames in each core's cache.
    pub core_caches: heapless::Vec<u32, MAX_CORES>,
    /// The kernel heap.
    pub heap: HeapInfo,
}

/// A date and time of day, UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DateTime {
    /// Year, Gregorian.
    pub year: u16,
    /// Month, from 1.
    pub month: u8,
    /// Day of the month, from 1.
    pub day: u8,
    /// Hour, 0 to 23.
    pub hour: u8,
    /// Minute.
    pub minute: u8,
    /// Second.
    pub second: u8,
}

impl fmt::Display for DateTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
            self.year, self.month, self.day, self.hour, self.minute, self.second
        )
    }
}

/// How the frequency of the time stamp counter became known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Calibration {
    /// How: `from cpuid 15h`, `measured by the hpet in 5 windows`.
    pub source: Text<80>,
    /// Spread between the windows, in parts per million.
    pub spread_ppm: u32,
}

/// The clock.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeInfo {
    /// Time since the kernel's entry.
    pub uptime_ns: u64,
    /// The time of day, if the machine has a clock that is set.
    pub wall_clock: Option<DateTime>,
    /// Frequency of the time stamp counter.
    pub tsc_hz: u64,
    /// How that became known.
    pub calibration: Calibration,
    /// What wakes a core at a set time: `lapic one-shot`, `tsc deadline`.
    pub timer: Text<24>,
}

/// The framebuffer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScreenInfo {
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// Bits for each pixel.
    pub bits_per_pixel: u8,
}

/// What runs, on what, and how it was started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SystemInfo {
    /// Version of the kernel.
    pub version: Text<32>,
    /// The build: commit, profile, compiler.
    pub build: Text<96>,
    /// How it was booted: `pvh`, `multiboot2`, `uefi`.
    pub boot_path: Text<24>,
    /// The kernel command line.
    pub command_line: Text<512>,
    /// The processor's own name.
    pub cpu: Text<64>,
    /// Cores running.
    pub cores: u16,
    /// The framebuffer, if there is one.
    pub screen: Option<ScreenInfo>,
}
