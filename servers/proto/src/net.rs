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

use crate::contract::{decode, encode};
use crate::text::Text;

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

/// Counters of an interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// Frames received.
    pub received_frames: u64,
    /// Their bytes.
    pub received_bytes: u64,
    /// Frames sent.
    pub sent_frames: u64,
    /// Their bytes.
    pub sent_bytes: u64,
    /// Received frames that were lost for lack of room, or thrown away for what was in them.
    pub dropped: u64,
    /// Interrupts.
    pub interrupts: u64,
}

/// How a socket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SocketState {
    /// Takes connections.
    Listening,
    /// The connection is being made.
    Opening,
    /// It stands.
    Established,
    /// One side has ended it, or both.
    Closing,
    /// Datagrams.
    Bound,
}

impl fmt::Display for SocketState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Listening => "listening",
            Self::Opening => "opening",
            Self::Established => "established",
            Self::Closing => "closing",
            Self::Bound => "bound",
        })
    }
}

/// A row of a [`Table`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Row {
    /// Of [`Table::Interfaces`].
    Interface {
        /// Its name.
        name: InterfaceName,
        /// The driver's name.
        driver: Text<15>,
        /// Its hardware address; zero if it has none.
        mac: [u8; 6],
        /// Longest packet in bytes.
        mtu_bytes: u16,
        /// Whether something is at the other end.
        link: bool,
        /// How it gets its IPv4 address.
        setup: Setup,
        /// What went through.
        traffic: Traffic,
    },
    /// Of [`Table::Addresses`].
    Address {
        /// Of which interface.
        interface: InterfaceName,
        /// The address.
        address: IpAddr,
        /// How many bits of it are the network's.
        prefix_bits: u8,
    },
    /// Of [`Table::Routes`].
    Route {
        /// Through which interface.
        interface: InterfaceName,
        /// To where.
        to: IpAddr,
        /// See `to`.
        prefix_bits: u8,
        /// By whom; `None`: they are neighbours.
        gateway: Option<IpAddr>,
    },
    /// Of [`Table::Neighbours`].
    Neighbour {
        /// At which interface.
        interface: InterfaceName,
        /// Who.
        address: IpAddr,
        /// Its hardware address.
        mac: [u8; 6],
        /// When it was last heard of.
        age_ms: u64,
    },
    /// Of [`Table::Sockets`].
    Socket {
        /// Of what.
        protocol: Protocol,
        /// How it is.
        state: SocketState,
        /// This side.
        local: SocketAddr,
        /// The other one.
        remote: Option<SocketAddr>,
        /// Bytes that wait for the program.
        received: u32,
        /// Bytes that wait to be sent or acknowledged.
        sending: u32,
        /// The badge of the connection to the server that it was opened through.
        owner: u32,
    },
    /// Of [`Table::NameServers`].
    NameServer {
        /// Its address.
        address: IpAddr,
    },
}

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

/// A message: its bytes at the front of `buffer`; `None` if they do not fit.
pub fn to_bytes<'a, T: Serialize>(message: &T, buffer: &'a mut [u8]) -> Option<&'a [u8]> {
    encode(VERSION, message, buffer)
}

/// Reads a message; `None` for anything else.
pub fn from_bytes<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Option<T> {
    match bytes.split_first() {
        Some((&VERSION, message)) => decode(message),
        _ => None,
    }
}

/// First byte of all messages.
const VERSION: u8 = 1;

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_longest_messages_fit() {
        let mut buffer = [0; MAX_BYTES];
        let request = Request::Resolve {
            name: Text::from_start(&"x".repeat(MAX_NAME_BYTES)),
        };
        let bytes = to_bytes(&request, &mut buffer).expect("fits");
        assert_eq!(from_bytes(bytes), Some(request));
        let address = IpAddr::V6(Ipv6Addr::from([0xff; 16]));
        let notice = Notice::Resolved {
            addresses: heapless::Vec::from([address; MAX_ADDRESSES]),
        };
        let bytes = to_bytes(&notice, &mut buffer).expect("fits");
        assert_eq!(from_bytes(bytes), Some(notice));
        let row = Row::Interface {
            name: Text::from_start("abcdefghijklmno"),
            driver: Text::from_start("abcdefghijklmno"),
            mac: [0xff; 6],
            mtu_bytes: u16::MAX,
            link: true,
            setup: Setup::Static {
                address,
                prefix_bits: 128,
                gateway: Some(address),
                name_server: Some(address),
            },
            traffic: Traffic {
                received_frames: u64::MAX,
                received_bytes: u64::MAX,
                sent_frames: u64::MAX,
                sent_bytes: u64::MAX,
                dropped: u64::MAX,
                interrupts: u64::MAX,
            },
        };
        let next = u32::MAX;
        assert!(to_bytes(&Answer::Row { row, next }, &mut buffer).is_some());
    }

    #[test]
    fn rights_are_words() {
        for words in ["connect", "configure", "listen tcp 80", "listen udp any"] {
            let right = Right::from_words(words).expect("a right");
            assert_eq!(right.to_string(), words);
        }
        for words in [
            "",
            "connect all",
            "listen",
            "listen tcp",
            "listen tcp 0",
            "listen tcp 65536",
            "listen sctp 1",
            "listen tcp 80 81",
        ] {
            assert_eq!(Right::from_words(words), None, "{words}");
        }
        let any = Right::Listen(Protocol::Tcp, None);
        assert!(any.covers(Right::Listen(Protocol::Tcp, Some(80))));
        assert!(!any.covers(Right::Listen(Protocol::Udp, Some(80))));
        assert!(!Right::Listen(Protocol::Tcp, Some(80)).covers(any));
        assert!(!Right::Connect.covers(Right::Configure));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn addresses_come_back(address in any::<SocketAddr>()) {
            let mapped = match address.ip() {
                IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(address.ip(), IpAddr::V4),
                v4 => v4,
            };
            let expected = SocketAddr::new(mapped, address.port());
            prop_assert_eq!(datagram_address(&datagram_header(address)), expected);
        }

        #[test]
        fn any_bytes_are_a_message_or_none(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let mut buffer = [0; MAX_BYTES];
            if let Some(request) = from_bytes::<Request>(&bytes) {
                prop_assert!(to_bytes(&request, &mut buffer).is_some());
            }
            let _ = from_bytes::<Answer>(&bytes);
            let _ = from_bytes::<Notice>(&bytes);
        }
    }
}
