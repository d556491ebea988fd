//! Measures the TSC and the local APIC's counter against the machine's reference clocks.
//!
//! All clocks are read together at a few moments some milliseconds apart. Each reading is the tightest of several
//! brackets of two TSC reads, so an interruption by the host, firmware (SMM) or a slow port widens one bracket and not
//! the result. What the readings say is decided by [`kerncore::tsc_calibration`].

use kerncore::fixed_list::FixedList;
use kerncore::tsc_calibration::{Calibration, MAX_WINDOWS, NoClock, Reference, Window, calibrate};
use kerncore::tsc_scale::Scale;
use raw_cpuid::{CpuId, CpuIdReaderNative};

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
enum Clock {
    Hpet(&'static Hpet),
    PmTimer(PmTimer),
    Pit(Pit),
}

impl Clock {
    fn reference(&self) -> Reference {
        match self {
            Self::Hpet(_) => Reference::Hpet,
            Self::PmTimer(_) => Reference::PmTimer,
            Self::Pit(_) => Reference::Pit,
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
        Reading {
            tsc: before.wrapping_add(half_width),
            half_width,
            value,
        }
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

/// Waits until `clock` has gone on for `milliseconds`. `false` if it stands still.
fn wait(clock: &Clock, milliseconds: u64) -> bool {
    let begin = clock.read();
    let counts = clock.hz() * milliseconds / 1000;
    let mut before = begin;
    let mut same = 0;
    while same < MOST_SAME_READS {
        let now = clock.read();
        if now.wrapping_sub(begin) & clock.mask() >= counts {
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
    pub(super) tsc: Calibration,
    /// The local APIC's counter, undivided.
    pub(super) counter: Calibration,
}

/// What CPUID says the TSC's rate is: by its own leaf (0x15), by a hypervisor's timing leaf (0x4000_0010), or as the
/// nominal frequency of the processor (0x16), whose TSC runs at that rate on the parts that have this leaf.
fn stated_hz() -> Option<u64> {
    let cpuid = CpuId::with_cpuid_reader(CpuIdReaderNative);
    let by_hypervisor = || {
        cpuid
            .get_hypervisor_info()?
            .tsc_frequency()
            .filter(|&khz| khz > 0)
            .map(|khz| u64::from(khz) * 1000)
    };
    let nominal = || {
        let mhz = cpuid
            .get_processor_frequency_info()?
            .processor_base_frequency();
        (mhz > 0).then_some(u64::from(mhz) * 1_000_000)
    };
    crate::cpu::features()
        .tsc_hz
        .or_else(by_hypervisor)
        .or_else(nominal)
}

/// Measures.
///
/// # Errors
/// [`NoClock`] if no clock works and CPUID states no rate.
pub(super) fn run(hpet: Option<&'static Hpet>) -> Result<Rates, NoClock> {
    let stated_hz = stated_hz();
    let clocks = [
        hpet.map(Clock::Hpet),
        crate::acpi::pm_timer_port().map(|port| Clock::PmTimer(PmTimer::new(port))),
        Some(Clock::Pit(Pit::start())),
    ];
    lapic::timer_free_run();
    let pacemaker = clocks.iter().flatten().find(|clock| wait(clock, 1));
    let begin = read_tsc_ordered();
    let mut readings = [[Reading::default(); MOMENTS]; 3];
    let mut counter = [Reading::default(); MOMENTS];
    for moment in 0..MOMENTS {
        if moment > 0 {
            let goes_on = pacemaker.is_some_and(|clock| wait(clock, WINDOW_MS));
            if !goes_on {
                wait_by_tsc(begin, stated_hz.ok_or(NoClock)?, moment as u64);
            }
        }
        for (clock, readings) in clocks.iter().zip(&mut readings) {
            if let Some(clock) = clock {
                readings[moment] = read(|| clock.read());
            }
        }
        counter[moment] = read(|| u64::from(lapic::timer_elapsed()));
    }
    let mut windows = FixedList::new(NO_WINDOW);
    for (clock, readings) in clocks.iter().zip(&readings) {
        if let Some(clock) = clock {
            add_windows(clock, readings, &mut windows);
        }
    }
    let tsc = calibrate(&windows, stated_hz)?;
    let counter = calibrate(&counter_windows(&counter, tsc.hz), None)?;
    Ok(Rates { tsc, counter })
}

/// Waits for the moment of that number by the TSC itself: no clock goes, but its rate is stated.
fn wait_by_tsc(begin: u64, hz: u64, moment: u64) {
    let ticks = hz / 1000 * WINDOW_MS * moment;
    while read_tsc_ordered().wrapping_sub(begin) < ticks {
        core::hint::spin_loop();
    }
}

type Windows = FixedList<Window, MAX_WINDOWS>;

const NO_WINDOW: Window = Window {
    reference: Reference::Tsc,
    elapsed_ns: 0,
    start_ticks: 0,
    end_ticks: 0,
    uncertainty_ticks: 0,
};

/// All three clocks' windows fit.
const _: () = assert!(3 * MOMENTS * (MOMENTS - 1) / 2 <= MAX_WINDOWS);

/// Every pair of readings, earlier first.
fn pairs(readings: &[Reading; MOMENTS]) -> impl Iterator<Item = (Reading, Reading)> {
    (0..MOMENTS).flat_map(move |first| {
        (first + 1..MOMENTS).map(move |second| (readings[first], readings[second]))
    })
}

/// The windows between all pairs of a clock's readings. A clock that stands still gives windows of no time, which
/// are not believed.
fn add_windows(clock: &Clock, readings: &[Reading; MOMENTS], windows: &mut Windows) {
    let scale = Scale::new(clock.hz());
    for (start, end) in pairs(readings) {
        let window = Window {
            reference: clock.reference(),
            elapsed_ns: scale.ticks_to_ns(end.value.wrapping_sub(start.value) & clock.mask()),
            start_ticks: start.tsc,
            end_ticks: end.tsc,
            uncertainty_ticks: start.half_width + end.half_width,
        };
        // There is room for all, as asserted above.
        let _ = windows.push(window);
    }
}

/// The same the other way round: the counter's windows by the TSC, whose rate is now known.
fn counter_windows(readings: &[Reading; MOMENTS], tsc_hz: u64) -> Windows {
    let scale = Scale::new(tsc_hz);
    let mut windows = FixedList::new(NO_WINDOW);
    for (start, end) in pairs(readings) {
        let passed_tsc = end.tsc.wrapping_sub(start.tsc).max(1);
        let passed = end.value.saturating_sub(start.value);
        // The moments are uncertain in TSC ticks; in counts that is as much less as the counter is slower.
        let half_widths = u128::from(start.half_width + end.half_width);
        let uncertain = (half_widths * u128::from(passed)).div_ceil(u128::from(passed_tsc));
        let window = Window {
            reference: Reference::Tsc,
            elapsed_ns: scale.ticks_to_ns(passed_tsc),
            start_ticks: start.value,
            end_ticks: end.value,
            uncertainty_ticks: u64::try_from(uncertain).unwrap_or(u64::MAX),
        };
        let _ = windows.push(window);
    }
    windows
}
