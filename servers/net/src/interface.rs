//! One interface: a card or the way to ourselves, its sockets, and how it is set up.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;
use core::task::{Context, Poll};

use nic::Card;
use proto::Text;
use proto::net::{InterfaceName, NetError, Row, Setup, Traffic};
use smoltcp::iface::{Config, Interface as Stack, SocketHandle, SocketSet};
use smoltcp::phy::{DeviceCapabilities, Medium};
use smoltcp::socket::dhcpv4;
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpCidr};

use crate::driver::{Driver, Intake};
use crate::neighbours::Neighbours;
use crate::random::Random;
use crate::routers::Routers;
use crate::sequence::Offsets;
use crate::wire::{self, Loopback, Wire};

/// Frames that are taken in before others have their turn.
pub const FRAMES_AT_ONCE: usize = 64;
/// Most servers of names of one interface.
pub const MAX_NAME_SERVERS: usize = 3;

/// How long an address is kept that no server of addresses has confirmed since the link came back: connections live as long (RFC 2131 §3.7 allows
/// the rest of the lease).
const KEPT_FOR: Duration = Duration::from_secs(60);

/// Where frames come from and go to.
enum Port {
    Card(Box<dyn Driver>),
    Loopback(Loopback),
}

/// What became of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Frames wait that were not looked at.
    pub more: bool,
    /// When the next turn is due if nothing happens before.
    pub at: Option<Instant>,
}

/// An interface.
pub struct Interface {
    name: InterfaceName,
    port: Port,
    capabilities: DeviceCapabilities,
    /// Checksums that the card did not find right are looked at before the stack.
    check: bool,
    offsets: Offsets,
    pub(crate) stack: Stack,
    pub(crate) sockets: SocketSet<'static>,
    setup: Setup,
    dhcp: Option<SocketHandle>,
    /// Until then the address of before is kept, if a server confirms none.
    pub(crate) kept_until: Option<Instant>,
    /// By DHCP or by hand; IPv4's addresses and IPv6's by hand.
    addresses: heapless::Vec<IpCidr, 4>,
    pub(crate) gateways: heapless::Vec<IpAddr, 2>,
    pub(crate) name_servers: heapless::Vec<IpAddr, MAX_NAME_SERVERS>,
    pub(crate) neighbours: Neighbours,
    pub(crate) routers: Routers,
    dropped: u64,
    /// The card had no room when there was something to send.
    is_full: bool,
    /// Whether the link was up when it was last looked at.
    link: bool,
}

impl core::fmt::Debug for Interface {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Interface")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Interface {
    /// The way to ourselves.
    #[must_use]
    pub fn loopback(random: &mut Random, now: Instant) -> Self {
        let port = Port::Loopback(Loopback::default());
        let capabilities = wire::loopback_capabilities();
        let mut new = Self::new(
            "lo",
            port,
            capabilities,
            false,
            HardwareAddress::Ip,
            random,
            now,
        );
        new.setup = Setup::None;
        new
    }

    /// A card's.
    #[must_use]
    pub fn card<C: Card + 'static>(name: &str, card: C, random: &mut Random, now: Instant) -> Self {
        let (capabilities, check) = wire::capabilities(&card);
        let mac = HardwareAddress::Ethernet(EthernetAddress(card.about().mac.0));
        let link = card.link_is_up();
        let token = card.about().mac;
        let port = Port::Card(Box::new(card));
        let mut new = Self::new(name, port, capabilities, check, mac, random, now);
        new.link = link;
        new.routers = Routers::new(token);
        new
    }

    fn new(
        name: &str,
        port: Port,
        capabilities: DeviceCapabilities,
        check: bool,
        hardware: HardwareAddress,
        random: &mut Random,
        now: Instant,
    ) -> Self {
        let mut config = Config::new(hardware);
        config.random_seed = random.u64();
        let mut nowhere = Loopback::default();
        let mut wire = Wire::<Vec<u8>, _> {
            frame: None,
            outlet: &mut nowhere,
            capabilities: &capabilities,
        };
        let stack = Stack::new(config, &mut wire, now);
        Self {
            name: Text::from_start(name),
            port,
            capabilities,
            check,
            offsets: Offsets::new(random),
            stack,
            sockets: SocketSet::new(Vec::new()),
            setup: Setup::None,
            dhcp: None,
            kept_until: None,
            addresses: heapless::Vec::new(),
            gateways: heapless::Vec::new(),
            name_servers: heapless::Vec::new(),
            neighbours: Neighbours::default(),
            routers: Routers::default(),
            dropped: 0,
            is_full: false,
            link: true,
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Ready when there is something to do for its card.
    pub(crate) fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), String>> {
        match &mut self.port {
            Port::Card(card) => card.poll_ready(context),
            Port::Loopback(_) => Poll::Pending,
        }
    }

    /// Whether it is the way to ourselves.
    #[must_use]
    pub const fn is_loopback(&self) -> bool {
        matches!(self.port, Port::Loopback(_))
    }

    /// Longest packet in bytes.
    #[must_use]
    pub fn mtu_bytes(&self) -> usize {
        self.capabilities.ip_mtu()
    }

    /// Longest datagram in bytes, over IPv6 without options.
    pub(crate) fn datagram_bytes(&self) -> usize {
        /// Headers of IPv6 and UDP or ICMP.
        const HEADERS: usize = 48;
        self.mtu_bytes().saturating_sub(HEADERS)
    }

    /// What its frames begin with.
    pub(crate) const fn medium(&self) -> Medium {
        self.capabilities.medium
    }

    /// How it is set up.
    #[must_use]
    pub const fn setup(&self) -> Setup {
        self.setup
    }

    /// Addresses that were given by DHCP or by hand.
    #[must_use]
    pub fn addresses(&self) -> &[IpCidr] {
        &self.addresses
    }

    /// Takes frames in and sends what is to be sent. `look` sees each frame first, and says whether the stack shall see it.
    pub(crate) fn turn(
        &mut self,
        now: Instant,
        mut look: impl FnMut(&mut SocketSet<'static>, &mut Neighbours, &[u8]) -> bool,
    ) -> Turn {
        self.stack.poll_maintenance(now);
        let mut intake = Intake {
            stack: &mut self.stack,
            sockets: &mut self.sockets,
            capabilities: &self.capabilities,
            now,
            offsets: &self.offsets,
            look: &mut |sockets, frame| look(sockets, &mut self.neighbours, frame),
            dropped: &mut self.dropped,
        };
        let more = match &mut self.port {
            Port::Card(card) => {
                let (more, is_full) = card.take_in(&mut intake, self.check);
                self.is_full = is_full;
                more
            }
            Port::Loopback(loopback) => {
                let mut more = true;
                for _ in 0..FRAMES_AT_ONCE {
                    intake.send_all(loopback);
                    let Some(packet) = loopback.0.pop_front() else {
                        more = false;
                        break;
                    };
                    intake.frame(packet, loopback);
                }
                more
            }
        };
        // Without room it is the card that says when to go on.
        let at = if self.is_full {
            None
        } else {
            self.stack.poll_at(now, &self.sockets)
        };
        Turn { more, at }
    }

    /// Sends what is to be sent, as far as there is room.
    pub(crate) fn send(&mut self, now: Instant) {
        let mut intake = Intake {
            stack: &mut self.stack,
            sockets: &mut self.sockets,
            capabilities: &self.capabilities,
            now,
            offsets: &self.offsets,
            look: &mut |_, _| true,
            dropped: &mut self.dropped,
        };
        match &mut self.port {
            Port::Card(card) => card.send(&mut intake),
            Port::Loopback(loopback) => intake.send_all(loopback),
        }
    }

    /// Sets it up; `Static` was [checked](check_setup).
    pub(crate) fn set_up(&mut self, setup: Setup) {
        if self.is_loopback() {
            return;
        }
        if let Some(dhcp) = self.dhcp.take() {
            self.sockets.remove(dhcp);
        }
        self.setup = setup;
        self.forget();
        match setup {
            Setup::Dhcp => self.dhcp = Some(self.sockets.add(dhcpv4::Socket::new())),
            Setup::Static {
                address,
                prefix_bits,
                gateway,
                name_server,
            } => {
                // There is room in lists that are empty.
                let _ = self
                    .addresses
                    .push(IpCidr::new(address.into(), prefix_bits));
                self.gateways.extend(gateway);
                self.name_servers.extend(name_server);
            }
            Setup::None => {}
        }
    }

    /// Forgets what a server of addresses, or a person, said.
    fn forget(&mut self) {
        self.kept_until = None;
        self.addresses.clear();
        self.gateways.clear();
        self.name_servers.clear();
    }

    /// Takes over what a server of addresses said. Whether anything changed.
    pub(crate) fn hear_dhcp(&mut self, now: Instant) -> bool {
        let Some(dhcp) = self.dhcp else {
            return false;
        };
        match self.sockets.get_mut::<dhcpv4::Socket<'_>>(dhcp).poll() {
            None if self.kept_until.is_some_and(|until| until <= now) => self.forget(),
            None => return false,
            // It begins anew as the link came back: what was said before may still hold.
            Some(dhcpv4::Event::Deconfigured) if self.kept_until.is_some() => return false,
            Some(dhcpv4::Event::Deconfigured) => self.forget(),
            Some(dhcpv4::Event::Configured(config)) => {
                self.kept_until = None;
                self.addresses.clear();
                let _ = self.addresses.push(IpCidr::Ipv4(config.address));
                self.gateways.clear();
                self.gateways.extend(config.router.map(IpAddr::V4));
                self.name_servers.clear();
                let servers = config.dns_servers.iter().take(MAX_NAME_SERVERS);
                self.name_servers
                    .extend(servers.map(|&server| IpAddr::V4(server)));
            }
        }
        true
    }

    /// Begins anew with the server of addresses when the link has come back. Whether the link changed.
    pub(crate) fn hear_link(&mut self, now: Instant) -> bool {
        let Port::Card(card) = &self.port else {
            return false;
        };
        let link = card.link_is_up();
        let changed = core::mem::replace(&mut self.link, link) != link;
        if changed
            && link
            && let Some(dhcp) = self.dhcp
        {
            self.sockets.get_mut::<dhcpv4::Socket<'_>>(dhcp).reset();
            self.kept_until = (!self.addresses.is_empty()).then(|| now + KEPT_FOR);
        }
        if changed && link {
            self.routers.begin_again();
        }
        changed
    }

    /// Gives the stack these addresses beside its own ones.
    pub(crate) fn apply(&mut self, others: impl Iterator<Item = IpCidr>) {
        let own = self.addresses.iter().copied();
        let wanted: heapless::Vec<IpCidr, 8> = own.chain(others).take(8).collect();
        if self.stack.ip_addrs() != wanted.as_slice() {
            self.stack.update_ip_addrs(|addresses| {
                addresses.clear();
                addresses.extend(wanted);
            });
        }
        let routes = self.stack.routes_mut();
        routes.remove_default_ipv4_route();
        routes.remove_default_ipv6_route();
        let others = self.routers.gateway().map(IpAddr::V6);
        for gateway in self.gateways.iter().copied().chain(others) {
            // A table of eight has room for two.
            let _ = match gateway {
                IpAddr::V4(v4) => routes.add_default_ipv4_route(v4).map(drop),
                IpAddr::V6(v6) => routes.add_default_ipv6_route(v6).map(drop),
            };
        }
    }

    /// How well it leads to an address: bits of the address that a network of its has, 0 by a gateway, `None` not at all.
    #[must_use]
    pub fn leads_to(&self, address: IpAddr) -> Option<u8> {
        let own = self.stack.ip_addrs().iter();
        let here = own
            .filter(|cidr| cidr.contains_addr(&address.into()))
            .map(IpCidr::prefix_len)
            .max();
        if here.is_some() {
            return here;
        }
        let same = |other: &IpAddr| other.is_ipv4() == address.is_ipv4();
        let has_address = self
            .stack
            .ip_addrs()
            .iter()
            .any(|cidr| same(&cidr.address().into()));
        (has_address && self.gateways().any(|gateway| same(&gateway))).then_some(0)
    }

    /// Where what is for nobody here is sent.
    pub fn gateways(&self) -> impl Iterator<Item = IpAddr> {
        let from_routers = self.routers.gateway().map(IpAddr::V6);
        self.gateways.iter().copied().chain(from_routers)
    }

    /// Who knows names.
    pub fn name_servers(&self) -> impl Iterator<Item = IpAddr> {
        let from_routers = self.routers.name_servers().map(IpAddr::V6);
        self.name_servers.iter().copied().chain(from_routers)
    }

    /// Takes over what routers said, and asks for them when that is due. Whether anything changed.
    pub(crate) fn hear_routers(&mut self, now: Instant) -> bool {
        let Port::Card(card) = &mut self.port else {
            return false;
        };
        if !self.link {
            return false;
        }
        if self.routers.shall_ask(now) {
            self.routers.asked(now);
            card.ask_for_routers(&self.offsets);
        }
        self.routers.take_changed(now)
    }

    /// Its row.
    #[must_use]
    pub fn row(&self) -> Row {
        let (driver, mac, traffic) = match &self.port {
            Port::Card(card) => {
                let (about, counters) = (card.about(), card.counters());
                let traffic = Traffic {
                    received_frames: counters.received_frames,
                    received_bytes: counters.received_bytes,
                    sent_frames: counters.sent_frames,
                    sent_bytes: counters.sent_bytes,
                    dropped: counters.dropped_no_buffer + counters.dropped_bad + self.dropped,
                    interrupts: counters.interrupts,
                };
                (about.driver, about.mac.0, traffic)
            }
            Port::Loopback(_) => ("loopback", [0; 6], Traffic::default()),
        };
        Row::Interface {
            name: self.name.clone(),
            driver: Text::from_start(driver),
            mac,
            mtu_bytes: u16::try_from(self.mtu_bytes()).unwrap_or(u16::MAX),
            link: self.link,
            setup: self.setup,
            traffic,
        }
    }

    /// Its name, to be put into a row.
    pub(crate) fn label(&self) -> InterfaceName {
        self.name.clone()
    }
}

/// Whether an interface can be set up like this.
///
/// # Errors
/// [`NetError::BadSetup`].
pub fn check_setup(setup: &Setup) -> Result<(), NetError> {
    let Setup::Static {
        address,
        prefix_bits,
        gateway,
        ..
    } = setup
    else {
        return Ok(());
    };
    let most_bits = if address.is_ipv4() { 32 } else { 128 };
    let is_host = |address: &IpAddr| match address {
        IpAddr::V4(v4) => {
            !v4.is_unspecified() && !v4.is_multicast() && !v4.is_broadcast() && !v4.is_loopback()
        }
        IpAddr::V6(v6) => !v6.is_unspecified() && !v6.is_multicast() && !v6.is_loopback(),
    };
    let fits = *prefix_bits <= most_bits
        && is_host(address)
        && gateway
            .iter()
            .all(|gateway| is_host(gateway) && gateway.is_ipv4() == address.is_ipv4());
    fits.then_some(()).ok_or(NetError::BadSetup)
}
