//! The read-only time page: reading the clock without a system call.
//!
//! nanoseconds = (rdtsc + `tsc_offset`) * `multiplier` >> `shift` in 128 bits, wrapping where the kernel's own arithmetic does.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// First bytes of the page, 64 in all. It is written once, before the first process starts; `version` tells later layouts apart.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct TimePage {
    /// 1.
    pub version: u32,
    /// Right shift after the multiplication.
    pub shift: u32,
    /// Multiplier from ticks to nanoseconds, scaled by 2^`shift`.
    pub multiplier: u64,
    /// The tick at which the monotonic clock is 0.
    pub base_ticks: u64,
    /// Ticks a second.
    pub tsc_hz: u64,
    /// UTC at monotonic 0, in nanoseconds since 1970-01-01; 0 if not known.
    pub utc_at_zero_ns: u64,
    /// Cores that run.
    pub cores: u32,
    /// 0.
    pub reserved: [u32; 5],
}
