//! Reservations: processor time by contract.

use core::{fmt, marker::PhantomData, time::Duration};

use crate::{
    AdmissionError, CoreId, Platform, admission::Claim, sched::cbs::Params, time::to_ticks,
};

/// What happens when the budget is used up before the period is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The tasks wait for the next period, even if the core has nothing else to do.
    Hard,
    /// The tasks go on, behind everyone due before their postponed deadline.
    Soft,
}

/// Processor time asked for: `budget` in every `period`, to be had within `deadline` of the wake.
///
/// ```
/// use core::time::Duration;
/// use executor::{Mode, Reservation};
///
/// let audio = Reservation::new(Duration::from_micros(300), Duration::from_millis(5)).longest_poll(Duration::from_micros(100));
/// assert_eq!(audio.deadline, audio.period);
/// assert_eq!(audio.mode, Mode::Hard);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// Execution time per period, Q.
    pub budget: Duration,
    /// Period, T.
    pub period: Duration,
    /// Relative deadline, D ≤ T.
    pub deadline: Duration,
    /// The longest time a single poll of a task in it takes: others wait that long. Longer polls are counted and reported.
    pub p_max: Duration,
    /// What happens when the budget is used up.
    pub mode: Mode,
    /// Whether time that other reservations leave unused is taken first, before the budget (GRUB).
    pub reclaim: bool,
}

impl Reservation {
    /// A hard reservation due by the end of its period, with polls of at most a tenth of its budget.
    pub const fn new(budget: Duration, period: Duration) -> Reservation {
        let p_max = match budget.checked_div(10) {
            Some(tenth) => tenth,
            None => budget,
        };
        Reservation {
            budget,
            period,
            deadline: period,
            p_max,
            mode: Mode::Hard,
            reclaim: false,
        }
    }

    /// Sets a relative deadline shorter than the period.
    pub const fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Declares the longest poll.
    pub const fn longest_poll(mut self, p_max: Duration) -> Self {
        self.p_max = p_max;
        self
    }

    /// Postpones instead of throttling.
    pub const fn soft(mut self) -> Self {
        self.mode = Mode::Soft;
        self
    }

    /// Takes unused time of others first.
    pub const fn reclaiming(mut self) -> Self {
        self.reclaim = true;
        self
    }

    pub(crate) fn claim<P: Platform>(&self) -> Claim {
        Claim {
            params: Params {
                budget: to_ticks::<P>(self.budget),
                period: to_ticks::<P>(self.period),
                deadline: to_ticks::<P>(self.deadline),
            },
            longest_poll: to_ticks::<P>(self.p_max),
            hard: self.mode == Mode::Hard,
            reclaims: self.reclaim,
        }
    }
}

/// An admitted reservation. Tasks [join it](crate::Task::within) when they are spawned; it is given up when the last of them and
/// this handle are gone.
pub struct Reserved<P: Platform> {
    core: CoreId,
    server: u32,
    platform: PhantomData<fn() -> P>,
}

impl<P: Platform> fmt::Debug for Reserved<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reserved({}.{})", self.core, self.server)
    }
}

impl<P: Platform> Reserved<P> {
    /// Reserves processor time on `core`, from anywhere but an interrupt handler.
    ///
    /// # Errors
    /// If it does not fit; the error says by how much.
    pub fn new(core: CoreId, reservation: Reservation) -> Result<Reserved<P>, AdmissionError> {
        let home = P::fleet().core(core).ok_or(AdmissionError::NoCore)?;
        let server = home.admit(reservation.claim::<P>())?;
        Ok(Reserved {
            core,
            server,
            platform: PhantomData,
        })
    }

    /// Where it is.
    pub fn core(&self) -> CoreId {
        self.core
    }

    pub(crate) fn server(&self) -> u32 {
        self.server
    }

    /// Replaces the terms while tasks run under it. The running period ends at once; debt is carried over.
    ///
    /// # Errors
    /// If the new terms do not fit; the old ones stay in force then.
    pub fn change(&self, reservation: Reservation) -> Result<(), AdmissionError> {
        let home = P::fleet().core(self.core).ok_or(AdmissionError::NoCore)?;
        home.change_claim(self.server, reservation.claim::<P>())
    }
}

impl<P: Platform> Drop for Reserved<P> {
    fn drop(&mut self) {
        if let Some(home) = P::fleet().core(self.core) {
            home.release_claim(self.server);
        }
    }
}
