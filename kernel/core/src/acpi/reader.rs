//! Bounded, checked access to table bytes.

use super::problem::ProblemKind;
use super::root::TableInfo;
use super::{MAX_TABLE_BYTES, PhysicalMemory, READ_BUDGET_BYTES, Signature};
use core::cell::Cell;

/// Bytes of the header every table starts with (ACPI 6.5 §5.2.6): signature, u32 length, u8 revision, u8 checksum, u8\[6\] OEM,
/// u8\[8\] OEM table, u32 OEM revision, u32 creator, u32 creator revision.
pub(super) const HEADER_BYTES: u32 = 36;
pub(super) const CHUNK_BYTES: usize = 512;
// What a read costs at least, so that a flood of tiny reads is bounded too.
const LEAST_COST_BYTES: u64 = 16;

/// Reads physical memory until the budget is spent.
pub(super) struct Reader<'m> {
    memory: &'m dyn PhysicalMemory,
    left_bytes: Cell<u64>,
}

impl<'m> Reader<'m> {
    pub(super) fn new(memory: &'m dyn PhysicalMemory) -> Self {
        Self {
            memory,
            left_bytes: Cell::new(READ_BUDGET_BYTES),
        }
    }

    /// Whether the budget is used up; every read fails then.
    pub(super) fn is_spent(&self) -> bool {
        self.left_bytes.get() == 0
    }

    pub(super) fn read(&self, address: u64, buffer: &mut [u8]) -> Option<()> {
        let len = buffer.len() as u64;
        let Some(left) = self.left_bytes.get().checked_sub(len.max(LEAST_COST_BYTES)) else {
            self.left_bytes.set(0);
            return None;
        };
        self.left_bytes.set(left);
        address.checked_add(len)?;
        self.memory.read(address, buffer).ok()
    }

    /// Sum modulo 256 of `len` bytes from `address` on.
    pub(super) fn sum(&self, address: u64, len: u32) -> Option<u8> {
        let mut chunk = [0u8; CHUNK_BYTES];
        let mut sum = 0u8;
        let mut done = 0u32;
        while done < len {
            let part = chunk.get_mut(..((len - done) as usize).min(CHUNK_BYTES))?;
            self.read(address.checked_add(u64::from(done))?, part)?;
            sum = part.iter().fold(sum, |sum, &byte| sum.wrapping_add(byte));
            done += part.len() as u32;
        }
        Some(sum)
    }

    /// The head of the table at `address`: name and length only, unchecked.
    pub(super) fn header(&self, address: u64) -> Result<TableInfo, ProblemKind> {
        let mut head = [0u8; 9];
        self.read(address, &mut head)
            .ok_or(ProblemKind::Unreadable)?;
        let [s0, s1, s2, s3, l0, l1, l2, l3, revision] = head;
        Ok(TableInfo {
            signature: Signature([s0, s1, s2, s3]),
            address,
            length: u32::from_le_bytes([l0, l1, l2, l3]),
            revision,
            checked: false,
            valid: false,
        })
    }

    /// Checks length and checksum, notes the result in `info`, and gives access to the table. A table that was found
    /// valid before is not summed again.
    pub(super) fn validate(&self, info: &mut TableInfo) -> Result<Table<'_>, ProblemKind> {
        let table = Table {
            reader: self,
            info: *info,
        };
        if info.valid {
            return Ok(table);
        }
        info.checked = true;
        if !(HEADER_BYTES..=MAX_TABLE_BYTES).contains(&info.length) {
            let kind = ProblemKind::BadLength {
                length: info.length,
                least: HEADER_BYTES,
                most: MAX_TABLE_BYTES,
            };
            return Err(kind);
        }
        match self.sum(info.address, info.length) {
            Some(0) => {
                info.valid = true;
                Ok(table)
            }
            Some(sum) => Err(ProblemKind::BadChecksum { sum }),
            None if self.is_spent() => Err(ProblemKind::BudgetSpent),
            None => Err(ProblemKind::Unreadable),
        }
    }
}

/// A table whose length and checksum are right. What it says may still be nonsense.
pub(super) struct Table<'r> {
    reader: &'r Reader<'r>,
    info: TableInfo,
}

impl Table<'_> {
    pub(super) fn signature(&self) -> Signature {
        self.info.signature
    }

    pub(super) fn address(&self) -> u64 {
        self.info.address
    }

    pub(super) fn len(&self) -> u32 {
        self.info.length
    }

    pub(super) fn revision(&self) -> u8 {
        self.info.revision
    }

    /// Fills `buffer` from `offset` on; `None` if that reaches past the table.
    pub(super) fn read(&self, offset: u32, buffer: &mut [u8]) -> Option<()> {
        let end = u64::from(offset) + buffer.len() as u64;
        if end > u64::from(self.info.length) {
            return None;
        }
        self.reader
            .read(self.info.address.checked_add(u64::from(offset))?, buffer)
    }

    pub(super) fn bytes<const N: usize>(&self, offset: u32) -> Option<[u8; N]> {
        let mut bytes = [0u8; N];
        self.read(offset, &mut bytes)?;
        Some(bytes)
    }

    pub(super) fn u8(&self, offset: u32) -> Option<u8> {
        self.bytes(offset).map(u8::from_le_bytes)
    }

    pub(super) fn u16(&self, offset: u32) -> Option<u16> {
        self.bytes(offset).map(u16::from_le_bytes)
    }

    pub(super) fn u32(&self, offset: u32) -> Option<u32> {
        self.bytes(offset).map(u32::from_le_bytes)
    }

    pub(super) fn u64(&self, offset: u32) -> Option<u64> {
        self.bytes(offset).map(u64::from_le_bytes)
    }
}

/// `N` bytes of a small buffer, zero where it ends.
pub(super) fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut field = [0u8; N];
    for (to, &from) in field.iter_mut().zip(bytes.iter().skip(at)) {
        *to = from;
    }
    field
}
