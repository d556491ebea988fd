//! The stack: all interfaces, all sockets.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::task::{Context, Poll};

use nic::Card;
use proto::net::{NetError, Setup};
use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp;
use smoltcp::time::Instant;
use smoltcp::wire::{IpAddress, IpCidr};

use crate::inspect::{self, About};
use crate::interface::{Interface, Turn, check_setup};
use crate::listen::Listener;
use crate::names::Names;
use crate::random::Random;
use crate::slab::Slab;
use crate::sockets::Socket;

/// Most interfaces, with that to ourselves.
pub const MAX_INTERFACES: usize = 8;
/// Resets that are remembered until their sockets' tasks ask why.
const RESETS: usize = 64;
/// Most connections that only wait for their end to be sure, and what that takes of memory.
const MOST_LINGERING: usize = 64;

/// A socket in the stack of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub(crate) interface: usize,
    pub(crate) handle: SocketHandle,
}

/// The stack.
#[derive(Debug)]
pub struct Stack {
    pub(crate) interfaces: Vec<Interface>,
    pub(crate) sockets: Slab<Socket>,
    pub(crate) listeners: Slab<Listener>,
    /// Connections whose programs are done with them.
    pub(crate) lingering: Vec<Place>,
    /// The last connections that were reset: here and there.
    resets: heapless::Deque<(SocketAddr, SocketAddr), RESETS>,
    pub(crate) names: Names,
    pub(crate) random: Random,
    /// The interfaces' own addresses changed.
    pub(crate) setup_changed: bool,
}

impl Stack {
    /// A stack that leads to ourselves alone.
    #[must_use]
    pub fn new(seed: [u8; 32], now: Instant) -> Self {
        let mut random = Random::new(seed);
        let loopback = Interface::loopback(&mut random, now);
        let mut new = Self {
            interfaces: Vec::from([loopback]),
            sockets: Slab::default(),
            listeners: Slab::default(),
            lingering: Vec::new(),
            resets: heapless::Deque::new(),
            names: Names::default(),
            random,
            setup_changed: false,
        };
        new.apply();
        new
    }

    /// Adds a card's interface, set up like this; its number. `None` if there are too many.
    pub fn add<C: Card + 'static>(
        &mut self,
        name: &str,
        card: C,
        setup: Setup,
        now: Instant,
    ) -> Option<usize> {
        let number = self.interfaces.len();
        if number >= MAX_INTERFACES || self.interfaces.try_reserve(1).is_err() {
            return None;
        }
        let mut interface = Interface::card(name, card, &mut self.random, now);
        if check_setup(&setup).is_ok() {
            interface.set_up(setup);
        }
        self.interfaces.push(interface);
        self.apply();
        Some(number)
    }

    /// How many interfaces there are. 0 is the way to ourselves.
    #[must_use]
    pub fn interfaces(&self) -> usize {
        self.interfaces.len()
    }

    /// An interface.
    #[must_use]
    pub fn interface(&self, number: usize) -> Option<&Interface> {
        self.interfaces.get(number)
    }

    /// Ready when there is something to do for an interface's card; see [`Card::ready`].
    ///
    /// # Errors
    /// The card is of no use any more; what it says.
    pub fn poll_ready(
        &mut self,
        number: usize,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), String>> {
        match self.interfaces.get_mut(number) {
            Some(interface) => interface.poll_ready(context),
            None => Poll::Pending,
        }
    }

    /// Sets an interface up.
    ///
    /// # Errors
    /// [`NetError::NoInterface`], [`NetError::BadSetup`].
    pub fn set_up(&mut self, name: &str, setup: Setup) -> Result<(), NetError> {
        check_setup(&setup)?;
        let found = self
            .interfaces
            .iter_mut()
            .find(|interface| interface.name() == name && !interface.is_loopback())
            .ok_or(NetError::NoInterface)?;
        found.set_up(setup);
        self.apply();
        Ok(())
    }

    /// Whether an interface's addresses changed since this was asked last.
    pub fn take_setup_changed(&mut self) -> bool {
        core::mem::take(&mut self.setup_changed)
    }

    /// Takes in what came to an interface, sends what is to be sent through it, and wakes whom that concerns.
    pub fn turn(&mut self, number: usize, now: Instant) -> Turn {
        let Self {
            interfaces,
            listeners,
            resets,
            ..
        } = self;
        let Some(interface) = interfaces.get_mut(number) else {
            return Turn {
                more: false,
                at: None,
            };
        };
        let changed = interface.hear_link(now);
        let medium = interface.medium();
        let mut routers = core::mem::take(&mut interface.routers);
        let turn = interface.turn(now, |sockets, neighbours, frame| {
            match inspect::about(medium, frame) {
                About::Other => true,
                About::Neighbour { address, mac } => {
                    neighbours.heard(address, mac, now);
                    true
                }
                About::Router { router, message } => {
                    routers.hear(router, message, now);
                    true
                }
                About::Rst { remote, local } => {
                    if resets.is_full() {
                        resets.pop_front();
                    }
                    // There is room now.
                    let _ = resets.push_back((local, remote));
                    true
                }
                About::Syn { local, .. } => listeners
                    .iter_mut()
                    .find(|listener| listener.port == local.port())
                    .is_none_or(|listener| listener.make_room(number, sockets)),
            }
        });
        interface.routers = routers;
        let changed = interface.hear_dhcp(now) || interface.hear_routers(now) || changed;
        if changed {
            self.setup_changed = true;
            // Another network may have others of the same name.
            self.names.forget();
            self.apply();
        }
        self.settle(number);
        self.ask_names(now);
        let interface = self.interfaces.get(number);
        let routers = interface.and_then(|interface| interface.routers.due());
        let kept = interface.and_then(|interface| interface.kept_until);
        let due = [turn.at, self.names.due(), routers, kept];
        Turn {
            more: turn.more || changed,
            at: due.into_iter().flatten().min(),
        }
    }

    /// Wakes who waits for connections, and forgets those of an interface that are over: what they had to say went out in its turn.
    fn settle(&mut self, number: usize) {
        for listener in self.listeners.iter_mut() {
            listener.settle(&mut self.interfaces);
        }
        let Self {
            interfaces,
            lingering,
            ..
        } = self;
        let mut quiet = 0;
        // The latest first: those of the longest time are forgotten where there are too many.
        for index in (0..lingering.len()).rev() {
            let Some(&place) = lingering.get(index) else {
                continue;
            };
            let Some(interface) = interfaces
                .get_mut(place.interface)
                .filter(|_| place.interface == number)
            else {
                continue;
            };
            let state = interface
                .sockets
                .get::<tcp::Socket<'_>>(place.handle)
                .state();
            quiet += usize::from(state == tcp::State::TimeWait);
            let is_over = state == tcp::State::Closed
                || state == tcp::State::TimeWait && quiet > MOST_LINGERING;
            if is_over {
                interface.sockets.remove(place.handle);
                lingering.remove(index);
            }
        }
    }

    /// Whether this connection was reset by the other side a moment ago.
    pub(crate) fn was_reset(&self, local: SocketAddr, remote: SocketAddr) -> bool {
        self.resets.iter().any(|&reset| reset == (local, remote))
    }

    /// Gives all interfaces the addresses they shall have: the way to ourselves has those of the others, too.
    pub(crate) fn apply(&mut self) {
        let mut all: heapless::Vec<IpCidr, 8> = heapless::Vec::new();
        for interface in self.interfaces.iter_mut().skip(1) {
            let from_routers = interface.routers.addresses();
            interface.apply(from_routers.into_iter());
            for cidr in interface.stack.ip_addrs() {
                let address = cidr.address();
                let bits = if matches!(address, IpAddress::Ipv4(_)) {
                    32
                } else {
                    128
                };
                // Beyond the table's room a machine talks to itself by its other addresses.
                let _ = all.push(IpCidr::new(address, bits));
            }
        }
        if let Some(loopback) = self.interfaces.first_mut() {
            let own = [
                IpCidr::new(Ipv4Addr::LOCALHOST.into(), 8),
                IpCidr::new(Ipv6Addr::LOCALHOST.into(), 128),
            ];
            loopback.apply(own.into_iter().chain(all));
        }
    }

    /// The interface that leads to an address, best.
    #[must_use]
    pub fn route(&self, address: IpAddr) -> Option<usize> {
        let leads = self
            .interfaces
            .iter()
            .enumerate()
            .filter_map(|(number, interface)| Some((number, interface.leads_to(address)?)));
        // The first of equals: to ourselves before all others.
        leads
            .reduce(|best, next| if next.1 > best.1 { next } else { best })
            .map(|(number, _)| number)
    }
}
