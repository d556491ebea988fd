//! The root table, which lists the others: RSDT (ACPI 6.5 §5.2.7) or XSDT (§5.2.8).

use super::Signature;
use super::problem::{Problem, ProblemKind, Problems};
use super::reader::{HEADER_BYTES, Reader};
use super::rsdp::Root;
use crate::fixed_list::FixedList;

/// How many tables are looked at.
pub const MAX_TABLES: usize = 128;

/// A table the root table lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableInfo {
    /// Its name.
    pub signature: Signature,
    /// Its physical address.
    pub address: u64,
    /// The length it claims, in bytes.
    pub length: u32,
    /// Its revision.
    pub revision: u8,
    /// Whether its length and checksum were looked at.
    pub checked: bool,
    /// Whether they are right.
    pub valid: bool,
}

impl TableInfo {
    pub(super) const UNUSED: Self = Self {
        signature: Signature([0; 4]),
        address: 0,
        length: 0,
        revision: 0,
        checked: false,
        valid: false,
    };
}

/// Lists the tables of the XSDT, or of the RSDT if the XSDT is missing or damaged.
pub(super) fn list(
    reader: &Reader<'_>,
    root: &Root,
    tables: &mut FixedList<TableInfo, MAX_TABLES>,
    problems: &mut Problems,
) {
    for (address, signature, entry_bytes) in [
        (root.xsdt, Signature::XSDT, 8),
        (root.rsdt, Signature::RSDT, 4),
    ] {
        if address == 0 {
            continue;
        }
        if let Err(kind) = list_one(reader, address, signature, entry_bytes, tables, problems) {
            problems.push(Problem::whole(signature, address, kind));
        }
        if !tables.is_empty() {
            return;
        }
    }
}

fn list_one(
    reader: &Reader<'_>,
    address: u64,
    signature: Signature,
    entry_bytes: u32,
    tables: &mut FixedList<TableInfo, MAX_TABLES>,
    problems: &mut Problems,
) -> Result<(), ProblemKind> {
    let mut info = reader.header(address)?;
    if info.signature != signature {
        return Err(ProblemKind::BadSignature {
            found: info.signature,
        });
    }
    let table = reader.validate(&mut info)?;
    let mut offset = HEADER_BYTES;
    while offset + entry_bytes <= table.len() {
        let entry = if entry_bytes == 8 {
            table.u64(offset)
        } else {
            table.u32(offset).map(u64::from)
        };
        let entry = entry.ok_or(ProblemKind::Unreadable)?;
        if let Some(kind) = add(reader, entry, tables) {
            problems.push(Problem {
                table: signature,
                address,
                offset,
                kind,
            });
            if matches!(kind, ProblemKind::TooMany { .. }) {
                break;
            }
        }
        offset += entry_bytes;
    }
    Ok(())
}

fn add(
    reader: &Reader<'_>,
    address: u64,
    tables: &mut FixedList<TableInfo, MAX_TABLES>,
) -> Option<ProblemKind> {
    let bad = ProblemKind::BadValue {
        field: "the address of a table",
        value: address,
    };
    if address == 0 {
        return Some(bad);
    }
    if tables.iter().any(|known| known.address == address) {
        return None;
    }
    let Ok(info) = reader.header(address) else {
        return Some(bad);
    };
    // A root table among its own entries would be a loop if anyone followed it.
    if info.signature == Signature::XSDT || info.signature == Signature::RSDT {
        return Some(bad);
    }
    let full = ProblemKind::TooMany {
        what: "tables",
        limit: MAX_TABLES as u32,
    };
    tables.push(info).err().map(|_| full)
}
