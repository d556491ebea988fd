//! Stopping a function whose driver is gone, and resetting it (PCI Express base specification 6.0 §6.6.2: function-level reset).

use pci_types::capability::PciCapability;

use super::config::Config;
use super::{COMMAND_BUS_MASTER, COMMAND_MEMORY, COMMAND_NO_INTX, COMMAND_PORTS, Device};

/// How long a function takes to come back, in milliseconds.
pub const RESET_MS: u64 = 100;

/// Of the PCI Express capability: device capabilities, device control with status.
const DEVICE_CAPABILITIES: u16 = 4;
const DEVICE_CONTROL: u16 = 8;
const CAN_RESET: u32 = 1 << 28;
const INITIATE_RESET: u32 = 1 << 15;

/// What the firmware wrote into the header (PCI local bus specification 3.0 §6.1): cache line and latency, base address registers,
/// expansion ROM, interrupt line.
const SAVED: [u16; 9] = [0x0c, 0x10, 0x14, 0x18, 0x1c, 0x20, 0x24, 0x30, 0x3c];

/// A function that is being reset. After [`RESET_MS`] it must be finished.
#[derive(Debug)]
#[must_use]
pub struct Resetting {
    header: [u32; SAVED.len()],
}

impl Device {
    /// Makes it stop: it neither reaches memory by itself nor sends interrupts nor answers at its windows.
    pub fn quiesce(&self) {
        let answers = COMMAND_PORTS | COMMAND_MEMORY | COMMAND_BUS_MASTER;
        self.change_command(answers, COMMAND_NO_INTX);
        self.disable_messages();
    }

    /// Turns its message interrupts off.
    pub fn disable_messages(&self) {
        for capability in self.capabilities() {
            match capability {
                PciCapability::Msi(msi) => msi.set_enabled(false, Config),
                PciCapability::MsiX(mut msix) => msix.set_enabled(false, Config),
                _ => {}
            }
        }
    }

    /// Begins to reset a function that was made to [stop](Self::quiesce); `None` if it cannot be reset by itself, as most that are
    /// not PCI Express.
    pub fn begin_reset(&self) -> Option<Resetting> {
        let address = self.info().address;
        let express = self
            .capabilities()
            .find_map(|capability| match capability {
                PciCapability::PciExpress(at) => Some(at.offset),
                _ => None,
            })?;
        let capabilities = Config.read32(address, express + DEVICE_CAPABILITIES);
        if capabilities & CAN_RESET == 0 {
            return None;
        }
        let header = SAVED.map(|offset| Config.read32(address, offset));
        // The upper half is the status, whose bits are cleared by ones.
        let control = Config.read32(address, express + DEVICE_CONTROL) & 0xffff;
        Config.write32(address, express + DEVICE_CONTROL, control | INITIATE_RESET);
        Some(Resetting { header })
    }

    /// Gives it back what the firmware had told it.
    pub fn finish_reset(&self, resetting: Resetting) {
        for (offset, value) in SAVED.into_iter().zip(resetting.header) {
            Config.write32(self.info().address, offset, value);
        }
    }
}
