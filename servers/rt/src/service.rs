//! Contracts over endpoints: [`Connection`], a client's way to a server, and [`serve`], a server's loop.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::future::{Future, poll_fn};
use core::task::Poll;

use abi::message::{WORDS, Words};
use abi::{Error, FOREVER, Handle};
use proto::contract::{
    Caller, Dispatch, DispatchAtOnce, SHORT_BYTES, Status, Transport, from_words, in_words,
    room_in_words, to_words,
};
use proto::manager::READY;
use spin::mutex::SpinMutex;

use crate::calls;
use crate::sys::endpoint::{Body, Incoming, Token};
use crate::sys::gate;
use crate::sys::heap::Yield;
use crate::sys::message::Handles;
use crate::sys::object::{Endpoint, Object};
use crate::watched::Watched;

/// Where the next instance of a server is found, when the one before is gone: the manager, in a system.
pub trait Reconnect: Send + Sync {
    /// An endpoint of the next instance, as soon as it is ready; `None` if there will be none.
    fn reconnect(&self) -> impl Future<Output = Option<Endpoint>> + Send;
}

/// A server that has no next instance.
#[derive(Clone, Copy, Debug, Default)]
pub struct Never;

impl Reconnect for Never {
    async fn reconnect(&self) -> Option<Endpoint> {
        None
    }
}

/// A client's way to a server: put it into a contract's `Client`. Tasks of one program share it.
#[derive(Debug)]
pub struct Connection<R> {
    endpoint: SpinMutex<(Arc<Endpoint>, u64), Yield>,
    reconnect: R,
    /// How long a call may take.
    timeout_ns: Option<u64>,
}

impl<R: Reconnect> Connection<R> {
    /// Calls go to `endpoint`, and to what `reconnect` finds after it.
    #[must_use]
    pub fn new(endpoint: Endpoint, reconnect: R) -> Self {
        Self {
            endpoint: SpinMutex::new((Arc::new(endpoint), 0)),
            reconnect,
            timeout_ns: None,
        }
    }

    /// The same, and no call takes longer than this: it ends with [`Error::TimedOut`].
    #[must_use]
    pub fn with_timeout_ns(self, timeout_ns: u64) -> Self {
        Self {
            timeout_ns: Some(timeout_ns),
            ..self
        }
    }

    fn deadline_ns(&self) -> u64 {
        self.timeout_ns.map_or(FOREVER, |timeout_ns| {
            crate::sys::clock::now_ns().saturating_add(timeout_ns)
        })
    }

    fn current(&self) -> (Arc<Endpoint>, u64) {
        let current = self.endpoint.lock();
        (Arc::clone(&current.0), current.1)
    }
}

impl<R: Reconnect> Transport for Connection<R> {
    async fn call(&self, request: &[u8], answer: &mut [u8]) -> Result<usize, Error> {
        let (endpoint, _) = self.current();
        calls::exchange(&endpoint, self.deadline_ns(), request, answer).await
    }

    async fn reconnect(&self) -> bool {
        let (_, before) = self.current();
        let Some(next) = self.reconnect.reconnect().await else {
            return false;
        };
        let next = Arc::new(next);
        let old = {
            let mut current = self.endpoint.lock();
            // Of several tasks that found the server gone, the first one's find is as good as any.
            if current.1 != before {
                return true;
            }
            current.1 += 1;
            core::mem::replace(&mut current.0, next)
        };
        drop(old);
        true
    }
}

/// A client's way to a server for programs without an executor: waits with the whole thread.
#[derive(Debug)]
pub struct Blocking(pub Endpoint);

impl Transport for Blocking {
    async fn call(&self, request: &[u8], answer: &mut [u8]) -> Result<usize, Error> {
        calls::exchange_blocking(&self.0, FOREVER, request, answer)
    }

    async fn reconnect(&self) -> bool {
        false
    }
}

/// Says to the manager, whose connection this is, that the server serves from now on.
///
/// # Errors
/// Those of a call.
pub async fn say_ready(manager: Endpoint) -> Result<(), Error> {
    // A short message of so many zero bytes is that number in the first word.
    let request = [0; READY as usize];
    let mut answer = [0; SHORT_BYTES];
    calls::exchange(&manager, FOREVER, &request, &mut answer)
        .await
        .map(drop)
}

/// Answers calls of a contract for as long as the endpoint lives. One that must wait goes on in a task of its own, so that it holds up
/// no other one.
///
/// # Errors
/// What ended it: [`Error::Revoked`].
pub async fn serve<D: Dispatch + 'static>(
    endpoint: &Watched<Endpoint>,
    server: Arc<D>,
) -> Result<(), Error> {
    loop {
        let call = endpoint.receive().await?;
        begin_answer(call, &server).await;
    }
}

/// [`serve`] for a server that answers some calls without waiting: these take no task and no memory, and where the server is resident
/// the callers of its core get their answers in their own polls.
///
/// # Errors
/// As [`serve`].
pub async fn serve_at_once<D: DispatchAtOnce + 'static>(
    endpoint: &Watched<Endpoint>,
    server: Arc<D>,
) -> Result<(), Error> {
    const {
        assert!(
            D::MAX_BYTES <= SHORT_BYTES,
            "what is answered at once goes in words"
        );
    }
    let _left_there = AtCallers::new(endpoint.handle(), &server);
    loop {
        let call = endpoint.receive().await?;
        let mut words = [0; WORDS];
        if let Body::Words(request) = &call.body
            && answer_at_once(&*server, call.badge, request, &mut words)
        {
            // The caller may be gone, which is as good.
            let _ = call.token.reply(&words);
            continue;
        }
        begin_answer(call, &server).await;
    }
}

/// Answers a short call if that needs no waiting.
#[inline(always)]
fn answer_at_once<D: DispatchAtOnce>(
    server: &D,
    badge: u32,
    request: &Words,
    answer: &mut Words,
) -> bool {
    let Some(request) = in_words(request) else {
        return false;
    };
    let Some((len, place)) = room_in_words(answer) else {
        return false;
    };
    match server.dispatch_at_once(Caller { badge }, request, place) {
        Some(bytes) => {
            *len = bytes as u8;
            true
        }
        None => false,
    }
}

/// As long as this lives, callers of an endpoint may have the resident server's answer in their own polls.
struct AtCallers(Handle);

impl AtCallers {
    fn new<D: DispatchAtOnce + 'static>(endpoint: Handle, server: &Arc<D>) -> Option<Self> {
        let resident = gate::resident()?;
        let server = Arc::clone(server);
        let answers = Box::new(move |badge: u32, request: &Words, answer: &mut Words| {
            answer_at_once(&*server, badge, request, answer)
        });
        // Where it cannot be, calls are received like any other.
        (resident.answer_at_once)(endpoint, answers)
            .ok()
            .map(|()| Self(endpoint))
    }
}

impl Drop for AtCallers {
    fn drop(&mut self) {
        if let Some(resident) = gate::resident() {
            (resident.answer_later)(self.0);
        }
    }
}

/// Answers a call, in a task of its own as soon as it must wait.
async fn begin_answer<D: Dispatch + 'static>(call: Incoming, server: &Arc<D>) {
    let server = Arc::clone(server);
    let mut answered = Box::pin(async move { answer(call, &*server).await });
    // Most are answered at once and need no task.
    let at_once = poll_fn(|context| Poll::Ready(answered.as_mut().poll(context))).await;
    if at_once.is_pending() {
        // Where there is no room for a task the call is dropped, and its caller told so.
        let _ = crate::tasks::spawn(D::NAME, answered);
    }
}

/// Answers one call of a contract.
pub async fn answer<D: Dispatch>(call: Incoming, server: &D) {
    let caller = Caller { badge: call.badge };
    let (Some(mut request), Some(mut reply)) = (zeroes(D::MAX_BYTES), zeroes(D::MAX_BYTES)) else {
        return;
    };
    match call.body {
        Body::Words(words) => {
            let len = match from_words(&words, &mut request).and_then(|len| request.get(..len)) {
                Some(request) => server.dispatch(caller, request, &mut reply).await,
                None => refuse(Status::Malformed, &mut reply),
            };
            let words = reply
                .get(..len)
                .and_then(to_words)
                .or_else(|| to_words(&[Status::TooLong as u8]));
            if let Some(words) = words {
                // The caller may be gone, which is as good.
                let _ = call.token.reply(&words);
            }
        }
        Body::Long(_) => {
            // Handles mean nothing in a contract: they are closed.
            let len = match call.token.read(&mut request, &mut Handles::new()) {
                Ok(lengths) => match request.get(..lengths.bytes as usize) {
                    Some(request) => server.dispatch(caller, request, &mut reply).await,
                    None => refuse(Status::Malformed, &mut reply),
                },
                Err(_) => refuse(Status::Malformed, &mut reply),
            };
            reply_long(call.token, reply.get(..len).unwrap_or_default());
        }
    }
}

fn refuse(status: Status, reply: &mut [u8]) -> usize {
    match reply.first_mut() {
        Some(first) => {
            *first = status as u8;
            1
        }
        None => 0,
    }
}

fn reply_long(token: Token, bytes: &[u8]) {
    if let Err((Error::BufferTooSmall, Some(token))) = token.reply_long(bytes, &mut Handles::new())
    {
        // A caller with less room than the contract says learns at least that.
        let _ = token.reply_long(&[Status::TooLong as u8], &mut Handles::new());
    }
}

fn zeroes(len: usize) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(len).ok()?;
    bytes.resize(len, 0);
    Some(bytes)
}
