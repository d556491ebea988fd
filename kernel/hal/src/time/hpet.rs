//! The high-precision event timer: a reference clock for calibration, and the comparator behind the NMI
//! watchdog (IA-PC HPET specification 1.0a).

use conquer_once::spin::OnceCell;

use crate::mem::{Cache, Mmio, map_mmio};

// Registers (§2.3.1).
const CAPABILITIES: usize = 0x000;
const CONFIGURATION: usize = 0x010;
const MAIN_COUNTER: usize = 0x0f0;
const fn comparator_configuration(index: usize) -> usize {
    0x100 + 0x20 * index
}
const fn comparator_value(index: usize) -> usize {
    0x108 + 0x20 * index
}

/// General configuration: run (bit 0), take over the PIT's and RTC's lines (bit 1).
const ENABLE: u64 = 1 << 0;
const LEGACY_ROUTING: u64 = 1 << 1;

// Comparator configuration (§2.3.8).
const LEVEL: u64 = 1 << 1;
const INTERRUPTS: u64 = 1 << 2;
const PERIODIC: u64 = 1 << 3;
const CAN_BE_PERIODIC: u64 = 1 << 4;
const SET_ACCUMULATOR: u64 = 1 << 6;
const FORCE_32_BITS: u64 = 1 << 8;
const ROUTE_SHIFT: u32 = 9;
const FSB: u64 = 1 << 14;

/// What fits into the block's 1024 bytes, though the field could name 32.
const MOST_COMPARATORS: usize = 24;

/// Longest period of a conforming counter, in femtoseconds (§2.3.4): 10 MHz.
const LONGEST_PERIOD_FS: u64 = 100_000_000;
const FS_PER_SECOND: u64 = 1_000_000_000_000_000;

/// The machine's HPET.
pub struct Hpet {
    registers: Mmio,
    hz: u64,
    comparators: usize,
}

static HPET: OnceCell<Option<Hpet>> = OnceCell::uninit();

/// Maps and starts the HPET that the firmware describes at `address`, comparators silent.
pub(super) fn init(address: Option<u64>) -> Option<&'static Hpet> {
    HPET.get_or_init(|| start(address?)).as_ref()
}

/// The HPET, if the machine has one.
pub fn hpet() -> Option<&'static Hpet> {
    HPET.get()?.as_ref()
}

fn start(address: u64) -> Option<Hpet> {
    let registers = match map_mmio(address, 0x400, Cache::Uncached) {
        Ok(registers) => registers,
        Err(error) => {
            log::warn!(target: "hpet", "registers at {address:#x}: {error}; going without");
            return None;
        }
    };
    let capabilities = registers.read64(CAPABILITIES);
    let period_fs = capabilities >> 32;
    if period_fs == 0 || period_fs > LONGEST_PERIOD_FS {
        log::warn!(target: "hpet", "impossible period of {period_fs} fs at {address:#x}; going without");
        return None;
    }
    let hpet = Hpet {
        registers,
        hz: FS_PER_SECOND / period_fs,
        comparators: ((capabilities >> 8 & 0x1f) as usize + 1).min(MOST_COMPARATORS),
    };
    let configuration = hpet.registers.read64(CONFIGURATION) & !(ENABLE | LEGACY_ROUTING);
    hpet.registers.write64(CONFIGURATION, configuration);
    for index in 0..hpet.comparators {
        let register = comparator_configuration(index);
        let value = hpet.registers.read64(register);
        hpet.registers
            .write64(register, value & !(INTERRUPTS | PERIODIC | FSB));
    }
    hpet.registers
        .write64(CONFIGURATION, configuration | ENABLE);
    Some(hpet)
}

impl Hpet {
    /// Counts per second.
    pub fn hz(&self) -> u64 {
        self.hz
    }

    /// The low 32 bits of the main counter: one access on every chipset.
    #[inline]
    pub fn read(&self) -> u32 {
        self.registers.read32(MAIN_COUNTER)
    }

    /// Whether a comparator can tick periodically into one of the IOAPIC inputs (as a set of bits, §2.3.8:
    /// Tn_INT_ROUTE_CAP); which comparator, and its inputs.
    pub(crate) fn periodic_comparator(&self) -> Option<(usize, u32)> {
        (0..self.comparators).find_map(|index| {
            let value = self.registers.read64(comparator_configuration(index));
            let inputs = (value >> 32) as u32;
            (value & CAN_BE_PERIODIC != 0 && inputs != 0).then_some((index, inputs))
        })
    }

    /// Makes comparator `index` pulse IOAPIC input `input` every `period_ms` milliseconds.
    pub(crate) fn start_periodic(&self, index: usize, input: u8, period_ms: u32) {
        let counts = self.hz.saturating_mul(u64::from(period_ms)) / 1000;
        // 32-bit mode works with every comparator; at most 429 s at the slowest legal clock.
        let counts = counts.clamp(1, u64::from(u32::MAX));
        let register = comparator_configuration(index);
        let kept = self.registers.read64(register) & !(LEVEL | FSB | 0x1f << ROUTE_SHIFT);
        let routed = kept
            | INTERRUPTS
            | PERIODIC
            | SET_ACCUMULATOR
            | FORCE_32_BITS
            | u64::from(input & 0x1f) << ROUTE_SHIFT;
        self.registers.write64(register, routed);
        // §2.3.9.2.2: with the accumulator bit set the first write is the first match, the second the period.
        let first = self.read().wrapping_add(counts as u32);
        self.registers
            .write64(comparator_value(index), u64::from(first));
        self.registers.write64(comparator_value(index), counts);
    }
}
