//! Fixed hardware (FADT): ACPI 6.5 §5.2.9, table 5.9 for the offsets.
//!
//! The table grew over the years; a field past its end is absent. Where there is an old 32-bit address and a new
//! generic one (`X_`), the new one is used if it makes sense, else the old one.

use super::problem::{Problem, ProblemKind, Problems};
use super::reader::Table;
use super::register::{self, Generic, Register};

/// Whether a legacy device is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// The table says yes.
    Yes,
    /// The table says no: do not touch its ports.
    No,
    /// The table is too old to say: probe with a time-out.
    Unknown,
}

/// What the FADT says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fadt {
    /// Physical address of the DSDT; 0 if there is none.
    pub dsdt: u64,
    /// ISA or global interrupt of power events.
    pub sci_interrupt: u16,
    /// Port to hand power management over from the firmware, and the value to write there. `None` if there is nothing to hand over.
    pub enable: Option<(u16, u8)>,
    /// First power event block.
    pub pm1a_event: Option<Register>,
    /// Bytes of each power event block: status, then enable, half each.
    pub pm1_event_bytes: u8,
    /// First power control register (16 bits).
    pub pm1a_control: Option<Register>,
    /// Second power control register (16 bits), where there is one.
    pub pm1b_control: Option<Register>,
    /// Sleep control register (8 bits) of hardware-reduced machines.
    pub sleep_control: Option<Register>,
    /// The power management timer, 3.579545 MHz.
    pub pm_timer: Option<Register>,
    /// Whether that timer has 32 bits; else 24.
    pub pm_timer_32_bit: bool,
    /// Where to write what to reset the machine.
    pub reset: Option<(Register, u8)>,
    /// Index of the century in CMOS memory; 0 if there is none.
    pub century_index: u8,
    /// Whether there is an 8042 keyboard controller.
    pub i8042: Presence,
    /// Whether there is VGA.
    pub vga: Presence,
    /// Whether there is a CMOS clock.
    pub cmos_rtc: Presence,
    /// Whether message-signalled interrupts must not be used.
    pub msi_forbidden: bool,
    /// Whether the power button is a fixed event (else it is a device in AML).
    pub fixed_power_button: bool,
    /// Whether there is no fixed hardware (power control registers, timer) at all.
    pub hardware_reduced: bool,
}

/// Frequency of the power management timer in Hz (ACPI 6.5 §4.8.3.3).
pub const PM_TIMER_HZ: u32 = 3_579_545;

// Bits of the flags (§5.2.9, table 5.10).
const PWR_BUTTON: u32 = 1 << 4;
const TMR_VAL_EXT: u32 = 1 << 8;
const RESET_REG_SUP: u32 = 1 << 10;
const HW_REDUCED: u32 = 1 << 20;
// Bits of the boot architecture flags (table 5.11), which exist from revision 2 on.
const HAS_8042: u16 = 1 << 1;
const NO_VGA: u16 = 1 << 2;
const NO_MSI: u16 = 1 << 3;
const NO_CMOS_RTC: u16 = 1 << 5;
// The table as ACPI 1.0 had it.
const FIRST_BYTES: u32 = 116;

impl Fadt {
    pub(super) fn read(table: &Table<'_>, problems: &mut Problems) -> Option<Self> {
        if table.len() < FIRST_BYTES {
            problems.push(Problems::bad_length(
                table.signature(),
                table.address(),
                table.len(),
                FIRST_BYTES,
            ));
            return None;
        }
        let flags = table.u32(112).unwrap_or(0);
        let boot = table.u16(109).filter(|_| table.revision() >= 2);
        let says = |yes: bool| if yes { Presence::Yes } else { Presence::No };
        let mut addresses = Addresses { table, problems };
        Some(Self {
            dsdt: addresses.dsdt(),
            sci_interrupt: table.u16(46).unwrap_or(0),
            enable: addresses.enable(),
            pm1a_event: addresses.block("PM1a event block", 56, 148, 16),
            pm1_event_bytes: table.u8(88).unwrap_or(0),
            pm1a_control: addresses.block("PM1a control block", 64, 172, 16),
            pm1b_control: addresses.block("PM1b control block", 68, 184, 16),
            sleep_control: addresses.generic("sleep control register", 244),
            pm_timer: addresses.block("PM timer block", 76, 208, 32),
            pm_timer_32_bit: flags & TMR_VAL_EXT != 0,
            reset: if flags & RESET_REG_SUP != 0 {
                addresses.generic("reset register", 116).zip(table.u8(128))
            } else {
                None
            },
            century_index: table.u8(108).unwrap_or(0),
            i8042: boot.map_or(Presence::Unknown, |boot| says(boot & HAS_8042 != 0)),
            vga: boot.map_or(Presence::Unknown, |boot| says(boot & NO_VGA == 0)),
            cmos_rtc: boot.map_or(Presence::Unknown, |boot| says(boot & NO_CMOS_RTC == 0)),
            msi_forbidden: boot.is_some_and(|boot| boot & NO_MSI != 0),
            fixed_power_button: flags & PWR_BUTTON == 0,
            hardware_reduced: flags & HW_REDUCED != 0,
        })
    }
}

struct Addresses<'a, 'r> {
    table: &'a Table<'r>,
    problems: &'a mut Problems,
}

impl Addresses<'_, '_> {
    fn problem(&mut self, offset: u32, kind: ProblemKind) {
        let (table, address) = (self.table.signature(), self.table.address());
        self.problems.push(Problem {
            table,
            address,
            offset,
            kind,
        });
    }

    fn dsdt(&mut self) -> u64 {
        let old = self.table.u32(40).map_or(0, u64::from);
        let new = self.table.u64(140).unwrap_or(0);
        if old != 0 && new != 0 && old != new {
            self.problem(
                140,
                ProblemKind::Disagree {
                    field: "DSDT address",
                },
            );
        }
        if new != 0 { new } else { old }
    }

    fn enable(&mut self) -> Option<(u16, u8)> {
        let port = self.table.u32(48).filter(|&port| port != 0)?;
        let value = self.table.u8(52).filter(|&value| value != 0)?;
        match u16::try_from(port) {
            Ok(port) => Some((port, value)),
            Err(_) => {
                self.problem(
                    48,
                    ProblemKind::BadValue {
                        field: "SMI command port",
                        value: u64::from(port),
                    },
                );
                None
            }
        }
    }

    fn generic(&mut self, field: &'static str, offset: u32) -> Option<Register> {
        let generic = register::read(self.table, offset);
        if let Generic::Bad(value) = generic {
            self.problem(offset, ProblemKind::BadValue { field, value });
        }
        generic.register()
    }

    // A block with an old port number and a new generic address.
    fn block(
        &mut self,
        field: &'static str,
        old_at: u32,
        new_at: u32,
        bits: u8,
    ) -> Option<Register> {
        let old = match self.table.u32(old_at).unwrap_or(0) {
            0 => None,
            port => match u16::try_from(port) {
                Ok(port) => Some(port),
                Err(_) => {
                    self.problem(
                        old_at,
                        ProblemKind::BadValue {
                            field,
                            value: u64::from(port),
                        },
                    );
                    None
                }
            },
        };
        let new = self.generic(field, new_at);
        match (new, old) {
            (Some(new), Some(old)) => {
                if !matches!(new, Register::Io { port, .. } if port == old) {
                    self.problem(new_at, ProblemKind::Disagree { field });
                }
                Some(new)
            }
            (Some(new), None) => Some(new),
            (None, old) => old.map(|port| Register::Io { port, bits }),
        }
    }
}
