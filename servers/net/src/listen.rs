//! Ports that are listened to.
//!
//! A socket of the stack takes one connection. So whenever one is asked for, a socket is made that takes it, as long as not too many
//! wait; beyond that the question is not heard, and comes again.

use alloc::vec::Vec;
use core::net::SocketAddr;
use core::task::Waker;

use smoltcp::iface::SocketSet;
use smoltcp::socket::tcp;

use crate::interface::Interface;
use crate::sockets::new_tcp;
use crate::stack::Place;

/// Most connections that may wait to be accepted at one port.
pub const MAX_BACKLOG: u16 = 256;

/// A port that is listened to.
#[derive(Debug)]
pub struct Listener {
    pub(crate) owner: u32,
    pub(crate) port: u16,
    pub(crate) backlog: usize,
    pub(crate) ring_bytes: u32,
    pub(crate) waker: Option<Waker>,
    /// Sockets that wait for a connection, make one, or have one that nobody accepted yet.
    pub(crate) places: Vec<Place>,
}

/// Whether a connection in this state can be accepted.
const fn stands(state: tcp::State) -> bool {
    matches!(state, tcp::State::Established | tcp::State::CloseWait)
}

impl Listener {
    /// Sees to it that the stack takes a connection that is asked for. False: there are too many, it shall not hear of it.
    pub(crate) fn make_room(&mut self, interface: usize, sockets: &mut SocketSet<'static>) -> bool {
        let of_this = self
            .places
            .iter()
            .filter(|place| place.interface == interface);
        for place in of_this {
            if sockets.get::<tcp::Socket<'_>>(place.handle).state() == tcp::State::Listen {
                return true;
            }
        }
        if self.places.len() >= self.backlog || self.places.try_reserve(1).is_err() {
            return false;
        }
        let Ok(mut socket) = new_tcp(self.ring_bytes) else {
            return false;
        };
        if socket.listen(self.port).is_err() {
            return false;
        }
        let handle = sockets.add(socket);
        self.places.push(Place { interface, handle });
        true
    }

    /// Forgets connections that came to nothing, and wakes who waits for those that stand.
    pub(crate) fn settle(&mut self, interfaces: &mut [Interface]) {
        let mut any = false;
        self.places.retain(|place| {
            let Some(interface) = interfaces.get_mut(place.interface) else {
                return false;
            };
            let state = interface
                .sockets
                .get::<tcp::Socket<'_>>(place.handle)
                .state();
            any |= stands(state);
            let is_over = matches!(state, tcp::State::Closed | tcp::State::TimeWait);
            if is_over {
                interface.sockets.remove(place.handle);
            }
            !is_over
        });
        if any && let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Takes out the first connection that stands: its place, who it is with, and what it is to.
    pub(crate) fn take(
        &mut self,
        interfaces: &mut [Interface],
    ) -> Option<(Place, SocketAddr, SocketAddr)> {
        for (index, place) in self.places.iter().enumerate() {
            let Some(interface) = interfaces.get(place.interface) else {
                continue;
            };
            let socket = interface.sockets.get::<tcp::Socket<'_>>(place.handle);
            if let (true, Some(remote), Some(local)) = (
                stands(socket.state()),
                socket.remote_endpoint(),
                socket.local_endpoint(),
            ) {
                let place = self.places.remove(index);
                let address =
                    |end: smoltcp::wire::IpEndpoint| SocketAddr::new(end.addr.into(), end.port);
                return Some((place, address(remote), address(local)));
            }
        }
        None
    }
}
