//! A PCI function whose device handle this process holds.

use abi::device::{DeviceInfo, PartKind};
use abi::memory::{MapFlags, PAGE_BYTES};
use rt::Watched;
use rt::sys::dma::DmaBytes;
use rt::sys::memory::Mapping;
use rt::sys::object::{Device, Dma, Vmo};

use crate::{Fault, Function, Shared};

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

    /// Memory that the device can reach, to be mapped and passed on, and its address there. It stays until it is
    /// [released](Self::release) or the device is closed.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn buffer(&self, bytes: u64) -> Result<(Vmo, u64), abi::Error> {
        self.dma.memory(bytes.next_multiple_of(PAGE_BYTES))
    }

    /// The device was told to forget the buffer at this address.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn release(&self, address: u64) -> Result<(), abi::Error> {
        self.dma.release(address)
    }

    /// What it is.
    #[must_use]
    pub const fn info(&self) -> &DeviceInfo {
        &self.info
    }
}

impl Function for Ring3 {
    type Space = Mapping;
    type Bytes = DmaBytes;
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

    fn bytes(&self, bytes: usize) -> Result<(DmaBytes, u64), Fault> {
        self.dma
            .bytes(bytes)
            .map_err(|error| Fault::Refused("making memory for it", error))
    }
}
