//! Wakes and cancellations: the unlocked way at home, and the inbox from everywhere else.

use core::sync::atomic::Ordering;

use super::{CONTROL, Core, Local};
use crate::{
    ident::TaskId,
    inbox,
    platform::Platform,
    sched::FAIR,
    slot::{Slot, State, flag},
};

impl<P: Platform> Core<P> {
    /// Wakes the task `generation` of `slot`, from anywhere.
    #[inline(always)]
    pub(crate) fn wake(&self, task: TaskId) {
        if self.is_here() {
            // SAFETY: at home; no foreign code is called.
            let local = unsafe { &mut *self.local.0.get() };
            if self.polling.task.get() == task.to_bits() {
                local.rewoken = true;
                return;
            }
            self.wake_other(task);
        } else {
            self.wake_foreign(task);
        }
    }

    /// Wakes a task that is not the running one; for the core itself.
    #[inline(never)]
    fn wake_other(&self, task: TaskId) {
        // SAFETY: at home, as `wake` found; no foreign code is called.
        let local = unsafe { &mut *self.local.0.get() };
        let Some(record) = self.slots.get(task.slot() as usize) else {
            return;
        };
        if record.is_of(task) {
            self.wake_here(local, task.slot(), record);
        }
    }

    #[inline(never)]
    pub(super) fn wake_foreign(&self, task: TaskId) {
        let Some(record) = self.slots.get(task.slot() as usize) else {
            return;
        };
        if record.is_of(task) {
            self.wake_from_elsewhere(task.slot(), record);
        }
    }

    #[inline(always)]
    pub(super) fn wake_here(&self, local: &mut Local, slot: u32, record: &Slot) {
        if P::STATS {
            self.record(slot).wakes.add(1);
        }
        match record.state() {
            State::Polling => local.rewoken = true,
            State::Idle => {
                let stamped = P::STATS && record.server.get() as u32 >= local.clock_from;
                let now = local.now;
                if stamped || !local.sched.wake_simply(&self.slots, slot, record, now) {
                    let now = self.wake_time(local, record);
                    local.sched.wake_contended(&self.slots, slot, now);
                }
            }
            State::Moved => {
                // Through the inbox even if that is this core's own: `local` is borrowed.
                let to = TaskId::from_bits(record.relative.get());
                if let Some(core) = P::fleet().core(to.core()) {
                    core.wake_foreign(to);
                }
            }
            _ => {}
        }
    }

    /// The time of a wake of `record` from a task on this core. Reads the clock only where a budget depends
    /// on it, or where there is no other recent reading to go by.
    #[inline(always)]
    pub(super) fn wake_time(&self, local: &Local, record: &Slot) -> u64 {
        let server = record.server.get() as u32;
        let exact = if P::STATS {
            server >= local.clock_from
        } else {
            server >= local.clock_from || record.has(flag::RELATIVE) || local.sched.needs_clock()
        };
        if exact { P::now() } else { local.now }
    }

    /// When a wake of `record` now would have to be served.
    pub(super) fn urgency(record: &Slot) -> u64 {
        if record.server.get() as u32 == FAIR {
            u64::MAX
        } else if record.has(flag::RELATIVE) {
            P::now().saturating_add(record.relative.get())
        } else {
            record.deadline.get()
        }
    }

    #[inline(never)]
    pub(super) fn wake_from_elsewhere(&self, slot: u32, record: &Slot) {
        if inbox::claim(record) {
            if P::STATS {
                self.record(slot).called_at.set(P::now());
            }
            self.inbox.0.push(slot, record);
            self.kick_if_needed(record);
        }
    }

    /// After a push: kicks the core if it sleeps, or runs something preemptible that is less urgent.
    pub(super) fn kick_if_needed(&self, record: &Slot) {
        let here = P::here();
        let own_interrupt = here.core() == Some(self.id);
        let kick = if self.park.claim_kick() {
            // An interrupt on the core itself ends the halt anyway.
            !own_interrupt
        } else {
            let window = self.window.load(Ordering::SeqCst);
            window != 0
                && Self::urgency(record) < window
                && self
                    .window
                    .compare_exchange(window, 0, Ordering::AcqRel, Ordering::Relaxed)
                    .is_ok()
        };
        if kick {
            P::kick(self.id);
        }
        if P::STATS
            && let Some(sender) = here.task_core().and_then(|core| P::fleet().core(core))
        {
            let counter = if kick {
                &sender.stats.kicks_sent
            } else {
                &sender.stats.kicks_saved
            };
            counter.add(1);
        }
    }

    /// Takes over what came from elsewhere.
    #[inline(never)]
    pub(super) fn drain(&self) {
        let now = P::now();
        if P::STATS {
            self.stats.inbox_drains.add(1);
        }
        for slot in self.inbox.0.take(|slot| self.slot(slot)) {
            if P::STATS {
                self.stats.inbox_wakes.add(1);
            }
            if slot == CONTROL {
                self.apply_changes(now);
                self.bury_timers();
                continue;
            }
            self.deliver(slot, now);
        }
    }

    pub(super) fn deliver(&self, slot: u32, now: u64) {
        let record = self.slot(slot);
        // SAFETY: called by the core itself, between polls; `wake_here` calls no foreign code.
        let local = unsafe { &mut *self.local.0.get() };
        local.now = now;
        if record.state.acquire() == State::Born as u8 {
            record.set_state(State::Idle);
            self.born(local, slot, record, now);
        }
        if self.cold[slot as usize].cancel.load(Ordering::Relaxed) == record.id().generation() {
            match record.state() {
                State::Free => {}
                State::Moved => {
                    let to = TaskId::from_bits(record.relative.get());
                    if let Some(core) = P::fleet().core(to.core()) {
                        core.cancel_from_elsewhere(to);
                    }
                }
                _ => record.raise(flag::CANCEL),
            }
        }
        if record.state() == State::Moved && record.orphaned.swap(false, Ordering::Acquire) {
            let on = self.origin(slot);
            self.release_slot(local, slot, record);
            self.end_forwarding(slot, on);
            return;
        }
        let at = if P::STATS {
            self.record(slot).called_at.get().min(now)
        } else {
            now
        };
        match record.state() {
            State::Idle => {
                if P::STATS {
                    self.record(slot).wakes.add(1);
                }
                local.sched.wake(&self.slots, slot, record, at);
            }
            _ => self.wake_here(local, slot, record),
        }
        // Now that there is a job in hand: the request and the loan behind it may have come as one.
        let lent = self.cold[slot as usize]
            .lent
            .swap(u64::MAX, Ordering::Relaxed);
        if lent != u64::MAX {
            self.take_foreign_loan(local, slot, lent);
        }
    }

    /// Cancels the task `generation` of `slot`, from anywhere. `false` if it is gone.
    pub(crate) fn cancel(&self, slot: u32, generation: u64) -> bool {
        let Some(record) = self.slots.get(slot as usize) else {
            return false;
        };
        if record.id().generation() != generation
            || slot == CONTROL
            || record.state() == State::Free
        {
            return false;
        }
        self.mark_cancelled(slot, generation);
        if self.is_here() {
            let now = P::now();
            self.deliver(slot, now);
        } else {
            self.wake_from_elsewhere(slot, record);
        }
        true
    }

    pub(super) fn mark_cancelled(&self, slot: u32, generation: u64) {
        // Newer generations win: a stale cancel must not undo a valid one.
        self.cold[slot as usize]
            .cancel
            .fetch_max(generation, Ordering::AcqRel);
    }

    /// As `cancel`, but always through the inbox.
    pub(super) fn cancel_from_elsewhere(&self, task: TaskId) {
        let Some(record) = self.slots.get(task.slot() as usize) else {
            return;
        };
        if record.is_of(task) {
            self.mark_cancelled(task.slot(), task.generation());
            self.wake_from_elsewhere(task.slot(), record);
        }
    }
}
