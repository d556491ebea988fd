//! Ports that are listened to.

use core::time::Duration;

use proto::net::{MAX_BYTES, NetError, Notice, from_bytes};
use rt::duplex::End;
use rt::sys::message::Handles;
use rt::sys::object::Channel;
use rt::{Watched, sleep};

use crate::network::{Network, kernel};
use crate::stream::TcpStream;

/// Between two tries to have the port again.
const AGAIN_AFTER: Duration = Duration::from_millis(50);
const TRIES: u32 = 200;

/// A port that is listened to. It outlives net servers: the next one is asked for the same port.
#[derive(Debug)]
pub struct TcpListener {
    network: Network,
    channel: Watched<Channel>,
    port: u16,
    backlog: u16,
}

impl TcpListener {
    pub(crate) async fn new(network: Network, port: u16, backlog: u16) -> Result<Self, NetError> {
        let (channel, port) = network.listening(port, backlog).await?;
        Ok(Self {
            network,
            channel,
            port,
            backlog,
        })
    }

    /// The port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Waits for the next connection. Cancel-safe.
    ///
    /// # Errors
    /// What the next server says of the port, when one has died.
    pub async fn accept(&mut self) -> Result<TcpStream, NetError> {
        loop {
            let mut bytes = [0; MAX_BYTES];
            let mut handles = Handles::new();
            match self.channel.receive(&mut bytes, &mut handles).await {
                Ok(lengths) => {
                    let notice = bytes
                        .get(..lengths.bytes as usize)
                        .and_then(from_bytes::<Notice>);
                    let Some(Notice::Accepted { remote, local }) = notice else {
                        continue;
                    };
                    match End::from_handles(&mut handles) {
                        Ok(end) => return Ok(TcpStream::new(end, local, remote)),
                        // Without room for it the connection ends; the others go on.
                        Err(error) => log::warn!("a connection is lost: {error}"),
                    }
                }
                Err(bad) => match kernel(bad.error) {
                    NetError::ServerGone => self.again().await?,
                    error => return Err(error),
                },
            }
        }
    }

    /// The same port, of the next server.
    async fn again(&mut self) -> Result<(), NetError> {
        let mut last = NetError::ServerGone;
        for _ in 0..TRIES {
            match self.network.listening(self.port, self.backlog).await {
                Ok((channel, _)) => {
                    self.channel = channel;
                    return Ok(());
                }
                Err(error @ (NetError::ServerGone | NetError::PortInUse(..))) => last = error,
                Err(error) => return Err(error),
            }
            sleep(AGAIN_AFTER).await;
        }
        Err(last)
    }
}
