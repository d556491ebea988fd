//! How fast the time-stamp counter runs.
//!
//! `hal` measures several short windows against each reference clock it has (HPET, PM timer, PIT): a pair of readings, each
//! of the reference between two of the counter, so that a delay in between shows as uncertainty. A virtual processor may be
//! descheduled in mid-window; single windows against the PIT have come out wrong by a factor of 3.5. So no single window is believed:
//! [`calibrate`] takes, for each clock, the value that most of its windows agree on, and then compares the clocks.
//!
//! Windows may overlap: with all pairs of a few readings, the long ones are precise and the short ones outvote what a disturbed
//! reading spoils. Everything is integer arithmetic on at most [`MAX_WINDOWS`] windows. [`crate::tsc_scale`] turns the result into time.

use core::fmt;

/// How many windows are looked at.
pub const MAX_WINDOWS: usize = 64;

/// A reference clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reference {
    /// The high-precision event timer.
    Hpet,
    /// The ACPI power management timer.
    PmTimer,
    /// The 8254 interval timer.
    Pit,
    /// The time-stamp counter itself, once it is known: to calibrate other counters by, such as the local APIC's.
    Tsc,
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Hpet => "HPET",
            Self::PmTimer => "PM timer",
            Self::Pit => "PIT",
            Self::Tsc => "TSC",
        })
    }
}

/// One measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Against which clock.
    pub reference: Reference,
    /// How long that clock says it took, in nanoseconds.
    pub elapsed_ns: u64,
    /// Counter at the start: the middle of the readings around the reference's.
    pub start_ticks: u64,
    /// Counter at the end, likewise.
    pub end_ticks: u64,
    /// How far off the difference of the two may be: half the distance of the readings around the reference's, both ends together.
    pub uncertainty_ticks: u64,
}

/// How much the result can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Two clocks agree.
    CrossChecked {
        /// The clock the frequency is from.
        by: Reference,
        /// One that agrees with it.
        with: Reference,
    },
    /// The frequency the processor or hypervisor states agrees with a clock.
    MatchesStated {
        /// The clock.
        by: Reference,
    },
    /// There is just one clock.
    SingleReference {
        /// The clock.
        by: Reference,
    },
    /// The clocks disagree; the one with the most windows in agreement was taken.
    ReferencesDisagree {
        /// The clock the frequency is from.
        by: Reference,
        /// What another says, in Hz.
        other_hz: u64,
    },
    /// No two windows agree: the machine was disturbed all the time. The best single window was taken.
    Noisy {
        /// The clock the frequency is from.
        by: Reference,
    },
    /// No window can be used; the stated frequency was taken.
    StatedOnly,
}

impl Verdict {
    /// Whether time kept with this frequency can be relied on.
    pub const fn is_good(self) -> bool {
        matches!(
            self,
            Self::CrossChecked { .. } | Self::MatchesStated { .. } | Self::SingleReference { .. }
        )
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CrossChecked { by, with } => {
                write!(f, "measured by the {by}, checked against the {with}")
            }
            Self::MatchesStated { by } => {
                write!(f, "measured by the {by}, as the processor states")
            }
            Self::SingleReference { by } => write!(f, "measured by the {by} alone"),
            Self::ReferencesDisagree { by, other_hz } => {
                write!(
                    f,
                    "measured by the {by}; another clock says {other_hz} Hz: time may be wrong"
                )
            }
            Self::Noisy { by } => {
                write!(
                    f,
                    "measured by the {by} on a disturbed machine, where no two tries agreed: time may be wrong"
                )
            }
            Self::StatedOnly => f.write_str("as the processor states; no clock could check it"),
        }
    }
}

/// The result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Calibration {
    /// Ticks per second.
    pub hz: u64,
    /// How far off `hz` may be, in parts per million.
    pub uncertainty_ppm: u32,
    /// How many windows agreed on it.
    pub windows_agreeing: u32,
    /// How many there were of that clock.
    pub windows: u32,
    /// How much it can be trusted, and why.
    pub verdict: Verdict,
}

impl fmt::Display for Calibration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let khz = self.hz / 1000;
        write!(
            f,
            "TSC {}.{:03} MHz +-{} ppm, {}",
            khz / 1000,
            khz % 1000,
            self.uncertainty_ppm,
            self.verdict
        )?;
        write!(
            f,
            " ({} of {} windows)",
            self.windows_agreeing, self.windows
        )
    }
}

/// No window can be used and no frequency is stated: there is no clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoClock;

impl fmt::Display for NoClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the time-stamp counter cannot be calibrated: no HPET, PM timer or PIT counts; there is no time")
    }
}

// Frequencies outside are no processor's, also where an emulator counts instructions.
const PLAUSIBLE_HZ: core::ops::RangeInclusive<u64> = 1_000_000..=100_000_000_000;
// Windows that differ by no more than this and their uncertainties agree; crystals of clocks differ by up to 100 ppm or so each.
const AGREEMENT_PPM: u64 = 300;
const MILLION: u64 = 1_000_000;

// What a window says.
#[derive(Clone, Copy)]
struct Rate {
    hz: u64,
    uncertainty_ppm: u64,
}

impl Rate {
    const NONE: Self = Self {
        hz: 0,
        uncertainty_ppm: 0,
    };

    fn of(window: &Window) -> Option<Self> {
        let ticks = window
            .end_ticks
            .checked_sub(window.start_ticks)
            .filter(|&ticks| ticks > 0)?;
        let hz = (u128::from(ticks) * 1_000_000_000).checked_div(u128::from(window.elapsed_ns))?;
        let hz = u64::try_from(hz)
            .ok()
            .filter(|hz| PLAUSIBLE_HZ.contains(hz))?;
        let uncertainty_ppm =
            u128::from(window.uncertainty_ticks) * u128::from(MILLION) / u128::from(ticks);
        // A window that says nothing better than "within a tenth" says nothing.
        (uncertainty_ppm < 100_000).then_some(Self {
            hz,
            uncertainty_ppm: uncertainty_ppm as u64,
        })
    }

    fn agrees_with(&self, other: &Self) -> bool {
        let allowed = AGREEMENT_PPM + self.uncertainty_ppm + other.uncertainty_ppm;
        difference_ppm(self.hz, other.hz) <= allowed
    }
}

// How far `a` and `b` are apart, in parts per million of the smaller.
fn difference_ppm(a: u64, b: u64) -> u64 {
    let ppm = u128::from(a.abs_diff(b)) * u128::from(MILLION) / u128::from(a.min(b).max(1));
    u64::try_from(ppm).unwrap_or(u64::MAX)
}

// What the windows of one clock say together.
#[derive(Clone, Copy)]
struct Estimate {
    reference: Reference,
    rate: Rate,
    agreeing: u32,
    windows: u32,
}

/// Finds the frequency from `windows` (the first [`MAX_WINDOWS`] are looked at). `stated_hz` is what CPUID (leaf 15H, or a
/// hypervisor's timing leaf) says, if anything: it is never preferred to an agreeing measurement, but can confirm one.
///
/// # Errors
/// [`NoClock`] if there is nothing to go by.
pub fn calibrate(windows: &[Window], stated_hz: Option<u64>) -> Result<Calibration, NoClock> {
    let stated = stated_hz
        .filter(|hz| PLAUSIBLE_HZ.contains(hz))
        .map(|hz| Rate {
            hz,
            uncertainty_ppm: 0,
        });
    let windows = windows.get(..MAX_WINDOWS).unwrap_or(windows);
    let estimates = [
        Reference::Hpet,
        Reference::PmTimer,
        Reference::Pit,
        Reference::Tsc,
    ]
    .map(|reference| estimate(windows, reference));
    // The clock whose windows agree best; on a tie the better one, which comes first.
    let best = estimates
        .iter()
        .flatten()
        .rev()
        .max_by_key(|estimate| estimate.agreeing);
    let Some(best) = best else {
        let rate = stated.ok_or(NoClock)?;
        let uncertainty_ppm = AGREEMENT_PPM as u32;
        return Ok(Calibration {
            hz: rate.hz,
            uncertainty_ppm,
            windows_agreeing: 0,
            windows: 0,
            verdict: Verdict::StatedOnly,
        });
    };
    let by = best.reference;
    let mut others = estimates
        .iter()
        .flatten()
        .filter(|estimate| estimate.reference != by);
    let verdict = if let Some(with) = others
        .clone()
        .find(|other| other.rate.agrees_with(&best.rate))
    {
        Verdict::CrossChecked {
            by,
            with: with.reference,
        }
    } else if stated.is_some_and(|stated| stated.agrees_with(&best.rate)) {
        Verdict::MatchesStated { by }
    } else if best.agreeing < 2 {
        Verdict::Noisy { by }
    } else if let Some(other) = others.find(|other| other.agreeing >= 2) {
        Verdict::ReferencesDisagree {
            by,
            other_hz: other.rate.hz,
        }
    } else {
        // Other clocks, if any, had no two windows in agreement and so nothing to say.
        Verdict::SingleReference { by }
    };
    Ok(Calibration {
        hz: best.rate.hz,
        uncertainty_ppm: best.rate.uncertainty_ppm.min(MILLION) as u32,
        windows_agreeing: best.agreeing,
        windows: best.windows,
        verdict,
    })
}

// The largest group of windows that agree with one of them; of several, the one around the least uncertain window.
fn estimate(windows: &[Window], reference: Reference) -> Option<Estimate> {
    let mut rates = [Rate::NONE; MAX_WINDOWS];
    let mut count = 0;
    let of_reference = windows
        .iter()
        .filter(|window| window.reference == reference);
    for (place, rate) in rates
        .iter_mut()
        .zip(of_reference.clone().filter_map(Rate::of))
    {
        *place = rate;
        count += 1;
    }
    let rates = rates.get(..count)?;
    let agreeing_with =
        |centre: &Rate| rates.iter().filter(|rate| rate.agrees_with(centre)).count();
    let centre = rates.iter().max_by_key(|rate| {
        (
            agreeing_with(rate),
            core::cmp::Reverse(rate.uncertainty_ppm),
        )
    })?;
    let group = || rates.iter().filter(|rate| rate.agrees_with(centre));
    let agreeing = group().count();

    // Of the group's least uncertain windows, the median, and how far the middle half of them spreads.
    let least_ppm = group().map(|rate| rate.uncertainty_ppm).min()?;
    let precise = group().filter(|rate| rate.uncertainty_ppm <= 2 * least_ppm + 1);
    let mut sorted = [0u64; MAX_WINDOWS];
    let mut len = 0;
    for (place, rate) in sorted.iter_mut().zip(precise) {
        *place = rate.hz;
        len += 1;
    }
    let sorted = sorted.get_mut(..len)?;
    sorted.sort_unstable();
    let (lower, upper) = (*sorted.get((len - 1) / 2)?, *sorted.get(len / 2)?);
    let hz = lower.midpoint(upper);
    let (first, third) = (*sorted.get(len / 4)?, *sorted.get(len - 1 - len / 4)?);
    let spread_ppm = difference_ppm(first, third).div_ceil(2);
    let rate = Rate {
        hz,
        uncertainty_ppm: spread_ppm.max(least_ppm).max(1),
    };
    Some(Estimate {
        reference,
        rate,
        agreeing: agreeing as u32,
        windows: of_reference.count() as u32,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::string::ToString;
    use std::vec::Vec;

    const HZ: u64 = 2_400_000_000;

    // A window of 10 ms whose counter difference is off by `error_ppm`.
    fn window(reference: Reference, error_ppm: i64) -> Window {
        let ticks = HZ / 100;
        let off = i128::from(ticks) * i128::from(error_ppm) / 1_000_000;
        Window {
            reference,
            elapsed_ns: 10_000_000,
            start_ticks: 5_000,
            end_ticks: 5_000 + (i128::from(ticks) + off) as u64,
            uncertainty_ticks: 1_000,
        }
    }

    fn windows(reference: Reference, errors: &[i64]) -> Vec<Window> {
        errors
            .iter()
            .map(|&error| window(reference, error))
            .collect()
    }

    #[test]
    fn agreeing_clocks_are_cross_checked() {
        let mut all = windows(Reference::Pit, &[10, -20, 2_500_000, 5]);
        all.extend(windows(Reference::Hpet, &[0, 12, -7, 90_000, 3]));
        let result = calibrate(&all, None).unwrap();
        assert_eq!(
            result.verdict,
            Verdict::CrossChecked {
                by: Reference::Hpet,
                with: Reference::Pit
            }
        );
        assert!(
            difference_ppm(result.hz, HZ) < 10 && result.uncertainty_ppm < 50,
            "{result}"
        );
        assert_eq!((result.windows_agreeing, result.windows), (4, 5));
        assert_eq!(
            result.to_string(),
            "TSC 2400.003 MHz +-41 ppm, measured by the HPET, checked against the PIT (4 of 5 windows)"
        );
    }

    #[test]
    fn preempted_windows_are_outvoted() {
        // Most windows of the PIT are too long, each by another amount; three are right.
        let all = windows(
            Reference::Pit,
            &[2_500_000, 40_000, 0, 9_000_000, 300_000, 60, -40, 1_200_000],
        );
        let result = calibrate(&all, None).unwrap();
        assert_eq!(
            result.verdict,
            Verdict::SingleReference { by: Reference::Pit }
        );
        assert!(difference_ppm(result.hz, HZ) <= 60, "{result}");
    }

    #[test]
    fn disagreement_and_noise_are_told() {
        let mut all = windows(Reference::Hpet, &[0, 1, 2]);
        all.extend(windows(Reference::Pit, &[2_500_000, 2_500_001]));
        let result = calibrate(&all, None).unwrap();
        assert!(
            matches!(
                result.verdict,
                Verdict::ReferencesDisagree {
                    by: Reference::Hpet,
                    ..
                }
            ),
            "{result}"
        );
        assert!(!result.verdict.is_good());
        let result = calibrate(&windows(Reference::Pit, &[0, 100_000, 900_000]), None).unwrap();
        assert_eq!(result.verdict, Verdict::Noisy { by: Reference::Pit });
        // A clock without two agreeing windows has nothing to say against another.
        let mut all = windows(Reference::Hpet, &[0, 1, 2]);
        all.extend(windows(Reference::Pit, &[2_500_000, 50_000]));
        assert_eq!(
            calibrate(&all, None).unwrap().verdict,
            Verdict::SingleReference {
                by: Reference::Hpet
            }
        );
    }

    #[test]
    fn a_stated_frequency_confirms_or_replaces() {
        let all = windows(Reference::Pit, &[0, 5]);
        assert_eq!(
            calibrate(&all, Some(HZ)).unwrap().verdict,
            Verdict::MatchesStated { by: Reference::Pit }
        );
        let wrong = calibrate(&all, Some(HZ / 2)).unwrap();
        assert_eq!(
            wrong.verdict,
            Verdict::SingleReference { by: Reference::Pit }
        );
        let stated = calibrate(&[], Some(HZ)).unwrap();
        assert_eq!((stated.hz, stated.verdict), (HZ, Verdict::StatedOnly));
        assert_eq!(calibrate(&[], Some(5)), Err(NoClock));
    }

    #[test]
    fn windows_that_say_nothing_are_left_out() {
        let good = window(Reference::Hpet, 0);
        for bad in [
            Window {
                elapsed_ns: 0,
                ..good
            },
            Window {
                end_ticks: good.start_ticks,
                ..good
            },
            Window {
                end_ticks: 0,
                ..good
            },
            Window {
                uncertainty_ticks: u64::MAX,
                ..good
            },
            Window {
                elapsed_ns: u64::MAX,
                ..good
            },
            Window {
                end_ticks: u64::MAX,
                elapsed_ns: 1,
                ..good
            },
        ] {
            assert_eq!(calibrate(&[bad], None), Err(NoClock), "{bad:?}");
            assert_eq!(calibrate(&[bad, good, good], None).unwrap().hz, HZ);
        }
    }

    proptest! {
        #[test]
        fn right_whenever_half_the_windows_are(
            good in prop::collection::vec(-80..80i64, 3..12),
            bad in prop::collection::vec((1_000..10_000_000i64, 0..50_000_000u64), 0..2),
            stated: bool,
        ) {
            let mut all = windows(Reference::PmTimer, &good);
            for (error, uncertainty_ticks) in bad {
                all.insert(all.len() / 2, Window { uncertainty_ticks, ..window(Reference::PmTimer, error) });
            }
            let result = calibrate(&all, stated.then_some(HZ)).unwrap();
            prop_assert!(difference_ppm(result.hz, HZ) <= 1_100, "{}", result);
        }

        #[test]
        fn anything_is_survived(
            raw in prop::collection::vec((0..3u8, any::<u64>(), any::<u64>(), any::<u64>(), any::<u64>()), 0..100),
            stated: Option<u64>
        ) {
            let references = [Reference::Hpet, Reference::PmTimer, Reference::Pit];
            let all: Vec<Window> = raw.into_iter().map(|(reference, elapsed_ns, start_ticks, end_ticks, uncertainty_ticks)| {
                Window { reference: references[usize::from(reference)], elapsed_ns, start_ticks, end_ticks, uncertainty_ticks }
            }).collect();
            if let Ok(result) = calibrate(&all, stated) {
                prop_assert!(PLAUSIBLE_HZ.contains(&result.hz));
            }
        }
    }
}
