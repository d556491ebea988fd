//! The ACPI power-management timer as a reference clock (ACPI 6.5 §4.8.3.3).

use crate::io::PortRange;

/// Its rate: the NTSC colour subcarrier, 14.318 18 MHz / 4.
pub const HZ: u64 = 3_579_545;
/// All timers have this many bits; some have eight more, which no window here needs.
pub const MASK: u64 = 0x00ff_ffff;

/// The timer's counter.
pub(super) struct PmTimer {
    port: PortRange,
}

impl PmTimer {
    /// The timer at the port that the FADT names.
    pub(super) fn new(port: u16) -> Self {
        // SAFETY: reading the power-management timer has no side effects, and it is only read.
        let port = unsafe { PortRange::new(port, 4) };
        Self { port }
    }

    /// Its count, 24 bits.
    pub(super) fn read(&self) -> u64 {
        u64::from(self.port.read_u32(0)) & MASK
    }
}
