//! What happens when a poll ends: the task takes its next place, its server is charged.

use super::{End, FAIR, FIRST_RESERVED, List, OPEN, Phase, Scheduler, cbs};
use crate::slot::{Slot, State, flag};

impl Scheduler {
    /// The running task yields after `used` ticks (0 when not timed), if its server has the core to itself: nobody's budget
    /// matters then. `false` in all other cases; nothing has happened then, and [`finish`](Self::finish) does it.
    #[inline(always)]
    pub(crate) fn yield_simply(&mut self, slot: u32, record: &Slot, used: u64) -> bool {
        let server = record.server.get() as u32;
        if server != self.alone {
            return false;
        }
        if server == FAIR {
            if !self.fair.rotate(slot, record, used) {
                return false;
            }
        } else {
            self.requeue(slot, record);
        }
        record.set_state(State::Queued);
        true
    }

    /// As [`yield_simply`](Self::yield_simply) for a task that blocks or ends, and is in `state` from now on.
    #[inline(always)]
    pub(crate) fn leave_simply(
        &mut self,
        slots: &[Slot],
        slot: u32,
        record: &Slot,
        state: State,
        used: u64,
    ) -> bool {
        let server = record.server.get() as u32;
        if server != self.alone {
            return false;
        }
        if server == FAIR {
            if !self.upper.is_empty() {
                return false;
            }
            self.fair.charge(record, used);
            self.fair.remove(slots, slot, record);
        } else {
            if self.open.len() == 1 {
                return false;
            }
            self.leave_open(slot);
        }
        record.set_state(state);
        true
    }

    /// Takes a task out of [`OPEN`] that blocks or ends.
    #[inline(always)]
    fn leave_open(&mut self, slot: u32) {
        if self.open.first() == Some(slot) {
            self.open.pop();
        } else {
            self.open.remove(slot);
        }
    }

    /// Puts a task of [`OPEN`] that yielded behind those of its deadline.
    #[inline(always)]
    fn requeue(&mut self, slot: u32, record: &Slot) {
        let deadline = record.deadline.get();
        if self.open.first() == Some(slot) {
            self.open.move_first(deadline);
        } else {
            self.open.set(slot, deadline);
        }
    }

    /// The poll ended at `now` after `used` ticks (0 when not timed).
    pub(crate) fn finish(&mut self, slots: &[Slot], slot: u32, end: End, used: u64, now: u64) {
        let record = &slots[slot as usize];
        let server = record.server.get() as u32;
        match end {
            End::Yielded => {
                record.set_state(State::Queued);
                match server {
                    OPEN => self.requeue(slot, record),
                    FAIR => {
                        if !self.fair.rotate(slot, record, used) {
                            self.fair.leave_band(slots, slot, used);
                        }
                    }
                    server => self.servers[server as usize].members.rotate(slot, record),
                }
                self.charge(slots, server, used, true, now);
            }
            End::Blocked | End::Finished => {
                record.set_state(if end == End::Blocked {
                    State::Idle
                } else {
                    State::Free
                });
                if server == FAIR {
                    self.fair.charge(record, used);
                }
                // A server that goes idle gets its next budget when it wakes: not before its next period, and with all
                // of its deadline still to come.
                let goes_on = match server {
                    OPEN => self.open.len() > 1,
                    FAIR => self.fair.len() > 1,
                    _ => !List::is_alone(slot, record),
                };
                self.charge(slots, server, used, goes_on, now);
                self.dequeue(slots, slot, now);
            }
        }
    }

    /// Charges a server that just ran; `goes_on`: it still has ready tasks.
    #[inline]
    fn charge(&mut self, slots: &[Slot], server: u32, used: u64, goes_on: bool, now: u64) {
        if server < FIRST_RESERVED && self.upper.len() <= 1 {
            return;
        }
        self.charge_contended(slots, server, used, goes_on, now);
    }

    fn charge_contended(
        &mut self,
        slots: &[Slot],
        server: u32,
        used: u64,
        goes_on: bool,
        now: u64,
    ) {
        let used = if server < FIRST_RESERVED {
            used.min(now.saturating_sub(self.accounted))
        } else {
            used
        };
        let active = if self.servers[server as usize].reclaims {
            // What became free during the poll counts from the next one on.
            self.end_lingering_until(now.saturating_sub(used));
            Some(self.limit - self.reclaimable(now).min(self.limit))
        } else {
            None
        };
        let entry = &mut self.servers[server as usize];
        // Best effort on slack costs nothing. A reservation can be throttled in the middle of a poll, by new terms: the
        // poll is charged all the same, or a change in every poll would make them all free.
        let throttled = entry.phase == Phase::Throttled && server >= FIRST_RESERVED;
        if entry.phase != Phase::Ready && !throttled {
            return;
        }
        let cost = match active {
            Some(active) => cbs::reclaimed_cost(used, entry.density, active, self.limit),
            None => used,
        };
        entry.account.charge(cost);
        if goes_on && entry.account.is_exhausted() {
            if entry.hard {
                let mut next = entry.members.first();
                while let Some(slot) = next {
                    slots[slot as usize].raise(flag::THROTTLED);
                    next = entry.members.after(slots, slot);
                }
            }
            self.exhausted(server, now);
        }
    }

    /// Bandwidth that nobody can claim before its 0-lag time has passed.
    fn reclaimable(&self, now: u64) -> u64 {
        let mut busy = self.active;
        for server in [OPEN, FAIR] {
            let entry = &self.servers[server as usize];
            if entry.phase != Phase::Inactive || entry.account.zero_lag(&entry.params) > now {
                busy += entry.density;
            }
        }
        self.limit.saturating_sub(busy)
    }
}
