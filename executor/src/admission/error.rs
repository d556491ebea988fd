//! Why a reservation was refused, and by how much.

use core::fmt;

/// Why a reservation was refused. Shares are parts in a million of the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AdmissionError {
    /// The numbers make no sense; needed are 0 < budget ≤ deadline ≤ period, and a period of at most 2⁵⁶ ticks.
    BadReservation,
    /// It does not fit beside what is admitted already.
    DoesNotFit {
        /// What it asks for, including the room for others' polls.
        wanted_ppm: u64,
        /// What was left for it at that deadline.
        free_ppm: u64,
        /// What may be given out in all.
        limit_ppm: u64,
        /// The relative deadline at which there is too little: its own, or that of an admitted reservation which
        /// would no longer be safe.
        deadline_ticks: u64,
        /// The longest poll that blocks reservations of this deadline.
        blocking_ticks: u64,
        /// By how much others can exceed their budgets before it: the sum of their longest polls.
        overshoot_ticks: u64,
    },
    /// The core keeps no more reservations than it was started for.
    TooMany {
        /// How many.
        reservations: usize,
    },
    /// The core was not started.
    NoCore,
    /// The reservation was given up already.
    Gone,
}

impl AdmissionError {
    /// By how much it does not fit, in parts in a million of the core; 0 when that is not the problem.
    pub const fn excess_ppm(&self) -> u64 {
        match self {
            AdmissionError::DoesNotFit {
                wanted_ppm,
                free_ppm,
                ..
            } => wanted_ppm.saturating_sub(*free_ppm),
            _ => 0,
        }
    }
}

impl fmt::Display for AdmissionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AdmissionError::BadReservation => {
                f.write_str("a reservation needs 0 < budget <= deadline <= period")
            }
            AdmissionError::DoesNotFit {
                wanted_ppm,
                free_ppm,
                limit_ppm,
                deadline_ticks,
                blocking_ticks,
                overshoot_ticks,
            } => write!(
                f,
                "does not fit by {} ppm: wants {wanted_ppm} of {free_ppm} free (limit {limit_ppm}) at deadline {deadline_ticks} ticks, where polls of {blocking_ticks} ticks block and others' last polls take {overshoot_ticks} more",
                wanted_ppm.saturating_sub(*free_ppm)
            ),
            AdmissionError::TooMany { reservations } => {
                write!(f, "the core keeps {reservations} reservations at most")
            }
            AdmissionError::NoCore => f.write_str("the core was not started"),
            AdmissionError::Gone => f.write_str("the reservation was given up"),
        }
    }
}

impl core::error::Error for AdmissionError {}
