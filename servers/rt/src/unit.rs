//! A unit's side of the manager: [`Manager`] says that the unit is ready and well and asks for things; [`Found`] finds a service's
//! next instance.
//!
//! The manager may die over a request. Its endpoint stays, as the next manager has it: a call that it had not taken yet waits, one
//! that it had taken ends with [`PeerClosed`](Error::PeerClosed). What is sent again here is what the contract calls idempotent.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;
use core::ops::Range;

use abi::message::WORDS;
use abi::{Error, FOREVER, Signals};
use proto::contract::SHORT_BYTES;
use proto::manager::{ALIVE, Answer, Grant, MAX_GRANT_BYTES, MAX_REQUEST_BYTES, READY, Request};
use proto::table::Reader;
use proto::{Cursor, Refused};

use crate::calls;
use crate::service::Reconnect;
use crate::sys::message::Handles;
use crate::sys::object::{Channel, Endpoint, Object, Owned};
use crate::watched::Watched;

/// Longest answer without its rows.
pub const ANSWER_BYTES: usize = 256;
/// Most entries of a manifest's grants for one service.
const MOST_GRANTS: usize = 32;

/// Why the manager did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AskError {
    /// It would not.
    Refused(Box<Refused>),
    /// The call failed; [`Error::PeerClosed`]: it died over a request that is not sent twice, so it may be done or not.
    Call(Error),
    /// The answer is none to the request: one of both sides was built with another contract.
    Unexpected,
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refused) => refused.fmt(f),
            Self::Call(error) => write!(f, "the manager does not answer: {error}"),
            Self::Unexpected => f.write_str("the manager's answer is none to the question"),
        }
    }
}

impl core::error::Error for AskError {}

impl From<Error> for AskError {
    fn from(error: Error) -> Self {
        Self::Call(error)
    }
}

impl From<AskError> for Refused {
    fn from(error: AskError) -> Self {
        match error {
            AskError::Refused(refused) => *refused,
            other => Self::because(format_args!("{other}")),
        }
    }
}

/// The manager, as the unit that has this handle sees it.
#[derive(Debug)]
pub struct Manager(Endpoint);

impl Manager {
    /// By the handle `manager`.
    #[must_use]
    pub const fn new(endpoint: Endpoint) -> Self {
        Self(endpoint)
    }

    /// Says that the unit serves from now on; `false` if the manager knows no such unit any more.
    ///
    /// # Errors
    /// As [`Endpoint::call_blocking`].
    pub fn say_ready(&self) -> Result<bool, Error> {
        self.say(READY)
    }

    /// [`say_ready`](Self::say_ready) for tasks: also those of a resident server, which cannot wait otherwise.
    ///
    /// # Errors
    /// Those of a call.
    pub async fn tell_ready(&self) -> Result<bool, Error> {
        // A short message of so many zero bytes is that number in the first word.
        let request = [0; READY as usize];
        loop {
            let mut answer = [0; SHORT_BYTES];
            match calls::exchange(&self.0, FOREVER, &request, &mut answer).await {
                Ok(done) => return Ok(done == 0),
                Err(error) if self.died_over(error) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Says that the unit is well; `false` as there.
    ///
    /// # Errors
    /// As [`Endpoint::call_blocking`].
    pub fn say_alive(&self) -> Result<bool, Error> {
        self.say(ALIVE)
    }

    fn say(&self, number: u64) -> Result<bool, Error> {
        let mut words = [0; WORDS];
        words[0] = number;
        loop {
            match self.0.call_blocking(FOREVER, &words) {
                Ok([done, ..]) => return Ok(done == 0),
                Err(error) if self.died_over(error) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Whether the call failed because this manager died, and there will be another.
    fn died_over(&self, error: Error) -> bool {
        let closed = Signals::PEER_CLOSED.bits();
        error == Error::PeerClosed && self.0.info().is_ok_and(|info| info.signals & closed == 0)
    }

    fn again(&self, request: &Request<'_>, error: Error) -> bool {
        request.is_idempotent() && self.died_over(error)
    }

    /// Asks, and waits with the whole thread. The answer, and where in `bytes` its rows are, with handles in `receive`. An idempotent
    /// request is sent again until a manager answers it.
    ///
    /// # Errors
    /// See [`AskError`].
    pub fn ask_blocking(
        &self,
        request: &Request<'_>,
        bytes: &mut [u8],
        receive: &mut Handles,
    ) -> Result<(Answer, Range<usize>), AskError> {
        loop {
            match self.ask_once(request, &mut Handles::new(), bytes, receive) {
                Err(AskError::Call(error)) if self.again(request, error) => {}
                answer => return answer,
            }
        }
    }

    fn ask_once(
        &self,
        request: &Request<'_>,
        send: &mut Handles,
        bytes: &mut [u8],
        receive: &mut Handles,
    ) -> Result<(Answer, Range<usize>), AskError> {
        let mut buffer = [0; MAX_REQUEST_BYTES];
        let request = encode(request, &mut buffer)?;
        let lengths = self
            .0
            .call_long_blocking(FOREVER, request, send, bytes, receive)
            .map_err(|bad| bad.error)?;
        decode(bytes, lengths.bytes as usize)
    }

    /// The same for tasks.
    async fn exchange(
        &self,
        request: &Request<'_>,
        send: &mut Handles,
        bytes: &mut [u8],
        receive: &mut Handles,
    ) -> Result<(Answer, Range<usize>), AskError> {
        let mut buffer = [0; MAX_REQUEST_BYTES];
        let request = encode(request, &mut buffer)?;
        let len = calls::exchange_handles(&self.0, request, send, bytes, receive).await?;
        decode(bytes, len)
    }

    /// What the manifest of the unit whose connection to `service` has this badge grants it there; only for who offers the service. At most
    /// `words.len()` entries, and how many there are. For tasks.
    ///
    /// # Errors
    /// See [`AskError`].
    pub async fn granted(
        &self,
        service: &str,
        badge: u32,
        words: &mut [Grant],
    ) -> Result<usize, AskError> {
        let (mut count, mut after) = (0, Cursor::START);
        loop {
            let mut bytes = [0; ANSWER_BYTES + MOST_GRANTS * (MAX_GRANT_BYTES + 8)];
            let request = Request::Granted {
                service,
                badge,
                after,
            };
            let (mut send, mut receive) = (Handles::new(), Handles::new());
            let asked = self
                .exchange(&request, &mut send, &mut bytes, &mut receive)
                .await;
            let (answer, rows) = match asked {
                Err(AskError::Call(error)) if self.again(&request, error) => continue,
                asked => asked?,
            };
            let Answer::Rows {
                after: behind,
                count: 1..,
            } = answer
            else {
                return Ok(count);
            };
            after = behind;
            let rows = Reader::<Grant>::new(bytes.get(rows).unwrap_or_default());
            for grant in rows {
                let grant = grant.map_err(|_| AskError::Unexpected)?;
                let Some(place) = words.get_mut(count) else {
                    return Ok(count);
                };
                *place = grant;
                count += 1;
            }
        }
    }

    /// A connection to a service that the unit's manifest uses, as soon as its unit is ready: waits with the whole thread.
    ///
    /// # Errors
    /// See [`AskError`].
    pub fn connect_blocking(&self, service: &str) -> Result<Endpoint, AskError> {
        let mut handles = Handles::new();
        let request = Request::Connect { service };
        match self.ask_blocking(&request, &mut [0; ANSWER_BYTES], &mut handles)? {
            (Answer::Done, _) => endpoint(&mut handles),
            _ => Err(AskError::Unexpected),
        }
    }

    /// The same for tasks.
    ///
    /// # Errors
    /// See [`AskError`].
    pub async fn connect(&self, service: &str) -> Result<Endpoint, AskError> {
        let mut handles = Handles::new();
        self.ask(&Request::Connect { service }, &mut handles)
            .await?;
        endpoint(&mut handles)
    }

    /// Asks for something that [may take long](Request::can_wait), and waits with the calling task alone; handles that come with the
    /// answer are in `receive`. Sent again as there.
    ///
    /// # Errors
    /// See [`AskError`].
    pub async fn ask(&self, request: &Request<'_>, receive: &mut Handles) -> Result<(), AskError> {
        loop {
            match self.ask_by_channel(request, receive).await {
                Err(AskError::Call(error)) if self.again(request, error) => {}
                answer => return answer,
            }
        }
    }

    /// With a channel for the answer, so that the call itself is answered at once.
    async fn ask_by_channel(
        &self,
        request: &Request<'_>,
        receive: &mut Handles,
    ) -> Result<(), AskError> {
        let (ours, theirs) = Channel::create()?;
        let mut bytes = [0; ANSWER_BYTES];
        {
            let mut send = Handles::new();
            // The first of sixteen places.
            let _ = send.push(theirs.into_owned());
            match self
                .exchange(request, &mut send, &mut bytes, receive)
                .await?
            {
                (Answer::Later, _) => {}
                (Answer::Done, _) => return Ok(()),
                _ => return Err(AskError::Unexpected),
            }
        }
        let ours = Watched::channel(ours)?;
        let lengths = ours.receive(&mut bytes, receive).await;
        let lengths = lengths.map_err(|bad| bad.error)?;
        let bytes = bytes.get(..lengths.bytes as usize).unwrap_or_default();
        match Answer::decode(bytes) {
            Ok((Answer::Done, _)) => Ok(()),
            Ok((Answer::Refused(refused), _)) => Err(AskError::Refused(Box::new(refused))),
            _ => Err(AskError::Unexpected),
        }
    }
}

fn encode<'a>(request: &Request<'_>, buffer: &'a mut [u8]) -> Result<&'a [u8], AskError> {
    let encoded = request.encode(buffer);
    encoded.map_err(|bad| AskError::Refused(Box::new(bad.into())))
}

/// The answer at the front of `bytes`, and where its rows are.
fn decode(bytes: &[u8], len: usize) -> Result<(Answer, Range<usize>), AskError> {
    let answered = bytes.get(..len).ok_or(AskError::Unexpected)?;
    let (answer, rows) = Answer::decode(answered).map_err(|_| AskError::Unexpected)?;
    match answer {
        Answer::Refused(refused) => Err(AskError::Refused(Box::new(refused))),
        answer => Ok((answer, len - rows.len()..len)),
    }
}

fn endpoint(handles: &mut Handles) -> Result<Endpoint, AskError> {
    handles
        .pop_front()
        .map(Owned::cast::<Endpoint>)
        .and_then(Result::ok)
        .ok_or(AskError::Unexpected)
}

/// Where a service's next instance is found: for [`Connection`](crate::service::Connection).
#[derive(Clone, Debug)]
pub struct Found {
    /// The manager.
    pub manager: Arc<Manager>,
    /// The service, which the unit's manifest uses.
    pub service: &'static str,
}

impl Reconnect for Found {
    async fn reconnect(&self) -> Option<Endpoint> {
        match self.manager.connect(self.service).await {
            Ok(endpoint) => Some(endpoint),
            Err(error) => {
                log::warn!("{}: {error}", self.service);
                None
            }
        }
    }
}
