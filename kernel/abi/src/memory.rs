//! Where a process's addresses lie, and how vmos are mapped.

use bitflags::bitflags;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Bytes of a page.
pub const PAGE_BYTES: u64 = 4096;
/// Lowest address a process can use: null pointers with an offset stay below.
pub const USER_BASE: u64 = 0x1_0000;
/// End of a process's addresses: the last pages below the non-canonical hole are never used, so that no instruction ends there.
pub const USER_END: u64 = 0x7fff_ffff_0000;
/// Largest vmo in bytes: 64 GiB.
pub const MAX_VMO_BYTES: u64 = 64 << 30;

bitflags! {
    /// How [`map`](crate::Call::Map) maps. Readable always; writable and executable at once is refused.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct MapFlags: u32 {
        /// Writes are allowed.
        const WRITE = 1 << 0;
        /// Execution is allowed.
        const EXECUTE = 1 << 1;
        /// Exactly at [`MapArgs::address`], which must be free; else the kernel chooses at random.
        const FIXED = 1 << 2;
        /// Commit all pages now.
        const COMMIT = 1 << 3;
        /// An unmapped page stays free below and above.
        const GUARDS = 1 << 4;
        /// A fork shares the memory instead of copying it when it is written.
        const SHARED = 1 << 5;
        /// Refused unless the bytes can never change: a vmo that the kernel made of its own constants.
        const CONSTANT = 1 << 6;
    }
}

/// Arguments of [`map`](crate::Call::Map): 40 bytes.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct MapArgs {
    /// The vmo.
    pub vmo: u64,
    /// First byte of the vmo, a multiple of the page size.
    pub offset: u64,
    /// Length in bytes, a multiple of the page size, not 0.
    pub len: u64,
    /// Where, if [`MapFlags::FIXED`]; else 0.
    pub address: u64,
    /// [`MapFlags`].
    pub flags: u32,
    /// 0.
    pub reserved: u32,
}

/// What [`vmo_op`](crate::Call::VmoOp) does to a range of a vmo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum VmoOp {
    /// Allocate and zero the pages now.
    Commit = 1,
    /// Give the pages back; they read as zeroes. Refused while a clone shares them with a pager.
    Decommit = 2,
}

impl VmoOp {
    /// The operation of this number.
    #[must_use]
    pub const fn from_raw(raw: u64) -> Option<Self> {
        match raw {
            1 => Some(Self::Commit),
            2 => Some(Self::Decommit),
            _ => None,
        }
    }
}

/// What [`vmo_info`](crate::Call::VmoInfo) writes: 32 bytes.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct VmoInfo {
    /// Its size in bytes.
    pub size_bytes: u64,
    /// Bytes of pages it holds.
    pub committed_bytes: u64,
    /// Of these, shared with clones.
    pub shared_bytes: u64,
    /// How often it is mapped.
    pub mappings: u64,
}
