//! Why the net server refuses, and why sockets end.

use core::fmt;
use core::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::{Protocol, Right};

/// Why something was not done, or is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NetError {
    /// The unit's manifest does not grant it.
    NoRight(Right),
    /// The request makes no sense.
    Malformed,
    /// Somebody has that port.
    PortInUse(Protocol, u16),
    /// No port is free.
    NoPort,
    /// No interface leads there: it has no address, or there is no route.
    NoRoute(IpAddr),
    /// Nobody can have this address or port, or it cannot be connected to.
    BadAddress(SocketAddr),
    /// The peer does not take connections to that port.
    ConnectionRefused,
    /// The peer has ended the connection in the middle.
    Reset,
    /// The peer did not answer.
    TimedOut,
    /// The interface lost its address, or its link is gone.
    NetworkDown,
    /// The client has so many sockets already.
    TooManySockets(u32),
    /// The client's rings would have more bytes than this.
    TooManyRingBytes(u32),
    /// No memory.
    NoMemory,
    /// Nobody can have this name.
    BadName,
    /// There is no such name, or it has no address.
    NoSuchName,
    /// No server of names is known.
    NoNameServer,
    /// No server of names answered.
    NamesTimedOut,
    /// The servers of names refused or failed; their code (RFC 1035 §4.1.1).
    NamesFailed(u8),
    /// Too many names are being looked for.
    TooManyNames(u32),
    /// There is no interface of this name.
    NoInterface,
    /// Nobody can have this address on a network like that.
    BadSetup,
    /// The program wrote nonsense into its ring.
    Corrupt,
    /// A datagram does not fit into a packet; the longest in bytes.
    TooLong(u32),
    /// The server is gone, and the socket with it.
    ServerGone,
    /// The server could not be reached.
    Kernel(i32),
}

impl fmt::Display for NetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRight(right) => write!(
                f,
                "not allowed: the unit's manifest needs grants.net = [\"{right}\"]"
            ),
            Self::Malformed => f.write_str("the net server did not understand the request"),
            Self::PortInUse(protocol, port) => write!(f, "{protocol} port {port} is in use"),
            Self::NoPort => f.write_str("no port is free"),
            Self::NoRoute(address) => write!(
                f,
                "no route to {address}: no interface has an address that leads there (see `ip`)"
            ),
            Self::BadAddress(address) => write!(f, "{address} is no address to talk to"),
            Self::ConnectionRefused => f.write_str("connection refused: nobody listens there"),
            Self::Reset => f.write_str("connection reset by the other side"),
            Self::TimedOut => f.write_str("timed out: the other side does not answer"),
            Self::NetworkDown => f.write_str("the network is down: no link or no address"),
            Self::TooManySockets(most) => {
                write!(f, "too many sockets: this program may have {most}")
            }
            Self::TooManyRingBytes(most) => write!(
                f,
                "too much memory for sockets: this program's rings may have {most} bytes"
            ),
            Self::NoMemory => f.write_str("the net server has no memory left"),
            Self::BadName => f.write_str("this cannot be the name of a host"),
            Self::NoSuchName => f.write_str("no such name, or it has no address"),
            Self::NoNameServer => f.write_str("no name server is known (see `ip`)"),
            Self::NamesTimedOut => f.write_str("no name server answered"),
            Self::NamesFailed(code) => write!(f, "the name servers failed with code {code}"),
            Self::TooManyNames(most) => {
                write!(f, "too many names at once: the net server looks for {most}")
            }
            Self::NoInterface => f.write_str("there is no interface of this name (see `ip`)"),
            Self::BadSetup => f.write_str("an interface cannot have such an address"),
            Self::Corrupt => f.write_str("the socket's ring was damaged by this program"),
            Self::TooLong(most) => write!(f, "a datagram can have {most} bytes at most"),
            Self::ServerGone => f.write_str("the net server died, and the connection with it"),
            Self::Kernel(code) => match abi::Error::from_raw((*code).into()) {
                Some(error) => write!(f, "the net server cannot be asked: {error}"),
                None => f.write_str("the net server cannot be asked"),
            },
        }
    }
}

impl core::error::Error for NetError {}
