//! Who gets which interrupt vector. The numbers are the same on every core.
//!
//! Vectors 0..=31 are the CPU's own (Intel SDM vol. 3A §7.2). The upper four bits are the priority class
//! of the local APIC (§12.8.3.1); top halves never nest here, so a class only orders what is already pending.

/// Where the two 8259 controllers are moved to, though all their inputs are masked: a spurious IRQ 7 or 15
/// can still be raised by a masked 8259 and must not look like a CPU exception.
pub const LEGACY_FIRST: u8 = 0x20;
/// Last vector of the 8259 pair.
pub const LEGACY_LAST: u8 = 0x2f;

const LEGACY_SPURIOUS_7: u8 = LEGACY_FIRST + 7;
const LEGACY_SPURIOUS_15: u8 = LEGACY_FIRST + 15;

/// First vector handed to devices (IOAPIC lines and MSI), separately on each core.
pub const DEVICE_FIRST: u8 = 0x30;
/// Last vector handed to devices.
pub const DEVICE_LAST: u8 = 0xef;
/// Device vectors per core.
pub const DEVICE_COUNT: usize = (DEVICE_LAST - DEVICE_FIRST) as usize + 1;

/// The one-shot timer of each core's local APIC.
pub const TIMER: u8 = 0xf0;
/// "Translations have changed": see [`smp::tlb`](crate::smp::tlb).
pub const CALL: u8 = 0xf1;
/// Ends a halt; carries nothing. Whoever sends it has put a task in the target's inbox first.
pub const WAKE: u8 = 0xf2;
/// "Are your interrupts on?", from the watchdog.
pub const PING: u8 = 0xf3;
/// The local APIC's own errors (§12.5.3).
pub const ERROR: u8 = 0xfe;
/// The local APIC's spurious vector (§12.9); its low four bits are ones, which old parts hard-wire.
pub const SPURIOUS: u8 = 0xff;

/// A name for each of the fixed vectors, for people.
pub const fn name(vector: u8) -> Option<&'static str> {
    match vector {
        2 => Some("nmi"),
        // The two that a masked 8259 pair can still raise.
        LEGACY_SPURIOUS_7 | LEGACY_SPURIOUS_15 => Some("8259 spurious"),
        TIMER => Some("timer"),
        CALL => Some("call"),
        WAKE => Some("wake"),
        PING => Some("ping"),
        ERROR => Some("apic error"),
        SPURIOUS => Some("spurious"),
        _ => None,
    }
}
