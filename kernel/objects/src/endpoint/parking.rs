//! Receivers that wait where calls or packets arrive.

use abi::Error;

use super::Receiver;
use crate::{charged::ChargedVec, job::Job, lease::Lease, refs::Ref};

/// Most receivers parked in one place.
pub const MAX_PARKED: usize = 1024;
/// How many of the last parked are looked at for one of the caller's core.
const CORE_SEARCH: usize = 8;

/// Which parked receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket(u64);

impl Ticket {
    /// Nobody's.
    pub const NONE: Self = Self(u64::MAX);
}

/// A receiver with the place for a token that is promised to it.
#[derive(Debug)]
pub(crate) struct ParkedReceiver<R: Receiver> {
    ticket: Ticket,
    /// `None`: it has been [borrowed](Parking::borrow) and is to come back.
    receiver: Option<R>,
    /// What it receives through.
    lease: Option<Ref<Lease>>,
}

impl<R: Receiver> ParkedReceiver<R> {
    /// The receiver, and the place is the caller's to use; `None` if its handle was revoked: it is woken to find out. Under no lock.
    #[inline]
    pub(crate) fn with_place(mut self) -> Option<R> {
        if self.lease.as_ref().is_some_and(|lease| lease.is_revoked()) {
            self.wake();
            return None;
        }
        self.receiver.take()
    }

    /// Lets it look again. Under no lock.
    pub(crate) fn wake(mut self) {
        if let Some(receiver) = self.receiver.take() {
            receiver.replies().unreserve();
            receiver.wake();
        }
    }
}

impl<R: Receiver> Drop for ParkedReceiver<R> {
    fn drop(&mut self) {
        if let Some(receiver) = &self.receiver {
            receiver.replies().unreserve();
        }
    }
}

/// A list of them: the last to park is the first to be given something, as its memory is warm.
#[derive(Debug)]
pub(crate) struct Parking<R: Receiver> {
    /// Tickets rise.
    list: ChargedVec<ParkedReceiver<R>>,
    next: u64,
}

impl<R: Receiver> Parking<R> {
    pub(crate) fn new(job: &Ref<Job>) -> Result<Self, Error> {
        Ok(Self {
            list: ChargedVec::new(job)?,
            next: 0,
        })
    }

    /// How many there are, without the borrowed ones.
    pub(crate) fn len(&self) -> usize {
        let here = |parked: &&ParkedReceiver<R>| parked.receiver.is_some();
        self.list.iter().filter(here).count()
    }

    /// Takes the last one out and keeps its place for it, if it is of this core, `fit`, and not to be revoked; its promise is the
    /// caller's to use.
    #[inline(always)]
    pub(crate) fn borrow(
        &mut self,
        core: u32,
        fit: impl FnOnce(&R) -> bool,
    ) -> Option<(R, Ticket)> {
        let last = self.list.last_mut()?;
        let receiver = last.receiver.as_ref()?;
        if last.lease.is_some() || receiver.core() != core || !fit(receiver) {
            return None;
        }
        Some((last.receiver.take()?, last.ticket))
    }

    /// Where a borrowed receiver is to come back to, with another promise; `None` if it is gone.
    #[inline(always)]
    pub(crate) fn place_of(&mut self, ticket: Ticket) -> Option<&mut Option<R>> {
        let is_last = self.list.last()?.ticket == ticket;
        let parked = if is_last {
            self.list.last_mut()?
        } else {
            let index = self.find(ticket)?;
            self.list.get_mut(index)?
        };
        parked.receiver.is_none().then_some(&mut parked.receiver)
    }

    /// Gives up the place of a borrowed receiver.
    pub(crate) fn give_place_up(&mut self, ticket: Ticket) {
        if let Some(index) = self.find(ticket)
            && self
                .list
                .get(index)
                .is_some_and(|parked| parked.receiver.is_none())
        {
            self.list.remove(index);
        }
    }

    fn find(&self, ticket: Ticket) -> Option<usize> {
        self.list
            .binary_search_by_key(&ticket.0, |parked| parked.ticket.0)
            .ok()
    }

    /// Makes room for one more.
    #[inline]
    pub(crate) fn make_room(&mut self) -> Result<(), Error> {
        self.list.make_room(MAX_PARKED, Error::LimitReached)
    }

    /// Parks a receiver, for which a token's place is promised, in the room that was made.
    #[inline]
    pub(crate) fn park(&mut self, receiver: R, lease: Option<&Ref<Lease>>) -> Ticket {
        let ticket = Ticket(self.next);
        self.next += 1;
        self.list.push(ParkedReceiver {
            ticket,
            receiver: Some(receiver),
            lease: lease.cloned(),
        });
        ticket
    }

    /// Takes it out, if nobody was faster. To be dropped under no lock.
    pub(crate) fn unpark(&mut self, ticket: Ticket) -> Option<ParkedReceiver<R>> {
        let index = self.find(ticket)?;
        self.list.get(index)?.receiver.as_ref()?;
        self.list.remove(index)
    }

    /// The best one: of this core, else the last.
    #[inline]
    pub(crate) fn pop_for(&mut self, core: u32) -> Option<ParkedReceiver<R>> {
        let of_core = |parked: &ParkedReceiver<R>| {
            parked
                .receiver
                .as_ref()
                .is_some_and(|receiver| receiver.core() == core)
        };
        let last = self.list.last()?;
        if of_core(last) {
            return self.list.pop();
        }
        let near = self.list.iter().rev().take(CORE_SEARCH).position(of_core);
        let back = near.or_else(|| {
            let here = |parked: &ParkedReceiver<R>| parked.receiver.is_some();
            self.list.iter().rev().position(here)
        })?;
        self.list.remove(self.list.len() - 1 - back)
    }

    /// The last one, or the place of one that is borrowed.
    pub(crate) fn pop(&mut self) -> Option<ParkedReceiver<R>> {
        self.list.pop()
    }
}
