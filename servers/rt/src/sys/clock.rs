//! The clock, read without a system call from the kernel's time page.

use core::arch::x86_64::_rdtsc;
use core::sync::atomic::{AtomicPtr, Ordering};

use abi::time::TimePage;

/// Before the start block was read, and where the kernel gave no page: a clock that counts ticks as nanoseconds.
static NO_PAGE: TimePage = TimePage {
    version: 1,
    shift: 0,
    multiplier: 1,
    base_ticks: 0,
    tsc_hz: 1_000_000_000,
    utc_at_zero_ns: 0,
    cores: 1,
    reserved: [0; 5],
};

static PAGE: AtomicPtr<TimePage> = AtomicPtr::new((&raw const NO_PAGE).cast_mut());

/// Uses the page at `page`.
///
/// # Safety
/// It is readable, holds a time page, and stays there unchanged for ever.
pub(super) unsafe fn install(page: *const TimePage) {
    PAGE.store(page.cast_mut(), Ordering::Relaxed);
}

/// Uses a page that is there for ever.
pub(super) fn set(page: &'static TimePage) {
    PAGE.store(core::ptr::from_ref(page).cast_mut(), Ordering::Relaxed);
}

/// The time page.
#[inline(always)]
#[must_use]
pub fn page() -> &'static TimePage {
    // SAFETY: `NO_PAGE` or what `install` was promised.
    unsafe { &*PAGE.load(Ordering::Relaxed) }
}

/// The time stamp counter. The kernel sets all cores' to the same count.
#[inline(always)]
#[must_use]
pub fn now_ticks() -> u64 {
    // SAFETY: every x86-64 processor has `rdtsc`, and the kernel leaves it open to ring 3.
    unsafe { _rdtsc() }
}

/// Nanoseconds of the monotonic clock, the one deadlines of system calls are in.
#[inline]
#[must_use]
pub fn now_ns() -> u64 {
    #[cfg(feature = "inject")]
    inject::at(inject::Point::ClockRead);
    ns_at(page(), now_ticks())
}

/// What the monotonic clock shows at tick `ticks`: 0 for ticks before its start.
#[inline(always)]
#[must_use]
pub fn ns_at(page: &TimePage, ticks: u64) -> u64 {
    let ticks = ticks.saturating_sub(page.base_ticks);
    let scaled = (u128::from(ticks) * u128::from(page.multiplier)) >> (page.shift & 127);
    scaled as u64
}

/// When the tick counter reaches `ticks`, or up to a nanosecond later: a deadline for system calls. `u64::MAX` stays for ever.
#[must_use]
pub fn deadline_ns(ticks: u64) -> u64 {
    if ticks == u64::MAX {
        return abi::FOREVER;
    }
    ns_at(page(), ticks).saturating_add(1)
}

/// Ticks in `ns` nanoseconds, rounded up.
#[must_use]
pub fn ticks_in(ns: u64) -> u64 {
    let ticks = (u128::from(ns) * u128::from(page().tsc_hz)).div_ceil(1_000_000_000);
    u64::try_from(ticks).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nanoseconds_are_scaled_ticks() {
        let page = TimePage {
            shift: 32,
            multiplier: (1_u64 << 32) / 2, // 2 GHz
            base_ticks: 1000,
            tsc_hz: 2_000_000_000,
            ..NO_PAGE
        };
        assert_eq!(ns_at(&page, 1000), 0);
        assert_eq!(ns_at(&page, 999), 0);
        assert_eq!(ns_at(&page, 3000), 1000);
        assert_eq!(ns_at(&page, 1000 + (1 << 62)), 1 << 61);
    }

    #[test]
    fn never_stays_never() {
        assert_eq!(deadline_ns(u64::MAX), abi::FOREVER);
        assert!(deadline_ns(5) > 5);
        assert_eq!(ticks_in(7), 7);
    }
}
