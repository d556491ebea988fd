//! Deadline donation; see [`crate::lend`].

use core::sync::atomic::Ordering;

use super::{CONTROL, Core, Local};
use crate::{
    ident::TaskId,
    platform::Platform,
    sched::{OPEN, loans::LoanId},
    slot::{NONE, State, flag},
};

impl<P: Platform> Core<P> {
    /// The running task lends to `to`, a task of this core, or to who gets hold of `key` next.
    pub(crate) fn lend(&self, to: Option<TaskId>, key: usize) -> Option<LoanId> {
        let to = match to {
            Some(to) => {
                let record = self.slots.get(to.slot() as usize)?;
                if !record.is_of(to) || record.state() == State::Moved {
                    return None;
                }
                to.slot()
            }
            None => NONE,
        };
        let now = P::now();
        self.with(|local| {
            let from = self.current_slot()?;
            local.sched.lend(&self.slots, from, to, key, now)
        })
        .flatten()
    }

    pub(crate) fn take_back(&self, loan: LoanId) {
        self.with(|local| {
            let now = self.time(local);
            local.sched.take_back(&self.slots, loan, now);
        });
    }

    /// The running task got hold of `key`; returns its id.
    #[inline]
    pub(crate) fn hold(&self, key: usize) -> Option<TaskId> {
        self.with(|local| {
            let slot = self.current_slot()?;
            if local.sched.has_orphans() {
                let now = self.time(local);
                local.sched.adopt(&self.slots, slot, key, now);
            }
            Some(self.id_of(slot))
        })
        .flatten()
    }

    /// `holder` lets go of `key`.
    #[inline]
    pub(crate) fn let_go(&self, holder: TaskId, key: usize) {
        let Some(record) = self.slots.get(holder.slot() as usize) else {
            return;
        };
        if holder.core() == self.id && record.borrows.get() != 0 && record.is_of(holder) {
            self.with(|local| {
                let now = self.time(local);
                local.sched.orphan(&self.slots, holder.slot(), key, now);
            });
        }
    }

    /// A task of another core lends its deadline to `to` for the job in hand.
    pub(crate) fn lend_from_elsewhere(&self, to: TaskId, deadline: u64) {
        let Some(record) = self.slots.get(to.slot() as usize) else {
            return;
        };
        if to.slot() == CONTROL || !record.is_of(to) {
            return;
        }
        let lend = || self.lent[to.slot() as usize].fetch_min(deadline, Ordering::Relaxed);
        if crate::atomics::mutated("loan_after_wake") {
            self.wake_from_elsewhere(to.slot(), record);
            lend();
            return;
        }
        lend();
        self.wake_from_elsewhere(to.slot(), record);
    }

    pub(super) fn take_foreign_loan(&self, local: &mut Local, slot: u32, deadline: u64) {
        let record = self.slot(slot);
        if record.server.get() as u32 == OPEN
            && record.has(flag::RELATIVE)
            && deadline < record.deadline.get()
            && matches!(record.state(), State::Queued | State::Polling)
        {
            local.sched.set_deadline(&self.slots, slot, deadline);
        }
    }
}
