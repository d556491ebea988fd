//! Generic addresses (GAS): ACPI 6.5 §5.2.3.2. Layout: u8 space, u8 width in bits, u8 bit offset, u8 access size, u64 address.

use super::reader::Table;

/// A hardware register that a table points at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Register {
    /// In memory space.
    Memory {
        /// Physical address.
        address: u64,
        /// Width in bits; 0 if not given.
        bits: u8,
    },
    /// In I/O space.
    Io {
        /// Port.
        port: u16,
        /// Width in bits; 0 if not given.
        bits: u8,
    },
    /// In the configuration space of a device on PCI segment 0, bus 0.
    PciConfig {
        /// Device number, below 32.
        device: u8,
        /// Function number, below 8.
        function: u8,
        /// Offset in configuration space.
        offset: u16,
    },
}

/// What a generic address holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Generic {
    /// The field lies past the table or is all zero.
    Absent,
    /// A space or address that cannot be.
    Bad(u64),
    Register(Register),
}

impl Generic {
    pub(super) fn register(self) -> Option<Register> {
        match self {
            Self::Register(register) => Some(register),
            Self::Absent | Self::Bad(_) => None,
        }
    }
}

/// Reads the generic address at `offset`.
pub(super) fn read(table: &Table<'_>, offset: u32) -> Generic {
    let (Some([space, bits, _bit_offset, _access]), Some(address)) =
        (table.bytes(offset), table.u64(offset + 4))
    else {
        return Generic::Absent;
    };
    if address == 0 {
        return Generic::Absent;
    }
    let register = match space {
        0 => Some(Register::Memory { address, bits }),
        1 => u16::try_from(address)
            .ok()
            .map(|port| Register::Io { port, bits }),
        2 => {
            let [device, function] = [(address >> 32) as u16, (address >> 16) as u16];
            (address >> 48 == 0 && device < 32 && function < 8).then_some(Register::PciConfig {
                device: device as u8,
                function: function as u8,
                offset: address as u16,
            })
        }
        _ => None,
    };
    register.map_or(Generic::Bad(address), Generic::Register)
}
