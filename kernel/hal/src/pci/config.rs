//! Reaching configuration space: memory-mapped (ECAM, PCI Express base specification 6.0 §7.2.2), or through the ports
//! 0xcf8 and 0xcfc where the firmware describes no such window (PCI local bus specification 3.0 §3.2.2.3.2).

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use conquer_once::spin::OnceCell;
use kerncore::acpi::{MAX_MCFG_SEGMENTS, McfgSegment};
use kerncore::fixed_list::FixedList;
use pci_types::{ConfigRegionAccess, PciAddress};
use spin::Mutex;

use crate::io::PortRange;
use crate::mem::{Cache, Mmio, map_mmio};

/// Most buses mapped at a time, over all segments.
const MAX_BUSES: usize = 256;
/// Configuration space of one bus in an ECAM window: 32 devices, 8 functions, 4 KiB each.
const BUS_BYTES: usize = 1 << 20;
/// What an empty slot reads as.
const ABSENT: u32 = u32::MAX;

/// One bus of an ECAM window, mapped when it is first looked at.
struct BusWindow {
    /// Segment, bus and a one, 0 while free.
    key: AtomicU32,
    registers: OnceCell<Mmio>,
}

static BUSES: [BusWindow; MAX_BUSES] = [const {
    BusWindow {
        key: AtomicU32::new(0),
        registers: OnceCell::uninit(),
    }
}; MAX_BUSES];
static SEGMENTS: OnceCell<FixedList<McfgSegment, MAX_MCFG_SEGMENTS>> = OnceCell::uninit();
static PORTS_ONLY: AtomicBool = AtomicBool::new(true);
/// The address port and the data port are used as a pair.
static PORTS: Mutex<()> = Mutex::new(());

/// Configuration space of the machine.
#[derive(Clone, Copy, Debug)]
pub(super) struct Config;

/// Takes over configuration space. A window that does not show what the ports show is not believed.
pub(super) fn init(windows: &FixedList<McfgSegment, MAX_MCFG_SEGMENTS>) {
    // A second call keeps what the first one found.
    let _ = SEGMENTS.try_init_once(|| *windows);
    if windows.is_empty() {
        return;
    }
    PORTS_ONLY.store(false, Ordering::Relaxed);
    let has_bus_0 = windows
        .iter()
        .any(|window| window.segment == 0 && window.first_bus == 0);
    let host_bridge = PciAddress::new(0, 0, 0, 0);
    let by_window = Config.read32(host_bridge, 0);
    let by_ports = read_by_ports(host_bridge, 0);
    if has_bus_0 && by_window != by_ports && by_ports != ABSENT {
        log::warn!(target: "pci", "the window in MCFG shows {by_window:#x} at 0:0.0, the ports {by_ports:#x}: using the ports");
        PORTS_ONLY.store(true, Ordering::Relaxed);
    }
}

/// Whether configuration space is reached through ports.
pub(super) fn is_by_ports() -> bool {
    PORTS_ONLY.load(Ordering::Relaxed)
}

/// The segments, with the buses where a walk begins.
pub(super) fn roots() -> impl Iterator<Item = (u16, u8)> {
    let list = SEGMENTS
        .get()
        .filter(|_| !is_by_ports())
        .map_or(&[][..], |list| list.as_slice());
    let by_ports = is_by_ports().then_some((0, 0));
    list.iter()
        .map(|segment| (segment.segment, segment.first_bus))
        .chain(by_ports)
}

fn bus_registers(address: PciAddress) -> Option<&'static Mmio> {
    let segment = SEGMENTS.get()?.iter().find(|segment| {
        segment.segment == address.segment()
            && (segment.first_bus..=segment.last_bus).contains(&address.bus())
    })?;
    let key = u32::from(address.segment()) << 16 | u32::from(address.bus()) << 8 | 1;
    let start = usize::from(address.bus());
    let slot = (0..MAX_BUSES)
        .map(|step| &BUSES[(start + step) % MAX_BUSES])
        .find(|slot| {
            let taken = slot.key.load(Ordering::Acquire);
            taken == key
                || (taken == 0
                    && slot
                        .key
                        .compare_exchange(0, key, Ordering::AcqRel, Ordering::Acquire)
                        .map_or_else(|now| now == key, |_| true))
        })?;
    if let Some(registers) = slot.registers.get() {
        return Some(registers);
    }
    let physical = segment.base + u64::from(address.bus()) * BUS_BYTES as u64;
    match map_mmio(physical, BUS_BYTES, Cache::Uncached) {
        Ok(registers) => {
            // Two cores may map the same bus at once: the first one's window is kept.
            let _ = slot.registers.try_init_once(|| registers);
        }
        Err(error) => {
            log::error!(target: "pci", "bus {}'s configuration space at {physical:#x}: {error}", address.bus())
        }
    }
    slot.registers.get()
}

fn window_offset(address: PciAddress, offset: u16) -> usize {
    usize::from(address.device()) << 15
        | usize::from(address.function()) << 12
        | usize::from(offset & 0xffc)
}

/// The address word for port 0xcf8, for what ports can reach.
fn port_address(address: PciAddress, offset: u16) -> Option<u32> {
    (address.segment() == 0 && offset < 0x100).then(|| {
        1 << 31
            | u32::from(address.bus()) << 16
            | u32::from(address.device()) << 11
            | u32::from(address.function()) << 8
            | u32::from(offset & 0xfc)
    })
}

fn ports() -> PortRange {
    // SAFETY: the configuration ports, driven by this module alone and under its lock.
    unsafe { PortRange::new(0xcf8, 8) }
}

fn read_by_ports(address: PciAddress, offset: u16) -> u32 {
    let Some(word) = port_address(address, offset) else {
        return ABSENT;
    };
    let _pair = PORTS.lock();
    ports().write_u32(0, word);
    ports().read_u32(4)
}

impl Config {
    /// Reads the register at `offset` (rounded down to 4 bytes); all ones where there is nothing.
    pub(super) fn read32(self, address: PciAddress, offset: u16) -> u32 {
        if is_by_ports() {
            return read_by_ports(address, offset);
        }
        bus_registers(address).map_or(ABSENT, |bus| bus.read32(window_offset(address, offset)))
    }

    /// Writes the register at `offset` (rounded down to 4 bytes).
    pub(super) fn write32(self, address: PciAddress, offset: u16, value: u32) {
        if is_by_ports() {
            if let Some(word) = port_address(address, offset) {
                let _pair = PORTS.lock();
                ports().write_u32(0, word);
                ports().write_u32(4, value);
            }
        } else if let Some(bus) = bus_registers(address) {
            bus.write32(window_offset(address, offset), value);
        }
    }

    /// Writes the two bytes at `offset` (rounded down to 2), and none beside them: for registers whose ones clear.
    pub(super) fn write16(self, address: PciAddress, offset: u16, value: u16) {
        if is_by_ports() {
            if let Some(word) = port_address(address, offset) {
                let _pair = PORTS.lock();
                ports().write_u32(0, word);
                ports().write_u16(4 + (offset & 2), value);
            }
        } else if let Some(bus) = bus_registers(address) {
            bus.write16(
                window_offset(address, offset) | usize::from(offset & 2),
                value,
            );
        }
    }
}

impl ConfigRegionAccess for Config {
    unsafe fn read(&self, address: PciAddress, offset: u16) -> u32 {
        self.read32(address, offset)
    }

    unsafe fn write(&self, address: PciAddress, offset: u16, value: u32) {
        self.write32(address, offset, value);
    }
}

/// Configuration space in which every function looks like an endpoint: bridges have their capabilities in the same places, and
/// `pci_types` shows only those of endpoints.
#[derive(Clone, Copy, Debug)]
pub(super) struct AsEndpoint;

/// Where the kind of header is, and its bits (PCI local bus specification 3.0 §6.2.1).
const HEADER_TYPE: u16 = 0x0c;
const HEADER_TYPE_BITS: u32 = 0x7f << 16;

impl ConfigRegionAccess for AsEndpoint {
    unsafe fn read(&self, address: PciAddress, offset: u16) -> u32 {
        let hidden = if offset == HEADER_TYPE {
            HEADER_TYPE_BITS
        } else {
            0
        };
        Config.read32(address, offset) & !hidden
    }

    unsafe fn write(&self, address: PciAddress, offset: u16, value: u32) {
        Config.write32(address, offset, value);
    }
}
