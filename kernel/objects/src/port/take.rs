//! Taking packets out of a port, and waiting for them.

use core::mem;

use abi::{Error, Signals};

use super::{
    Packet, Port, State, Wait,
    item::{Content, Item},
};
use crate::{
    endpoint::{ParkedReceiver, Receiver, ReplyTable, Ticket},
    lease::Lease,
    object::KernelObject,
    refs::Ref,
};

impl<O: KernelObject> Port<O> {
    /// The next item of the queue that still means something, and what a binding saw.
    fn pop(&self, state: &mut State<O>) -> Option<(Ref<Item<O>>, Signals)> {
        let found = loop {
            let Some(item) = state.queue.pop() else {
                break None;
            };
            let Some(binding) = item.binding() else {
                if item.call().is_none() {
                    state.posted -= 1;
                }
                break Some((item, Signals::empty()));
            };
            let mut about = binding.state.lock();
            about.queued = false;
            let seen = mem::take(&mut about.seen);
            let ended = about.ended;
            drop(about);
            if !ended {
                break Some((item, seen));
            }
        };
        if state.queue.is_empty() {
            self.signals.clear(Signals::READABLE);
        }
        found
    }

    /// Makes a packet of an item; `None` if it has nothing to say any more.
    fn packet(
        &self,
        item: &Ref<Item<O>>,
        seen: Signals,
        replies: &ReplyTable<O::Caller>,
    ) -> Result<Option<Packet<O::Caller>>, Error> {
        let binding = match &item.content {
            Content::Posted { key, words } => {
                return Ok(Some(Packet::Posted {
                    key: *key,
                    words: *words,
                }));
            }
            Content::Call(call) => return Ok(call.answer().map(Packet::Answer)),
            Content::Binding(binding) => binding,
        };
        if !binding.calls || seen.contains(Signals::REVOKED) {
            return Ok(Some(Packet::Signals {
                key: binding.key,
                signals: seen,
            }));
        }
        let target = binding.target();
        let Some(endpoint) = target.as_ref().and_then(O::endpoint) else {
            return Ok(None);
        };
        match endpoint.try_receive(replies) {
            Ok(mut arrival) => {
                // The endpoint stays readable while calls wait, so nothing else would bring the next one.
                let rest = (endpoint.signals().get() | seen & !Signals::READABLE) & binding.mask;
                if !rest.is_empty() {
                    self.enqueue(item, rest);
                }
                arrival.delivery.key = binding.key as u32;
                Ok(Some(Packet::Call(arrival)))
            }
            Err(Error::WouldWait | Error::PeerClosed) => {
                let others = seen & !Signals::READABLE;
                Ok((!others.is_empty()).then_some(Packet::Signals {
                    key: binding.key,
                    signals: others,
                }))
            }
            Err(error) => {
                self.enqueue(item, seen);
                Err(error)
            }
        }
    }

    /// Takes the next packet.
    ///
    /// # Errors
    /// [`Error::WouldWait`]; [`Error::PeerClosed`] once the port is closed; those of the reply table for a call, which waits on.
    pub fn try_take(&self, replies: &ReplyTable<O::Caller>) -> Result<Packet<O::Caller>, Error> {
        loop {
            let popped = {
                let mut state = self.state.lock();
                if state.closed {
                    return Err(Error::PeerClosed);
                }
                self.pop(&mut state)
            };
            let (item, seen) = popped.ok_or(Error::WouldWait)?;
            if let Some(packet) = self.packet(&item, seen, replies)? {
                return Ok(packet);
            }
        }
    }

    /// Takes the next packet, or parks the receiver; nothing is handed to it any more once the lease is revoked.
    ///
    /// # Errors
    /// As for [`try_take`](Self::try_take); [`Error::LimitReached`] at [`MAX_PARKED`](crate::endpoint::MAX_PARKED).
    #[inline]
    pub fn wait(
        &self,
        receiver: O::Receiver,
        lease: Option<&Ref<Lease>>,
    ) -> Result<Wait<O::Caller>, Error> {
        loop {
            match self.try_take(receiver.replies()) {
                Err(Error::WouldWait) => {}
                taken => return taken.map(Wait::Packet),
            }
            receiver.replies().reserve()?;
            let mut state = self.state.lock();
            let room = if state.closed {
                Err(Error::PeerClosed)
            } else {
                state.parked.make_room()
            };
            if room.is_ok() && state.queue.is_empty() {
                return Ok(Wait::Parked(state.parked.park(receiver, lease)));
            }
            drop(state);
            receiver.replies().unreserve();
            room?;
        }
    }

    /// Waits until there is a packet, for tasks that are no receivers.
    ///
    /// # Errors
    /// [`Error::Revoked`] as soon as the lease is.
    pub async fn readable(&self, lease: Option<&Lease>) -> Result<(), Error> {
        self.signals.wait(Signals::READABLE, lease).await.map(drop)
    }

    /// Takes a receiver out; `false` if it was handed a call, or woken, first: then whoever is parked beside it is woken in its place.
    pub fn unpark(&self, ticket: Ticket) -> bool {
        let mut state = self.state.lock();
        let own = state.parked.unpark(ticket);
        let other = if own.is_none() && !state.queue.is_empty() {
            state.parked.pop()
        } else {
            None
        };
        drop(state);
        if let Some(other) = other {
            other.wake();
        }
        own.is_some()
    }

    /// A receiver for a call of a bound endpoint.
    pub(crate) fn take_parked(&self, core: u32) -> Option<ParkedReceiver<O::Receiver>> {
        self.state.lock().parked.pop_for(core)
    }
}
