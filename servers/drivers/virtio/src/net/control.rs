//! Commands to a network card (§5.1.6.5), while it is being started.

use super::wire::command;
use crate::hardware::{Function, Shared, Space};
use crate::{Buffer, Device, Fault, Queue};

/// Its descriptors: one command at a time, in two parts and an answer.
const DESCRIPTORS: u16 = 4;
const MOST_BYTES: usize = 16;
const ANSWER: usize = 16;
const BYTES: usize = 32;

/// The queue of commands.
pub(super) struct Control<F: Function> {
    queue: Queue<F>,
    memory: Shared<F::Space>,
}

impl<F: Function> Control<F> {
    /// Before the device goes.
    pub(super) fn new(device: &Device<F>, index: u16, message: u16) -> Result<Self, Fault> {
        Ok(Self {
            queue: device.queue(index, DESCRIPTORS, message)?,
            memory: device.function().memory(BYTES)?,
        })
    }

    /// Gives a command, after the device has gone; whether it was done.
    ///
    /// # Errors
    /// [`Fault`].
    pub(super) async fn command(&mut self, what: [u8; 2], data: &[u8]) -> Result<bool, Fault> {
        let space = &self.memory.space;
        let len = what.len() + data.len();
        let is_written = len <= MOST_BYTES
            && space.write(0, &what)
            && space.write(what.len(), data)
            && space.write(ANSWER, &[!command::OK]);
        if !is_written {
            return Err(Fault::Nonsense("a command does not fit"));
        }
        let part = |offset: usize, bytes: usize, device_writes| Buffer {
            address: self.memory.address + offset as u64,
            bytes: bytes as u32,
            device_writes,
        };
        let chain = [part(0, len, false), part(ANSWER, 1, true)];
        self.queue
            .add(&chain, 0)
            .map_err(|_| Fault::Nonsense("its queue of commands is too short"))?;
        self.queue.notify();
        self.queue.next().await?;
        Ok(self.memory.space.load_u8(ANSWER) == command::OK)
    }
}
