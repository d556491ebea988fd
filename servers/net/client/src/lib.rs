//! Sockets for programs: connections, datagrams, names, by the net server.
//!
//! ```ignore
//! let network = Network::new(manager);
//! let mut stream = network.connect_to("example.org", 80).await?;
//! stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
//! let count = stream.read(&mut buffer).await?;
//! ```
//!
//! * [`Network`]: the way to the server; finds the next one when one dies.
//! * [`TcpStream`], [`TcpListener`], [`UdpSocket`], [`Echo`]: sockets. Streams are `embedded_io_async`'s `Read` and `Write`.
//!
//! The unit's manifest says `uses = ["net"]` or `may-use = ["net"]`, and what it may do in `grants.net` ([`proto::net::Right`]).
//!
//! # Copies
//! What is read was copied once by the server, into memory that both have, and once more into the buffer of the reader; what is written
//! likewise. As long as neither side sleeps no system call is made.
//!
//! # When the server dies
//! Connections end with [`NetError::ServerGone`]. A [`TcpListener`] asks the next server for its port and goes on accepting: the server holds
//! the port for it.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod datagrams;
mod listener;
mod network;
mod socket;
mod stream;

pub use datagrams::{Echo, UdpSocket};
pub use listener::TcpListener;
pub use network::Network;
pub use proto::net::NetError;
pub use stream::{TcpReader, TcpStream, TcpWriter};

/// An error for the traits of `embedded_io_async`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IoError(pub NetError);

impl core::fmt::Display for IoError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.fmt(f)
    }
}

impl core::error::Error for IoError {}

impl embedded_io_async::Error for IoError {
    fn kind(&self) -> embedded_io_async::ErrorKind {
        use embedded_io_async::ErrorKind;
        match self.0 {
            NetError::ConnectionRefused => ErrorKind::ConnectionRefused,
            NetError::Reset => ErrorKind::ConnectionReset,
            NetError::ServerGone => ErrorKind::ConnectionAborted,
            NetError::TimedOut | NetError::NamesTimedOut => ErrorKind::TimedOut,
            NetError::NoRight(_) => ErrorKind::PermissionDenied,
            NetError::NoMemory => ErrorKind::OutOfMemory,
            NetError::PortInUse(..) => ErrorKind::AddrInUse,
            NetError::NoRoute(_) => ErrorKind::AddrNotAvailable,
            NetError::NoSuchName => ErrorKind::NotFound,
            NetError::Malformed | NetError::BadName | NetError::BadAddress(_) => {
                ErrorKind::InvalidInput
            }
            _ => ErrorKind::Other,
        }
    }
}

impl From<NetError> for IoError {
    fn from(error: NetError) -> Self {
        Self(error)
    }
}
