//! Fills the kernel's symbol section in place, so that the ELF file alone boots with readable
//! backtraces.
//!
//! Layout of section `.ksyms` (all numbers little-endian):
//!
//! | bytes | what |
//! |---|---|
//! | 0..8 | magic `RAEDESYM`, put there by the kernel |
//! | 8..12 | capacity: size of the section in bytes, put there by the kernel |
//! | 12..16 | number of entries |
//! | 16.. | entries: `u32` offset from the image base, `u32` offset of the name from the section's start; by ascending offset |
//! | then | names: `u16` length in bytes, then UTF-8 without a terminator |

use crate::error::{Doing, Error, Result};
use object::{Object, ObjectSection, ObjectSymbol, SymbolKind};
use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

/// The section's name.
pub const SECTION: &str = ".ksyms";
/// Its first bytes.
pub const MAGIC: &[u8; 8] = b"RAEDESYM";
/// Bytes before the first entry.
pub const HEAD_BYTES: usize = 16;
/// Bytes per entry.
const ENTRY_BYTES: usize = 8;
/// The kernel symbol that names the address offsets count from.
const BASE_SYMBOL: &str = "__image_base";

/// What [`encode`] made of the names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// Functions in the table.
    pub kept: usize,
    /// Names cut to their last path segment.
    pub shortened: usize,
    /// Functions left out, because even short names did not fit.
    pub left_out: usize,
    /// The section's size in bytes.
    pub capacity: usize,
}

/// A function: its offset from the image base and its demangled name.
pub type Function = (u32, String);

/// Encodes the table into a blob of exactly `capacity` bytes.
///
/// Where the names do not fit, the longest are cut to their last path segment; where that is
/// not enough, the functions with the longest names are left out.
pub fn encode(mut functions: Vec<Function>, capacity: usize) -> (Vec<u8>, Report) {
    functions.sort();
    functions.dedup_by_key(|function| function.0);
    let size = |name: &str| ENTRY_BYTES + 2 + name.len();
    let mut total = HEAD_BYTES + functions.iter().map(|(_, name)| size(name)).sum::<usize>();

    let mut by_length: Vec<usize> = (0..functions.len()).collect();
    by_length.sort_by_key(|&i| std::cmp::Reverse(functions[i].1.len()));
    let mut shortened = 0;
    for &i in &by_length {
        if total <= capacity {
            break;
        }
        let short = last_segment(&functions[i].1).to_owned();
        if short.len() < functions[i].1.len() {
            total -= functions[i].1.len() - short.len();
            functions[i].1 = short;
            shortened += 1;
        }
    }
    by_length.sort_by_key(|&i| std::cmp::Reverse(functions[i].1.len()));
    let mut drop = vec![false; functions.len()];
    for &i in &by_length {
        if total <= capacity {
            break;
        }
        total -= size(&functions[i].1);
        drop[i] = true;
    }
    let left_out = drop.iter().filter(|&&dropped| dropped).count();
    let mut index = 0;
    functions.retain(|_| {
        index += 1;
        !drop[index - 1]
    });

    let mut blob = Vec::with_capacity(capacity);
    blob.extend_from_slice(MAGIC);
    blob.extend_from_slice(&u32_of(capacity).to_le_bytes());
    blob.extend_from_slice(&u32_of(functions.len()).to_le_bytes());
    let mut name_at = HEAD_BYTES + functions.len() * ENTRY_BYTES;
    for (offset, name) in &functions {
        blob.extend_from_slice(&offset.to_le_bytes());
        blob.extend_from_slice(&u32_of(name_at).to_le_bytes());
        name_at += 2 + name.len();
    }
    for (_, name) in &functions {
        let length = u16::try_from(name.len()).unwrap_or(u16::MAX);
        blob.extend_from_slice(&length.to_le_bytes());
        blob.extend_from_slice(name.as_bytes());
    }
    blob.resize(capacity, 0);
    (
        blob,
        Report {
            kept: functions.len(),
            shortened,
            left_out,
            capacity,
        },
    )
}

/// Fills the section of the ELF file at `path`, unless it is filled like that already.
pub fn embed(path: &Path) -> Result<Report> {
    let data = fs::read(path).doing(|| format!("reading {}", path.display()))?;
    let bad = |problem: String| Error::Format {
        path: path.into(),
        problem,
    };
    let elf = object::File::parse(&*data).map_err(|error| bad(error.to_string()))?;
    let section = elf.section_by_name(SECTION).ok_or_else(|| {
        bad(format!(
            "no section {SECTION}: the kernel reserves it for its symbol table"
        ))
    })?;
    let (start, size) = section
        .file_range()
        .ok_or_else(|| bad(format!("section {SECTION} has no bytes in the file")))?;
    let range = usize_of(start)..usize_of(start + size);
    let old = data
        .get(range)
        .ok_or_else(|| bad(format!("section {SECTION} is cut off")))?;
    if old.len() < HEAD_BYTES || &old[..8] != MAGIC {
        return Err(bad(format!(
            "section {SECTION} does not start with RAEDESYM"
        )));
    }
    let capacity = u32::from_le_bytes([old[8], old[9], old[10], old[11]]) as usize;
    if capacity < HEAD_BYTES || capacity > old.len() {
        return Err(bad(format!(
            "section {SECTION} claims {capacity} of {} bytes",
            old.len()
        )));
    }
    let functions = functions(&elf).map_err(bad)?;
    let (blob, report) = encode(functions, capacity);
    if old[..capacity] != blob {
        let mut file = OpenOptions::new()
            .write(true)
            .open(path)
            .doing(|| format!("opening {} for its symbol table", path.display()))?;
        file.seek(SeekFrom::Start(start))
            .and_then(|_| file.write_all(&blob))
            .doing(|| format!("writing the symbol table into {}", path.display()))?;
    }
    Ok(report)
}

/// The functions of the kernel, demangled.
fn functions(elf: &object::File<'_>) -> std::result::Result<Vec<Function>, String> {
    let base = elf
        .symbol_by_name(BASE_SYMBOL)
        .ok_or_else(|| format!("no symbol {BASE_SYMBOL}, from which addresses count"))?
        .address();
    let mut found: BTreeMap<u32, String> = BTreeMap::new();
    for symbol in elf.symbols() {
        if symbol.kind() != SymbolKind::Text || symbol.is_undefined() {
            continue;
        }
        let (Ok(name), Some(offset)) = (symbol.name(), symbol.address().checked_sub(base)) else {
            continue;
        };
        let Ok(offset) = u32::try_from(offset) else {
            continue;
        };
        let name = demangle(name);
        // Identical functions are folded to one address: the shortest name, then the first in
        // the alphabet, so that the outcome does not depend on the symbols' order.
        let better = |old: &String| (name.len(), &name) < (old.len(), old);
        if found.get(&offset).is_none_or(better) {
            found.insert(offset, name);
        }
    }
    Ok(found.into_iter().collect())
}

/// The name as a person wrote it, without the compiler's hash.
pub fn demangle(name: &str) -> String {
    format!("{:#}", rustc_demangle::demangle(name))
}

/// What follows the last `::` outside angle brackets and braces: `<A as b::C>::run` gives `run`.
fn last_segment(name: &str) -> &str {
    let bytes = name.as_bytes();
    let (mut depth, mut start) = (0i32, 0);
    for (i, &byte) in bytes.iter().enumerate() {
        match byte {
            b'<' | b'(' | b'[' | b'{' => depth += 1,
            // The arrow of a function type closes nothing.
            b'>' if i > 0 && bytes[i - 1] == b'-' => {}
            b'>' | b')' | b']' | b'}' => depth -= 1,
            b':' if depth == 0 && i > 0 && bytes[i - 1] == b':' => start = i + 1,
            _ => {}
        }
    }
    &name[start..]
}

fn u32_of(value: usize) -> u32 {
    // Offsets within a section whose capacity is itself a u32.
    u32::try_from(value).unwrap_or(u32::MAX)
}

fn usize_of(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(blob: &[u8]) -> Vec<(u32, String)> {
        let word = |at: usize| u32::from_le_bytes(blob[at..at + 4].try_into().expect("4 bytes"));
        assert_eq!(&blob[..8], MAGIC);
        (0..word(12) as usize)
            .map(|i| {
                let name = word(HEAD_BYTES + i * 8 + 4) as usize;
                let length = usize::from(u16::from_le_bytes([blob[name], blob[name + 1]]));
                let text = &blob[name + 2..name + 2 + length];
                (
                    word(HEAD_BYTES + i * 8),
                    String::from_utf8(text.to_vec()).expect("UTF-8"),
                )
            })
            .collect()
    }

    fn function(offset: u32, name: &str) -> Function {
        (offset, name.to_owned())
    }

    #[test]
    fn sorts_and_keeps_what_fits() {
        let given = vec![function(0x2000, "b::two"), function(0x1000, "a::one")];
        let (blob, report) = encode(given, 128);
        assert_eq!(blob.len(), 128);
        assert_eq!(
            names(&blob),
            [function(0x1000, "a::one"), function(0x2000, "b::two")]
        );
        assert_eq!(
            report,
            Report {
                kept: 2,
                shortened: 0,
                left_out: 0,
                capacity: 128
            }
        );
    }

    #[test]
    fn shortens_the_longest_first_and_only_as_needed() {
        let long = "some::very::long::path::to::it";
        let given = vec![function(1, long), function(2, "a::b")];
        let full = HEAD_BYTES + 2 * (ENTRY_BYTES + 2) + long.len() + 4;
        assert_eq!(encode(given.clone(), full).1.shortened, 0);
        let (blob, report) = encode(given, full - 1);
        assert_eq!(names(&blob), [function(1, "it"), function(2, "a::b")]);
        assert_eq!((report.shortened, report.left_out), (1, 0));
    }

    #[test]
    fn leaves_out_what_cannot_fit_at_all() {
        let given = vec![function(1, "abcdefgh"), function(2, "ij")];
        let (blob, report) = encode(given.clone(), HEAD_BYTES + ENTRY_BYTES + 4);
        assert_eq!(names(&blob), [function(2, "ij")]);
        assert_eq!(report.left_out, 1);
        assert_eq!(encode(given, HEAD_BYTES).1.kept, 0);
    }

    #[test]
    fn last_segments() {
        for (name, last) in [
            ("main", "main"),
            ("a::b::c", "c"),
            ("<a::B as c::D>::run", "run"),
            ("a::b<c::D<fn() -> e::F>>::go::{closure#0}", "{closure#0}"),
            (
                "core::ptr::drop_in_place<a::b::C>",
                "drop_in_place<a::b::C>",
            ),
            ("", ""),
        ] {
            assert_eq!(last_segment(name), last, "{name}");
        }
    }

    #[test]
    fn demangles_without_the_hash() {
        assert_eq!(
            demangle("_ZN4core3fmt5Write9write_fmt17h0123456789abcdefE"),
            "core::fmt::Write::write_fmt"
        );
        assert_eq!(demangle("memcpy"), "memcpy");
    }
}
