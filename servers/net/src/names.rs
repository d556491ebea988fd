//! A resolver: asks servers of names over UDP, from ports and with identifiers that nobody can guess (RFC 5452), and remembers what
//! they said for as long as they said.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::task::{Poll, Waker};

use proto::net::{MAX_ADDRESSES, NetError, Protocol};
use smoltcp::iface::SocketHandle;
use smoltcp::socket::udp;
use smoltcp::time::{Duration, Instant};

use crate::message::{self, Found, Kind, Labels, MAX_MESSAGE_BYTES, NO_SUCH_NAME};
use crate::slab::{Key, Slab};
use crate::stack::Stack;
use crate::zeroes;

/// Where servers of names listen.
const PORT: u16 = 53;
/// Names that are looked for at once.
pub const MOST_QUERIES: u32 = 64;
/// Names that are remembered.
const MOST_KNOWN: usize = 256;
/// How long a server has to answer, at first; each time twice as long.
const PATIENCE: Duration = Duration::from_millis(1000);
/// How often all servers are asked.
const ROUNDS: usize = 3;
/// Longest and shortest time an answer is believed, in seconds; and one that there is no such name (RFC 2308 §5).
const MOST_SECONDS: u32 = 86_400;
const LEAST_SECONDS: u32 = 1;
const NEGATIVE_SECONDS: u32 = 30;
/// Answers that wait in a query's socket: for both kinds, and some forged ones.
const ANSWERS: usize = 8;

/// Addresses of a name.
pub type Addresses = heapless::Vec<IpAddr, MAX_ADDRESSES>;

#[derive(Debug)]
struct Known {
    name: Labels,
    result: Result<Addresses, NetError>,
    until: Instant,
}

/// The questions for one name.
#[derive(Debug)]
struct Query {
    name: Labels,
    waker: Option<Waker>,
    /// How often a server was asked.
    asked: usize,
    /// When the next one is.
    next: Instant,
    /// Where answers come.
    socket: Option<(usize, SocketHandle, u16)>,
    /// Identifiers and answers, of IPv4 and IPv6.
    identifiers: [u16; 2],
    found: [Option<Found>; 2],
    result: Option<Result<Addresses, NetError>>,
}

const KINDS: [Kind; 2] = [Kind::A, Kind::Aaaa];

/// The resolver.
#[derive(Debug, Default)]
pub struct Names {
    queries: Slab<Query>,
    known: Vec<Known>,
}

impl Names {
    /// Ports that it listens to.
    pub(crate) fn ports(&self) -> impl Iterator<Item = u16> {
        self.queries
            .iter()
            .filter_map(|query| query.socket.map(|(_, _, port)| port))
    }

    /// When another server is to be asked.
    pub(crate) fn due(&self) -> Option<Instant> {
        let open = self.queries.iter().filter(|query| query.result.is_none());
        open.map(|query| query.next).min()
    }

    fn recall(&mut self, name: &Labels, now: Instant) -> Option<Result<Addresses, NetError>> {
        self.known.retain(|known| known.until > now);
        let known = self.known.iter().find(|known| known.name == *name)?;
        Some(known.result.clone())
    }

    fn remember(
        &mut self,
        name: &Labels,
        result: &Result<Addresses, NetError>,
        seconds: u32,
        now: Instant,
    ) {
        self.known.retain(|known| known.name != *name);
        if self.known.len() >= MOST_KNOWN {
            self.known.remove(0);
        }
        if self.known.try_reserve(1).is_ok() {
            let seconds = seconds.clamp(LEAST_SECONDS, MOST_SECONDS);
            self.known.push(Known {
                name: name.clone(),
                result: result.clone(),
                until: now + Duration::from_secs(seconds.into()),
            });
        }
    }

    /// Forgets all: another network may have others of the same name.
    pub(crate) fn forget(&mut self) {
        self.known.clear();
    }
}

/// What needs no server.
fn at_once(name: &str) -> Option<Addresses> {
    let mut addresses = Addresses::new();
    if let Ok(address) = name.parse::<IpAddr>() {
        let _ = addresses.push(address);
    } else if name.eq_ignore_ascii_case("localhost") {
        // RFC 6761 §6.3.
        let _ = addresses.push(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let _ = addresses.push(IpAddr::V6(Ipv6Addr::LOCALHOST));
    } else {
        return None;
    }
    Some(addresses)
}

impl Stack {
    /// Begins to look for a name.
    ///
    /// # Errors
    /// [`NetError::BadName`], [`NetError::TooManyNames`], [`NetError::NoNameServer`].
    pub fn resolve(&mut self, name: &str, now: Instant) -> Result<Key, NetError> {
        let (labels, result) = match at_once(name) {
            Some(addresses) => (Labels::from_text("x"), Some(Ok(addresses))),
            None => {
                let labels = Labels::from_text(name).ok_or(NetError::BadName)?;
                let result = self.names.recall(&labels, now);
                (Some(labels), result)
            }
        };
        if result.is_none() && self.servers().next().is_none() {
            return Err(NetError::NoNameServer);
        }
        if self.names.queries.iter().count() >= MOST_QUERIES as usize {
            return Err(NetError::TooManyNames(MOST_QUERIES));
        }
        let query = Query {
            name: labels.ok_or(NetError::BadName)?,
            waker: None,
            asked: 0,
            next: now,
            socket: None,
            identifiers: [0; 2],
            found: [None, None],
            result,
        };
        self.names
            .queries
            .insert(query)
            .map_err(|_| NetError::NoMemory)
    }

    /// What became of it. The waker is called when there is news; the caller gives the interface whose number comes along a turn.
    pub fn resolved(&mut self, key: Key, waker: &Waker) -> Poll<Result<Addresses, NetError>> {
        let Some(query) = self.names.queries.get_mut(key) else {
            return Poll::Ready(Err(NetError::NetworkDown));
        };
        query.waker = Some(waker.clone());
        match &query.result {
            Some(result) => Poll::Ready(result.clone()),
            None => Poll::Pending,
        }
    }

    /// Nobody waits for it any more.
    pub fn forget_query(&mut self, key: Key) {
        if let Some(query) = self.names.queries.remove(key) {
            self.drop_socket(query.socket);
        }
    }

    fn drop_socket(&mut self, socket: Option<(usize, SocketHandle, u16)>) {
        if let Some((number, handle, _)) = socket
            && let Some(interface) = self.interfaces.get_mut(number)
        {
            interface.sockets.remove(handle);
        }
    }

    fn servers(&self) -> impl Iterator<Item = IpAddr> {
        self.interfaces
            .iter()
            .flat_map(|interface| interface.name_servers())
    }

    /// Reads answers that came, and asks the next servers where none came in time. Interfaces that got something to
    /// send have had their turn.
    pub(crate) fn ask_names(&mut self, now: Instant) {
        let mut names = core::mem::take(&mut self.names);
        let mut queries = core::mem::take(&mut names.queries);
        let mut sent = false;
        for query in queries.iter_mut() {
            if query.result.is_some() {
                continue;
            }
            self.hear(query);
            let seconds = query.conclude();
            if query.result.is_none() && query.next <= now {
                sent |= self.ask(query, now);
            }
            if let Some(result) = &query.result {
                if let Some(seconds) = seconds {
                    names.remember(&query.name, result, seconds, now);
                }
                self.drop_socket(query.socket.take());
                if let Some(waker) = query.waker.take() {
                    waker.wake();
                }
            }
        }
        names.queries = queries;
        self.names = names;
        if sent {
            // Once: what comes in then is read next time.
            for number in 1..self.interfaces.len() {
                if let Some(interface) = self.interfaces.get_mut(number) {
                    interface.send(now);
                }
            }
        }
    }

    /// Reads what came for a query.
    fn hear(&mut self, query: &mut Query) {
        let Some((own, handle, _)) = query.socket else {
            return;
        };
        let Some(interface) = self.interfaces.get_mut(own) else {
            return;
        };
        let socket = interface.sockets.get_mut::<udp::Socket<'_>>(handle);
        while let Ok((bytes, meta)) = socket.recv() {
            if meta.endpoint.port != PORT {
                continue;
            }
            let slots = query.found.iter_mut().zip(query.identifiers).zip(KINDS);
            for ((slot, identifier), kind) in slots {
                if slot.is_none() {
                    *slot = message::answer(bytes, identifier, &query.name, kind);
                }
            }
        }
    }

    /// Asks the next server; whether there is something to send.
    fn ask(&mut self, query: &mut Query, now: Instant) -> bool {
        let servers: heapless::Vec<IpAddr, 8> = self.servers().take(8).collect();
        self.drop_socket(query.socket.take());
        if query.asked >= ROUNDS * servers.len() {
            query.result = Some(Err(if servers.is_empty() {
                NetError::NoNameServer
            } else {
                NetError::NamesTimedOut
            }));
            return false;
        }
        let round = query.asked / servers.len();
        let server = servers.get(query.asked % servers.len()).copied();
        query.asked += 1;
        query.next = now + PATIENCE * (1 << round);
        let (Some(server), Some(number)) = (server, server.and_then(|server| self.route(server)))
        else {
            // The next one, at once.
            query.next = now;
            return false;
        };
        query.identifiers = [self.random.u16(), self.random.u16()];
        match self.open(query, server, number) {
            Ok(socket) => {
                query.socket = Some(socket);
                true
            }
            Err(error) => {
                query.result = Some(Err(error));
                false
            }
        }
    }

    fn open(
        &mut self,
        query: &Query,
        server: IpAddr,
        number: usize,
    ) -> Result<(usize, SocketHandle, u16), NetError> {
        let port = self.free_port(Protocol::Udp)?;
        let buffer = |messages: usize| {
            let bytes = zeroes(messages * MAX_MESSAGE_BYTES)?;
            let list = alloc::vec![udp::PacketMetadata::EMPTY; messages];
            Ok(udp::PacketBuffer::new(list, bytes))
        };
        let mut socket = udp::Socket::new(buffer(ANSWERS)?, buffer(KINDS.len())?);
        socket.bind(port).map_err(|_| NetError::NoPort)?;
        for (kind, identifier) in KINDS.into_iter().zip(query.identifiers) {
            let mut bytes = [0; MAX_MESSAGE_BYTES];
            let question = message::question(identifier, &query.name, kind, &mut bytes);
            let to = (smoltcp::wire::IpAddress::from(server), PORT);
            socket
                .send_slice(question, to)
                .map_err(|_| NetError::NoRoute(server))?;
        }
        let interface = self
            .interfaces
            .get_mut(number)
            .ok_or(NetError::NetworkDown)?;
        Ok((number, interface.sockets.add(socket), port))
    }
}

impl Query {
    /// Puts the answers together if all are there; for how long they hold.
    fn conclude(&mut self) -> Option<u32> {
        let [Some(first), Some(second)] = &self.found else {
            return None;
        };
        let mut addresses = Addresses::new();
        for address in first.addresses.iter().chain(&second.addresses) {
            // Those beyond the room are not needed.
            let _ = addresses.push(*address);
        }
        let seconds = first.seconds.min(second.seconds);
        let code = first.code.max(second.code);
        let (result, seconds) = match code {
            _ if !addresses.is_empty() => (Ok(addresses), Some(seconds)),
            0 | NO_SUCH_NAME => (Err(NetError::NoSuchName), Some(NEGATIVE_SECONDS)),
            code => {
                // Another server may know better.
                self.found = [None, None];
                if self.asked < 2 {
                    self.next = Instant::ZERO;
                    return None;
                }
                (Err(NetError::NamesFailed(code)), None)
            }
        };
        self.result = Some(result);
        seconds
    }
}
