//! Receiving calls, and parking until one comes.

use abi::{Error, Signals};

use super::{
    Arrival, Caller, Delivery, Endpoint, Receive, Receiver, ReplyTable, State, Ticket, Waiting,
};
use crate::{lease::Lease, object::KernelObject, refs::Ref};

impl<O: KernelObject> Endpoint<O> {
    /// Takes the first call that waits.
    ///
    /// # Errors
    /// [`Error::WouldWait`]; [`Error::PeerClosed`] once closed; those of the table: [`Error::NoMemory`], [`Error::Dying`].
    pub fn try_receive(
        &self,
        replies: &ReplyTable<O::Caller>,
    ) -> Result<Arrival<O::Caller>, Error> {
        replies.reserve()?;
        let mut state = self.state.lock();
        loop {
            let found = self.pop(&mut state);
            let closed = state.closed;
            drop(state);
            match found {
                None => {
                    replies.unreserve();
                    return Err(if closed {
                        Error::PeerClosed
                    } else {
                        Error::WouldWait
                    });
                }
                Some(waiting) => match deliver(waiting, replies) {
                    Deliver::Arrived(arrival) => return Ok(arrival),
                    Deliver::Dying => return Err(Error::Dying),
                    Deliver::Stale => state = self.state.lock(),
                },
            }
        }
    }

    /// Takes the first call that waits, or parks the receiver; nothing is handed to it any more once the lease is revoked.
    ///
    /// # Errors
    /// [`Error::PeerClosed`] once closed; [`Error::LimitReached`] at [`MAX_PARKED`](super::MAX_PARKED); [`Error::NoMemory`]; [`Error::Dying`].
    #[inline]
    pub fn receive(
        &self,
        receiver: O::Receiver,
        lease: Option<&Ref<Lease>>,
    ) -> Result<Receive<O::Caller>, Error> {
        receiver.replies().reserve()?;
        loop {
            let mut state = self.state.lock();
            let Some(waiting) = self.pop(&mut state) else {
                let parked = if state.closed {
                    Err(Error::PeerClosed)
                } else {
                    state.parked.make_room()
                };
                if let Err(error) = parked {
                    drop(state);
                    receiver.replies().unreserve();
                    return Err(error);
                }
                return Ok(Receive::Parked(state.parked.park(receiver, lease)));
            };
            drop(state);
            match deliver(waiting, receiver.replies()) {
                Deliver::Arrived(arrival) => return Ok(Receive::Call(arrival)),
                Deliver::Dying => return Err(Error::Dying),
                Deliver::Stale => {}
            }
        }
    }

    /// Takes a receiver out; `false` if it was handed a call, or woken, first.
    pub fn unpark(&self, ticket: Ticket) -> bool {
        let parked = self.state.lock().parked.unpark(ticket);
        parked.is_some()
    }

    fn pop(&self, state: &mut State<O>) -> Option<Waiting<O::Caller>> {
        let first = state.waiting.pop();
        if state.waiting.is_empty() {
            self.signals.clear(Signals::READABLE);
        }
        first
    }
}

enum Deliver<C> {
    Arrived(Arrival<C>),
    /// The caller has given up meanwhile; the place is still promised.
    Stale,
    Dying,
}

/// Puts a call into the place that is promised in the table.
fn deliver<C: Caller>(waiting: Waiting<C>, replies: &ReplyTable<C>) -> Deliver<C> {
    let Some(caller) = waiting.reply.waiting().cloned() else {
        return Deliver::Stale;
    };
    match replies.put(waiting.reply) {
        Ok(token) => Deliver::Arrived(Arrival {
            delivery: Delivery {
                key: 0,
                badge: waiting.badge,
                token,
            },
            caller,
        }),
        // The call ends with PeerClosed as it is dropped: it was received by a process that dies.
        Err(_rejected) => Deliver::Dying,
    }
}
