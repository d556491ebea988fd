//! The input server, as who listens to it has it: [`proto::input`].

use core::fmt;

use abi::Error;
use proto::Text;
use proto::input::{Answer, MAX_BYTES, Request, from_bytes, to_bytes};

use crate::sys::message::Handles;
use crate::sys::object::{Channel, Endpoint, Owned};
use crate::{Watched, calls};

/// Why the input server did not do what it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AskError {
    /// The call failed; [`Error::BadArgument`] if the answer is none.
    Call(Error),
    /// It said so.
    Refused(Text<56>),
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call(error) => error.fmt(f),
            Self::Refused(why) => write!(f, "the input server refuses: {}", &**why),
        }
    }
}

impl core::error::Error for AskError {}

impl From<Error> for AskError {
    fn from(error: Error) -> Self {
        Self::Call(error)
    }
}

/// Asks, and gives the handle that came with the answer.
///
/// # Errors
/// [`AskError`].
pub async fn ask(endpoint: &Endpoint, request: &Request) -> Result<Option<Owned>, AskError> {
    let (mut buffer, mut answer) = ([0; MAX_BYTES], [0; MAX_BYTES]);
    let request = to_bytes(request, &mut buffer).ok_or(Error::OutOfRange)?;
    let (mut send, mut receive) = (Handles::new(), Handles::new());
    let len =
        calls::exchange_handles(endpoint, request, &mut send, &mut answer, &mut receive).await?;
    match from_bytes(answer.get(..len).unwrap_or_default()) {
        Some(Answer::Done) => Ok(receive.pop_front()),
        Some(Answer::Refused(why)) => Err(AskError::Refused(why)),
        None => Err(Error::BadArgument.into()),
    }
}

/// Listens: a [`proto::input::Event`] in each message of the channel.
///
/// # Errors
/// [`AskError`].
pub async fn listen(endpoint: &Endpoint) -> Result<Watched<Channel>, AskError> {
    let handle = ask(endpoint, &Request::Listen)
        .await?
        .ok_or(Error::BadArgument)?;
    let channel = handle.cast().map_err(|_| Error::BadArgument)?;
    Ok(Watched::channel(channel)?)
}
