//! The event timer (HPET): IA-PC HPET specification 1.0a §3.2.4.
//!
//! Layout after the header: u32 block identifier (bits 12:8 last comparator, 13 64-bit counter, 15 can replace legacy interrupts),
//! a generic address, u8 number, u16 least tick in periodic mode, u8 protection.

use super::problem::{Problem, ProblemKind, Problems};
use super::reader::Table;
use super::register::{self, Register};

/// What the HPET table says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hpet {
    /// Physical address of its registers.
    pub address: u64,
    /// Its number.
    pub number: u8,
    /// How many comparators it has.
    pub comparators: u8,
    /// Whether its counter has 64 bits.
    pub counter_64_bit: bool,
    /// Whether it can take the place of the legacy timer and clock interrupts.
    pub legacy_replacement: bool,
    /// The least period in counter ticks that loses no interrupt.
    pub least_period_ticks: u16,
}

const BYTES: u32 = 56;

impl Hpet {
    pub(super) fn read(table: &Table<'_>, problems: &mut Problems) -> Option<Self> {
        let fields = (table.u32(36), table.u8(52), table.u16(53));
        let ((Some(id), Some(number), Some(least_period_ticks)), true) =
            (fields, table.len() >= BYTES)
        else {
            problems.push(Problems::bad_length(
                table.signature(),
                table.address(),
                table.len(),
                BYTES,
            ));
            return None;
        };
        match register::read(table, 40).register() {
            Some(Register::Memory { address, .. }) if address.is_multiple_of(8) => Some(Self {
                address,
                number,
                comparators: ((id >> 8) & 31) as u8 + 1,
                counter_64_bit: id & (1 << 13) != 0,
                legacy_replacement: id & (1 << 15) != 0,
                least_period_ticks,
            }),
            _ => {
                let value = table.u64(44).unwrap_or(0);
                let kind = ProblemKind::BadValue {
                    field: "the address of the HPET",
                    value,
                };
                problems.push(Problem {
                    table: table.signature(),
                    address: table.address(),
                    offset: 40,
                    kind,
                });
                None
            }
        }
    }
}
