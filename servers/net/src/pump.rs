//! Moves bytes between the stack's sockets and the rings of the programs that have them.
//!
//! A pump is one end of both rings of a socket, with what is known about the other end. Each call moves all that can be moved: from the
//! stack's buffer into one ring, from the other ring into the stack's buffer, each byte once. What a program may have written into its
//! ring is [`NetError::Corrupt`] at worst, which ends its socket and no other.

use core::net::SocketAddr;
use core::task::Waker;

use proto::net::{DATAGRAM_HEADER_BYTES, NetError, datagram_address, datagram_header};
use ring::{Memory, ReceiveError, Receiver, SendError, Sender};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::socket::{icmp, tcp, udp};
use smoltcp::wire::{Icmpv4Packet, Icmpv4Repr, Icmpv6Packet, Icmpv6Repr, IpAddress, IpEndpoint};

use crate::slab::Key;
use crate::sockets::{Kind, TIME_OUT};
use crate::stack::Stack;

/// Longest record that is made of a stream.
const PIECE_BYTES: usize = 16 << 10;

/// What a round of pumping gave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// The program sleeps and must be woken.
    pub wake: bool,
    /// Interface that is to have a turn.
    pub turn: Option<usize>,
    /// The connection stands since this round: from here.
    pub connected: Option<SocketAddr>,
    /// Nothing more will happen. The socket can be closed.
    pub over: Option<Over>,
}

/// How a socket ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// Both sides have said all they had to say.
    Done,
    /// It was cut off.
    Failed(NetError),
}

/// The stack's end of a socket's rings.
#[derive(Debug)]
pub struct Pump<M> {
    to_program: Sender<M>,
    from_program: Receiver<M>,
    /// The program knows that the connection stands.
    connected: bool,
    /// The header of a datagram whose other bytes are still in the ring, and how many these are.
    header: Option<(SocketAddr, usize)>,
    /// The program was told that nothing more comes.
    received_all: bool,
    /// The program said that nothing more goes out.
    sent_all: bool,
    /// The program has closed its end.
    gone: bool,
}

/// The program cannot have written this.
fn corrupt<E>(_: E) -> NetError {
    NetError::Corrupt
}

impl<M: Memory> Pump<M> {
    /// The pump of a new socket; `connected` if its connection stands already.
    pub const fn new(to_program: Sender<M>, from_program: Receiver<M>, connected: bool) -> Self {
        Self {
            to_program,
            from_program,
            connected,
            header: None,
            received_all: false,
            sent_all: false,
            gone: false,
        }
    }

    /// The program has closed its end: what it sent still goes out.
    pub const fn close(&mut self) {
        self.gone = true;
    }

    /// From the connection to the program. Whether anything moved.
    fn receive(
        &mut self,
        socket: &mut tcp::Socket<'_>,
        round: &mut Round,
    ) -> Result<bool, NetError> {
        let mut moved = false;
        while !self.received_all {
            if self.gone {
                // Nobody reads it.
                while let Ok(1..) = socket.recv(|bytes| (bytes.len(), bytes.len())) {
                    moved = true;
                }
                self.received_all = has_ended(socket);
                break;
            }
            if !socket.can_recv() {
                if has_ended(socket) && self.put(&[], round)? {
                    self.received_all = true;
                }
                break;
            }
            let to_program = &mut self.to_program;
            let mut result = Ok(false);
            let taken = socket.recv(|bytes| {
                let room = to_program.room().map_err(corrupt);
                let room = match room {
                    Ok(room) => room.unwrap_or(0),
                    Err(error) => {
                        result = Err(error);
                        return (0, 0);
                    }
                };
                let len = bytes.len().min(room).min(PIECE_BYTES);
                let piece = bytes.get(..len).unwrap_or_default();
                if piece.is_empty() {
                    return (0, 0);
                }
                result = to_program.try_send(piece).map_err(corrupt);
                match result {
                    Ok(_) => (len, len),
                    Err(_) => (0, 0),
                }
            });
            round.wake |= result?;
            match taken {
                Ok(0) => {
                    // A good piece of room, so that the program is not asked for each byte of it.
                    let wanted = socket.recv_queue().min(self.to_program.most_bytes() / 4);
                    if self.to_program.sleep(wanted).map_err(corrupt)? {
                        break;
                    }
                }
                Ok(_) => moved = true,
                Err(_) => break,
            }
        }
        Ok(moved)
    }

    /// A record to the program, if there is room.
    fn put(&mut self, record: &[u8], round: &mut Round) -> Result<bool, NetError> {
        loop {
            match self.to_program.try_send(record) {
                Ok(wake) => {
                    round.wake |= wake;
                    return Ok(true);
                }
                Err(SendError::Full) => {
                    if self.to_program.sleep(record.len()).map_err(corrupt)? {
                        return Ok(false);
                    }
                }
                Err(_) => return Err(NetError::Corrupt),
            }
        }
    }

    /// Where the next datagram goes, and how many bytes it has, if there is one.
    fn next_datagram(
        &mut self,
        round: &mut Round,
    ) -> Result<Option<(SocketAddr, usize)>, NetError> {
        while self.header.is_none() {
            let mut header = [0; DATAGRAM_HEADER_BYTES];
            match self.from_program.try_take(&mut header) {
                Ok(taken) => {
                    round.wake |= taken.wake;
                    // A record without a whole header is none, and gone.
                    if taken.bytes == header.len() {
                        self.header = Some((datagram_address(&header), taken.left));
                    }
                }
                Err(ReceiveError::Empty) => {
                    if self.gone || self.from_program.sleep().map_err(corrupt)? {
                        break;
                    }
                }
                Err(_) => return Err(NetError::Corrupt),
            }
        }
        Ok(self.header)
    }

    /// Fills `room` with the bytes of the datagram whose header was taken, which has as many.
    fn take_datagram(&mut self, room: &mut [u8], round: &mut Round) -> Result<(), NetError> {
        self.header = None;
        if !room.is_empty() {
            let taken = self.from_program.try_take(room).map_err(corrupt)?;
            round.wake |= taken.wake;
            if taken.bytes != room.len() || taken.left != 0 {
                return Err(NetError::Corrupt);
            }
        }
        Ok(())
    }

    /// Gives up the datagram whose header was taken.
    fn drop_datagram(&mut self, round: &mut Round) -> Result<(), NetError> {
        if let Some((_, 1..)) = self.header.take() {
            round.wake |= self.from_program.skip().map_err(corrupt)?;
        }
        Ok(())
    }

    /// From the program to the connection. Whether anything moved.
    fn send(&mut self, socket: &mut tcp::Socket<'_>, round: &mut Round) -> Result<bool, NetError> {
        let mut moved = false;
        while !self.sent_all && socket.can_send() {
            let from_program = &mut self.from_program;
            let taken = socket.send(|room| match from_program.try_take(room) {
                Ok(taken) => (taken.bytes, Ok(taken)),
                Err(error) => (0, Err(error)),
            });
            match taken {
                Ok(Ok(taken)) => {
                    moved = true;
                    round.wake |= taken.wake;
                    if taken.bytes == 0 {
                        self.sent_all = true;
                        socket.close();
                    }
                }
                Ok(Err(ReceiveError::Empty)) => {
                    if self.gone {
                        moved = true;
                        self.sent_all = true;
                        socket.close();
                    } else if self.from_program.sleep().map_err(corrupt)? {
                        break;
                    }
                }
                Ok(Err(_)) => return Err(NetError::Corrupt),
                Err(_) => break,
            }
        }
        Ok(moved)
    }
}

/// Whether the other side has said all, and all of it was taken.
fn has_ended(socket: &tcp::Socket<'_>) -> bool {
    matches!(
        socket.state(),
        tcp::State::CloseWait | tcp::State::Closing | tcp::State::LastAck | tcp::State::TimeWait
    ) && socket.recv_queue() == 0
}

fn end(end: IpEndpoint) -> SocketAddr {
    SocketAddr::new(end.addr.into(), end.port)
}

impl Stack {
    /// A round for a connection. The waker is called when another one is worth while for what the stack does; for what the program
    /// does it says so itself, as the rings say.
    pub fn pump_tcp<M: Memory>(&mut self, key: Key, pump: &mut Pump<M>, waker: &Waker) -> Round {
        let mut round = Round::default();
        let over = |mut round: Round, error| {
            round.over = Some(Over::Failed(error));
            round
        };
        let Some(&Kind::Tcp {
            place,
            local,
            remote,
        }) = self.sockets.get_mut(key).map(|socket| &socket.kind)
        else {
            return over(round, NetError::NetworkDown);
        };
        let Some(interface) = self.interfaces.get_mut(place.interface) else {
            return over(round, NetError::NetworkDown);
        };
        let socket = interface.sockets.get_mut::<tcp::Socket<'_>>(place.handle);
        // First of all: what the stack does after the look calls it.
        socket.register_recv_waker(waker);
        socket.register_send_waker(waker);
        let state = socket.state();
        if !pump.connected && socket.may_send() {
            pump.connected = true;
            round.connected = socket.local_endpoint().map(end);
        }
        if state == tcp::State::SynSent && pump.gone {
            round.over = Some(Over::Done);
            return round;
        }
        let moved = match (
            pump.receive(socket, &mut round),
            pump.send(socket, &mut round),
        ) {
            (Ok(received), Ok(sent)) => received | sent,
            (Err(error), _) | (_, Err(error)) => return over(round, error),
        };
        // A connection may be silent for as long as it likes, unless the other side owes it something.
        let is_owed = socket.send_queue() > 0 || socket.state() != tcp::State::Established;
        let waits_for_peer = !is_owed || socket.state() == tcp::State::FinWait2;
        socket.set_timeout((!waits_for_peer).then_some(TIME_OUT));
        round.turn = moved.then_some(place.interface);
        match socket.state() {
            tcp::State::Closed if pump.received_all && pump.sent_all => {
                round.over = Some(Over::Done);
            }
            tcp::State::Closed => {
                let has_address = interface.stack.has_ip_addr(local.ip());
                let was_reset = self.was_reset(local, remote);
                round.over = Some(Over::Failed(match (was_reset, pump.connected) {
                    (true, false) => NetError::ConnectionRefused,
                    (true, true) => NetError::Reset,
                    (false, _) if !has_address => NetError::NetworkDown,
                    (false, _) => NetError::TimedOut,
                }));
            }
            tcp::State::TimeWait if pump.received_all => round.over = Some(Over::Done),
            _ => {}
        }
        round
    }

    /// A round for datagrams.
    pub fn pump_udp<M: Memory>(
        &mut self,
        key: Key,
        pump: &mut Pump<M>,
        waker: &Waker,
    ) -> (
        Round,
        heapless::Vec<usize, { crate::stack::MAX_INTERFACES }>,
    ) {
        let mut turns = heapless::Vec::new();
        let mut round = Round::default();
        let result = self.datagrams(key, pump, waker, &mut round, &mut turns);
        round.over = match result {
            Ok(()) => pump.gone.then_some(Over::Done),
            Err(error) => Some(Over::Failed(error)),
        };
        (round, turns)
    }

    fn datagrams<M: Memory>(
        &mut self,
        key: Key,
        pump: &mut Pump<M>,
        waker: &Waker,
        round: &mut Round,
        turns: &mut heapless::Vec<usize, { crate::stack::MAX_INTERFACES }>,
    ) -> Result<(), NetError> {
        let Some(Kind::Udp { handles, .. }) = self.sockets.get_mut(key).map(|socket| &socket.kind)
        else {
            return Err(NetError::NetworkDown);
        };
        let handles = handles.clone();
        for (interface, &handle) in self.interfaces.iter_mut().zip(&handles) {
            let socket = interface.sockets.get_mut::<udp::Socket<'_>>(handle);
            socket.register_recv_waker(waker);
            socket.register_send_waker(waker);
            while let Ok((payload, meta)) = socket.peek() {
                let header = datagram_header(end(meta.endpoint));
                let sent = pump.to_program.try_send_parts(&[&header, payload]);
                match sent {
                    Ok(wake) => round.wake |= wake,
                    Err(SendError::Full) => {
                        let len = header.len() + payload.len();
                        if pump.to_program.sleep(len).map_err(corrupt)? {
                            break;
                        }
                        continue;
                    }
                    // It can never fit: the program asked for small rings.
                    Err(SendError::TooLong { .. }) => {}
                    Err(SendError::Corrupt) => return Err(NetError::Corrupt),
                }
                let _ = socket.recv();
            }
        }
        // The header stays in the pump while the datagram has no room in the stack.
        while let Some((to, len)) = pump.next_datagram(round)? {
            let number = self.route(to.ip());
            let handle = number.and_then(|number| handles.get(number).copied());
            let (Some(number), Some(handle)) = (number, handle) else {
                // As a datagram to nowhere is: lost.
                pump.drop_datagram(round)?;
                continue;
            };
            let interface = self
                .interfaces
                .get_mut(number)
                .ok_or(NetError::NetworkDown)?;
            let most = interface.datagram_bytes();
            let socket = interface.sockets.get_mut::<udp::Socket<'_>>(handle);
            if len > most.min(socket.payload_send_capacity()) {
                let most = u32::try_from(most).unwrap_or(u32::MAX);
                return Err(NetError::TooLong(most));
            }
            let endpoint = IpEndpoint::new(to.ip().into(), to.port());
            match socket.send(len, endpoint) {
                Ok(room) => pump.take_datagram(room, round)?,
                Err(udp::SendError::BufferFull) => break,
                Err(udp::SendError::Unaddressable) => {
                    pump.drop_datagram(round)?;
                    continue;
                }
            }
            if !turns.contains(&number) {
                // There are no more interfaces than that.
                let _ = turns.push(number);
            }
        }
        Ok(())
    }

    /// A round for echo requests.
    pub fn pump_echo<M: Memory>(&mut self, key: Key, pump: &mut Pump<M>, waker: &Waker) -> Round {
        let mut round = Round::default();
        let result = self.echoes(key, pump, waker, &mut round);
        round.over = match result {
            Ok(()) => pump.gone.then_some(Over::Done),
            Err(error) => Some(Over::Failed(error)),
        };
        round
    }

    fn echoes<M: Memory>(
        &mut self,
        key: Key,
        pump: &mut Pump<M>,
        waker: &Waker,
        round: &mut Round,
    ) -> Result<(), NetError> {
        let Some(Kind::Echo {
            place,
            to,
            identifier,
            next,
        }) = self.sockets.get_mut(key).map(|socket| &mut socket.kind)
        else {
            return Err(NetError::NetworkDown);
        };
        let interface = self
            .interfaces
            .get_mut(place.interface)
            .ok_or(NetError::NetworkDown)?;
        let most = interface.datagram_bytes();
        let source = interface.stack.get_source_address(&(*to).into());
        let socket = interface.sockets.get_mut::<icmp::Socket<'_>>(place.handle);
        socket.register_recv_waker(waker);
        socket.register_send_waker(waker);
        while let Ok((packet, from)) = socket.recv() {
            let Some((number, data)) = echo_answer(packet, from) else {
                continue;
            };
            let header = datagram_header(SocketAddr::new(from.into(), number));
            match pump.to_program.try_send_parts(&[&header, data]) {
                Ok(wake) => round.wake |= wake,
                // As an answer that is lost.
                Err(SendError::Full | SendError::TooLong { .. }) => {}
                Err(SendError::Corrupt) => return Err(NetError::Corrupt),
            }
        }
        while socket.can_send()
            && let Some((_, len)) = pump.next_datagram(round)?
        {
            if len > most {
                return Err(NetError::TooLong(u32::try_from(most).unwrap_or(u32::MAX)));
            }
            let mut data = crate::zeroes(len)?;
            pump.take_datagram(&mut data, round)?;
            let number = *next;
            *next = next.wrapping_add(1);
            send_echo(socket, (*to).into(), source, *identifier, number, &data)?;
            round.turn = Some(place.interface);
        }
        Ok(())
    }
}

/// The number and the data of an answer to an echo request, if the packet is one.
fn echo_answer(packet: &[u8], from: IpAddress) -> Option<(u16, &[u8])> {
    // The stack has checked it.
    let checksums = ChecksumCapabilities::ignored();
    match from {
        IpAddress::Ipv4(_) => {
            let packet = Icmpv4Packet::new_checked(packet).ok()?;
            match Icmpv4Repr::parse(&packet, &checksums).ok()? {
                Icmpv4Repr::EchoReply { seq_no, data, .. } => Some((seq_no, data)),
                _ => None,
            }
        }
        IpAddress::Ipv6(from) => {
            let packet = Icmpv6Packet::new_checked(packet).ok()?;
            match Icmpv6Repr::parse(&from, &from, &packet, &checksums).ok()? {
                Icmpv6Repr::EchoReply { seq_no, data, .. } => Some((seq_no, data)),
                _ => None,
            }
        }
    }
}

fn send_echo(
    socket: &mut icmp::Socket<'_>,
    to: IpAddress,
    source: Option<IpAddress>,
    ident: u16,
    seq_no: u16,
    data: &[u8],
) -> Result<(), NetError> {
    let checksums = ChecksumCapabilities::default();
    let full = |_| NetError::NoRoute(to.into());
    match (to, source) {
        (IpAddress::Ipv4(_), _) => {
            let request = Icmpv4Repr::EchoRequest {
                ident,
                seq_no,
                data,
            };
            let room = socket.send(request.buffer_len(), to).map_err(full)?;
            request.emit(&mut Icmpv4Packet::new_unchecked(room), &checksums);
        }
        (IpAddress::Ipv6(there), Some(IpAddress::Ipv6(here))) => {
            let request = Icmpv6Repr::EchoRequest {
                ident,
                seq_no,
                data,
            };
            let room = socket.send(request.buffer_len(), to).map_err(full)?;
            let mut packet = Icmpv6Packet::new_unchecked(room);
            request.emit(&here, &there, &mut packet, &checksums);
        }
        _ => return Err(NetError::NoRoute(to.into())),
    }
    Ok(())
}
