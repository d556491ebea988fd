//! The root pointer (RSDP): ACPI 6.5 §5.2.5.
//!
//! Layout: `"RSD PTR "`, u8 checksum of the first 20 bytes, u8\[6\] OEM, u8 revision, u32 RSDT; from revision 2 on
//! u32 length, u64 XSDT, u8 checksum of all `length` bytes, u8\[3\] reserved.

use super::Signature;
use super::problem::{Problem, ProblemKind, Problems};
use super::reader::{CHUNK_BYTES, Reader, field};
use core::fmt;

const SIGNATURE: [u8; 8] = *b"RSD PTR ";
const FIRST_BYTES: u32 = 20;
const SECOND_BYTES: u32 = 36;
// Nothing defined so far is longer than 36 bytes.
const MOST_BYTES: u32 = 256;

/// Who gave the root pointer's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RootSource {
    /// `acpi_rsdp=` on the command line.
    CommandLine,
    /// The loader or UEFI.
    Boot,
    /// A search of the BIOS areas.
    BiosSearch,
}

impl fmt::Display for RootSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CommandLine => "the command line",
            Self::Boot => "the boot loader",
            Self::BiosSearch => "a search of the BIOS areas",
        })
    }
}

/// A valid root pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Root {
    /// Where it is.
    pub address: u64,
    /// Who said so.
    pub source: RootSource,
    /// Its revision: 0 for ACPI 1.0, else 2.
    pub revision: u8,
    /// Who made the firmware.
    pub oem: [u8; 6],
    /// Address of the RSDT; 0 if there is none.
    pub rsdt: u64,
    /// Address of the XSDT; 0 if there is none.
    pub xsdt: u64,
}

/// Reads the root pointer at `address`. If only its second half is damaged, the first is used.
pub(super) fn read(reader: &Reader<'_>, address: u64, problems: &mut Problems) -> Option<Root> {
    let mut problem = |kind| problems.push(Problem::whole(Signature::RSDP, address, kind));
    let mut bytes = [0u8; FIRST_BYTES as usize];
    if reader.read(address, &mut bytes).is_none() {
        problem(ProblemKind::Unreadable);
        return None;
    }
    if !bytes.starts_with(&SIGNATURE) {
        problem(ProblemKind::BadSignature {
            found: Signature(field(&bytes, 0)),
        });
        return None;
    }
    let sum = bytes.iter().fold(0u8, |sum, &byte| sum.wrapping_add(byte));
    if sum != 0 {
        problem(ProblemKind::BadChecksum { sum });
        return None;
    }
    let mut root = Root {
        address,
        source: RootSource::Boot,
        revision: bytes[15],
        oem: field(&bytes, 9),
        rsdt: u64::from(u32::from_le_bytes(field(&bytes, 16))),
        xsdt: 0,
    };
    if root.revision >= 2 {
        match read_second(reader, address) {
            Ok(xsdt) => root.xsdt = xsdt,
            Err(kind) => problem(kind),
        }
    }
    Some(root)
}

fn read_second(reader: &Reader<'_>, address: u64) -> Result<u64, ProblemKind> {
    let mut bytes = [0u8; SECOND_BYTES as usize];
    reader
        .read(address, &mut bytes)
        .ok_or(ProblemKind::Unreadable)?;
    let length = u32::from_le_bytes(field(&bytes, 20));
    if !(SECOND_BYTES..=MOST_BYTES).contains(&length) {
        return Err(ProblemKind::BadLength {
            length,
            least: SECOND_BYTES,
            most: MOST_BYTES,
        });
    }
    match reader.sum(address, length) {
        Some(0) => Ok(u64::from_le_bytes(field(&bytes, 24))),
        Some(sum) => Err(ProblemKind::BadChecksum { sum }),
        None => Err(ProblemKind::Unreadable),
    }
}

// ACPI 6.5 §5.2.5.1: the first KiB of the extended BIOS data area, then the BIOS's read-only area; on 16-byte boundaries.
const EBDA_SEGMENT_AT: u64 = 0x40e;
const EBDA_POSSIBLE: core::ops::Range<u64> = 0x8_0000..0xa_0000;
const EBDA_SEARCHED_BYTES: u64 = 1024;
const BIOS_AREA: core::ops::Range<u64> = 0xe_0000..0x10_0000;
const STEP_BYTES: usize = 16;

/// The address of the first intact root pointer in the BIOS areas.
pub(super) fn search_bios(reader: &Reader<'_>) -> Option<u64> {
    let mut segment = [0u8; 2];
    let ebda = reader
        .read(EBDA_SEGMENT_AT, &mut segment)
        .map(|()| u64::from(u16::from_le_bytes(segment)) << 4);
    let ebda = ebda
        .filter(|start| EBDA_POSSIBLE.contains(start))
        .map(|start| start..start + EBDA_SEARCHED_BYTES);
    ebda.into_iter()
        .chain([BIOS_AREA])
        .find_map(|area| search(reader, area))
}

fn search(reader: &Reader<'_>, area: core::ops::Range<u64>) -> Option<u64> {
    let mut chunk = [0u8; CHUNK_BYTES];
    for start in area.step_by(CHUNK_BYTES) {
        if reader.read(start, &mut chunk).is_none() {
            continue;
        }
        for (index, piece) in chunk.chunks_exact(STEP_BYTES).enumerate() {
            let address = start + (index * STEP_BYTES) as u64;
            if piece.starts_with(&SIGNATURE) && reader.sum(address, FIRST_BYTES) == Some(0) {
                return Some(address);
            }
        }
    }
    None
}
