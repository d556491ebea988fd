//! The kernel's end of a terminal's channel.

use abi::message::{Lengths, MAX_BYTES, MAX_HANDLES};
use abi::{Error, Rights, Signals};
use objects::channel::{Channel, Message, ReadError};
use objects::job::Members;
use objects::refs::Ref;
use spin::Once;

use crate::exec;
use crate::process::first;
use crate::process::object::{Capability, Handles, Object};

/// What the holder may do: no second handle, so that there is one holder.
const RIGHTS: Rights = Rights::READ
    .union(Rights::WRITE)
    .union(Rights::WAIT)
    .union(Rights::INSPECT)
    .union(Rights::TRANSFER);
/// Until memory is tried for again.
const RETRY: core::time::Duration = core::time::Duration::from_millis(20);

static ALL: Once<Members<Channel<Object>>> = Once::new();

/// The kernel's end.
pub struct Line {
    channel: Ref<Channel<Object>>,
    /// Keeps it open.
    _open: Capability,
    /// Messages go from table to table; these carry no handles.
    handles: Handles,
}

impl Line {
    /// Makes a channel: the kernel's end, and what its holder gets.
    ///
    /// # Errors
    /// [`Error::NoMemory`].
    pub fn new() -> Result<(Self, Capability), Error> {
        let account = first::root_job()?.job();
        let (ours, theirs) = Channel::create(account)?;
        let members = Members::new(account)?;
        ALL.call_once(|| members).join(ours.header().id(), &ours)?;
        let line = Self {
            _open: Capability::new(Object::Channel(ours.clone()))?,
            channel: ours,
            handles: Handles::new(account)?,
        };
        let theirs = Capability::with_rights(Object::Channel(theirs), RIGHTS)?;
        Ok((line, theirs))
    }

    /// Sends bytes as one message, waiting for room and for memory.
    ///
    /// # Errors
    /// [`Error::PeerClosed`]: they were not sent.
    pub async fn send(&self, bytes: &[u8]) -> Result<(), Error> {
        loop {
            match self.try_send(bytes) {
                Err(Error::QueueFull) => {
                    let room = Signals::WRITABLE | Signals::PEER_CLOSED;
                    self.channel.signals().wait(room, None).await?;
                }
                Err(Error::NoMemory | Error::LimitReached) => exec::sleep(RETRY).await,
                sent => return sent,
            }
        }
    }

    fn try_send(&self, bytes: &[u8]) -> Result<(), Error> {
        let mut message = Message::new(first::root_job()?.job(), bytes.len(), 0)?;
        message.bytes_mut().copy_from_slice(bytes);
        self.channel.write(message, self.handles.take(&[])?)
    }

    /// Waits for a message. Cancel-safe.
    ///
    /// # Errors
    /// [`Error::PeerClosed`], once all that was sent before has been received.
    pub async fn receive(&self) -> Result<alloc::boxed::Box<Message<Object>>, Error> {
        const ANY: Lengths = Lengths {
            bytes: MAX_BYTES as u32,
            handles: MAX_HANDLES as u32,
        };
        loop {
            self.channel.readable(None).await?;
            match self.channel.read(ANY) {
                Ok(received) => {
                    if let Some(message) = received.accept() {
                        return Ok(message);
                    }
                }
                Err(ReadError::Other(Error::WouldWait)) => {}
                Err(ReadError::Other(error)) => return Err(error),
                // No message is longer.
                Err(ReadError::TooSmall(_)) => return Err(Error::OutOfRange),
            }
        }
    }

    /// What went through it, for the log.
    pub fn log_traffic(&self, name: &str) {
        let (sent, received) = (self.channel.sent(), self.channel.received());
        ::log::debug!(
            target: "terminal",
            "{name}: {} bytes in {} messages to its holder, who was full {} times; {} bytes in {} messages back, {} times full",
            sent.bytes,
            sent.messages,
            sent.full,
            received.bytes,
            received.messages,
            received.full
        );
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if let Some(all) = ALL.get() {
            all.leave(self.channel.header().id());
        }
    }
}

/// Whether nothing waits for the kernel in any of them.
pub fn is_drained() -> bool {
    let mut from = 0;
    while let Some((next, channel)) = ALL.get().and_then(|all| all.visit(from)) {
        if channel.received().waiting > 0 {
            return false;
        }
        from = next;
    }
    true
}
