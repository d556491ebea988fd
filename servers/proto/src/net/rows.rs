//! Rows of the net server's tables.

use core::fmt;
use core::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::{InterfaceName, Protocol, Setup};
use crate::text::Text;

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
