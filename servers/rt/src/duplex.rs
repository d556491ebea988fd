//! Two rings between two processes, one each way, in one vmo, with one bell: what a socket is made of.
//!
//! [`create`] makes both ends: an [`End`] that stays, and two handles to be sent, of which [`End::from_handles`] makes the other one. The
//! bell is a channel: an empty message wakes the other side, any other one is a notice to it. It closes when the other side is gone.
//!
//! Each end may be used by two tasks at once, one that sends and one that receives ([`Half`]): both are woken by the bell.

use alloc::sync::Arc;
use alloc::task::Wake;
use core::task::{Context, Poll, Waker};

use abi::memory::{MapFlags, PAGE_BYTES};
use abi::{Error, Rights, Signals};
use ring::layout::memory_bytes;
use ring::{AtomicU32, AtomicU64, Receiver, Sender};
use spin::mutex::SpinMutex;

use crate::sys::gate;
use crate::sys::heap::Yield;
use crate::sys::memory::{Mapping, copy_into, copy_out_of};
use crate::sys::message::Handles;
use crate::sys::object::{Channel, Object, Vmo};
use crate::watched::Watched;

/// Longest notice.
pub const MAX_NOTICE_BYTES: usize = 256;

/// One of the two rings' memory, mapped.
#[derive(Debug)]
pub struct Part {
    mapping: Arc<Mapping>,
    start: usize,
    len: usize,
}

impl Part {
    /// Where a range of it lies in the mapping.
    fn at(&self, offset: usize, len: usize) -> Option<usize> {
        (offset.checked_add(len)? <= self.len).then(|| self.start + offset)
    }
}

impl ring::Memory for Part {
    fn bytes_len(&self) -> usize {
        self.len
    }

    fn word(&self, offset: usize) -> Option<&AtomicU32> {
        self.mapping.word_u32(self.at(offset, 4)?)
    }

    fn long_word(&self, offset: usize) -> Option<&AtomicU64> {
        self.mapping.word_u64(self.at(offset, 8)?)
    }

    fn copy_in(&self, offset: usize, from: &[u8]) -> bool {
        self.at(offset, from.len())
            .is_some_and(|at| copy_into(&self.mapping, at, from))
    }

    fn copy_out(&self, offset: usize, to: &mut [u8]) -> bool {
        self.at(offset, to.len())
            .is_some_and(|at| copy_out_of(&self.mapping, at, to))
    }
}

/// Who waits for the bell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    /// The task that receives.
    Receiving,
    /// The task that sends.
    Sending,
}

/// Wakes both halves.
#[derive(Debug, Default)]
struct Both([SpinMutex<Option<Waker>, Yield>; 2]);

impl Both {
    fn set(&self, half: Half, waker: &Waker) {
        let [receiving, sending] = &self.0;
        let place = match half {
            Half::Receiving => receiving,
            Half::Sending => sending,
        };
        let old = place.lock().replace(waker.clone());
        drop(old);
    }
}

impl Wake for Both {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        for place in &self.0 {
            let waker = place.lock().take();
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}

/// What both sides wake each other by.
#[derive(Debug)]
pub struct Bell {
    channel: Watched<Channel>,
    both: Arc<Both>,
    waker: Waker,
}

impl Bell {
    fn new(channel: Channel) -> Result<Self, Error> {
        let both = Arc::new(Both::default());
        Ok(Self {
            channel: Watched::channel(channel)?,
            waker: Waker::from(Arc::clone(&both)),
            both,
        })
    }

    /// Wakes the other side. If its channel is full it was woken already; if it is gone, the next look says so.
    pub fn ring(&self) {
        let _ = self.channel.write(&[], &mut Handles::new());
    }

    /// Tells the other side something.
    ///
    /// # Errors
    /// [`Error::PeerClosed`], [`Error::QueueFull`]: it does not listen.
    pub fn say(&self, notice: &[u8]) -> Result<(), Error> {
        self.channel.write(notice, &mut Handles::new())
    }

    /// Hears what the other side said since it was looked last, and has the half woken when it says more. `notice` is called for each
    /// of its notices, whichever half hears it.
    ///
    /// # Errors
    /// [`Error::PeerClosed`] once it is gone and all it said was heard.
    pub fn hear(
        &self,
        half: Half,
        context: &mut Context<'_>,
        mut notice: impl FnMut(&[u8]),
    ) -> Result<(), Error> {
        // Registered first: whoever hears something meanwhile wakes both.
        self.both.set(half, context.waker());
        let mut heard = false;
        let result = loop {
            let mut bytes = [0; MAX_NOTICE_BYTES];
            match self.channel.read(&mut bytes, &mut Handles::new()) {
                Ok(lengths) => {
                    heard = true;
                    let bytes = bytes.get(..lengths.bytes as usize).unwrap_or_default();
                    if !bytes.is_empty() {
                        notice(bytes);
                    }
                }
                Err(bad) if bad.error == Error::WouldWait => {
                    // A resident server's tasks wait for themselves.
                    let waker = if gate::is_resident() {
                        context.waker()
                    } else {
                        &self.waker
                    };
                    let mut bell = Context::from_waker(waker);
                    match self.channel.poll_changed(Signals::READABLE, &mut bell) {
                        Poll::Ready(Ok(_)) => {}
                        Poll::Ready(Err(error)) => break Err(error),
                        Poll::Pending => break Ok(()),
                    }
                }
                // Longer than any notice: nonsense, as good as an end.
                Err(bad) => break Err(bad.error),
            }
        };
        if heard || result.is_err() {
            self.both.wake_by_ref();
            // That woke the caller, too, who has heard it all by now; but for an error it must be woken again.
            if result.is_ok() {
                self.both.set(half, context.waker());
            }
        }
        result
    }
}

/// One end: a ring to send by, one to receive by, and the bell.
#[derive(Debug)]
pub struct End {
    /// Where records go in.
    pub sender: Sender<Part>,
    /// Where they come out.
    pub receiver: Receiver<Part>,
    /// What wakes the other side, and is rung by it.
    pub bell: Arc<Bell>,
}

fn part(mapping: &Arc<Mapping>, start: usize, capacity: u32) -> Part {
    Part {
        mapping: Arc::clone(mapping),
        start,
        len: memory_bytes(capacity),
    }
}

/// A pair of rings of `capacity` bytes each, a power of two. The handles are for the other side: it receives from the first ring and
/// sends by the second, and cannot take memory away.
///
/// # Errors
/// [`Error::BadArgument`] for a capacity that cannot be; the job's limits; in a program without an executor [`Error::BadState`].
pub fn create(capacity: u32, handles: &mut Handles) -> Result<End, Error> {
    let first = memory_bytes(capacity);
    let bytes = (2 * first as u64).next_multiple_of(PAGE_BYTES);
    let memory = Vmo::create(bytes)?;
    let mapping = Arc::new(memory.map(0, bytes, MapFlags::WRITE)?);
    let bad = |_| Error::BadArgument;
    for start in [0, first] {
        ring::format(&part(&mapping, start, capacity), capacity).map_err(bad)?;
    }
    let rights = Rights::READ | Rights::WRITE | Rights::MAP | Rights::INSPECT | Rights::TRANSFER;
    let given = memory.duplicate(rights)?;
    let (here, there) = Channel::create()?;
    let end = End {
        sender: Sender::new(part(&mapping, 0, capacity)).map_err(bad)?,
        receiver: Receiver::new(part(&mapping, first, capacity)).map_err(bad)?,
        bell: Arc::new(Bell::new(here)?),
    };
    handles
        .push(given.into_owned())
        .and_then(|()| handles.push(there.into_owned()))
        .map_err(|_| Error::OutOfRange)?;
    Ok(end)
}

impl End {
    /// The end that the next two handles are, made by somebody who is trusted not to take the memory away.
    ///
    /// # Errors
    /// [`Error::BadHandle`] if there are fewer, [`Error::WrongType`] if they are something else, [`Error::BadState`] if the memory
    /// holds no two rings.
    pub fn from_handles(handles: &mut Handles) -> Result<Self, Error> {
        let memory = handles.pop_front().ok_or(Error::BadHandle)?;
        let bell = handles.pop_front().ok_or(Error::BadHandle)?;
        let memory: Vmo = memory.cast().map_err(|_| Error::WrongType)?;
        let bell: Channel = bell.cast().map_err(|_| Error::WrongType)?;
        let bytes = memory.sizes()?.size_bytes;
        let mapping = Arc::new(memory.map(0, bytes, MapFlags::WRITE)?);
        let half = usize::try_from(bytes / 2).map_err(|_| Error::BadState)?;
        let part = |start| Part {
            mapping: Arc::clone(&mapping),
            start,
            len: half,
        };
        Ok(Self {
            sender: Sender::new(part(half)).map_err(|_| Error::BadState)?,
            receiver: Receiver::new(part(0)).map_err(|_| Error::BadState)?,
            bell: Arc::new(Bell::new(bell)?),
        })
    }
}
