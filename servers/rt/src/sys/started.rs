//! Calls that are started and answered later: what lets one thread have many of them under way.

use abi::message::{BufferArgs, Lengths, StartArgs, WORDS, Words};
use abi::{Call, Error, Handle};

use super::gate;
use super::message::{Handles, ReadError, address_of, received, receiving, sending};
use super::object::{Endpoint, Object};

/// What is sent.
#[derive(Debug)]
pub enum Message<'a> {
    /// In words.
    Words(Words),
    /// At length, with handles, which leave if the call is accepted.
    Long(&'a [u8], &'a mut Handles),
}

/// Calls; the answer comes as a packet of `port` with this key. The call's id, by which it is [ended](end) or its answer
/// [read].
///
/// # Errors
/// [`Error::PeerClosed`], [`Error::NoRight`], [`Error::Revoked`], [`Error::QueueFull`], [`Error::LimitReached`], [`Error::NoMemory`].
pub fn start(
    endpoint: &Endpoint,
    deadline_ns: u64,
    message: Message<'_>,
    port: Handle,
    key: u64,
) -> Result<u64, Error> {
    let (long, words, buffer) = match &message {
        Message::Words(words) => (0, *words, BufferArgs::default()),
        Message::Long(bytes, handles) => (1, [0; WORDS], sending(bytes, handles)),
    };
    let arguments = StartArgs {
        deadline_ns,
        port: port.0,
        key,
        long,
        words,
        message: buffer,
    };
    // SAFETY: the kernel reads what the arguments name, within the lengths there.
    let (rax, _) = unsafe {
        gate::call(
            Call::CallStart,
            [endpoint.handle().0, address_of(&arguments)],
        )
    };
    let id = Error::check(rax)?;
    if let Message::Long(_, handles) = message {
        handles.forget();
    }
    Ok(id)
}

/// Gives a call up, or lets its long answer go.
///
/// # Errors
/// [`Error::BadHandle`] if it is over.
pub fn end(id: u64) -> Result<(), Error> {
    // SAFETY: touches no memory.
    let (rax, _) = unsafe { gate::call(Call::CallEnd, [id]) };
    Error::check(rax).map(drop)
}

/// Fetches a long answer, which ends the call. What was in `handles` is closed first.
///
/// # Errors
/// [`Error::BufferTooSmall`]: the answer stays; [`Error::WouldWait`] if there is none yet; [`Error::BadHandle`].
pub fn read(id: u64, bytes: &mut [u8], handles: &mut Handles) -> Result<Lengths, ReadError> {
    let arguments = receiving(bytes, handles);
    // SAFETY: the kernel writes at most what the arguments say fits.
    let lengths = received(unsafe { gate::call(Call::AnswerRead, [id, address_of(&arguments)]) })?;
    handles.set_len(lengths.handles);
    Ok(lengths)
}
