//! Looking at a running fleet from anywhere, without stopping it and without allocation: what `ps`, `top` and a
//! watchdog read. Each word is as of some moment; words of one task may be of slightly different moments.

use core::panic::Location;

use crate::{
    CoreId, Fleet, Platform, TaskId,
    raw::{
        core::{CONTROL, Core},
        sites::SITES,
    },
    sched::{FAIR, OPEN},
    slot::{State, flag},
    stats::{CoreStats, SiteRecord, TaskRecord},
};

/// How a task gets its processor time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// By its share of what is left.
    BestEffort,
    /// By its deadline, without a reservation.
    Deadline,
    /// By the reservation of this number on its core.
    Reserved(u32),
}

/// A task as seen from outside. Times in ticks. Counters are zero without [`Platform::STATS`].
#[derive(Clone, Copy, Debug)]
pub struct TaskInfo<'a> {
    /// Its id.
    pub id: TaskId,
    /// Its name.
    pub name: &'static str,
    /// Where in the source it was spawned.
    pub place: Option<&'static Location<'static>>,
    /// Its core.
    pub core: CoreId,
    /// What it is doing.
    pub state: State,
    /// How it gets its time.
    pub class: Class,
    /// Absolute deadline of its present or last job.
    pub deadline: Option<u64>,
    /// How often it was polled.
    pub polls: u64,
    /// How often it was woken.
    pub wakes: u64,
    /// Processor time used, the poll in progress included.
    pub cpu_ticks: u64,
    /// Its longest poll.
    pub longest_poll_ticks: u64,
    /// When it was spawned.
    pub spawned_at: u64,
    /// Jobs that were late.
    pub misses: u32,
    /// Jobs that had to wait because their reservation's budget was used up.
    pub throttles: u32,
    /// Polls longer than allowed.
    pub overruns: u32,
    /// What all tasks of its name and place did on this core: latency histogram, misses by cause. For places beyond
    /// what there is memory or room for, what the tasks of all of them did.
    pub site: Option<&'a SiteRecord>,
}

/// A poll in progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PollInfo {
    /// Whose.
    pub task: TaskId,
    /// Since when (ticks); 0 when polls are not timed.
    pub since: u64,
    /// Its absolute deadline (ticks), `None` for best effort.
    pub deadline: Option<u64>,
}

impl<P: Platform> Core<P> {
    /// Processor time of a task of this core, with that of a poll in progress.
    fn used_by(&self, task: TaskId, record: &TaskRecord) -> u64 {
        // A poll may end or begin between two of the reads: then nothing fits together, and it is read again.
        for _ in 0..8 {
            let past = record.cpu_ticks.acquire();
            if self.polling.task.acquire() != task.to_bits() {
                return past;
            }
            let since = self.polling.since.acquire();
            let same = self.polling.task.acquire() == task.to_bits();
            if same && record.cpu_ticks.acquire() == past {
                return past + P::now().saturating_sub(since);
            }
        }
        record.cpu_ticks.get()
    }
}

impl<P: Platform> Fleet<P> {
    /// Calls `look` for every task alive, core by core.
    pub fn for_each_task(&self, mut look: impl FnMut(&TaskInfo<'_>)) {
        for core in self.cores() {
            self.for_each_task_of(core, &mut look);
        }
    }

    /// Calls `look` for every task alive on `core`.
    pub fn for_each_task_of(&self, core: CoreId, mut look: impl FnMut(&TaskInfo<'_>)) {
        let Some(home) = self.core(core) else { return };
        for (index, slot) in home.slots.iter().enumerate() {
            if index as u32 == CONTROL {
                continue;
            }
            let id = slot.id.acquire();
            if matches!(slot.state(), State::Free | State::Moved) {
                continue;
            }
            if let Some(info) = self.describe(core, index as u32)
                && slot.id.acquire() == id
            {
                look(&info);
            }
        }
    }

    /// One task, if it is alive.
    pub fn task(&self, task: TaskId) -> Option<TaskInfo<'static>> {
        let home = self.core(task.core())?;
        let slot = home.slots.get(task.slot() as usize)?;
        let alive = || {
            slot.id.acquire() == task.to_bits()
                && !matches!(slot.state(), State::Free | State::Moved)
        };
        if !alive() {
            return None;
        }
        let info = self.describe(task.core(), task.slot());
        if alive() { info } else { None }
    }

    fn describe(&self, core: CoreId, index: u32) -> Option<TaskInfo<'static>> {
        let home = self.core(core)?;
        let slot = home.slots.get(index as usize)?;
        let (site, record) = (slot.site.get(), home.records.get(index as usize));
        let known = self.sites.get(site);
        let class = match slot.server.get() as u32 {
            OPEN => Class::Deadline,
            FAIR => Class::BestEffort,
            server => Class::Reserved(server - crate::sched::FIRST_RESERVED),
        };
        let deadline = slot.deadline.get();
        let has_deadline = class != Class::BestEffort && deadline != u64::MAX;
        Some(TaskInfo {
            id: slot.id(),
            name: known.map_or("(other)", |site| site.name),
            place: known.map(|site| site.place),
            core,
            state: slot.state(),
            class,
            deadline: has_deadline.then_some(deadline),
            polls: record.map_or(0, |record| record.polls.get()),
            wakes: record.map_or(0, |record| record.wakes.get()),
            cpu_ticks: record.map_or(0, |record| home.used_by(slot.id(), record)),
            longest_poll_ticks: record.map_or(0, |record| record.longest_poll.get()),
            spawned_at: record.map_or(0, |record| record.spawned_at.get()),
            misses: record.map_or(0, |record| record.misses.get()),
            throttles: record.map_or(0, |record| record.throttles.get()),
            overruns: record.map_or(0, |record| record.overruns.get()),
            site: home.sites.get(site).map(|(record, _)| record),
        })
    }

    /// Calls `look` with the name, the place and the record of every spawn site that was active on `core`.
    pub fn for_each_site(
        &self,
        core: CoreId,
        mut look: impl FnMut(&'static str, &'static Location<'static>, &SiteRecord),
    ) {
        let Some(home) = self.core(core) else { return };
        for index in 0..SITES as u16 {
            if let (Some(site), Some((record, true))) =
                (self.sites.get(index), home.sites.get(index))
                && record.latency.total() > 0
            {
                look(site.name, site.place, record);
            }
        }
    }

    /// A core's counters.
    pub fn core_stats(&self, core: CoreId) -> Option<&'static CoreStats> {
        Some(&self.core(core)?.stats)
    }

    /// What `core` is polling at the moment. Safe in an NMI handler: loads only.
    pub fn polling(&self, core: CoreId) -> Option<PollInfo> {
        let polling = &self.core(core)?.polling;
        let task = polling.task.get();
        if task == 0 {
            return None;
        }
        let id = TaskId::from_bits(task);
        let slot = self.core(core)?.slots.get(id.slot() as usize);
        let deadline = slot
            .filter(|slot| slot.server.get() as u32 != FAIR)
            .map(|slot| slot.deadline.get());
        Some(PollInfo {
            task: id,
            since: polling.since.get(),
            deadline: deadline.filter(|&deadline| deadline != u64::MAX),
        })
    }

    /// Whether `core` is halted.
    pub fn is_halted(&self, core: CoreId) -> bool {
        self.core(core).is_some_and(|core| core.is_halted())
    }

    /// What of `core` is reserved, best effort's part included, and what may be; parts in a million.
    pub fn load_ppm(&self, core: CoreId) -> Option<(u64, u64)> {
        Some(self.core(core)?.ledger.lock().load_ppm())
    }

    /// Whether the task never leaves its core because its future is not `Send`.
    pub fn is_pinned(&self, task: TaskId) -> Option<bool> {
        let slot = self.core(task.core())?.slots.get(task.slot() as usize)?;
        (slot.id.acquire() == task.to_bits()).then(|| slot.has(flag::PINNED))
    }
}
