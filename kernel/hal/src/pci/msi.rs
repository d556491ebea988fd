//! Message-signalled interrupts: MSI (PCI local bus specification 3.0 §6.8.1) and MSI-X (§6.8.2).
//!
//! A device raises its interrupt by writing a word to a core's local APIC, so it must be allowed to write at all
//! (bus mastering). Everything is masked until it has been given its message.

use pci_types::capability::{MsiCapability, MsixCapability, MultipleMessageSupport};

use super::bar::Bar;
use super::config::Config;
use super::{Device, PciError};
use crate::irq::Interrupt;
use crate::mem::{Cache, Mmio, map_mmio};

// One entry of an MSI-X table (§6.8.2.6 to §6.8.2.9).
const ENTRY_BYTES: usize = 16;
const ADDRESS_LOW: usize = 0;
const ADDRESS_HIGH: usize = 4;
const DATA: usize = 8;
const CONTROL: usize = 12;
const MASKED: u32 = 1 << 0;

/// Makes the function send its one MSI as `interrupt`.
pub(super) fn enable_msi(device: &Device, capability: MsiCapability, interrupt: &Interrupt) {
    let message = interrupt.message();
    capability.set_enabled(false, Config);
    capability.set_multiple_message_enable(MultipleMessageSupport::Int1, Config);
    // The message address of a local APIC fits 32 bits, so parts without 64-bit addresses do.
    capability.set_message_info(message.address, message.data, Config);
    if capability.has_per_vector_masking() {
        capability.set_message_mask(0, Config);
    }
    device.silence_intx();
    capability.set_enabled(true, Config);
}

/// A function's MSI-X table, enabled, all entries masked until [`MsixTable::route`].
#[derive(Debug)]
pub struct MsixTable {
    registers: Mmio,
    entries: u16,
}

impl MsixTable {
    pub(super) fn enable(
        device: &Device,
        mut capability: MsixCapability,
    ) -> Result<Self, PciError> {
        let entries = capability.table_size();
        let bytes = usize::from(entries) * ENTRY_BYTES;
        let index = capability.table_bar();
        let offset = u64::from(capability.table_offset());
        let bar = device
            .info()
            .bars
            .get(usize::from(index))
            .copied()
            .flatten();
        let Some(Bar::Memory { address, len, .. }) = bar.filter(|bar| bar.is_assigned()) else {
            return Err(PciError::NoBar { index });
        };
        if offset + bytes as u64 > len {
            return Err(PciError::BadMsixTable { offset, entries });
        }
        let registers =
            map_mmio(address + offset, bytes, Cache::Uncached).map_err(PciError::Map)?;
        device.set_memory_decode(true);
        // §6.8.2.3: with the function mask set, entries can be changed while MSI-X is being enabled.
        capability.set_function_mask(true, Config);
        capability.set_enabled(true, Config);
        let table = Self { registers, entries };
        for entry in 0..entries {
            table.mask(entry);
        }
        device.silence_intx();
        capability.set_function_mask(false, Config);
        Ok(table)
    }

    /// How many entries the table has.
    pub fn entries(&self) -> u16 {
        self.entries
    }

    fn register(entry: u16, offset: usize) -> usize {
        usize::from(entry) * ENTRY_BYTES + offset
    }

    /// Makes entry `entry` send `interrupt`, unmasked. An entry beyond the table is ignored.
    pub fn route(&self, entry: u16, interrupt: &Interrupt) {
        let message = interrupt.message();
        self.mask(entry);
        self.registers
            .write32(Self::register(entry, ADDRESS_LOW), message.address as u32);
        self.registers.write32(
            Self::register(entry, ADDRESS_HIGH),
            (message.address >> 32) as u32,
        );
        self.registers
            .write32(Self::register(entry, DATA), message.data);
        self.set_masked(entry, false);
    }

    /// Masks entry `entry`: the device remembers one pending interrupt meanwhile.
    pub fn mask(&self, entry: u16) {
        self.set_masked(entry, true);
    }

    fn set_masked(&self, entry: u16, masked: bool) {
        let register = Self::register(entry, CONTROL);
        let control = self.registers.read32(register) & !MASKED;
        self.registers
            .write32(register, control | if masked { MASKED } else { 0 });
        // Reading back makes sure that the write has arrived (posted writes).
        self.registers.read32(register);
    }
}
