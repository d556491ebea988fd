//! What was wrong with the tables, in words a person can act on: what, where, what is lost, what to do.

use super::{MAX_TABLE_BYTES, Signature};
use crate::fixed_list::FixedList;
use core::fmt;

/// How many problems are kept; further ones are only counted.
pub const MAX_PROBLEMS: usize = 32;

/// One thing wrong with the tables. Its text is a complete message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Problem {
    /// In which table.
    pub table: Signature,
    /// Where that table is; 0 if there is none.
    pub address: u64,
    /// Where in the table, in bytes from its start; 0 if the whole table is meant.
    pub offset: u32,
    /// What.
    pub kind: ProblemKind,
}

/// Kinds of problems.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemKind {
    /// There is none.
    Missing,
    /// Its address is no memory.
    Unreadable,
    /// Something else is there.
    BadSignature {
        /// The name found.
        found: Signature,
    },
    /// Its bytes do not sum to zero.
    BadChecksum {
        /// Their sum modulo 256.
        sum: u8,
    },
    /// Its length cannot be.
    BadLength {
        /// The length it claims, in bytes.
        length: u32,
        /// The least that makes sense.
        least: u32,
        /// The most that is believed.
        most: u32,
    },
    /// All tables together are larger than what is read.
    BudgetSpent,
    /// There is more than one; the first valid one counts.
    Duplicate,
    /// An entry is shorter than its type needs, or reaches past the table. It is skipped.
    EntryLength {
        /// Its type.
        entry: u8,
        /// The length it claims.
        length: u8,
    },
    /// An entry is too short to say where the next one is. What follows is ignored.
    EntriesEnd {
        /// The length it claims.
        length: u8,
    },
    /// More than can be kept; the rest is ignored.
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many are kept.
        limit: u32,
    },
    /// A field or entry holds what cannot be; it is ignored.
    BadValue {
        /// Which.
        field: &'static str,
        /// What it holds.
        value: u64,
    },
    /// Two fields that should agree do not; the 64-bit one is used.
    Disagree {
        /// Which.
        field: &'static str,
    },
    /// It has no usable entry of a kind that every PC needs; that of a plain PC is taken instead.
    Assumed {
        /// Of which kind.
        what: &'static str,
    },
    /// No table says how to power off.
    NoSoftOff,
}

impl Problem {
    pub(super) const fn whole(table: Signature, address: u64, kind: ProblemKind) -> Self {
        Self {
            table,
            address,
            offset: 0,
            kind,
        }
    }

    // Whether the whole table is lost (and not just a part of it).
    const fn loses_table(&self) -> bool {
        matches!(
            self.kind,
            ProblemKind::Missing
                | ProblemKind::Unreadable
                | ProblemKind::BadSignature { .. }
                | ProblemKind::BadChecksum { .. }
                | ProblemKind::BadLength { .. }
        )
    }

    const fn loss(&self) -> &'static str {
        match self.table {
            Signature::RSDP if matches!(self.kind, ProblemKind::Missing) => {
                "only the boot core runs, with legacy interrupts"
            }
            Signature::RSDP => "this root pointer is not used",
            Signature::XSDT => "the RSDT is used if there is one",
            Signature::RSDT => "no table can be found through it",
            Signature::MADT => {
                "only the boot core runs, and interrupts are routed as on a plain PC"
            }
            Signature::MCFG => {
                "PCI configuration goes through ports 0xCF8 and 0xCFC, without extended capabilities"
            }
            Signature::HPET => "clocks are calibrated without the HPET",
            Signature::FADT => "no ACPI power-off and reset; legacy devices are probed for",
            Signature::DSDT => "power-off through ACPI is not possible",
            _ => "the table is ignored",
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ACPI {}", self.table)?;
        if self.address != 0 {
            write!(f, " at {:#x}", self.address)?;
        }
        if self.offset != 0 {
            write!(f, ", offset {:#x}", self.offset)?;
        }
        f.write_str(": ")?;
        match self.kind {
            ProblemKind::Missing => f.write_str("there is none")?,
            ProblemKind::Unreadable => f.write_str("its address is no readable memory")?,
            ProblemKind::BadSignature { found } => write!(f, "found \"{found}\" instead")?,
            ProblemKind::BadChecksum { sum } => {
                write!(f, "damaged, its bytes sum to {sum:#04x} instead of 0")?
            }
            ProblemKind::BadLength {
                length,
                least,
                most,
            } => {
                write!(
                    f,
                    "claims a length of {length} bytes ({least} to {most} are possible)"
                )?;
            }
            ProblemKind::BudgetSpent => {
                return write!(
                    f,
                    "the tables hold more than {} KiB; the remaining ones are ignored; update the firmware",
                    super::READ_BUDGET_BYTES >> 10
                );
            }
            ProblemKind::Duplicate => {
                return f.write_str("there is more than one; the first valid one is used");
            }
            ProblemKind::EntryLength { entry, length } => {
                return write!(
                    f,
                    "entry of type {entry} with an impossible length of {length}; it is skipped; update the firmware"
                );
            }
            ProblemKind::EntriesEnd { length } => {
                return write!(
                    f,
                    "entry with a length of {length}; it and all after it are ignored; update the firmware"
                );
            }
            ProblemKind::TooMany { what, limit } => {
                return write!(f, "more than {limit} {what}; the rest is ignored");
            }
            ProblemKind::BadValue { field, value } => {
                return write!(
                    f,
                    "{field} is {value:#x}, which cannot be; it is ignored; update the firmware"
                );
            }
            ProblemKind::Disagree { field } => {
                return write!(
                    f,
                    "the 32-bit and 64-bit {field} disagree; the 64-bit one is used"
                );
            }
            ProblemKind::Assumed { what } => {
                return write!(
                    f,
                    "no usable {what}; that of a plain PC is assumed; update the firmware"
                );
            }
            ProblemKind::NoSoftOff => {
                let what = if self.offset == 0 {
                    "no \\_S5 package"
                } else {
                    "the \\_S5 package is damaged"
                };
                return write!(
                    f,
                    "{what}; power-off through ACPI is not possible; switch the machine off by hand"
                );
            }
        }
        write!(
            f,
            "; {}; update the firmware, or pass acpi_rsdp= with the address of good tables",
            self.loss()
        )
    }
}

/// The problems found, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Problems {
    list: FixedList<Problem, MAX_PROBLEMS>,
    /// How many more there were.
    pub not_listed: u32,
}

impl Problems {
    pub(super) const EMPTY: Self = Self {
        list: FixedList::new(Problem::whole(Signature::RSDP, 0, ProblemKind::Missing)),
        not_listed: 0,
    };

    /// Those kept.
    pub fn as_slice(&self) -> &[Problem] {
        &self.list
    }

    /// Whether a whole table was lost.
    pub fn lost_a_table(&self) -> bool {
        self.list.iter().any(Problem::loses_table)
    }

    pub(super) fn push(&mut self, problem: Problem) {
        // What there is too many of is told once.
        let again =
            |known: &Problem| known.kind == problem.kind && known.address == problem.address;
        if matches!(problem.kind, ProblemKind::TooMany { .. }) && self.list.iter().any(again) {
            return;
        }
        if self.list.push(problem).is_err() {
            self.not_listed = self.not_listed.saturating_add(1);
        }
    }

    pub(super) fn bad_length(table: Signature, address: u64, length: u32, least: u32) -> Problem {
        Problem::whole(
            table,
            address,
            ProblemKind::BadLength {
                length,
                least,
                most: MAX_TABLE_BYTES,
            },
        )
    }
}
