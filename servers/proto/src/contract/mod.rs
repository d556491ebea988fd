//! Contracts: a service written down once, as functions; [`contract!`](crate::contract!) makes the rest of it.
//!
//! From the functions come: a trait that the server implements, one for what it answers without waiting, a client with the same functions, the server's dispatch, a
//! table of the methods (names for traces, which are idempotent), and a dictionary for fuzzing. [`echo`](crate::echo) is one.
//!
//! # Messages
//! A request is the method's number in order of declaration (one byte) and its arguments, a tuple in `postcard` form. An answer is a
//! [`Status`] (one byte) and, if that is [`Status::Done`], the result in that form. A contract whose messages have at most
//! [`SHORT_BYTES`] bytes goes in the eight words of short calls ([`to_words`]), others go in long calls.
//!
//! What must hold: whatever bytes arrive, [`Dispatch::dispatch`] answers them; a malformed request is answered with
//! [`Status::Malformed`] and reaches no method. A client that gets nonsense says [`CallError::Malformed`].
//!
//! # Restarts
//! When a server dies, its clients' calls end with [`Error::PeerClosed`]. A method marked `idempotent` is then sent again, after
//! [`Transport::reconnect`] has found the next instance; any other gives [`CallError::Lost`]: nobody knows whether it was done.

mod define;
mod message;

use core::fmt;
use core::future::Future;

use abi::Error;

pub use message::{SHORT_BYTES, decode, encode, from_words, in_words, room_in_words, to_words};

/// A method, as tables and traces show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Method {
    /// Its name.
    pub name: &'static str,
    /// Whether asking twice is as good as asking once.
    pub idempotent: bool,
}

/// First byte of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Status {
    /// The result follows.
    Done = 0,
    /// There is no method of that number: the client was built with a later contract.
    UnknownMethod = 1,
    /// The arguments are none of the method's.
    Malformed = 2,
    /// The answer does not fit into a message of the contract.
    TooLong = 3,
}

impl Status {
    /// The status of this byte.
    #[must_use]
    pub const fn from_raw(raw: u8) -> Option<Self> {
        Some(match raw {
            0 => Self::Done,
            1 => Self::UnknownMethod,
            2 => Self::Malformed,
            3 => Self::TooLong,
            _ => return None,
        })
    }
}

/// Why a call of a contract gave no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallError {
    /// The server is gone, and nobody knows whether it did what was asked. A new one may be there.
    Lost,
    /// The server did not take the request: see [`Status`].
    Refused(Status),
    /// The request does not fit into a message of the contract.
    TooLong,
    /// The answer is none of the contract's, or the server gave up the call: they were built with different contracts, or it is ill.
    Malformed,
    /// The kernel refused the call.
    Kernel(Error),
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost => {
                f.write_str("the server died; whether it did what was asked is not known")
            }
            Self::Refused(Status::UnknownMethod) => {
                f.write_str("the server does not know this method: it is older than its client")
            }
            Self::Refused(Status::TooLong) => {
                f.write_str("the server's answer does not fit into a message")
            }
            Self::Refused(_) => f.write_str("the server did not understand the arguments"),
            Self::TooLong => f.write_str("the arguments do not fit into a message"),
            Self::Malformed => f.write_str("the server's answer makes no sense"),
            Self::Kernel(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for CallError {}

/// Who calls, as far as the server is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// The badge of the handle it called with.
    pub badge: u32,
}

/// What brings a client's requests to a server: an endpoint in a system, a function call in a test.
pub trait Transport: Send + Sync {
    /// Sends a request and waits for the answer, which is put at the front of `answer`; its length.
    ///
    /// # Errors
    /// [`Error::PeerClosed`] if the server is gone, [`Error::BufferTooSmall`] for the answer, and whatever the kernel says.
    fn call(
        &self,
        request: &[u8],
        answer: &mut [u8],
    ) -> impl Future<Output = Result<usize, Error>> + Send;

    /// Finds the next instance of the server after it was gone; `false` if there is none to be found.
    fn reconnect(&self) -> impl Future<Output = bool> + Send;
}

/// A server's side of a contract, made by [`contract!`](crate::contract!) from an implementation of its trait.
pub trait Dispatch: Send + Sync {
    /// The contract's name.
    const NAME: &'static str;
    /// Longest message of the contract in bytes.
    const MAX_BYTES: usize;
    /// Its methods, in order of their numbers.
    const METHODS: &'static [Method];

    /// Answers a request: the answer at the front of `answer`, which has [`MAX_BYTES`](Dispatch::MAX_BYTES), and its length.
    fn dispatch(
        &self,
        caller: Caller,
        request: &[u8],
        answer: &mut [u8],
    ) -> impl Future<Output = usize> + Send;
}

/// What a [`Dispatch`] can answer without waiting.
pub trait DispatchAtOnce: Dispatch {
    /// Answers a request, as [`dispatch`](Dispatch::dispatch) would; or `None`, and nothing was done.
    fn dispatch_at_once(&self, caller: Caller, request: &[u8], answer: &mut [u8]) -> Option<usize>;
}

/// Sends a request, again if that does no harm, and gives back what the answer says: what the functions of a client do.
///
/// # Errors
/// See [`CallError`].
pub async fn exchange<'a, T: Transport>(
    transport: &T,
    method: Method,
    request: &[u8],
    answer: &'a mut [u8],
) -> Result<&'a [u8], CallError> {
    let len = loop {
        match transport.call(request, answer).await {
            Ok(len) => break len,
            Err(Error::PeerClosed) => {
                let found = transport.reconnect().await;
                if !method.idempotent || !found {
                    return Err(CallError::Lost);
                }
            }
            Err(error) => return Err(CallError::Kernel(error)),
        }
    };
    let (status, result) = answer
        .get(..len)
        .and_then(<[u8]>::split_first)
        .ok_or(CallError::Malformed)?;
    match Status::from_raw(*status) {
        Some(Status::Done) => Ok(result),
        Some(status) => Err(CallError::Refused(status)),
        None => Err(CallError::Malformed),
    }
}
