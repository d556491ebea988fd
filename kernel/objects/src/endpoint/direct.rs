//! Calls that are answered within the caller's own turn.
//!
//! Whoever runs caller and receiver on one core [borrows](Endpoint::borrow) a parked receiver, runs it in the caller's place, and most often
//! it [answers](super::ReplyTable::answer_here) and [parks again](Endpoint::park_again) where it was. So its place in the list and the place for a token in its
//! table stay its own, and nobody is woken. If it does anything else, the borrower [gives its place up](Endpoint::give_place_up), and
//! the call goes on as one that was [started](Endpoint::start).
//!
//! What must hold: a caller is not run between the two, nor gives its call up, but by the borrower.

use super::{CallRecord, CallSlot, Caller, Endpoint, Receiver, Ticket, Token, replies::Reply};
use crate::object::KernelObject;

/// A receiver that runs in its caller's place.
#[derive(Debug)]
#[must_use = "its place is kept for it"]
pub struct Borrowed<R> {
    /// Who receives.
    pub receiver: R,
    /// To answer by.
    pub token: Token,
    /// Its place.
    pub ticket: Ticket,
}

/// Where a receiver is that has answered.
#[derive(Debug)]
pub enum Parked<R> {
    /// Where it was.
    Again,
    /// Nowhere: a call waits already, or nobody can call any more.
    Not(R),
}

impl<O: KernelObject> Endpoint<O> {
    /// Begins a call of `caller` and gives it to the last receiver that was parked at the endpoint itself, if that is of this core and
    /// `fit`. `None`: nothing has happened, [start](Self::start) the call.
    #[inline(always)]
    pub fn borrow(
        &self,
        core: u32,
        fit: impl FnOnce(&O::Receiver) -> bool,
        caller: impl FnOnce() -> O::Caller,
    ) -> Option<Borrowed<O::Receiver>> {
        let (receiver, ticket) = self.state.lock().parked.borrow(core, fit)?;
        let caller = caller();
        let id = caller.calls().begin();
        match receiver.replies().put(Reply::new(caller, id)) {
            Ok(token) => Some(Borrowed {
                receiver,
                token,
                ticket,
            }),
            Err(rejected) => {
                self.cannot_receive(receiver, ticket);
                drop(rejected);
                None
            }
        }
    }

    /// Its process is being ended.
    #[cold]
    fn cannot_receive(&self, receiver: O::Receiver, ticket: Ticket) {
        self.give_place_up(ticket);
        receiver.wake();
    }

    /// Parks a borrowed receiver again whose call was [answered](super::ReplyTable::answer_here). `note` is called when it is certain that it parks, before
    /// anybody can take it out.
    #[inline(always)]
    pub fn park_again(
        &self,
        receiver: O::Receiver,
        ticket: Ticket,
        note: impl FnOnce(&O::Receiver),
    ) -> Parked<O::Receiver> {
        let mut state = self.state.lock();
        if state.waiting.is_empty()
            && let Some(place) = state.parked.place_of(ticket)
        {
            note(&receiver);
            // There is none to be dropped.
            core::mem::forget(place.replace(receiver));
            return Parked::Again;
        }
        drop(state);
        receiver.replies().unreserve();
        Parked::Not(receiver)
    }

    /// A borrowed receiver does not come back to its place.
    pub fn give_place_up(&self, ticket: Ticket) {
        self.state.lock().parked.give_place_up(ticket);
    }
}

impl CallRecord {
    /// Of the call that was last begun by who has this slot, and was given to a receiver at once.
    #[must_use]
    pub fn last_of(slot: &CallSlot) -> Self {
        Self::new(slot.last(), None)
    }
}
