//! Address to function name, for backtraces: the blob that is put into the kernel image after it was linked.
//!
//! Layout, all numbers little-endian (also what [`write()`] produces, so that the tool that fills the blob and the kernel
//! that reads it share this page):
//!
//! | offset | size | what |
//! |---|---|---|
//! | 0 | 8 | magic `RAEDESYM` |
//! | 8 | 4 | capacity: bytes reserved for the blob in the image |
//! | 12 | 4 | count of entries |
//! | 16 | 8 each | entries: u32 offset of the function from the image base, u32 offset of its name from the start of the blob; ascending by function |
//! | after | | names: u16 length, then UTF-8 bytes |
//!
//! An entry with an empty name ends the function before it (padding, or the end of the text).
//!
//! The reader is called while a fault is being reported: it accepts any bytes, does at most 32 steps of a binary search and
//! answers `None` where the blob is empty or damaged.

use core::fmt;

/// The first bytes of the blob.
pub const MAGIC: [u8; 8] = *b"RAEDESYM";
/// Bytes before the first entry.
pub const HEAD_BYTES: usize = 16;
/// Bytes of an entry.
pub const ENTRY_BYTES: usize = 8;
/// No function of the kernel is longer; an address further from a function's start belongs to none.
pub const MAX_FUNCTION_BYTES: u32 = 1 << 20;

/// Where an address lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Symbol<'a> {
    /// The function's name, as it was put in (mangled or not).
    pub name: &'a str,
    /// Bytes from the function's start.
    pub offset: u32,
}

impl fmt::Display for Symbol<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{:#x}", self.name, self.offset)
    }
}

/// Why a blob has no names to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlobError {
    /// It does not start with [`MAGIC`] and a whole head.
    NotABlob,
    /// It was never filled.
    Empty,
    /// The entries it announces reach past its end.
    Truncated,
}

impl fmt::Display for BlobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotABlob => "no symbol table in the image",
            Self::Empty => "the symbol table was never filled",
            Self::Truncated => {
                "the symbol table is damaged: it announces more entries than it holds"
            }
        })?;
        f.write_str("; backtraces show addresses only (build with scripts/run or scripts/image)")
    }
}

/// A blob, checked as far as its head.
#[derive(Clone, Copy, Debug)]
pub struct Symbols<'a> {
    blob: &'a [u8],
    count: usize,
}

impl<'a> Symbols<'a> {
    /// A table without names: every look-up answers `None`.
    pub const NONE: Self = Self {
        blob: &[],
        count: 0,
    };

    /// Reads the head of `blob`.
    ///
    /// # Errors
    /// [`BlobError`] saying why there are no names; [`Self::NONE`] can be used instead.
    pub fn open(blob: &'a [u8]) -> Result<Self, BlobError> {
        if blob.get(..8) != Some(&MAGIC[..]) {
            return Err(BlobError::NotABlob);
        }
        let count = read_u32(blob, 12).ok_or(BlobError::NotABlob)? as usize;
        if count == 0 {
            return Err(BlobError::Empty);
        }
        // Cannot overflow: count < 2^32.
        if HEAD_BYTES + count * ENTRY_BYTES > blob.len() {
            return Err(BlobError::Truncated);
        }
        Ok(Self { blob, count })
    }

    /// How many entries there are.
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether there are no entries.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The function that `offset` bytes from the image base lie in.
    pub fn look_up(&self, offset: u32) -> Option<Symbol<'a>> {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.entry(middle)?.0 <= offset {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let (start, name_at) = self.entry(low.checked_sub(1)?)?;
        // In a damaged, unsorted blob `start` may lie after `offset`.
        let into = offset
            .checked_sub(start)
            .filter(|&into| into < MAX_FUNCTION_BYTES)?;
        let name = self
            .name(name_at as usize)
            .filter(|name| !name.is_empty())?;
        Some(Symbol { name, offset: into })
    }

    /// The function that virtual address `address` lies in, for an image at `image_base`.
    pub fn look_up_address(&self, image_base: u64, address: u64) -> Option<Symbol<'a>> {
        self.look_up(u32::try_from(address.checked_sub(image_base)?).ok()?)
    }

    fn entry(&self, index: usize) -> Option<(u32, u32)> {
        let at = HEAD_BYTES + index * ENTRY_BYTES;
        Some((read_u32(self.blob, at)?, read_u32(self.blob, at + 4)?))
    }

    fn name(&self, at: usize) -> Option<&'a str> {
        let len = self.blob.get(at..at.checked_add(2)?)?;
        let len = usize::from(u16::from_le_bytes(len.try_into().ok()?));
        core::str::from_utf8(self.blob.get(at + 2..(at + 2).checked_add(len)?)?).ok()
    }
}

fn read_u32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(
        bytes.get(at..at.checked_add(4)?)?.try_into().ok()?,
    ))
}

/// Why a blob could not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteError {
    /// The blob's space is too small; it would need this many bytes.
    NoRoom {
        /// Bytes needed.
        needed: usize,
    },
    /// The functions are not in ascending order.
    NotSorted {
        /// The first function lower than the one before it.
        offset: u32,
    },
    /// A name is longer than 65535 bytes.
    NameTooLong {
        /// Where the function is.
        offset: u32,
    },
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRoom { needed } => write!(
                f,
                "the symbol table needs {needed} bytes: enlarge its space in the image"
            ),
            Self::NotSorted { offset } => write!(
                f,
                "the symbol at {offset:#x} is lower than the one before it: sort them"
            ),
            Self::NameTooLong { offset } => write!(
                f,
                "the name of the symbol at {offset:#x} is over 65535 bytes"
            ),
        }
    }
}

/// Fills `blob`, the whole space reserved in the image, with `functions` (offset from the image base, name), ascending, and
/// returns how many bytes are used.
///
/// # Errors
/// [`WriteError`]; `blob` then holds no valid table.
pub fn write<'n>(
    blob: &mut [u8],
    functions: impl Iterator<Item = (u32, &'n str)> + Clone,
) -> Result<usize, WriteError> {
    let (count, name_bytes) = functions.clone().fold((0, 0), |(n, bytes), (_, name)| {
        (n + 1, bytes + 2 + name.len())
    });
    let needed = HEAD_BYTES + count * ENTRY_BYTES + name_bytes;
    if needed > blob.len() || u32::try_from(blob.len()).is_err() {
        return Err(WriteError::NoRoom { needed });
    }
    let capacity = blob.len() as u32;
    blob.fill(0);
    let mut put = |at: usize, bytes: &[u8]| blob[at..at + bytes.len()].copy_from_slice(bytes);
    let mut name_at = HEAD_BYTES + count * ENTRY_BYTES;
    let mut previous = 0;
    for (index, (offset, name)) in functions.enumerate() {
        if offset < previous {
            return Err(WriteError::NotSorted { offset });
        }
        previous = offset;
        let len = u16::try_from(name.len()).map_err(|_| WriteError::NameTooLong { offset })?;
        put(HEAD_BYTES + index * ENTRY_BYTES, &offset.to_le_bytes());
        put(
            HEAD_BYTES + index * ENTRY_BYTES + 4,
            &(name_at as u32).to_le_bytes(),
        );
        put(name_at, &len.to_le_bytes());
        put(name_at + 2, name.as_bytes());
        name_at += 2 + name.len();
    }
    put(8, &capacity.to_le_bytes());
    put(12, &(count as u32).to_le_bytes());
    put(0, &MAGIC);
    Ok(needed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::string::{String, ToString};
    use std::vec::Vec;
    use std::{format, vec};

    fn sample() -> Vec<u8> {
        let mut blob = vec![0; 256];
        write(
            &mut blob,
            [
                (0x1000, "start"),
                (0x1200, "idle"),
                (0x1300, ""),
                (0x9000, "löwe"),
            ]
            .into_iter(),
        )
        .unwrap();
        blob
    }

    #[test]
    fn finds_the_function_an_address_lies_in() {
        let blob = sample();
        let symbols = Symbols::open(&blob).unwrap();
        assert_eq!(symbols.len(), 4);
        let at = |offset| symbols.look_up(offset).map(|symbol| symbol.to_string());
        assert_eq!(at(0xfff), None);
        assert_eq!(at(0x1000).as_deref(), Some("start+0x0"));
        assert_eq!(at(0x11ff).as_deref(), Some("start+0x1ff"));
        assert_eq!(at(0x1200).as_deref(), Some("idle+0x0"));
        assert_eq!(at(0x1300), None);
        assert_eq!(at(0x9010).as_deref(), Some("löwe+0x10"));
        assert_eq!(at(0x9000 + MAX_FUNCTION_BYTES), None);
        let base = 0xffff_ffff_8020_0000;
        assert_eq!(
            symbols.look_up_address(base, base + 0x1204).unwrap().offset,
            4
        );
        assert_eq!(symbols.look_up_address(base, base - 1), None);
        assert_eq!(symbols.look_up_address(0, u64::MAX), None);
    }

    #[test]
    fn says_why_there_are_no_names() {
        assert_eq!(Symbols::open(&[]).unwrap_err(), BlobError::NotABlob);
        assert_eq!(Symbols::open(b"RAEDESYM").unwrap_err(), BlobError::NotABlob);
        let mut reserved = [0; 64];
        reserved[..8].copy_from_slice(&MAGIC);
        assert_eq!(Symbols::open(&reserved).unwrap_err(), BlobError::Empty);
        reserved[12..16].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(Symbols::open(&reserved).unwrap_err(), BlobError::Truncated);
        assert_eq!(Symbols::NONE.look_up(5), None);
    }

    #[test]
    fn writing_refuses_what_it_cannot_hold() {
        let mut blob = [0; 40];
        assert_eq!(
            write(&mut blob, [(1, "a"), (0, "b")].into_iter()),
            Err(WriteError::NotSorted { offset: 0 })
        );
        assert_eq!(
            write(&mut blob, [(1, "a name"), (2, "b")].into_iter()),
            Err(WriteError::NoRoom { needed: 43 })
        );
        assert!(Symbols::open(&blob).is_err());
    }

    proptest! {
        #[test]
        fn agrees_with_a_linear_search(
            mut starts in prop::collection::vec(0..5000u32, 1..60), probes in prop::collection::vec(0..6000u32, 40)
        ) {
            starts.sort_unstable();
            starts.dedup();
            let names: Vec<String> = starts.iter().map(|start| format!("f{start}")).collect();
            let mut blob = vec![0; 4096];
            write(&mut blob, starts.iter().copied().zip(names.iter().map(String::as_str))).unwrap();
            let symbols = Symbols::open(&blob).unwrap();
            for probe in probes {
                let expected = starts.iter().rev().find(|&&start| start <= probe);
                let found = symbols.look_up(probe);
                prop_assert_eq!(found.map(|s| s.name.to_string()), expected.map(|start| format!("f{start}")));
                prop_assert_eq!(found.map(|s| probe - s.offset), expected.copied());
            }
        }

        #[test]
        fn any_bytes_are_survived(
            changes in prop::collection::vec((0..256usize, any::<u8>()), 0..20), cut in 0..=256usize, probe: u32
        ) {
            let mut blob = sample();
            for (at, byte) in changes {
                blob[at] = byte;
            }
            if let Ok(symbols) = Symbols::open(&blob[..cut]) {
                let _ = symbols.look_up(probe);
                let _ = symbols.look_up(probe % 0xa000);
            }
        }
    }
}
