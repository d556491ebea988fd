//! The arithmetic of one Constant Bandwidth Server: pure, in ticks, without overflow.
//!
//! Rules: L. Abeni, G. Buttazzo, "Integrating Multimedia Applications in Hard Real-Time Systems",
//! RTSS 1998 (wake and exhaustion of a soft CBS); hard variant as in Linux' SCHED_DEADLINE
//! (Documentation/scheduler/sched-deadline.rst §2.2); constrained deadlines (D < T) by the revised wake
//! rule of D. Casini, L. Abeni, A. Biondi, T. Cucinotta, G. Buttazzo, "Constant Bandwidth Servers with
//! Constrained Deadlines", RTNS 2017.
//!
//! A poll cannot be stopped at the end of a budget, so a budget can go negative. The debt is carried:
//! one division finds how many periods repay it, however long the poll was.
//!
//! Range: absolute times are any `u64` (100 years at 5 GHz are 1.58·10¹⁹ < 2⁶⁴) and saturate at its
//! end; periods are at most [`MAX_PERIOD`], and every product of two such numbers is taken in `u128`.

/// The longest period: 2⁵⁶ ticks, 166 days at 5 GHz.
pub const MAX_PERIOD: u64 = 1 << 56;
/// Debt beyond this is forgiven; no poll lasts so long.
const MAX_DEBT: i64 = 1 << 60;
/// Fraction bits of a [`bandwidth`].
pub const SHARE_BITS: u32 = 32;
/// The whole of a core, as a bandwidth.
pub const WHOLE: u64 = 1 << SHARE_BITS;

/// `numerator / denominator` as a 32-bit fixed-point share, rounded up.
pub const fn bandwidth(numerator: u64, denominator: u64) -> u64 {
    if denominator == 0 {
        return u64::MAX;
    }
    let share = ((numerator as u128) << SHARE_BITS).div_ceil(denominator as u128);
    if share > u64::MAX as u128 { u64::MAX } else { share as u64 }
}

/// What a server is entitled to, in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Params {
    /// Execution time per period, Q; at least 1.
    pub budget: u64,
    /// Period, T; at most [`MAX_PERIOD`].
    pub period: u64,
    /// Relative deadline, D ≤ T.
    pub deadline: u64,
}

impl Params {
    /// Whether 0 < Q ≤ D ≤ T ≤ [`MAX_PERIOD`].
    pub const fn is_sane(&self) -> bool {
        0 < self.budget && self.budget <= self.deadline && self.deadline <= self.period && self.period <= MAX_PERIOD
    }

    /// Q ÷ T, rounded up.
    pub const fn bandwidth(&self) -> u64 {
        bandwidth(self.budget, self.period)
    }
}

/// Whether a woken server may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// At once, with the account's deadline.
    Run,
    /// Only from this time on: its deadline has passed but its period has not (D < T), or debt is left.
    Wait(u64),
}

/// The state of a server: what is left and until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    /// Remaining budget (ticks); negative is debt.
    pub left: i64,
    /// Absolute scheduling deadline, d (ticks).
    pub deadline: u64,
    /// End of the current period (ticks); equals `deadline` when D = T.
    pub period_end: u64,
}

impl Account {
    /// A server that never ran: its first wake starts a period.
    pub const fn new() -> Account {
        Account { left: 0, deadline: 0, period_end: 0 }
    }

    /// The server becomes ready at `now`.
    ///
    /// Keeps (c, d) if using the rest of the budget by d does not exceed the bandwidth, that is if
    /// c ≤ (d − now)·Q/D; else starts a period at `now`.
    pub fn wake(&mut self, params: &Params, now: u64) -> Wake {
        if now < self.deadline {
            let room = (self.deadline - now) as u128 * params.budget as u128;
            if self.left > 0 {
                let wanted = self.left as u128 * params.deadline as u128;
                if wanted <= room {
                    return Wake::Run;
                }
                if params.deadline < params.period {
                    // Casini et al.: keep d and cut the budget to what fits, instead of a new period.
                    self.left = (room / params.deadline as u128) as i64;
                    if self.left > 0 {
                        return Wake::Run;
                    }
                    return Wake::Wait(self.period_end);
                }
            } else {
                // Exhausted before it blocked: its next budget is due at the period's end.
                return Wake::Wait(self.period_end);
            }
        } else if now < self.period_end {
            return Wake::Wait(self.period_end);
        }
        self.begin(params, now);
        if self.left > 0 { Wake::Run } else { Wake::Wait(self.period_end) }
    }

    /// Starts a period at `now`. Debt is carried, less what the bandwidth repaid since the last period
    /// ended.
    pub fn begin(&mut self, params: &Params, now: u64) {
        let mut debt = 0;
        if self.left < 0 {
            let idle = now.saturating_sub(self.period_end) as u128;
            let repaid = idle * params.budget as u128 / params.period as u128;
            debt = (self.left.unsigned_abs() as u128).saturating_sub(repaid) as i64;
        }
        self.left = params.budget as i64 - debt;
        self.deadline = now.saturating_add(params.deadline);
        self.period_end = now.saturating_add(params.period);
    }

    /// Charges `ticks` of execution.
    #[inline(always)]
    pub fn charge(&mut self, ticks: u64) {
        let ticks = if ticks > MAX_DEBT as u64 { MAX_DEBT } else { ticks as i64 };
        self.left = (self.left - ticks).max(-MAX_DEBT);
    }

    /// Whether the budget is used up.
    #[inline(always)]
    pub fn is_exhausted(&self) -> bool {
        self.left <= 0
    }

    /// Soft exhaustion: the server stays ready, behind its new deadline. As many periods as repay the
    /// debt are added at once.
    pub fn postpone(&mut self, params: &Params) {
        let periods = self.repay(params);
        let shift = (periods as u128 * params.period as u128).min(u64::MAX as u128) as u64;
        self.period_end = self.period_end.saturating_add(shift);
        self.deadline = self.period_end.saturating_sub(params.period - params.deadline);
    }

    /// Hard exhaustion: refills, and returns the time from which the server may run again.
    pub fn throttle(&mut self, params: &Params) -> u64 {
        let periods = self.repay(params);
        let wait = ((periods - 1) as u128 * params.period as u128).min(u64::MAX as u128) as u64;
        let resume = self.period_end.saturating_add(wait);
        self.deadline = resume.saturating_add(params.deadline);
        self.period_end = resume.saturating_add(params.period);
        resume
    }

    /// Adds whole budgets until something is left, and returns how many.
    fn repay(&mut self, params: &Params) -> u64 {
        let debt = if self.left < 0 { self.left.unsigned_abs() } else { 0 };
        let periods = debt / params.budget + 1;
        let refill = periods as i128 * params.budget as i128;
        self.left = (self.left as i128 + refill).min(params.budget as i128) as i64;
        periods
    }

    /// The 0-lag time: until then the bandwidth of a server that blocked still counts as used
    /// (c ÷ (d − t) would exceed Q/T otherwise). `d − c·T/Q`.
    pub fn zero_lag(&self, params: &Params) -> u64 {
        if self.left <= 0 {
            return self.period_end;
        }
        let lead = self.left as u128 * params.period as u128 / params.budget as u128;
        (self.period_end as u128).saturating_sub(lead) as u64
    }
}

impl Default for Account {
    fn default() -> Self {
        Self::new()
    }
}

/// What `used` ticks cost a reclaiming server (GRUB: G. Lipari, S. Baruah, "Greedy reclamation of
/// unused bandwidth in constant-bandwidth servers", ECRTS 2000; the form of Linux' SCHED_DEADLINE):
/// the active bandwidth's share of what may be given out, and at least its own.
pub fn reclaimed_cost(used: u64, own: u64, active: u64, limit: u64) -> u64 {
    let rate = bandwidth(active.max(own).min(limit), limit);
    ((used as u128 * rate as u128) >> SHARE_BITS) as u64 + u64::from(rate != 0 && used != 0)
}
