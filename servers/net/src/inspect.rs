//! A look at each frame before the stack gets it: connections that begin, connections that are reset, neighbours that say who they are.

use core::net::{IpAddr, SocketAddr};

use smoltcp::phy::Medium;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetFrame, EthernetProtocol, Icmpv6Message, Icmpv6Packet,
    IpProtocol, Ipv4Packet, Ipv6Packet, TcpPacket,
};

/// What a frame is about, as far as it is of interest before the stack sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About<'a> {
    /// Nothing of interest.
    Other,
    /// A connection is asked for.
    Syn {
        /// By whom.
        remote: SocketAddr,
        /// To what.
        local: SocketAddr,
    },
    /// A connection is reset, or refused.
    Rst {
        /// By whom.
        remote: SocketAddr,
        /// To what.
        local: SocketAddr,
    },
    /// Somebody says where it is.
    Neighbour {
        /// Who.
        address: IpAddr,
        /// Where.
        mac: [u8; 6],
    },
    /// A router says what the network is (RFC 4861 §4.2).
    Router {
        /// Its address.
        router: core::net::Ipv6Addr,
        /// The message behind the ICMP header's first four bytes.
        message: &'a [u8],
    },
}

/// Reads a frame, or a packet where the medium has none. Whatever it holds, the answer is one of these.
pub fn about(medium: Medium, bytes: &[u8]) -> About<'_> {
    read(medium, bytes).unwrap_or(About::Other)
}

fn read(medium: Medium, bytes: &[u8]) -> Option<About<'_>> {
    if medium == Medium::Ip {
        return match bytes.first()? >> 4 {
            4 => ipv4(bytes),
            6 => ipv6(bytes, None),
            _ => None,
        };
    }
    let frame = EthernetFrame::new_checked(bytes).ok()?;
    match frame.ethertype() {
        EthernetProtocol::Arp => {
            let packet = ArpPacket::new_checked(frame.payload()).ok()?;
            let ArpRepr::EthernetIpv4 {
                operation: ArpOperation::Reply | ArpOperation::Request,
                source_hardware_addr,
                source_protocol_addr,
                ..
            } = ArpRepr::parse(&packet).ok()?
            else {
                return None;
            };
            Some(About::Neighbour {
                address: source_protocol_addr.into(),
                mac: source_hardware_addr.0,
            })
        }
        EthernetProtocol::Ipv4 => ipv4(frame.payload()),
        EthernetProtocol::Ipv6 => ipv6(frame.payload(), Some(frame.src_addr().0)),
        _ => None,
    }
}

fn ipv4(bytes: &[u8]) -> Option<About<'_>> {
    let packet = Ipv4Packet::new_checked(bytes).ok()?;
    if packet.next_header() != IpProtocol::Tcp || packet.frag_offset() != 0 {
        return None;
    }
    tcp(
        packet.src_addr().into(),
        packet.dst_addr().into(),
        packet.payload(),
    )
}

fn ipv6(bytes: &[u8], mac: Option<[u8; 6]>) -> Option<About<'_>> {
    /// Of an answer to who is where, the bytes up to the target's end (RFC 4861 §4.4).
    const TARGET: core::ops::Range<usize> = 8..24;
    /// What a hop limit that was never decreased is: from this link (RFC 4861 §6.1).
    const FROM_THIS_LINK: u8 = 255;
    let packet = Ipv6Packet::new_checked(bytes).ok()?;
    let (from, to) = (packet.src_addr(), packet.dst_addr());
    let payload = bytes.get(packet.header_len()..packet.total_len())?;
    match packet.next_header() {
        IpProtocol::Tcp => tcp(from.into(), to.into(), payload),
        IpProtocol::Icmpv6 if packet.hop_limit() == FROM_THIS_LINK => {
            let message = Icmpv6Packet::new_checked(payload).ok()?;
            if !message.verify_checksum(&from, &to) {
                return None;
            }
            match message.msg_type() {
                Icmpv6Message::NeighborAdvert => {
                    let target: [u8; 16] = payload.get(TARGET)?.try_into().ok()?;
                    Some(About::Neighbour {
                        address: IpAddr::V6(target.into()),
                        mac: mac?,
                    })
                }
                Icmpv6Message::NeighborSolicit if !from.is_unspecified() => {
                    Some(About::Neighbour {
                        address: from.into(),
                        mac: mac?,
                    })
                }
                Icmpv6Message::RouterAdvert => Some(About::Router {
                    router: from,
                    message: payload.get(4..)?,
                }),
                _ => None,
            }
        }
        _ => None,
    }
}

fn tcp(from: IpAddr, to: IpAddr, bytes: &[u8]) -> Option<About<'static>> {
    let segment = TcpPacket::new_checked(bytes).ok()?;
    let remote = SocketAddr::new(from, segment.src_port());
    let local = SocketAddr::new(to, segment.dst_port());
    if segment.rst() {
        Some(About::Rst { remote, local })
    } else if segment.syn() && !segment.ack() {
        Some(About::Syn { remote, local })
    } else {
        None
    }
}
