//! Which task runs next on one core: pure logic under any clock, without `unsafe` and without
//! allocation after start.
//!
//! Two levels. The upper queue holds *servers* by CBS deadline: the reservations that are ready, and
//! two that every core has: [`OPEN`], in which tasks with a deadline but no reservation run in EDF
//! order among themselves, and [`FAIR`], in which best effort shares by weight. The lower level is each
//! server's own queue. `OPEN` holds all bandwidth that nobody reserved, softly: it is postponed when it
//! used its part, and so can never make an admitted reservation late, whatever deadlines its tasks ask
//! for. `FAIR` is throttled when its small part is used up, but runs whenever nothing else is ready.
//!
//! The running task keeps its place in its queue while it is polled (*lazy pop*): a task that yields
//! costs one step in place, not a removal and an insertion.

pub mod cbs;
pub mod fair;
mod finish;
mod lingering;
pub(crate) mod loans;
mod postpone;
mod rebind;

pub use crate::raw::heap;
pub(crate) use crate::raw::list;

use alloc::{collections::TryReserveError, vec::Vec};

use self::{
    cbs::{Account, Params, Wake},
    fair::Fair,
    heap::Heap,
    list::List,
};
use crate::slot::{Slot, State, flag};

/// The server of tasks with a deadline and no reservation.
pub const OPEN: u32 = 0;
/// The server of best effort.
pub const FAIR: u32 = 1;
/// Numbers from here on are admitted reservations.
pub const FIRST_RESERVED: u32 = 2;

/// In `alone`: there are several servers, or a reservation.
const NOBODY: u32 = u32::MAX;

/// How a poll ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Pending, nobody woke it.
    Blocked,
    /// Pending, and woken meanwhile.
    Yielded,
    /// Ready, or dropped.
    Finished,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// No reservation here.
    Vacant,
    /// Not ready, bandwidth free for reclaiming.
    Inactive,
    /// Not ready, but its bandwidth is in use until its 0-lag time.
    Lingering,
    /// In the upper queue.
    Ready,
    /// Ready, but out of budget until its replenishment (an event).
    Throttled,
}

#[derive(Debug)]
struct Server {
    params: Params,
    account: Account,
    /// Q ÷ D: as admission counts it, and what reclaiming must leave to it.
    density: u64,
    /// Ready members of a reservation, oldest first.
    members: List,
    phase: Phase,
    hard: bool,
    reclaims: bool,
    /// Given up: becomes vacant at its 0-lag time.
    leaving: bool,
    /// Borrowers that act in this server.
    guests: u32,
    /// Its only task has nothing due before; 0: nobody said so.
    postponed_until: u64,
}

/// What a reservation asks of the scheduler.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub(crate) params: Params,
    pub(crate) hard: bool,
    pub(crate) reclaims: bool,
}

/// Something the owner must act upon after [`Scheduler::advance`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// A reservation that was given up has reached its 0-lag time: its bandwidth may be given out.
    Released(u32),
}

/// One core's scheduler.
#[derive(Debug)]
pub(crate) struct Scheduler {
    upper: Heap,
    servers: Vec<Server>,
    open: Heap,
    fair: Fair,
    /// Replenishments, and the 0-lag times of reservations that were given up, by server.
    events: Heap,
    /// The other 0-lag times: nobody has to act on one, but who reclaims wants to know how much is in use. Empty while nobody does.
    lags: Heap,
    /// How many reservations reclaim.
    reclaiming: u32,
    active: u64,
    limit: u64,
    /// Since when [`OPEN`] or [`FAIR`] has been alone in the upper queue; `None` if it became ready when it was alone already.
    alone_since: Option<u64>,
    /// Up to here the time of whoever was alone is accounted for.
    accounted: u64,
    /// Who has the core to itself: [`OPEN`], or [`FAIR`] with tasks of the usual weight only, or else [`NOBODY`].
    alone: u32,
    /// How many ready tasks of best effort have another weight.
    weighted: u32,
    /// Ready tasks in reservations.
    reserved_ready: usize,
    loans: Vec<loans::Loan>,
    orphans: usize,
}

impl Scheduler {
    pub(crate) fn new(
        slots: usize,
        servers: usize,
        band_ticks: u64,
        limit: u64,
    ) -> Result<Scheduler, TryReserveError> {
        let servers = servers + FIRST_RESERVED as usize;
        let mut table = Vec::new();
        table.try_reserve_exact(servers)?;
        for _ in 0..servers {
            table.push(Server {
                params: Params {
                    budget: 1,
                    period: 1,
                    deadline: 1,
                },
                account: Account::new(),
                density: 0,
                members: List::new(),
                phase: Phase::Vacant,
                hard: false,
                reclaims: false,
                leaving: false,
                guests: 0,
                postponed_until: 0,
            });
        }
        Ok(Scheduler {
            upper: Heap::with_capacity(servers)?,
            servers: table,
            open: Heap::with_capacity(slots)?,
            fair: Fair::new(band_ticks),
            events: Heap::with_capacity(servers)?,
            lags: Heap::with_capacity(servers)?,
            reclaiming: 0,
            active: 0,
            limit,
            alone_since: None,
            accounted: 0,
            alone: FAIR,
            weighted: 0,
            reserved_ready: 0,
            loans: Vec::new(),
            orphans: 0,
        })
    }

    /// Installs or changes server `server`.
    pub(crate) fn install(&mut self, server: u32, terms: Terms, now: u64) {
        self.end_lingering_if_due(server, now);
        self.count_reclaiming(server, terms.reclaims);
        let entry = &mut self.servers[server as usize];
        entry.end_postponement(now);
        let (old, was) = (entry.params, entry.density);
        entry.params = terms.params;
        entry.density = cbs::bandwidth(terms.params.budget, terms.params.deadline);
        entry.hard = terms.hard;
        entry.leaving = false;
        let reserved = server >= FIRST_RESERVED;
        if self.upper.len() == 1
            && self.upper.first() == Some(server)
            && let Some(since) = self.alone_since
            && !reserved
        {
            entry.account.pay_alone(since, now);
            self.alone_since = Some(now);
        }
        if entry.phase == Phase::Vacant || reserved && entry.phase == Phase::Inactive {
            // Whatever it used was paid for by its 0-lag time.
            entry.account = Account::new();
            entry.phase = Phase::Inactive;
            return;
        }
        entry.account.change(&old, &entry.params, now);
        if entry.phase == Phase::Inactive {
            return;
        }
        if reserved {
            self.active = self.active - was + entry.density;
        }
        if entry.phase == Phase::Lingering {
            self.linger(server);
            return;
        }
        let exhausted = entry.account.is_exhausted();
        self.events.remove(server);
        if exhausted {
            self.exhausted(server, now);
        } else {
            self.queue(server);
        }
    }

    /// Gives server `server` up. Its bandwidth is free at once if it is inactive (returns `true`), else
    /// at its 0-lag time ([`Due::Released`]). Its members must have left.
    pub(crate) fn retire(&mut self, server: u32, now: u64) -> bool {
        self.end_lingering_if_due(server, now);
        self.count_reclaiming(server, false);
        let entry = &mut self.servers[server as usize];
        if entry.phase == Phase::Inactive {
            entry.phase = Phase::Vacant;
            return true;
        }
        entry.leaving = true;
        if entry.phase == Phase::Lingering {
            self.linger(server);
        }
        false
    }

    /// How many tasks are ready, the running one included.
    #[inline(always)]
    pub(crate) fn ready(&self) -> usize {
        self.open.len() + self.fair.len() + self.reserved_ready
    }

    /// When [`Scheduler::advance`] is next due; `u64::MAX` for never.
    #[inline(always)]
    pub(crate) fn next_event(&self) -> u64 {
        self.events.first_time()
    }

    /// Whether the end of the running task's poll must be timed even without statistics.
    #[inline(always)]
    pub(crate) fn needs_clock(&self) -> bool {
        self.upper.len() > 1
            || !self.events.is_empty()
            || self.weighted != 0
            || self
                .upper
                .first()
                .is_some_and(|server| server >= FIRST_RESERVED)
    }

    /// The virtual time at which a new best-effort task starts.
    pub(crate) fn virtual_now(&self) -> u64 {
        self.fair.virtual_now()
    }

    /// The scheduling deadline of `slot`'s server; for tasks of [`OPEN`] their own; none for best effort.
    #[inline]
    pub(crate) fn deadline_of(&self, slots: &[Slot], slot: u32) -> u64 {
        let record = &slots[slot as usize];
        match record.server.get() as u32 {
            OPEN => record.deadline.get(),
            FAIR => u64::MAX,
            server => self.servers[server as usize].urgency(),
        }
    }

    /// What is left of the budget under which `slot` runs, if that is limited now.
    #[inline]
    pub(crate) fn budget_left(&self, slots: &[Slot], slot: u32) -> Option<u64> {
        let server = slots[slot as usize].server.get() as u32;
        (server >= FIRST_RESERVED || self.upper.len() > 1)
            .then(|| self.servers[server as usize].account.left.max(0) as u64)
    }

    /// Whose turn it is, if best effort of the usual weight has the core to itself and that is clear.
    #[inline(always)]
    pub(crate) fn best_effort_alone(&self) -> Option<u32> {
        if self.alone == FAIR {
            self.fair.front()
        } else {
            None
        }
    }

    /// As [`slice`](Self::slice), for best effort.
    #[inline(always)]
    pub(crate) fn slice_of_best_effort(&self) -> Option<u64> {
        (self.fair.len() > 1).then(|| self.fair.band())
    }

    /// How long `slot` may run at a stretch, as best effort among others that are ready: a band of virtual time.
    pub(crate) fn slice(&self, slots: &[Slot], slot: u32) -> Option<u64> {
        let server = slots[slot as usize].server.get() as u32;
        (server == FAIR && self.fair.len() > 1).then(|| self.fair.band())
    }

    /// Queues an idle slot at `now`.
    #[inline(always)]
    pub(crate) fn wake(&mut self, slots: &[Slot], slot: u32, record: &Slot, now: u64) {
        if !self.wake_simply(slots, slot, record) {
            self.wake_contended(slots, slot, now);
        }
    }

    /// As [`wake`](Self::wake), in the common cases: best effort that has the core to itself, and a deadline that joins others. No
    /// budget depends on the time then. `false` in all others; nothing happens then.
    #[inline(always)]
    pub(crate) fn wake_simply(&mut self, slots: &[Slot], slot: u32, record: &Slot) -> bool {
        if record.has(flag::RELATIVE | flag::LENT | flag::MISSED | flag::THROTTLED) {
            return false;
        }
        let server = record.server.get() as u32;
        if server == FAIR && self.alone == FAIR && !fair::is_weighted(record) {
            record.set_state(State::Queued);
            self.fair.push(slots, slot, record);
            return true;
        }
        if server == OPEN && !self.open.is_empty() {
            record.set_state(State::Queued);
            self.open.set(slot, record.deadline.get());
            return true;
        }
        false
    }

    #[inline(never)]
    pub(crate) fn wake_contended(&mut self, slots: &[Slot], slot: u32, now: u64) {
        let record = &slots[slot as usize];
        let own = record
            .has(flag::RELATIVE)
            .then(|| now.saturating_add(record.relative.get()));
        if record.has(flag::LENT) {
            self.wake_borrower(slots, slot, own, now);
        } else if let Some(own) = own {
            record.deadline.set(own);
        }
        record.set_state(State::Queued);
        record.lower(flag::MISSED | flag::THROTTLED);
        self.enqueue(slots, slot, now);
    }

    #[inline]
    fn enqueue(&mut self, slots: &[Slot], slot: u32, now: u64) {
        let record = &slots[slot as usize];
        match record.server.get() as u32 {
            OPEN => {
                self.open.set(slot, record.deadline.get());
                if self.open.len() == 1 {
                    self.activate(OPEN, now);
                }
            }
            FAIR => {
                self.fair.push(slots, slot, record);
                if fair::is_weighted(record) {
                    self.weighted += 1;
                    self.note_alone();
                }
                if self.fair.len() == 1 && !self.upper.is_empty() {
                    self.activate(FAIR, now);
                }
            }
            server => {
                let entry = &mut self.servers[server as usize];
                self.reserved_ready += 1;
                if entry.members.push(slots, slot, record) {
                    self.activate(server, now);
                }
                if self.servers[server as usize].phase == Phase::Throttled {
                    record.raise(flag::THROTTLED);
                }
            }
        }
    }

    #[inline]
    fn dequeue(&mut self, slots: &[Slot], slot: u32, now: u64) {
        match slots[slot as usize].server.get() as u32 {
            OPEN => {
                self.open.remove(slot);
                if self.open.is_empty() {
                    self.deactivate(OPEN, now);
                }
            }
            FAIR => {
                let record = &slots[slot as usize];
                self.fair.remove(slots, slot, record);
                if fair::is_weighted(record) {
                    self.weighted -= 1;
                    self.note_alone();
                }
                if self.fair.is_empty() {
                    self.deactivate(FAIR, now);
                }
            }
            server => {
                let entry = &mut self.servers[server as usize];
                self.reserved_ready -= 1;
                if entry.members.remove(slots, slot, &slots[slot as usize]) {
                    self.deactivate(server, now);
                }
            }
        }
    }

    /// A server got its first ready task.
    fn activate(&mut self, server: u32, now: u64) {
        let entry = &mut self.servers[server as usize];
        match entry.phase {
            Phase::Ready | Phase::Throttled | Phase::Vacant => return,
            Phase::Inactive if server >= FIRST_RESERVED => self.active += entry.density,
            Phase::Inactive => {
                if self.upper.is_empty() && self.fair.is_empty() {
                    // Nobody to compare with: the account is brought up to date when somebody comes.
                    self.queue(server);
                    self.alone_since = None;
                    return;
                }
            }
            Phase::Lingering => {
                if entry.leaving {
                    self.events.remove(server);
                } else if self.reclaiming > 0 {
                    self.lags.remove(server);
                }
            }
        }
        self.admit(server, now);
    }

    /// Applies the wake rule to a server with ready tasks and queues or throttles it.
    fn admit(&mut self, server: u32, now: u64) {
        self.end_solitude(now);
        let entry = &mut self.servers[server as usize];
        // It may be for something urgent.
        entry.end_postponement(now);
        match entry.account.wake(&entry.params, now) {
            Wake::Run => self.queue(server),
            Wake::Wait(_) => {
                entry.account.left = entry.account.left.min(0);
                self.exhausted(server, now);
            }
        }
    }

    fn queue(&mut self, server: u32) {
        let entry = &mut self.servers[server as usize];
        entry.phase = Phase::Ready;
        let urgency = entry.urgency();
        self.upper.set(server, urgency);
        self.note_alone();
    }

    /// The upper queue gained or lost a server, or weights began or ceased to matter.
    fn note_alone(&mut self) {
        self.alone = match (self.upper.len(), self.upper.first()) {
            (0, _) | (1, Some(FAIR)) if self.weighted == 0 => FAIR,
            (1, Some(OPEN)) => OPEN,
            _ => NOBODY,
        };
    }

    /// `server` is not in the upper queue any more.
    fn left_upper(&mut self, server: u32, now: u64) {
        self.upper.remove(server);
        self.note_alone();
        self.alone_since = (self.upper.len() == 1).then_some(now);
    }

    /// `OPEN` and `FAIR` are not charged while they have the core to themselves, and best effort alone is not even in the
    /// upper queue. Before another server joins, their account is brought up to date: it pays for the time it was alone as far as
    /// its budget goes, and what is left keeps its deadline, so that no joining and leaving of others can put it off.
    /// Beyond that the time was nobody else's; it goes on as if it had just become ready. Nothing else was pending then, so this
    /// adds to no interval that ends with another's deadline.
    fn end_solitude(&mut self, now: u64) {
        let server = match (self.upper.len(), self.upper.first()) {
            (0, _)
                if !self.fair.is_empty()
                    && self.servers[FAIR as usize].phase == Phase::Inactive =>
            {
                FAIR
            }
            (1, Some(server @ (OPEN | FAIR))) => server,
            _ => return,
        };
        let alone = self.alone_since.take();
        self.accounted = now;
        let entry = &mut self.servers[server as usize];
        let goes_on = alone.is_some_and(|since| entry.account.pay_alone(since, now));
        if !goes_on && entry.account.wake(&entry.params, now) != Wake::Run {
            entry.account.left = entry.account.left.min(0);
            entry.account.postpone(&entry.params);
        }
        if entry.phase == Phase::Inactive {
            self.queue(server);
        } else {
            let deadline = entry.account.deadline;
            self.upper.advance(server, deadline);
        }
    }

    /// A ready server has no budget left.
    fn exhausted(&mut self, server: u32, now: u64) {
        let entry = &mut self.servers[server as usize];
        entry.end_postponement(now);
        if !entry.hard || entry.guests > 0 {
            entry.account.postpone(&entry.params);
            self.queue(server);
            return;
        }
        let resume = entry.account.throttle(&entry.params);
        if resume <= now {
            self.queue(server);
            return;
        }
        entry.phase = Phase::Throttled;
        self.left_upper(server, now);
        self.events.set(server, resume);
    }

    /// A server's last ready task left.
    fn deactivate(&mut self, server: u32, now: u64) {
        let entry = &mut self.servers[server as usize];
        if entry.phase == Phase::Ready {
            self.left_upper(server, now);
        }
        let entry = &mut self.servers[server as usize];
        if server < FIRST_RESERVED {
            if entry.phase == Phase::Ready {
                entry.phase = Phase::Inactive;
            }
            return;
        }
        if entry.phase == Phase::Throttled {
            entry.account.put_off(&entry.params);
            self.events.remove(server);
        }
        entry.phase = Phase::Lingering;
        if self.reclaiming > 0 || entry.leaving {
            self.linger(server);
        }
    }

    /// Handles what is due at `now`: replenishments, and the end of reservations that were given up. Call until it returns `None`.
    pub(crate) fn advance(&mut self, now: u64) -> Option<Due> {
        while self.events.first_time() <= now {
            let server = self.events.pop()?;
            let due = match self.servers[server as usize].phase {
                Phase::Throttled => {
                    self.replenish(server, now);
                    None
                }
                Phase::Lingering => self.end_lingering(server),
                _ => None,
            };
            if due.is_some() {
                return due;
            }
        }
        None
    }

    fn replenish(&mut self, server: u32, now: u64) {
        if server == FAIR && self.fair.is_empty() {
            self.servers[server as usize].phase = Phase::Inactive;
            return;
        }
        self.end_solitude(now);
        self.queue(server);
    }

    /// Whose turn it is, in the common cases: one class alone, none of whose polls must be timed for budgets or weights.
    #[inline(always)]
    pub(crate) fn next_simply(&self) -> Option<u32> {
        match self.alone {
            FAIR => self.fair.front(),
            OPEN => self.open.first(),
            _ => None,
        }
    }

    /// Whose turn it is, and whether the poll must be timed even without statistics.
    pub(crate) fn next(&mut self, slots: &[Slot]) -> Option<(u32, bool)> {
        let slot = self.pick(slots)?;
        Some((slot, self.needs_clock()))
    }

    /// Whose turn it is: the earliest deadline's.
    #[inline]
    pub(crate) fn pick(&mut self, slots: &[Slot]) -> Option<u32> {
        match self.upper.first() {
            Some(OPEN) => self.open.first(),
            // With nothing else ready best effort runs on slack, throttled or not.
            Some(FAIR) | None => self.fair.first(slots),
            Some(server) => self.first_member(server),
        }
    }

    #[inline(never)]
    fn first_member(&self, server: u32) -> Option<u32> {
        self.servers[server as usize].members.first()
    }
}
