//! Fills the kernel's symbol section in place, so that the ELF file alone boots with readable
//! backtraces.
//!
//! `kerncore::symbols` holds the layout, the writer and the kernel's reader. Here: which functions
//! there are, their names, and what to do when they do not fit. Where a function is followed by
//! something without a name, an entry with an empty name says so.

use crate::error::{Doing, Error};
use kerncore::symbols::{ENTRY_BYTES, HEAD_BYTES, MAGIC, write};
use object::{Object, ObjectSection, ObjectSymbol, SymbolKind};
use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

/// The section's name.
pub const SECTION: &str = ".ksyms";
/// The kernel symbol that names the address offsets count from.
pub const BASE_SYMBOL: &str = "__image_base";

/// Gaps up to this size between functions are alignment, and not worth an entry.
const PADDING_BYTES: u32 = 64;

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
pub fn encode(mut functions: Vec<Function>, capacity: usize) -> Result<(Vec<u8>, Report), String> {
    functions.sort();
    functions.dedup_by_key(|function| function.0);
    let size = |name: &str| ENTRY_BYTES + 2 + name.len();
    let mut total = HEAD_BYTES + functions.iter().map(|(_, name)| size(name)).sum::<usize>();

    let mut shortened = 0;
    for i in longest_first(&functions) {
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
    let mut left_out = 0;
    for i in longest_first(&functions) {
        if total <= capacity {
            break;
        }
        // Its range must not be taken for the function before it: the empty name stays.
        if !functions[i].1.is_empty() {
            total -= functions[i].1.len();
            functions[i].1.clear();
            left_out += 1;
        }
    }
    let kept = functions
        .iter()
        .filter(|(_, name)| !name.is_empty())
        .count();
    let mut blob = vec![0; capacity];
    write(
        &mut blob,
        functions
            .iter()
            .map(|(offset, name)| (*offset, name.as_str())),
    )
    .map_err(|error| error.to_string())?;
    Ok((
        blob,
        Report {
            kept,
            shortened,
            left_out,
            capacity,
        },
    ))
}

fn longest_first(functions: &[Function]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..functions.len()).collect();
    order.sort_by_key(|&i| std::cmp::Reverse(functions[i].1.len()));
    order
}

/// Fills the section of the ELF file at `path`, unless it is filled like that already.
pub fn embed(path: &Path) -> crate::error::Result<Report> {
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
    if old.len() < HEAD_BYTES || old[..8] != MAGIC {
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
    let (blob, report) = encode(functions, capacity).map_err(bad)?;
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
fn functions(elf: &object::File<'_>) -> Result<Vec<Function>, String> {
    let base = elf
        .symbol_by_name(BASE_SYMBOL)
        .ok_or_else(|| format!("no symbol {BASE_SYMBOL}, from which addresses count"))?
        .address();
    let mut found: BTreeMap<u32, (String, u32)> = BTreeMap::new();
    for symbol in elf.symbols() {
        if symbol.kind() != SymbolKind::Text || symbol.is_undefined() {
            continue;
        }
        let (Ok(name), Some(offset)) = (symbol.name(), symbol.address().checked_sub(base)) else {
            continue;
        };
        let (Ok(offset), Ok(size)) = (u32::try_from(offset), u32::try_from(symbol.size())) else {
            continue;
        };
        let name = demangle(name);
        // Identical functions are folded to one address: the shortest name, then the first in
        // the alphabet, so that the outcome does not depend on the symbols' order.
        let better = |(old, _): &(String, u32)| (name.len(), &name) < (old.len(), old);
        if found.get(&offset).is_none_or(better) {
            found.insert(offset, (name, size));
        }
    }
    let mut functions: Vec<Function> = Vec::new();
    let mut next_starts = found.keys().copied().skip(1).chain([u32::MAX]);
    for (offset, (name, size)) in &found {
        functions.push((*offset, name.clone()));
        let end = offset.saturating_add(*size);
        let next = next_starts.next().unwrap_or(u32::MAX);
        // Assembly without a size runs up to the next name.
        if *size > 0 && end.saturating_add(PADDING_BYTES) < next {
            functions.push((end, String::new()));
        }
    }
    Ok(functions)
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

fn usize_of(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kerncore::symbols::Symbols;

    fn function(offset: u32, name: &str) -> Function {
        (offset, name.to_owned())
    }

    /// The name the kernel finds at each offset.
    fn read(blob: &[u8], offsets: &[u32]) -> Vec<Option<String>> {
        let symbols = Symbols::open(blob).expect("a table");
        offsets
            .iter()
            .map(|&at| symbols.look_up(at).map(|found| found.name.to_owned()))
            .collect()
    }

    fn some(names: &[&str]) -> Vec<Option<String>> {
        names
            .iter()
            .map(|name| (!name.is_empty()).then(|| (*name).to_owned()))
            .collect()
    }

    #[test]
    fn the_kernel_reads_what_fits() {
        let given = vec![
            function(0x2000, "b::two"),
            function(0x1000, "a::one"),
            function(0x2100, ""),
        ];
        let (blob, report) = encode(given, 128).expect("room");
        assert_eq!(blob.len(), 128);
        assert_eq!(
            read(&blob, &[0xfff, 0x1004, 0x2000, 0x2100]),
            some(&["", "a::one", "b::two", ""])
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
        assert_eq!(encode(given.clone(), full).expect("room").1.shortened, 0);
        let (blob, report) = encode(given, full - 1).expect("room");
        assert_eq!(read(&blob, &[1, 2]), some(&["it", "a::b"]));
        assert_eq!((report.shortened, report.left_out), (1, 0));
    }

    #[test]
    fn leaves_names_out_when_even_short_ones_do_not_fit() {
        let given = vec![function(1, "abcdefgh"), function(2, "ij")];
        let room = HEAD_BYTES + 2 * (ENTRY_BYTES + 2) + 2;
        let (blob, report) = encode(given.clone(), room).expect("room");
        assert_eq!(read(&blob, &[1, 2]), some(&["", "ij"]));
        assert_eq!((report.kept, report.left_out), (1, 1));
        assert!(
            encode(given, HEAD_BYTES).is_err(),
            "no room for the entries"
        );
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
        let mangled = "_ZN4core3fmt5Write9write_fmt17h0123456789abcdefE";
        assert_eq!(demangle(mangled), "core::fmt::Write::write_fmt");
        assert_eq!(demangle("memcpy"), "memcpy");
    }
}
