//! What drivers hold: devices, I/O ports, interrupts, memory for DMA. And what belongs to the whole system: its tables, its power switch, randomness.

use abi::device::DeviceInfo;
use abi::system::{Control, MAX_PANIC_BYTES, Table};
use abi::{Call, Error};

use super::gate;
use super::object::{Device, Dma, Interrupt, IoRange, Object, Owned, System, Vmo};
use crate::io::{IoPorts, IrqEvent};
use zerocopy::{FromZeros, IntoBytes};

/// Most bytes that [`random`] fills at once.
const MAX_RANDOM_BYTES: usize = 4096;

impl Device {
    /// The PCI function with this [number](abi::device::pci_address).
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if there is none, [`Error::Occupied`] if it has a driver, or had one until a moment ago and is being
    /// reset.
    pub fn open(system: &System, address: u64) -> Result<Self, Error> {
        // SAFETY: makes an object.
        let (rax, _) = unsafe { gate::call(Call::DeviceOpen, [system.handle().0, address]) };
        Owned::from_result(Error::check(rax)?).map(Self::from_owned)
    }

    /// What it is and has.
    ///
    /// # Errors
    /// [`Error::NoRight`].
    pub fn describe(&self) -> Result<DeviceInfo, Error> {
        let mut info = DeviceInfo::new_zeroed();
        // SAFETY: the kernel fills `info`, whose layout both sides share.
        let (rax, _) = unsafe {
            gate::call(
                Call::DeviceInfo,
                [self.handle().0, info.as_mut_bytes().as_mut_ptr() as u64],
            )
        };
        Error::check(rax)?;
        Ok(info)
    }

    fn part(&self, index: u32) -> Result<Owned, Error> {
        // SAFETY: makes an object.
        let (rax, _) = unsafe { gate::call(Call::DevicePart, [self.handle().0, u64::from(index)]) };
        Owned::from_result(Error::check(rax)?)
    }

    /// The memory that base address register `index` shows, to be mapped.
    ///
    /// # Errors
    /// [`Error::OutOfRange`], [`Error::WrongType`] if it shows ports, [`Error::Unsupported`] for less than a page.
    pub fn memory(&self, index: u32) -> Result<Vmo, Error> {
        self.part(index)?.cast().map_err(|_| Error::WrongType)
    }

    /// The ports that base address register `index` shows.
    ///
    /// # Errors
    /// As [`memory`](Device::memory).
    pub fn ports(&self, index: u32) -> Result<IoRange, Error> {
        self.part(index)?.cast().map_err(|_| Error::WrongType)
    }

    /// Its message interrupt `index`, taken by this core.
    ///
    /// # Errors
    /// [`Error::OutOfRange`], [`Error::Occupied`], [`Error::NoRight`].
    pub fn interrupt(&self, index: u32, core: u32) -> Result<Interrupt, Error> {
        // SAFETY: makes an object.
        let (rax, _) = unsafe {
            gate::call(
                Call::DeviceInterrupt,
                [self.handle().0, u64::from(index), u64::from(core)],
            )
        };
        Owned::from_result(Error::check(rax)?).map(Interrupt::from_owned)
    }

    /// Four bytes of its configuration space, at a multiple of 4.
    ///
    /// # Errors
    /// [`Error::OutOfRange`], [`Error::NoRight`].
    pub fn config(&self, offset: u16) -> Result<u32, Error> {
        // SAFETY: touches no memory.
        let (rax, rdx) =
            unsafe { gate::call(Call::DeviceConfig, [self.handle().0, u64::from(offset)]) };
        Error::check(rax).map(|_| rdx as u32)
    }

    /// Lets it reach memory by itself, and makes memory for that. Without an IOMMU it can then be told to write anywhere.
    ///
    /// # Errors
    /// [`Error::NoRight`].
    pub fn dma(&self) -> Result<Dma, Error> {
        // SAFETY: makes an object.
        let (rax, _) = unsafe { gate::call(Call::DeviceDma, [self.handle().0]) };
        Owned::from_result(Error::check(rax)?).map(Dma::from_owned)
    }
}

impl Dma {
    /// Zeroed memory, to be mapped, and the address that the device knows it by. It stays until it is [released](Dma::release) or the
    /// device is closed.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] beyond 96 MiB, [`Error::LimitReached`] beyond 64 buffers, the job's limits.
    pub fn memory(&self, bytes: u64) -> Result<(Vmo, u64), Error> {
        // SAFETY: makes an object.
        let (rax, rdx) = unsafe { gate::call(Call::DmaCreate, [self.handle().0, bytes]) };
        Ok((
            Vmo::from_owned(Owned::from_result(Error::check(rax)?)?),
            rdx,
        ))
    }

    /// The device does not use that memory any more, whatever it was told before: it is free once nobody has its vmo.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if no memory begins at this address.
    pub fn release(&self, address: u64) -> Result<(), Error> {
        // SAFETY: the memory stays for as long as a handle or a mapping shows it.
        let (rax, _) = unsafe { gate::call(Call::DmaRelease, [self.handle().0, address]) };
        Error::check(rax).map(drop)
    }
}

impl IoRange {
    /// The ports of a device that every PC has.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for ports that are no such device's, [`Error::Occupied`] if it has a driver.
    pub fn legacy(system: &System, first: u16, count: u16) -> Result<Self, Error> {
        // SAFETY: makes an object.
        let (rax, _) = unsafe {
            gate::call(
                Call::IoRangeCreate,
                [system.handle().0, u64::from(first), u64::from(count)],
            )
        };
        Owned::from_result(Error::check(rax)?).map(Self::from_owned)
    }

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
    /// The interrupt line that the ISA bus had by this number, taken by this core.
    ///
    /// # Errors
    /// [`Error::Occupied`], [`Error::BadArgument`] if there is none.
    pub fn line(system: &System, line: u8, core: u32) -> Result<Self, Error> {
        // SAFETY: makes an object.
        let (rax, _) = unsafe {
            gate::call(
                Call::InterruptCreate,
                [system.handle().0, u64::from(line), u64::from(core)],
            )
        };
        Owned::from_result(Error::check(rax)?).map(Self::from_owned)
    }

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

    /// Records what the cores do from now on, or no more; what was recorded is the table of [`proto::TraceRow`]s.
    ///
    /// # Errors
    /// [`Error::NoRight`], [`Error::NoMemory`].
    pub fn record(&self, record: bool) -> Result<(), Error> {
        let operation = if record {
            Control::TraceStart
        } else {
            Control::TraceStop
        };
        // SAFETY: nothing of this process is touched.
        let (rax, _) = unsafe {
            gate::call(
                Call::SystemControl,
                [self.handle().0, operation as u64, 0, 0],
            )
        };
        Error::check(rax).map(drop)
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
