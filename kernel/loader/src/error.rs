//! What can be wrong with a program's file.

use core::fmt;

/// Why a file is not loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ImageError {
    /// It is no ELF file, or its headers are cut off.
    NotElf,
    /// It is for another processor, word size or byte order.
    WrongMachine,
    /// It is not position-independent: link it with `-static-pie`.
    NotPie,
    /// It has no program headers.
    NoSegments,
    /// It has more segments to load than [`MAX_SEGMENTS`](crate::image::MAX_SEGMENTS).
    TooManySegments,
    /// It asks for an interpreter or other libraries: link it statically.
    Dynamic,
    /// It has thread-local storage, for which nothing here makes room.
    ThreadLocal,
    /// It asks for an executable stack.
    ExecutableStack,
    /// A segment's bytes are not in the file, or it is smaller in memory than in the file.
    SegmentBytes {
        /// Its address.
        address: u64,
    },
    /// A segment reaches beyond [`MAX_SPAN_BYTES`](crate::image::MAX_SPAN_BYTES).
    SegmentTooHigh {
        /// Its address.
        address: u64,
    },
    /// The lowest segment does not begin on page 0 of the image.
    NotAtZero,
    /// A segment begins below the end of the one before, or on the same page.
    SegmentOverlap {
        /// Its address.
        address: u64,
    },
    /// A segment would be writable and executable.
    WriteExecute {
        /// Its address.
        address: u64,
    },
    /// The first instruction is not in executable memory.
    Entry {
        /// Its address.
        address: u64,
    },
    /// The part to become read-only after relocation does not lie in one writable segment.
    Relro,
    /// The dynamic section cannot be read.
    DynamicSection,
    /// The relocation table is not in the file, or of another format.
    RelocationTable,
    /// A relocation of another kind than `R_X86_64_RELATIVE`.
    RelocationKind {
        /// Its type (System V ABI, AMD64 supplement, table 4.10).
        kind: u32,
    },
    /// A relocation's place does not lie in writable memory.
    RelocationPlace {
        /// Its address.
        address: u64,
    },
    /// A relocation points outside of the image.
    RelocationTarget {
        /// The address it points to.
        address: u64,
    },
}

impl fmt::Display for ImageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NotElf => f.write_str("not an ELF file, or cut off"),
            Self::WrongMachine => f.write_str("not an ELF file for x86-64"),
            Self::NotPie => f.write_str("not position-independent: link it with -static-pie"),
            Self::NoSegments => f.write_str("it has no segments"),
            Self::TooManySegments => f.write_str("it has too many segments"),
            Self::Dynamic => f.write_str("it needs shared libraries: link it statically"),
            Self::ThreadLocal => f.write_str("it has thread-local storage, which is not supported"),
            Self::ExecutableStack => f.write_str("it asks for an executable stack"),
            Self::SegmentBytes { address } => {
                write!(
                    f,
                    "the bytes of the segment at {address:#x} are not in the file"
                )
            }
            Self::SegmentTooHigh { address } => {
                write!(f, "the segment at {address:#x} reaches too high")
            }
            Self::NotAtZero => f.write_str("its lowest segment does not begin on page 0"),
            Self::SegmentOverlap { address } => {
                write!(
                    f,
                    "the segment at {address:#x} shares a page with the one before"
                )
            }
            Self::WriteExecute { address } => {
                write!(
                    f,
                    "the segment at {address:#x} would be writable and executable"
                )
            }
            Self::Entry { address } => {
                write!(
                    f,
                    "the first instruction, {address:#x}, is not in executable memory"
                )
            }
            Self::Relro => {
                f.write_str("what relocation makes read-only is not in one writable segment")
            }
            Self::DynamicSection => f.write_str("its dynamic section cannot be read"),
            Self::RelocationTable => f.write_str("its relocation table cannot be read"),
            Self::RelocationKind { kind } => {
                write!(
                    f,
                    "it has relocations of kind {kind}; only R_X86_64_RELATIVE (8) is supported"
                )
            }
            Self::RelocationPlace { address } => {
                write!(
                    f,
                    "the relocation at {address:#x} is not in writable memory"
                )
            }
            Self::RelocationTarget { address } => {
                write!(
                    f,
                    "a relocation points to {address:#x}, outside of the program"
                )
            }
        }
    }
}

impl core::error::Error for ImageError {}
