//! The rows of [`abi::system::Table`] as bytes: what `system_query` writes and its caller reads.
//!
//! A row is its length as a little-endian `u16`, then as many bytes of its [`postcard`](https://postcard.jamesmunns.com) form.
//! Neither side allocates. Bytes that came from elsewhere are hostile: whatever they are, the answer is rows and then, at the
//! first that is malformed, an error.

use core::fmt;
use core::marker::PhantomData;

use abi::system::Table;
use serde::{Serialize, de::DeserializeOwned};

use crate::info::{MemoryInfo, SystemInfo, TimeInfo};
use crate::process::{HandleRow, ProcessRow};
use crate::rows::{CoreRow, IrqRow, LogRow, PciRow, TaskRow, TraceRow};

/// No row is longer than this, its length included: a buffer of this size takes at least one row of any table.
pub const MAX_ROW_BYTES: usize = 1024;
const PREFIX_BYTES: usize = 2;

/// A type whose values are a table's rows.
pub trait Row: Serialize + DeserializeOwned {
    /// The table.
    const TABLE: Table;
}

macro_rules! rows {
    ($($row:ty => $table:ident;)+) => {
        $(impl Row for $row {
            const TABLE: Table = Table::$table;
        })+
    };
}

rows! {
    TaskRow => Tasks;
    CoreRow => Cores;
    IrqRow => Irqs;
    PciRow => Pci;
    LogRow => Log;
    MemoryInfo => Memory;
    TimeInfo => Time;
    SystemInfo => Info;
    ProcessRow => Processes;
    HandleRow => Handles;
    TraceRow => Trace;
}

/// There is no room for the row; the buffer's written part is as before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no room for another row: take these, then ask for those after the cursor")
    }
}

impl core::error::Error for Full {}

/// What is wrong with rows as bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadRow {
    /// They end inside of a row.
    Cut,
    /// The row's bytes are not such a row.
    Malformed,
    /// The row is shorter than its length says.
    Trailing,
}

impl fmt::Display for BadRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cut => "the table's bytes end inside of a row",
            Self::Malformed => "a row of the table is not of the table's type",
            Self::Trailing => "a row of the table is followed by bytes that belong to none",
        })
    }
}

impl core::error::Error for BadRow {}

/// Puts rows into a buffer, one after another.
#[derive(Debug)]
pub struct Writer<'a> {
    buffer: &'a mut [u8],
    len: usize,
}

impl<'a> Writer<'a> {
    /// Into `buffer`, from its start.
    #[must_use]
    pub const fn new(buffer: &'a mut [u8]) -> Self {
        Self { buffer, len: 0 }
    }

    /// Adds a row.
    ///
    /// # Errors
    /// [`Full`].
    pub fn push<R: Serialize>(&mut self, row: &R) -> Result<(), Full> {
        let rest = self.buffer.get_mut(self.len..).ok_or(Full)?;
        let (prefix, body) = rest.split_at_mut_checked(PREFIX_BYTES).ok_or(Full)?;
        let written = postcard::to_slice(row, body).map_err(|_| Full)?.len();
        let length = u16::try_from(written).map_err(|_| Full)?;
        prefix.copy_from_slice(&length.to_le_bytes());
        self.len += PREFIX_BYTES + written;
        Ok(())
    }

    /// Bytes written.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing was written.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// Reads rows out of bytes. It ends at their end, or after the first error.
#[derive(Clone, Debug)]
pub struct Reader<'a, R> {
    rest: &'a [u8],
    row: PhantomData<fn() -> R>,
}

impl<'a, R: DeserializeOwned> Reader<'a, R> {
    /// The rows in `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self {
            rest: bytes,
            row: PhantomData,
        }
    }

    /// The bytes of the rows that were not read yet.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    fn read(&mut self) -> Result<R, BadRow> {
        let (prefix, rest) = self.rest.split_first_chunk().ok_or(BadRow::Cut)?;
        let length = usize::from(u16::from_le_bytes(*prefix));
        let (body, rest) = rest.split_at_checked(length).ok_or(BadRow::Cut)?;
        let (row, trailing) = postcard::take_from_bytes(body).map_err(|_| BadRow::Malformed)?;
        if !trailing.is_empty() {
            return Err(BadRow::Trailing);
        }
        self.rest = rest;
        Ok(row)
    }
}

impl<R: DeserializeOwned> Iterator for Reader<'_, R> {
    type Item = Result<R, BadRow>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let row = self.read();
        if row.is_err() {
            self.rest = &[];
        }
        Some(row)
    }
}
