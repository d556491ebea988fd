//! Calls from tasks: a task waits for the answer, the others of its executor go on.
//!
//! A task starts its call and waits for the packet that brings the answer ([`reactor::StartedCall`]): one thread has as many calls under way
//! as it likes. A resident server has no port: its calls are the kernel's futures.

use core::future::poll_fn;
use core::time::Duration;

use abi::message::Lengths;
use abi::{Error, FOREVER, Handle};
use proto::contract::{SHORT_BYTES, from_words, to_words};
use zerocopy::IntoBytes;

use crate::race::{Either, first};
use crate::sys::clock;
use crate::sys::endpoint::Body;
use crate::sys::gate::{self, Resident};
use crate::sys::message::Handles;
use crate::sys::object::{Endpoint, Object};
use crate::sys::reactor::StartedCall;
use crate::sys::started::Message;

/// Sends the bytes of a message and gives back the answer's, waiting with the whole thread. Contracts of at most [`SHORT_BYTES`]
/// go in words.
///
/// # Errors
/// As [`Endpoint::call_blocking`]; [`Error::BufferTooSmall`] if the answer is longer than `answer`; [`Error::OutOfRange`] if the
/// answer is no message.
pub fn exchange_blocking(
    endpoint: &Endpoint,
    deadline_ns: u64,
    request: &[u8],
    answer: &mut [u8],
) -> Result<usize, Error> {
    if answer.len() <= SHORT_BYTES {
        let words = to_words(request).ok_or(Error::OutOfRange)?;
        let words = endpoint.call_blocking(deadline_ns, &words)?;
        return from_words(&words, answer).ok_or(Error::OutOfRange);
    }
    let (mut send, mut receive) = (Handles::new(), Handles::new());
    let lengths =
        endpoint.call_long_blocking(deadline_ns, request, &mut send, answer, &mut receive)?;
    Ok((lengths.bytes as usize).min(answer.len()))
}

/// [`exchange_blocking`] for tasks. Dropped before it is ready, it gives the call up.
///
/// # Errors
/// As there; [`Error::LimitReached`] at [`MAX_STARTED_CALLS`](abi::message::MAX_STARTED_CALLS); [`Error::BadState`] in a program without an
/// executor.
pub async fn exchange(
    endpoint: &Endpoint,
    deadline_ns: u64,
    request: &[u8],
    answer: &mut [u8],
) -> Result<usize, Error> {
    if let Some(resident) = gate::resident() {
        let (handle, max_bytes) = (endpoint.handle(), answer.len());
        let call = (resident.begin_call)(handle, deadline_ns, request, None, max_bytes)?;
        let lengths = UnderWay { resident, call }
            .answered(answer, &mut [])
            .await?;
        return Ok(lengths.bytes as usize);
    }
    let short = answer.len() <= SHORT_BYTES;
    let mut send = Handles::new();
    let message = if short {
        Message::Words(to_words(request).ok_or(Error::OutOfRange)?)
    } else {
        Message::Long(request, &mut send)
    };
    let mut call = StartedCall::new(endpoint, deadline_ns, message)?;
    let body = if deadline_ns == FOREVER {
        call.answered().await?
    } else {
        let left_ns = deadline_ns.saturating_sub(clock::now_ns());
        let time_out = crate::sleep(Duration::from_nanos(left_ns));
        match first(call.answered(), time_out).await {
            Either::A(answered) => answered?,
            Either::B(()) => return Err(Error::TimedOut),
        }
    };
    match body {
        Body::Words(words) if short => from_words(&words, answer).ok_or(Error::OutOfRange),
        Body::Words(words) => {
            // Answered with words alone: they are the bytes.
            let bytes = words.as_bytes();
            let len = bytes.len().min(answer.len());
            for (to, from) in answer.iter_mut().zip(bytes) {
                *to = *from;
            }
            Ok(len)
        }
        Body::Long(_) => {
            let lengths = call.read(answer, &mut Handles::new())?;
            Ok((lengths.bytes as usize).min(answer.len()))
        }
    }
}

/// A long call with handles both ways, for tasks: the answer's length. The handles leave `send` if the call was accepted; those of the
/// answer are in `receive`. Dropped before it is ready, it gives the call up.
///
/// # Errors
/// As [`exchange`].
pub async fn exchange_handles(
    endpoint: &Endpoint,
    request: &[u8],
    send: &mut Handles,
    answer: &mut [u8],
    receive: &mut Handles,
) -> Result<usize, Error> {
    if let Some(resident) = gate::resident() {
        let numbers = Some(send.numbers());
        let (handle, max_bytes) = (endpoint.handle(), answer.len());
        let call = (resident.begin_call)(handle, FOREVER, request, numbers, max_bytes)?;
        send.forget();
        let places = receive.places();
        let lengths = UnderWay { resident, call }.answered(answer, places).await?;
        receive.set_len(lengths.handles);
        return Ok(lengths.bytes as usize);
    }
    let mut call = StartedCall::new(endpoint, FOREVER, Message::Long(request, send))?;
    match call.answered().await? {
        // Answered with words alone: it was dropped.
        Body::Words(_) => Err(Error::PeerClosed),
        Body::Long(_) => {
            let lengths = call.read(answer, receive)?;
            Ok((lengths.bytes as usize).min(answer.len()))
        }
    }
}

/// A resident server's call.
struct UnderWay {
    resident: &'static Resident,
    call: u64,
}

impl UnderWay {
    async fn answered(&self, answer: &mut [u8], handles: &mut [Handle]) -> Result<Lengths, Error> {
        poll_fn(|context| (self.resident.answer)(self.call, answer, handles, context.waker())).await
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        (self.resident.give_up)(self.call);
    }
}
