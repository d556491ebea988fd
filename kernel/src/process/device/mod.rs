//! What drivers hold: devices, their registers and interrupts, memory they may reach.
//!
//! - [`pci`]: a PCI function that one process drives, its windows, the right to let it reach memory, and that memory.
//! - [`interrupt`]: a line or message that shows a signal and is re-armed by its driver. [`io_range`]: ports.
//! - [`release`]: what becomes of a device when its driver is gone. [`slot`]: what is plugged in and taken out while the system runs.
//!
//! All of it holds on to the device: it is free for the next driver once its handle, its windows, its interrupts and its
//! memory are gone, and it was reset. The order is fixed: the device stops reaching memory, is reset, and only then are
//! the frames free that it could have written to.
//!
//! Configuration space and MSI-X tables stay the kernel's: but a window that a table lies in is mapped as a whole, and without an IOMMU a
//! driver that may use DMA can make its device write anywhere. Drivers are trusted that far.

mod interrupt;
mod io_range;
mod pci;
mod release;
mod slot;

pub use interrupt::InterruptObject;
pub use io_range::IoRange;
pub use pci::{DeviceObject, DmaObject};

use objects::refs::Ref;

/// Starts the tasks that devices need.
pub fn start() {
    release::start();
    slot::start();
}

/// What a vmo of a device's keeps alive.
#[allow(dead_code)] // held, never read
pub enum Owner {
    /// The device, whose registers it shows.
    Device(Ref<DeviceObject>),
    /// The frames.
    Memory(Ref<pci::DmaMemory>),
}
