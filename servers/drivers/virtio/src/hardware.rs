//! What the transport needs of a PCI function, and where that comes from in ring 3. Tests put a model in its place.

use abi::device::{DeviceInfo, PartKind};
use abi::memory::{MapFlags, PAGE_BYTES};
use core::sync::atomic::Ordering;
use rt::sys::memory::{Mapping, copy_into, copy_out_of};
use rt::sys::object::{Device, Dma};
use rt::{Interrupt, Watched};

use crate::Fault;

/// Registers, or memory that a device shares. Loads acquire and stores release. A load from outside gives all ones, a store there
/// does nothing, as on a bus where nobody answers.
pub trait Space: Send + Sync {
    /// Length in bytes.
    fn len(&self) -> usize;
    /// Whether it has no bytes.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// A byte.
    fn load_u8(&self, offset: usize) -> u8;
    /// Two bytes, aligned.
    fn load_u16(&self, offset: usize) -> u16;
    /// Four bytes, aligned.
    fn load_u32(&self, offset: usize) -> u32;
    /// A byte.
    fn store_u8(&self, offset: usize, value: u8);
    /// Two bytes, aligned.
    fn store_u16(&self, offset: usize, value: u16);
    /// Four bytes, aligned.
    fn store_u32(&self, offset: usize, value: u32);
    /// Copies out; false, and nothing happens, outside.
    fn read(&self, offset: usize, to: &mut [u8]) -> bool;
    /// Copies in; false, and nothing happens, outside.
    fn write(&self, offset: usize, from: &[u8]) -> bool;
}

impl Space for Mapping {
    fn len(&self) -> usize {
        Self::len(self)
    }
    fn load_u8(&self, offset: usize) -> u8 {
        self.byte(offset)
            .map_or(u8::MAX, |place| place.load(Ordering::Acquire))
    }
    fn load_u16(&self, offset: usize) -> u16 {
        self.word_u16(offset)
            .map_or(u16::MAX, |place| place.load(Ordering::Acquire))
    }
    fn load_u32(&self, offset: usize) -> u32 {
        self.word_u32(offset)
            .map_or(u32::MAX, |place| place.load(Ordering::Acquire))
    }
    fn store_u8(&self, offset: usize, value: u8) {
        if let Some(place) = self.byte(offset) {
            place.store(value, Ordering::Release);
        }
    }
    fn store_u16(&self, offset: usize, value: u16) {
        if let Some(place) = self.word_u16(offset) {
            place.store(value, Ordering::Release);
        }
    }
    fn store_u32(&self, offset: usize, value: u32) {
        if let Some(place) = self.word_u32(offset) {
            place.store(value, Ordering::Release);
        }
    }
    fn read(&self, offset: usize, to: &mut [u8]) -> bool {
        copy_out_of(self, offset, to)
    }
    fn write(&self, offset: usize, from: &[u8]) -> bool {
        copy_into(self, offset, from)
    }
}

/// Memory and where the device finds it.
#[derive(Debug)]
pub struct Shared<S> {
    /// The memory, zeroed at first.
    pub space: S,
    /// The device's address of its first byte.
    pub address: u64,
}

/// A PCI function.
pub trait Function: Send + Sync {
    /// Its registers, and memory shared with it.
    type Space: Space;
    /// Its message interrupts.
    type Line: Interrupt;

    /// Four bytes of configuration space, at a multiple of 4; all ones where there is nothing.
    fn config(&self, offset: u16) -> u32;
    /// How many messages it can send.
    fn messages(&self) -> u32;
    /// The registers that base address register `index` shows.
    ///
    /// # Errors
    /// [`Fault::Refused`].
    fn registers(&self, index: u8) -> Result<Self::Space, Fault>;
    /// Its message interrupt `index`. Once for each.
    ///
    /// # Errors
    /// [`Fault::Refused`].
    fn interrupt(&self, index: u16) -> Result<Self::Line, Fault>;
    /// Memory that the device can reach, until it is closed.
    ///
    /// # Errors
    /// [`Fault::Refused`].
    fn memory(&self, bytes: usize) -> Result<Shared<Self::Space>, Fault>;
}

/// A function that this process drives.
#[derive(Debug)]
pub struct Ring3 {
    device: Device,
    dma: Dma,
    info: DeviceInfo,
    core: u32,
}

impl Ring3 {
    /// That of `device`, whose interrupts are taken by `core`.
    ///
    /// # Errors
    /// [`Fault::Refused`].
    pub fn new(device: Device, core: u32) -> Result<Self, Fault> {
        let info = device
            .describe()
            .map_err(|error| Fault::Refused("asking what it is", error))?;
        let dma = device
            .dma()
            .map_err(|error| Fault::Refused("letting it reach memory", error))?;
        Ok(Self {
            device,
            dma,
            info,
            core,
        })
    }

    /// What it is.
    #[must_use]
    pub const fn info(&self) -> &DeviceInfo {
        &self.info
    }
}

impl Function for Ring3 {
    type Space = Mapping;
    type Line = Watched<rt::sys::object::Interrupt>;

    fn config(&self, offset: u16) -> u32 {
        self.device.config(offset).unwrap_or(u32::MAX)
    }

    fn messages(&self) -> u32 {
        self.info.messages
    }

    fn registers(&self, index: u8) -> Result<Mapping, Fault> {
        let refused = |error| Fault::Refused("mapping its registers", error);
        let part = self
            .info
            .parts
            .get(usize::from(index))
            .filter(|part| part.kind == PartKind::Memory as u32)
            .ok_or(Fault::NoRegisters("they are in no memory window"))?;
        let memory = self.device.memory(u32::from(index)).map_err(refused)?;
        memory.map(0, part.bytes, MapFlags::WRITE).map_err(refused)
    }

    fn interrupt(&self, index: u16) -> Result<Self::Line, Fault> {
        let refused = |error| Fault::Refused("taking its interrupt", error);
        let interrupt = self
            .device
            .interrupt(u32::from(index), self.core)
            .map_err(refused)?;
        Watched::interrupt(interrupt).map_err(refused)
    }

    fn memory(&self, bytes: usize) -> Result<Shared<Mapping>, Fault> {
        let refused = |error| Fault::Refused("making memory for it", error);
        let bytes = (bytes as u64).next_multiple_of(PAGE_BYTES);
        let (vmo, address) = self.dma.memory(bytes).map_err(refused)?;
        let space = vmo.map(0, bytes, MapFlags::WRITE).map_err(refused)?;
        Ok(Shared { space, address })
    }
}
