//! Wakes and cancellations: the unlocked way at home, and the inbox from everywhere else.

use core::sync::atomic::Ordering;

use super::{CONTROL, Core, Local, running::BEST_EFFORT};
use crate::{
    Moment,
    ident::TaskId,
    inbox,
    platform::Platform,
    raw::here::Here,
    sched::FAIR,
    slot::{FORWARDED_IS_DEAD, Slot, State, flag},
};

impl<P: Platform> Core<P> {
    /// Wakes a task of this core, from anywhere; `here` says whence.
    #[inline(always)]
    pub(crate) fn wake(&self, task: TaskId, here: Here) {
        debug_assert!(task.core() == self.id);
        if !here.is_home_of(task.core()) {
            self.wake_foreign(task);
        } else if self.polling.task.get() == task.to_bits() {
            // SAFETY: at home; no foreign code is called.
            unsafe { (*self.local.0.get()).rewoken = true };
        } else {
            self.wake_other(task);
        }
    }

    /// Wakes a task that is not the running one; for the core itself.
    #[inline(never)]
    pub(super) fn wake_other(&self, task: TaskId) {
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
            State::Idle => self.make_ready(local, slot, record),
            State::Polling => local.rewoken = true,
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

    /// With statistics: a task became ready.
    #[inline(always)]
    pub(super) fn note_ready(&self, local: &Local) {
        self.stats
            .ready_high_water
            .raise(local.sched.ready() as u64);
    }

    /// Queues a task that was idle.
    #[inline(always)]
    fn make_ready(&self, local: &mut Local, slot: u32, record: &Slot) {
        if P::recorder() {
            P::moment(Moment::Woken { task: record.id() });
        }
        if P::STATS {
            let now = self.wake_time(local, record);
            self.record(slot).woken_at.set(now);
            local.sched.wake(&self.slots, slot, record, now);
            self.note_ready(local);
        } else if !local.sched.wake_simply(&self.slots, slot, record) {
            let now = self.wake_time(local, record);
            local.sched.wake_contended(&self.slots, slot, now);
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
            if P::recorder() {
                P::moment(Moment::Woken { task: record.id() });
            }
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
                && (Self::urgency(record) < window || window == BEST_EFFORT)
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
        if record.cancel.load(Ordering::Relaxed) == record.id().generation() {
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
        if record.state() == State::Moved
            && record.cancel.load(Ordering::Acquire) == FORWARDED_IS_DEAD
        {
            record.cancel.store(0, Ordering::Relaxed);
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
                    self.record(slot).woken_at.set(at);
                }
                local.sched.wake(&self.slots, slot, record, at);
                if P::STATS {
                    self.note_ready(local);
                }
            }
            _ => self.wake_here(local, slot, record),
        }
        // Now that there is a job in hand: the request and the loan behind it may have come as one.
        let lent = self.lent[slot as usize].swap(u64::MAX, Ordering::Relaxed);
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
        self.slots[slot as usize]
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
