//! Channels: two ends, a queue of messages each way.

use abi::message::Lengths;
use abi::{Call, Error};

use super::gate;
use super::message::{Handles, ReadError, address_of, received, receiving, sending};
use super::object::{Channel, Object, Owned};

impl Channel {
    /// Two ends.
    ///
    /// # Errors
    /// The job's limits.
    pub fn create() -> Result<(Self, Self), Error> {
        // SAFETY: makes objects.
        let (rax, rdx) = unsafe { gate::call(Call::ChannelCreate, []) };
        let one = Self::from_owned(Owned::from_result(Error::check(rax)?)?);
        let other = Self::from_owned(Owned::from_result(rdx)?);
        Ok((one, other))
    }

    /// Queues a message. The handles leave `handles` if it is accepted, and stay if not. Never waits.
    ///
    /// # Errors
    /// [`Error::QueueFull`] (wait for [`WRITABLE`](abi::Signals::WRITABLE)), [`Error::PeerClosed`], [`Error::NoRight`] for a
    /// handle that cannot be transferred, [`Error::OutOfRange`] beyond [`MAX_BYTES`](abi::message::MAX_BYTES).
    pub fn write(&self, bytes: &[u8], handles: &mut Handles) -> Result<(), Error> {
        let arguments = sending(bytes, handles);
        // SAFETY: the kernel reads the bytes and handles that the arguments name.
        let (rax, _) = unsafe {
            gate::call(
                Call::ChannelWrite,
                [self.handle().0, address_of(&arguments)],
            )
        };
        Error::check(rax)?;
        handles.forget();
        Ok(())
    }

    /// Takes the next message. What was in `handles` is closed first. Never waits.
    ///
    /// # Errors
    /// [`Error::WouldWait`] when there is none, [`Error::PeerClosed`] when there will be none, [`Error::BufferTooSmall`].
    pub fn read(&self, bytes: &mut [u8], handles: &mut Handles) -> Result<Lengths, ReadError> {
        let arguments = receiving(bytes, handles);
        // SAFETY: the kernel writes at most what the arguments say fits.
        let lengths = received(unsafe {
            gate::call(Call::ChannelRead, [self.handle().0, address_of(&arguments)])
        })?;
        handles.set_len(lengths.handles);
        Ok(lengths)
    }
}
