//! Finding a compositor.

use core::fmt;

use abi::{Error, FOREVER};
use proto::window::{CONNECT, DONE};
use rt::Watched;
use rt::sys::env::Missing;
use rt::sys::message::Handles;
use rt::sys::object::{Channel, Endpoint, Owned};
use rt::unit::AskError;

/// Why there is no connection to a compositor.
#[derive(Debug)]
pub enum NotConnected {
    /// The program was not given what it takes.
    Handle(&'static str, Missing),
    /// The manager knows no compositor.
    Manager(AskError),
    /// A step failed.
    Step(&'static str, Error),
    /// The compositor would not.
    Refused,
}

impl fmt::Display for NotConnected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Handle(name, missing) => {
                write!(
                    f,
                    "no windows without the handle {name}: {missing}; the unit's manifest needs uses = [\"window\"]"
                )
            }
            Self::Manager(error) => write!(f, "there is no compositor: {error}"),
            Self::Step(step, error) => write!(f, "{step}: {error}"),
            Self::Refused => f.write_str("the compositor takes no more programs"),
        }
    }
}

impl core::error::Error for NotConnected {}

/// Asks a compositor for a channel. `None`: it died over it.
pub fn channel(endpoint: &Endpoint) -> Result<Option<Watched<Channel>>, NotConnected> {
    let (mut send, mut receive) = (Handles::new(), Handles::new());
    let mut answer = [0; 64];
    let answered =
        endpoint.call_long_blocking(FOREVER, &[CONNECT], &mut send, &mut answer, &mut receive);
    match answered {
        Ok(_) if answer.first() == Some(&DONE) => {}
        Ok(_) => return Err(NotConnected::Refused),
        Err(bad) if bad.error == Error::PeerClosed => return Ok(None),
        Err(bad) => return Err(NotConnected::Step("calling the compositor", bad.error)),
    }
    let channel = receive.pop_front().map(Owned::cast::<Channel>);
    let Some(Ok(channel)) = channel else {
        return Err(NotConnected::Refused);
    };
    let channel = Watched::channel(channel)
        .map_err(|error| NotConnected::Step("watching the compositor's channel", error))?;
    Ok(Some(channel))
}
