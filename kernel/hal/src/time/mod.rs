//! Time: the TSC as the one clock, and the one-shot timer.
//!
//! - [`init`] on the boot core measures the TSC and the local APIC's counter against whatever reference clocks the
//!   machine has, in the same few short windows (`calibrate`); [`init_this_core`] compares each further core's TSC with
//!   the boot core's (`sync`) and readies its timer (`timer`).
//! - [`now_ticks`] is the clock everything else uses; [`ticks_to_ns`] and [`ns_to_ticks`] convert.
//! - [`hpet`](hpet()) is a reference and the heartbeat of the NMI watchdog; the wall clock is read once ([`date`]).
//!
//! A TSC that the CPU does not call invariant (Intel SDM vol. 3B §18.17.1) may change its pace with power states; that is
//! logged at boot. QEMU's TCG does not announce it, and its TSC is steady all the same.

mod calibrate;
mod hpet;
mod pit;
mod pm_timer;
pub(crate) mod rtc;
pub(crate) mod sync;
pub(crate) mod timer;

use core::arch::x86_64::{_mm_lfence, _rdtsc};
use core::sync::atomic::{AtomicU64, Ordering};

use conquer_once::spin::OnceCell;
use kerncore::acpi::fadt::Presence;
use kerncore::civil_time::CivilTime;
use kerncore::tsc_calibration::{NoClock, Verdict};
use kerncore::tsc_scale::Scale;

use crate::cpu::percpu;

pub use hpet::{Hpet, hpet};
pub use rtc::RtcError;
pub use sync::Offset;
pub use timer::{armed_for_ticks, uses_deadline_mode};

/// The TSC as this core has it, with everything before it done and nothing after it begun (Intel SDM vol. 2B, RDTSC).
#[inline]
pub(crate) fn read_tsc_ordered() -> u64 {
    // SAFETY: every x86-64 CPU has both instructions.
    unsafe {
        _mm_lfence();
        let ticks = _rdtsc();
        _mm_lfence();
        ticks
    }
}

/// The clock: TSC ticks of the boot core, corrected for the core that asks. Never goes backwards on one core.
#[inline(always)]
pub fn now_ticks() -> u64 {
    // SAFETY: every x86-64 CPU has RDTSC, and the kernel never forbids it to itself.
    let own = unsafe { _rdtsc() };
    own.wrapping_add(percpu::this().platform.tsc_offset.load(Ordering::Relaxed))
}

static TICKS_PER_SECOND: AtomicU64 = AtomicU64::new(0);
static SCALE: OnceCell<Scale> = OnceCell::uninit();
const NS_PER_SECOND: u64 = 1_000_000_000;

/// Ticks of [`now_ticks`] in a second; 0 before [`init`], constant after.
#[inline(always)]
pub fn ticks_per_second() -> u64 {
    TICKS_PER_SECOND.load(Ordering::Relaxed)
}

/// Ticks as nanoseconds, rounded down; 0 before [`init`].
#[inline]
pub fn ticks_to_ns(ticks: u64) -> u64 {
    SCALE.get().map_or(0, |scale| scale.ticks_to_ns(ticks))
}

/// Nanoseconds as ticks, rounded down; 0 before [`init`].
#[inline]
pub fn ns_to_ticks(ns: u64) -> u64 {
    SCALE.get().map_or(0, |scale| scale.ns_to_ticks(ns))
}

/// Ticks after which at least `ns` nanoseconds have passed; 0 before [`init`].
#[inline]
pub fn ns_to_ticks_up(ns: u64) -> u64 {
    SCALE.get().map_or(0, |scale| scale.ns_to_ticks_up(ns))
}

/// Multiplier and right shift that make nanoseconds of ticks: `(0, 0)` before [`init`].
pub fn ns_factor() -> (u64, u32) {
    SCALE.get().map_or((0, 0), |scale| scale.to_ns_factor())
}

/// How the rate of the TSC was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Calibration {
    /// Against what, and how well that can be trusted; in words by `Display`.
    pub source: Verdict,
    /// How far off the rate may be, in parts per million.
    pub uncertainty_ppm: u32,
}

static CALIBRATION: OnceCell<Calibration> = OnceCell::uninit();

/// How the rate of the TSC was found; nothing to rely on before [`init`].
pub fn calibration() -> Calibration {
    let unknown = Calibration {
        source: Verdict::StatedOnly,
        uncertainty_ppm: u32::MAX,
    };
    CALIBRATION.get().copied().unwrap_or(unknown)
}

/// What the CMOS clock said, and when.
struct WallClock {
    read: Result<CivilTime, RtcError>,
    at_ticks: u64,
}

static WALL_CLOCK: OnceCell<WallClock> = OnceCell::uninit();

/// Measures the TSC and readies the boot core's timer. Once, on the boot core, interrupts off, after
/// [`crate::irq::init`]. Takes about 20 ms.
///
/// # Errors
/// When nothing on the machine tells how fast time passes.
pub fn init() -> Result<(), NoClock> {
    let hpet = hpet::init(crate::acpi::hpet_address());
    pit::silence_channel0();
    let rates = calibrate::run(hpet)?;
    let tsc = rates.tsc;
    let _ = SCALE.try_init_once(|| Scale::new(tsc.hz));
    let _ = CALIBRATION.try_init_once(|| Calibration {
        source: tsc.verdict,
        uncertainty_ppm: tsc.uncertainty_ppm,
    });
    TICKS_PER_SECOND.store(tsc.hz, Ordering::Relaxed);
    timer::init(rates.counter.hz, tsc.hz);
    init_this_core(None);
    if tsc.verdict.is_good() {
        log::info!(target: "time", "{tsc}");
    } else {
        log::warn!(target: "time", "{tsc}");
    }
    if !crate::cpu::features().invariant_tsc {
        log::debug!(target: "time", "the CPU does not promise that the TSC's pace is constant");
    }
    log::debug!(
        target: "time",
        "timer {} kHz, {}",
        rates.counter.hz / 1000,
        if uses_deadline_mode() { "TSC-deadline mode" } else { "one-shot" }
    );
    read_wall_clock();
    Ok(())
}

/// Whether the CMOS ports may be used.
pub(crate) fn has_cmos_clock() -> bool {
    crate::acpi::fadt().is_none_or(|fadt| fadt.cmos_rtc != Presence::No)
}

/// Whether the CMOS clock told a valid time at boot.
pub(crate) fn cmos_clock_runs() -> bool {
    WALL_CLOCK.get().is_some_and(|clock| clock.read.is_ok())
}

fn read_wall_clock() {
    let century = crate::acpi::fadt().map_or(0, |fadt| fadt.century_index);
    if !has_cmos_clock() {
        log::info!(target: "time", "this machine has no CMOS clock: the date is unknown");
        return;
    }
    let read = rtc::read(century);
    match read {
        Ok(now) => log::info!(target: "time", "{now} by the CMOS clock"),
        Err(error) => log::warn!(target: "time", "{error}: the date is unknown"),
    }
    let _ = WALL_CLOCK.try_init_once(|| WallClock {
        read,
        at_ticks: now_ticks(),
    });
}

/// Readies the calling core's clock and timer. With an exchange that the boot core serves, compares its TSC with
/// the boot core's first, and corrects for the difference if there is one beyond the measurement's error.
pub(crate) fn init_this_core(exchange: Option<&sync::Exchange>) -> Option<Offset> {
    let offset = exchange.and_then(|exchange| exchange.ask(ticks_per_second()));
    if let Some(offset) = &offset {
        let correction = offset.correction() as u64;
        percpu::this()
            .platform
            .tsc_offset
            .store(correction, Ordering::Relaxed);
    }
    timer::init_this_core();
    offset
}

/// Seconds since 1970-01-01 00:00:00 UTC by the clock of the CMOS as read at boot, which is taken to be UTC; `None` if
/// there was no valid one.
pub fn unix_seconds() -> Option<u64> {
    let clock = WALL_CLOCK.get()?;
    let passed_ns = ticks_to_ns(now_ticks().saturating_sub(clock.at_ticks));
    Some(clock.read.ok()?.unix_seconds() + passed_ns / NS_PER_SECOND)
}

/// The date and time of day, as [`unix_seconds`].
pub fn date() -> Option<CivilTime> {
    Some(CivilTime::from_unix_seconds(unix_seconds()?))
}

/// Waits by watching the clock; for hardware that needs a moment during start-up. Tasks sleep instead.
pub fn spin_us(microseconds: u64) {
    let begin = now_ticks();
    let ticks = ns_to_ticks(microseconds.saturating_mul(1000));
    while now_ticks().wrapping_sub(begin) < ticks {
        core::hint::spin_loop();
    }
}
