//! Tables of what there is.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use proto::net::{Protocol, Row, SocketState, Table, UNSPECIFIED};
use smoltcp::socket::tcp;
use smoltcp::time::Instant;
use smoltcp::wire::IpEndpoint;

use crate::neighbours::MOST;
use crate::sockets::{Kind, Socket};
use crate::stack::Stack;

fn end(end: IpEndpoint) -> SocketAddr {
    SocketAddr::new(end.addr.into(), end.port)
}

fn anywhere(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port)
}

/// How a connection is.
const fn state(state: tcp::State) -> SocketState {
    match state {
        tcp::State::Listen => SocketState::Listening,
        tcp::State::SynSent | tcp::State::SynReceived => SocketState::Opening,
        tcp::State::Established => SocketState::Established,
        _ => SocketState::Closing,
    }
}

impl Stack {
    /// The row at `index` of a table or the next one behind it, and where to go on; `None` behind the last one.
    #[must_use]
    pub fn row(&self, table: Table, index: u32, now: Instant) -> Option<(Row, u32)> {
        let at = index as usize;
        let behind = |at: usize| u32::try_from(at + 1).unwrap_or(u32::MAX);
        match table {
            Table::Interfaces => Some((self.interfaces.get(at)?.row(), behind(at))),
            Table::Addresses => {
                let all = self.interfaces.iter().flat_map(|interface| {
                    let addresses = interface.stack.ip_addrs().iter();
                    addresses.map(|cidr| Row::Address {
                        interface: interface.label(),
                        address: cidr.address().into(),
                        prefix_bits: cidr.prefix_len(),
                    })
                });
                Some((all.into_iter().nth(at)?, behind(at)))
            }
            Table::Routes => Some((self.routes().nth(at)?, behind(at))),
            Table::Neighbours => {
                // A row for each place there can be.
                (at..self.interfaces.len() * MOST).find_map(|at| {
                    let interface = self.interfaces.get(at / MOST)?;
                    let (address, mac, age_ms) = interface.neighbours.get(at % MOST, now)?;
                    let row = Row::Neighbour {
                        interface: interface.label(),
                        address,
                        mac,
                        age_ms,
                    };
                    Some((row, behind(at)))
                })
            }
            Table::Sockets => {
                let sockets = self.sockets.places() as usize;
                let all = sockets + self.listeners.places() as usize;
                (at..all).find_map(|at| {
                    let place = u32::try_from(at).ok()?;
                    let row = match place.checked_sub(self.sockets.places()) {
                        None => self.socket(self.sockets.at(place)?)?,
                        Some(place) => {
                            let listener = self.listeners.at(place)?;
                            Row::Socket {
                                protocol: Protocol::Tcp,
                                state: SocketState::Listening,
                                local: anywhere(listener.port),
                                remote: None,
                                received: u32::try_from(listener.places.len()).unwrap_or(u32::MAX),
                                sending: 0,
                                owner: listener.owner,
                            }
                        }
                    };
                    Some((row, behind(at)))
                })
            }
            Table::NameServers => {
                let all = self.interfaces.iter();
                let all = all.flat_map(|interface| interface.name_servers());
                let address = all.into_iter().nth(at)?;
                Some((Row::NameServer { address }, behind(at)))
            }
        }
    }

    fn routes(&self) -> impl Iterator<Item = Row> {
        self.interfaces.iter().flat_map(|interface| {
            let networks = interface.stack.ip_addrs().iter().map(|cidr| {
                let (to, prefix_bits) = match cidr {
                    smoltcp::wire::IpCidr::Ipv4(v4) => {
                        (v4.network().address().into(), v4.prefix_len())
                    }
                    smoltcp::wire::IpCidr::Ipv6(v6) => (network(v6), v6.prefix_len()),
                };
                Row::Route {
                    interface: interface.label(),
                    to,
                    prefix_bits,
                    gateway: None,
                }
            });
            let others = interface.gateways().map(|gateway| Row::Route {
                interface: interface.label(),
                to: match gateway {
                    IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                    IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
                },
                prefix_bits: 0,
                gateway: Some(gateway),
            });
            networks.chain(others)
        })
    }

    fn socket(&self, socket: &Socket) -> Option<Row> {
        let owner = socket.owner;
        Some(match &socket.kind {
            Kind::Tcp { place, .. } => {
                let interface = self.interfaces.get(place.interface)?;
                let tcp = interface.sockets.get::<tcp::Socket<'_>>(place.handle);
                Row::Socket {
                    protocol: Protocol::Tcp,
                    state: state(tcp.state()),
                    local: tcp.local_endpoint().map_or(UNSPECIFIED, end),
                    remote: tcp.remote_endpoint().map(end),
                    received: u32::try_from(tcp.recv_queue()).unwrap_or(u32::MAX),
                    sending: u32::try_from(tcp.send_queue()).unwrap_or(u32::MAX),
                    owner,
                }
            }
            Kind::Udp { port, .. } => Row::Socket {
                protocol: Protocol::Udp,
                state: SocketState::Bound,
                local: anywhere(*port),
                remote: None,
                received: 0,
                sending: 0,
                owner,
            },
            Kind::Echo { .. } => return None,
        })
    }
}

/// The network of an address.
fn network(cidr: &smoltcp::wire::Ipv6Cidr) -> IpAddr {
    let bits = u128::from(cidr.address());
    let mask = u128::MAX
        .checked_shl(128 - u32::from(cidr.prefix_len()))
        .unwrap_or(0);
    IpAddr::V6(Ipv6Addr::from(bits & mask))
}
