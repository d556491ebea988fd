//! Moves bytes between the stack's sockets and the rings of the programs that have them.
//!
//! A pump is one end of both rings of a socket, with what is known about the other end. Each call moves all that can be moved: from the
//! stack's buffer into one ring, from the other ring into the stack's buffer, each byte once. What a program may have written into its
//! ring is [`NetError::Corrupt`] at worst, which ends its socket and no other.

mod datagrams;

use core::net::SocketAddr;
use core::task::Waker;

use proto::net::NetError;
use ring::{Memory, ReceiveError, Receiver, SendError, Sender};
use smoltcp::socket::tcp;
use smoltcp::wire::IpEndpoint;

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
}
