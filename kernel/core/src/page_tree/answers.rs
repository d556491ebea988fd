//! What the tree says of pages, and why it refuses.

use core::fmt;

use super::flags::{UserFlags, bit};

/// Why a mapping cannot be made or changed. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TreeError {
    /// The address or range is not page aligned or not between [`USER_BASE`](super::USER_BASE) and [`USER_END`](super::USER_END).
    BadAddress {
        /// The offending address.
        address: u64,
    },
    /// The physical address is not page aligned or has more bits than an entry.
    BadFrame {
        /// It.
        frame: u64,
    },
    /// A page is mapped there: unmap or replace it.
    AlreadyMapped {
        /// Where.
        address: u64,
    },
    /// Nothing is mapped there.
    NotMapped {
        /// Where.
        address: u64,
    },
    /// No memory is left for a page table.
    OutOfFrames,
    /// The process may not have another page table: raise its job's limit.
    OverQuota,
}

impl fmt::Display for TreeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::BadAddress { address } => {
                write!(f, "{address:#x} is not the address of a user page")
            }
            Self::BadFrame { frame } => write!(f, "{frame:#x} is not the address of a frame"),
            Self::AlreadyMapped { address } => write!(f, "a page is mapped at {address:#x}"),
            Self::NotMapped { address } => write!(f, "no page is mapped at {address:#x}"),
            Self::OutOfFrames => f.write_str("out of physical memory for page tables"),
            Self::OverQuota => f.write_str("the job may not have another page table"),
        }
    }
}

impl core::error::Error for TreeError {}

/// A mapped page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Physical address of its frame.
    pub frame: u64,
    /// What may be done with it.
    pub flags: UserFlags,
    /// Whether it has been read or written through this mapping.
    pub accessed: bool,
    /// Whether it has been written through this mapping.
    pub dirty: bool,
}

impl Mapping {
    pub(super) const fn decode(entry: u64) -> Self {
        Self {
            frame: entry & bit::ADDRESS,
            flags: UserFlags::decode(entry),
            accessed: entry & bit::ACCESSED != 0,
            dirty: entry & bit::DIRTY != 0,
        }
    }
}

/// What has been done with part of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Pages met.
    pub pages: u64,
    /// Where to go on; `None` when the range is done.
    pub next: Option<u64>,
}
