//! Memory windows to PCI configuration space (MCFG): PCI Firmware Specification 3.3 §4.1.2.
//!
//! Layout after the header: 8 reserved bytes, then entries of u64 base, u16 segment, u8 first bus, u8 last bus, u32 reserved.

use super::MAX_MCFG_SEGMENTS;
use super::problem::{Problem, ProblemKind, Problems};
use super::reader::{Table, field};
use crate::fixed_list::FixedList;

/// A window to the configuration space of some buses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct McfgSegment {
    /// Physical address where bus 0 of the segment is, or would be.
    pub base: u64,
    /// PCI segment group.
    pub segment: u16,
    /// First bus.
    pub first_bus: u8,
    /// Last bus.
    pub last_bus: u8,
}

impl McfgSegment {
    pub(super) const UNUSED: Self = Self {
        base: 0,
        segment: 0,
        first_bus: 0,
        last_bus: 0,
    };

    /// Physical address of a function's 4 KiB of configuration space; `None` if the bus lies outside or device or
    /// function cannot be (PCI Express Base 6.0 §7.2.2).
    pub fn address_of(&self, bus: u8, device: u8, function: u8) -> Option<u64> {
        if bus < self.first_bus || bus > self.last_bus || device > 31 || function > 7 {
            return None;
        }
        let index = u64::from(bus) << 20 | u64::from(device) << 15 | u64::from(function) << 12;
        self.base.checked_add(index)
    }
}

const ENTRIES_AT: u32 = 44;
const ENTRY_BYTES: u32 = 16;
const BUS_BYTES: u64 = 1 << 20;

pub(super) fn read(
    table: &Table<'_>,
    list: &mut FixedList<McfgSegment, MAX_MCFG_SEGMENTS>,
    problems: &mut Problems,
) {
    if table.len() < ENTRIES_AT + ENTRY_BYTES {
        let least = ENTRIES_AT + ENTRY_BYTES;
        problems.push(Problems::bad_length(
            table.signature(),
            table.address(),
            table.len(),
            least,
        ));
        return;
    }
    let mut offset = ENTRIES_AT;
    while offset + ENTRY_BYTES <= table.len() {
        let Some(bytes) = table.bytes::<{ ENTRY_BYTES as usize }>(offset) else {
            return;
        };
        let segment = McfgSegment {
            base: u64::from_le_bytes(field(&bytes, 0)),
            segment: u16::from_le_bytes(field(&bytes, 8)),
            first_bus: bytes[10],
            last_bus: bytes[11],
        };
        if let Err(kind) = add(segment, list) {
            problems.push(Problem {
                table: table.signature(),
                address: table.address(),
                offset,
                kind,
            });
            if matches!(kind, ProblemKind::TooMany { .. }) {
                return;
            }
        }
        offset += ENTRY_BYTES;
    }
}

fn add(
    new: McfgSegment,
    list: &mut FixedList<McfgSegment, MAX_MCFG_SEGMENTS>,
) -> Result<(), ProblemKind> {
    let end = new
        .base
        .checked_add((u64::from(new.last_bus) + 1) * BUS_BYTES);
    if new.base == 0 || !new.base.is_multiple_of(BUS_BYTES) || end.is_none() {
        return Err(ProblemKind::BadValue {
            field: "the address of a PCI window",
            value: new.base,
        });
    }
    if new.first_bus > new.last_bus {
        return Err(ProblemKind::BadValue {
            field: "the first bus of a PCI window",
            value: u64::from(new.first_bus),
        });
    }
    let overlaps = |known: &McfgSegment| {
        known.segment == new.segment
            && known.first_bus <= new.last_bus
            && new.first_bus <= known.last_bus
    };
    if list.iter().any(overlaps) {
        return Err(ProblemKind::BadValue {
            field: "the first bus of a window to buses listed before",
            value: u64::from(new.first_bus),
        });
    }
    let limit = MAX_MCFG_SEGMENTS as u32;
    list.push(new).map_err(|_| ProblemKind::TooMany {
        what: "PCI windows",
        limit,
    })
}
