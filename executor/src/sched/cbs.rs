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
    if share > u64::MAX as u128 {
        u64::MAX
    } else {
        share as u64
    }
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
        0 < self.budget
            && self.budget <= self.deadline
            && self.deadline <= self.period
            && self.period <= MAX_PERIOD
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
        Account {
            left: 0,
            deadline: 0,
            period_end: 0,
        }
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
        if self.left > 0 {
            Wake::Run
        } else {
            Wake::Wait(self.period_end)
        }
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

    /// The terms change at `now`. What was used is paid for under the old ones, up to the 0-lag time: there the first new
    /// period begins, so that no change of terms makes a server more urgent than its bandwidth does. If that time has
    /// passed, the budget is what fits until the deadline, as when a server wakes late.
    pub fn change(&mut self, old: &Params, new: &Params, now: u64) {
        let paid = self.zero_lag(old);
        if paid > now {
            *self = Account {
                left: 0,
                deadline: paid,
                period_end: paid,
            };
            return;
        }
        let deadline = paid.saturating_add(new.deadline);
        if deadline <= now {
            *self = Account::new();
            self.begin(new, now);
            return;
        }
        let left = (deadline - now) as u128 * new.budget as u128 / new.deadline as u128;
        *self = Account {
            left: left as i64,
            deadline,
            period_end: paid.saturating_add(new.period),
        };
    }

    /// Charges `ticks` of execution.
    #[inline(always)]
    pub fn charge(&mut self, ticks: u64) {
        let ticks = if ticks > MAX_DEBT as u64 {
            MAX_DEBT
        } else {
            ticks as i64
        };
        self.left = (self.left - ticks).max(-MAX_DEBT);
    }

    /// Pays for the time from `since` to `now`, in which nobody else had anything to do, as far as the budget goes. `false` if that or
    /// the deadline is over: the rest was free, and the server as good as one that never ran.
    pub fn pay_alone(&mut self, since: u64, now: u64) -> bool {
        self.charge(now.saturating_sub(since));
        let goes_on = !self.is_exhausted() && now < self.deadline;
        if !goes_on {
            *self = Account::new();
        }
        goes_on
    }

    /// The server let others go first. What it might have used by `now` at its bandwidth and did not is not saved up: deadline and
    /// period move on by as much as it is behind.
    pub fn catch_up(&mut self, params: &Params, now: u64) {
        let behind = now.saturating_sub(self.zero_lag(params));
        self.deadline = self.deadline.saturating_add(behind);
        self.period_end = self.period_end.saturating_add(behind);
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
        self.deadline = self
            .period_end
            .saturating_sub(params.period - params.deadline);
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

    /// Undoes the last refill of [`throttle`](Self::throttle): nobody waits for it any more. The next wake decides.
    pub fn put_off(&mut self, params: &Params) {
        self.left -= params.budget as i64;
        self.period_end = self.period_end.saturating_sub(params.period);
        self.deadline = self.period_end;
    }

    /// Adds whole budgets until something is left, and returns how many.
    fn repay(&mut self, params: &Params) -> u64 {
        let debt = if self.left < 0 {
            self.left.unsigned_abs()
        } else {
            0
        };
        let periods = debt / params.budget + 1;
        let refill = periods as i128 * params.budget as i128;
        self.left = (self.left as i128 + refill).min(params.budget as i128) as i64;
        periods
    }

    /// The 0-lag time: until then the bandwidth of a server that blocked still counts as used
    /// (c ÷ (d − t) would exceed Q/T otherwise). `d − c·T/Q`; a debt puts it off.
    pub fn zero_lag(&self, params: &Params) -> u64 {
        let lead = self.left.unsigned_abs() as u128 * params.period as u128 / params.budget as u128;
        if self.left <= 0 {
            return (self.period_end as u128 + lead).min(u64::MAX as u128) as u64;
        }
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const IMPLICIT: Params = Params {
        budget: 10,
        period: 100,
        deadline: 100,
    };
    const CONSTRAINED: Params = Params {
        budget: 10,
        period: 100,
        deadline: 50,
    };

    #[test]
    fn the_wake_rule_keeps_or_renews() {
        let mut account = Account::new();
        assert_eq!(account.wake(&IMPLICIT, 1000), Wake::Run);
        assert_eq!(
            account,
            Account {
                left: 10,
                deadline: 1100,
                period_end: 1100
            }
        );
        account.charge(4);
        // 6 left until 1100: fits the bandwidth up to 1040, not later.
        let mut early = account;
        assert_eq!(early.wake(&IMPLICIT, 1040), Wake::Run);
        assert_eq!(early, account);
        let mut late = account;
        assert_eq!(late.wake(&IMPLICIT, 1041), Wake::Run);
        assert_eq!(
            late,
            Account {
                left: 10,
                deadline: 1141,
                period_end: 1141
            }
        );
    }

    #[test]
    fn exhaustion_repays_debt_by_division() {
        let mut soft = Account::new();
        soft.wake(&IMPLICIT, 0);
        soft.charge(10);
        assert!(soft.is_exhausted());
        soft.postpone(&IMPLICIT);
        assert_eq!(
            soft,
            Account {
                left: 10,
                deadline: 200,
                period_end: 200
            }
        );
        soft.charge(45);
        soft.postpone(&IMPLICIT);
        // 35 in debt: four budgets.
        assert_eq!(
            soft,
            Account {
                left: 5,
                deadline: 600,
                period_end: 600
            }
        );
        let mut hard = Account::new();
        hard.wake(&IMPLICIT, 0);
        hard.charge(35);
        // 25 in debt: runs again after three periods with 5 left.
        assert_eq!(hard.throttle(&IMPLICIT), 300);
        assert_eq!(
            hard,
            Account {
                left: 5,
                deadline: 400,
                period_end: 400
            }
        );
    }

    #[test]
    fn constrained_deadlines_cut_the_budget_or_wait() {
        let mut account = Account::new();
        account.wake(&CONSTRAINED, 0);
        assert_eq!(
            account,
            Account {
                left: 10,
                deadline: 50,
                period_end: 100
            }
        );
        account.charge(2);
        // At 40 only 10 ticks are left: 2 of budget fit.
        assert_eq!(account.wake(&CONSTRAINED, 40), Wake::Run);
        assert_eq!(account.left, 2);
        assert_eq!(account.wake(&CONSTRAINED, 60), Wake::Wait(100));
        assert_eq!(account.wake(&CONSTRAINED, 100), Wake::Run);
        assert_eq!(
            account,
            Account {
                left: 10,
                deadline: 150,
                period_end: 200
            }
        );
    }

    #[test]
    fn idle_time_repays_debt() {
        let mut account = Account::new();
        account.wake(&IMPLICIT, 0);
        account.charge(30);
        account.begin(&IMPLICIT, 150);
        // 20 in debt at 100, of which 50 ticks at 10 % repaid 5.
        assert_eq!(account.left, -5);
        account.begin(&IMPLICIT, 10_000);
        assert_eq!(account.left, 10);
    }

    #[test]
    fn what_was_let_go_by_is_not_saved_up() {
        let mut account = Account::new();
        account.wake(&IMPLICIT, 1000);
        account.charge(4);
        // 6 left until 1100: at its bandwidth it is up to date until 1040.
        let before = account;
        account.catch_up(&IMPLICIT, 1030);
        assert_eq!(account, before);
        account.catch_up(&IMPLICIT, 1540);
        assert_eq!(
            account,
            Account {
                left: 6,
                deadline: 1600,
                period_end: 1600
            }
        );
        assert_eq!(account.wake(&IMPLICIT, 1540), Wake::Run);
        assert_eq!(
            account.deadline, 1600,
            "it is entitled to that, and no more"
        );
        account.charge(16);
        account.catch_up(&IMPLICIT, 5000);
        account.postpone(&IMPLICIT);
        // 10 in debt when it was exhausted: paid by then.
        assert_eq!(account.deadline, 5000 + 100);
    }

    #[test]
    fn zero_lag() {
        let account = Account {
            left: 4,
            deadline: 100,
            period_end: 100,
        };
        assert_eq!(account.zero_lag(&IMPLICIT), 60);
        assert_eq!(Account { left: 0, ..account }.zero_lag(&IMPLICIT), 100);
    }

    #[test]
    fn a_change_forgives_nothing() {
        // A soft server that ran ahead: three budgets used by 30, paid for at 300.
        let mut ahead = Account {
            left: 10,
            deadline: 400,
            period_end: 400,
        };
        ahead.change(&IMPLICIT, &IMPLICIT, 30);
        assert_eq!(
            ahead,
            Account {
                left: 0,
                deadline: 300,
                period_end: 300
            }
        );
        ahead.postpone(&IMPLICIT);
        assert_eq!(
            ahead,
            Account {
                left: 10,
                deadline: 400,
                period_end: 400
            }
        );
        // One that used nothing keeps its deadline, with the budget that fits.
        let mut idle = Account {
            left: 10,
            deadline: 100,
            period_end: 100,
        };
        idle.change(
            &IMPLICIT,
            &Params {
                budget: 20,
                period: 100,
                deadline: 100,
            },
            50,
        );
        assert_eq!(
            idle,
            Account {
                left: 10,
                deadline: 100,
                period_end: 100
            }
        );
        // One whose new deadline would have passed starts afresh.
        idle.change(&IMPLICIT, &CONSTRAINED, 70);
        assert_eq!(
            idle,
            Account {
                left: 10,
                deadline: 120,
                period_end: 170
            }
        );
        // Debt is paid for too.
        let mut debt = Account {
            left: -5,
            deadline: 100,
            period_end: 100,
        };
        debt.change(&IMPLICIT, &CONSTRAINED, 70);
        assert_eq!(
            debt,
            Account {
                left: 0,
                deadline: 150,
                period_end: 150
            }
        );
    }

    #[test]
    fn a_budget_that_nobody_waits_for_is_put_off() {
        let mut hard = Account {
            left: -15,
            deadline: 100,
            period_end: 100,
        };
        assert_eq!(hard.throttle(&IMPLICIT), 200);
        assert_eq!(
            hard,
            Account {
                left: 5,
                deadline: 300,
                period_end: 300
            }
        );
        hard.put_off(&IMPLICIT);
        assert_eq!(
            hard,
            Account {
                left: -5,
                deadline: 200,
                period_end: 200
            }
        );
        assert_eq!(hard.zero_lag(&IMPLICIT), 250);
        // A wake within the old period waits; a later one has a period of its own.
        let mut early = hard;
        assert_eq!(early.wake(&IMPLICIT, 150), Wake::Wait(200));
        assert_eq!(hard.wake(&IMPLICIT, 260), Wake::Run);
        assert_eq!(
            hard,
            Account {
                left: 10,
                deadline: 360,
                period_end: 360
            }
        );
    }

    #[test]
    fn reclaiming_is_charged_by_the_active_share() {
        // Alone with 10 %: a tick costs a tenth.
        assert_eq!(
            reclaimed_cost(1000, bandwidth(1, 10), bandwidth(1, 10), WHOLE),
            101
        );
        // Everything active: the full price.
        assert_eq!(reclaimed_cost(1000, bandwidth(1, 10), WHOLE, WHOLE), 1001);
        assert_eq!(reclaimed_cost(0, WHOLE, WHOLE, WHOLE), 0);
    }

    fn params() -> impl Strategy<Value = Params> {
        (1..=MAX_PERIOD, 0.0..1.0f64, 0.0..1.0f64).prop_map(|(period, d, q)| {
            let deadline = ((period as f64 * d) as u64).clamp(1, period);
            let budget = ((deadline as f64 * q) as u64).clamp(1, deadline);
            Params {
                budget,
                period,
                deadline,
            }
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        /// No step overflows within a hundred years at 5 GHz (1.6e19 ticks) and up to the end of the clock; budgets stay
        /// within (-2^60, Q]; deadlines never go back except by a wake after them.
        #[test]
        fn nothing_overflows(params in params(), steps in prop::collection::vec((0u8..6, any::<u64>(), 0u64..40), 1..60), start in any::<u64>()) {
            prop_assert!(params.is_sane());
            let mut account = Account::new();
            let mut now = start;
            for (what, amount, shift) in steps {
                let amount = amount >> shift;
                match what {
                    0 => { account.wake(&params, now); }
                    1 => account.charge(amount),
                    2 => { let before = account.deadline; account.postpone(&params); prop_assert!(account.deadline >= before.min(account.deadline)); prop_assert!(account.left > 0); }
                    3 => { account.throttle(&params); prop_assert!(account.left > 0); }
                    4 => account.begin(&params, now),
                    _ => now = now.saturating_add(amount),
                }
                prop_assert!(account.left <= params.budget as i64 && account.left >= -(1 << 60));
                prop_assert!(account.deadline <= account.period_end);
                let _ = (account.zero_lag(&params), reclaimed_cost(amount, params.bandwidth(), WHOLE, WHOLE));
            }
        }

        /// Whatever a soft server does, between two of its deadlines it gets no more than its bandwidth: the demand
        /// bound that admission relies on.
        #[test]
        fn demand_is_bounded(budget in 1u64..50, extra in 0u64..200, steps in prop::collection::vec((0u64..30, 0u64..150, any::<bool>()), 1..80)) {
            let params = Params { budget, period: budget + extra, deadline: budget + extra };
            let mut account = Account::new();
            let (mut now, mut served, mut first) = (1000u64, 0u64, None);
            for (run, pause, blocks) in steps {
                if blocks || first.is_none() {
                    if account.wake(&params, now) != Wake::Run {
                        account.postpone(&params);
                    }
                    first.get_or_insert(now);
                }
                account.charge(run);
                served += run;
                now += run;
                if account.is_exhausted() {
                    account.postpone(&params);
                }
                // All it got is due by its deadline, and the span up to there pays for it at its bandwidth.
                let span = account.deadline.max(now) - first.unwrap_or(now);
                let paid = span as u128 * budget as u128 / params.period as u128 + 1;
                let unused = account.left.max(0) as u128;
                prop_assert!(served as u128 + unused <= paid + budget as u128, "{served} + {unused} of {paid}");
                now += pause;
            }
        }
    }
}
