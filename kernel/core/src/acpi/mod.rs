//! What the firmware's ACPI tables say about the machine: processors, interrupt controllers, PCI windows, clocks, power.
//!
//! `hal` calls [`Acpi::discover`] once while booting, logs every [`Problem`], and sets the machine up from the plain structs left
//! in [`Acpi`]. Nothing is kept by reference: the tables' memory can be given back afterwards.
//!
//! **Firmware is untrusted input.** Every byte comes through [`PhysicalMemory::read`], every length is checked against the table it lies
//! in, nothing recurses or follows a table's pointer twice, and all reading together is limited to [`READ_BUDGET_BYTES`]: so
//! a damaged table costs itself, or one entry of itself, and a message saying what is lost, and boot goes on with the rest.
//! That is why the `acpi` crate is not used here: it maps tables with `unsafe` and trusts what they say (in 7.0.0-pre1 the
//! MADT's iterator reads an entry by its type whatever its length, past the table if it is the last, and stays forever at an entry
//! of length 0 whose type it does not know).
//!
//! Where to look: [`rsdp`] and [`root`] find the tables; [`madt`], [`mcfg`], [`hpet`], [`fadt`] and [`sleep`] read one each;
//! [`problem`] has the messages; `test_tables` (feature `test-tables`) builds valid and damaged tables.
//! Layouts are those of the ACPI specification 6.5, cited by section in each file.

pub mod fadt;
#[cfg(test)]
mod fuzz;
pub mod hpet;
pub mod madt;
pub mod mcfg;
pub mod problem;
mod reader;
pub mod register;
pub mod root;
pub mod rsdp;
pub mod sleep;
#[cfg(any(test, feature = "test-tables"))]
pub mod test_tables;
#[cfg(test)]
mod tests;

pub use fadt::Fadt;
pub use hpet::Hpet;
pub use madt::Madt;
pub use mcfg::McfgSegment;
pub use problem::{Problem, ProblemKind, Problems};
pub use register::Register;
pub use root::{MAX_TABLES, TableInfo};
pub use rsdp::{Root, RootSource};
pub use sleep::SleepType;

use crate::fixed_list::FixedList;
use core::fmt;
use reader::{Reader, Table};

/// All bytes read from all tables together. A firmware with honest tables needs about a tenth.
pub const READ_BUDGET_BYTES: u64 = 16 << 20;
/// The longest table that is believed.
pub const MAX_TABLE_BYTES: u32 = 4 << 20;
/// How many PCI segments are kept.
pub const MAX_MCFG_SEGMENTS: usize = 16;

/// Gives the bytes of physical memory.
pub trait PhysicalMemory {
    /// Copies `buffer.len()` bytes from physical `address` on.
    ///
    /// # Errors
    /// [`Unreadable`] if any of them is no memory or cannot be reached. Reading must have no side effects, so the
    /// implementor refuses addresses that may be device registers.
    fn read(&self, address: u64, buffer: &mut [u8]) -> Result<(), Unreadable>;
}

/// The address cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable;

/// A table's four-letter name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature(pub [u8; 4]);

impl Signature {
    /// The root pointer (not a table; it stands for "RSD PTR ").
    pub const RSDP: Self = Self(*b"RSDP");
    /// Root table with 32-bit addresses.
    pub const RSDT: Self = Self(*b"RSDT");
    /// Root table with 64-bit addresses.
    pub const XSDT: Self = Self(*b"XSDT");
    /// Multiple APIC description table.
    pub const MADT: Self = Self(*b"APIC");
    /// PCI memory-mapped configuration.
    pub const MCFG: Self = Self(*b"MCFG");
    /// High-precision event timer.
    pub const HPET: Self = Self(*b"HPET");
    /// Fixed description table.
    pub const FADT: Self = Self(*b"FACP");
    /// Differentiated definition block (AML).
    pub const DSDT: Self = Self(*b"DSDT");
    /// Secondary definition block (AML).
    pub const SSDT: Self = Self(*b"SSDT");
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::MADT => f.write_str("MADT"),
            Self::FADT => f.write_str("FADT"),
            Self(name) => write!(f, "{}", name.escape_ascii()),
        }
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Everything read from the tables. About 12 KiB; keep it in a static or a long-lived allocation.
#[derive(Clone, Copy, Debug)]
pub struct Acpi {
    /// The root pointer in use, if any.
    pub root: Option<Root>,
    /// The tables the root table lists (and the DSDT), valid or not.
    pub tables: FixedList<TableInfo, MAX_TABLES>,
    /// Processors and interrupt controllers. `None`: use [`Madt::assumed_pc`].
    pub madt: Option<Madt>,
    /// Memory windows to PCI configuration space. Empty: use ports 0xCF8 and 0xCFC.
    pub mcfg: FixedList<McfgSegment, MAX_MCFG_SEGMENTS>,
    /// The event timer.
    pub hpet: Option<Hpet>,
    /// Fixed hardware: power management registers, reset, what legacy devices there are.
    pub fadt: Option<Fadt>,
    /// What to write to power off.
    pub soft_off: Option<SleepType>,
    /// What was wrong, in the order found.
    pub problems: Problems,
}

/// Where to look for the root pointer, tried in this order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Candidates {
    /// `acpi_rsdp=` on the command line.
    pub command_line: Option<u64>,
    /// From the loader or UEFI.
    pub boot: Option<u64>,
    /// Whether to search the BIOS areas below 1 MiB (not under UEFI: nothing is there, and it is not for us to read).
    pub search_bios: bool,
}

impl Acpi {
    /// Nothing known.
    pub const EMPTY: Self = Self {
        root: None,
        tables: FixedList::new(TableInfo::UNUSED),
        madt: None,
        mcfg: FixedList::new(McfgSegment::UNUSED),
        hpet: None,
        fadt: None,
        soft_off: None,
        problems: Problems::EMPTY,
    };

    /// Finds and reads the tables, replacing what was known. Whatever does not hold up is left out and named in
    /// [`Self::problems`].
    pub fn discover(&mut self, memory: &dyn PhysicalMemory, candidates: Candidates) {
        *self = Self::EMPTY;
        let reader = Reader::new(memory);
        let known = [
            candidates
                .command_line
                .map(|address| (address, RootSource::CommandLine)),
            candidates.boot.map(|address| (address, RootSource::Boot)),
        ];
        for (address, source) in known.into_iter().flatten() {
            if self.try_root(&reader, address, source) {
                break;
            }
        }
        if self.root.is_none()
            && candidates.search_bios
            && let Some(address) = rsdp::search_bios(&reader)
        {
            self.try_root(&reader, address, RootSource::BiosSearch);
        }
        if self.root.is_none() {
            self.problems
                .push(Problem::whole(Signature::RSDP, 0, ProblemKind::Missing));
            return;
        }
        self.read_tables(&reader);
        if reader.is_spent() {
            self.problems
                .push(Problem::whole(Signature::RSDP, 0, ProblemKind::BudgetSpent));
        }
    }

    // Takes the root pointer at `address` if it leads to at least one table.
    fn try_root(&mut self, reader: &Reader<'_>, address: u64, source: RootSource) -> bool {
        let Some(pointer) = rsdp::read(reader, address, &mut self.problems) else {
            return false;
        };
        self.tables.clear();
        root::list(reader, &pointer, &mut self.tables, &mut self.problems);
        if self.tables.is_empty() {
            return false;
        }
        self.root = Some(Root {
            address,
            source,
            ..pointer
        });
        true
    }

    fn read_tables(&mut self, reader: &Reader<'_>) {
        if let Some(table) = self.validated(reader, Signature::FADT) {
            self.fadt = Fadt::read(&table, &mut self.problems);
            self.add_dsdt(reader, self.fadt.map_or(0, |fadt| fadt.dsdt));
        }
        if let Some(table) = self.validated(reader, Signature::MADT) {
            self.madt = Madt::read(&table, &mut self.problems);
        }
        if let Some(table) = self.validated(reader, Signature::MCFG) {
            mcfg::read(&table, &mut self.mcfg, &mut self.problems);
        }
        // Many machines have no event timer, so that its absence is no problem.
        if self
            .tables
            .iter()
            .any(|table| table.signature == Signature::HPET)
            && let Some(table) = self.validated(reader, Signature::HPET)
        {
            self.hpet = Hpet::read(&table, &mut self.problems);
        }
        self.find_soft_off(reader);
        self.validate_the_rest(reader);
    }

    // The first valid table of this name. Says so if there is none, and marks those looked at.
    fn validated<'r>(&mut self, reader: &'r Reader<'r>, signature: Signature) -> Option<Table<'r>> {
        let mut found = None;
        let mut listed = false;
        for info in self
            .tables
            .iter_mut()
            .filter(|info| info.signature == signature)
        {
            listed = true;
            if found.is_some() {
                self.problems.push(Problem::whole(
                    signature,
                    info.address,
                    ProblemKind::Duplicate,
                ));
                continue;
            }
            match reader.validate(info) {
                Ok(table) => found = Some(table),
                Err(kind) => self
                    .problems
                    .push(Problem::whole(signature, info.address, kind)),
            }
        }
        if !listed {
            self.problems
                .push(Problem::whole(signature, 0, ProblemKind::Missing));
        }
        found
    }

    // The DSDT is pointed at by the FADT, not by the root table.
    fn add_dsdt(&mut self, reader: &Reader<'_>, address: u64) {
        if address == 0 {
            return;
        }
        match reader.header(address) {
            Ok(info) if info.signature == Signature::DSDT => {
                if self.tables.push(info).is_err() {
                    let kind = ProblemKind::TooMany {
                        what: "tables",
                        limit: MAX_TABLES as u32,
                    };
                    self.problems
                        .push(Problem::whole(Signature::DSDT, address, kind));
                }
            }
            Ok(info) => {
                let kind = ProblemKind::BadSignature {
                    found: info.signature,
                };
                self.problems
                    .push(Problem::whole(Signature::DSDT, address, kind));
            }
            Err(kind) => self
                .problems
                .push(Problem::whole(Signature::DSDT, address, kind)),
        }
    }

    // The package is nearly always in the DSDT; some firmware has it in an SSDT.
    fn find_soft_off(&mut self, reader: &Reader<'_>) {
        let mut damaged = None;
        for signature in [Signature::DSDT, Signature::SSDT] {
            for info in self
                .tables
                .iter_mut()
                .filter(|info| info.signature == signature)
            {
                let table = match reader.validate(info) {
                    Ok(table) => table,
                    Err(kind) => {
                        self.problems
                            .push(Problem::whole(signature, info.address, kind));
                        continue;
                    }
                };
                match sleep::find_soft_off(&table) {
                    sleep::Found::Package(sleep_type) => {
                        self.soft_off = Some(sleep_type);
                        return;
                    }
                    sleep::Found::Damaged { offset } => {
                        damaged = damaged.or(Some((signature, info.address, offset)))
                    }
                    sleep::Found::Nothing => {}
                }
            }
        }
        let (signature, address, offset) = damaged.unwrap_or((Signature::DSDT, 0, 0));
        self.problems.push(Problem {
            table: signature,
            address,
            offset,
            kind: ProblemKind::NoSoftOff,
        });
    }

    // Tables nobody here reads are still checked, so that boot names every damaged one.
    fn validate_the_rest(&mut self, reader: &Reader<'_>) {
        for info in self.tables.iter_mut().filter(|info| !info.checked) {
            if reader.is_spent() {
                return;
            }
            if let Err(kind) = reader.validate(info) {
                self.problems
                    .push(Problem::whole(info.signature, info.address, kind));
            }
        }
    }
}
