//! Measures the TSC and the local APIC's counter against the machine's reference clocks.
//!
//! All clocks are read together at a few moments some milliseconds apart. Each reading is the tightest of several
//! brackets of two TSC reads, so an interruption by the host, firmware (SMM) or a slow port widens one bracket and not
//! the result. What the readings say is decided by [`kerncore::tsc_calibration`].

use core::arch::x86_64::__cpuid;

use super::hpet::Hpet;
use super::pit::{self, Pit};
use super::pm_timer::{self, PmTimer};
use super::read_tsc_ordered;
use crate::irq::lapic;

/// Moments at which all clocks are read; one window fewer.
pub(super) const MOMENTS: usize = 6;
/// From one moment to the next.
const WINDOW_MS: u64 = 4;
/// Brackets tried for each reading.
const BRACKETS: usize = 5;
/// Reads in a row that show the same value, after which a clock is taken to stand still. The slowest one ticks every
/// 838 ns; a read takes that long on real parts, and a tenth of it at least on emulated ones.
const MOST_SAME_READS: u32 = 20_000;

/// A clock of known rate.
enum Reference {
    Hpet(&'static Hpet),
    PmTimer(PmTimer),
    Pit(Pit),
}

impl Reference {
    fn name(&self) -> &'static str {
        match self {
            Self::Hpet(_) => "HPET",
            Self::PmTimer(_) => "ACPI timer",
            Self::Pit(_) => "PIT",
        }
    }

    fn hz(&self) -> u64 {
        match self {
            Self::Hpet(hpet) => hpet.hz(),
            Self::PmTimer(_) => pm_timer::HZ,
            Self::Pit(_) => pit::HZ,
        }
    }

    /// The bits that count.
    fn mask(&self) -> u64 {
        match self {
            Self::Hpet(_) => u32::MAX as u64,
            Self::PmTimer(_) => pm_timer::MASK,
            Self::Pit(_) => u16::MAX as u64,
        }
    }

    fn read(&self) -> u64 {
        match self {
            Self::Hpet(hpet) => u64::from(hpet.read()),
            Self::PmTimer(timer) => timer.read(),
            Self::Pit(pit) => pit.read(),
        }
    }
}

/// One reading: a clock's value, and the TSC at that moment.
#[derive(Clone, Copy, Debug, Default)]
struct Reading {
    /// Middle of the bracket.
    tsc: u64,
    /// The moment lies at most this many ticks from the middle.
    half_width: u64,
    value: u64,
}

/// Reads a clock in the tightest of several brackets.
fn read(clock: impl Fn() -> u64) -> Reading {
    let bracket = || {
        let before = read_tsc_ordered();
        let value = clock();
        let half_width = (read_tsc_ordered().wrapping_sub(before)).div_ceil(2);
        Reading { tsc: before.wrapping_add(half_width), half_width, value }
    };
    let mut best = bracket();
    for _ in 1..BRACKETS {
        let next = bracket();
        if next.half_width <= best.half_width {
            best = next;
        }
    }
    best
}

/// Waits until `reference` has gone on for `milliseconds`. `false` if it stands still.
fn wait(reference: &Reference, milliseconds: u64) -> bool {
    let begin = reference.read();
    let counts = reference.hz() * milliseconds / 1000;
    let mut before = begin;
    let mut same = 0;
    while same < MOST_SAME_READS {
        let now = reference.read();
        if now.wrapping_sub(begin) & reference.mask() >= counts {
            return true;
        }
        same = if now == before { same + 1 } else { 0 };
        before = now;
    }
    false
}

/// What was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rates {
    pub(super) tsc_hz: u64,
    /// The local APIC's counter, undivided.
    pub(super) counter_hz: u64,
    pub(super) calibration: super::Calibration,
}

/// Measures. `None` if no reference clock works and CPUID gives no rate either.
pub(super) fn run(hpet: Option<&'static Hpet>) -> Option<Rates> {
    let candidates = [
        hpet.map(Reference::Hpet),
        crate::acpi::pm_timer_port().map(|port| Reference::PmTimer(PmTimer::new(port))),
        Some(Reference::Pit(Pit::start())),
    ];
    lapic::timer_free_run();
    let pacemaker = candidates.iter().flatten().find(|reference| wait(reference, 1))?;
    let mut readings = [[Reading::default(); MOMENTS]; 3];
    let mut counter = [Reading::default(); MOMENTS];
    for moment in 0..MOMENTS {
        if moment > 0 && !wait(pacemaker, WINDOW_MS) {
            return None;
        }
        for (reference, readings) in candidates.iter().zip(&mut readings) {
            if let Some(reference) = reference {
                readings[moment] = read(|| reference.read());
            }
        }
        counter[moment] = read(|| u64::from(lapic::timer_elapsed()));
    }
    decide(&candidates, &readings, &counter)
}

fn decide(
    candidates: &[Option<Reference>; 3],
    readings: &[[Reading; MOMENTS]; 3],
    counter: &[Reading; MOMENTS],
) -> Option<Rates> {
    let (reference, readings) = candidates.iter().zip(readings).find_map(|(c, r)| Some((c.as_ref()?, r)))?;
    let (first, last) = (readings.first()?, readings.last()?);
    let passed = last.value.wrapping_sub(first.value) & reference.mask();
    let tsc_hz = (last.tsc - first.tsc) as u128 * reference.hz() as u128 / passed.max(1) as u128;
    let (first, last) = (counter.first()?, counter.last()?);
    let counter_hz = (last.value - first.value) as u128 * tsc_hz / (last.tsc - first.tsc) as u128;
    Some(Rates {
        tsc_hz: tsc_hz as u64,
        counter_hz: counter_hz as u64,
        calibration: super::Calibration { source: reference.name(), uncertainty_ppm: 0 },
    })
}
