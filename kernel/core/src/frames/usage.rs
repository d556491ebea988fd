//! Counting frames by what they are used for.

use core::fmt;

/// What a frame is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Usage {
    /// Page tables.
    PageTable,
    /// The kernel's heap.
    KernelHeap,
    /// Stacks of cores and of interrupts.
    Stack,
    /// Buffers of devices.
    Dma,
    /// Memory of processes.
    User,
    /// Cached contents of files.
    FileCache,
    /// Waiting in a core's cache of free frames.
    CoreCache,
    /// Anything else.
    Other,
}

impl Usage {
    /// How many there are.
    pub const COUNT: usize = 8;
    /// All of them.
    pub const ALL: [Self; Self::COUNT] = [
        Self::PageTable,
        Self::KernelHeap,
        Self::Stack,
        Self::Dma,
        Self::User,
        Self::FileCache,
        Self::CoreCache,
        Self::Other,
    ];
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::PageTable => "page tables",
            Self::KernelHeap => "kernel heap",
            Self::Stack => "stacks",
            Self::Dma => "device buffers",
            Self::User => "processes",
            Self::FileCache => "file cache",
            Self::CoreCache => "core caches",
            Self::Other => "other",
        })
    }
}

/// Counts of frames. Exact in sum; frames that went through a core's cache are counted by use once that cache has been settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statistics {
    /// Frames the allocator was given.
    pub managed: u64,
    /// Frames free in the allocator.
    pub free: u64,
    // Signed: a core may report a frame freed before the core that took it reports that.
    used: [i64; Usage::COUNT],
}

impl Statistics {
    pub(super) const ZERO: Self = Self {
        managed: 0,
        free: 0,
        used: [0; Usage::COUNT],
    };

    /// Frames in use for `usage`.
    pub fn used(&self, usage: Usage) -> u64 {
        self.used[usage as usize].max(0) as u64
    }

    pub(super) fn add(&mut self, usage: Usage, frames: i64) {
        let count = &mut self.used[usage as usize];
        *count = count.saturating_add(frames);
    }
}
