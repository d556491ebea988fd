//! The sockets' futures: each moves its socket's bytes whenever the stack or the program woke it.

use alloc::sync::Arc;
use core::future::poll_fn;
use core::task::{Context, Poll};

use net::Key;
use net::pump::{Over, Pump, Round};
use proto::net::{MAX_BYTES, NetError, Notice, to_bytes};
use rt::duplex::{Bell, End, Half, Part};

use crate::shared::Shared;

/// What a socket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A connection.
    Tcp,
    /// Datagrams.
    Udp,
    /// Echo requests.
    Echo,
}

/// A socket, closed when this is dropped.
struct Socket {
    shared: Arc<Shared>,
    key: Key,
    kind: Kind,
    pump: Pump<Part>,
    bell: Arc<Bell>,
    /// It ends without a farewell: the program wrote nonsense, or died in the middle.
    abrupt: bool,
}

impl Drop for Socket {
    fn drop(&mut self) {
        let mut stack = self.shared.lock();
        let turn = if self.abrupt {
            stack.reset(self.key)
        } else {
            stack.close(self.key)
        };
        self.shared.push(&mut stack, turn);
    }
}

/// Says something to a program. One that does not listen hears of it by the end of the bell.
pub fn say(bell: &Bell, notice: &Notice) {
    let mut buffer = [0; MAX_BYTES];
    if let Some(bytes) = to_bytes(notice, &mut buffer) {
        let _ = bell.say(bytes);
    }
}

/// Serves a socket until it is over.
pub async fn serve(shared: Arc<Shared>, key: Key, kind: Kind, end: End, connected: bool) {
    let End {
        sender,
        receiver,
        bell,
    } = end;
    let mut socket = Socket {
        shared,
        key,
        kind,
        pump: Pump::new(sender, receiver, connected),
        bell,
        abrupt: false,
    };
    poll_fn(|context| socket.step(context)).await;
}

impl Socket {
    fn step(&mut self, context: &mut Context<'_>) -> Poll<()> {
        // Programs say nothing but that they are there.
        if self.bell.hear(Half::Receiving, context, |_| {}).is_err() {
            self.pump.close();
        }
        let Self {
            shared,
            key,
            kind,
            pump,
            bell,
            abrupt,
        } = self;
        let mut stack = shared.lock();
        let waker = context.waker();
        let round = match kind {
            Kind::Tcp => {
                let round = stack.pump_tcp(*key, pump, waker);
                shared.push(&mut stack, round.turn);
                round
            }
            Kind::Udp => {
                let (round, turns) = stack.pump_udp(*key, pump, waker);
                shared.push(&mut stack, turns);
                round
            }
            Kind::Echo => {
                let round = stack.pump_echo(*key, pump, waker);
                shared.push(&mut stack, round.turn);
                round
            }
        };
        drop(stack);
        let Round {
            wake,
            connected,
            over,
            ..
        } = round;
        if let Some(local) = connected {
            say(bell, &Notice::Connected { local });
        } else if wake {
            bell.ring();
        }
        match over {
            None => Poll::Pending,
            Some(Over::Done) => Poll::Ready(()),
            Some(Over::Failed(error)) => {
                *abrupt = error == NetError::Corrupt;
                say(bell, &Notice::Closed(error));
                Poll::Ready(())
            }
        }
    }
}
