//! What the running task may ask of its core: deadlines, timers, and when to stop.

use core::{sync::atomic::Ordering, task::Waker};

use super::{CONTROL, Core, Home};
use crate::{
    Event,
    ident::TaskId,
    platform::Platform,
    raw::{locals::Chain, waker},
    sched::{FAIR, OPEN},
    slot::flag,
    timers::TimerId,
};

/// What an open window publishes for best effort: every wake interrupts it, as who slept goes first.
pub(super) const BEST_EFFORT: u64 = u64::MAX;

/// The running task may be interrupted: see [`crate::preemptible`].
#[derive(Debug)]
pub struct Window<P: Platform> {
    /// Bound to the poll it was opened in.
    home: Home<P>,
    until: u64,
    /// How many tasks were ready when it was opened.
    ready: usize,
}

impl<P: Platform> Window<P> {
    /// When the running task must be interrupted at the latest (ticks): a timer, a replenishment, or the end of its
    /// budget. `u64::MAX` for never.
    #[inline]
    pub fn until(&self) -> u64 {
        self.until
    }

    /// Ends it at this tick, if that is earlier.
    #[inline]
    pub fn end_by(&mut self, ticks: u64) {
        self.until = self.until.min(ticks);
    }

    /// Whether ring 3 may be entered again: what the window says holds still, as no task has become ready since, or was brought up to
    /// date. If not, something more urgent is ready or due: drop it and yield. Interrupts are off, as for [`crate::preemptible`];
    /// as long as nothing became ready the clock is not looked at, so the timer must still be armed for
    /// [`until`](Self::until) or be armed for it again.
    ///
    /// Brought up to date it ends at the tick `end` at the latest.
    ///
    /// The task itself does not change its deadline, lend it, or arm timers while it holds a window.
    #[inline(always)]
    pub fn holds(&mut self, end: u64) -> bool {
        // Who kicks has put something into the inbox.
        let ready = self.home.local(|local| local.sched.ready());
        ready == self.ready && self.home.inbox.0.is_empty_now() || self.renew(end)
    }

    #[inline(never)]
    fn renew(&mut self, end: u64) -> bool {
        let Some((until, ready)) = self.home.open_window() else {
            return false;
        };
        self.until = until.min(end);
        self.ready = ready;
        true
    }
}

impl<P: Platform> Drop for Window<P> {
    #[inline]
    fn drop(&mut self) {
        self.home.window.store(0, Ordering::Relaxed);
        if P::STATS {
            self.home.polling.held_since.set(P::now());
        }
    }
}

impl<P: Platform> Home<P> {
    /// See [`crate::set_deadline`].
    #[inline(always)]
    pub(crate) fn set_current_deadline(&self, deadline: u64) -> bool {
        let Some(slot) = self.current_slot() else {
            return false;
        };
        let record = self.slot(slot);
        if record.server.get() as u32 != OPEN || record.has(flag::LENT) {
            return self.change_deadline(slot, deadline);
        }
        // It is put where it belongs when its poll ends.
        record.deadline.set(deadline);
        true
    }

    /// Whether `time` has passed, seen from this core. Does not look at the clock where even the longest poll that is
    /// allowed could not have got there since it was last read: a timer will tell then.
    #[inline(always)]
    pub(crate) fn has_passed(&self, time: u64) -> bool {
        let (now, allowed) = self.local(|local| {
            let allowed = local.allowed.first().copied().unwrap_or(u64::MAX);
            (local.now, allowed)
        });
        time <= now || time - now <= allowed && P::now() >= time
    }

    /// Arms a timer; `None` when none is free.
    #[inline(always)]
    pub(crate) fn arm(&self, time: u64, waker: &Waker) -> Option<TimerId> {
        let waker = waker::copy::<P>(waker);
        let armed = self.local(|local| local.timers.arm(time, waker));
        if armed.is_none() {
            self.timers_exhausted();
        } else if P::STATS {
            self.stats.timers_armed.add(1);
        }
        armed
    }

    /// Whether the timer is still armed; sees to it that it wakes `waker`.
    #[inline(always)]
    pub(crate) fn refresh_timer(&self, timer: TimerId, waker: &Waker) -> bool {
        if !self.local(|local| local.timers.is_armed(timer)) {
            return false;
        }
        let waker = waker::copy::<P>(waker);
        drop(self.local(|local| local.timers.refresh(timer, waker)));
        true
    }
}

/// What a window that is to be opened says.
struct Opening {
    /// What a wake must beat to interrupt it.
    deadline: u64,
    until: u64,
}

impl<P: Platform> Home<P> {
    /// See [`crate::preemptible`].
    #[inline(always)]
    pub(crate) fn preemptible(self) -> Option<Window<P>> {
        let (until, ready) = self.open_window()?;
        Some(Window {
            home: self,
            until,
            ready,
        })
    }

    /// Opens the core's window, or says anew what an open one says. Until when (ticks), and how many tasks are ready.
    #[inline(always)]
    fn open_window(&self) -> Option<(u64, usize)> {
        let slot = self.current_slot()?;
        let now = P::now();
        let opening = self.open_to_best_effort(slot, now);
        let Opening { deadline, until } = opening.or_else(|| self.open_to_any(slot, now))?;
        if until <= now {
            return None;
        }
        self.window.store(deadline, Ordering::SeqCst);
        crate::atomics::dekker_fence();
        // A wake that came before the window was open did not kick.
        if !self.inbox.0.is_empty_now() {
            self.window.store(0, Ordering::Relaxed);
            return None;
        }
        Some((until, self.local(|local| local.sched.ready())))
    }

    /// In the most common case: it is the turn of the running task, best effort that has the core to itself.
    #[inline(always)]
    fn open_to_best_effort(&self, slot: u32, now: u64) -> Option<Opening> {
        let server = self.slot(slot).server.get() as u32;
        self.local(|local| {
            if server != FAIR || local.sched.best_effort_alone() != Some(slot) {
                return None;
            }
            let due = local.timers.first_time().min(local.sched.next_event());
            let until = match local.sched.slice_of_best_effort() {
                Some(slice) => due.min(self.slice_began(now).saturating_add(slice)),
                None => due,
            };
            Some(Opening {
                deadline: BEST_EFFORT,
                until,
            })
        })
    }

    /// Where polls are not timed, each window begins a slice.
    #[inline(always)]
    fn slice_began(&self, now: u64) -> u64 {
        if P::STATS {
            self.polling.since.get()
        } else {
            now
        }
    }

    /// `None` if something more urgent is ready.
    #[inline(never)]
    fn open_to_any(&self, slot: u32, now: u64) -> Option<Opening> {
        self.local(|local| {
            local.sched.refresh_running(&self.slots, slot);
            if local.sched.pick(&self.slots) != Some(slot) {
                return None;
            }
            let mut until = local.timers.first_time().min(local.sched.next_event());
            if let Some(left) = local.sched.budget_left(&self.slots, slot) {
                let used = now.saturating_sub(self.polling.since.get());
                until = until.min(now.saturating_add(left.saturating_sub(used)));
            }
            if let Some(slice) = local.sched.slice(&self.slots, slot) {
                until = until.min(self.slice_began(now).saturating_add(slice));
            }
            Some(Opening {
                deadline: local.sched.deadline_of(&self.slots, slot).max(1),
                until,
            })
        })
    }
}

impl<P: Platform> Core<P> {
    /// The task being polled on this core, seen from itself.
    pub(crate) fn current(&self) -> Option<TaskId> {
        let slot = self.is_here().then(|| self.current_slot()).flatten()?;
        Some(self.id_of(slot))
    }

    /// The chain of task-local values, for this core's task context.
    pub(crate) fn chain(&self) -> Option<&Chain> {
        self.is_here().then_some(&self.chain)
    }

    /// See [`crate::deadline`].
    pub(crate) fn current_deadline(&self) -> Option<u64> {
        let deadline = self.with(|local| {
            self.current_slot()
                .map(|slot| local.sched.deadline_of(&self.slots, slot))
        })??;
        (deadline != u64::MAX).then_some(deadline)
    }

    /// See [`crate::set_deadline`], for what is neither simple nor often.
    #[inline(never)]
    fn change_deadline(&self, slot: u32, deadline: u64) -> bool {
        self.with(|local| {
            let record = self.slot(slot);
            match record.server.get() as u32 {
                OPEN => local.sched.set_deadline(&self.slots, slot, deadline),
                FAIR => {
                    let now = self.time(local);
                    local.sched.rebind(&self.slots, slot, OPEN, deadline, now);
                    // Only now: best effort counts those with a weight by it.
                    record.relative.set(0);
                }
                _ => return false,
            }
            true
        })
        .unwrap_or(false)
    }

    /// See [`crate::postpone`].
    pub(crate) fn postpone_current(&self, until: u64) {
        self.with(|local| {
            if let Some(slot) = self.current_slot() {
                local.sched.postpone(&self.slots, slot, until, P::now());
            }
        });
    }

    /// See [`crate::Fleet::next_deadline`].
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        self.with(|local| {
            let deadline = local.sched.first_deadline()?;
            Some(deadline.min(local.timers.first_time()))
        })?
    }

    /// See [`crate::need_resched`].
    pub(crate) fn need_resched(&self) -> bool {
        if !self.inbox.0.is_empty() {
            return true;
        }
        let now = P::now();
        self.with(|local| {
            let Some(slot) = self.current_slot() else {
                return false;
            };
            let due = local.timers.first_time().min(local.sched.next_event());
            local.sched.refresh_running(&self.slots, slot);
            if due <= now || local.sched.pick(&self.slots) != Some(slot) {
                return true;
            }
            let started = self.polling.since.get();
            let used = now.saturating_sub(started);
            let server = self.slot(slot).server.get() as usize;
            local
                .allowed
                .get(server)
                .is_some_and(|&allowed| used >= allowed)
                || local
                    .sched
                    .budget_left(&self.slots, slot)
                    .is_some_and(|left| used >= left)
        })
        .unwrap_or(false)
    }

    /// When the next timer or scheduling event is due.
    pub(crate) fn next_due(&self) -> Option<u64> {
        let due = self.with(|local| local.timers.first_time().min(local.sched.next_event()))?;
        (due != u64::MAX).then_some(due)
    }

    /// A sleeper found no timer. Such sleepers come back at every poll: tells of the 1st, 2nd, 4th, ... time only.
    #[cold]
    fn timers_exhausted(&self) {
        if P::STATS {
            self.stats.timers_exhausted.add(1);
            if self.stats.timers_exhausted.get().is_power_of_two() {
                P::event(Event::TimersExhausted { core: self.id });
            }
        }
    }

    /// Disarms a timer, from anywhere but an interrupt handler.
    pub(crate) fn disarm(&self, timer: TimerId) {
        match self.with(|local| local.timers.cancel(timer)) {
            Some(waker) => drop(waker),
            None => {
                let mut dead = self.dead_timers.lock();
                // Without memory for the note the timer fires in vain, which is harmless.
                if dead.try_reserve(1).is_ok() {
                    dead.push(timer);
                    drop(dead);
                    self.wake_from_elsewhere(CONTROL, self.slot(CONTROL));
                }
            }
        }
    }

    /// Disarms the timers of futures that went to other cores.
    pub(super) fn bury_timers(&self) {
        while let Some(timer) = self.pop_dead_timer() {
            drop(self.with(|local| local.timers.cancel(timer)).flatten());
        }
    }

    pub(super) fn pop_dead_timer(&self) -> Option<TimerId> {
        self.dead_timers.lock().pop()
    }
}
