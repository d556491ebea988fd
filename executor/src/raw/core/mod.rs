//! One core: its unlocked state, the dispatch loop, and the ways in from elsewhere.
//!
//! [`Local`] is touched only by the task context of the core ([`Core::is_here`]) and never while foreign
//! code runs: each block below that takes it ends before a poll, a drop or a waker call. What others may touch
//! is outside of it: slots' links, the inbox, the pool of slots for remote spawns, returned memory, and
//! words published for reading.

mod abandon;
mod account;
mod birth;
mod build;
mod claims;
mod lending;
mod moving;
mod remote;
mod running;

use alloc::vec::Vec;
use core::{cell::UnsafeCell, marker::PhantomData, mem::ManuallyDrop, ptr::NonNull, task::Context};

pub(crate) use self::birth::free_block;
pub use self::running::Window;
use super::{
    abandon::{Guarded, release_block},
    block::{self, Head},
    joincell::Completion,
    list::Stack,
    locals::Chain,
    prefetch::prefetch,
    sites::SiteRecords,
    slab::{Returns, Slab},
    waker,
};
use crate::{
    admission::Ledger,
    atomics::AtomicU64,
    config::CoreConfig,
    event::{Ended, Event, Moment},
    ident::{CoreId, TaskId},
    inbox::{Inbox, Park},
    platform::Platform,
    pool::Pool,
    published::P64,
    sched::{self, End, FIRST_RESERVED, Scheduler},
    slot::{Slot, State, flag},
    stats::{CoreStats, TaskRecord},
    timers::{TimerId, Timers},
};

/// The slot that stands for the core itself: woken when something was put into its mailbox.
pub(crate) const CONTROL: u32 = 0;

/// What a core publishes about the poll in progress, for an NMI handler or another core.
#[derive(Debug, Default)]
pub(crate) struct Polling {
    pub(crate) task: P64,
    pub(crate) since: P64,
    /// When the last window was closed, in which the task could be interrupted: no poll is long for what it did there.
    pub(crate) held_since: P64,
}

/// How a poll ended for the future.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Pending,
    /// Its output is there.
    Finished,
    /// It is gone, and there is no output.
    Dropped,
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
    free: Stack,
    /// The running task was woken. Never set between polls.
    rewoken: bool,
    /// The clock as last read.
    pub(crate) now: u64,
    /// Wakes of tasks in servers from this number on are stamped by the clock, all others by `now`. 0 (all) while the core
    /// is not being run, as in start-up code: nobody keeps `now` up to date then.
    pub(crate) clock_from: u32,
    /// The longest poll allowed, by server.
    allowed: Vec<u64>,
    last: Last,
    /// What there is to tell about the poll that just ended: it was too long, its job is late.
    notes: [Option<Event>; 2],
}

/// The block of a task that is alive.
///
/// # Safety
/// It is: born here, and neither buried nor moved away.
#[inline(always)]
unsafe fn living_block(record: &Slot) -> NonNull<Head> {
    debug_assert!(!record.block().is_null());
    // SAFETY: a slot has its block from birth until then.
    unsafe { NonNull::new_unchecked(record.block()) }
}

#[repr(align(128))]
struct Apart<T>(T);

/// One core of a fleet.
pub(crate) struct Core<P: Platform> {
    pub(crate) id: CoreId,
    pub(crate) config: CoreConfig,
    pub(crate) slots: Vec<Slot>,
    /// By slot: the earliest deadline lent from other cores for the present job.
    lent: Vec<AtomicU64>,
    /// For slots whose task was moved here, which are among the first: the slot on another core that forwards to it, until
    /// the task dies.
    origins: Vec<P64>,
    pub(crate) records: Vec<TaskRecord>,
    pub(crate) sites: SiteRecords,
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

/// Says that this is the task context of a core. Not to be kept beyond it: it cannot leave the thread.
pub(crate) struct Home<P: Platform> {
    core: &'static Core<P>,
    here: PhantomData<*const ()>,
}

impl<P: Platform> core::fmt::Debug for Home<P> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.core.fmt(f)
    }
}

impl<P: Platform> core::ops::Deref for Home<P> {
    type Target = Core<P>;

    #[inline(always)]
    fn deref(&self) -> &Core<P> {
        self.core
    }
}

impl<P: Platform> Home<P> {
    /// Runs `f` on the core's own state. `f` must not call foreign code.
    #[inline(always)]
    fn local<R>(&self, f: impl FnOnce(&mut Local) -> R) -> R {
        // SAFETY: at home: nobody else can be in here; callers keep foreign code out of `f`.
        f(unsafe { &mut *self.core.local.0.get() })
    }
}

// SAFETY: `local` is touched by the core's own task context only; everything else is atomic or constant.
// Futures in blocks that other threads may reach are `Send`, or stay at home (`flag::PINNED`).
unsafe impl<P: Platform> Sync for Core<P> {}
// SAFETY: as above.
unsafe impl<P: Platform> Send for Core<P> {}

impl<P: Platform> core::fmt::Debug for Core<P> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Core({})", self.id)
    }
}

impl<P: Platform> Core<P> {
    /// Whether this is the core's own task context.
    #[inline(always)]
    pub(crate) fn is_here(&self) -> bool {
        P::here().is_home_of(self.id)
    }

    /// Runs `f` on the core's own state, if this is its task context. `f` must not call foreign code.
    #[inline(always)]
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut Local) -> R) -> Option<R> {
        // SAFETY: `is_here`: nobody else can be in here; callers keep foreign code out of `f`.
        self.is_here()
            .then(|| f(unsafe { &mut *self.local.0.get() }))
    }

    /// The core whose task context this is.
    #[inline(always)]
    pub(crate) fn at_home() -> Option<Home<P>> {
        let core = P::fleet().here()?;
        Some(Home {
            core,
            here: PhantomData,
        })
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
        self.slot(slot).id()
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
        let mut timed = P::STATS;
        if local.timers.first_time() != u64::MAX || local.sched.next_event() != u64::MAX {
            timed |= self.expire_due();
        }
        // SAFETY: as above; `expire_due` is over.
        let slot = match unsafe { (*cell).sched.next_simply() } {
            Some(slot) => slot,
            None => match self.next_otherwise() {
                Some((slot, timely)) => {
                    timed |= timely;
                    slot
                }
                None => return false,
            },
        };
        // SAFETY: as above; nothing is borrowed.
        let start = unsafe { (*cell).now };
        let record = self.slot(slot);
        if P::STATS {
            // Wanted when the poll is over.
            prefetch(self.record(slot));
        }
        // SAFETY: tasks in queues are alive.
        let head = unsafe { living_block(record) };
        record.set_state(State::Polling);
        let id = record.id();
        self.polling.since.set(start);
        self.polling.task.set(id.to_bits());
        if P::recorder() {
            self.tell_beginning(slot, id);
        }
        let outcome = if record.has(flag::CANCEL) {
            // SAFETY: the future lives in its block until it finishes, and only its core touches it.
            unsafe { self.end_cancelled(record, id, head) };
            Outcome::Dropped
        } else {
            // SAFETY: as above.
            unsafe { self.poll(id, head) }
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
        let local = if P::STATS && self.account(local, slot, record, start, used) {
            self.report(slot);
            // SAFETY: as above; the report is over.
            unsafe { &mut *cell }
        } else {
            local
        };
        let rewoken = local.rewoken;
        if outcome == Outcome::Pending && rewoken {
            local.rewoken = false;
            if !local.sched.yield_simply(slot, record, used) {
                self.finish_otherwise(slot, End::Yielded, used);
            }
        } else if outcome == Outcome::Pending {
            let slots = &self.slots;
            if !local
                .sched
                .leave_simply(slots, slot, record, State::Idle, used)
            {
                self.finish_otherwise(slot, End::Blocked, used);
            }
        } else {
            local.rewoken = false;
            let slots = &self.slots;
            if !local
                .sched
                .leave_simply(slots, slot, record, State::Free, used)
            {
                self.finish_otherwise(slot, End::Finished, used);
            }
            self.bury(slot, record, outcome == Outcome::Dropped);
        }
        if P::recorder() {
            Self::tell_end(record, id, outcome, rewoken);
        }
        true
    }

    #[cold]
    fn tell_beginning(&self, slot: u32, task: TaskId) {
        // SAFETY: called by `step`, between polls; no foreign code is called.
        let local = unsafe { &*self.local.0.get() };
        let deadline = local.sched.deadline_of(&self.slots, slot);
        P::moment(Moment::Begins { task, deadline });
    }

    #[cold]
    fn tell_end(record: &Slot, task: TaskId, outcome: Outcome, rewoken: bool) {
        let how = match outcome {
            Outcome::Pending if rewoken => Ended::Ready,
            Outcome::Pending => Ended::Waits,
            _ => Ended::Over,
        };
        P::moment(Moment::Ends {
            task,
            how,
            throttled: record.has(flag::THROTTLED),
        });
    }

    /// Whose turn it is where that is not simple, and whether the poll must be timed even without statistics.
    #[inline(never)]
    fn next_otherwise(&self) -> Option<(u32, bool)> {
        // SAFETY: called by `step`, between polls; no foreign code is called.
        let local = unsafe { &mut *self.local.0.get() };
        let (slot, timed) = local.sched.next(&self.slots)?;
        if !P::STATS && timed {
            local.now = P::now();
        }
        Some((slot, timed))
    }

    /// A poll is over, and what follows for the scheduler is not simple.
    #[inline(never)]
    fn finish_otherwise(&self, slot: u32, end: End, used: u64) {
        // SAFETY: as for `next_otherwise`.
        let local = unsafe { &mut *self.local.0.get() };
        let now = local.now;
        local.sched.finish(&self.slots, slot, end, used, now);
    }

    /// Polls a future under the platform's guard.
    ///
    /// # Safety
    /// As for a poll by `step`: the block holds a live future of the task that is marked as running.
    #[inline(always)]
    unsafe fn poll(&self, id: TaskId, head: NonNull<Head>) -> Outcome {
        let mut finished = false;
        let guarded = P::guard(id, || {
            let waker = ManuallyDrop::new(waker::of_task::<P>(id));
            // SAFETY: the caller's promise.
            finished = unsafe { block::poll_block(head, &mut Context::from_waker(&waker)) };
        });
        match guarded {
            Guarded::Abandoned(_) => {
                self.lose(id, head);
                Outcome::Dropped
            }
            Guarded::Returned if finished => Outcome::Finished,
            Guarded::Returned => Outcome::Pending,
        }
    }

    /// A task is over. Most are nobody's but their own: the rest is [`settle`](Self::settle)d beside.
    #[inline(always)]
    fn bury(&self, slot: u32, record: &Slot, cancelled: bool) {
        let id = record.id();
        // SAFETY: the task was alive up to here.
        let head = unsafe { living_block(record) };
        let flags = record.flags.get();
        if record.loans() != 0
            || flags & flag::POOLED != 0
            || record.server.get() as u32 >= FIRST_RESERVED
        {
            self.settle(slot, record);
        }
        // SAFETY: called by `step` after the poll; the borrow ends before the output is delivered.
        let local = unsafe { &mut *self.local.0.get() };
        self.release_slot(local, slot, record);
        // SAFETY: the block lives until it is freed, or until the handle frees it after `complete`.
        let (join, drops) = unsafe { (&head.as_ref().join, head.as_ref().vtable.drops_output()) };
        if join.is_alone() && (cancelled || !drops) {
            // SAFETY: the handle is gone and nothing is left in the block.
            return unsafe { self.free_block_here(local, head) };
        }
        self.deliver_output(id, head, cancelled);
    }

    /// A task that is over gives back what it had of others: loans, a reservation, the slot that forwarded to it.
    #[cold]
    fn settle(&self, slot: u32, record: &Slot) {
        if record.loans() != 0 {
            self.with(|local| {
                let now = local.now;
                local.sched.settle_loans(&self.slots, slot, now);
            });
        }
        // Only tasks in slots for others were moved here.
        let origin = self.origin(slot);
        if origin != 0 {
            self.end_forwarding(slot, origin);
        }
        let server = record.server.get() as u32;
        if server >= FIRST_RESERVED {
            self.release_claim(server);
        }
    }

    /// Some timer or event of the scheduler is set: looks whether one is due. Whether events are still to come.
    #[inline]
    fn expire_due(&self) -> bool {
        // SAFETY: at home; the borrow ends before `expire`.
        let local = unsafe { &mut *self.local.0.get() };
        if !P::STATS {
            local.now = P::now();
        }
        if local.timers.first_time().min(local.sched.next_event()) <= local.now {
            self.expire();
        }
        // SAFETY: as above; `expire` is over.
        let local = unsafe { &mut *self.local.0.get() };
        let timed = local.sched.next_event() != u64::MAX;
        if !P::STATS && timed {
            local.now = P::now();
        }
        timed
    }

    /// Wakes whoever's timer is due, and lets the scheduler replenish.
    #[inline(never)]
    fn expire(&self) {
        let cell = self.local.0.get();
        loop {
            // SAFETY: at home; the borrow ends before the waker, which may be anybody's, is called.
            let local = unsafe { &mut *cell };
            if local.timers.first_time() > local.now {
                break;
            }
            let Some(waker) = local.timers.expire() else {
                break;
            };
            if let Some(next) = local.timers.first_waker() {
                self.expect(next);
            }
            if P::STATS {
                self.stats.timers_fired.add(1);
            }
            match waker::task_of::<P>(&waker) {
                // The waker of a task is its id: nothing is there to be dropped.
                Some(task) if task.core() == self.id => self.wake_other(task),
                _ => waker.wake(),
            }
        }
        // SAFETY: as above.
        let local = unsafe { &mut *cell };
        if local.sched.next_event() <= local.now {
            self.advance(local);
        }
    }

    /// A waker's task will run after the present one: what it needs may come meanwhile.
    #[inline(always)]
    fn expect(&self, waker: &core::task::Waker) {
        if let Some(task) = waker::task_of::<P>(waker)
            && let Some(record) = self.slots.get(task.slot() as usize)
        {
            // Its future begins on this line and most often goes on on the next two.
            let block = record.block().cast::<u8>();
            prefetch(block);
            prefetch(block.wrapping_add(64));
            prefetch(block.wrapping_add(128));
            if P::STATS {
                prefetch(self.records.as_ptr().wrapping_add(task.slot() as usize));
            }
        }
    }

    #[cold]
    fn advance(&self, local: &mut Local) {
        let now = local.now;
        while let Some(due) = local.sched.advance(now) {
            match due {
                sched::Due::Released(server) => self.vacate(local, server),
            }
        }
    }

    pub(crate) fn is_halted(&self) -> bool {
        self.park.is_halted()
    }

    /// Ends a slot's occupancy: wakers and ids of this generation are stale from here on.
    #[inline(always)]
    fn release_slot(&self, local: &mut Local, slot: u32, record: &Slot) {
        let state = record.state();
        record.set_state(State::Free);
        record.set_block(core::ptr::null_mut());
        record.flags.set(record.flags.get() & flag::POOLED);
        let old = record.id();
        record.id.release(old.successor().to_bits());
        if state != State::Moved {
            // A slot that forwarded gave its task up when it moved.
            self.stats.tasks.set(self.stats.tasks.get() - 1);
        }
        if old.is_last() {
            // Used up: the slot is retired, so that no id ever comes back.
            return;
        }
        if record.has(flag::POOLED) {
            self.pool.0.push(&self.slots, slot);
        } else {
            local.free.push(slot, record);
        }
    }

    /// Hands a finished task's output to its handle, or drops it.
    #[inline(never)]
    fn deliver_output(&self, id: TaskId, head: NonNull<Head>, cancelled: bool) {
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
                unsafe { release_block::<P>(id, head) };
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
        P::idle(self.id, (due != u64::MAX).then_some(due), || {
            self.park.announce(&self.inbox.0)
        });
        self.park.resume();
        let now = P::now();
        // SAFETY: at home.
        unsafe { (*cell).now = now };
        if P::STATS {
            self.stats.idle_ticks.add(now.saturating_sub(before));
            self.stats.halts.add(1);
        }
    }

    /// The core is about to be run: from here on its steps keep the time.
    pub(crate) fn enter(&self) {
        let now = P::now();
        self.with(|local| {
            local.now = now;
            local.clock_from = FIRST_RESERVED;
        });
    }

    /// The core is not run any more.
    pub(crate) fn leave(&self) {
        self.with(|local| local.clock_from = 0);
    }

    /// The time, for what happens seldom: the clock as last read only where that was in this poll.
    pub(super) fn time(&self, local: &Local) -> u64 {
        if P::STATS && local.clock_from != 0 {
            local.now
        } else {
            P::now()
        }
    }

    /// The slot of the task that is being polled on this core, seen from itself.
    #[inline(always)]
    pub(super) fn current_slot(&self) -> Option<u32> {
        let task = self.polling.task.get();
        (task != 0).then(|| TaskId::from_bits(task).slot())
    }

    /// Whether a poll is in progress on this core, seen from itself.
    pub(crate) fn is_polling(&self) -> bool {
        self.is_here() && self.current_slot().is_some()
    }
}
