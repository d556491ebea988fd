//! One core: its unlocked state, the dispatch loop, and the ways in from elsewhere.
//!
//! [`Local`] is touched only by the task context of the core ([`Core::is_here`]) and never while foreign
//! code runs: each block below that takes it ends before a poll, a drop or a waker call. What others may touch
//! is outside of it: slots' links, the inbox, the pool of slots for remote spawns, returned memory, and
//! words published for reading.

use alloc::vec::Vec;
use core::{
    cell::UnsafeCell,
    marker::PhantomData,
    mem::ManuallyDrop,
    ptr::NonNull,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    task::{Context, Waker},
};

use super::{
    block::{self, Head},
    joincell::Completion,
    locals::Chain,
    slab::{self, Returns, Slab},
    waker,
};
use crate::{
    admission::{AdmissionError, Change, Claim, Division, Ledger},
    config::{CoreConfig, StartError},
    event::{Event, Late},
    fleet::MoveError,
    ident::{CoreId, TaskId},
    inbox::{self, Inbox, Park},
    platform::Platform,
    pool::Pool,
    published::P64,
    sched::{self, End, FAIR, FIRST_RESERVED, OPEN, Scheduler, Terms, cbs::Params, list::List, loans::LoanId},
    slot::{NONE, Slot, State, flag},
    spawn::{SpawnError, Spec},
    stats::{CoreStats, SiteRecord, TaskRecord},
    timers::{TimerId, Timers},
};

/// The slot that stands for the core itself: woken when something was put into its mailbox.
pub(crate) const CONTROL: u32 = 0;

/// What a core publishes about the poll in progress, for an NMI handler or another core.
#[derive(Debug, Default)]
pub(crate) struct Polling {
    pub(crate) task: P64,
    pub(crate) since: P64,
    pub(crate) deadline: P64,
}

/// Per-slot words that the hot path does not read.
#[derive(Debug)]
pub(crate) struct Cold {
    /// The earliest deadline lent from other cores for the present job.
    lent: AtomicU64,
    /// The generation to cancel.
    pub(crate) cancel: AtomicU64,
    /// When the wake now in the inbox was issued.
    pub(crate) called_at: P64,
    /// The slot on another core that forwards to this one, until this task dies.
    origin: P64,
    /// For a slot that forwards: the task it forwarded to is dead.
    orphaned: AtomicBool,
}

impl Default for Cold {
    fn default() -> Self {
        Cold { lent: AtomicU64::new(u64::MAX), cancel: AtomicU64::new(0), called_at: P64::new(0), origin: P64::new(0), orphaned: AtomicBool::new(false) }
    }
}

/// The poll before the present one.
#[derive(Clone, Copy, Debug, Default)]
struct Last {
    task: u64,
    start: u64,
    end: u64,
    deadline: u64,
}

/// What only the core itself may touch.
pub(crate) struct Local {
    pub(crate) sched: Scheduler,
    pub(crate) timers: Timers,
    slab: Slab,
    free: List,
    pub(crate) current: u32,
    rewoken: bool,
    /// The clock as last read.
    pub(crate) now: u64,
    /// The longest poll allowed, by server.
    allowed: Vec<u64>,
    last: Last,
}

#[repr(align(128))]
struct Apart<T>(T);

/// One core of a fleet.
pub(crate) struct Core<P: Platform> {
    pub(crate) id: CoreId,
    pub(crate) config: CoreConfig,
    pub(crate) slots: Vec<Slot>,
    pub(crate) cold: Vec<Cold>,
    pub(crate) records: Vec<TaskRecord>,
    pub(crate) sites: Vec<SiteRecord>,
    pub(crate) polling: Polling,
    pub(crate) stats: CoreStats,
    local: Apart<UnsafeCell<Local>>,
    /// Touched like `local`, but by foreign code's leave: see `locals`.
    chain: Chain,
    inbox: Apart<Inbox>,
    park: Park,
    /// The deadline that a wake must beat to be worth a kick; 0 while the running task cannot be preempted.
    window: AtomicU64,
    pool: Apart<Pool>,
    returns: Returns,
    pub(crate) ledger: spin::Mutex<Ledger>,
    dead_timers: spin::Mutex<Vec<TimerId>>,
    platform: PhantomData<fn() -> P>,
}

// SAFETY: `local` is touched by the core's own task context only; everything else is atomic or constant.
// Futures in blocks that other threads may reach are `Send`, or stay at home (`flag::PINNED`).
unsafe impl<P: Platform> Sync for Core<P> {}
// SAFETY: as above.
unsafe impl<P: Platform> Send for Core<P> {}

fn filled<T>(count: usize, mut make: impl FnMut() -> T) -> Result<Vec<T>, StartError> {
    let mut vec = Vec::new();
    vec.try_reserve_exact(count).map_err(|_| StartError::NoMemory)?;
    vec.resize_with(count, &mut make);
    Ok(vec)
}

impl<P: Platform> Core<P> {
    pub(crate) fn new(id: CoreId, config: CoreConfig) -> Result<Core<P>, StartError> {
        let slots = config.tasks + 1;
        if config.tasks == 0 || slots > 1 << TaskId::SLOT_BITS {
            return Err(StartError::BadConfig("tasks"));
        }
        if config.remote_tasks > config.tasks {
            return Err(StartError::BadConfig("remote_tasks"));
        }
        if config.reservations > 1 << 15 {
            return Err(StartError::BadConfig("reservations"));
        }
        if config.timers > 1 << 20 {
            return Err(StartError::BadConfig("timers"));
        }
        let limit = crate::admission::permille(config.limit_permille);
        let ticks = |duration| crate::time::to_ticks::<P>(duration);
        let fair = Params {
            budget: ticks(config.best_effort_budget),
            period: ticks(config.best_effort_period),
            deadline: ticks(config.best_effort_period),
        };
        if !fair.is_sane() {
            return Err(StartError::BadConfig("best_effort_budget"));
        }
        let open_period = ticks(config.open_period);
        let open_least = crate::admission::permille(config.open_permille);
        let longest_poll = ticks(config.longest_poll);
        let no_memory = |_| StartError::NoMemory;
        let division = Division { limit, fair, open_period, open_least, longest_poll };
        let ledger = Ledger::new(config.reservations, division).map_err(no_memory)?;
        let open = ledger.open_params();
        if !open.is_sane() || limit < fair.bandwidth() + open_least {
            return Err(StartError::BadConfig("limit_permille, open_period or open_permille"));
        }
        let band = (fair.budget / 4).max(16);
        let mut sched = Scheduler::new(slots, config.reservations, band, limit).map_err(no_memory)?;
        sched.install(OPEN, Terms { params: open, hard: false, reclaims: false }, 0);
        sched.install(FAIR, Terms { params: fair, hard: true, reclaims: false }, 0);
        let table = filled(slots, Slot::new)?;
        let pool = Pool::new();
        let mut free = List::new();
        for slot in (1..slots as u32).rev() {
            if slot as usize <= config.remote_tasks {
                table[slot as usize].raise(flag::POOLED);
                pool.push(&table, slot);
            }
        }
        for slot in config.remote_tasks as u32 + 1..slots as u32 {
            free.push(&table, slot);
        }
        let stats_slots = if P::STATS { slots } else { 0 };
        let sites = if P::STATS { super::sites::SITES } else { 0 };
        let timers = Timers::with_capacity(config.timers).map_err(no_memory)?;
        Ok(Core {
            id,
            config,
            slots: table,
            cold: filled(slots, Cold::default)?,
            records: filled(stats_slots, TaskRecord::default)?,
            sites: filled(sites, SiteRecord::default)?,
            polling: Polling::default(),
            stats: CoreStats::default(),
            local: Apart(UnsafeCell::new(Local {
                sched,
                timers,
                slab: Slab::new(),
                free,
                current: NONE,
                rewoken: false,
                now: 0,
                allowed: filled(config.reservations + FIRST_RESERVED as usize, || longest_poll)?,
                last: Last::default(),
            })),
            chain: Chain::new(),
            inbox: Apart(Inbox::new()),
            park: Park::new(),
            window: AtomicU64::new(0),
            pool: Apart(pool),
            returns: Returns::new(),
            ledger: spin::Mutex::new(ledger),
            dead_timers: spin::Mutex::new(Vec::new()),
            platform: PhantomData,
        })
    }

    /// Whether this is the core's own task context.
    #[inline(always)]
    pub(crate) fn is_here(&self) -> bool {
        P::here().is_home_of(self.id)
    }

    /// Runs `f` on the core's own state, if this is its task context. `f` must not call foreign code.
    #[inline(always)]
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut Local) -> R) -> Option<R> {
        // SAFETY: `is_here`: nobody else can be in here; callers keep foreign code out of `f`.
        self.is_here().then(|| f(unsafe { &mut *self.local.0.get() }))
    }

    #[inline(always)]
    fn slot(&self, slot: u32) -> &Slot {
        debug_assert!((slot as usize) < self.slots.len());
        // SAFETY: slot numbers come from this core's own queues, links and lists, or were checked by `get`; the
        // table never changes its size.
        unsafe { self.slots.get_unchecked(slot as usize) }
    }

    #[inline(always)]
    fn record(&self, slot: u32) -> &TaskRecord {
        debug_assert!((slot as usize) < self.records.len());
        // SAFETY: as for `slot`; only called with statistics on, when there are as many records as slots.
        unsafe { self.records.get_unchecked(slot as usize) }
    }

    fn id_of(&self, slot: u32) -> TaskId {
        TaskId::pack(self.id, slot, self.slot(slot).generation.get())
    }

    /// The time of a wake of `record` from a task on this core. Reads the clock only where a budget depends
    /// on it, or where there is no other clock reading to go by.
    #[inline(always)]
    fn wake_time(&self, local: &Local, record: &Slot) -> u64 {
        let server = record.server.get() as u32;
        let exact = if P::STATS { server >= FIRST_RESERVED } else { server >= FIRST_RESERVED || record.has(flag::RELATIVE) || local.sched.needs_clock() };
        if exact { P::now() } else { local.now }
    }

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
            self.wake_other(local, task);
        } else {
            self.wake_foreign(task);
        }
    }

    #[inline(always)]
    fn wake_other(&self, local: &mut Local, task: TaskId) {
        let Some(record) = self.slots.get(task.slot() as usize) else { return };
        if record.generation.get() == task.generation() {
            self.wake_here(local, task.slot(), record);
        }
    }

    #[inline(never)]
    fn wake_foreign(&self, task: TaskId) {
        let Some(record) = self.slots.get(task.slot() as usize) else { return };
        if record.generation.get() == task.generation() {
            self.wake_from_elsewhere(task.slot(), record);
        }
    }

    #[inline(always)]
    fn wake_here(&self, local: &mut Local, slot: u32, record: &Slot) {
        if P::STATS {
            self.record(slot).wakes.add(1);
        }
        match record.state() {
            State::Polling => local.rewoken = true,
            State::Idle => {
                let now = self.wake_time(local, record);
                local.sched.wake(&self.slots, slot, now);
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

    /// When a wake of `record` now would have to be served.
    fn urgency(record: &Slot) -> u64 {
        if record.server.get() as u32 == FAIR {
            u64::MAX
        } else if record.has(flag::RELATIVE) {
            P::now().saturating_add(record.relative.get())
        } else {
            record.deadline.get()
        }
    }

    #[inline(never)]
    fn wake_from_elsewhere(&self, slot: u32, record: &Slot) {
        if inbox::claim(record) {
            if P::STATS {
                self.cold[slot as usize].called_at.set(P::now());
            }
            self.inbox.0.push(slot, record);
            self.kick_if_needed(record);
        }
    }

    /// After a push: kicks the core if it sleeps, or runs something preemptible that is less urgent.
    fn kick_if_needed(&self, record: &Slot) {
        let here = P::here();
        let own_interrupt = here.core() == Some(self.id);
        let kick = if self.park.claim_kick() {
            // An interrupt on the core itself ends the halt anyway.
            !own_interrupt
        } else {
            let window = self.window.load(Ordering::SeqCst);
            window != 0
                && Self::urgency(record) < window
                && self.window.compare_exchange(window, 0, Ordering::AcqRel, Ordering::Relaxed).is_ok()
        };
        if kick {
            P::kick(self.id);
        }
        if P::STATS
            && let Some(sender) = here.task_core().and_then(|core| P::fleet().core(core))
        {
            let counter = if kick { &sender.stats.kicks_sent } else { &sender.stats.kicks_saved };
            counter.add(1);
        }
    }

    /// Takes over what came from elsewhere.
    #[inline(never)]
    fn drain(&self) {
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

    fn deliver(&self, slot: u32, now: u64) {
        let record = self.slot(slot);
        // SAFETY: called by the core itself, between polls; `wake_here` calls no foreign code.
        let local = unsafe { &mut *self.local.0.get() };
        local.now = now;
        if record.state.acquire() == State::Born as u8 {
            record.set_state(State::Idle);
            self.born(local, slot, now);
        }
        if self.cold[slot as usize].cancel.load(Ordering::Relaxed) == record.generation.get() {
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
        if record.state() == State::Moved && self.cold[slot as usize].orphaned.swap(false, Ordering::Acquire) {
            let on = self.cold[slot as usize].origin.get();
            self.release_slot(local, slot);
            self.end_forwarding(slot, on);
            return;
        }
        let lent = self.cold[slot as usize].lent.swap(u64::MAX, Ordering::Relaxed);
        if lent != u64::MAX {
            self.take_foreign_loan(local, slot, lent);
        }
        let at = if P::STATS { self.cold[slot as usize].called_at.get().min(now) } else { now };
        match record.state() {
            State::Idle => {
                if P::STATS {
                    self.record(slot).wakes.add(1);
                }
                local.sched.wake(&self.slots, slot, at);
            }
            _ => self.wake_here(local, slot, record),
        }
    }

    fn born(&self, local: &mut Local, slot: u32, now: u64) {
        if self.slot(slot).server.get() as u32 == FAIR {
            let start = local.sched.virtual_now();
            self.slot(slot).deadline.set(start);
        }
        self.stats.tasks.add(1);
        if P::STATS {
            self.record(slot).begin(now);
            self.stats.spawned.add(1);
        }
    }

    /// At most one poll. `false` when there was nothing to do.
    ///
    /// # Safety
    /// `is_here`, and not from within a poll.
    #[inline(always)]
    pub(crate) unsafe fn step(&self) -> bool {
        if !self.inbox.0.is_empty() {
            self.drain();
        }
        let cell = self.local.0.get();
        // SAFETY: at home; this borrow ends before the poll below.
        let local = unsafe { &mut *cell };
        let due = local.timers.first_time().min(local.sched.next_event());
        if due != u64::MAX {
            if !P::STATS {
                local.now = P::now();
            }
            if due <= local.now {
                self.expire();
            }
        }
        // SAFETY: as above; `expire` is over.
        let local = unsafe { &mut *cell };
        let Some(slot) = local.sched.pick() else { return false };
        let timed = P::STATS || local.sched.needs_clock();
        if !P::STATS && timed {
            local.now = P::now();
        }
        let start = local.now;
        let record = self.slot(slot);
        let Some(head) = NonNull::new(record.block()) else { return false };
        local.current = slot;
        local.rewoken = false;
        local.sched.start(record);
        let id = TaskId::pack(self.id, slot, record.generation.get());
        self.polling.since.set(start);
        self.polling.deadline.set(record.deadline.get());
        self.polling.task.set(id.to_bits());
        let cancelled = record.has(flag::CANCEL);
        let finished = if cancelled {
            // SAFETY: the future lives in its block until it finishes, and only its core touches it.
            unsafe { block::drop_future_of(head) };
            true
        } else {
            let waker = ManuallyDrop::new(waker::of_task::<P>(id));
            // SAFETY: as above.
            unsafe { block::poll_block(head, &mut Context::from_waker(&waker)) }
        };
        self.polling.task.set(0);
        // SAFETY: the poll is over; this borrow ends before the output is delivered.
        let local = unsafe { &mut *cell };
        let mut used = 0;
        if timed {
            let now = P::now();
            used = now.saturating_sub(start);
            local.now = now;
        }
        local.current = NONE;
        let end = if finished {
            End::Finished
        } else if local.rewoken {
            End::Yielded
        } else {
            End::Blocked
        };
        if P::STATS {
            self.account(local, slot, record, id, start, used);
        }
        if end == End::Yielded && local.sched.finish_turn(&self.slots, slot, record, used) {
            return true;
        }
        local.sched.finish(&self.slots, slot, record, end, used, local.now);
        if finished {
            self.bury(slot, record, head, cancelled);
        }
        true
    }

    /// A task is over.
    #[inline(never)]
    fn bury(&self, slot: u32, record: &Slot, head: NonNull<Head>, cancelled: bool) {
        // SAFETY: called by `step` after the poll; the borrow ends before the output is delivered.
        let local = unsafe { &mut *self.local.0.get() };
        if record.lends.get() != 0 || record.borrows.get() != 0 {
            let now = local.now;
            local.sched.settle_loans(&self.slots, slot, now);
        }
        let server = record.server.get() as u32;
        let origin = self.cold[slot as usize].origin.get();
        self.release_slot(local, slot);
        if origin != 0 {
            self.end_forwarding(slot, origin);
        }
        if server >= FIRST_RESERVED {
            self.release_claim(server);
        }
        self.deliver_output(head, cancelled);
    }

    /// Statistics of a poll.
    #[inline(always)]
    fn account(&self, local: &mut Local, slot: u32, record: &Slot, id: TaskId, start: u64, used: u64) {
        let counters = self.record(slot);
        counters.cpu_ticks.add(used);
        counters.polls.add(1);
        counters.longest_poll.raise(used);
        self.stats.dispatches.add(1);
        let site = &self.sites[record.site.get() as usize % super::sites::SITES];
        site.latency.record(start.saturating_sub(record.woken_at.get()));
        let server = record.server.get() as u32;
        let allowed = local.allowed.get(server as usize).copied().unwrap_or(u64::MAX);
        if used > allowed {
            self.overran(slot, used, allowed);
        }
        let deadline = if server == FAIR { u64::MAX } else { record.deadline.get() };
        if local.now > deadline && !record.has(flag::MISSED) {
            self.missed(local, slot, start, deadline);
        }
        local.last = Last { task: id.to_bits(), start, end: local.now, deadline };
        if local.rewoken {
            counters.wakes.add(1);
            record.woken_at.set(local.now);
        }
    }

    #[cold]
    fn overran(&self, slot: u32, ticks: u64, allowed_ticks: u64) {
        let site = &self.sites[self.slot(slot).site.get() as usize % super::sites::SITES];
        site.overruns.add(1);
        site.longest_poll.raise(ticks);
        self.stats.longest_poll.raise(ticks);
        self.record(slot).overruns.add(1);
        P::event(Event::LongPoll { task: self.id_of(slot), ticks, allowed_ticks });
    }

    /// Finds out why a job is late.
    #[cold]
    fn missed(&self, local: &Local, slot: u32, start: u64, deadline: u64) {
        let record = self.slot(slot);
        record.raise(flag::MISSED);
        let (woken, last, used) = (record.woken_at.get(), local.last, local.now.saturating_sub(start));
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
        self.sites[record.site.get() as usize % super::sites::SITES].misses[cause as usize].add(1);
        P::event(Event::Missed {
            task: self.id_of(slot),
            late_ticks: local.now - deadline,
            cause,
            behind: (behind != 0).then(|| TaskId::from_bits(behind)),
        });
    }

    /// Wakes whoever's timer is due, and lets the scheduler replenish.
    #[inline(never)]
    fn expire(&self) {
        let cell = self.local.0.get();
        loop {
            // SAFETY: at home; the borrow ends before the waker, which may be anybody's, is called.
            let local = unsafe { &mut *cell };
            let now = local.now;
            let Some(waker) = local.timers.expire(now) else { break };
            if P::STATS {
                self.stats.timers_fired.add(1);
            }
            waker.wake();
        }
        // SAFETY: as above.
        let local = unsafe { &mut *cell };
        let now = local.now;
        while let Some(due) = local.sched.advance(now) {
            match due {
                sched::Due::Released(server) => self.vacate(local, server),
            }
        }
    }

    /// The bandwidth of a server that was given up is free.
    #[cold]
    fn vacate(&self, local: &mut Local, server: u32) {
        let mut ledger = self.ledger.lock();
        ledger.vacate(server);
        let open = Terms { params: ledger.open_params(), hard: false, reclaims: false };
        drop(ledger);
        let now = local.now;
        local.sched.install(OPEN, open, now);
    }

    /// Passes on what changed in the ledger.
    #[cold]
    fn apply_changes(&self, now: u64) {
        self.with(|local| {
            let mut ledger = self.ledger.lock();
            while let Some(change) = ledger.next_change() {
                match change {
                    Change::Install(server, claim) => {
                        local.allowed[server as usize] = claim.longest_poll;
                        let terms = Terms { params: claim.params, hard: claim.hard, reclaims: claim.reclaims };
                        local.sched.install(server, terms, now);
                    }
                    Change::Retire(server) => {
                        if local.sched.retire(server) {
                            ledger.vacate(server);
                        }
                    }
                }
            }
            let open = Terms { params: ledger.open_params(), hard: false, reclaims: false };
            local.sched.install(OPEN, open, now);
        });
    }

    /// The ledger changed: the core itself must know, now if this is it, else as soon as it drains its inbox.
    fn ledger_changed(&self) {
        if self.is_here() {
            self.apply_changes(P::now());
        } else {
            self.wake_from_elsewhere(CONTROL, self.slot(CONTROL));
        }
    }

    pub(crate) fn admit(&self, claim: Claim) -> Result<u32, AdmissionError> {
        let server = self.ledger.lock().admit(claim)?;
        self.ledger_changed();
        Ok(server)
    }

    pub(crate) fn change_claim(&self, server: u32, claim: Claim) -> Result<(), AdmissionError> {
        self.ledger.lock().change(server, claim)?;
        self.ledger_changed();
        Ok(())
    }

    pub(crate) fn retain_claim(&self, server: u32) -> Result<u64, AdmissionError> {
        self.ledger.lock().retain(server)
    }

    pub(crate) fn release_claim(&self, server: u32) {
        let last = self.ledger.lock().release(server);
        if last {
            self.ledger_changed();
        }
    }

    pub(crate) fn is_halted(&self) -> bool {
        self.park.is_halted()
    }

    /// Ends a slot's occupancy: wakers and ids of this generation are stale from here on.
    fn release_slot(&self, local: &mut Local, slot: u32) {
        let record = self.slot(slot);
        let state = record.state();
        record.set_state(State::Free);
        record.set_block(core::ptr::null_mut());
        record.flags.set(record.flags.get() & flag::POOLED);
        let generation = record.generation.get();
        record.generation.release(generation + 1);
        if state != State::Moved {
            // A slot that forwarded gave its task up when it moved.
            self.stats.tasks.set(self.stats.tasks.get() - 1);
        }
        if generation >= TaskId::MAX_GENERATION {
            // Used up: the slot is retired, so that no id ever comes back.
            return;
        }
        if record.has(flag::POOLED) {
            self.pool.0.push(&self.slots, slot);
        } else {
            local.free.push_front(&self.slots, slot);
        }
    }

    /// Hands a finished task's output to its handle, or drops it.
    #[inline]
    fn deliver_output(&self, head: NonNull<Head>, cancelled: bool) {
        // SAFETY: the block lives until `free_block`, or until the handle frees it after `complete`.
        match unsafe { head.as_ref() }.join.complete(cancelled) {
            Completion::Delivered(Some(waker)) => waker.wake(),
            Completion::Delivered(None) => {}
            Completion::Abandoned => {
                if !cancelled {
                    // SAFETY: finished with an output that nobody else wants.
                    unsafe { block::drop_output_of(head) };
                }
                // SAFETY: nothing is left in the block.
                unsafe { free_block::<P>(head) };
            }
        }
    }

    /// Halts until something happens.
    ///
    /// # Safety
    /// As for [`Core::step`].
    pub(crate) unsafe fn idle(&self) {
        let cell = self.local.0.get();
        // SAFETY: at home; the borrow ends here.
        let due = unsafe {
            let local = &mut *cell;
            local.timers.first_time().min(local.sched.next_event())
        };
        let before = if P::STATS { P::now() } else { 0 };
        P::idle(self.id, (due != u64::MAX).then_some(due), || self.park.announce(&self.inbox.0));
        self.park.resume();
        let now = P::now();
        // SAFETY: at home.
        unsafe { (*cell).now = now };
        if P::STATS {
            self.stats.idle_ticks.add(now.saturating_sub(before));
            self.stats.halts.add(1);
        }
    }

    /// Reads the clock, before the first step.
    pub(crate) fn refresh_clock(&self) {
        let now = P::now();
        self.with(|local| local.now = now);
    }

    /// The chain of task-local values, for this core's task context.
    pub(crate) fn chain(&self) -> Option<&Chain> {
        self.is_here().then_some(&self.chain)
    }

    /// Whether a poll is in progress on this core, seen from itself.
    pub(crate) fn is_polling(&self) -> bool {
        self.with(|local| local.current != NONE).unwrap_or(false)
    }

    /// The task being polled on this core, seen from itself.
    pub(crate) fn current(&self) -> Option<TaskId> {
        let slot = self.with(|local| local.current)?;
        (slot != NONE).then(|| self.id_of(slot))
    }

    /// Spawns here.
    #[inline]
    pub(crate) fn spawn_here<F: Future>(&self, future: F, spec: &Spec) -> Result<(TaskId, NonNull<Head>), SpawnError> {
        let layout = block::layout_of::<F>();
        let now = if P::STATS { None } else { Some(P::now()) };
        let placed = self.with(|local| {
            let slot = local.free.first().ok_or(SpawnError::NoSlot { core: self.id, tasks: self.config.tasks })?;
            let memory = local.slab.allocate(layout, self.id, &self.returns).ok_or(SpawnError::NoMemory { bytes: layout.size() })?;
            local.free.remove(&self.slots, slot);
            Ok((slot, memory))
        });
        let (slot, memory) = placed.ok_or(SpawnError::NotHere { core: self.id })??;
        // SAFETY: fresh memory of the layout asked for.
        let head = unsafe { block::write(memory.address, future, memory.tag) };
        let record = self.slot(slot);
        spec.fill(record);
        record.set_block(head.as_ptr());
        let id = self.id_of(slot);
        self.with(|local| {
            // Outside of a poll, as in start-up code, the clock was last read who knows when.
            let now = now.unwrap_or_else(|| if local.current == NONE { P::now() } else { local.now });
            self.born(local, slot, now);
            local.sched.wake(&self.slots, slot, now);
            if P::STATS {
                self.stats.slab_bytes.set(local.slab.held() as u64);
                self.stats.ready_high_water.set(local.sched.high_water() as u64);
            }
        });
        Ok((id, head))
    }

    /// Spawns here from elsewhere.
    pub(crate) fn spawn_from_elsewhere<F: Future + Send>(&self, future: F, spec: &Spec) -> Result<(TaskId, NonNull<Head>), SpawnError> {
        let layout = block::layout_of::<F>();
        let slot = self.pool.0.pop(&self.slots).ok_or(SpawnError::NoSlot { core: self.id, tasks: self.config.remote_tasks })?;
        let memory = match P::here().task_core().and_then(|core| P::fleet().core(core)) {
            Some(own) => own.with(|local| local.slab.allocate(layout, own.id, &own.returns)).flatten(),
            None => slab::allocate_globally(layout),
        };
        let Some(memory) = memory else {
            self.pool.0.push(&self.slots, slot);
            return Err(SpawnError::NoMemory { bytes: layout.size() });
        };
        // SAFETY: fresh memory of the layout asked for.
        let head = unsafe { block::write(memory.address, future, memory.tag) };
        let record = self.slot(slot);
        spec.fill(record);
        record.raise(flag::POOLED);
        record.set_block(head.as_ptr());
        let id = self.id_of(slot);
        record.state.release(State::Born as u8);
        self.wake_from_elsewhere(slot, record);
        Ok((id, head))
    }

    /// Cancels the task `generation` of `slot`, from anywhere. `false` if it is gone.
    pub(crate) fn cancel(&self, slot: u32, generation: u64) -> bool {
        let Some(record) = self.slots.get(slot as usize) else { return false };
        if record.generation.get() != generation || slot == CONTROL || record.state() == State::Free {
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

    fn mark_cancelled(&self, slot: u32, generation: u64) {
        // Newer generations win: a stale cancel must not undo a valid one.
        self.cold[slot as usize].cancel.fetch_max(generation, Ordering::AcqRel);
    }

    /// As `cancel`, but always through the inbox.
    fn cancel_from_elsewhere(&self, task: TaskId) {
        let Some(record) = self.slots.get(task.slot() as usize) else { return };
        if record.generation.get() == task.generation() {
            self.mark_cancelled(task.slot(), task.generation());
            self.wake_from_elsewhere(task.slot(), record);
        }
    }

    /// Whether a handle that is here may use plain memory on a task's join cell: the task lives here, and nowhere else.
    #[inline(always)]
    pub(crate) fn is_home_of(&self, task: TaskId) -> bool {
        self.is_here()
            && self.slots.get(task.slot() as usize).is_some_and(|record| record.generation.get() == task.generation() && record.state() != State::Moved)
    }

    /// A task that came from elsewhere is dead: the slot there need not forward any more.
    fn end_forwarding(&self, slot: u32, origin: u64) {
        self.cold[slot as usize].origin.set(0);
        if origin == 0 {
            return;
        }
        let origin = TaskId::from_bits(origin);
        if let Some(core) = P::fleet().core(origin.core())
            && let Some(record) = core.slots.get(origin.slot() as usize)
        {
            core.cold[origin.slot() as usize].orphaned.store(true, Ordering::Release);
            core.wake_from_elsewhere(origin.slot(), record);
        }
    }

    /// Moves a best-effort task of this core to another; see [`crate::Fleet::move_task`].
    pub(crate) fn move_out(&self, task: TaskId, to: CoreId) -> Result<TaskId, MoveError> {
        let slot = task.slot();
        let record = self.slots.get(slot as usize).ok_or(MoveError::Gone)?;
        let there = P::fleet().core(to).ok_or(MoveError::NoCore)?;
        if record.generation.get() != task.generation() || slot == CONTROL {
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
        if record.server.get() as u32 != FAIR || record.lends.get() != 0 || record.borrows.get() != 0 {
            return Err(MoveError::NotBestEffort);
        }
        if to == self.id {
            return Ok(task);
        }
        let new_slot = there.pool.0.pop(&there.slots).ok_or(MoveError::NoSlot)?;
        self.with(|local| {
            let now = local.now;
            local.sched.withdraw(&self.slots, slot, now);
        });
        let new = there.slot(new_slot);
        let id = there.id_of(new_slot);
        new.server.set(FAIR as u16);
        new.relative.set(record.relative.get());
        new.site.set(record.site.get());
        new.flags.set(flag::POOLED | record.flags.get() & flag::CANCEL);
        new.set_block(record.block());
        there.cold[new_slot as usize].origin.set(task.to_bits());
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
}

/// Returns a block to where it came from.
///
/// # Safety
/// It holds neither future nor output and is not used again.
pub(crate) unsafe fn free_block<P: Platform>(head: NonNull<Head>) {
    // SAFETY: the head is intact until it is freed.
    let Some(owner) = (unsafe { slab::owner(head) }) else {
        // SAFETY: it belongs to the global allocator.
        return unsafe { slab::free_globally(head) };
    };
    let Some(core) = P::fleet().core(owner) else { return };
    // SAFETY: at home it goes straight to its slab, else through the returns of that slab.
    unsafe {
        if core.with(|local| local.slab.free(head)).is_none() {
            core.returns.push(head);
        }
    }
}

/// What a timer call found.
pub(crate) enum Armed {
    Yes(TimerId),
    Full,
}

impl<P: Platform> Core<P> {
    /// Arms a timer on this core, from its task context.
    pub(crate) fn arm(&self, time: u64, waker: Waker) -> Option<Armed> {
        let mut waker = Some(waker);
        self.with(|local| match waker.take().and_then(|waker| local.timers.arm(time, waker)) {
            Some(id) => {
                if P::STATS {
                    self.stats.timers_armed.add(1);
                }
                Armed::Yes(id)
            }
            None => {
                if P::STATS {
                    self.stats.timers_exhausted.add(1);
                }
                Armed::Full
            }
        })
    }
}

impl<P: Platform> Core<P> {
    /// When the next timer or scheduling event is due.
    pub(crate) fn next_due(&self) -> Option<u64> {
        let due = self.with(|local| local.timers.first_time().min(local.sched.next_event()))?;
        (due != u64::MAX).then_some(due)
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
    fn bury_timers(&self) {
        while let Some(timer) = self.pop_dead_timer() {
            drop(self.with(|local| local.timers.cancel(timer)).flatten());
        }
    }

    fn pop_dead_timer(&self) -> Option<TimerId> {
        self.dead_timers.lock().pop()
    }

    /// Whether the timer is still armed; sees to it that it wakes `waker`.
    pub(crate) fn refresh_timer(&self, timer: TimerId, waker: &Waker) -> bool {
        self.with(|local| local.timers.refresh(timer, waker)).is_some_and(|old| old.is_ok())
    }

    /// See [`crate::need_resched`].
    pub(crate) fn need_resched(&self) -> bool {
        if !self.inbox.0.is_empty() {
            return true;
        }
        let now = P::now();
        self.with(|local| {
            let slot = local.current;
            if slot == NONE {
                return false;
            }
            let due = local.timers.first_time().min(local.sched.next_event());
            local.sched.refresh_running(&self.slots, slot);
            if due <= now || local.sched.pick() != Some(slot) {
                return true;
            }
            let started = self.polling.since.get();
            let used = now.saturating_sub(started);
            let server = self.slot(slot).server.get() as usize;
            local.allowed.get(server).is_some_and(|&allowed| used >= allowed)
                || local.sched.budget_left(&self.slots, slot).is_some_and(|left| used >= left)
        })
        .unwrap_or(false)
    }

    /// See [`crate::deadline`].
    pub(crate) fn current_deadline(&self) -> Option<u64> {
        let deadline = self.with(|local| (local.current != NONE).then(|| local.sched.deadline_of(&self.slots, local.current)))??;
        (deadline != u64::MAX).then_some(deadline)
    }

    /// See [`crate::set_deadline`].
    pub(crate) fn set_current_deadline(&self, deadline: u64) -> bool {
        self.with(|local| {
            let slot = local.current;
            if slot == NONE {
                return false;
            }
            match self.slot(slot).server.get() as u32 {
                OPEN => local.sched.set_deadline(&self.slots, slot, deadline),
                FAIR => {
                    let now = local.now;
                    self.slot(slot).relative.set(0);
                    local.sched.rebind(&self.slots, slot, OPEN, deadline, now);
                }
                _ => return false,
            }
            true
        })
        .unwrap_or(false)
    }
}

/// The running task may be interrupted: see [`crate::preemptible`].
#[derive(Debug)]
pub struct Window<P: Platform> {
    core: &'static Core<P>,
    until: Option<u64>,
    /// Bound to the poll it was opened in.
    here: PhantomData<*const ()>,
}

impl<P: Platform> core::fmt::Debug for Core<P> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Core({})", self.id)
    }
}

impl<P: Platform> Window<P> {
    /// When the running task must be interrupted at the latest (ticks): a timer, a replenishment, or the end of its
    /// budget. `None` for never.
    pub fn until(&self) -> Option<u64> {
        self.until
    }
}

impl<P: Platform> Drop for Window<P> {
    fn drop(&mut self) {
        self.core.window.store(0, Ordering::Relaxed);
    }
}

impl<P: Platform> Core<P> {
    /// See [`crate::preemptible`].
    pub(crate) fn open_window(&'static self) -> Option<Window<P>> {
        let now = P::now();
        let (deadline, until) = self.with(|local| {
            let slot = local.current;
            if slot == NONE {
                return None;
            }
            local.sched.refresh_running(&self.slots, slot);
            if local.sched.pick() != Some(slot) {
                return None;
            }
            let mut until = local.timers.first_time().min(local.sched.next_event());
            if let Some(left) = local.sched.budget_left(&self.slots, slot) {
                let used = now.saturating_sub(self.polling.since.get());
                until = until.min(now.saturating_add(left.saturating_sub(used)));
            }
            (until > now).then(|| (local.sched.deadline_of(&self.slots, slot), until))
        })??;
        self.window.store(deadline.max(1), Ordering::SeqCst);
        let window = Window { core: self, until: (until != u64::MAX).then_some(until), here: PhantomData };
        crate::atomics::dekker_fence();
        // A wake that came before the window was open did not kick.
        self.inbox.0.is_empty_now().then_some(window)
    }
}

/// Deadline donation; see [`crate::lend`].
impl<P: Platform> Core<P> {
    /// The running task lends to `to`, a task of this core, or to who gets hold of `key` next.
    pub(crate) fn lend(&self, to: Option<TaskId>, key: usize) -> Option<LoanId> {
        let to = match to {
            Some(to) => {
                let record = self.slots.get(to.slot() as usize)?;
                if record.generation.get() != to.generation() || record.state() == State::Moved {
                    return None;
                }
                to.slot()
            }
            None => NONE,
        };
        let now = P::now();
        self.with(|local| if local.current == NONE { None } else { local.sched.lend(&self.slots, local.current, to, key, now) }).flatten()
    }

    pub(crate) fn take_back(&self, loan: LoanId) {
        self.with(|local| {
            let now = local.now;
            local.sched.take_back(&self.slots, loan, now);
        });
    }

    /// The running task got hold of `key`; returns its id.
    #[inline]
    pub(crate) fn hold(&self, key: usize) -> Option<TaskId> {
        let slot = self.with(|local| {
            if local.current != NONE && local.sched.has_orphans() {
                let now = local.now;
                local.sched.adopt(&self.slots, local.current, key, now);
            }
            local.current
        })?;
        (slot != NONE).then(|| self.id_of(slot))
    }

    /// `holder` lets go of `key`.
    #[inline]
    pub(crate) fn let_go(&self, holder: TaskId, key: usize) {
        let Some(record) = self.slots.get(holder.slot() as usize) else { return };
        if holder.core() == self.id && record.borrows.get() != 0 && record.generation.get() == holder.generation() {
            self.with(|local| {
                let now = local.now;
                local.sched.orphan(&self.slots, holder.slot(), key, now);
            });
        }
    }

    /// A task of another core lends its deadline to `to` for the job in hand.
    pub(crate) fn lend_from_elsewhere(&self, to: TaskId, deadline: u64) {
        let Some(record) = self.slots.get(to.slot() as usize) else { return };
        if to.slot() == CONTROL || record.generation.get() != to.generation() {
            return;
        }
        self.cold[to.slot() as usize].lent.fetch_min(deadline, Ordering::Relaxed);
        self.wake_from_elsewhere(to.slot(), record);
    }

    fn take_foreign_loan(&self, local: &mut Local, slot: u32, deadline: u64) {
        let record = self.slot(slot);
        if record.server.get() as u32 == OPEN && record.has(flag::RELATIVE) && deadline < record.deadline.get() && matches!(record.state(), State::Queued | State::Polling) {
            local.sched.set_deadline(&self.slots, slot, deadline);
        }
    }
}
