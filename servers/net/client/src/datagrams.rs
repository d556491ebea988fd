//! Datagrams and echo requests.

use core::future::poll_fn;
use core::net::{IpAddr, SocketAddr};

use proto::net::{DATAGRAM_HEADER_BYTES, NetError, datagram_address, datagram_header};
use ring::{Receiver, Sender};
use rt::duplex::{End, Part};

use crate::socket::Line;

#[derive(Debug)]
struct Records {
    line: Line,
    sender: Sender<Part>,
    receiver: Receiver<Part>,
}

impl Records {
    fn new(end: End) -> Self {
        Self {
            line: Line::new(end.bell),
            sender: end.sender,
            receiver: end.receiver,
        }
    }

    async fn send(&mut self, to: SocketAddr, bytes: &[u8]) -> Result<(), NetError> {
        let Self { line, sender, .. } = self;
        let len = DATAGRAM_HEADER_BYTES + bytes.len();
        let most = sender.most_bytes();
        if len > most {
            let most = most.saturating_sub(DATAGRAM_HEADER_BYTES);
            return Err(NetError::TooLong(u32::try_from(most).unwrap_or(u32::MAX)));
        }
        poll_fn(|context| line.poll_room(sender, len, context)).await?;
        line.send(sender, &[&datagram_header(to), bytes])
    }

    /// The next one; what does not fit into the buffer is lost.
    async fn receive(&mut self, buffer: &mut [u8]) -> Result<(usize, SocketAddr), NetError> {
        let Self { line, receiver, .. } = self;
        loop {
            let mut header = [0; DATAGRAM_HEADER_BYTES];
            let head = poll_fn(|context| line.poll_take(receiver, &mut header, context)).await?;
            if head.bytes < DATAGRAM_HEADER_BYTES {
                continue;
            }
            let from = datagram_address(&header);
            if head.left == 0 {
                return Ok((0, from));
            }
            // It is there: a record comes as a whole.
            let body = poll_fn(|context| line.poll_take(receiver, buffer, context)).await?;
            if body.left > 0 && receiver.skip().map_err(|_| NetError::Corrupt)? {
                line.bell.ring();
            }
            return Ok((body.bytes, from));
        }
    }
}

/// Datagrams from and to a port.
#[derive(Debug)]
pub struct UdpSocket {
    records: Records,
    port: u16,
}

impl UdpSocket {
    pub(crate) fn new(end: End, port: u16) -> Self {
        Self {
            records: Records::new(end),
            port,
        }
    }

    /// Its port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Sends one, waiting for room; it may get lost on its way.
    ///
    /// # Errors
    /// [`NetError::TooLong`], [`NetError::ServerGone`].
    pub async fn send_to(&mut self, bytes: &[u8], to: SocketAddr) -> Result<(), NetError> {
        self.records.send(to, bytes).await
    }

    /// Waits for one: its length, and who sent it. What does not fit is lost.
    ///
    /// # Errors
    /// [`NetError::ServerGone`], [`NetError::TooLong`] for one that was sent before.
    pub async fn receive_from(
        &mut self,
        buffer: &mut [u8],
    ) -> Result<(usize, SocketAddr), NetError> {
        self.records.receive(buffer).await
    }
}

/// Echo requests to an address.
#[derive(Debug)]
pub struct Echo {
    records: Records,
    to: IpAddr,
}

impl Echo {
    pub(crate) fn new(end: End, to: IpAddr) -> Self {
        Self {
            records: Records::new(end),
            to,
        }
    }

    /// Sends a request that carries these bytes; they are numbered from 0.
    ///
    /// # Errors
    /// As [`UdpSocket::send_to`].
    pub async fn send(&mut self, bytes: &[u8]) -> Result<(), NetError> {
        let to = SocketAddr::new(self.to, 0);
        self.records.send(to, bytes).await
    }

    /// Waits for an answer: its length, who sent it, and the request's number.
    ///
    /// # Errors
    /// As [`UdpSocket::receive_from`].
    pub async fn receive(&mut self, buffer: &mut [u8]) -> Result<(usize, IpAddr, u16), NetError> {
        let (len, from) = self.records.receive(buffer).await?;
        Ok((len, from.ip(), from.port()))
    }
}
