//! Sending ends of channels, without going in a circle.
//!
//! An end that lies in a message is closed when the message goes. Two ends, each waiting in the other's queue, would keep each other for
//! ever, with nobody left to read. So an end is sent only while **no ends wait in its own queue**, and never through its own channel. The last message
//! that would close a circle carries an end which is to lead back to where it goes, hence has an end waiting: it is refused
//! ([`Error::BadState`]), whatever the circle's length. Writers who race to close one may all be refused. Handles of other types can wait in queues
//! freely: what they hold on to hangs on processes, which end with their job.

use core::sync::atomic::Ordering;

use abi::Error;

use super::{Channel, Side};
use crate::{handle::Taken, object::KernelObject, refs::Ref};

/// Ends in a message, counted at the inbox that it goes to; not any more when dropped.
pub(super) struct Ends<'a, O: KernelObject> {
    side: &'a Side<O>,
    count: u32,
}

impl<'a, O: KernelObject> Ends<'a, O> {
    /// Counts first, then looks at the ends: of all writers that would close a cycle together, the last to look sees another's count.
    pub(super) fn admit(through: &'a Channel<O>, taken: &Taken<'_, O>) -> Result<Self, Error> {
        let ends = || {
            let objects = taken.capabilities().map(|capability| capability.entry());
            objects.filter_map(|entry| entry.object().channel())
        };
        let counted = Self {
            side: through.peer(),
            count: ends().count() as u32,
        };
        counted.side.ends.fetch_add(counted.count, Ordering::SeqCst);
        let forbidden = |end: &Ref<Channel<O>>| {
            end.shared.is(&through.shared) || end.own().ends.load(Ordering::SeqCst) != 0
        };
        if ends().any(forbidden) {
            return Err(Error::BadState);
        }
        Ok(counted)
    }

    pub(super) fn keep(mut self) {
        self.count = 0;
    }
}

impl<O: KernelObject> Drop for Ends<'_, O> {
    fn drop(&mut self) {
        self.side.ends.fetch_sub(self.count, Ordering::SeqCst);
    }
}
