//! Tasks that change their deadline or their server, whatever they are doing.

use super::{OPEN, Scheduler};
use crate::slot::{Slot, State, flag};

impl Scheduler {
    /// Gives `slot` another absolute deadline, whatever it is doing. For tasks of [`OPEN`].
    pub(crate) fn set_deadline(&mut self, slots: &[Slot], slot: u32, deadline: u64) {
        let record = &slots[slot as usize];
        if record.server.get() as u32 != OPEN {
            return;
        }
        let deadline = if record.has(flag::LENT) {
            self.set_own_deadline(slots, slot, deadline);
            self.best(slots, slot).1
        } else {
            deadline
        };
        record.deadline.set(deadline);
        // The running task is put where it belongs when its poll ends.
        if record.state() == State::Queued {
            self.open.set(slot, deadline);
        }
    }

    /// The running task's place by the deadline it has now: for who asks in the middle of a poll whose turn it would be.
    #[inline]
    pub(crate) fn refresh_running(&mut self, slots: &[Slot], slot: u32) {
        let record = &slots[slot as usize];
        if record.server.get() as u32 == OPEN
            && self
                .open
                .time(slot)
                .is_some_and(|time| time != record.deadline.get())
        {
            self.open.set(slot, record.deadline.get());
        }
    }

    /// Moves `slot` to another server, whatever it is doing; `deadline` is the task's own, or its virtual
    /// time when it joins [`FAIR`].
    pub(crate) fn rebind(
        &mut self,
        slots: &[Slot],
        slot: u32,
        server: u32,
        deadline: u64,
        now: u64,
    ) {
        let record = &slots[slot as usize];
        let queued = matches!(record.state(), State::Queued | State::Polling);
        if queued {
            self.dequeue(slots, slot, now);
        }
        record.server.set(server as u16);
        record.deadline.set(deadline);
        if queued {
            self.enqueue(slots, slot, now);
        }
    }

    /// Takes a queued slot out of its queue, as for a task that leaves the core.
    pub(crate) fn withdraw(&mut self, slots: &[Slot], slot: u32, now: u64) {
        if slots[slot as usize].state() == State::Queued {
            self.dequeue(slots, slot, now);
        }
    }
}
