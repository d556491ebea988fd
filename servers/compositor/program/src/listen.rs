//! What happens at keyboard and pointer, from the input server.

use alloc::sync::Arc;

use abi::Error;
use proto::input::{Event, MAX_BYTES, Request, SERVICE, from_bytes};
use rt::input::{AskError, ask, listen};
use rt::service::Reconnect;
use rt::sys::message::Handles;
use rt::sys::object::Endpoint;
use rt::unit::{Found, Manager};
use rt::{Either, first};

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
                && error != AskError::Call(Error::PeerClosed)
            {
                return log::error!("the input server does not take listeners: {error}");
            }
        }
    }

    async fn listen(&self, endpoint: &Endpoint) -> Result<(), AskError> {
        let channel = listen(endpoint).await?;
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
                        match ask(endpoint, &Request::SetKeymap(word)).await {
                            Err(refused @ AskError::Refused(_)) => log::warn!("{refused}"),
                            asked => drop(asked?),
                        }
                    }
                }
            }
        }
    }
}
