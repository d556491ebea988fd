//! What happens at keyboard and pointer, from the input server.

use alloc::sync::Arc;

use abi::{Error, FOREVER};
use proto::input::{Answer, Event, MAX_BYTES, Request, SERVICE, from_bytes, to_bytes};
use rt::service::Reconnect;
use rt::sys::message::Handles;
use rt::sys::object::{Channel, Endpoint, Owned};
use rt::unit::{Found, Manager};
use rt::{Either, Watched, first};

use crate::state::Shared;

/// Listens to the input server, and to its successors.
pub struct Listener {
    endpoint: Option<Endpoint>,
    manager: Arc<Manager>,
    shared: Arc<Shared>,
}

impl Listener {
    /// Through this connection first.
    pub const fn new(endpoint: Endpoint, manager: Arc<Manager>, shared: Arc<Shared>) -> Self {
        Self {
            endpoint: Some(endpoint),
            manager,
            shared,
        }
    }

    /// Listens for ever.
    pub async fn run(mut self) {
        loop {
            let endpoint = match self.endpoint.take() {
                Some(endpoint) => endpoint,
                None => {
                    let found = Found {
                        manager: Arc::clone(&self.manager),
                        service: SERVICE,
                    };
                    match found.reconnect().await {
                        Some(endpoint) => endpoint,
                        None => return log::error!("there is no input server any more"),
                    }
                }
            };
            if let Err(error) = self.listen(&endpoint).await
                && error != Error::PeerClosed
            {
                return log::error!("the input server does not take listeners: {error}");
            }
        }
    }

    async fn listen(&self, endpoint: &Endpoint) -> Result<(), Error> {
        let channel = ask(endpoint, &Request::Listen)?
            .and_then(|handle| handle.cast::<Channel>().ok())
            .ok_or(Error::BadArgument)?;
        let channel = Watched::channel(channel)?;
        let mut bytes = [0; MAX_BYTES];
        let mut handles = Handles::new();
        loop {
            match first(
                channel.receive(&mut bytes, &mut handles),
                self.shared.settings.notified(),
            )
            .await
            {
                Either::A(received) => {
                    let lengths = received.map_err(|bad| bad.error)?;
                    let message = bytes.get(..lengths.bytes as usize).unwrap_or_default();
                    match from_bytes::<Event>(message) {
                        Some(event) => self.shared.change(|state| state.desk.input(&event)),
                        None => log::warn!("the input server sent what is no event"),
                    }
                }
                Either::B(()) => {
                    let keymap = self.shared.lock().keymap.take();
                    if let Some(word) = keymap {
                        ask(endpoint, &Request::SetKeymap(word))?;
                    }
                }
            }
        }
    }
}

/// Asks, and gives the handle that came with the answer. The input server answers at once.
fn ask(endpoint: &Endpoint, request: &Request) -> Result<Option<Owned>, Error> {
    let mut buffer = [0; MAX_BYTES];
    let request = to_bytes(request, &mut buffer).ok_or(Error::OutOfRange)?;
    let (mut send, mut receive) = (Handles::new(), Handles::new());
    let mut answer = [0; MAX_BYTES];
    let lengths = endpoint
        .call_long_blocking(FOREVER, request, &mut send, &mut answer, &mut receive)
        .map_err(|bad| bad.error)?;
    match from_bytes::<Answer>(answer.get(..lengths.bytes as usize).unwrap_or_default()) {
        Some(Answer::Done) => Ok(receive.pop_front()),
        Some(Answer::Refused(why)) => {
            log::warn!("the input server refuses: {}", &*why);
            Ok(None)
        }
        None => Err(Error::BadArgument),
    }
}
