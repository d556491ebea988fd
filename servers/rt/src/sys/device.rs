//! What drivers hold: I/O ports and interrupts. And what belongs to the whole system: its tables, its power switch, randomness.

use abi::system::{Control, MAX_PANIC_BYTES, Table};
use abi::{Call, Error};

use super::gate;
use super::object::{Interrupt, IoRange, Object, System};
use crate::io::{IoPorts, IrqEvent};

/// Most bytes that [`random`] fills at once.
const MAX_RANDOM_BYTES: usize = 4096;

impl IoRange {
    /// Reads a port, `width` 1, 2 or 4 bytes wide.
    ///
    /// # Errors
    /// [`Error::OutOfRange`], [`Error::BadArgument`] for another width, [`Error::NoRight`].
    pub fn read(&self, offset: u16, width: u32) -> Result<u32, Error> {
        // SAFETY: the port belongs to a device that does not touch memory without a dma handle.
        let (rax, rdx) = unsafe {
            gate::call(
                Call::IoRead,
                [self.handle().0, u64::from(offset), u64::from(width)],
            )
        };
        Error::check(rax).map(|_| rdx as u32)
    }

    /// Writes a port, `width` 1, 2 or 4 bytes wide.
    ///
    /// # Errors
    /// As [`read`](IoRange::read).
    pub fn write(&self, offset: u16, width: u32, value: u32) -> Result<(), Error> {
        // SAFETY: as in `read`.
        let (rax, _) = unsafe {
            gate::call(
                Call::IoWrite,
                [
                    self.handle().0,
                    u64::from(offset),
                    u64::from(width),
                    u64::from(value),
                ],
            )
        };
        Error::check(rax).map(drop)
    }
}

impl IoPorts for IoRange {
    fn read_u8(&self, offset: u16) -> u8 {
        self.read(offset, 1).map_or(0xff, |value| value as u8)
    }

    fn write_u8(&self, offset: u16, value: u8) {
        // Outside of the range nobody answers, as on a bus.
        let _ = self.write(offset, 1, u32::from(value));
    }
}

impl Interrupt {
    /// Waits, with the whole thread, for the interrupt.
    ///
    /// # Errors
    /// [`Error::TimedOut`], or [`Error::WouldWait`] for [`AT_ONCE`](abi::AT_ONCE); [`Error::NoRight`].
    pub fn wait_event_blocking(&self, deadline_ns: u64) -> Result<IrqEvent, Error> {
        // SAFETY: touches no memory.
        let (rax, rdx) = unsafe { gate::call(Call::InterruptWait, [self.handle().0, deadline_ns]) };
        Ok(IrqEvent {
            count: u32::try_from(Error::check(rax)?).unwrap_or(u32::MAX),
            stamp_ticks: rdx,
        })
    }

    /// Lets it come again.
    ///
    /// # Errors
    /// [`Error::NoRight`].
    pub fn acknowledge(&self) -> Result<(), Error> {
        // SAFETY: touches no memory.
        let (rax, _) = unsafe { gate::call(Call::InterruptAck, [self.handle().0]) };
        Error::check(rax).map(drop)
    }
}

impl System {
    /// Fills `bytes` with rows of a table after `cursor`, which moves on; how many bytes were filled. 0 at the end.
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`] if not even one row fits, [`Error::NoRight`].
    pub fn query(&self, table: Table, cursor: &mut u64, bytes: &mut [u8]) -> Result<usize, Error> {
        // SAFETY: the kernel writes the cursor and at most `bytes.len()` bytes.
        let (rax, _) = unsafe {
            gate::call(
                Call::SystemQuery,
                [
                    self.handle().0,
                    table as u64,
                    core::ptr::from_mut(cursor) as u64,
                    bytes.as_mut_ptr() as u64,
                    bytes.len() as u64,
                ],
            )
        };
        Ok((Error::check(rax)? as usize).min(bytes.len()))
    }

    /// Switches off, restarts, stops with a text. Returns only with why not.
    pub fn control(&self, operation: Control, text: &str) -> Error {
        let text = text
            .get(..text.floor_char_boundary(MAX_PANIC_BYTES))
            .unwrap_or_default();
        // SAFETY: the kernel reads the text.
        let (rax, _) = unsafe {
            gate::call(
                Call::SystemControl,
                [
                    self.handle().0,
                    operation as u64,
                    text.as_ptr() as u64,
                    text.len() as u64,
                ],
            )
        };
        Error::check(rax).err().unwrap_or(Error::Unsupported)
    }

    /// Waits, with the whole thread, until the log has records after `cursor`.
    ///
    /// # Errors
    /// [`Error::TimedOut`], [`Error::NoRight`].
    pub fn wait_log_blocking(&self, cursor: u64, deadline_ns: u64) -> Result<(), Error> {
        // SAFETY: touches no memory.
        let (rax, _) = unsafe { gate::call(Call::LogWait, [self.handle().0, cursor, deadline_ns]) };
        Error::check(rax).map(drop)
    }
}

/// Fills `bytes` with random ones.
///
/// # Errors
/// [`Error::Unsupported`] if the machine has no source of them.
pub fn random(bytes: &mut [u8]) -> Result<(), Error> {
    for part in bytes.chunks_mut(MAX_RANDOM_BYTES) {
        // SAFETY: the kernel fills the part.
        let (rax, _) = unsafe {
            gate::call(
                Call::RandomGet,
                [part.as_mut_ptr() as u64, part.len() as u64],
            )
        };
        Error::check(rax)?;
    }
    Ok(())
}
