//! The walk over all buses, from the roots through every bridge.

use kerncore::fixed_list::FixedList;
use pci_types::capability::PciCapability;
use pci_types::{EndpointHeader, HeaderType, PciAddress, PciHeader, PciPciBridgeHeader};

use super::bar;
use super::config::{self, Config};
use super::{DeviceInfo, Header, MAX_BARS, MAX_CAPABILITIES};

const DEVICES_PER_BUS: u8 = 32;
const FUNCTIONS_PER_DEVICE: u8 = 8;
/// The vendor id an empty slot reads as.
const NO_VENDOR: u16 = 0xffff;
/// Class code of a bridge, and its subclass of a host bridge, whose windows are better left alone while sizing.
const CLASS_BRIDGE: u8 = 0x06;
const SUBCLASS_HOST: u8 = 0x00;
const HEADER_ENDPOINT_BARS: usize = MAX_BARS;
const HEADER_BRIDGE_BARS: usize = 2;

/// Calls `found` for every function of every bus that can be reached.
pub(super) fn walk(mut found: impl FnMut(DeviceInfo)) {
    for (segment, root) in config::roots() {
        walk_segment(segment, root, &mut found);
    }
}

/// Each bus once, however bridges are wired: a damaged tree must not be walked for ever.
fn walk_segment(segment: u16, root: u8, found: &mut impl FnMut(DeviceInfo)) {
    let mut seen = [false; 256];
    let mut waiting: FixedList<u8, 256> = FixedList::new(0);
    let mut visit_later = |bus: u8, waiting: &mut FixedList<u8, 256>| {
        if let Some(seen) = seen.get_mut(usize::from(bus))
            && !core::mem::replace(seen, true)
        {
            // There are no more than 256 buses, each entered once.
            let _ = waiting.push(bus);
        }
    };
    visit_later(root, &mut waiting);
    let mut next = 0;
    while let Some(&bus) = waiting.get(next) {
        next += 1;
        walk_bus(segment, bus, |info| {
            match info.header {
                Header::Bridge { secondary_bus: 0 } => {
                    let address = info.address;
                    log::warn!(target: "pci", "the firmware numbered no bus behind the bridge at {address}: not looked at");
                }
                Header::Bridge { secondary_bus } => visit_later(secondary_bus, &mut waiting),
                Header::Endpoint | Header::Other => {}
            }
            found(info);
        });
    }
}

/// Calls `found` for every function of a bus.
pub(super) fn walk_bus(segment: u16, bus: u8, mut found: impl FnMut(DeviceInfo)) {
    for device in 0..DEVICES_PER_BUS {
        let first = PciHeader::new(PciAddress::new(segment, bus, device, 0));
        if first.id(Config).0 == NO_VENDOR {
            continue;
        }
        let functions = if first.has_multiple_functions(Config) {
            FUNCTIONS_PER_DEVICE
        } else {
            1
        };
        for function in 0..functions {
            if let Some(info) = examine(PciAddress::new(segment, bus, device, function)) {
                found(info);
            }
        }
    }
}

fn examine(address: PciAddress) -> Option<DeviceInfo> {
    let header = PciHeader::new(address);
    let (vendor, device) = header.id(Config);
    if vendor == NO_VENDOR {
        return None;
    }
    let (revision, class, subclass, interface) = header.revision_and_class(Config);
    let mut info = DeviceInfo {
        address,
        vendor,
        device,
        revision,
        class,
        subclass,
        interface,
        ..DeviceInfo::EMPTY
    };
    let (kind, bars) = match header.header_type(Config) {
        HeaderType::Endpoint => (Header::Endpoint, HEADER_ENDPOINT_BARS),
        HeaderType::PciPciBridge => (
            Header::Bridge {
                secondary_bus: secondary_bus(address),
            },
            HEADER_BRIDGE_BARS,
        ),
        _ => (Header::Other, 0),
    };
    info.header = kind;
    if !(class == CLASS_BRIDGE && subclass == SUBCLASS_HOST) && bars > 0 {
        info.bars = bar::read_all(Config, address, bars);
    }
    if let Some(endpoint) = EndpointHeader::from_header(PciHeader::new(address), Config) {
        let (subsystem, subsystem_vendor) = endpoint.subsystem(Config);
        info.subsystem = Some((subsystem_vendor, subsystem));
        info.interrupt_pin = endpoint.interrupt(Config).0;
        for capability in endpoint.capabilities(Config).take(MAX_CAPABILITIES) {
            match capability {
                PciCapability::Msi(_) => info.msi = true,
                PciCapability::MsiX(msix) => info.msix_entries = msix.table_size(),
                PciCapability::PciExpress(_) => info.express = true,
                _ => {}
            }
        }
    }
    Some(info)
}

fn secondary_bus(address: PciAddress) -> u8 {
    PciPciBridgeHeader::from_header(PciHeader::new(address), Config)
        .map_or(0, |bridge| bridge.secondary_bus_number(Config))
}
