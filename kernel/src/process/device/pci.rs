//! A PCI function that one process drives.

use abi::device::{DeviceInfo, DevicePart, PartKind};
use abi::memory::PAGE_BYTES;
use abi::{Error, ObjectType, Rights};
use hal::irq::Interrupt;
use hal::mem::counted;
use hal::mem::frames::{Request, Usage};
use hal::pci::{Bar, Device, MsixTable, PciAddress, PciError};
use hal::platform::KernelPlatform;
use objects::job::{Charge, Job};
use objects::memory::machine::{Cache, Frame};
use objects::object::Header;
use objects::refs::Ref;
use objects::signals::SignalState;
use spin::Mutex;

use super::release::Presence;
use super::{IoRange, Owner, release};
use crate::process::memory::{Memory, VmoObject};
use crate::process::object::{Capability, Object};

/// Most buffers that a device has at a time.
pub const MAX_BUFFERS: usize = 64;
/// Most messages of a device that are given out.
const MAX_MESSAGES: u32 = 64;
/// Longest buffer: two pictures of the largest common screens.
const MAX_DMA_BYTES: u64 = 96 << 20;
/// Pages made zeroes between two checkpoints.
const ZERO_STEP: u64 = 32;
/// Of the vmo of a device's memory: never to be executed.
const MEMORY_RIGHTS: Rights = Rights::READ
    .union(Rights::WRITE)
    .union(Rights::MAP)
    .union(Rights::INSPECT)
    .union(Rights::DUPLICATE)
    .union(Rights::TRANSFER);

/// Frames that a device may write to.
pub struct DmaMemory {
    first: Frame,
    pages: u64,
    _charge: Charge,
}

impl Drop for DmaMemory {
    fn drop(&mut self) {
        for page in 0..self.pages {
            counted::release(self.first.address() + page * PAGE_BYTES, Usage::Dma);
        }
    }
}

/// A device's buffers.
pub type Buffers = heapless::Vec<Ref<DmaMemory>, MAX_BUFFERS>;

/// How it sends messages.
enum Messages {
    /// Not yet.
    Off,
    /// Its one.
    Single,
    /// By a table.
    Table(MsixTable),
}

struct State {
    messages: Messages,
    /// A bit for each message in use.
    routed: u64,
    buffers: Buffers,
}

/// A PCI function, and who holds it drives it.
pub struct DeviceObject {
    header: Header,
    /// Taken only at the end.
    device: Option<Device>,
    presence: Ref<Presence>,
    state: Mutex<State>,
}

fn refused(device: &Device, error: PciError) -> Error {
    match error {
        PciError::NoSuchDevice | PciError::NoBar { .. } => Error::OutOfRange,
        error => {
            ::log::warn!(target: "device", "{}: {error}", device.info().address);
            Error::Unsupported
        }
    }
}

/// A function's address from its number.
fn address(number: u64) -> Result<PciAddress, Error> {
    let number = u32::try_from(number).map_err(|_| Error::OutOfRange)?;
    Ok(PciAddress::new(
        (number >> 16) as u16,
        (number >> 8) as u8,
        (number >> 3) as u8 & 31,
        number as u8 & 7,
    ))
}

impl DeviceObject {
    /// Takes a function over.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if there is none, [`Error::Occupied`] if somebody drives it, [`Error::NoMemory`].
    pub fn open(job: &Ref<Job>, number: u64) -> Result<Ref<Self>, Error> {
        let header = Header::new(ObjectType::Device, job, Ref::<Self>::BYTES)?;
        let address = address(number)?;
        let device = Device::open(address).map_err(|_| Error::OutOfRange)?;
        let claim = release::claim(address)?;
        let object = Ref::try_new(Self {
            header,
            device: Some(device),
            presence: claim.presence()?,
            state: Mutex::new(State {
                messages: Messages::Off,
                routed: 0,
                buffers: Buffers::new(),
            }),
        })?;
        // From here on its end gives the claim back.
        claim.keep();
        Ok(object)
    }

    /// What every object has.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// [`Signals::PEER_CLOSED`](abi::Signals::PEER_CLOSED) once it was taken out.
    pub fn signals(&self) -> &SignalState {
        &self.presence.signals
    }

    fn device(&self) -> Result<&Device, Error> {
        if self.presence.is_gone() {
            return Err(Error::PeerClosed);
        }
        self.device.as_ref().ok_or(Error::BadState)
    }

    /// What it is and has.
    ///
    /// # Errors
    /// [`Error::PeerClosed`] once it was taken out, as everything here.
    pub fn info(&self) -> Result<DeviceInfo, Error> {
        let info = self.device()?.info();
        let at = info.address;
        Ok(DeviceInfo {
            address: abi::device::pci_address(at.segment(), at.bus(), at.device(), at.function()),
            vendor: info.vendor,
            device: info.device,
            class: info.class,
            subclass: info.subclass,
            interface: info.interface,
            revision: info.revision,
            messages: messages(self.device()?),
            reserved: 0,
            parts: info.bars.map(|bar| {
                let (kind, bytes) = match bar.filter(Bar::is_assigned) {
                    None => (PartKind::None, 0),
                    Some(Bar::Memory { len, .. }) => (PartKind::Memory, len),
                    Some(Bar::Ports { len, .. }) => (PartKind::Ports, len.into()),
                };
                DevicePart {
                    bytes,
                    kind: kind as u32,
                    reserved: 0,
                }
            }),
        })
    }

    /// A base address register's window: a vmo to be mapped, or ports; and its length.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if there is none, [`Error::Unsupported`] for less than a page of memory, which would show more than the
    /// device; [`Error::NoMemory`].
    pub fn part(this: &Ref<Self>, job: &Ref<Job>, index: u64) -> Result<(Capability, u64), Error> {
        let device = this.device()?;
        let index = u8::try_from(index).map_err(|_| Error::OutOfRange)?;
        let bar = device.info().bars.get(usize::from(index)).copied();
        match bar.flatten().filter(Bar::is_assigned) {
            Some(Bar::Memory { address, len, .. }) => {
                let first = Frame::from_address(address).ok_or(Error::Unsupported)?;
                if !len.is_multiple_of(PAGE_BYTES) {
                    return Err(Error::Unsupported);
                }
                let owner = Owner::Device(this.clone());
                let (pages, cache) = (len / PAGE_BYTES, Cache::Uncached);
                let vmo =
                    VmoObject::create_physical(Memory, job, first, pages, cache, Some(owner))?;
                device.set_memory_decode(true);
                let capability = Capability::with_rights(Object::Vmo(vmo), MEMORY_RIGHTS)?;
                Ok((capability, len))
            }
            Some(Bar::Ports { .. }) => {
                let ports = device
                    .port_bar(index)
                    .map_err(|error| refused(device, error))?;
                let len = ports.len();
                let range = IoRange::new(job, ports, Some(this.clone()))?;
                Ok((Capability::new(Object::IoRange(range))?, len.into()))
            }
            None => Err(Error::OutOfRange),
        }
    }

    /// Four bytes of its configuration space.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for an offset that is beyond it or no multiple of 4.
    pub fn config(&self, offset: u64) -> Result<u32, Error> {
        let offset = u16::try_from(offset).map_err(|_| Error::OutOfRange)?;
        self.device()?.config(offset).ok_or(Error::OutOfRange)
    }

    /// Makes it send message `index` as `interrupt`. Messages are writes to memory, so this lets it do those; a device can be made to send
    /// them elsewhere only by its driver's right to DMA or by its own MSI-X table, if that lies in a window.
    ///
    /// # Errors
    /// [`Error::OutOfRange`], [`Error::Occupied`], [`Error::Unsupported`].
    pub(super) fn route(&self, index: u16, interrupt: &Interrupt) -> Result<(), Error> {
        let device = self.device()?;
        if u32::from(index) >= messages(device) {
            return Err(Error::OutOfRange);
        }
        let state = &mut *self.state.lock();
        if state.routed & 1 << index != 0 {
            return Err(Error::Occupied);
        }
        device.set_bus_master(true);
        if matches!(state.messages, Messages::Off) {
            state.messages = if device.info().msix_entries > 0 {
                Messages::Table(
                    device
                        .enable_msix()
                        .map_err(|error| refused(device, error))?,
                )
            } else {
                Messages::Single
            };
        }
        match &state.messages {
            Messages::Table(table) => table.route(index, interrupt),
            _ => device
                .enable_msi(interrupt)
                .map_err(|error| refused(device, error))?,
        }
        state.routed |= 1 << index;
        Ok(())
    }

    /// It sends that message no more.
    pub(super) fn unroute(&self, index: u16) {
        let state = &mut *self.state.lock();
        match (&state.messages, &self.device) {
            _ if self.presence.is_gone() => {}
            (Messages::Table(table), _) => table.mask(index),
            (Messages::Single, Some(device)) => device.disable_messages(),
            _ => {}
        }
        state.routed &= !(1 << index);
    }
}

/// Messages that a device can send, of those that are given out.
fn messages(device: &Device) -> u32 {
    match device.info().msix_entries {
        0 => u32::from(device.info().msi),
        entries => u32::from(entries).min(MAX_MESSAGES),
    }
}

impl Drop for DeviceObject {
    fn drop(&mut self) {
        if let Some(device) = self.device.take() {
            if !self.presence.is_gone() {
                device.quiesce();
            }
            let buffers = core::mem::take(&mut self.state.get_mut().buffers);
            release::released(device, buffers);
        }
    }
}

/// The right to let a device reach memory.
pub struct DmaObject {
    header: Header,
    device: Ref<DeviceObject>,
}

impl DmaObject {
    /// That of this device, which may do so from now on.
    ///
    /// # Errors
    /// [`Error::NoMemory`].
    pub fn create(job: &Ref<Job>, device: &Ref<DeviceObject>) -> Result<Ref<Self>, Error> {
        let header = Header::new(ObjectType::Dma, job, Ref::<Self>::BYTES)?;
        let object = Ref::try_new(Self {
            header,
            device: device.clone(),
        })?;
        device.device()?.set_bus_master(true);
        Ok(object)
    }

    /// What every object has.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Memory for the device, and its address there.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for more than 96 MiB or none, [`Error::LimitReached`] for more than 64 buffers or what the job may not have,
    /// [`Error::NoMemory`].
    pub async fn memory(&self, job: &Ref<Job>, bytes: u64) -> Result<(Capability, u64), Error> {
        if bytes == 0 || bytes > MAX_DMA_BYTES {
            return Err(Error::OutOfRange);
        }
        let pages = bytes.div_ceil(PAGE_BYTES);
        let charge = job.charge_memory(pages * PAGE_BYTES)?;
        let run = counted::allocate_run(Request::dma32(pages)).map_err(|_| Error::NoMemory)?;
        let address = run.start.address();
        let first = Frame::from_address(address).ok_or(Error::NoMemory)?;
        let memory = Ref::try_new(DmaMemory {
            first,
            pages,
            _charge: charge,
        })?;
        for page in 0..pages {
            counted::zero(address + page * PAGE_BYTES, 0, PAGE_BYTES as usize)
                .map_err(|_| Error::NoMemory)?;
            if page % ZERO_STEP == ZERO_STEP - 1 {
                executor::checkpoint::<KernelPlatform>().await;
            }
        }
        let owner = Owner::Memory(memory.clone());
        let cache = Cache::WriteBack;
        let vmo = VmoObject::create_physical(Memory, job, first, pages, cache, Some(owner))?;
        let capability = Capability::with_rights(Object::Vmo(vmo), MEMORY_RIGHTS)?;
        self.device
            .state
            .lock()
            .buffers
            .push(memory)
            .map_err(|_| Error::LimitReached)?;
        Ok((capability, address))
    }

    /// The device does not use the buffer at `address` any more, says who drives it: its frames are free once nobody has a handle to its vmo
    /// or has it mapped.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if no buffer begins there.
    pub fn release(&self, address: u64) -> Result<(), Error> {
        let released = {
            let buffers = &mut self.device.state.lock().buffers;
            let at = buffers
                .iter()
                .position(|memory| memory.first.address() == address)
                .ok_or(Error::OutOfRange)?;
            buffers.swap_remove(at)
        };
        // Not under the lock: it may be the last holder.
        drop(released);
        Ok(())
    }
}
