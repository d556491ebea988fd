//! Channels: two ends, and a bounded queue of messages each way.
//!
//! A message is charged to its sender's job until it is read, so that nobody pays for what others send. A full queue refuses and counts;
//! [`Signals::WRITABLE`] says when there is room again. When one end's handle is closed, the other end reads what was sent before, then
//! [`Error::PeerClosed`].
//!
//! Ends of channels can be sent, but not in a circle: `ends.rs` says how that is kept.

mod ends;
mod message;
mod received;

use alloc::boxed::Box;
use core::{mem, sync::atomic::AtomicU32};

use abi::{
    Error, ObjectType, Signals,
    message::{Lengths, MAX_CHANNEL_MESSAGES},
};
use spin::Mutex;

use ends::Ends;
pub use message::Message;
pub(crate) use message::MessageQueue;
pub use received::Received;

use crate::{
    graveyard::{Contents, Grave},
    handle::Taken,
    job::Job,
    lease::Lease,
    object::{Header, KernelObject},
    refs::Ref,
    signals::{Raised, SignalState},
};

/// What one direction has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Messages that were queued.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How often a writer found the queue full.
    pub full: u64,
    /// How many wait now.
    pub waiting: usize,
}

struct Inbox<O: KernelObject> {
    queue: MessageQueue<O>,
    /// Writers that have a place but have not pushed yet.
    promised: usize,
    reader_closed: bool,
    writer_closed: bool,
    traffic: Traffic,
    grave: Option<Box<Grave<O>>>,
}

impl<O: KernelObject> Inbox<O> {
    /// Why there is nothing to read.
    fn nothing(&self) -> Error {
        if self.writer_closed {
            Error::PeerClosed
        } else {
            Error::WouldWait
        }
    }
}

struct Side<O: KernelObject> {
    id: u64,
    signals: SignalState,
    /// What was sent to this side.
    inbox: Mutex<Inbox<O>>,
    /// How many ends of channels wait in the inbox.
    ends: AtomicU32,
}

struct Shared<O: KernelObject> {
    sides: [Side<O>; 2],
}

/// One end.
pub struct Channel<O: KernelObject> {
    header: Header,
    shared: Ref<Shared<O>>,
    side: usize,
}

/// Why nothing was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// The next message is longer than that; it stays.
    TooSmall(Lengths),
    /// [`Error::WouldWait`] or [`Error::PeerClosed`].
    Other(Error),
}

impl<O: KernelObject> Channel<O> {
    /// A channel's two ends.
    ///
    /// # Errors
    /// [`Error::NoMemory`].
    pub fn create(job: &Ref<Job>) -> Result<(Ref<Self>, Ref<Self>), Error> {
        let shared_bytes = Ref::<Shared<O>>::BYTES;
        let headers = [
            Header::new(
                ObjectType::Channel,
                job,
                Ref::<Self>::BYTES + shared_bytes / 2,
            )?,
            Header::new(
                ObjectType::Channel,
                job,
                Ref::<Self>::BYTES + shared_bytes - shared_bytes / 2,
            )?,
        ];
        let graves = [Grave::new(job)?, Grave::new(job)?];
        let mut ids = headers.iter().map(Header::id);
        let sides = graves.map(|grave| Side {
            id: ids.next().unwrap_or(0),
            signals: SignalState::new(Signals::WRITABLE),
            inbox: Mutex::new(Inbox {
                queue: MessageQueue::default(),
                promised: 0,
                reader_closed: false,
                writer_closed: false,
                traffic: Traffic::default(),
                grave: Some(grave),
            }),
            ends: AtomicU32::new(0),
        });
        let shared = Ref::try_new(Shared { sides })?;
        let [first, second] = headers;
        let end = |header, side| {
            Ref::try_new(Self {
                header,
                shared: shared.clone(),
                side,
            })
        };
        Ok((end(first, 0)?, end(second, 1)?))
    }

    fn own(&self) -> &Side<O> {
        &self.shared.sides[self.side]
    }

    fn peer(&self) -> &Side<O> {
        &self.shared.sides[1 - self.side]
    }

    /// What every object has.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Readable, writable, peer closed.
    pub fn signals(&self) -> &SignalState {
        &self.own().signals
    }

    /// The other end's number.
    pub fn peer_id(&self) -> u64 {
        self.peer().id
    }

    /// What was sent to this end.
    pub fn received(&self) -> Traffic {
        let inbox = self.own().inbox.lock();
        Traffic {
            waiting: inbox.queue.len(),
            ..inbox.traffic
        }
    }

    /// What was sent by this end.
    pub fn sent(&self) -> Traffic {
        let inbox = self.peer().inbox.lock();
        Traffic {
            waiting: inbox.queue.len(),
            ..inbox.traffic
        }
    }

    /// Queues a message with these handles, which leave their table if it is accepted and are put back if not.
    ///
    /// # Errors
    /// [`Error::QueueFull`]; [`Error::PeerClosed`]; [`Error::BadState`] for an end that may not be sent this way (see the module);
    /// [`Error::NoMemory`] if the message has no room for as many handles; [`Error::BadHandle`] if this end was closed.
    pub fn write(&self, mut message: Box<Message<O>>, taken: Taken<'_, O>) -> Result<(), Error> {
        let peer = self.peer();
        let ends = Ends::admit(self, &taken)?;
        self.promise()?;
        // The place is ours: handles leave their table only for a message that will be accepted.
        let put = message.put_handles(taken);
        let bytes = message.bytes().len() as u64;
        let mut inbox = peer.inbox.lock();
        inbox.promised -= 1;
        let mut lost = None;
        let raised = if inbox.reader_closed {
            // Just now: the message goes the way of those that were not read.
            lost = Some(message);
            None
        } else if put.is_err() {
            lost = Some(message);
            Some(self.own().signals.raise(Signals::WRITABLE))
        } else {
            inbox.queue.push(message);
            inbox.traffic.messages += 1;
            inbox.traffic.bytes += bytes;
            ends.keep();
            Some(peer.signals.raise(Signals::READABLE))
        };
        drop(inbox);
        drop(lost);
        if let Some(raised) = raised {
            raised.tell();
        }
        put
    }

    /// Promises a place in the peer's inbox.
    fn promise(&self) -> Result<(), Error> {
        let mut inbox = self.peer().inbox.lock();
        if inbox.writer_closed {
            return Err(Error::BadHandle);
        }
        if inbox.reader_closed {
            return Err(Error::PeerClosed);
        }
        let full = |inbox: &Inbox<O>| inbox.queue.len() + inbox.promised >= MAX_CHANNEL_MESSAGES;
        if full(&inbox) {
            inbox.traffic.full += 1;
            return Err(Error::QueueFull);
        }
        inbox.promised += 1;
        if full(&inbox) {
            self.own().signals.clear(Signals::WRITABLE);
        }
        Ok(())
    }

    /// Lengths of the next message.
    ///
    /// # Errors
    /// [`Error::WouldWait`]; [`Error::PeerClosed`] if none will come any more.
    pub fn peek(&self) -> Result<Lengths, Error> {
        let mut inbox = self.own().inbox.lock();
        if let Some(message) = inbox.queue.front() {
            return Ok(message.lengths());
        }
        Err(inbox.nothing())
    }

    /// Takes the next message, if it is no longer than that; it is put back unless [accepted](Received::accept).
    ///
    /// # Errors
    /// See [`ReadError`]; nothing was taken.
    pub fn read(&self, most: Lengths) -> Result<Received<'_, O>, ReadError> {
        let side = self.own();
        let mut inbox = side.inbox.lock();
        let Some(message) = inbox.queue.front() else {
            return Err(ReadError::Other(inbox.nothing()));
        };
        let lengths = message.lengths();
        if lengths.bytes > most.bytes || lengths.handles > most.handles {
            return Err(ReadError::TooSmall(lengths));
        }
        let message = inbox.queue.pop();
        if inbox.queue.len() == 0 {
            side.signals.clear(Signals::READABLE);
        }
        let raised = self.room(&inbox);
        drop(inbox);
        if let Some(raised) = raised {
            raised.tell();
        }
        Ok(Received { end: self, message })
    }

    /// Tells the peer that there is room, if there is; with the lock of the own inbox.
    fn room(&self, inbox: &Inbox<O>) -> Option<Raised<'_>> {
        let room = inbox.queue.len() + inbox.promised < MAX_CHANNEL_MESSAGES;
        (room && !inbox.writer_closed && !inbox.reader_closed)
            .then(|| self.peer().signals.raise(Signals::WRITABLE))
    }

    /// Waits until there is a message.
    ///
    /// # Errors
    /// [`Error::PeerClosed`] if none will come any more, [`Error::Revoked`].
    pub fn readable<'a>(
        &'a self,
        lease: Option<&'a Lease>,
    ) -> impl Future<Output = Result<Lengths, Error>> + 'a {
        self.signals().wait_until(lease, move || match self.peek() {
            Err(Error::WouldWait) => None,
            found => Some(found),
        })
    }

    /// Closes this end: what it was sent goes, and the peer is told. For [`KernelObject::last_handle_closed`].
    pub fn close(&self) {
        let buried = {
            let mut inbox = self.own().inbox.lock();
            if inbox.reader_closed {
                return;
            }
            inbox.reader_closed = true;
            let queue = mem::take(&mut inbox.queue);
            inbox.grave.take().map(|grave| (grave, queue))
        };
        if let Some((grave, queue)) = buried
            && queue.len() > 0
        {
            grave.bury(Contents::Messages(queue));
        }
        let peer = self.peer();
        let raised = {
            let mut inbox = peer.inbox.lock();
            inbox.writer_closed = true;
            peer.signals.raise(Signals::PEER_CLOSED)
        };
        raised.tell();
        // The peer's WRITABLE hangs on the inbox here.
        let _inbox = self.own().inbox.lock();
        peer.signals.clear(Signals::WRITABLE);
    }
}

impl<O: KernelObject> Drop for Channel<O> {
    fn drop(&mut self) {
        self.close();
    }
}

impl<O: KernelObject> core::fmt::Debug for Channel<O> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Channel")
            .field("id", &self.header.id())
            .field("peer", &self.peer_id())
            .finish()
    }
}
