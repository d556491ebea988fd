//! Endpoints: where calls arrive.
//!
//! A call moves no bytes here: the words stay with the caller ([`Caller`], a thread), and whoever answers writes the answer there.
//!
//! * **Fast path.** A receiver is parked: [`Endpoint::call`] takes it out, puts the call into its process's [`ReplyTable`] and gives it to the caller
//!   ([`Handed`]), who runs it at once if it is of this core, or wakes it. Two short locks, nothing allocated.
//! * **Fastest.** As before, but the receiver's place and promise are kept for it: [`Endpoint::borrow`], for who runs it at once and until it
//!   [answers](ReplyTable::answer_here) and [parks again](Endpoint::park_again).
//! * **Else** the call waits in order of its deadline, first come first served among equals, and the endpoint is readable. So that it
//!   ends whatever happens, the caller holds a [`InFlight`]: dropping that gives the call up.
//! * A server may leave a [handler](Endpoint::set_handler) there, for callers that can run it themselves: what it answers is no call at all here.
//! * The receiver gets a [`Delivery`]: the badge of the handle that was called, and a [`Token`] to answer by, once.
//!
//! When the last handle that may receive is closed, waiting and later calls end with [`Error::PeerClosed`]. A manager that holds such a handle keeps calls waiting
//! while it starts a server anew.
//!
//! Lock order: endpoint, then the port it is bound to, then reply tables; the handler last. Receivers and callers are woken and dropped under no lock.

mod call;
mod direct;
mod parking;
mod receive;
mod replies;
mod slot;

use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use abi::{Error, ObjectType, Rights, Signals, message::MAX_WAITING_CALLS};
use spin::Mutex;

pub use call::{Arrival, CallRecord, Called, Delivery, Handed, InFlight, Receive, Started};
pub use direct::{Borrowed, Parked};
pub use parking::{MAX_PARKED, Ticket};
pub(crate) use parking::{ParkedReceiver, Parking};
pub use replies::{Claimed, Reply, ReplyTable, Token};
pub use slot::{CallId, CallSlot};

use crate::{
    charged::ChargedVec,
    job::Job,
    lease::Lease,
    object::{Header, KernelObject},
    port::Port,
    refs::{Ref, WeakRef},
    signals::SignalState,
};

/// Who calls: a thread. Cloning is cheap.
pub trait Caller: Clone + Send + Sync + 'static {
    /// Its one slot.
    fn calls(&self) -> &CallSlot;
}

/// Who receives: a thread, parked where calls arrive.
pub trait Receiver: Send + 'static {
    /// Who calls.
    type Caller: Caller;

    /// The calls its process has to answer.
    fn replies(&self) -> &ReplyTable<Self::Caller>;
    /// The core it runs on.
    fn core(&self) -> u32;
    /// Makes it look again: something came, or what it waits at was closed. Under no lock.
    fn wake(self);
}

#[derive(Debug)]
struct Waiting<C: Caller> {
    deadline: u64,
    number: u64,
    badge: u32,
    reply: Reply<C>,
}

impl<C: Caller> Waiting<C> {
    /// Sorts the first to be received last.
    fn key(&self) -> (u64, u64) {
        (u64::MAX - self.deadline, u64::MAX - self.number)
    }
}

struct Bound<O: KernelObject> {
    port: WeakRef<Port<O>>,
    key: u32,
    lease: Option<Ref<Lease>>,
}

impl<O: KernelObject> Bound<O> {
    /// The port, while it is open and the handle it was bound through is good.
    fn port(&self) -> Option<Ref<Port<O>>> {
        if self.lease.as_ref().is_some_and(|lease| lease.is_revoked()) {
            return None;
        }
        self.port.upgrade()
    }
}

struct State<O: KernelObject> {
    waiting: ChargedVec<Waiting<O::Caller>>,
    next_number: u64,
    parked: Parking<O::Receiver>,
    bound: Option<Bound<O>>,
    closed: bool,
}

/// See the module.
pub struct Endpoint<O: KernelObject> {
    header: Header,
    signals: SignalState,
    /// Handles that may receive.
    receivers: AtomicUsize,
    /// Whether there is a handler.
    has_handler: AtomicBool,
    handler: Mutex<Option<O::Handler>>,
    state: Mutex<State<O>>,
}

impl<O: KernelObject> Endpoint<O> {
    /// An endpoint.
    ///
    /// # Errors
    /// [`Error::NoMemory`].
    pub fn create(job: &Ref<Job>) -> Result<Ref<Self>, Error> {
        let header = Header::new(ObjectType::Endpoint, job, Ref::<Self>::BYTES)?;
        Ok(Ref::try_new(Self {
            header,
            signals: SignalState::new(Signals::empty()),
            receivers: AtomicUsize::new(0),
            has_handler: AtomicBool::new(false),
            handler: Mutex::new(None),
            state: Mutex::new(State {
                waiting: ChargedVec::new(job)?,
                next_number: 0,
                parked: Parking::new(job)?,
                bound: None,
                closed: false,
            }),
        })?)
    }

    /// What every object has.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Readable while calls wait; peer closed once nobody can receive.
    pub fn signals(&self) -> &SignalState {
        &self.signals
    }

    /// How many calls wait.
    pub fn waiting(&self) -> usize {
        self.state.lock().waiting.len()
    }

    /// How many receivers are parked at the endpoint itself.
    pub fn parked(&self) -> usize {
        self.state.lock().parked.len()
    }

    /// What may answer its calls where they are made.
    pub fn handler(&self) -> Option<O::Handler> {
        self.handler.lock().clone()
    }

    /// Whether there may be something that answers calls where they are made.
    #[inline]
    pub fn has_handler(&self) -> bool {
        self.has_handler.load(Ordering::Relaxed)
    }

    /// Puts a handler there in place of the one before.
    ///
    /// # Errors
    /// [`Error::PeerClosed`] once closed.
    pub fn set_handler(&self, handler: O::Handler) -> Result<(), Error> {
        let before = {
            let state = self.state.lock();
            if state.closed {
                return Err(Error::PeerClosed);
            }
            let before = self.handler.lock().replace(handler);
            self.has_handler.store(true, Ordering::Release);
            before
        };
        drop(before);
        Ok(())
    }

    /// Takes the handler away if it is one of these.
    pub fn take_handler(&self, which: impl FnOnce(&O::Handler) -> bool) {
        let taken = {
            let mut handler = self.handler.lock();
            let taken = handler.take_if(|handler| which(handler));
            self.has_handler.store(handler.is_some(), Ordering::Release);
            taken
        };
        drop(taken);
    }

    /// Counts handles that may receive. For [`KernelObject::handle_opened`].
    pub fn handle_opened(&self, rights: Rights) {
        if rights.contains(Rights::RECEIVE) {
            self.receivers.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// Closes the endpoint with the last handle that may receive. For [`KernelObject::handle_closed`].
    pub fn handle_closed(&self, rights: Rights) {
        if rights.contains(Rights::RECEIVE) && self.receivers.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.close();
        }
    }

    /// Ends waiting and later calls with [`Error::PeerClosed`].
    pub fn close(&self) {
        let raised = {
            let mut state = self.state.lock();
            state.closed = true;
            state.bound = None;
            self.signals.clear(Signals::READABLE);
            self.signals.raise(Signals::PEER_CLOSED)
        };
        raised.tell();
        self.take_handler(|_| true);
        // One at a time, as each is woken or dropped under no lock; none is added any more.
        loop {
            let receiver = self.state.lock().parked.pop();
            let Some(receiver) = receiver else { break };
            receiver.wake();
        }
        loop {
            let call = self.state.lock().waiting.pop();
            if call.is_none() {
                break;
            }
        }
    }

    /// Calls, through a handle with this badge. `deadline` orders it among those that wait; `core` is the caller's.
    ///
    /// If a receiver was parked, it comes back with the call. In any case await [`InFlight::answered`] or look whether it was
    /// [answered](InFlight::try_answer).
    ///
    /// # Errors
    /// [`Error::PeerClosed`] if nobody can receive; [`Error::QueueFull`] at [`MAX_WAITING_CALLS`]; [`Error::NoMemory`] if the endpoint's job has none for its queue.
    #[inline]
    pub fn call<'a>(
        &'a self,
        caller: &'a O::Caller,
        badge: u32,
        deadline: u64,
        core: u32,
    ) -> Result<Called<'a, O>, Error> {
        let Started { record, handed } = self.start(caller.clone(), badge, deadline, core)?;
        Ok(Called {
            in_flight: self.resume(caller.calls(), record),
            handed,
        })
    }

    /// As [`call`](Self::call), for who keeps the caller and [takes the call up](Self::resume) later.
    ///
    /// # Errors
    /// As for [`call`](Self::call).
    #[inline(always)]
    pub fn start(
        &self,
        caller: O::Caller,
        badge: u32,
        deadline: u64,
        core: u32,
    ) -> Result<Started<O>, Error> {
        let id = caller.calls().begin();
        // Dropped, it ends the call.
        let mut reply = Reply::new(caller, id);
        loop {
            let mut state = self.state.lock();
            if state.closed {
                return Err(Error::PeerClosed);
            }
            let (parked, key) = match state.parked.pop_for(core) {
                Some(parked) => (Some(parked), 0),
                None => match &state.bound {
                    Some(bound) => {
                        let port = bound.port();
                        (port.and_then(|port| port.take_parked(core)), bound.key)
                    }
                    None => (None, 0),
                },
            };
            let Some(parked) = parked else {
                state
                    .waiting
                    .make_room(MAX_WAITING_CALLS, Error::QueueFull)?;
                let number = state.next_number;
                state.next_number += 1;
                let waiting = Waiting {
                    deadline,
                    number,
                    badge,
                    reply,
                };
                let key = waiting.key();
                let place = state.waiting.partition_point(|other| other.key() < key);
                state.waiting.insert(place, waiting);
                let raised = self.signals.raise(Signals::READABLE);
                drop(state);
                raised.tell();
                return Ok(Started {
                    record: CallRecord::new(id, Some(key)),
                    handed: None,
                });
            };
            drop(state);
            let Some(receiver) = parked.with_place() else {
                continue;
            };
            match receiver.replies().put(reply) {
                Ok(token) => {
                    let delivery = Delivery { key, badge, token };
                    return Ok(Started {
                        record: CallRecord::new(id, None),
                        handed: Some(Handed { receiver, delivery }),
                    });
                }
                Err(rejected) => {
                    // Its process is being ended.
                    receiver.wake();
                    reply = rejected;
                }
            }
        }
    }

    /// Takes a call out that its caller gives up.
    fn withdraw(&self, key: (u64, u64)) {
        let withdrawn = {
            let mut state = self.state.lock();
            let found = state.waiting.binary_search_by_key(&key, Waiting::key);
            let withdrawn = found.ok().and_then(|place| state.waiting.remove(place));
            if state.waiting.is_empty() {
                self.signals.clear(Signals::READABLE);
            }
            withdrawn
        };
        drop(withdrawn);
    }

    /// Hands calls to receivers parked at the port from now on.
    ///
    /// # Errors
    /// [`Error::BadState`] if it is bound to a port already.
    pub(crate) fn bind(
        &self,
        port: &Ref<Port<O>>,
        key: u32,
        lease: Option<&Ref<Lease>>,
    ) -> Result<(), Error> {
        let mut state = self.state.lock();
        let taken = state
            .bound
            .as_ref()
            .is_some_and(|bound| bound.port().is_some_and(|port| !port.is_closed()));
        if taken {
            return Err(Error::BadState);
        }
        let old = state.bound.replace(Bound {
            port: port.downgrade(),
            key,
            lease: lease.cloned(),
        });
        drop(state);
        drop(old);
        Ok(())
    }

    /// No more.
    pub(crate) fn unbind(&self, port: &WeakRef<Port<O>>) {
        let mut state = self.state.lock();
        let old = match &state.bound {
            Some(bound) if bound.port.is(port) => state.bound.take(),
            _ => None,
        };
        drop(state);
        drop(old);
    }
}

impl<O: KernelObject> core::fmt::Debug for Endpoint<O> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Endpoint")
            .field("id", &self.header.id())
            .field("waiting", &self.waiting())
            .finish()
    }
}
