//! IPv6 without a person: a link-local address, and what routers say about the network (RFC 4861, 4862, 8106).
//!
//! smoltcp can do that too, but goes on asking for its next turn at once when no router has answered, and knows one prefix.

use core::net::Ipv6Addr;

use nic::Mac;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr, Icmpv6Packet, Icmpv6Repr,
    IpCidr, IpProtocol, Ipv6Packet, Ipv6Repr, NdiscRepr, RawHardwareAddress,
};

use crate::wire::Outlet;

/// How often routers are asked for, and what lies between (RFC 4861 §10).
const QUESTIONS: u8 = 3;
const QUESTION_EVERY: Duration = Duration::from_secs(4);
/// Prefixes whose addresses are taken.
const MOST_PREFIXES: usize = 3;
/// Name servers that are taken.
const MOST_NAME_SERVERS: usize = 2;
/// To all routers of a link (RFC 4291 §2.7.1), and the hardware address that goes with it (RFC 2464 §7).
const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
const ALL_ROUTERS_MAC: EthernetAddress = EthernetAddress([0x33, 0x33, 0, 0, 0, 2]);
/// Options (RFC 4861 §4.6, RFC 8106 §5.1).
const PREFIX: u8 = 3;
const NAME_SERVERS: u8 = 25;
/// Of a prefix's flags: addresses may be made of it.
const AUTONOMOUS: u8 = 1 << 6;
/// An address that came with less than that is kept for that (RFC 4862 §5.5.3), unless it is new.
const TWO_HOURS: Duration = Duration::from_secs(7200);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Until<T> {
    what: T,
    until: Instant,
}

/// What an interface knows by routers.
#[derive(Debug, Default)]
pub struct Routers {
    /// The lower half of addresses; `None` without a card.
    token: Option<[u8; 8]>,
    questions: u8,
    next_question: Option<Instant>,
    prefixes: heapless::Vec<Until<[u8; 8]>, MOST_PREFIXES>,
    gateway: Option<Until<Ipv6Addr>>,
    name_servers: heapless::Vec<Until<Ipv6Addr>, MOST_NAME_SERVERS>,
    changed: bool,
}

/// The time `seconds` from now; all ones are for ever.
fn until(seconds: u32, now: Instant) -> Instant {
    now + Duration::from_secs(seconds.into())
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
    Some(u32::from_be_bytes(bytes))
}

impl Routers {
    /// For a card: its addresses end in what its own is (RFC 4291, appendix A).
    #[must_use]
    pub fn new(mac: Mac) -> Self {
        let Mac([a, b, c, d, e, f]) = mac;
        Self {
            token: Some([a ^ 2, b, c, 0xff, 0xfe, d, e, f]),
            questions: QUESTIONS,
            ..Self::default()
        }
    }

    fn address(&self, prefix: [u8; 8]) -> Option<IpCidr> {
        let token = self.token?;
        let mut octets = [0; 16];
        for (to, from) in octets.iter_mut().zip(prefix.into_iter().chain(token)) {
            *to = from;
        }
        Some(IpCidr::new(Ipv6Addr::from(octets).into(), 64))
    }

    /// The addresses: that of the link, and one for each prefix.
    pub fn addresses(&self) -> heapless::Vec<IpCidr, { MOST_PREFIXES + 1 }> {
        let link_local = [0xfe, 0x80, 0, 0, 0, 0, 0, 0];
        let prefixes = self.prefixes.iter().map(|prefix| prefix.what);
        core::iter::once(link_local)
            .chain(prefixes)
            .filter_map(|prefix| self.address(prefix))
            .collect()
    }

    /// The router to send to.
    #[must_use]
    pub fn gateway(&self) -> Option<Ipv6Addr> {
        self.gateway.map(|gateway| gateway.what)
    }

    /// Who knows names.
    pub fn name_servers(&self) -> impl Iterator<Item = Ipv6Addr> {
        self.name_servers.iter().map(|server| server.what)
    }

    /// Asks anew: the link came back.
    pub fn begin_again(&mut self) {
        self.questions = QUESTIONS;
        self.next_question = None;
    }

    /// Whether routers are to be asked for now.
    #[must_use]
    pub fn shall_ask(&self, now: Instant) -> bool {
        self.token.is_some()
            && self.questions > 0
            && self.next_question.is_none_or(|next| next <= now)
    }

    /// They were.
    pub fn asked(&mut self, now: Instant) {
        self.questions = self.questions.saturating_sub(1);
        self.next_question = Some(now + QUESTION_EVERY);
    }

    /// When something is to be done next.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        let question = self.next_question.filter(|_| self.questions > 0);
        let prefixes = self.prefixes.iter().map(|prefix| prefix.until);
        let servers = self.name_servers.iter().map(|server| server.until);
        prefixes
            .chain(servers)
            .chain(self.gateway.map(|gateway| gateway.until))
            .chain(question)
            .min()
    }

    /// Forgets what is too old; whether anything changed since this was asked last.
    pub fn take_changed(&mut self, now: Instant) -> bool {
        let before = (self.prefixes.len(), self.name_servers.len());
        self.prefixes.retain(|prefix| prefix.until > now);
        self.name_servers.retain(|server| server.until > now);
        let lost = self.gateway.is_some_and(|gateway| gateway.until <= now);
        if lost {
            self.gateway = None;
        }
        let fewer = before != (self.prefixes.len(), self.name_servers.len());
        core::mem::take(&mut self.changed) || lost || fewer
    }

    /// A router's message, behind the first four bytes of the ICMP header. What makes no sense is left out.
    pub fn hear(&mut self, router: Ipv6Addr, message: &[u8], now: Instant) {
        /// Hop limit, flags, lifetime, two times.
        const FIXED_BYTES: usize = 12;
        if self.token.is_none() || !router.is_unicast_link_local() {
            return;
        }
        let (Some(head), Some(mut options)) = (word(message, 0), message.get(FIXED_BYTES..)) else {
            return;
        };
        self.questions = 0;
        self.hear_gateway(router, head & 0xffff, now);
        while let Some((&[kind, len], _)) = options.split_first_chunk::<2>() {
            let Some((option, rest)) = options.split_at_checked(usize::from(len) * 8) else {
                return;
            };
            if len == 0 {
                return;
            }
            match kind {
                PREFIX => {
                    let _ = self.hear_prefix(option, now);
                }
                NAME_SERVERS => {
                    let _ = self.hear_name_servers(option, now);
                }
                _ => {}
            }
            options = rest;
        }
    }

    fn hear_gateway(&mut self, router: Ipv6Addr, lifetime: u32, now: Instant) {
        let known = self.gateway.map(|gateway| gateway.what);
        if lifetime > 0 && known.is_none_or(|known| known == router) {
            self.changed |= known.is_none();
            self.gateway = Some(Until {
                what: router,
                until: until(lifetime, now),
            });
        } else if lifetime == 0 && known == Some(router) {
            self.gateway = None;
            self.changed = true;
        }
    }

    /// Kind, length, bits, flags, two lifetimes, four bytes of nothing, the prefix.
    fn hear_prefix(&mut self, option: &[u8], now: Instant) -> Option<()> {
        let (&bits, &flags) = (option.get(2)?, option.get(3)?);
        let valid = word(option, 4)?;
        let prefix: [u8; 8] = option.get(16..24)?.try_into().ok()?;
        let whole: [u8; 16] = option.get(16..32)?.try_into().ok()?;
        let whole = Ipv6Addr::from(whole);
        let is_ours = flags & AUTONOMOUS != 0
            && bits == 64
            && !whole.is_unicast_link_local()
            && !whole.is_multicast()
            && !whole.is_unspecified();
        if !is_ours {
            return None;
        }
        let new = until(valid, now);
        match self.prefixes.iter_mut().find(|known| known.what == prefix) {
            Some(known) => {
                // Nobody can take an address away at once by a forged message.
                let least = known.until.min(now + TWO_HOURS);
                known.until = new.max(least);
            }
            None if valid > 0 => {
                let added = self.prefixes.push(Until {
                    what: prefix,
                    until: new,
                });
                self.changed |= added.is_ok();
            }
            None => {}
        }
        Some(())
    }

    /// Kind, length, two bytes of nothing, a lifetime, addresses.
    fn hear_name_servers(&mut self, option: &[u8], now: Instant) -> Option<()> {
        let lifetime = word(option, 4)?;
        let (servers, _) = option.get(8..)?.as_chunks::<16>();
        for octets in servers {
            let what = Ipv6Addr::from(*octets);
            self.name_servers.retain(|known| known.what != what);
            if lifetime > 0 && !what.is_multicast() && !what.is_unspecified() {
                // Those beyond the room are not needed.
                let _ = self.name_servers.push(Until {
                    what,
                    until: until(lifetime, now),
                });
            }
        }
        Some(())
    }
}

/// Asks for routers.
pub fn ask<O: Outlet>(mac: Mac, outlet: &mut O) {
    let source = EthernetAddress(mac.0);
    let from = Routers::new(mac)
        .address([0xfe, 0x80, 0, 0, 0, 0, 0, 0])
        .and_then(|cidr| match cidr.address() {
            smoltcp::wire::IpAddress::Ipv6(v6) => Some(v6),
            smoltcp::wire::IpAddress::Ipv4(_) => None,
        })
        .unwrap_or(Ipv6Addr::UNSPECIFIED);
    let icmp = Icmpv6Repr::Ndisc(NdiscRepr::RouterSolicit {
        lladdr: Some(RawHardwareAddress::from(source)),
    });
    let ip = Ipv6Repr {
        src_addr: from,
        dst_addr: ALL_ROUTERS,
        next_header: IpProtocol::Icmpv6,
        payload_len: icmp.buffer_len(),
        hop_limit: 255,
    };
    let ethernet = EthernetRepr {
        src_addr: source,
        dst_addr: ALL_ROUTERS_MAC,
        ethertype: EthernetProtocol::Ipv6,
    };
    let len = EthernetFrame::<&[u8]>::buffer_len(ip.buffer_len() + icmp.buffer_len());
    if !outlet.has_room() {
        // As good as lost on the way: it is sent again.
        return;
    }
    outlet.send(len, |frame| {
        // It was asked for at this length.
        let mut frame = EthernetFrame::new_unchecked(frame);
        ethernet.emit(&mut frame);
        let mut packet = Ipv6Packet::new_unchecked(frame.payload_mut());
        ip.emit(&mut packet);
        let mut message = Icmpv6Packet::new_unchecked(packet.payload_mut());
        let checksums = ChecksumCapabilities::default();
        icmp.emit(&from, &ALL_ROUTERS, &mut message, &checksums);
    });
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec::Vec;

    use super::*;

    const ROUTER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
    const MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);

    fn message(lifetime: u16, valid: u32, server: u32) -> Vec<u8> {
        let mut bytes = std::vec![64, 0];
        bytes.extend(lifetime.to_be_bytes());
        bytes.extend([0; 8]);
        bytes.extend([PREFIX, 4, 64, 0xc0]);
        bytes.extend(valid.to_be_bytes());
        bytes.extend(valid.to_be_bytes());
        bytes.extend([0; 4]);
        bytes.extend(Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, 0).octets());
        bytes.extend([NAME_SERVERS, 3, 0, 0]);
        bytes.extend(server.to_be_bytes());
        bytes.extend(Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, 53).octets());
        bytes
    }

    #[test]
    fn what_routers_say_holds_for_as_long_as_they_say() {
        let mut routers = Routers::new(MAC);
        let at = |seconds| Instant::from_secs(seconds);
        assert!(routers.shall_ask(at(0)));
        routers.asked(at(0));
        assert!(!routers.shall_ask(at(3)) && routers.shall_ask(at(4)));
        routers.hear(ROUTER, &message(1800, 10_000, 100), at(4));
        assert!(!routers.shall_ask(at(9)) && routers.take_changed(at(4)));
        assert!(!routers.take_changed(at(4)));
        assert_eq!(routers.gateway(), Some(ROUTER));
        assert_eq!(routers.name_servers().count(), 1);
        assert_eq!(routers.due(), Some(at(104)));
        let addresses = routers.addresses();
        let shown: Vec<_> = addresses
            .iter()
            .map(std::string::ToString::to_string)
            .collect();
        assert_eq!(shown, ["fe80::ff:fe00:1/64", "2001:db8:0:1:0:ff:fe00:1/64"]);
        // One that says it is none any more, and that the prefix is gone: the latter is not believed at once.
        routers.hear(ROUTER, &message(0, 0, 0), at(5));
        assert!(routers.take_changed(at(5)));
        assert_eq!(
            (routers.gateway(), routers.name_servers().count()),
            (None, 0)
        );
        assert_eq!(routers.due(), Some(at(5 + 7200)));
        assert!(routers.take_changed(at(5 + 7200)));
        assert_eq!((routers.addresses().len(), routers.due()), (1, None));
    }

    #[test]
    fn no_answer_ends_the_questions() {
        let mut routers = Routers::new(MAC);
        for number in 0..3 {
            let now = Instant::from_secs(4 * number);
            assert!(routers.shall_ask(now));
            routers.asked(now);
        }
        assert_eq!(routers.due(), None);
        assert!(!routers.shall_ask(Instant::from_secs(1000)));
    }

    #[test]
    fn cut_messages_do_no_harm() {
        let whole = message(1800, 1000, 100);
        for len in 0..whole.len() {
            Routers::new(MAC).hear(ROUTER, &whole[..len], Instant::ZERO);
        }
        let mut endless = whole;
        endless[13] = 0;
        Routers::new(MAC).hear(ROUTER, &endless, Instant::ZERO);
    }
}
