//! Programs and the net server: connections, datagrams, names, and how interfaces are set up.
//!
//! The service `net` answers long calls: a [`Request`], an [`Answer`]. None of them waits: what takes its time (a connection to be made,
//! a name to be found) is told later through the channel that comes with the answer.
//!
//! # Sockets
//! A socket is two handles, which come with [`Answer::Opened`] or [`Notice::Accepted`]: a vmo with two rings of records (`ring`), first
//! the one from the server, behind it the one to the server; and a channel, the bell, whose empty messages wake the other side and
//! whose others are [`Notice`]s. Whoever holds the two has the socket; no other right is asked for again.
//! * TCP: records are pieces of the stream of whatever length; an empty one is its end. Nothing may be sent before
//!   [`Notice::Connected`], unless the socket was accepted.
//! * UDP and echo (ICMP): a record is a [header](DATAGRAM_HEADER_BYTES) and the datagram. The header's port is 0 for echo.
//!
//! Closing the bell closes the socket: what was sent before still goes out.
//!
//! Received bytes are copied once on their way into the memory of both, from where the stack put them in order, and once more if the
//! program wants them elsewhere; sent ones as often. No system call is made as long as neither side sleeps.
//!
//! # Rights
//! `uses = ["net"]` in a unit's manifest is the way to the server and allows to resolve names and to look at tables. Its `grants` say what
//! else it may do, as words: [`Right`]. What is refused says which one is missing.
//!
//! # Restarts
//! A server that dies takes the connections with it: bells close. The next one holds ports that were listened to for their owners, takes
//! connections for them meanwhile, and has interfaces set up as they were.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use serde::{Deserialize, Serialize};

pub use crate::messages::{from_bytes, to_bytes};
use crate::text::Text;

mod error;
mod rows;
#[cfg(test)]
mod tests;

pub use error::NetError;
pub use rows::{Row, SocketState, Traffic};

/// The service.
pub const SERVICE: &str = "net";
/// Longest request, answer and notice.
pub const MAX_BYTES: usize = 768;
/// In front of a datagram: the address it comes from or goes to (16 bytes, IPv4 as in RFC 4291 §2.5.5.2), its port (2 bytes,
/// little-endian), two bytes of zero.
pub const DATAGRAM_HEADER_BYTES: usize = 20;
/// Longest name that can be resolved (RFC 1035 §2.3.4).
pub const MAX_NAME_BYTES: usize = 253;
/// Most addresses of a name that are told.
pub const MAX_ADDRESSES: usize = 8;
/// Smallest and largest ring that can be asked for, in bytes; each way has one.
pub const MIN_RING_BYTES: u32 = 4096;
/// See [`MIN_RING_BYTES`].
pub const MAX_RING_BYTES: u32 = 1 << 20;
/// What is taken where nothing is asked for.
pub const DEFAULT_RING_BYTES: u32 = 32 << 10;
/// First free port for those that are chosen (RFC 6335 §6).
pub const FIRST_DYNAMIC_PORT: u16 = 49152;

/// A name.
pub type Name = Text<MAX_NAME_BYTES>;
/// The name of an interface.
pub type InterfaceName = Text<15>;

/// What a port is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Protocol {
    /// Transmission Control Protocol.
    Tcp,
    /// User Datagram Protocol.
    Udp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// What a manifest can grant. As words: `connect`, `listen tcp 80`, `listen udp any`, `configure`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Right {
    /// Connections to others, datagrams from ports that are chosen, echo.
    Connect,
    /// Connections or datagrams to a port; `None`: to any.
    Listen(Protocol, Option<u16>),
    /// Addresses, routes, servers of names.
    Configure,
}

impl Right {
    /// The right that these words name.
    #[must_use]
    pub fn from_words(words: &str) -> Option<Self> {
        let mut words = words.split_ascii_whitespace();
        let right = match words.next()? {
            "connect" => Self::Connect,
            "configure" => Self::Configure,
            "listen" => {
                let protocol = match words.next()? {
                    "tcp" => Protocol::Tcp,
                    "udp" => Protocol::Udp,
                    _ => return None,
                };
                let port = match words.next()? {
                    "any" => None,
                    port => Some(port.parse().ok().filter(|&port| port > 0)?),
                };
                Self::Listen(protocol, port)
            }
            _ => return None,
        };
        words.next().is_none().then_some(right)
    }

    /// Whether who has this may do what takes `wanted`.
    #[must_use]
    pub fn covers(self, wanted: Self) -> bool {
        match (self, wanted) {
            (Self::Listen(own, None), Self::Listen(other, _)) => own == other,
            (own, wanted) => own == wanted,
        }
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect => f.write_str("connect"),
            Self::Listen(protocol, Some(port)) => write!(f, "listen {protocol} {port}"),
            Self::Listen(protocol, None) => write!(f, "listen {protocol} any"),
            Self::Configure => f.write_str("configure"),
        }
    }
}

/// What a socket is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Open {
    /// A connection to here. [`Notice::Connected`] or [`Notice::Closed`] says what came of it.
    Connect(SocketAddr),
    /// Connections to this port are taken; each is a [`Notice::Accepted`] in the channel, the only handle that comes with the answer.
    Listen {
        /// The port; 0: one is chosen.
        port: u16,
        /// How many may wait to be accepted.
        backlog: u16,
    },
    /// Datagrams from and to this port.
    Bind {
        /// The port; 0: one is chosen.
        port: u16,
    },
    /// Echo requests to an address. The record is what the request carries, and what the answer carried; the header of an answer says
    /// who sent it, and its port is the number of the request, counted from 0.
    Echo(IpAddr),
}

/// Where interfaces get their IPv4 address from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Setup {
    /// From a server (RFC 2131).
    Dhcp,
    /// It is this.
    Static {
        /// The address and how many bits of it are the network's.
        address: IpAddr,
        /// See `address`.
        prefix_bits: u8,
        /// Where everything else is sent.
        gateway: Option<IpAddr>,
        /// Who is asked for names.
        name_server: Option<IpAddr>,
    },
    /// It has none of these, but those that it was told of by routers stay.
    None,
}

/// A table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Table {
    /// Interfaces.
    Interfaces,
    /// Their addresses.
    Addresses,
    /// Routes.
    Routes,
    /// Neighbours that were heard of.
    Neighbours,
    /// Sockets.
    Sockets,
    /// Servers of names.
    NameServers,
}

/// What the server is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// A socket.
    Open {
        /// What it is to be.
        what: Open,
        /// Size of each of its rings, a power of two; 0 for [`DEFAULT_RING_BYTES`].
        ring_bytes: u32,
    },
    /// The addresses of a name: [`Notice::Resolved`] or [`Notice::Closed`] in the channel that comes with the answer.
    Resolve {
        /// The name.
        name: Name,
    },
    /// A row of a table. Idempotent.
    Row {
        /// The table.
        table: Table,
        /// 0, and then what the last row said.
        index: u32,
    },
    /// How an interface is set up from now on. Idempotent.
    SetUp {
        /// Which.
        interface: InterfaceName,
        /// How.
        setup: Setup,
    },
}

/// What it answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// The handles come along.
    Opened {
        /// The port that it has.
        port: u16,
    },
    /// Done.
    Done,
    /// A row.
    Row {
        /// It.
        row: Row,
        /// Where the next one may be.
        next: u32,
    },
    /// There are no more rows.
    NoMore,
    /// Not done.
    Refused(NetError),
}

/// What is told through a channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Notice {
    /// The connection stands.
    Connected {
        /// From here.
        local: SocketAddr,
    },
    /// A connection to a port that is listened to; its handles come along.
    Accepted {
        /// From there.
        remote: SocketAddr,
        /// To here.
        local: SocketAddr,
    },
    /// What was found for a name.
    Resolved {
        /// Its addresses.
        addresses: heapless::Vec<IpAddr, MAX_ADDRESSES>,
    },
    /// It is over.
    Closed(NetError),
}

/// The header of a datagram.
#[must_use]
pub fn datagram_header(address: SocketAddr) -> [u8; DATAGRAM_HEADER_BYTES] {
    let octets = match address.ip() {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    };
    let mut header = [0; DATAGRAM_HEADER_BYTES];
    let all = octets.into_iter().chain(address.port().to_le_bytes());
    for (to, from) in header.iter_mut().zip(all) {
        *to = from;
    }
    header
}

/// The address in the header of a datagram.
#[must_use]
pub fn datagram_address(header: &[u8; DATAGRAM_HEADER_BYTES]) -> SocketAddr {
    let [octets @ .., low, high, _, _] = *header;
    let address = Ipv6Addr::from(octets);
    let address = match address.to_ipv4_mapped() {
        Some(v4) => IpAddr::V4(v4),
        None => IpAddr::V6(address),
    };
    SocketAddr::new(address, u16::from_le_bytes([low, high]))
}

/// Nowhere.
pub const UNSPECIFIED: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
