//! Messages on their way to a reader.

use alloc::boxed::Box;
use core::sync::atomic::Ordering;

use abi::{Signals, message::MAX_CHANNEL_MESSAGES};

use super::{Channel, Message};
use crate::object::KernelObject;

/// A message that was taken from a queue, and goes back to its front when dropped: what is left of a read that failed or was
/// cancelled.
#[must_use = "dropping it puts the message back"]
pub struct Received<'a, O: KernelObject> {
    pub(super) end: &'a Channel<O>,
    pub(super) message: Option<Box<Message<O>>>,
}

impl<O: KernelObject> Received<'_, O> {
    /// The message.
    pub fn message(&self) -> Option<&Message<O>> {
        self.message.as_deref()
    }

    /// It has been read: its handles go into their new table ([`Message::install_handles`]), and the rest is dropped with it.
    pub fn accept(mut self) -> Option<Box<Message<O>>> {
        let message = self.message.take()?;
        let ends = message.ends();
        self.end.own().ends.fetch_sub(ends, Ordering::SeqCst);
        Some(message)
    }
}

impl<O: KernelObject> Drop for Received<'_, O> {
    fn drop(&mut self) {
        let Some(message) = self.message.take() else {
            return;
        };
        let side = self.end.own();
        let mut inbox = side.inbox.lock();
        if inbox.reader_closed {
            drop(inbox);
            drop(message);
            return;
        }
        inbox.queue.push_front(message);
        if inbox.queue.len() + inbox.promised >= MAX_CHANNEL_MESSAGES {
            self.end.peer().signals.clear(Signals::WRITABLE);
        }
        let raised = side.signals.raise(Signals::READABLE);
        drop(inbox);
        raised.tell();
    }
}

impl<O: KernelObject> core::fmt::Debug for Received<'_, O> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.message.fmt(f)
    }
}
