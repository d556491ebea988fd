//! Ports: one queue for what many objects have to say.
//!
//! A binding (`Ref<Port>::bind`) brings a packet whenever one of its signals **becomes** set (at once, if one is set when it is made), and not again before that one was
//! taken: one that has taken a packet must use the object until it would wait. An endpoint that is bound for [`Signals::READABLE`] brings its calls. Packets can
//! also be [posted](Port::post), and calls be [started](StartedCall) whose answers are packets. First in, first out.
//!
//! A binding ends when it is [unbound](Port::unbind), with the port, and with the last handle to the object. Through a handle that is
//! revoked, it brings [`Signals::REVOKED`] once. Ports cannot be bound to ports: a wake would run down the chain.
//!
//! The bindings' memory is charged to who binds, packets that are posted to who posts them. A port that is closed lets go of its bindings step by step
//! ([`graveyard`](crate::graveyard)); until then they keep its memory, uncharged.
//!
//! Lock order: port, then binding. Observers' lists and receivers are touched under neither.

mod bind;
mod item;
mod started;
mod take;

use alloc::boxed::Box;
use core::mem;

use abi::{
    Error, ObjectType, Signals,
    message::{MAX_PORT_PACKETS, Words},
};
use spin::Mutex;

use crate::{
    charged::ChargedVec,
    endpoint::{Arrival, Parking, Ticket},
    graveyard::{Contents, Grave},
    job::Job,
    object::{Header, KernelObject},
    refs::Ref,
    signals::SignalState,
};
pub(crate) use item::Item;
use item::{Content, Queue};
pub use started::{Answer, StartedCall, StartedCalls};

/// Most bindings of a port.
pub const MAX_BINDINGS: usize = 16384;

/// What a port brings.
#[derive(Debug)]
pub enum Packet<C> {
    /// A call of a bound endpoint.
    Call(Arrival<C>),
    /// Signals that became set.
    Signals {
        /// The binding's.
        key: u64,
        /// Which.
        signals: Signals,
    },
    /// Posted by somebody.
    Posted {
        /// As given.
        key: u64,
        /// As given.
        words: Words,
    },
    /// A call that was started is over.
    Answer(Answer),
}

/// What waiting did.
#[derive(Debug)]
pub enum Wait<C> {
    /// A packet was there.
    Packet(Packet<C>),
    /// None was: the receiver is parked, until a caller hands it a call of a bound endpoint or it is woken to look again. To leave
    /// before, it must be [unparked](Port::unpark).
    Parked(Ticket),
}

struct Bindings<O: KernelObject>(ChargedVec<(u64, Ref<Item<O>>)>);

struct State<O: KernelObject> {
    queue: Queue<O>,
    posted: usize,
    /// By object number.
    bindings: Bindings<O>,
    parked: Parking<O::Receiver>,
    closed: bool,
    grave: Option<Box<Grave<O>>>,
}

/// See the module.
pub struct Port<O: KernelObject> {
    header: Header,
    signals: SignalState,
    state: Mutex<State<O>>,
}

/// What a closed port leaves.
pub(crate) struct Remains<O: KernelObject> {
    bindings: Bindings<O>,
    queue: Queue<O>,
}

impl<O: KernelObject> Remains<O> {
    pub(crate) fn drop_one(&mut self) -> bool {
        if let Some((_, item)) = self.bindings.0.pop() {
            if let Some(binding) = item.binding() {
                binding.end();
            }
            return true;
        }
        self.queue.pop().is_some()
    }
}

impl<O: KernelObject> Port<O> {
    /// An empty port.
    ///
    /// # Errors
    /// [`Error::NoMemory`].
    pub fn create(job: &Ref<Job>) -> Result<Ref<Self>, Error> {
        let header = Header::new(ObjectType::Port, job, Ref::<Self>::BYTES)?;
        Ok(Ref::try_new(Self {
            header,
            signals: SignalState::new(Signals::empty()),
            state: Mutex::new(State {
                queue: Queue::new(),
                posted: 0,
                bindings: Bindings(ChargedVec::new(job)?),
                parked: Parking::new(job)?,
                closed: false,
                grave: Some(Grave::new(job)?),
            }),
        })?)
    }

    /// What every object has.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Readable while there is a packet.
    pub fn signals(&self) -> &SignalState {
        &self.signals
    }

    /// Whether its last handle was closed.
    pub fn is_closed(&self) -> bool {
        self.state.lock().closed
    }

    /// How many bindings it has.
    pub fn bindings(&self) -> usize {
        self.state.lock().bindings.0.len()
    }

    /// No more packets about this object.
    ///
    /// # Errors
    /// [`Error::BadState`] if it was not bound.
    pub fn unbind(&self, object: &O) -> Result<(), Error> {
        self.end_binding(object.header().id(), |_| true)
            .ok_or(Error::BadState)
    }

    /// Ends a binding of this port, if it is still there.
    pub(crate) fn forget(&self, item: &Ref<Item<O>>) {
        if let Some(binding) = item.binding() {
            self.end_binding(binding.object_id, |found| found.is(item));
        }
    }

    fn end_binding(&self, object_id: u64, which: impl Fn(&Ref<Item<O>>) -> bool) -> Option<()> {
        let (_, item) = {
            let mut state = self.state.lock();
            let bindings = &mut state.bindings.0;
            let found = bindings.binary_search_by_key(&object_id, |(id, _)| *id);
            let place = found.ok().filter(|&place| which(&bindings[place].1))?;
            bindings.remove(place)?
        };
        item.binding()?.end();
        Some(())
    }

    /// Puts a packet in, charged to the poster's job until it is taken.
    ///
    /// # Errors
    /// [`Error::QueueFull`] at [`MAX_PORT_PACKETS`], [`Error::NoMemory`], [`Error::PeerClosed`] once the port is closed.
    pub fn post(&self, job: &Ref<Job>, key: u64, words: Words) -> Result<(), Error> {
        let charge = job.charge_kernel(Ref::<Item<O>>::BYTES)?;
        let item = Item::create(Content::Posted { key, words }, charge)?;
        let mut state = self.state.lock();
        if state.closed {
            return Err(Error::PeerClosed);
        }
        if state.posted >= MAX_PORT_PACKETS {
            return Err(Error::QueueFull);
        }
        state.posted += 1;
        state.queue.push(item);
        let raised = self.signals.raise(Signals::READABLE);
        let parked = state.parked.pop();
        drop(state);
        raised.tell();
        if let Some(parked) = parked {
            parked.wake();
        }
        Ok(())
    }

    /// A binding saw something.
    pub(crate) fn enqueue(&self, item: &Ref<Item<O>>, signals: Signals) {
        let Some(binding) = item.binding() else {
            return;
        };
        let mut state = self.state.lock();
        {
            let mut about = binding.state.lock();
            if state.closed || about.ended || about.revoked {
                return;
            }
            about.revoked = signals.contains(Signals::REVOKED);
            about.seen |= signals;
            if mem::replace(&mut about.queued, true) {
                return;
            }
        }
        state.queue.push(item.clone());
        let raised = self.signals.raise(Signals::READABLE);
        let parked = state.parked.pop();
        drop(state);
        raised.tell();
        if let Some(parked) = parked {
            parked.wake();
        }
    }

    /// A call is over.
    fn enqueue_answer(&self, packet: Ref<Item<O>>) {
        let mut state = self.state.lock();
        if state.closed {
            return;
        }
        state.queue.push(packet);
        let raised = self.signals.raise(Signals::READABLE);
        let parked = state.parked.pop();
        drop(state);
        raised.tell();
        if let Some(parked) = parked {
            parked.wake();
        }
    }

    /// Closes the port: packets go, bindings end, receivers are woken. For [`KernelObject::last_handle_closed`].
    pub fn close(&self) {
        let (grave, remains) = {
            let mut state = self.state.lock();
            state.closed = true;
            let Some(grave) = state.grave.take() else {
                return;
            };
            let queue = mem::replace(&mut state.queue, Queue::new());
            let bindings = state.bindings.take();
            (grave, Remains { bindings, queue })
        };
        if !(remains.bindings.0.is_empty() && remains.queue.is_empty()) {
            grave.bury(Contents::Port(remains));
        }
        loop {
            let receiver = self.state.lock().parked.pop();
            let Some(receiver) = receiver else { break };
            receiver.wake();
        }
    }
}

impl<O: KernelObject> Bindings<O> {
    fn take(&mut self) -> Self {
        Self(self.0.take())
    }
}

impl<O: KernelObject> Drop for Port<O> {
    fn drop(&mut self) {
        self.close();
    }
}

impl<O: KernelObject> core::fmt::Debug for Port<O> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Port")
            .field("id", &self.header.id())
            .field("bindings", &self.bindings())
            .finish()
    }
}
