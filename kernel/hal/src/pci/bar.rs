//! Base address registers: where a function's registers lie and how much room they take
//! (PCI local bus specification 3.0 §6.2.5.1).

use pci_types::PciAddress;

use super::config::Config;

/// Base address registers of a type 0 header.
pub const MAX_BARS: usize = 6;

/// One base address register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bar {
    /// Registers or memory in the physical address space.
    Memory {
        /// Physical address, 0 if the firmware assigned none.
        address: u64,
        /// Length in bytes, a power of two.
        len: u64,
        /// Reads have no side effects.
        prefetchable: bool,
        /// It may lie above 4 GiB.
        is_64_bit: bool,
    },
    /// I/O ports.
    Ports {
        /// First port, 0 if the firmware assigned none.
        first: u16,
        /// How many.
        len: u32,
    },
}

impl Bar {
    /// Whether the firmware gave it an address.
    pub fn is_assigned(&self) -> bool {
        match *self {
            Self::Memory { address, .. } => address != 0,
            Self::Ports { first, .. } => first != 0,
        }
    }
}

const COMMAND: u16 = 0x04;
const FIRST: u16 = 0x10;
/// Command register: answer at ports, answer at memory addresses.
const DECODE: u32 = 0b11;
const IS_PORTS: u32 = 1 << 0;
const TYPE: u32 = 0b110;
const TYPE_64: u32 = 0b100;
const PREFETCHABLE: u32 = 1 << 3;

/// Reads and sizes the first `count` registers. The function does not answer at them meanwhile.
pub(super) fn read_all(
    config: Config,
    address: PciAddress,
    count: usize,
) -> [Option<Bar>; MAX_BARS] {
    let command = config.read32(address, COMMAND);
    // The upper half is the status register, whose bits are cleared by writing ones: write zeros.
    let command = command & 0xffff;
    config.write32(address, COMMAND, command & !DECODE);
    let mut bars = [None; MAX_BARS];
    let mut index = 0;
    while index < count.min(MAX_BARS) {
        let (bar, width) = read_one(config, address, index, count);
        if let Some(place) = bars.get_mut(index) {
            *place = bar;
        }
        index += width;
    }
    config.write32(address, COMMAND, command);
    bars
}

/// Gives memory register `index` an address. The function must not answer at it meanwhile.
pub(super) fn write(
    config: Config,
    address: PciAddress,
    index: usize,
    value: u64,
    is_64_bit: bool,
) {
    let offset = FIRST + index as u16 * 4;
    config.write32(address, offset, value as u32);
    if is_64_bit {
        config.write32(address, offset + 4, (value >> 32) as u32);
    }
}

/// Reads and sizes register `index`; also says how many registers it takes.
fn read_one(
    config: Config,
    address: PciAddress,
    index: usize,
    count: usize,
) -> (Option<Bar>, usize) {
    let offset = FIRST + index as u16 * 4;
    let low = config.read32(address, offset);
    let low_mask = size_mask(config, address, offset, low);
    if low & IS_PORTS != 0 {
        // Parts may wire the upper half of a port register to zero.
        let bits = low_mask & !0b11;
        let len = if bits == 0 {
            0
        } else {
            1u32 << bits.trailing_zeros()
        };
        let bar = Bar::Ports {
            first: (low & !0b11) as u16,
            len,
        };
        return ((len != 0).then_some(bar), 1);
    }
    let prefetchable = low & PREFETCHABLE != 0;
    let wide = low & TYPE == TYPE_64 && index + 1 < count;
    let (high, high_mask) = if wide {
        let high = config.read32(address, offset + 4);
        (high, size_mask(config, address, offset + 4, high))
    } else {
        (0, u32::MAX)
    };
    let bits = u64::from(high_mask) << 32 | u64::from(low_mask & !0xf);
    let implemented = if wide {
        bits != 0
    } else {
        low_mask & !0xf != 0
    };
    let bar = Bar::Memory {
        address: u64::from(high) << 32 | u64::from(low & !0xf),
        len: if implemented {
            1 << bits.trailing_zeros()
        } else {
            0
        },
        prefetchable,
        is_64_bit: wide,
    };
    (implemented.then_some(bar), if wide { 2 } else { 1 })
}

/// Which bits of the register at `offset` can be set; `value` is put back.
fn size_mask(config: Config, address: PciAddress, offset: u16, value: u32) -> u32 {
    config.write32(address, offset, u32::MAX);
    let mask = config.read32(address, offset);
    config.write32(address, offset, value);
    mask
}
