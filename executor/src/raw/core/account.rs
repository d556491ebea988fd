//! Counting polls, and finding out why a job is late.

use super::{Core, Last, Local};
use crate::{
    event::{Event, Late},
    ident::TaskId,
    platform::Platform,
    sched::FAIR,
    slot::{Slot, flag},
};

impl<P: Platform> Core<P> {
    /// Statistics of a poll. Whether there is something to [report](Self::report).
    #[inline(always)]
    pub(super) fn account(
        &self,
        local: &mut Local,
        slot: u32,
        record: &Slot,
        start: u64,
        used: u64,
    ) -> bool {
        let counters = self.record(slot);
        counters.cpu_ticks.add(used);
        counters.polls.add(1);
        counters.longest_poll.raise(used);
        self.stats.dispatches.add(1);
        let site = self.sites.of(record.site.get());
        site.latency
            .record(start.saturating_sub(counters.woken_at.get()));
        let server = record.server.get() as u32;
        let allowed = local
            .allowed
            .get(server as usize)
            .copied()
            .unwrap_or(u64::MAX);
        let mut noted = false;
        if used > allowed {
            noted = self.overran(local, slot, start, used, allowed);
        }
        let deadline = if server == FAIR {
            u64::MAX
        } else {
            record.deadline.get()
        };
        if local.now > deadline && !record.has(flag::MISSED) {
            self.missed(local, slot, start, deadline);
            noted = true;
        }
        if record.has(flag::THROTTLED) {
            // Once for a job, however many periods it takes.
            let job = counters.woken_at.get() as u32;
            if counters.throttled_job.get() != job {
                counters.throttled_job.set(job);
                counters.throttles.add(1);
            }
        }
        local.last = Last {
            task: record.id().to_bits(),
            start,
            end: local.now,
            deadline,
        };
        if local.rewoken {
            if counters.throttled_job.get() == counters.woken_at.get() as u32 {
                // It goes on: the same job.
                counters.throttled_job.set(local.now as u32);
            }
            counters.wakes.add(1);
            counters.woken_at.set(local.now);
        }
        noted
    }

    /// Tells the platform what the last poll was noted for. To the scheduler that poll is still under way, and nothing of
    /// the core is borrowed: the platform may wake whom it likes, this task included.
    #[cold]
    pub(super) fn report(&self, slot: u32) {
        let take = || {
            self.with(|local| local.notes.iter_mut().find_map(Option::take))
                .flatten()
        };
        let woken = || self.with(|local| local.rewoken) == Some(true);
        let before = woken();
        while let Some(event) = take() {
            P::event(event);
        }
        if !before && woken() {
            self.with(|local| self.record(slot).woken_at.set(local.now));
        }
    }

    /// A poll took longer than allowed, unless it could be interrupted most of the time.
    #[cold]
    fn overran(
        &self,
        local: &mut Local,
        slot: u32,
        start: u64,
        used: u64,
        allowed_ticks: u64,
    ) -> bool {
        let held_since = self.polling.held_since.get().max(start);
        let ticks = (start + used).saturating_sub(held_since);
        if ticks <= allowed_ticks {
            return false;
        }
        let site = self.sites.of(self.slot(slot).site.get());
        site.overruns.add(1);
        site.longest_poll.raise(ticks);
        self.stats.longest_poll.raise(ticks);
        self.record(slot).overruns.add(1);
        local.notes[0] = Some(Event::LongPoll {
            task: self.id_of(slot),
            ticks,
            allowed_ticks,
        });
        true
    }

    /// Finds out why a job is late.
    #[cold]
    fn missed(&self, local: &mut Local, slot: u32, start: u64, deadline: u64) {
        let record = self.slot(slot);
        record.raise(flag::MISSED);
        let (woken, last, used) = (
            self.record(slot).woken_at.get(),
            local.last,
            local.now.saturating_sub(start),
        );
        let waited = start.saturating_sub(woken);
        let busy = last.task != 0 && last.end >= woken && last.end + used.max(1) >= start;
        let (cause, behind) = if deadline <= woken {
            (Late::WokenLate, 0)
        } else if record.has(flag::THROTTLED) {
            (Late::Throttled, 0)
        } else if start <= deadline && (used > waited || used >= deadline - woken) {
            (Late::OwnWork, 0)
        } else if busy && last.start <= woken && last.deadline > deadline {
            (Late::BlockedByPoll, last.task)
        } else if busy {
            (Late::Queued, last.task)
        } else if start >= woken {
            (Late::WokenLate, 0)
        } else {
            (Late::Unknown, 0)
        };
        self.record(slot).misses.add(1);
        self.stats.misses[cause as usize].add(1);
        self.sites.of(record.site.get()).misses[cause as usize].add(1);
        local.notes[1] = Some(Event::Missed {
            task: self.id_of(slot),
            late_ticks: local.now - deadline,
            cause,
            behind: (behind != 0).then(|| TaskId::from_bits(behind)),
        });
    }
}
