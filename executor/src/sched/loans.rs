//! Deadline donation: a task that waits for another lends it its deadline, and with it the budget under which
//! it would run.
//!
//! Bandwidth inheritance (G. Lamastra, G. Lipari, L. Abeni, "A Bandwidth Inheritance Algorithm for Real-Time Task
//! Synchronization in Open Systems", RTSS 2001): while the loan lasts the borrower runs in the lender's server, if that
//! is due earlier than its own. Loans are transitive, because a borrower's own loans pass on the deadline it acts under;
//! and they end with the wait, the lender's death, or the borrower's. A server with a guest is postponed when its budget is
//! used up, never throttled: the guest holds something that others need.

use super::{FAIR, FIRST_RESERVED, OPEN, Scheduler};
use crate::slot::{NONE, Slot, State, flag};

/// A loan in progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LoanId {
    index: u16,
    generation: u32,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Loan {
    from: u32,
    /// [`NONE`]: nobody holds what the lender waits for at the moment.
    to: u32,
    /// What the lender waits for.
    key: usize,
    next_in: u16,
    next_out: u16,
    generation: u32,
    live: bool,
    /// In the first loan to a borrower: its own server and deadline.
    home: (u16, u64),
}

/// Chains longer than this are not followed. They are cycles, that is deadlocks, or might as well be.
const DEPTH: usize = 32;
const END: u16 = 0;

impl Scheduler {
    fn loan(&self, index: u16) -> &Loan {
        &self.loans[index as usize - 1]
    }

    fn loan_mut(&mut self, index: u16) -> &mut Loan {
        &mut self.loans[index as usize - 1]
    }

    /// `from`, which is about to wait for `key`, lends to `to`, which holds it ([`NONE`]: to who takes it next). `None` if memory is short, or if `to`
    /// waits for `from` itself.
    pub(crate) fn lend(
        &mut self,
        slots: &[Slot],
        from: u32,
        to: u32,
        key: usize,
        now: u64,
    ) -> Option<LoanId> {
        if from == to || to != NONE && self.reaches(slots, to, from, 0) {
            return None;
        }
        let index = match self.loans.iter().position(|loan| !loan.live) {
            Some(free) => free,
            None if self.loans.len() < u16::MAX as usize - 1 => {
                self.loans.try_reserve(1).ok()?;
                self.loans.push(Loan {
                    from,
                    to,
                    key,
                    next_in: END,
                    next_out: END,
                    generation: 0,
                    live: false,
                    home: (0, 0),
                });
                self.loans.len() - 1
            }
            None => return None,
        };
        let index = index as u16 + 1;
        let next_out = slots[from as usize].lends.get();
        let loan = self.loan_mut(index);
        *loan = Loan {
            from,
            to: NONE,
            key,
            next_in: END,
            next_out,
            generation: loan.generation,
            live: true,
            home: (0, 0),
        };
        let generation = loan.generation;
        slots[from as usize].lends.set(index);
        if to == NONE {
            self.orphans += 1;
        } else {
            self.attach(slots, index, to, now);
        }
        Some(LoanId { index, generation })
    }

    /// Whether `start` lends, directly or not, to `goal`.
    fn reaches(&self, slots: &[Slot], start: u32, goal: u32, depth: usize) -> bool {
        let mut index = slots[start as usize].lends.get();
        while index != END {
            let loan = self.loan(index);
            if loan.to != NONE
                && (loan.to == goal
                    || depth >= DEPTH
                    || self.reaches(slots, loan.to, goal, depth + 1))
            {
                return true;
            }
            index = loan.next_out;
        }
        false
    }

    fn attach(&mut self, slots: &[Slot], index: u16, to: u32, now: u64) {
        let record = &slots[to as usize];
        let first = record.borrows.get();
        let home = if first == END {
            (record.server.get(), record.deadline.get())
        } else {
            self.loan(first).home
        };
        let loan = self.loan_mut(index);
        loan.to = to;
        loan.next_in = first;
        loan.home = home;
        record.borrows.set(index);
        record.raise(flag::LENT);
        self.refresh(slots, to, now, 0);
    }

    /// Takes a loan off its borrower, who goes back to what is left to it.
    fn detach(&mut self, slots: &[Slot], index: u16, now: u64) {
        let loan = *self.loan(index);
        if loan.to == NONE {
            return;
        }
        let record = &slots[loan.to as usize];
        let first = record.borrows.get();
        let home = self.loan(first).home;
        if first == index {
            record.borrows.set(loan.next_in);
        } else {
            let mut before = first;
            while self.loan(before).next_in != index {
                before = self.loan(before).next_in;
            }
            self.loan_mut(before).next_in = loan.next_in;
        }
        self.loan_mut(index).to = NONE;
        let first = record.borrows.get();
        if first != END {
            self.loan_mut(first).home = home;
            self.refresh(slots, loan.to, now, 0);
        } else {
            record.lower(flag::LENT);
            self.act(slots, loan.to, home.0 as u32, home.1, now);
            self.pass_on(slots, loan.to, now, 0);
        }
    }

    /// Ends a loan: the wait is over.
    pub(crate) fn take_back(&mut self, slots: &[Slot], id: LoanId, now: u64) {
        let Some(loan) = self.loans.get(id.index as usize - 1) else {
            return;
        };
        if !loan.live || loan.generation != id.generation {
            return;
        }
        if loan.to == NONE {
            self.orphans -= 1;
        }
        if !crate::atomics::mutated("loan_not_returned") {
            self.detach(slots, id.index, now);
        }
        let loan = *self.loan(id.index);
        let record = &slots[loan.from as usize];
        if record.lends.get() == id.index {
            record.lends.set(loan.next_out);
        } else {
            let mut before = record.lends.get();
            while before != END && self.loan(before).next_out != id.index {
                before = self.loan(before).next_out;
            }
            if before != END {
                self.loan_mut(before).next_out = loan.next_out;
            }
        }
        let loan = self.loan_mut(id.index);
        loan.live = false;
        loan.generation = loan.generation.wrapping_add(1);
    }

    /// `slot` gives up `key`: what was lent to it for that waits for the next holder.
    pub(crate) fn orphan(&mut self, slots: &[Slot], slot: u32, key: usize, now: u64) {
        let mut index = slots[slot as usize].borrows.get();
        while index != END {
            let loan = *self.loan(index);
            if loan.key == key {
                self.detach(slots, index, now);
                self.orphans += 1;
            }
            index = loan.next_in;
        }
    }

    /// `slot` now holds `key`: those who wait for it lend to `slot`.
    pub(crate) fn adopt(&mut self, slots: &[Slot], slot: u32, key: usize, now: u64) {
        for index in 1..=self.loans.len() as u16 {
            let loan = *self.loan(index);
            if loan.live && loan.to == NONE && loan.key == key && loan.from != slot {
                self.orphans -= 1;
                self.attach(slots, index, slot, now);
            }
        }
    }

    /// Whether somebody waits for a thing that nobody holds at the moment.
    #[inline(always)]
    pub(crate) fn has_orphans(&self) -> bool {
        self.orphans != 0
    }

    /// The task is gone: what it lent comes back, what was lent to it is free.
    pub(crate) fn settle_loans(&mut self, slots: &[Slot], slot: u32, now: u64) {
        let record = &slots[slot as usize];
        while record.borrows.get() != END {
            self.detach(slots, record.borrows.get(), now);
            self.orphans += 1;
        }
        while record.lends.get() != END {
            let index = record.lends.get();
            let generation = self.loan(index).generation;
            self.take_back(slots, LoanId { index, generation }, now);
        }
    }

    /// Sets the borrower's own deadline for its present job.
    pub(crate) fn set_own_deadline(&mut self, slots: &[Slot], slot: u32, deadline: u64) {
        let first = slots[slot as usize].borrows.get();
        if first != END {
            self.loan_mut(first).home.1 = deadline;
        }
    }

    /// Where a borrower should act: the earliest of its own server and its lenders'.
    pub(crate) fn best(&self, slots: &[Slot], slot: u32) -> (u32, u64) {
        let first = slots[slot as usize].borrows.get();
        let (server, own) = self.loan(first).home;
        let mut best = (server as u32, own);
        let mut earliest = match server as u32 {
            OPEN => own,
            FAIR => u64::MAX,
            server => self.servers[server as usize].urgency(),
        };
        let mut index = first;
        while index != END {
            let loan = self.loan(index);
            let lender = &slots[loan.from as usize];
            let (server, deadline) = (
                lender.server.get() as u32,
                self.deadline_of(slots, loan.from),
            );
            if server != FAIR && deadline < earliest {
                earliest = deadline;
                best = (
                    server,
                    if server == OPEN {
                        deadline
                    } else {
                        lender.deadline.get()
                    },
                );
            }
            index = loan.next_in;
        }
        best
    }

    fn refresh(&mut self, slots: &[Slot], slot: u32, now: u64, depth: usize) {
        let (server, deadline) = self.best(slots, slot);
        let record = &slots[slot as usize];
        if (record.server.get() as u32, record.deadline.get()) != (server, deadline) {
            self.act(slots, slot, server, deadline, now);
            self.pass_on(slots, slot, now, depth);
        }
    }

    fn act(&mut self, slots: &[Slot], slot: u32, server: u32, deadline: u64, now: u64) {
        let home = match slots[slot as usize].borrows.get() {
            END => server,
            first => self.loan(first).home.0 as u32,
        };
        let old = slots[slot as usize].server.get() as u32;
        if old != server {
            self.count_guest(old, false);
            if server != home {
                self.count_guest(server, true);
            }
        }
        self.rebind(slots, slot, server, deadline, now);
    }

    fn count_guest(&mut self, server: u32, arrives: bool) {
        if server >= FIRST_RESERVED {
            let guests = &mut self.servers[server as usize].guests;
            *guests = if arrives {
                *guests + 1
            } else {
                guests.saturating_sub(1)
            };
        }
    }

    fn pass_on(&mut self, slots: &[Slot], slot: u32, now: u64, depth: usize) {
        if depth >= DEPTH {
            return;
        }
        let mut index = slots[slot as usize].lends.get();
        while index != END {
            let loan = *self.loan(index);
            if loan.to != NONE {
                self.refresh(slots, loan.to, now, depth + 1);
            }
            index = loan.next_out;
        }
    }

    /// A borrower wakes: its own deadline for this job is `own`; decides under which server and deadline it runs.
    pub(crate) fn wake_borrower(&mut self, slots: &[Slot], slot: u32, own: Option<u64>, now: u64) {
        debug_assert_ne!(slots[slot as usize].state(), State::Queued);
        if let Some(own) = own {
            self.set_own_deadline(slots, slot, own);
        }
        let (server, deadline) = self.best(slots, slot);
        self.act(slots, slot, server, deadline, now);
    }
}
