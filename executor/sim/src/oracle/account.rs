//! The budget of one reservation, computed from what was observed. Written from the papers, not from the executor: L. Abeni,
//! G. Buttazzo, RTSS 1998 (wake, exhaustion); D. Casini et al., RTNS 2017 (wake with D < T); hard reservations wait for the
//! end of their period. A poll cannot be stopped, so a budget can go negative, and the debt is paid from later periods.

use crate::trace::Terms;

/// When a reservation may run, and how much is left of its budget.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Left of the budget; negative is debt (ticks).
    pub left: i128,
    /// Deadline (ticks).
    pub deadline: i128,
    /// Where the next period begins at the earliest (ticks).
    pub period_end: i128,
    /// A hard reservation out of budget: until when it waits.
    pub waits_until: Option<i128>,
}

impl Account {
    /// The first of its tasks becomes ready.
    pub fn wake(&mut self, terms: &Terms, now: u64) {
        let now = i128::from(now);
        if self.waits_until.is_some() {
            return;
        }
        let (q, d) = (i128::from(terms.budget), i128::from(terms.deadline));
        let room = (self.deadline - now) * q;
        let spent = if now >= self.deadline {
            now < self.period_end
        } else if self.left <= 0 {
            true
        } else if self.left * d <= room {
            return;
        } else if terms.deadline < terms.period {
            self.left = room / d;
            if self.left > 0 {
                return;
            }
            true
        } else {
            false
        };
        if !spent {
            self.begin(terms, now);
            if self.left > 0 {
                return;
            }
        }
        self.left = self.left.min(0);
        self.exhausted(terms, now);
    }

    fn begin(&mut self, terms: &Terms, now: i128) {
        let idle = (now - self.period_end).max(0);
        let repaid = idle * i128::from(terms.budget) / i128::from(terms.period);
        let debt = (-self.left - repaid).max(0);
        self.left = i128::from(terms.budget) - if self.left < 0 { debt } else { 0 };
        self.deadline = now + i128::from(terms.deadline);
        self.period_end = now + i128::from(terms.period);
    }

    /// It ran for `used`, until `now`; whether that changed its deadline. One that has nothing more to do
    /// gets its next budget when it wakes.
    pub fn charge(&mut self, terms: &Terms, used: u64, goes_on: bool, now: u64) -> bool {
        self.left -= i128::from(used);
        let exhausted = goes_on && self.left <= 0;
        if exhausted {
            self.exhausted(terms, i128::from(now));
        }
        exhausted
    }

    /// Until when the bandwidth has paid for what was used: the 0-lag time of Abeni and Buttazzo.
    fn paid(&self, terms: &Terms) -> i128 {
        let lead = self.left.abs() * i128::from(terms.period) / i128::from(terms.budget);
        if self.left <= 0 {
            self.period_end + lead
        } else {
            (self.period_end - lead).max(0)
        }
    }

    /// New terms at `now`: they begin where the old ones have paid for what was used, with the budget that still fits.
    pub fn change(&mut self, old: &Terms, new: &Terms, ready: bool, now: u64) {
        let (paid, t) = (self.paid(old), i128::from(now));
        let (q, d) = (i128::from(new.budget), i128::from(new.deadline));
        *self = Account::default();
        if paid > t {
            (self.deadline, self.period_end) = (paid, paid);
        } else if !ready {
            return;
        } else if paid + d <= t {
            self.begin(new, t);
        } else {
            self.left = q * (paid + d - t) / d;
            (self.deadline, self.period_end) = (paid + d, paid + i128::from(new.period));
        }
        if ready && self.left <= 0 {
            self.exhausted(new, t);
        }
    }

    /// Nobody waits any more for the budget it was to get.
    pub fn give_up_waiting(&mut self, terms: &Terms) {
        if self.waits_until.take().is_some() {
            self.left -= i128::from(terms.budget);
            self.period_end -= i128::from(terms.period);
            self.deadline = self.period_end;
        }
    }

    /// As many periods as pay the debt and leave something.
    fn exhausted(&mut self, terms: &Terms, now: i128) {
        let (q, t, d) = (
            i128::from(terms.budget),
            i128::from(terms.period),
            i128::from(terms.deadline),
        );
        let periods = (-self.left).max(0) / q + 1;
        self.left += periods * q;
        let begins = self.period_end + (periods - 1) * t;
        self.period_end = begins + t;
        self.deadline = begins + d;
        if terms.hard && begins > now {
            self.waits_until = Some(begins);
        }
    }
}
