//! Rings between processes: records through shared memory, tasks that wait for room or for records, and a dead peer that is an
//! error at once.
//!
//! [`create`] makes both ends; one stays, the other is sent to the peer as handles ([`End::into_handles`]). A system call is made only
//! to sleep and to wake who sleeps. See [`ring`] for the memory's layout and what must hold.
//!
//! What to do when a ring is full is the sender's choice: [`Sender::send`] waits for room, [`Sender::send_or_drop`] gives the record
//! up and counts it; [`Counters`] show both, to either side.

use abi::memory::{MapFlags, PAGE_BYTES};
use abi::{Error, Rights};
use ring::layout::memory_bytes;
use ring::{AtomicU32, AtomicU64, ReceiveError, SendError};

use crate::sys::memory::{Mapping, copy_into, copy_out_of};
use crate::sys::message::{Handles, ReadError};
use crate::sys::object::{Channel, Object, Vmo};
use crate::watched::Watched;

pub use ring::Counters;

/// A ring's memory, mapped.
#[derive(Debug)]
pub struct Shared(Mapping);

impl ring::Memory for Shared {
    fn bytes_len(&self) -> usize {
        self.0.len()
    }

    fn word(&self, offset: usize) -> Option<&AtomicU32> {
        self.0.word_u32(offset)
    }

    fn long_word(&self, offset: usize) -> Option<&AtomicU64> {
        self.0.word_u64(offset)
    }

    fn copy_in(&self, offset: usize, from: &[u8]) -> bool {
        copy_into(&self.0, offset, from)
    }

    fn copy_out(&self, offset: usize, to: &mut [u8]) -> bool {
        copy_out_of(&self.0, offset, to)
    }
}

/// One end of a ring, on its way to who uses it.
#[derive(Debug)]
pub struct End {
    memory: Vmo,
    /// Wakes travel over it, and it closes when the other side is gone.
    bell: Channel,
}

/// A new ring of `capacity` bytes, a power of two: two ends, equal but for who sends. The one that is given away cannot resize the
/// memory, so the maker of a ring survives whatever the other side does.
///
/// # Errors
/// [`Error::BadArgument`] for a capacity that cannot be; the job's limits.
pub fn create(capacity: u32) -> Result<(End, End), Error> {
    let bytes = (memory_bytes(capacity) as u64).next_multiple_of(PAGE_BYTES);
    let memory = Vmo::create(bytes)?;
    ring::format(&map(&memory)?, capacity).map_err(|_| Error::BadArgument)?;
    let given = memory.duplicate(
        Rights::READ | Rights::WRITE | Rights::MAP | Rights::INSPECT | Rights::TRANSFER,
    )?;
    let (here, there) = Channel::create()?;
    Ok((
        End { memory, bell: here },
        End {
            memory: given,
            bell: there,
        },
    ))
}

fn map(memory: &Vmo) -> Result<Shared, Error> {
    let bytes = memory.sizes()?.size_bytes;
    Ok(Shared(memory.map(0, bytes, MapFlags::WRITE)?))
}

impl End {
    /// The handles that the end is made of, to be sent. Two are added; they are closed if there is no room.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if there is no room for them.
    pub fn into_handles(self, handles: &mut Handles) -> Result<(), Error> {
        handles
            .push(self.memory.into_owned())
            .and_then(|()| handles.push(self.bell.into_owned()))
            .map_err(|_| Error::OutOfRange)
    }

    /// The end that the next two handles are.
    ///
    /// # Errors
    /// [`Error::BadHandle`] if there are fewer, [`Error::WrongType`] if they are something else.
    pub fn from_handles(handles: &mut Handles) -> Result<Self, Error> {
        let memory = handles.pop_front().ok_or(Error::BadHandle)?;
        let bell = handles.pop_front().ok_or(Error::BadHandle)?;
        Ok(Self {
            memory: memory.cast().map_err(|_| Error::WrongType)?,
            bell: bell.cast().map_err(|_| Error::WrongType)?,
        })
    }

    /// Uses this end for sending.
    ///
    /// # Errors
    /// [`Error::BadState`] if the memory holds no ring; the job's limits; in a program without an executor [`Error::BadState`].
    pub fn into_sender(self) -> Result<Sender, Error> {
        Ok(Sender {
            ring: ring::Sender::new(map(&self.memory)?).map_err(|_| Error::BadState)?,
            bell: Watched::channel(self.bell)?,
        })
    }

    /// Uses this end for receiving.
    ///
    /// # Errors
    /// As [`End::into_sender`].
    pub fn into_receiver(self) -> Result<Receiver, Error> {
        Ok(Receiver {
            ring: ring::Receiver::new(map(&self.memory)?).map_err(|_| Error::BadState)?,
            bell: Watched::channel(self.bell)?,
        })
    }
}

/// Wakes the other side. If the channel is full it was woken already; if it is gone, the next wait says so.
fn wake(bell: &Watched<Channel>) {
    let _ = bell.write(&[], &mut Handles::new());
}

/// Waits until the other side wakes us; [`Error::PeerClosed`] once it is gone.
async fn woken(bell: &Watched<Channel>) -> Result<(), Error> {
    // Whatever the message says beyond that is closed and forgotten.
    match bell.receive(&mut [], &mut Handles::new()).await {
        Ok(_) => Ok(()),
        Err(error) => Err(refused(error)),
    }
}

fn refused(error: ReadError) -> Error {
    match error.into() {
        // Only bells without bytes are agreed upon.
        Error::BufferTooSmall => Error::BadState,
        other => other,
    }
}

/// The end that records go in at.
#[derive(Debug)]
pub struct Sender {
    ring: ring::Sender<Shared>,
    bell: Watched<Channel>,
}

impl Sender {
    /// Sends a record, waiting for room. Cancel-safe: dropped before it is ready, nothing was sent.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for a record longer than [`Sender::most_bytes`], [`Error::PeerClosed`] once the receiver is gone and
    /// the ring is full, [`Error::BadState`] if it wrote nonsense into the ring.
    pub async fn send(&mut self, record: &[u8]) -> Result<(), Error> {
        while !self.try_send(record)? {
            if self.ring.sleep(record.len()).map_err(of_sender)? {
                woken(&self.bell).await?;
            }
        }
        Ok(())
    }

    /// Sends a record if there is room; else it is given up and counted. Whether it was sent.
    ///
    /// # Errors
    /// As [`Sender::send`].
    pub fn send_or_drop(&mut self, record: &[u8]) -> Result<bool, Error> {
        let sent = self.try_send(record)?;
        if !sent {
            self.ring.count_refused();
        }
        Ok(sent)
    }

    /// Sends a record if there is room; whether it was sent.
    ///
    /// # Errors
    /// As [`Sender::send`].
    pub fn try_send(&mut self, record: &[u8]) -> Result<bool, Error> {
        match self.ring.try_send(record) {
            Ok(sleeps) => {
                if sleeps {
                    wake(&self.bell);
                }
                Ok(true)
            }
            Err(SendError::Full) => Ok(false),
            Err(error) => Err(of_sender(error)),
        }
    }

    /// The longest record, in bytes.
    #[must_use]
    pub fn most_bytes(&self) -> usize {
        self.ring.most_bytes()
    }

    /// What went through so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        Counters::of(self.ring.memory())
    }
}

fn of_sender(error: SendError) -> Error {
    match error {
        SendError::Full => Error::QueueFull,
        SendError::TooLong { .. } => Error::OutOfRange,
        SendError::Corrupt => Error::BadState,
    }
}

/// The end that records come out of.
#[derive(Debug)]
pub struct Receiver {
    ring: ring::Receiver<Shared>,
    bell: Watched<Channel>,
}

impl Receiver {
    /// Takes the next record into the beginning of `buffer`, waiting for one; its length. Cancel-safe: dropped before it is ready,
    /// no record is lost.
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`] for a longer record, which stays; [`Error::PeerClosed`] once the sender is gone and the ring is
    /// empty; [`Error::BadState`] if it wrote nonsense into the ring.
    pub async fn receive(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        loop {
            if let Some(len) = self.try_receive(buffer)? {
                return Ok(len);
            }
            if !self.ring.sleep().map_err(of_receiver)? {
                continue;
            }
            if let Err(error) = woken(&self.bell).await {
                // What it sent before its end counts.
                return self.try_receive(buffer)?.ok_or(error);
            }
        }
    }

    /// Takes the next record if there is one; its length.
    ///
    /// # Errors
    /// As [`Receiver::receive`].
    pub fn try_receive(&mut self, buffer: &mut [u8]) -> Result<Option<usize>, Error> {
        match self.ring.try_receive(buffer) {
            Ok((len, sleeps)) => {
                if sleeps {
                    wake(&self.bell);
                }
                Ok(Some(len))
            }
            Err(ReceiveError::Empty) => Ok(None),
            Err(error) => Err(of_receiver(error)),
        }
    }

    /// What went through so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        Counters::of(self.ring.memory())
    }
}

fn of_receiver(error: ReceiveError) -> Error {
    match error {
        ReceiveError::Empty => Error::WouldWait,
        ReceiveError::TooSmall { .. } => Error::BufferTooSmall,
        ReceiveError::Corrupt => Error::BadState,
    }
}
