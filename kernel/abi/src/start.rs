//! What a new process finds: a start block, its address in `rdi` of the first thread.
//!
//! Layout: a [`StartBlock`], then `handle_count` [`StartHandle`]s, then the arguments' bytes (each ended by a zero byte). Whoever
//! makes the process writes it, after giving the handles with [`handle_give`](crate::Call::HandleGive).

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// "RAEDEST1", little-endian.
pub const MAGIC: u64 = u64::from_le_bytes(*b"RAEDEST1");

/// The head: 48 bytes.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct StartBlock {
    /// [`MAGIC`].
    pub magic: u64,
    /// Bytes of the whole block.
    pub size_bytes: u64,
    /// Where the [`TimePage`](crate::time::TimePage) is mapped.
    pub time_page: u64,
    /// Where the program was loaded: its addresses are relative to that.
    pub image_base: u64,
    /// How often this server was started before, since boot.
    pub generation: u32,
    /// How many handles follow.
    pub handle_count: u32,
    /// How many arguments follow them, the program's name included.
    pub argument_count: u32,
    /// Bytes of these.
    pub arguments_bytes: u32,
}

/// A named handle: 40 bytes. Names every process has: `process` (itself), `job` (where it lives), `log`; a server
/// also has those of its manifest.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct StartHandle {
    /// Padded with zeroes.
    pub name: [u8; 32],
    /// The handle.
    pub handle: u64,
}
