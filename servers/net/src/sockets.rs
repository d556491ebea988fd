//! Opening and closing sockets, and how many each client may have.

use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::task::Waker;

use proto::net::{
    DEFAULT_RING_BYTES, FIRST_DYNAMIC_PORT, MAX_RING_BYTES, MIN_RING_BYTES, NetError, Protocol,
};
use smoltcp::iface::SocketHandle;
use smoltcp::socket::{icmp, tcp, udp};
use smoltcp::storage::PacketMetadata;
use smoltcp::time::{Duration, Instant};

use crate::interface::FRAMES_AT_ONCE;
use crate::listen::{Listener, MAX_BACKLOG};
use crate::slab::Key;
use crate::stack::{MAX_INTERFACES, Place, Stack};
use crate::zeroes;

/// Most sockets of one client; with those that wait to be accepted.
pub const MAX_SOCKETS: u32 = 1024;
/// Most bytes of its rings.
pub const MAX_RINGS_BYTES: u32 = 128 << 20;
/// How long the other side may leave what was sent unacknowledged.
pub const TIME_OUT: Duration = Duration::from_secs(30);
/// Datagrams that wait in the stack, each way: all frames of a turn may be one socket's, which has its own turn after that.
const DATAGRAMS: usize = FRAMES_AT_ONCE;
/// How often a port is drawn before it is looked for.
const DRAWS: usize = 64;

/// A socket of a client.
#[derive(Debug)]
pub struct Socket {
    pub(crate) owner: u32,
    pub(crate) ring_bytes: u32,
    pub(crate) kind: Kind,
}

#[derive(Debug)]
pub(crate) enum Kind {
    Tcp {
        place: Place,
        /// What it is between: the stack forgets that when the connection ends.
        local: SocketAddr,
        remote: SocketAddr,
    },
    Udp {
        port: u16,
        /// One in each interface.
        handles: heapless::Vec<SocketHandle, MAX_INTERFACES>,
    },
    Echo {
        place: Place,
        to: IpAddr,
        identifier: u16,
        next: u16,
    },
}

/// A connection's socket with buffers of this size each way.
pub(crate) fn new_tcp(bytes: u32) -> Result<tcp::Socket<'static>, NetError> {
    let received = tcp::SocketBuffer::new(zeroes(bytes as usize)?);
    let sending = tcp::SocketBuffer::new(zeroes(bytes as usize)?);
    let mut socket = tcp::Socket::new(received, sending);
    socket.set_timeout(Some(TIME_OUT));
    // Programs that send piece by piece say so by themselves: their rings collect what the stack cannot take.
    socket.set_nagle_enabled(false);
    Ok(socket)
}

fn metadata<H: Clone>() -> Result<Vec<PacketMetadata<H>>, NetError> {
    let mut list = Vec::new();
    list.try_reserve_exact(DATAGRAMS)
        .map_err(|_| NetError::NoMemory)?;
    list.resize(DATAGRAMS, PacketMetadata::EMPTY);
    Ok(list)
}

fn new_udp(bytes: u32) -> Result<udp::Socket<'static>, NetError> {
    let buffer = || Ok(udp::PacketBuffer::new(metadata()?, zeroes(bytes as usize)?));
    Ok(udp::Socket::new(buffer()?, buffer()?))
}

impl Stack {
    /// Whether a client may have another socket with rings of this size, and what that is.
    fn admit(&self, owner: u32, ring_bytes: u32) -> Result<u32, NetError> {
        let ring_bytes = match ring_bytes {
            0 => DEFAULT_RING_BYTES,
            bytes => bytes,
        };
        let may_be =
            ring_bytes.is_power_of_two() && (MIN_RING_BYTES..=MAX_RING_BYTES).contains(&ring_bytes);
        if !may_be {
            return Err(NetError::Malformed);
        }
        let own = self.sockets.iter().filter(|socket| socket.owner == owner);
        let own = own.map(|socket| socket.ring_bytes);
        let ports = self
            .listeners
            .iter()
            .filter(|listener| listener.owner == owner);
        let waiting = ports.map(|listener| (listener.places.len() + 1, listener.ring_bytes));
        let (mut count, mut bytes) = (1, u64::from(ring_bytes));
        for ring in own {
            count += 1;
            bytes += u64::from(ring);
        }
        for (sockets, ring) in waiting {
            count += sockets;
            bytes += sockets as u64 * u64::from(ring);
        }
        if count > MAX_SOCKETS as usize {
            return Err(NetError::TooManySockets(MAX_SOCKETS));
        }
        if 2 * bytes > u64::from(MAX_RINGS_BYTES) {
            return Err(NetError::TooManyRingBytes(MAX_RINGS_BYTES));
        }
        Ok(ring_bytes)
    }

    fn is_taken(&self, protocol: Protocol, port: u16) -> bool {
        match protocol {
            Protocol::Tcp => {
                let in_interfaces = self.interfaces.iter().flat_map(|interface| {
                    interface
                        .sockets
                        .iter()
                        .filter_map(|(_, socket)| match socket {
                            smoltcp::socket::Socket::Tcp(tcp) => tcp.local_endpoint(),
                            _ => None,
                        })
                });
                self.listeners.iter().any(|listener| listener.port == port)
                    || in_interfaces.into_iter().any(|end| end.port == port)
            }
            Protocol::Udp => {
                let names = self.names.ports();
                let sockets = self.sockets.iter().filter_map(|socket| match socket.kind {
                    Kind::Udp { port, .. } => Some(port),
                    _ => None,
                });
                sockets.chain(names).any(|taken| taken == port)
            }
        }
    }

    /// A port that nobody has, which nobody can guess.
    pub(crate) fn free_port(&mut self, protocol: Protocol) -> Result<u16, NetError> {
        let draw = |number: u16| FIRST_DYNAMIC_PORT | number;
        for _ in 0..DRAWS {
            let port = draw(self.random.u16());
            if !self.is_taken(protocol, port) {
                return Ok(port);
            }
        }
        let first = self.random.u16();
        (0..=u16::MAX - FIRST_DYNAMIC_PORT)
            .map(|step| draw(first.wrapping_add(step)))
            .find(|&port| !self.is_taken(protocol, port))
            .ok_or(NetError::NoPort)
    }

    fn keep(&mut self, owner: u32, ring_bytes: u32, kind: Kind) -> Result<Key, NetError> {
        let socket = Socket {
            owner,
            ring_bytes,
            kind,
        };
        match self.sockets.insert(socket) {
            Ok(key) => Ok(key),
            Err(socket) => {
                self.forget(socket.kind);
                Err(NetError::NoMemory)
            }
        }
    }

    /// Begins a connection; its socket, its port here, and which interface is to have a turn.
    ///
    /// # Errors
    /// [`NetError::NoRoute`], [`NetError::BadAddress`], the client's limits.
    pub fn connect(
        &mut self,
        owner: u32,
        to: SocketAddr,
        ring_bytes: u32,
    ) -> Result<(Key, u16, usize), NetError> {
        let ring_bytes = self.admit(owner, ring_bytes)?;
        let ip = to.ip();
        let is_one = match ip {
            IpAddr::V4(v4) => !v4.is_broadcast(),
            IpAddr::V6(_) => true,
        };
        if ip.is_unspecified() || ip.is_multicast() || to.port() == 0 || !is_one {
            return Err(NetError::BadAddress(to));
        }
        let number = self.route(ip).ok_or(NetError::NoRoute(ip))?;
        let port = self.free_port(Protocol::Tcp)?;
        let mut socket = new_tcp(ring_bytes)?;
        let interface = self
            .interfaces
            .get_mut(number)
            .ok_or(NetError::NoRoute(ip))?;
        socket
            .connect(
                interface.stack.context(),
                (smoltcp::wire::IpAddress::from(ip), to.port()),
                port,
            )
            .map_err(|_| NetError::NoRoute(ip))?;
        let source = socket
            .local_endpoint()
            .map_or(to.ip(), |local| local.addr.into());
        let place = Place {
            interface: number,
            handle: interface.sockets.add(socket),
        };
        let kind = Kind::Tcp {
            place,
            local: SocketAddr::new(source, port),
            remote: to,
        };
        let key = self.keep(owner, ring_bytes, kind)?;
        Ok((key, port, number))
    }

    /// Takes connections to a port; which one it is.
    ///
    /// # Errors
    /// [`NetError::PortInUse`], the client's limits.
    pub fn listen(
        &mut self,
        owner: u32,
        port: u16,
        backlog: u16,
        ring_bytes: u32,
    ) -> Result<(Key, u16), NetError> {
        let ring_bytes = self.admit(owner, ring_bytes)?;
        let port = match port {
            0 => self.free_port(Protocol::Tcp)?,
            port => port,
        };
        // Connections of a listener that is gone may still use the port.
        if self.listeners.iter().any(|listener| listener.port == port) {
            return Err(NetError::PortInUse(Protocol::Tcp, port));
        }
        let listener = Listener {
            owner,
            port,
            backlog: backlog.clamp(1, MAX_BACKLOG).into(),
            ring_bytes,
            waker: None,
            places: Vec::new(),
        };
        match self.listeners.insert(listener) {
            Ok(key) => Ok((key, port)),
            Err(_) => Err(NetError::NoMemory),
        }
    }

    /// The next connection to a port that is listened to: its socket, who it is with, what it is to. If there is none, the waker is
    /// called when there is one.
    pub fn accept(
        &mut self,
        listener: Key,
        waker: &Waker,
    ) -> Option<(Key, SocketAddr, SocketAddr)> {
        let Self {
            listeners,
            interfaces,
            ..
        } = self;
        let found = listeners.get_mut(listener)?;
        // First of all: what comes after the look calls it.
        found.waker = Some(waker.clone());
        let (place, remote, local) = found.take(interfaces)?;
        let (owner, ring_bytes) = (found.owner, found.ring_bytes);
        let kind = Kind::Tcp {
            place,
            local,
            remote,
        };
        let key = self.keep(owner, ring_bytes, kind).ok()?;
        Some((key, remote, local))
    }

    /// No more connections to this port; those that nobody accepted are reset.
    pub fn unlisten(&mut self, listener: Key) {
        if let Some(listener) = self.listeners.remove(listener) {
            for place in listener.places {
                self.abort(place);
            }
        }
    }

    /// Another owner for a port that is listened to; whether there is one.
    pub fn adopt(&mut self, listener: Key, owner: u32) -> bool {
        match self.listeners.get_mut(listener) {
            Some(found) => {
                found.owner = owner;
                true
            }
            None => false,
        }
    }

    /// Datagrams from and to a port, of all interfaces; which one it is.
    ///
    /// # Errors
    /// [`NetError::PortInUse`], the client's limits.
    pub fn bind(&mut self, owner: u32, port: u16, ring_bytes: u32) -> Result<(Key, u16), NetError> {
        let ring_bytes = self.admit(owner, ring_bytes)?;
        let port = match port {
            0 => self.free_port(Protocol::Udp)?,
            port if self.is_taken(Protocol::Udp, port) => {
                return Err(NetError::PortInUse(Protocol::Udp, port));
            }
            port => port,
        };
        let mut handles = heapless::Vec::new();
        for interface in &mut self.interfaces {
            let mut socket = new_udp(ring_bytes)?;
            socket.bind(port).map_err(|_| NetError::NoPort)?;
            // There are no more interfaces than that.
            let _ = handles.push(interface.sockets.add(socket));
        }
        let key = self.keep(owner, ring_bytes, Kind::Udp { port, handles })?;
        Ok((key, port))
    }

    /// Echo requests to an address.
    ///
    /// # Errors
    /// [`NetError::NoRoute`], the client's limits.
    pub fn echo(&mut self, owner: u32, to: IpAddr, ring_bytes: u32) -> Result<Key, NetError> {
        let ring_bytes = self.admit(owner, ring_bytes)?;
        if to.is_unspecified() {
            return Err(NetError::BadAddress(SocketAddr::new(to, 0)));
        }
        let number = self.route(to).ok_or(NetError::NoRoute(to))?;
        let identifier = self.random.u16();
        let buffer = || {
            Ok(icmp::PacketBuffer::new(
                metadata()?,
                zeroes(ring_bytes as usize)?,
            ))
        };
        let mut socket = icmp::Socket::new(buffer()?, buffer()?);
        socket
            .bind(icmp::Endpoint::Ident(identifier))
            .map_err(|_| NetError::NoPort)?;
        let interface = self
            .interfaces
            .get_mut(number)
            .ok_or(NetError::NoRoute(to))?;
        let place = Place {
            interface: number,
            handle: interface.sockets.add(socket),
        };
        self.keep(
            owner,
            ring_bytes,
            Kind::Echo {
                place,
                to,
                identifier,
                next: 0,
            },
        )
    }

    /// Closes a socket: what was sent still goes out, and nothing more comes in. The interface that is to have a turn.
    pub fn close(&mut self, key: Key) -> Option<usize> {
        let socket = self.sockets.remove(key)?;
        let number = match &socket.kind {
            Kind::Tcp { place, .. } | Kind::Echo { place, .. } => Some(place.interface),
            Kind::Udp { .. } => None,
        };
        self.forget(socket.kind);
        number
    }

    fn forget(&mut self, kind: Kind) {
        match kind {
            Kind::Tcp { place, .. } => {
                if let Some(interface) = self.interfaces.get_mut(place.interface) {
                    let socket = interface.sockets.get_mut::<tcp::Socket<'_>>(place.handle);
                    socket.close();
                    // Nobody waits for what the other side may still say.
                    socket.set_timeout(Some(TIME_OUT));
                }
                if self.lingering.try_reserve(1).is_ok() {
                    self.lingering.push(place);
                } else {
                    self.abort(place);
                }
            }
            Kind::Udp { handles, .. } => {
                for (interface, handle) in self.interfaces.iter_mut().zip(handles) {
                    interface.sockets.remove(handle);
                }
            }
            Kind::Echo { place, .. } => {
                if let Some(interface) = self.interfaces.get_mut(place.interface) {
                    interface.sockets.remove(place.handle);
                }
            }
        }
    }

    /// Ends a connection at once: the other side is told that it is reset.
    pub fn reset(&mut self, key: Key) -> Option<usize> {
        let socket = self.sockets.remove(key)?;
        match socket.kind {
            Kind::Tcp { place, .. } => {
                self.abort(place);
                Some(place.interface)
            }
            other => {
                self.forget(other);
                None
            }
        }
    }

    fn abort(&mut self, place: Place) {
        let Some(interface) = self.interfaces.get_mut(place.interface) else {
            return;
        };
        interface
            .sockets
            .get_mut::<tcp::Socket<'_>>(place.handle)
            .abort();
        // Its reset goes out with the next turn; afterwards it is removed.
        if self.lingering.try_reserve(1).is_ok() {
            self.lingering.push(place);
        } else {
            interface.sockets.remove(place.handle);
        }
    }

    /// Gives interface `number` a turn, as a socket of its has something to send.
    pub fn push(&mut self, number: usize, now: Instant) -> Option<Instant> {
        let mut turn = self.turn(number, now);
        // To ourselves: what goes out comes in at once.
        let mut rounds = 0;
        while number == 0 && turn.more && rounds < 4 {
            turn = self.turn(number, now);
            rounds += 1;
        }
        if turn.more { Some(now) } else { turn.at }
    }
}
