//! What all sockets do: waiting for their rings, and hearing of their end.

use alloc::sync::Arc;
use core::net::SocketAddr;
use core::task::{Context, Poll};

use proto::net::{NetError, Notice, from_bytes};
use ring::{ReceiveError, Receiver, SendError, Sender, Taken};
use rt::duplex::{Bell, Half, Part};
use spin::Mutex;

/// What the server told.
#[derive(Clone, Copy, Debug, Default)]
pub struct Told {
    /// The connection stands: from here.
    pub connected: Option<SocketAddr>,
    /// It is over.
    pub closed: Option<NetError>,
    /// The bell was closed: nothing more will be told.
    pub gone: bool,
}

/// What both halves of a socket share.
#[derive(Clone, Debug)]
pub struct Line {
    pub bell: Arc<Bell>,
    told: Arc<Mutex<Told>>,
}

fn corrupt<E>(_: E) -> NetError {
    NetError::Corrupt
}

impl Line {
    pub fn new(bell: Arc<Bell>) -> Self {
        Self {
            bell,
            told: Arc::default(),
        }
    }

    /// Hears what the server told until now, and has the half woken when it tells more.
    pub fn hear(&self, half: Half, context: &mut Context<'_>) -> Told {
        let told = &self.told;
        let heard = self
            .bell
            .hear(half, context, |bytes| match from_bytes::<Notice>(bytes) {
                Some(Notice::Connected { local }) => told.lock().connected = Some(local),
                Some(Notice::Closed(error)) => told.lock().closed = Some(error),
                _ => {}
            });
        let mut told = told.lock();
        told.gone |= heard.is_err();
        *told
    }

    /// Takes what there is of the next record.
    pub fn poll_take(
        &self,
        receiver: &mut Receiver<Part>,
        buffer: &mut [u8],
        context: &mut Context<'_>,
    ) -> Poll<Result<Taken, NetError>> {
        loop {
            // First of all: what comes after the look wakes the task.
            let told = self.hear(Half::Receiving, context);
            match receiver.try_take(buffer) {
                Ok(taken) => {
                    if taken.wake {
                        self.bell.ring();
                    }
                    return Poll::Ready(Ok(taken));
                }
                Err(ReceiveError::Empty) => {}
                Err(_) => return Poll::Ready(Err(NetError::Corrupt)),
            }
            if let Some(error) = told.closed {
                return Poll::Ready(Err(error));
            }
            if told.gone {
                return Poll::Ready(Err(NetError::ServerGone));
            }
            match receiver.sleep().map_err(corrupt) {
                Ok(true) => return Poll::Pending,
                Ok(false) => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Waits until there is room for a record of `least` bytes; for how many there is.
    pub fn poll_room(
        &self,
        sender: &mut Sender<Part>,
        least: usize,
        context: &mut Context<'_>,
    ) -> Poll<Result<usize, NetError>> {
        loop {
            let told = self.hear(Half::Sending, context);
            if let Some(error) = told.closed {
                return Poll::Ready(Err(error));
            }
            if told.gone {
                return Poll::Ready(Err(NetError::ServerGone));
            }
            match sender.room().map_err(corrupt) {
                Ok(Some(room)) if room >= least => return Poll::Ready(Ok(room)),
                Ok(_) => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
            match sender.sleep(least).map_err(corrupt) {
                Ok(true) => return Poll::Pending,
                Ok(false) => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Sends a record for which there is room.
    pub fn send(&self, sender: &mut Sender<Part>, parts: &[&[u8]]) -> Result<(), NetError> {
        match sender.try_send_parts(parts) {
            Ok(wake) => {
                if wake {
                    self.bell.ring();
                }
                Ok(())
            }
            Err(SendError::TooLong { most }) => {
                Err(NetError::TooLong(u32::try_from(most).unwrap_or(u32::MAX)))
            }
            Err(_) => Err(NetError::Corrupt),
        }
    }
}
