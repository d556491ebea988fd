//! Messages, and queues of them.

use alloc::{boxed::Box, vec::Vec};

use abi::{
    Error,
    message::{Lengths, MAX_BYTES, MAX_HANDLES},
};

use crate::{
    capability::Capability,
    handle::{Room, Taken},
    job::{Charge, Job, Resource},
    object::KernelObject,
    refs::{Ref, try_box},
};

/// Bytes and handles on their way, charged to the sender's job as long as it exists: what channels queue, and what long calls and
/// replies go through.
pub struct Message<O: KernelObject> {
    pub(super) next: Option<Box<Message<O>>>,
    bytes: Vec<u8>,
    handles: Vec<Capability<O>>,
    handles_charge: Charge,
    _memory: Charge,
}

impl<O: KernelObject> Message<O> {
    /// A message of so many zero bytes, to be written over, with room for so many handles.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] beyond [`MAX_BYTES`] or [`MAX_HANDLES`], [`Error::NoMemory`].
    pub fn new(job: &Ref<Job>, bytes: usize, handles: usize) -> Result<Box<Self>, Error> {
        if bytes > MAX_BYTES || handles > MAX_HANDLES {
            return Err(Error::OutOfRange);
        }
        let size = size_of::<Self>() + bytes + handles * size_of::<Capability<O>>();
        let mut message = Self {
            next: None,
            bytes: Vec::new(),
            handles: Vec::new(),
            handles_charge: Charge::nobody(Resource::Handles),
            _memory: job.charge_kernel(size as u64)?,
        };
        let no_memory = |_| Error::NoMemory;
        message.bytes.try_reserve_exact(bytes).map_err(no_memory)?;
        message.bytes.resize(bytes, 0);
        message
            .handles
            .try_reserve_exact(handles)
            .map_err(no_memory)?;
        Ok(try_box(message)?)
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its bytes, to fill them in.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// What its handles are for.
    pub fn capabilities(&self) -> &[Capability<O>] {
        &self.handles
    }

    /// Lengths of both.
    pub fn lengths(&self) -> Lengths {
        Lengths {
            bytes: self.bytes.len() as u32,
            handles: self.handles.len() as u32,
        }
    }

    /// Moves handles in, with the charge for them.
    ///
    /// # Errors
    /// [`Error::BadState`] if there are handles already; [`Error::NoMemory`] if there is no room for as many: they are put back.
    pub fn put_handles(&mut self, taken: Taken<'_, O>) -> Result<(), Error> {
        if !self.handles.is_empty() {
            return Err(Error::BadState);
        }
        self.handles_charge = taken.commit(&mut self.handles)?;
        Ok(())
    }

    /// Moves the handles out into a table that has promised room for them, and says which they are there. What there is no room for
    /// stays.
    pub fn install_handles(
        &mut self,
        room: &mut Room<'_, O>,
        mut installed: impl FnMut(abi::Handle),
    ) {
        let count = self.handles.len().min(room.left());
        for capability in self.handles.drain(..count) {
            installed(room.install(capability));
        }
        self.handles_charge.shrink(count as u64);
    }

    /// How many of its handles are ends of channels.
    pub(super) fn ends(&self) -> u32 {
        let ends = self
            .handles
            .iter()
            .filter(|capability| capability.entry().object().channel().is_some());
        ends.count() as u32
    }
}

impl<O: KernelObject> core::fmt::Debug for Message<O> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Message")
            .field("lengths", &self.lengths())
            .finish()
    }
}

/// First in, first out, without memory of its own: new ones are stacked, and the stack is turned over when the old ones are used up.
pub(crate) struct MessageQueue<O: KernelObject> {
    old: Option<Box<Message<O>>>,
    new: Option<Box<Message<O>>>,
    len: usize,
}

impl<O: KernelObject> Default for MessageQueue<O> {
    fn default() -> Self {
        Self {
            old: None,
            new: None,
            len: 0,
        }
    }
}

impl<O: KernelObject> MessageQueue<O> {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn push(&mut self, mut message: Box<Message<O>>) {
        message.next = self.new.take();
        self.new = Some(message);
        self.len += 1;
    }

    /// Puts one back to the front.
    pub(super) fn push_front(&mut self, mut message: Box<Message<O>>) {
        message.next = self.old.take();
        self.old = Some(message);
        self.len += 1;
    }

    pub(super) fn front(&mut self) -> Option<&Message<O>> {
        if self.old.is_none() {
            while let Some(mut message) = self.new.take() {
                self.new = message.next.take();
                message.next = self.old.take();
                self.old = Some(message);
            }
        }
        self.old.as_deref()
    }

    pub(crate) fn pop(&mut self) -> Option<Box<Message<O>>> {
        self.front()?;
        let mut message = self.old.take()?;
        self.old = message.next.take();
        self.len -= 1;
        Some(message)
    }
}

impl<O: KernelObject> Drop for MessageQueue<O> {
    fn drop(&mut self) {
        // Not one inside of the other.
        while self.pop().is_some() {}
    }
}
