//! Objects that tasks wait for: [`Watched`], and byte streams over channels.

use core::ops::Deref;
use core::task::{Context, Poll};

use abi::message::Lengths;
use abi::{Error, Signals};
use spin::Mutex;

use crate::io::{Interrupt as InterruptLine, IrqEvent};
use crate::stream::{ByteSink, ByteSource, Closed};
use crate::sys::endpoint::Incoming;
use crate::sys::message::{Handles, ReadError};
use crate::sys::object::{Channel, Endpoint, Interrupt, Notification, Object, Process, Timer};
use crate::sys::reactor::Watch;

/// An object with its place in the reactor. Dereferences to the object, for what does not wait.
#[derive(Debug)]
pub struct Watched<T: Object> {
    // Dropped in this order: unbound, then closed.
    watch: Watch,
    object: T,
}

impl<T: Object> Deref for Watched<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.object
    }
}

impl<T: Object> Watched<T> {
    /// Watches an object for any of `signals`.
    ///
    /// # Errors
    /// [`Error::BadState`] in a program without an executor, [`Error::NoRight`] without [`WAIT`](abi::Rights::WAIT), the job's
    /// limits.
    pub fn new(object: T, signals: Signals) -> Result<Self, Error> {
        let watch = Watch::new(&object, signals | Signals::PEER_CLOSED)?;
        Ok(Self { watch, object })
    }

    /// Waits until one of `signals`, among those watched, is set. Cancel-safe.
    ///
    /// # Errors
    /// [`Error::Revoked`].
    pub async fn signalled(&self, signals: Signals) -> Result<Signals, Error> {
        self.watch.signalled(signals).await
    }

    /// Whether one of `signals`, among those watched, has become set since it was last reported; else the context's waker is called when
    /// it does. For who has just been told that nothing is there.
    ///
    /// # Errors
    /// [`Error::Revoked`].
    pub fn poll_changed(
        &self,
        signals: Signals,
        context: &mut Context<'_>,
    ) -> Poll<Result<Signals, Error>> {
        self.watch.poll_changed(signals, context)
    }

    /// Tries until it is not told to wait, and waits for one of `signals` in between.
    async fn until<R, E: Into<Error> + Copy>(
        &self,
        signals: Signals,
        wait_for: Error,
        mut attempt: impl FnMut(&T) -> Result<R, E>,
    ) -> Result<R, E> {
        loop {
            match attempt(&self.object) {
                Err(error) if error.into() == wait_for => {
                    if self.watch.changed(signals).await.is_err() {
                        return Err(error);
                    }
                }
                result => return result,
            }
        }
    }
}

impl Watched<Channel> {
    /// A channel end for reading and writing.
    ///
    /// # Errors
    /// As [`Watched::new`].
    pub fn channel(channel: Channel) -> Result<Self, Error> {
        Self::new(channel, Signals::READABLE | Signals::WRITABLE)
    }

    /// Waits for the next message. Cancel-safe.
    ///
    /// # Errors
    /// As [`Channel::read`], but never [`Error::WouldWait`].
    pub async fn receive(
        &self,
        bytes: &mut [u8],
        handles: &mut Handles,
    ) -> Result<Lengths, ReadError> {
        self.until(Signals::READABLE, Error::WouldWait, |channel| {
            channel.read(bytes, handles)
        })
        .await
    }

    /// Queues a message, waiting for room. Cancel-safe: dropped, nothing was sent and the handles are still there.
    ///
    /// # Errors
    /// As [`Channel::write`], but never [`Error::QueueFull`].
    pub async fn send(&self, bytes: &[u8], handles: &mut Handles) -> Result<(), Error> {
        self.until(Signals::WRITABLE, Error::QueueFull, |channel| {
            channel.write(bytes, handles)
        })
        .await
    }
}

impl Watched<Endpoint> {
    /// An endpoint to receive calls from.
    ///
    /// # Errors
    /// As [`Watched::new`]; [`Error::NoRight`] without [`RECEIVE`](abi::Rights::RECEIVE).
    pub fn endpoint(endpoint: Endpoint) -> Result<Self, Error> {
        let watch = Watch::new(&endpoint, Signals::READABLE)?;
        Ok(Self {
            watch,
            object: endpoint,
        })
    }

    /// Waits for the next call. Cancel-safe.
    ///
    /// # Errors
    /// [`Error::Revoked`].
    pub async fn receive(&self) -> Result<Incoming, Error> {
        self.watch.next_call().await
    }
}

impl Watched<Notification> {
    /// A notification to take bits from.
    ///
    /// # Errors
    /// As [`Watched::new`].
    pub fn notification(notification: Notification) -> Result<Self, Error> {
        Self::new(notification, Signals::READABLE)
    }

    /// Waits for bits and takes them all. Cancel-safe.
    ///
    /// # Errors
    /// [`Error::NoRight`], [`Error::Revoked`].
    pub async fn take(&self) -> Result<u64, Error> {
        loop {
            match self.object.take_blocking(abi::AT_ONCE) {
                Err(Error::WouldWait | Error::TimedOut) => {
                    self.watch.changed(Signals::READABLE).await?;
                }
                result => return result,
            }
        }
    }
}

impl Watched<Timer> {
    /// A timer object, for deadlines that other processes set; tasks sleep with [`sleep`](crate::tasks::sleep).
    ///
    /// # Errors
    /// As [`Watched::new`].
    pub fn timer(timer: Timer) -> Result<Self, Error> {
        Self::new(timer, Signals::FIRED)
    }

    /// Waits until it has fired since it was set. Cancel-safe.
    ///
    /// # Errors
    /// [`Error::Revoked`].
    pub async fn fired(&self) -> Result<(), Error> {
        self.watch.signalled(Signals::FIRED).await.map(drop)
    }
}

impl Watched<Process> {
    /// A process whose end is of interest.
    ///
    /// # Errors
    /// As [`Watched::new`].
    pub fn process(process: Process) -> Result<Self, Error> {
        Self::new(process, Signals::ENDED)
    }

    /// Waits for its end; its exit code.
    ///
    /// # Errors
    /// [`Error::NoRight`] without [`INSPECT`](abi::Rights::INSPECT), [`Error::Revoked`].
    pub async fn ended(&self) -> Result<i32, Error> {
        self.watch.signalled(Signals::ENDED).await?;
        Ok(self.object.status()?.exit_code)
    }
}

impl Watched<Interrupt> {
    /// A device's interrupt.
    ///
    /// # Errors
    /// As [`Watched::new`].
    pub fn interrupt(interrupt: Interrupt) -> Result<Self, Error> {
        Self::new(interrupt, Signals::INTERRUPT)
    }
}

impl InterruptLine for Watched<Interrupt> {
    async fn wait(&self) -> IrqEvent {
        loop {
            match self.object.wait_event_blocking(abi::AT_ONCE) {
                Ok(event) => return event,
                Err(Error::WouldWait | Error::TimedOut) => {
                    if self.watch.changed(Signals::INTERRUPT).await.is_err() {
                        // Revoked: it never comes again.
                        return core::future::pending().await;
                    }
                }
                Err(_) => return core::future::pending().await,
            }
        }
    }

    fn ack(&self) {
        // Without the handle there is nothing to re-arm.
        let _ = self.object.acknowledge();
    }
}

/// Bytes of a message that carries a stream.
const PIECE_BYTES: usize = 2048;

/// A channel end as a stream of bytes, both ways. Back-pressure is the channel's: it holds so many messages each way.
#[derive(Debug)]
pub struct ByteChannel {
    channel: Watched<Channel>,
    /// The message that is being read.
    piece: Mutex<Piece>,
}

#[derive(Debug)]
struct Piece {
    bytes: [u8; PIECE_BYTES],
    next: usize,
    len: usize,
}

impl ByteChannel {
    /// The stream over a channel end whose other one sends messages of at most 2048 bytes.
    ///
    /// # Errors
    /// As [`Watched::new`].
    pub fn new(channel: Channel) -> Result<Self, Error> {
        Ok(Self {
            channel: Watched::channel(channel)?,
            piece: Mutex::new(Piece {
                bytes: [0; PIECE_BYTES],
                next: 0,
                len: 0,
            }),
        })
    }

    async fn wait(&self, signals: Signals) -> Result<(), Closed> {
        match self.channel.signalled(signals).await {
            Ok(set) if set.intersects(signals) => Ok(()),
            _ => Err(Closed),
        }
    }
}

impl ByteSource for ByteChannel {
    fn try_read(&self, buffer: &mut [u8]) -> usize {
        let piece = &mut *self.piece.lock();
        if piece.next == piece.len {
            // Handles in a stream of bytes mean nothing: they are closed. A message that is too long stays, and the stream with it.
            let read = self.channel.read(&mut piece.bytes, &mut Handles::new());
            piece.next = 0;
            piece.len = read.map_or(0, |lengths| (lengths.bytes as usize).min(PIECE_BYTES));
        }
        let rest = piece.bytes.get(piece.next..piece.len).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        for (to, from) in buffer.iter_mut().zip(rest) {
            *to = *from;
        }
        piece.next += count;
        count
    }

    async fn readable(&self) -> Result<(), Closed> {
        let more = {
            let piece = self.piece.lock();
            piece.next < piece.len
        };
        if more {
            return Ok(());
        }
        self.wait(Signals::READABLE).await
    }
}

impl ByteSink for ByteChannel {
    fn try_write(&self, bytes: &[u8]) -> usize {
        let mut written = 0;
        for piece in bytes.chunks(PIECE_BYTES) {
            if self.channel.write(piece, &mut Handles::new()).is_err() {
                break;
            }
            written += piece.len();
        }
        written
    }

    async fn writable(&self) -> Result<(), Closed> {
        self.wait(Signals::WRITABLE).await
    }
}
