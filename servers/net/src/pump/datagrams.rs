//! Datagrams and echo requests.

use core::net::SocketAddr;
use core::task::Waker;

use proto::net::{DATAGRAM_HEADER_BYTES, NetError, datagram_address, datagram_header};
use ring::{Memory, ReceiveError, SendError};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::socket::{icmp, udp};
use smoltcp::wire::{Icmpv4Packet, Icmpv4Repr, Icmpv6Packet, Icmpv6Repr, IpAddress, IpEndpoint};

use super::{Over, Pump, Round, corrupt, end};
use crate::slab::Key;
use crate::sockets::Kind;
use crate::stack::{MAX_INTERFACES, Stack};

impl<M: Memory> Pump<M> {
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
}

impl Stack {
    /// A round for datagrams.
    pub fn pump_udp<M: Memory>(
        &mut self,
        key: Key,
        pump: &mut Pump<M>,
        waker: &Waker,
    ) -> (Round, heapless::Vec<usize, MAX_INTERFACES>) {
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
        turns: &mut heapless::Vec<usize, MAX_INTERFACES>,
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
