//! Reservations whose running task says that it is in no hurry: a process with an executor of its own, whose earliest deadline lies later
//! than the one that its budget gives it.
//!
//! Such a server stands in the upper queue by that later time. Its account stays as it is; but the time that it let go by must not be
//! saved up, or it could claim several periods' budgets at once with deadlines long past. So when it takes its own deadline again, its
//! account [catches up](super::cbs::Account::catch_up) with the clock, as if it had been blocked: it can be postponed by this, never advanced.

use super::{FIRST_RESERVED, List, Phase, Scheduler, Server};
use crate::slot::{Slot, flag};

impl Server {
    /// Where it stands in the upper queue.
    pub(super) fn urgency(&self) -> u64 {
        self.account.deadline.max(self.postponed_until)
    }

    /// It stands by its own deadline again.
    #[inline]
    pub(super) fn end_postponement(&mut self, now: u64) {
        if self.postponed_until != 0 {
            self.postponed_until = 0;
            self.account.catch_up(&self.params, now);
        }
    }
}

impl Scheduler {
    /// The earliest deadline of all that is ready, `u64::MAX` if nothing is; `None` if some of it is best effort, which has none.
    pub(crate) fn first_deadline(&self) -> Option<u64> {
        let reserved = match self.reserved_ready {
            0 => u64::MAX,
            _ => self.upper.first_time(),
        };
        let first = self.open.first_time().min(reserved);
        self.fair.is_empty().then_some(first)
    }

    /// The running task, alone in a reservation of its own, has nothing to do that is due before `until`: others go first, until it blocks or
    /// says otherwise, but by one period at most. A time before its deadline, as 0, says that it is as urgent as it may be.
    pub(crate) fn postpone(&mut self, slots: &[Slot], slot: u32, until: u64, now: u64) {
        let record = &slots[slot as usize];
        let server = u32::from(record.server.get());
        if server < FIRST_RESERVED || record.has(flag::LENT) || !List::is_alone(slot, record) {
            return;
        }
        let entry = &mut self.servers[server as usize];
        if entry.phase != Phase::Ready || entry.guests > 0 {
            return;
        }
        if until <= entry.account.deadline {
            if entry.postponed_until == 0 {
                return;
            }
            entry.end_postponement(now);
        } else {
            let latest = entry.account.deadline.saturating_add(entry.params.period);
            entry.postponed_until = until.min(latest);
        }
        let urgency = entry.urgency();
        self.upper.set(server, urgency);
    }
}
