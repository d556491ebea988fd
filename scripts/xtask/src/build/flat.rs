//! The flat file: the ELF's loaded segments laid out as in physical memory.
//!
//! Its first page holds a PE header and a multiboot2 header (both come from the linker script),
//! so the same bytes are a UEFI application and what GRUB loads.

use crate::error::{Doing, Error, Result};
use object::Endianness;
use object::elf::{FileHeader64, PT_LOAD};
use object::read::elf::{FileHeader, ProgramHeader};
use std::fs;
use std::path::Path;

/// More than any kernel: a bad address must not allocate the host's memory.
const LIMIT_BYTES: u64 = 256 << 20;

/// Makes the flat file of an ELF file: the `PT_LOAD` segments' file bytes at their physical
/// addresses relative to the lowest, zeros between. Memory beyond the last file byte (.bss) is
/// not in it; both headers state its size.
pub fn flatten(elf: &[u8]) -> std::result::Result<Vec<u8>, String> {
    let header = FileHeader64::<Endianness>::parse(elf)
        .map_err(|error| format!("not an ELF file: {error}"))?;
    let endian = header.endian().map_err(|error| error.to_string())?;
    let segments = header
        .program_headers(endian, elf)
        .map_err(|error| error.to_string())?;
    let mut loads = Vec::new();
    for segment in segments
        .iter()
        .filter(|segment| segment.p_type(endian) == PT_LOAD)
    {
        let data = segment
            .data(endian, elf)
            .map_err(|()| "a segment is cut off".to_owned())?;
        if !data.is_empty() {
            loads.push((segment.p_paddr(endian), data));
        }
    }
    loads.sort_by_key(|(address, _)| *address);
    let base = loads.first().ok_or("no segment to load")?.0;
    let mut flat: Vec<u8> = Vec::new();
    for (address, data) in loads {
        let start = address - base;
        if start > LIMIT_BYTES {
            return Err(format!("a segment lies {start:#x} bytes beyond the first"));
        }
        let start = usize::try_from(start).map_err(|error| error.to_string())?;
        if start < flat.len() {
            return Err(format!("segments overlap at physical address {address:#x}"));
        }
        flat.resize(start, 0);
        flat.extend_from_slice(data);
    }
    Ok(flat)
}

/// Writes the flat file of the kernel at `elf` to `out`.
pub fn write(elf: &Path, out: &Path) -> Result<()> {
    let data = fs::read(elf).doing(|| format!("reading {}", elf.display()))?;
    let flat = flatten(&data).map_err(|problem| Error::Format {
        path: elf.into(),
        problem,
    })?;
    if !flat.starts_with(b"MZ") {
        let problem = "its first segment does not start with a PE header".into();
        return Err(Error::Format {
            path: elf.into(),
            problem,
        });
    }
    fs::write(out, flat).doing(|| format!("writing {}", out.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An ELF file with these segments: physical address, bytes.
    fn elf(segments: &[(u64, &[u8])]) -> Vec<u8> {
        let mut file = b"\x7fELF\x02\x01\x01".to_vec();
        file.resize(16, 0);
        file.extend([3, 0, 62, 0, 1, 0, 0, 0]);
        file.extend([0; 8]); // entry
        file.extend(64u64.to_le_bytes()); // program headers
        file.extend([0; 12]); // section headers, flags
        file.extend([64, 0, 56, 0]);
        file.extend(u16::try_from(segments.len()).expect("few").to_le_bytes());
        file.extend([64, 0, 0, 0, 0, 0]);
        let mut at = 64 + 56 * segments.len() as u64;
        for (address, data) in segments {
            file.extend([1, 0, 0, 0, 4, 0, 0, 0]);
            for word in [
                at,
                *address,
                *address,
                data.len() as u64,
                data.len() as u64,
                1,
            ] {
                file.extend(word.to_le_bytes());
            }
            at += data.len() as u64;
        }
        for (_, data) in segments {
            file.extend(*data);
        }
        file
    }

    #[test]
    fn lays_segments_out_by_physical_address() {
        let flat = flatten(&elf(&[(0x2004, b"cd"), (0x2000, b"ab")])).expect("flat");
        assert_eq!(flat, b"ab\0\0cd");
    }

    #[test]
    fn refuses_nonsense() {
        assert!(flatten(b"MZ").is_err());
        assert!(flatten(&elf(&[])).is_err());
        assert!(flatten(&elf(&[(0x1000, b"abcd"), (0x1002, b"x")])).is_err());
        assert!(flatten(&elf(&[(0, b"a"), (1 << 40, b"b")])).is_err());
        let whole = elf(&[(0, b"abcd")]);
        assert!(flatten(&whole[..whole.len() - 1]).is_err());
    }
}
