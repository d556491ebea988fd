//! PCI: configuration space, what is plugged in, and message interrupts.
//!
//! The kernel owns configuration space and MSI-X tables; a driver asks [`Device`] for what it needs (its registers, its
//! interrupts, the right to write to memory) and never sees a configuration register. [`init`] finds configuration
//! space, walks all buses once and keeps a list of what it found, which [`for_each_device`] shows.
//!
//! What is plugged into a [`Slot`] later, or taken out, comes on that list and goes from it.
//!
//! Not done here: assigning addresses that the firmware left open (but to what is plugged in) or bus numbers, hot-plug by ACPI, and root
//! buses that only AML knows of.

mod bar;
pub mod class;
mod config;
mod msi;
mod reset;
mod scan;
mod slot;

use core::fmt;

use kerncore::fixed_list::FixedList;
use pci_types::capability::PciCapability;
use pci_types::{EndpointHeader, PciHeader};
use spin::Mutex;

pub use bar::{Bar, MAX_BARS};
pub use msi::MsixTable;
pub use pci_types::PciAddress;
pub use reset::{RESET_MS, Resetting};
pub use slot::{Happened, Indicator, Slot};

use crate::io::PortRange;
use crate::irq::Interrupt;
use crate::mem::{Cache, MapError, Mmio, map_mmio};
use config::Config;

/// Most functions kept in the list.
pub const MAX_DEVICES: usize = 256;
/// No list of capabilities is longer: 48 of the smallest fill the 192 bytes there are. A damaged one may be a ring.
const MAX_CAPABILITIES: usize = 48;

/// Why something about a PCI function did not work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PciError {
    /// Nothing answers at that address.
    NoSuchDevice,
    /// The function has no such register window, or the firmware gave it no address.
    NoBar {
        /// Number of the base address register.
        index: u8,
    },
    /// The window could not be mapped.
    Map(MapError),
    /// The function cannot send that kind of message.
    NoMessages,
    /// The firmware says that no function may send messages (FADT).
    MessagesForbidden,
    /// The MSI-X table does not fit into the window it is said to be in.
    BadMsixTable {
        /// Where it is said to begin.
        offset: u64,
        /// How many entries it is said to have.
        entries: u16,
    },
}

impl fmt::Display for PciError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NoSuchDevice => write!(f, "no device answers there"),
            Self::NoBar { index } => {
                write!(f, "base address register {index} holds no such window")
            }
            Self::Map(error) => write!(f, "mapping its registers: {error}"),
            Self::NoMessages => write!(f, "the device cannot send such interrupts"),
            Self::MessagesForbidden => write!(f, "the firmware forbids message interrupts"),
            Self::BadMsixTable { offset, entries } => {
                write!(
                    f,
                    "an MSI-X table of {entries} entries at {offset:#x} exceeds its window"
                )
            }
        }
    }
}

impl core::error::Error for PciError {}

/// What a function's header is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// A device.
    Endpoint,
    /// A bridge to another bus.
    Bridge {
        /// The bus behind it, 0 if the firmware numbered none.
        secondary_bus: u8,
    },
    /// Anything else.
    Other,
}

/// What is known of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceInfo {
    /// Segment, bus, device, function.
    pub address: PciAddress,
    /// Vendor id.
    pub vendor: u16,
    /// Device id.
    pub device: u16,
    /// Revision.
    pub revision: u8,
    /// Class code.
    pub class: u8,
    /// Subclass.
    pub subclass: u8,
    /// Programming interface.
    pub interface: u8,
    /// Subsystem vendor and subsystem id (endpoints).
    pub subsystem: Option<(u16, u16)>,
    /// What kind of header it has.
    pub header: Header,
    /// Its windows. The second half of a 64-bit register is `None`.
    pub bars: [Option<Bar>; MAX_BARS],
    /// INTA to INTD as 1 to 4; 0 for none.
    pub interrupt_pin: u8,
    /// It can send MSI.
    pub msi: bool,
    /// Entries of its MSI-X table, 0 if it has none.
    pub msix_entries: u16,
    /// It is a PCI Express function.
    pub express: bool,
}

impl DeviceInfo {
    const EMPTY: Self = Self {
        // `PciAddress` has no `const` constructor; this value is never seen.
        // SAFETY: `PciAddress` is a plain number in a tuple struct: all bytes zero is 0000:00:00.0.
        address: unsafe { core::mem::zeroed() },
        vendor: 0,
        device: 0,
        revision: 0,
        class: 0,
        subclass: 0,
        interface: 0,
        subsystem: None,
        header: Header::Other,
        bars: [None; MAX_BARS],
        interrupt_pin: 0,
        msi: false,
        msix_entries: 0,
        express: false,
    };

    /// What its class is called.
    pub fn class_name(&self) -> &'static str {
        class::name(self.class, self.subclass)
    }
}

/// Configuration space of a function (PCI Express base specification 6.0 §7.2).
const CONFIG_BYTES: u16 = 4096;

static DEVICES: Mutex<FixedList<DeviceInfo, MAX_DEVICES>> =
    Mutex::new(FixedList::new(DeviceInfo::EMPTY));

/// Finds configuration space (through the MCFG's windows; without any, through ports) and lists what is there.
/// Once, on the boot core, after [`crate::acpi::init`]. Returns how many functions were found.
pub fn init() -> usize {
    if let Some(tables) = crate::acpi::tables() {
        config::init(&tables.mcfg);
    }
    let mut dropped = 0;
    scan::walk(|info| {
        if DEVICES.lock().push(info).is_err() {
            dropped += 1;
        }
    });
    if dropped > 0 {
        log::warn!(target: "pci", "{dropped} functions beyond the {MAX_DEVICES} kept are not listed");
    }
    let found = DEVICES.lock().len();
    log::info!(
        target: "pci",
        "{found} functions, configuration space by {}",
        if config::is_by_ports() { "ports" } else { "ECAM" }
    );
    found
}

/// Puts a function on the list, in the order of addresses; whether there was room.
fn remember(info: DeviceInfo) -> bool {
    let mut devices = DEVICES.lock();
    let known = |known: &DeviceInfo| known.address >= info.address;
    let place = devices.iter().position(known).unwrap_or(devices.len());
    let is_known = devices
        .get(place)
        .is_some_and(|known| known.address == info.address);
    let room = is_known || devices.insert(place, info).is_ok();
    if !room {
        log::warn!(target: "pci", "{} is not listed: there are {MAX_DEVICES} others", info.address);
    }
    room
}

/// Takes functions off the list.
fn forget(gone: impl Fn(PciAddress) -> bool) {
    let mut devices = DEVICES.lock();
    while let Some(place) = devices.iter().position(|known| gone(known.address)) {
        devices.remove(place);
    }
}

/// Function number `index` of the list, in order of address within each segment. One that comes or goes moves those behind it.
pub fn device_info(index: usize) -> Option<DeviceInfo> {
    DEVICES.lock().get(index).copied()
}

/// The first function with these ids.
pub fn find(vendor: u16, device: u16) -> Option<DeviceInfo> {
    let mut found = None;
    for_each_device(|info| {
        if (info.vendor, info.device) == (vendor, device) && found.is_none() {
            found = Some(*info);
        }
    });
    found
}

/// Calls `visit` for each function found.
pub fn for_each_device(mut visit: impl FnMut(&DeviceInfo)) {
    let mut index = 0;
    // Not under the lock: `visit` may take its time.
    while let Some(info) = device_info(index) {
        visit(&info);
        index += 1;
    }
}

/// A function, for the one who drives it.
#[derive(Debug)]
pub struct Device {
    info: DeviceInfo,
}

// Command register (PCI local bus specification 3.0 §6.2.2).
const COMMAND: u16 = 0x04;
const COMMAND_PORTS: u32 = 1 << 0;
const COMMAND_MEMORY: u32 = 1 << 1;
const COMMAND_BUS_MASTER: u32 = 1 << 2;
const COMMAND_NO_INTX: u32 = 1 << 10;

impl Device {
    /// The function at `address`, if it was found at boot.
    pub fn open(address: PciAddress) -> Result<Self, PciError> {
        let devices = DEVICES.lock();
        let info = devices
            .iter()
            .find(|info| info.address == address)
            .ok_or(PciError::NoSuchDevice)?;
        Ok(Self { info: *info })
    }

    /// What is known of it.
    pub fn info(&self) -> &DeviceInfo {
        &self.info
    }

    /// The register at `offset` of its configuration space; `None` beyond that, and for what is no multiple of 4.
    pub fn config(&self, offset: u16) -> Option<u32> {
        (offset < CONFIG_BYTES && offset.is_multiple_of(4))
            .then(|| Config.read32(self.info.address, offset))
    }

    fn change_command(&self, clear: u32, set: u32) {
        // Zeros in the upper half leave the status bits alone.
        let command = Config.read32(self.info.address, COMMAND) & 0xffff;
        Config.write32(self.info.address, COMMAND, command & !clear | set);
    }

    /// Lets the function answer at its memory windows, or not.
    pub fn set_memory_decode(&self, on: bool) {
        self.change_command(COMMAND_MEMORY, if on { COMMAND_MEMORY } else { 0 });
    }

    /// Lets the function read and write memory by itself, which message interrupts need too, or not. Without an
    /// IOMMU it can then reach all memory: who holds this value is trusted.
    pub fn set_bus_master(&self, on: bool) {
        self.change_command(COMMAND_BUS_MASTER, if on { COMMAND_BUS_MASTER } else { 0 });
    }

    fn silence_intx(&self) {
        self.change_command(0, COMMAND_NO_INTX);
    }

    /// Maps the memory window of base address register `index` and lets the function answer there.
    pub fn map_bar(&self, index: u8, cache: Cache) -> Result<Mmio, PciError> {
        let bar = self.info.bars.get(usize::from(index)).copied().flatten();
        match bar.filter(Bar::is_assigned) {
            Some(Bar::Memory { address, len, .. }) => {
                let len = usize::try_from(len).map_err(|_| PciError::Map(MapError::BadRange))?;
                let window = map_mmio(address, len, cache).map_err(PciError::Map)?;
                self.set_memory_decode(true);
                Ok(window)
            }
            _ => Err(PciError::NoBar { index }),
        }
    }

    /// The ports of base address register `index`; the function answers there from now on. To be asked for by the one who drives it.
    pub fn port_bar(&self, index: u8) -> Result<PortRange, PciError> {
        let bar = self.info.bars.get(usize::from(index)).copied().flatten();
        match bar.filter(Bar::is_assigned) {
            Some(Bar::Ports { first, len }) => {
                let len = u16::try_from(len).map_err(|_| PciError::NoBar { index })?;
                self.change_command(0, COMMAND_PORTS);
                // SAFETY: the firmware assigned these ports to this function, which without bus mastering reaches no memory.
                Ok(unsafe { PortRange::new(first, len) })
            }
            _ => Err(PciError::NoBar { index }),
        }
    }

    fn capabilities(&self) -> impl Iterator<Item = PciCapability> {
        EndpointHeader::from_header(PciHeader::new(self.info.address), config::AsEndpoint)
            .map(|header| header.capabilities(config::AsEndpoint))
            .into_iter()
            .flatten()
            .take(MAX_CAPABILITIES)
    }

    /// Makes the function send its one MSI as `interrupt` (from [`crate::irq::claim_msi`]). Bus mastering must be on.
    pub fn enable_msi(&self, interrupt: &Interrupt) -> Result<(), PciError> {
        messages_allowed()?;
        let capability = self.capabilities().find_map(|capability| match capability {
            PciCapability::Msi(msi) => Some(msi),
            _ => None,
        });
        msi::enable_msi(self, capability.ok_or(PciError::NoMessages)?, interrupt);
        Ok(())
    }

    /// Turns the function's MSI-X on, all entries masked. Bus mastering must be on for interrupts to arrive.
    pub fn enable_msix(&self) -> Result<MsixTable, PciError> {
        messages_allowed()?;
        let capability = self.capabilities().find_map(|capability| match capability {
            PciCapability::MsiX(msix) => Some(msix),
            _ => None,
        });
        MsixTable::enable(self, capability.ok_or(PciError::NoMessages)?)
    }
}

fn messages_allowed() -> Result<(), PciError> {
    if crate::acpi::msi_forbidden() {
        Err(PciError::MessagesForbidden)
    } else {
        Ok(())
    }
}
