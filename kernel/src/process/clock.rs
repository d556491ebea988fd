//! The monotonic clock as processes know it: nanoseconds since the kernel's entry.

use abi::time::TimePage;
use hal::time;

fn zero_ticks() -> u64 {
    hal::boot::boot_info().entry_ticks
}

/// What it shows now.
#[inline]
pub fn now_ns() -> u64 {
    crate::log::uptime_ns(time::now_ticks())
}

/// The first tick at which it shows at least `ns`.
pub fn ticks_at(ns: u64) -> u64 {
    zero_ticks().saturating_add(time::ns_to_ticks_up(ns))
}

/// What processes need to read the clock themselves.
pub fn page() -> TimePage {
    let (multiplier, shift) = time::ns_factor();
    let utc_ns = time::unix_seconds().map_or(0, |seconds| {
        seconds
            .saturating_mul(1_000_000_000)
            .saturating_sub(now_ns())
    });
    TimePage {
        version: 1,
        shift,
        multiplier,
        base_ticks: zero_ticks(),
        tsc_hz: time::ticks_per_second(),
        utc_at_zero_ns: utc_ns,
        cores: hal::cpu::percpu::count(),
        reserved: [0; 5],
    }
}
