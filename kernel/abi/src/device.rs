//! Devices: what a driver learns of its own.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Base address registers of a function.
pub const MAX_PARTS: usize = 6;

/// The number by which [`device_open`](crate::Call::DeviceOpen) knows a PCI function.
#[must_use]
pub const fn pci_address(segment: u16, bus: u8, device: u8, function: u8) -> u64 {
    (segment as u64) << 16 | (bus as u64) << 8 | (device as u64 & 31) << 3 | function as u64 & 7
}

/// What a [part](DevicePart) is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum PartKind {
    /// Not there.
    None = 0,
    /// Memory: [`device_part`](crate::Call::DevicePart) gives a vmo.
    Memory = 1,
    /// Ports: it gives an io-range.
    Ports = 2,
}

/// Registers or memory of a device.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct DevicePart {
    /// Length in bytes or ports.
    pub bytes: u64,
    /// A [`PartKind`].
    pub kind: u32,
    /// 0.
    pub reserved: u32,
}

/// What [`device_info`](crate::Call::DeviceInfo) tells.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct DeviceInfo {
    /// As [`pci_address`].
    pub address: u64,
    /// Vendor.
    pub vendor: u16,
    /// Device, of that vendor.
    pub device: u16,
    /// Class (PCI code and id assignment specification).
    pub class: u8,
    /// Subclass.
    pub subclass: u8,
    /// Programming interface.
    pub interface: u8,
    /// Revision.
    pub revision: u8,
    /// Messages it can send; 0: no interrupts for its driver.
    pub messages: u32,
    /// 0.
    pub reserved: u32,
    /// By base address register; the second one of a 64-bit pair is not there.
    pub parts: [DevicePart; MAX_PARTS],
}
