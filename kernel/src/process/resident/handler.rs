//! Calls that a resident server answers where they are made: in its caller's poll, without being woken.
//!
//! A server leaves a [`Handler`] at an endpoint: a function in its arena that answers a short call at once, or says that this needs the
//! server's own task. A thread of the server's core that calls there runs it, contained as the server itself is, with its own
//! deadline and in its own time. Everybody else, and whatever the handler turns down, goes the ordinary way through the endpoint.
//!
//! The first such call of a thread comes here by [`call`]. What was found out about its handle is remembered ([`Known`]); the next ones
//! through it are answered inside of the gate ([`InGate`]).
//!
//! # What must hold
//! - A server's memory is used on its core alone, and by one at a time: by a poll of its own, or by a handler. Polls do not nest, and
//!   who runs a handler has [entered](Handler::enter) it first.
//! - A handler that is closed is not entered any more. The arena goes only when none is entered: [`Resident::close_handlers`].
//! - A handler that fails is closed where it failed, before anybody else can look, and ends its server. Its caller's call ends with
//!   [`PeerClosed`](Error::PeerClosed), as if the server had died over it.
//! - A handler is as long as a poll may be. One that is too long too often is closed: the server's own task has its polls counted.

use core::mem::ManuallyDrop;
use core::sync::atomic::{AtomicU32, Ordering};

use abi::{Error, Handle, Rights};
use hal::cpu::percpu;
use hal::time;
use hal::user::contain::{Abandoned, contain_in, why_abandoned};
use hal::user::{Answerer, AtOnce, UserContext};
use objects::endpoint::Endpoint;
use objects::job::Charge;
use objects::refs::{Ref, WeakRef};
use rt::sys::gate::Answers;

use super::{Resident, running, task};
use crate::process::context::Context;
use crate::process::object::Object;
use crate::process::thread::Thread;

/// Most endpoints with handlers of one server.
const MOST: usize = 16;
/// As long as a poll may take that names no other limit.
const LONGEST_NS: u64 = 50_000;
/// A handler that is too long so often in a row is closed.
const MOST_OVERRUNS: u32 = 16;
/// Of a thread's calls in the gate, one in so many is timed: reading the clock twice would be a tenth of such a call.
const TIMED: u32 = 16;

/// In [`Handler::state`]: somebody runs it.
const ENTERED: u32 = 1 << 0;
/// Nobody will any more.
const CLOSED: u32 = 1 << 1;

/// What answers calls of an endpoint for a server.
pub struct Handler {
    resident: Ref<Resident>,
    /// [`ENTERED`], [`CLOSED`].
    state: AtomicU32,
    /// In the arena: called by who has entered, and never dropped.
    function: ManuallyDrop<Answers>,
    longest_ticks: u64,
    /// In a row.
    overruns: AtomicU32,
    _charge: Charge,
}

impl Handler {
    /// Whether the calling core, which is the server's, may run it: then it [leaves](Self::leave) it.
    #[inline]
    fn enter(&self) -> bool {
        debug_assert!(percpu::core_number() == self.resident.core.index() as u32);
        self.state
            .compare_exchange(0, ENTERED, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
    }

    #[inline]
    fn leave(&self) {
        self.state.fetch_and(!ENTERED, Ordering::Release);
    }

    /// It took so long.
    #[cold]
    fn took(&self, ticks: u64) {
        if ticks <= self.longest_ticks {
            self.overruns.store(0, Ordering::Relaxed);
            return;
        }
        let overruns = self.overruns.fetch_add(1, Ordering::Relaxed) + 1;
        if overruns != MOST_OVERRUNS {
            return;
        }
        self.state.fetch_or(CLOSED, Ordering::SeqCst);
        if let Some(server) = running::owner(self.resident.arena.owner()) {
            log::warn!(
                target: "process",
                "{} answers calls by tasks of its own from now on: the last {overruns} took its callers too long, this one {} us",
                server.process.name(),
                time::ticks_to_ns(ticks) / 1000
            );
        }
    }

    /// It was abandoned, having been entered: ends the server.
    #[cold]
    fn failed(&self, abandoned: &Abandoned) {
        self.state.store(CLOSED, Ordering::SeqCst);
        if let Some(server) = running::owner(self.resident.arena.owner()) {
            log::info!(target: "process", "{} fails over a call in its caller's poll", server.process.name());
            task::died(&server, abandoned);
        }
    }
}

/// A handler in its server's list.
pub(super) struct Listed {
    endpoint: WeakRef<Endpoint<Object>>,
    handler: Ref<Handler>,
}

impl Resident {
    /// Closes all handlers; `false` if one is still being run.
    pub fn close_handlers(&self) -> bool {
        let mut idle = true;
        let mut index = 0;
        loop {
            let next = {
                let listed = self.handlers.lock();
                listed
                    .get(index)
                    .map(|listed| (listed.endpoint.upgrade(), listed.handler.clone()))
            };
            let Some((endpoint, handler)) = next else {
                return idle;
            };
            idle &= close(endpoint.as_deref(), &handler);
            index += 1;
        }
    }
}

/// Closes one; whether nobody is running it.
fn close(endpoint: Option<&Endpoint<Object>>, handler: &Ref<Handler>) -> bool {
    let before = handler.state.fetch_or(CLOSED, Ordering::SeqCst);
    if let Some(endpoint) = endpoint {
        endpoint.take_handler(|theirs| theirs.is(handler));
    }
    before & ENTERED == 0
}

/// Leaves a handler of the running server's at an endpoint, in place of the one before.
///
/// # Errors
/// [`Error::NoRight`] without the right to receive; [`Error::Unsupported`] through a leased handle; [`Error::LimitReached`],
/// [`Error::NoMemory`], [`Error::Dying`]. The function's memory is the arena's until that goes.
pub fn set(handle: Handle, function: Answers) -> Result<(), Error> {
    let function = ManuallyDrop::new(function);
    let thread = running::with(|running| running.thread.clone()).ok_or(Error::Unsupported)?;
    let process = &thread.process;
    let resident = process.resident().ok_or(Error::Unsupported)?;
    let picked = process
        .handles
        .pick(handle, Rights::RECEIVE, Object::as_endpoint)?;
    if picked.lease.is_some() {
        return Err(Error::Unsupported);
    }
    let handler = Ref::try_new(Handler {
        resident: resident.clone(),
        state: AtomicU32::new(0),
        function,
        longest_ticks: time::ns_to_ticks(LONGEST_NS),
        overruns: AtomicU32::new(0),
        _charge: process
            .account()
            .charge_kernel(Ref::<Handler>::BYTES + size_of::<Listed>() as u64)?,
    })?;
    let endpoint = picked.object;
    {
        let mut handlers = resident.handlers.lock();
        if handlers.len() >= MOST {
            return Err(Error::LimitReached);
        }
        handlers.try_reserve(1).map_err(|_| Error::NoMemory)?;
        handlers.push(Listed {
            endpoint: endpoint.downgrade(),
            handler: handler.clone(),
        });
    }
    let result = endpoint.set_handler(handler);
    if result.is_err() || !process.is_alive() {
        resident.close_handlers();
    }
    result
}

/// Takes the running server's handlers away from an endpoint.
pub fn unset(handle: Handle) {
    let Some(thread) = running::thread() else {
        return;
    };
    let handles = &thread.process.handles;
    let (Some(resident), Ok(picked)) = (
        thread.process.resident(),
        handles.pick(handle, Rights::RECEIVE, Object::as_endpoint),
    ) else {
        return;
    };
    let endpoint = picked.object;
    loop {
        let taken = {
            let mut handlers = resident.handlers.lock();
            let place = handlers
                .iter()
                .position(|listed| listed.endpoint.is_of(&endpoint));
            place.map(|place| handlers.swap_remove(place))
        };
        let Some(listed) = taken else { return };
        // Nobody runs it: this core runs the server.
        close(Some(&endpoint), &listed.handler);
    }
}

/// A handler that a thread has called, and by what it knows that it may again.
pub struct Known {
    /// The handle it called.
    handle: u64,
    /// [`HandleTable::changes`](objects::handle::HandleTable::changes) before that was looked up.
    changes: u64,
    badge: u32,
    /// It turned a call down just now, in the gate.
    declined: bool,
    /// Calls in the gate.
    calls: u32,
    /// When the last one that is timed began.
    began_ticks: u64,
    handler: Ref<Handler>,
}

/// Has the call in these registers answered at once, if the endpoint's server has a handler there that does.
///
/// # Errors
/// Those of the handle; [`Error::PeerClosed`] if the server died over it.
#[cold]
pub fn call(thread: &Thread, context: &mut Context) -> Result<bool, Error> {
    let handle = context.registers.rdi;
    let handles = &thread.process.handles;
    let changes = handles.changes();
    let picked = handles.pick(Handle(handle), Rights::CALL, Object::as_endpoint)?;
    let Some(handler) = picked.object.handler() else {
        return Ok(false);
    };
    if let Some(known) = &mut context.known
        && core::mem::take(&mut known.declined)
        && known.handle == handle
    {
        return Ok(false);
    }
    if thread.core != handler.resident.core || !handler.enter() {
        return Ok(false);
    }
    let began_ticks = time::now_ticks();
    let request = *context.words();
    let mut answer = [0; abi::message::WORDS];
    handler.resident.activate();
    let answered = contain_in(&handler.resident.arena, || {
        (handler.function)(picked.badge, &request, &mut answer)
    });
    let answered = match answered {
        Ok(answered) => answered,
        Err(abandoned) => {
            handler.failed(&abandoned);
            return Err(Error::PeerClosed);
        }
    };
    handler.took(time::now_ticks().saturating_sub(began_ticks));
    handler.leave();
    if answered {
        *context.words_mut() = answer;
        context.set_result(0);
    }
    if picked.lease.is_none() {
        let before = context.known.replace(Known {
            handle,
            changes,
            badge: picked.badge,
            declined: false,
            calls: 0,
            began_ticks: 0,
            handler,
        });
        drop(before);
    }
    Ok(answered)
}

/// Answers calls of a thread in the gate, by what it knows.
pub struct InGate<'a> {
    /// The thread that is in ring 3.
    pub thread: &'a Thread,
    /// What it knows.
    pub known: &'a mut Option<Known>,
}

impl AtOnce for InGate<'_> {
    #[inline]
    fn first_argument(&self) -> u64 {
        self.known.as_ref().map_or(0, |known| known.handle)
    }

    #[inline]
    fn begin(&mut self, _: &UserContext) -> Option<Answerer<'_>> {
        #[cfg(feature = "inject")]
        inject::at(inject::Point::ResidentCall);
        let known = self.known.as_mut()?;
        let process = &self.thread.process;
        // In the gate the page tables stay the caller's.
        if known.changes != process.handles.changes()
            || known.handler.resident.has_maps()
            || !known.handler.enter()
        {
            return None;
        }
        known.calls = known.calls.wrapping_add(1);
        if known.calls % TIMED == 0 {
            known.began_ticks = time::now_ticks();
        }
        Some(Answerer {
            arena: &known.handler.resident.arena,
            badge: known.badge,
            function: &**known.handler.function,
        })
    }

    #[inline]
    fn end(&mut self, answered: bool) {
        let Some(known) = self.known else { return };
        if known.calls % TIMED == 0 {
            known
                .handler
                .took(time::now_ticks().saturating_sub(known.began_ticks));
        }
        known.handler.leave();
        if answered {
            let calls = &self.thread.process.system_calls;
            calls.fetch_add(1, Ordering::Relaxed);
        } else {
            known.declined = true;
        }
    }
}

/// The handler that answered the thread's call in the gate has failed. The call's outcome.
#[cold]
pub fn abandoned(known: Option<Known>) -> Error {
    let abandoned = why_abandoned();
    if let Some(known) = known {
        known.handler.failed(&abandoned);
    }
    Error::PeerClosed
}
