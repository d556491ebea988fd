//! The reactor: one port that all tasks of a process wait on, each for its own objects.
//!
//! A [`Watch`] is the binding of one object to the port. The port brings a packet whenever one of the watched signals *becomes*
//! set, and at once if one is set already. So whoever waits first tries (reads, takes), and waits only when told that nothing is
//! there: whatever becomes so after the try brings a packet after the try.
//!
//! Calls of a watched endpoint arrive on the port themselves and wait in the watch until a task takes them.
//!
//! [`StartedCall`]s have their answers brought by the port, too: a task waits for its own, the others go on.
//!
//! In a resident server there is no port: a watch asks the kernel, which wakes the task itself.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::future::poll_fn;
use core::sync::atomic::{AtomicU64, Ordering};
use core::task::{Context, Poll, Waker};

use abi::message::{Lengths, WORDS};
use abi::{Error, Handle, Signals};
use spin::mutex::SpinMutex;

use super::endpoint::{Body, Incoming};
use super::gate;
use super::heap::Yield;
use super::message::{Handles, ReadError};
use super::object::{Borrowed, Endpoint, Object, Port};
use super::port::{self, Packet};
use super::started::{self, Message};

/// The port's number; 0 before [`start`].
static PORT: AtomicU64 = AtomicU64::new(0);
/// Key of a packet that only ends a wait: no watch has it.
const KICK: u64 = u64::MAX;
/// Most calls that wait in a watch; more are turned away.
const MAX_WAITING_CALLS: usize = 256;
/// A watch's key is its index in the table (low bits) and how often the place was used before, so that a packet which was under
/// way when its watch went is not taken for the next one's.
const INDEX_BITS: u32 = 16;

static TABLE: SpinMutex<Table, Yield> = SpinMutex::new(Table {
    places: Vec::new(),
    free: Vec::new(),
});

struct Table {
    places: Vec<Place>,
    free: Vec<u16>,
}

/// What came for one watch.
struct Place {
    generation: u16,
    used: bool,
    seen: Signals,
    calls: VecDeque<Incoming>,
    /// Of the call that the place is for, if it is for one.
    answer: Option<Result<Body, Error>>,
    /// One task waits for room to write, another one for everything else.
    wakers: [Option<Waker>; 2],
}

impl Place {
    /// With room for one more call, unless there are too many.
    fn with_room(&mut self) -> Option<&mut Self> {
        let fits = self.calls.len() < MAX_WAITING_CALLS && self.calls.try_reserve(1).is_ok();
        fits.then_some(self)
    }
}

/// Signals that stay once they were seen: the end of something.
const LASTING: Signals = Signals::PEER_CLOSED
    .union(Signals::ENDED)
    .union(Signals::REVOKED);

impl Table {
    fn take_place(&mut self) -> Result<u32, Error> {
        if self.free.is_empty() {
            let index = u16::try_from(self.places.len()).map_err(|_| Error::LimitReached)?;
            self.places.try_reserve(1).map_err(|_| Error::NoMemory)?;
            // Room to give back every place, so that dropping a watch cannot fail.
            let wanted = self.places.len() + 1;
            self.free
                .try_reserve(wanted.saturating_sub(self.free.len()))
                .map_err(|_| Error::NoMemory)?;
            self.places.push(Place {
                generation: 0,
                used: false,
                seen: Signals::empty(),
                calls: VecDeque::new(),
                answer: None,
                wakers: [None, None],
            });
            self.free.push(index);
        }
        let index = self.free.pop().ok_or(Error::LimitReached)?;
        let place = self
            .places
            .get_mut(usize::from(index))
            .ok_or(Error::LimitReached)?;
        place.used = true;
        Ok(u32::from(place.generation) << INDEX_BITS | u32::from(index))
    }

    /// The place of a key, if it is still that key's.
    fn place(&mut self, key: u64) -> Option<&mut Place> {
        let index = (key & ((1 << INDEX_BITS) - 1)) as usize;
        let place = self.places.get_mut(index)?;
        (place.used && u64::from(place.generation) == key >> INDEX_BITS).then_some(place)
    }

    fn free_place(&mut self, key: u32) -> VecDeque<Incoming> {
        let Some(place) = self.place(u64::from(key)) else {
            return VecDeque::new();
        };
        place.used = false;
        // A key is used again after 65536 lives of its place; a packet waits for less.
        place.generation = place.generation.wrapping_add(1);
        place.seen = Signals::empty();
        place.answer = None;
        place.wakers = [None, None];
        let calls = core::mem::take(&mut place.calls);
        self.free.push(key as u16);
        calls
    }
}

/// Makes the port.
pub(super) fn start() -> Result<(), Error> {
    PORT.store(Port::create()?.into_owned().into_raw().0, Ordering::Release);
    Ok(())
}

fn port() -> Handle {
    Handle(PORT.load(Ordering::Acquire))
}

/// Ends the executor's wait, now or the next one. From any thread.
pub(super) fn kick() {
    // A full port ends the wait as well.
    let _ = port::post(port(), KICK, &[0; WORDS]);
}

/// Waits for a packet and hands it on. Returns early for any reason: idle may.
pub(super) fn wait(deadline_ns: u64) {
    if let Ok(packet) = port::wait(port(), deadline_ns) {
        deliver(packet);
    }
}

/// Hands on a packet if there is one.
pub(super) fn look() {
    wait(abi::AT_ONCE);
}

fn deliver(packet: Packet) {
    let mut wakers = [None, None];
    let mut turned_away = None;
    {
        let mut table = TABLE.lock();
        match packet {
            Packet::Signals { key, signals } => {
                if let Some(place) = table.place(key) {
                    place.seen |= signals;
                    wakers = core::mem::take(&mut place.wakers);
                }
            }
            Packet::Call(call) => {
                let place = table.place(u64::from(call.key));
                if let Some(place) = place.and_then(Place::with_room) {
                    place.calls.push_back(call);
                    wakers = core::mem::take(&mut place.wakers);
                } else {
                    turned_away = Some(call);
                }
            }
            Packet::Answer { key, outcome } => {
                if let Some(place) = table.place(key) {
                    place.answer = Some(outcome);
                    wakers = core::mem::take(&mut place.wakers);
                }
            }
            Packet::Posted { .. } => {}
        }
    }
    // Both outside of the lock: a dropped call answers its caller, and a waker is the executor's business.
    drop(turned_away);
    for waker in wakers.into_iter().flatten() {
        waker.wake();
    }
}

/// One object's binding to the reactor's port. Dropped, it is unbound; calls that nobody took are answered as dropped.
///
/// One task at a time waits for [`WRITABLE`](Signals::WRITABLE), and one for anything else.
#[derive(Debug)]
pub struct Watch {
    handle: Handle,
    key: u32,
}

impl Watch {
    /// Watches `object`, which must outlive the watch, for `signals`. An object can be watched once at a time.
    ///
    /// # Errors
    /// [`Error::BadState`] in a program without an executor; [`Error::NoRight`]; the job's limits.
    pub fn new<T: Object>(object: &T, signals: Signals) -> Result<Self, Error> {
        let handle = object.handle();
        if gate::is_resident() {
            return Ok(Self { handle, key: 0 });
        }
        if port() == Handle::NONE {
            return Err(Error::BadState);
        }
        let key = TABLE.lock().take_place()?;
        if let Err(error) = Borrowed::<Port>::new(port()).bind(handle, signals, key) {
            drop(TABLE.lock().free_place(key));
            return Err(error);
        }
        Ok(Self { handle, key })
    }

    /// Waits until one of `signals`, which must be watched, has become set since it was last reported; or until the end of the
    /// object or of the other side. Cancel-safe. For who has just been told that nothing is there.
    pub async fn changed(&self, signals: Signals) -> Result<Signals, Error> {
        poll_fn(|context| self.poll_changed(signals, context)).await
    }

    /// [`changed`](Watch::changed) as a poll.
    pub fn poll_changed(
        &self,
        signals: Signals,
        context: &mut Context<'_>,
    ) -> Poll<Result<Signals, Error>> {
        if let Some(resident) = gate::resident() {
            return (resident.poll)(self.handle, signals | LASTING, context.waker());
        }
        self.poll(signals, context, |place| {
            let seen = place.seen & (signals | LASTING);
            place.seen &= !seen | LASTING;
            (!seen.is_empty()).then_some(Ok(seen))
        })
    }

    /// Waits until one of `signals`, which must be watched, is set, also if it has been for long: asks the kernel each time, for which
    /// the handle needs [`INSPECT`](abi::Rights::INSPECT). Cancel-safe.
    pub async fn signalled(&self, signals: Signals) -> Result<Signals, Error> {
        poll_fn(|context| {
            // Registered first: what becomes set after the question brings a packet.
            if let Poll::Ready(Err(error)) = self.poll_changed(signals, context) {
                return Poll::Ready(Err(error));
            }
            let set = match super::object::info(self.handle) {
                Ok(info) => Signals::from_bits_truncate(info.signals) & (signals | LASTING),
                Err(error) => return Poll::Ready(Err(error)),
            };
            if !set.is_empty() {
                return Poll::Ready(Ok(set));
            }
            // What was reported just now is gone again: wait for the next report.
            match self.poll_changed(signals, context) {
                Poll::Ready(Ok(_)) => {
                    context.waker().wake_by_ref();
                    Poll::Pending
                }
                other => other,
            }
        })
        .await
    }

    /// Waits for the next call of the watched endpoint. Cancel-safe.
    ///
    /// # Errors
    /// [`Error::Revoked`] when its handle was.
    pub async fn next_call(&self) -> Result<Incoming, Error> {
        poll_fn(|context| {
            if let Some(resident) = gate::resident() {
                return self.poll_resident_call(resident, context);
            }
            self.poll(Signals::READABLE, context, |place| {
                match place.calls.pop_front() {
                    Some(call) => Some(Ok(call)),
                    None => place
                        .seen
                        .contains(Signals::REVOKED)
                        .then_some(Err(Error::Revoked)),
                }
            })
        })
        .await
    }

    fn poll_resident_call(
        &self,
        resident: &gate::Resident,
        context: &mut Context<'_>,
    ) -> Poll<Result<Incoming, Error>> {
        let endpoint = Borrowed::<Endpoint>::new(self.handle);
        loop {
            match endpoint.receive_blocking(abi::AT_ONCE) {
                Err(Error::WouldWait | Error::TimedOut) => {}
                result => return Poll::Ready(result),
            }
            match (resident.poll)(self.handle, Signals::READABLE, context.waker()) {
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn poll<T>(
        &self,
        signals: Signals,
        context: &mut Context<'_>,
        take: impl FnOnce(&mut Place) -> Option<T>,
    ) -> Poll<T> {
        let mut old = None;
        let mut table = TABLE.lock();
        let Some(place) = table.place(u64::from(self.key)) else {
            return Poll::Pending;
        };
        let taken = match take(place) {
            Some(taken) => Poll::Ready(taken),
            None => {
                let [other, writer] = &mut place.wakers;
                let waker = if signals == Signals::WRITABLE {
                    writer
                } else {
                    other
                };
                old = waker.replace(context.waker().clone());
                Poll::Pending
            }
        };
        drop(table);
        drop(old);
        taken
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(resident) = gate::resident() {
            return (resident.forget)(self.handle);
        }
        // It may be unbound already, if the object was closed first.
        let _ = Borrowed::<Port>::new(port()).unbind(self.handle);
        let calls = TABLE.lock().free_place(self.key);
        drop(calls);
    }
}

/// A call under way. Dropped, it is given up: its answer finds nobody.
#[derive(Debug)]
pub struct StartedCall {
    key: u32,
    id: u64,
    /// The kernel knows no such call any more.
    over: bool,
}

impl StartedCall {
    /// Calls. The deadline orders the call among those that wait for the same server; it does not end it.
    ///
    /// # Errors
    /// Those of [`started::start`]; [`Error::BadState`] in a program without an executor.
    pub fn new(endpoint: &Endpoint, deadline_ns: u64, message: Message<'_>) -> Result<Self, Error> {
        if port() == Handle::NONE {
            return Err(Error::BadState);
        }
        let key = TABLE.lock().take_place()?;
        match started::start(endpoint, deadline_ns, message, port(), u64::from(key)) {
            Ok(id) => Ok(Self {
                key,
                id,
                over: false,
            }),
            Err(error) => {
                drop(TABLE.lock().free_place(key));
                Err(error)
            }
        }
    }

    /// Waits for the answer. Cancel-safe; once it has come, there is no other.
    ///
    /// # Errors
    /// [`Error::PeerClosed`] if nobody will answer; [`Error::Revoked`] if the handle was.
    pub async fn answered(&mut self) -> Result<Body, Error> {
        let outcome = poll_fn(|context| {
            let mut old = None;
            let mut table = TABLE.lock();
            let Some(place) = table.place(u64::from(self.key)) else {
                return Poll::Pending;
            };
            let answer = match place.answer.take() {
                Some(answer) => Poll::Ready(answer),
                None => {
                    let [waker, _] = &mut place.wakers;
                    old = waker.replace(context.waker().clone());
                    Poll::Pending
                }
            };
            drop(table);
            drop(old);
            answer
        })
        .await;
        self.over = !matches!(outcome, Ok(Body::Long(_)));
        outcome
    }

    /// Fetches a long answer. What was in `handles` is closed first.
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`]: the answer stays.
    pub fn read(&mut self, bytes: &mut [u8], handles: &mut Handles) -> Result<Lengths, ReadError> {
        let lengths = started::read(self.id, bytes, handles)?;
        self.over = true;
        Ok(lengths)
    }
}

impl Drop for StartedCall {
    fn drop(&mut self) {
        if !self.over {
            // It may be over by now.
            let _ = started::end(self.id);
        }
        drop(TABLE.lock().free_place(self.key));
    }
}
