//! Ports that are listened to: connections go to their programs; those of programs that have not come back yet are held for them.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::future::poll_fn;
use core::task::Poll;
use core::time::Duration;

use abi::{Error, Signals};
use net::Key;
use proto::net::{MAX_BYTES, NetError, Notice, to_bytes};
use rt::sys::message::Handles;
use rt::sys::object::Channel;
use rt::{Crowd, Either, Watched, duplex, first, sleep};
use spin::Mutex;

use crate::saved::{Port, Saved};
use crate::shared::Shared;
use crate::sockets::{self, Kind};

/// How long a program has to ask for its ports again.
const HOLD: Duration = Duration::from_secs(10);

/// Ports that are held.
#[derive(Default)]
pub struct Held(Mutex<Vec<(Key, Port)>>);

impl Held {
    /// Listens to the ports of the last instance, and gives them up after a while if nobody asks for them.
    pub fn begin(self: &Arc<Self>, shared: &Arc<Shared>, saved: &Arc<Saved>, crowd: &Crowd) {
        for port in saved.ports() {
            let listening =
                shared
                    .lock()
                    .listen(port.owner, port.port, port.backlog, port.ring_bytes);
            match listening {
                Ok((key, _)) => self.0.lock().push((key, port)),
                Err(error) => log::warn!("port {} is not held: {error}", port.port),
            }
        }
        if self.0.lock().is_empty() {
            return;
        }
        let (held, shared, saved) = (Arc::clone(self), Arc::clone(shared), Arc::clone(saved));
        let held_for_a_while = crowd.join(async move {
            sleep(HOLD).await;
            for (key, port) in held.0.lock().drain(..) {
                log::info!("nobody came back for port {}", port.port);
                shared.lock().unlisten(key);
                saved.remove(port.port);
            }
        });
        if let Err(error) = held_for_a_while {
            log::warn!("ports are held for ever: {error}");
        }
    }

    /// The listener of a port that is held. Whoever may listen to it may have it: its program, or the next instance of that.
    pub fn take(&self, port: u16) -> Option<Key> {
        let mut held = self.0.lock();
        let index = held.iter().position(|(_, known)| known.port == port)?;
        Some(held.swap_remove(index).0)
    }
}

/// A port, given up when this is dropped.
pub struct Listening {
    shared: Arc<Shared>,
    saved: Arc<Saved>,
    key: Key,
    port: Port,
}

impl Drop for Listening {
    fn drop(&mut self) {
        let mut stack = self.shared.lock();
        stack.unlisten(self.key);
        for number in 0..stack.interfaces() {
            self.shared.kick(number);
        }
        drop(stack);
        self.saved.remove(self.port.port);
    }
}

impl Listening {
    /// From now on, and for the next instance.
    pub fn begin(shared: Arc<Shared>, saved: Arc<Saved>, key: Key, port: Port) -> Self {
        saved.add(port);
        Self {
            shared,
            saved,
            key,
            port,
        }
    }

    /// Gives connections to the program for as long as it has its end of the channel.
    pub async fn serve(self, channel: Watched<Channel>, crowd: Arc<Crowd>) {
        loop {
            let accepted = poll_fn(|context| {
                let mut stack = self.shared.lock();
                match stack.accept(self.key, context.waker()) {
                    Some(accepted) => Poll::Ready(accepted),
                    None => Poll::Pending,
                }
            });
            // The program says nothing through it: whatever comes is its end.
            let ended = channel.signalled(Signals::PEER_CLOSED);
            let (key, remote, local) = match first(ended, accepted).await {
                Either::A(_) => return,
                Either::B(accepted) => accepted,
            };
            let mut handles = Handles::new();
            let end = match duplex::create(self.port.ring_bytes, &mut handles) {
                Ok(end) => end,
                Err(error) => {
                    log::warn!("a connection to port {} is reset: {error}", self.port.port);
                    self.reset(key);
                    continue;
                }
            };
            let mut buffer = [0; MAX_BYTES];
            let notice = Notice::Accepted { remote, local };
            let bytes = to_bytes(&notice, &mut buffer).unwrap_or_default();
            match channel.send(bytes, &mut handles).await {
                Ok(()) => {
                    let shared = Arc::clone(&self.shared);
                    let served = sockets::serve(shared, key, Kind::Tcp, end, true);
                    if crowd.join(served).is_err() {
                        self.reset(key);
                    }
                }
                Err(_) => return self.reset(key),
            }
        }
    }

    fn reset(&self, key: Key) {
        let mut stack = self.shared.lock();
        let turn = stack.reset(key);
        self.shared.push(&mut stack, turn);
    }
}

/// An error of the kernel's as one of the contract's.
pub fn kernel(error: Error) -> NetError {
    match error {
        Error::NoMemory | Error::LimitReached => NetError::NoMemory,
        Error::BadArgument => NetError::Malformed,
        other => NetError::Kernel(other as i64 as i32),
    }
}
