//! Best-effort tasks that change cores. The old slot forwards wakes and cancellations until the task dies.

use core::sync::atomic::Ordering;

use super::{CONTROL, Core};
use crate::{
    fleet::MoveError,
    ident::{CoreId, TaskId},
    platform::Platform,
    published::P64,
    sched::FAIR,
    slot::{FORWARDED_IS_DEAD, State, flag},
};

impl<P: Platform> Core<P> {
    /// Moves a best-effort task of this core to another; see [`crate::Fleet::move_task`].
    pub(crate) fn move_out(&self, task: TaskId, to: CoreId) -> Result<TaskId, MoveError> {
        let slot = task.slot();
        let record = self.slots.get(slot as usize).ok_or(MoveError::Gone)?;
        let there = P::fleet().core(to).ok_or(MoveError::NoCore)?;
        if !record.is_of(task) || slot == CONTROL {
            return Err(MoveError::Gone);
        }
        match record.state() {
            State::Idle | State::Queued => {}
            State::Polling | State::Born => return Err(MoveError::Busy),
            State::Free | State::Moved => return Err(MoveError::Gone),
        }
        if record.has(flag::PINNED) {
            return Err(MoveError::Pinned);
        }
        if record.server.get() as u32 != FAIR
            || record.lends.get() != 0
            || record.borrows.get() != 0
        {
            return Err(MoveError::NotBestEffort);
        }
        if to == self.id {
            return Ok(task);
        }
        let new_slot = there.pool.0.pop(&there.slots).ok_or(MoveError::NoSlot)?;
        self.with(|local| {
            let now = self.time(local);
            local.sched.withdraw(&self.slots, slot, now);
        });
        let new = there.slot(new_slot);
        let id = there.id_of(new_slot);
        new.server.set(FAIR as u16);
        new.relative.set(record.relative.get());
        new.site.set(record.site.get());
        new.flags
            .set(flag::POOLED | record.flags.get() & (flag::CANCEL | flag::ABANDON));
        new.set_block(record.block());
        there.set_origin(new_slot, task.to_bits());
        record.set_block(core::ptr::null_mut());
        record.relative.set(id.to_bits());
        record.state.release(State::Moved as u8);
        new.state.release(State::Born as u8);
        self.stats.tasks.set(self.stats.tasks.get() - 1);
        if P::STATS {
            self.stats.moved_out.add(1);
        }
        // Polled once there, woken or not: a wake may have been on its way here.
        there.wake_from_elsewhere(new_slot, new);
        Ok(id)
    }

    /// Whether a handle that is here may use plain memory on a task's join cell: the task lives here, and nowhere else.
    #[inline(always)]
    pub(crate) fn is_home_of(&self, task: TaskId) -> bool {
        self.is_here()
            && self
                .slots
                .get(task.slot() as usize)
                .is_some_and(|record| record.is_of(task) && record.state() != State::Moved)
    }

    /// The slot elsewhere that forwards to this one; 0 if none does.
    pub(super) fn origin(&self, slot: u32) -> u64 {
        self.origins.get(slot as usize).map_or(0, P64::get)
    }

    fn set_origin(&self, slot: u32, origin: u64) {
        if let Some(entry) = self.origins.get(slot as usize) {
            entry.set(origin);
        }
    }

    /// A task that came from elsewhere is dead: the slot there need not forward any more.
    pub(super) fn end_forwarding(&self, slot: u32, origin: u64) {
        if origin == 0 {
            return;
        }
        self.set_origin(slot, 0);
        let origin = TaskId::from_bits(origin);
        if let Some(core) = P::fleet().core(origin.core())
            && let Some(record) = core.slots.get(origin.slot() as usize)
        {
            record.cancel.store(FORWARDED_IS_DEAD, Ordering::Release);
            core.wake_from_elsewhere(origin.slot(), record);
        }
    }
}
