//! Calls that go on while their caller does something else: the answer comes as a packet of a port.
//!
//! A [`StartedCall`] has its packet from the beginning. It is one call, so its [`CallSlot`] is used once. Whoever answers it, or drops the
//! duty to, wakes it by the slot's waker; so does a revocation of the handle that was called. It then queues its packet, once.
//!
//! Whoever starts a call keeps it in its [`StartedCalls`] and ends it there: a late answer finds nobody then.

use alloc::boxed::Box;
use core::sync::atomic::{AtomicU64, Ordering};

use abi::{
    Error, Signals,
    message::{Lengths, MAX_STARTED_CALLS, Words},
};
use spin::Mutex;

use super::{
    Port,
    item::{Content, Item},
};
use crate::{
    channel::Message,
    endpoint::{CallId, CallRecord, CallSlot, Endpoint, Handed, Started},
    graveyard::Progress,
    job::{Charge, Job},
    lease::Lease,
    object::KernelObject,
    observers::{OBSERVER_BYTES, ObserverId},
    refs::{Ref, Wakeable, WeakRef},
    slots::{self, Number, Slots},
};

static NEXT_SERIAL: AtomicU64 = AtomicU64::new(1);

/// A call under way, or its answer.
pub(super) struct Waiting<O: KernelObject> {
    /// Tells calls apart for as long as the machine runs.
    serial: u64,
    port: WeakRef<Port<O>>,
    key: u64,
    slot: CallSlot,
    lease: Option<Ref<Lease>>,
    /// The call's, then the answer's.
    words: Mutex<Words>,
    /// The same, where they do not fit words.
    message: Mutex<Option<Box<Message<O>>>>,
    /// In its caller's table.
    id: AtomicU64,
    state: Mutex<State<O>>,
    _memory: Charge,
}

struct State<O: KernelObject> {
    /// What was called: while the call is under way.
    target: Option<(Ref<Endpoint<O>>, CallRecord)>,
    observer: Option<ObserverId>,
    /// To be queued. It refers to the call, and so goes with its end at the latest.
    packet: Option<Ref<Item<O>>>,
    /// Once it is over.
    outcome: Option<Result<(), Error>>,
    /// Its caller does not want to know.
    given_up: bool,
}

/// What came of a call that was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// As given.
    pub key: u64,
    /// In its caller's table.
    pub id: u64,
    /// No other call's.
    pub serial: u64,
    /// Whether it was answered.
    pub outcome: Result<(), Error>,
    /// The answer, if it is short.
    pub words: Words,
    /// Of the answer, if it is long: to be [fetched](StartedCall::message).
    pub lengths: Option<Lengths>,
}

/// See the module.
pub struct StartedCall<O: KernelObject>(Ref<Waiting<O>>);

impl<O: KernelObject> Clone for StartedCall<O> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<O: KernelObject> StartedCall<O> {
    /// A call that is not started, to be [put](StartedCalls::put) into its caller's table at once; its answer will come to `port` with this key. `lease` is that of the handle to call through. Charged to `job`.
    ///
    /// # Errors
    /// [`Error::NoMemory`].
    pub fn new(
        job: &Ref<Job>,
        port: &Ref<Port<O>>,
        key: u64,
        words: Words,
        lease: Option<Ref<Lease>>,
    ) -> Result<Self, Error> {
        let observer = if lease.is_some() { OBSERVER_BYTES } else { 0 };
        let memory = job.charge_kernel(Ref::<Waiting<O>>::BYTES + observer)?;
        let waiting = Ref::try_new(Waiting {
            serial: NEXT_SERIAL.fetch_add(1, Ordering::Relaxed),
            port: port.downgrade(),
            key,
            slot: CallSlot::new(),
            lease,
            words: Mutex::new(words),
            message: Mutex::new(None),
            id: AtomicU64::new(0),
            state: Mutex::new(State {
                target: None,
                observer: None,
                packet: None,
                outcome: None,
                given_up: false,
            }),
            _memory: memory,
        })?;
        let memory = job.charge_kernel(Ref::<Item<O>>::BYTES)?;
        let packet = Item::create(Content::Call(waiting.clone()), memory)?;
        waiting.state.lock().packet = Some(packet);
        Ok(Self(waiting))
    }

    /// Calls, as `caller`, which is this one as endpoints know it. What it comes back with is to be handed to, as in [`Endpoint::call`].
    ///
    /// # Errors
    /// As for [`Endpoint::call`]; [`Error::LimitReached`] at [`MAX_OBSERVERS`](crate::observers::MAX_OBSERVERS) of the lease. No packet comes then.
    pub fn start(
        &self,
        endpoint: Ref<Endpoint<O>>,
        caller: O::Caller,
        badge: u32,
        deadline: u64,
        core: u32,
    ) -> Result<Option<Handed<O::Receiver>>, Error> {
        let waiting = &*self.0;
        if let Some(lease) = &waiting.lease {
            let waker = self.0.clone().into_waker();
            let observers = &lease.family().observers;
            let observer = observers
                .attach(Signals::REVOKED, waker)
                .inspect_err(|_| self.abandon())?;
            waiting.state.lock().observer = Some(observer);
        }
        let Started { record, handed } = endpoint
            .start(caller, badge, deadline, core)
            .inspect_err(|_| self.abandon())?;
        let over = {
            let mut state = waiting.state.lock();
            if state.given_up {
                true
            } else {
                state.target = Some((endpoint.clone(), record));
                false
            }
        };
        if over {
            // Ended by another thread while it was being started.
            drop(endpoint.resume(&waiting.slot, record));
            waiting.let_go();
            return Ok(handed);
        }
        waiting.slot.set_waker(self.0.clone().into_waker());
        // After the waker is there: what came before was missed by nobody but us.
        waiting.look();
        if waiting.state.lock().given_up {
            drop(waiting.slot.take_waker());
        }
        Ok(handed)
    }

    /// The one call that it makes.
    pub fn calls(&self) -> &CallSlot {
        &self.0.slot
    }

    /// The call's words, and then the answer's.
    pub fn words(&self) -> Words {
        *self.0.words.lock()
    }

    /// Puts the words of the answer in, in place of the call's words and message. For who has claimed the call.
    pub fn put_answer(&self, words: Words) {
        *self.0.words.lock() = words;
        let unread = self.0.message.lock().take();
        drop(unread);
    }

    /// Puts a message in the place of the one that is there: the call's, or, for who has claimed the call, the answer's.
    pub fn put_message(&self, message: Box<Message<O>>) {
        let before = self.0.message.lock().replace(message);
        drop(before);
    }

    /// Where the message is: the call's, and then the answer's.
    pub fn message(&self) -> &Mutex<Option<Box<Message<O>>>> {
        &self.0.message
    }

    /// Whether it was answered, or has failed.
    pub fn is_over(&self) -> bool {
        self.0.state.lock().outcome.is_some()
    }

    /// No packet comes any more.
    fn abandon(&self) {
        let packet = {
            let mut state = self.0.state.lock();
            state.given_up = true;
            state.packet.take()
        };
        drop(packet);
        self.0.let_go();
    }

    /// Gives it up: no packet comes any more, and what there is of an answer goes.
    pub fn end(&self) {
        self.abandon();
        let unread = self.0.message.lock().take();
        drop(unread);
    }
}

impl<O: KernelObject> Waiting<O> {
    /// Gives the call up if it is still under way; then nothing refers to it any more but its caller's table and the port's queue.
    fn let_go(&self) {
        let (target, observer) = {
            let mut state = self.state.lock();
            (state.target.take(), state.observer.take())
        };
        if let Some((endpoint, record)) = target {
            drop(endpoint.resume(&self.slot, record));
        }
        if let (Some(observer), Some(lease)) = (observer, &self.lease) {
            lease.family().observers.detach(observer);
        }
        drop(self.slot.take_waker());
    }

    /// It was answered, or its handle was revoked, or neither.
    fn look(&self) {
        let mut outcome = self.slot.answer(CallId::FIRST);
        if outcome.is_none() {
            let revoked = self.lease.as_ref().is_some_and(|lease| lease.is_revoked());
            // Without a target it is being started, and looked at once it is.
            if !revoked || self.state.lock().target.is_none() {
                return;
            }
            self.let_go();
            // Maybe it was answered at the last moment.
            outcome = self
                .slot
                .answer(CallId::FIRST)
                .or(Some(Err(Error::Revoked)));
        }
        let packet = {
            let mut state = self.state.lock();
            if state.given_up || state.outcome.is_some() {
                return;
            }
            state.outcome = outcome;
            state.packet.take()
        };
        self.let_go();
        if let (Some(packet), Some(port)) = (packet, self.port.upgrade()) {
            port.enqueue_answer(packet);
        }
    }

    /// The packet, unless nobody wants it any more.
    pub(super) fn answer(&self) -> Option<Answer> {
        let outcome = {
            let state = self.state.lock();
            state.outcome.filter(|_| !state.given_up)?
        };
        let message = self.message.lock();
        Some(Answer {
            key: self.key,
            id: self.id.load(Ordering::Relaxed),
            serial: self.serial,
            outcome,
            words: *self.words.lock(),
            lengths: message
                .as_ref()
                .filter(|_| outcome.is_ok())
                .map(|message| message.lengths()),
        })
    }
}

impl<O: KernelObject> Wakeable for Waiting<O> {
    fn wake(this: &Ref<Self>) {
        this.look();
    }
}

impl<O: KernelObject> core::fmt::Debug for StartedCall<O> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("StartedCall")
            .field("over", &self.is_over())
            .finish()
    }
}

/// The calls that a process has started and not ended, by ids with generations.
#[derive(Debug)]
pub struct StartedCalls<O: KernelObject> {
    job: Ref<Job>,
    calls: Mutex<Slots<StartedCall<O>>>,
}

fn number(id: u64) -> Result<Number, Error> {
    Ok(Number {
        index: (id as u32).checked_sub(1).ok_or(Error::BadHandle)?,
        generation: (id >> 32) as u32,
    })
}

impl<O: KernelObject> StartedCalls<O> {
    /// An empty table, whose places will be charged to this job.
    pub fn new(job: &Ref<Job>) -> Self {
        Self {
            job: job.clone(),
            calls: Mutex::new(Slots::default()),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.calls.lock().used()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Puts one in, before it is started; an error ends it. Its id is never negative as an `i64`, never 0, and never another call's.
    ///
    /// # Errors
    /// [`Error::LimitReached`] at about [`MAX_STARTED_CALLS`]; [`Error::NoMemory`]; [`Error::Dying`] once closed.
    pub fn put(&self, call: &StartedCall<O>) -> Result<u64, Error> {
        self.try_put(call).inspect_err(|_| call.end())
    }

    fn try_put(&self, call: &StartedCall<O>) -> Result<u64, Error> {
        if self.len() >= MAX_STARTED_CALLS {
            return Err(Error::LimitReached);
        }
        slots::reserve(&self.calls, &self.job, 1)?;
        let number = self
            .calls
            .lock()
            .put_reserved(call.clone())
            .map_err(|_| Error::Dying)?;
        let id = u64::from(number.generation) << 32 | (u64::from(number.index) + 1);
        call.0.id.store(id, Ordering::Relaxed);
        Ok(id)
    }

    /// The call of this id.
    ///
    /// # Errors
    /// [`Error::BadHandle`].
    pub fn get(&self, id: u64) -> Result<StartedCall<O>, Error> {
        let number = number(id)?;
        self.calls
            .lock()
            .get(number)
            .cloned()
            .ok_or(Error::BadHandle)
    }

    /// Takes a call out, and ends it.
    ///
    /// # Errors
    /// [`Error::BadHandle`].
    pub fn end(&self, id: u64) -> Result<(), Error> {
        let number = number(id)?;
        let taken = self.calls.lock().take(number);
        taken.ok_or(Error::BadHandle)?.end();
        Ok(())
    }

    /// The answer was taken out of the port, and there is no more to it: ends the call if it is one of this table.
    pub fn answered(&self, answer: &Answer) {
        let ours = self.get(answer.id);
        if ours.is_ok_and(|call| call.0.serial == answer.serial) {
            // By nobody else meanwhile, or it is ended anyway.
            let _: Result<(), Error> = self.end(answer.id);
        }
    }

    /// Ends the table: no call gets in any more, and each call of this ends up to `most` of those in it.
    pub fn close_some(&self, most: usize) -> Progress {
        slots::close_some(&self.calls, most, |_| true, |call| call.end())
    }
}
