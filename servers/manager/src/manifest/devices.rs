//! How manifests name devices, and which unit has which.

use alloc::string::String;

use proto::{PciAddress, PciRow};
use virtio::{kind, kind_of};

/// Kinds of virtio devices by name.
const VIRTIO: [(&str, u16); 4] = [
    ("virtio-net", kind::NETWORK),
    ("virtio-block", kind::BLOCK),
    ("virtio-gpu", kind::GPU),
    ("virtio-input", kind::INPUT),
];

/// What devices an entry is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// The PCI function at this address: `0000:00:03.0`.
    At(PciAddress),
    /// Those with these numbers of vendor and device: `8086:10d3`.
    Numbered(u16, u16),
    /// Virtio devices of this kind: `virtio-net`.
    Virtio(u16),
    /// The controller of keyboard and mouse that every PC has: `i8042`.
    I8042,
}

/// An entry of a manifest's `devices`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceName {
    /// As it is written: the handles are named after it.
    pub text: String,
    /// What it is for.
    pub device: Device,
}

/// A number of exactly so many hexadecimal digits.
fn hex(text: &str, digits: usize) -> Option<u16> {
    let is_number = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    u16::from_str_radix(text, 16).ok().filter(|_| is_number)
}

fn address(text: &str) -> Option<PciAddress> {
    let (place, function) = text.split_once('.')?;
    let mut parts = place.split(':');
    let segment = hex(parts.next()?, 4)?;
    let (bus, device) = (hex(parts.next()?, 2)?, hex(parts.next()?, 2)?);
    let function = hex(function, 1)?;
    (parts.next().is_none() && device < 32 && function < 8).then_some(PciAddress {
        segment,
        bus: bus as u8,
        device: device as u8,
        function: function as u8,
    })
}

impl Device {
    /// What this names.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if let Some((_, kind)) = VIRTIO.iter().find(|(name, _)| *name == text) {
            return Some(Self::Virtio(*kind));
        }
        if text == "i8042" {
            return Some(Self::I8042);
        }
        if let Some(address) = address(text) {
            return Some(Self::At(address));
        }
        let (vendor, device) = text.split_once(':')?;
        Some(Self::Numbered(hex(vendor, 4)?, hex(device, 4)?))
    }

    /// How exactly it is for this function, less being more exact; `None` if it is not.
    #[must_use]
    pub fn matches(self, row: &PciRow) -> Option<u8> {
        match self {
            Self::At(address) => (address == row.address).then_some(0),
            Self::Numbered(vendor, device) => {
                ((vendor, device) == (row.vendor, row.device)).then_some(1)
            }
            Self::Virtio(kind) => (kind_of(row.vendor, row.device) == Some(kind)).then_some(2),
            Self::I8042 => None,
        }
    }
}
