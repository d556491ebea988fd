//! Virtio devices behind PCI, for drivers in ring 3 (Virtual I/O Device version 1.2; "§" below is a section of it).
//!
//! A driver opens its PCI function, makes a [`hardware::Function`] of it, and starts a [`Device`]: [`layout`] finds its registers,
//! [`transport`] resets it and agrees on features. Then it makes its [`Queue`]s, each with a message interrupt of its own, and lets the
//! device [go](Device::go). [`queue`] is the split virtqueue; [`Queue::next`] waits for the device without looking
//! at it in between. [`input`] drives keyboards, mice and tablets, [`gpu`] graphics, [`net`] network cards.
//!
//! What must hold:
//! * **A device is not believed.** Whatever it writes into a queue or shows in its registers, no index leaves its table, no length its
//!   buffer, no wait its limit; what is impossible makes the queue [broken](Broken), and the driver resets or drops the device. (Where
//!   it writes by itself is beyond that: without an IOMMU a device with DMA is trusted.)
//! * **Memory that a device may write to outlives the device's right to**: the kernel frees it only after the reset.
//! * Bookkeeping that decides anything lies in private memory, never in the device's.
//!
//! Devices from before version 1.0 ("legacy"), and functions without MSI-X, are refused with an error that says so.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod error;
pub mod gpu;
pub mod input;
pub mod layout;
pub mod net;
pub mod queue;
pub mod transport;

pub use ::pci as hardware;
pub use error::{Broken, Fault};
pub use queue::{Buffer, Queue, Used};
pub use transport::Device;

/// The vendor of all virtio devices behind PCI (§4.1.2).
pub const VENDOR: u16 = 0x1af4;

/// Kinds of devices (§5).
pub mod kind {
    /// Network card.
    pub const NETWORK: u16 = 1;
    /// Block device.
    pub const BLOCK: u16 = 2;
    /// Graphics.
    pub const GPU: u16 = 16;
    /// Keyboard, mouse, tablet.
    pub const INPUT: u16 = 18;
}

/// The kind of the function with these numbers, if it is a virtio device. Those that can also be driven by the rules before 1.0 have
/// numbers of their own for some kinds (§4.1.2.1).
#[must_use]
pub const fn kind_of(vendor: u16, device: u16) -> Option<u16> {
    if vendor != VENDOR {
        return None;
    }
    match device {
        0x1000 => Some(kind::NETWORK),
        0x1001 => Some(kind::BLOCK),
        0x1040..0x1080 => Some(device - 0x1040),
        _ => None,
    }
}

/// Features that no kind of device owns (§6).
pub mod feature {
    /// Either side says from which index on it wants to be told (§2.7.10).
    pub const EVENT_INDEX: u64 = 1 << 29;
    /// Made by version 1.0 or later; asked of every device.
    pub const VERSION_1: u64 = 1 << 32;
    /// The addresses it is given are those that the platform says. Ours are.
    pub const ACCESS_PLATFORM: u64 = 1 << 33;
}
