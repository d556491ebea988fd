//! Channel 2 of the 8254 interval timer as a reference clock, and channel 0 silenced.

use crate::io::PortRange;

/// The 8254's input clock: a third of the NTSC colour subcarrier, 14.318 18 MHz / 12.
pub const HZ: u64 = 1_193_182;

const CHANNEL2: u16 = 2;
const COMMAND: u16 = 3;
/// Channel 0, low then high byte, mode 0 (8254 data sheet, control word format).
const COMMAND_CHANNEL0_MODE0: u8 = 0x30;
/// Channel 2, low then high byte, mode 0.
const COMMAND_CHANNEL2_MODE0: u8 = 0xb0;
/// Latch channel 2's count.
const COMMAND_CHANNEL2_LATCH: u8 = 0x80;
/// Port 0x61: bit 0 gates channel 2, bit 1 connects it to the speaker.
const GATE: u8 = 1 << 0;
const SPEAKER: u8 = 1 << 1;

/// Channel 2 counting down from 65 535, about 55 ms, without interrupts and without sound.
pub(super) struct Pit {
    timer: PortRange,
    control: PortRange,
}

impl Pit {
    /// Starts channel 2. Only one value of this type may exist at a time.
    pub(super) fn start() -> Self {
        // SAFETY: nothing else in the kernel drives the 8254 or port 0x61, and calibration, the only
        // caller, runs once, on the boot core.
        let (timer, control) = unsafe { (PortRange::new(0x40, 4), PortRange::new(0x61, 1)) };
        let gate = control.read_u8(0) & !(GATE | SPEAKER) & 0x0f;
        control.write_u8(0, gate);
        timer.write_u8(COMMAND, COMMAND_CHANNEL2_MODE0);
        timer.write_u8(CHANNEL2, 0xff);
        timer.write_u8(CHANNEL2, 0xff);
        control.write_u8(0, gate | GATE);
        Self { timer, control }
    }

    /// Counts since the start, 16 bits.
    pub(super) fn read(&self) -> u64 {
        self.timer.write_u8(COMMAND, COMMAND_CHANNEL2_LATCH);
        let low = self.timer.read_u8(CHANNEL2);
        let high = self.timer.read_u8(CHANNEL2);
        u64::from(!u16::from_le_bytes([low, high]))
    }
}

impl Drop for Pit {
    fn drop(&mut self) {
        let gate = self.control.read_u8(0) & 0x0f;
        self.control.write_u8(0, gate & !(GATE | SPEAKER));
    }
}

/// Stops channel 0, which firmware leaves ticking 18 times a second: mode 0 without a count never fires.
pub(super) fn silence_channel0() {
    // SAFETY: as in `Pit::start`.
    let timer = unsafe { PortRange::new(0x40, 4) };
    timer.write_u8(COMMAND, COMMAND_CHANNEL0_MODE0);
}
