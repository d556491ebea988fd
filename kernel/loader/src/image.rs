//! Static position-independent executables (System V gABI, "Object Files"; System V ABI, AMD64 supplement).

use abi::memory::PAGE_BYTES;
use elf::ElfBytes;
use elf::abi::{
    DT_INIT_ARRAY, DT_JMPREL, DT_NEEDED, DT_NULL, DT_REL, DT_RELA, DT_RELAENT, DT_RELASZ,
    DT_TEXTREL, ELFCLASS64, ELFDATA2LSB, EM_X86_64, ET_DYN, PF_W, PF_X, PT_DYNAMIC, PT_GNU_RELRO,
    PT_GNU_STACK, PT_INTERP, PT_LOAD, PT_TLS, R_X86_64_RELATIVE,
};
use elf::dynamic::DynamicTable;
use elf::endian::LittleEndian;
use elf::file::Class;
use elf::relocation::RelaIterator;
use elf::segment::ProgramHeader;

use crate::error::ImageError;

/// Most segments that are loaded. A linker makes four or five.
pub const MAX_SEGMENTS: usize = 16;
/// Most addresses that an image spans, in bytes.
pub const MAX_SPAN_BYTES: u64 = 1 << 30;
/// Tag of a table of packed relative relocations (System V gABI, "Relocation").
const DT_RELR: i64 = 36;
/// Bytes of an `Elf64_Rela`.
const RELA_BYTES: u64 = 24;

/// What may be done with a region of memory, beside reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nothing.
    Read,
    /// Writing it.
    Write,
    /// Executing it.
    Execute,
}

/// A part of the file that is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment<'a> {
    /// Where it goes, relative to the image's base. Not always a multiple of the page size.
    pub address: u64,
    /// What is there.
    pub bytes: &'a [u8],
    /// Its length in memory: bytes beyond those of the file are zeroes.
    pub len: u64,
    /// What may be done with it. Parts of a writable one may become read-only: see [`Image::regions`].
    pub access: Access,
}

impl Segment<'_> {
    /// Pages `[first byte, end)` it lies on.
    fn pages(&self) -> (u64, u64) {
        let start = self.address - self.address % PAGE_BYTES;
        (
            start,
            (self.address + self.len).next_multiple_of(PAGE_BYTES),
        )
    }

    /// Whether `len` bytes at `address` lie in its memory.
    fn holds(&self, address: u64, len: u64) -> bool {
        address
            .checked_sub(self.address)
            .and_then(|offset| offset.checked_add(len))
            .is_some_and(|end| end <= self.len)
    }
}

/// Pages with one access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// Where, relative to the image's base: a multiple of the page size.
    pub address: u64,
    /// A multiple of the page size, not 0.
    pub len: u64,
    /// What may be done with it.
    pub access: Access,
}

/// Where [`Image::load`] writes.
pub trait Memory {
    /// Why it cannot.
    type Error;

    /// Copies `bytes` to `address`, relative to the image's base; within [`Image::span_bytes`]. What is never written is zero.
    ///
    /// # Errors
    /// Which end the loading.
    fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), Self::Error>;
}

impl Memory for [u8] {
    type Error = core::convert::Infallible;

    /// What lies outside of the slice is left out.
    fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), Self::Error> {
        let place = usize::try_from(address)
            .ok()
            .and_then(|start| self.get_mut(start..start.checked_add(bytes.len())?));
        if let Some(place) = place {
            place.copy_from_slice(bytes);
        }
        Ok(())
    }
}

/// An executable that was checked: everything said about it holds.
#[derive(Clone, Debug)]
pub struct Image<'a> {
    segments: [Segment<'a>; MAX_SEGMENTS],
    count: usize,
    entry: u64,
    /// Whole pages that only relocation writes.
    relro: (u64, u64),
    relocations: &'a [u8],
}

impl<'a> Image<'a> {
    /// Checks a file.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(file: &'a [u8]) -> Result<Self, ImageError> {
        // The first bytes before the parser sees them, so that "no ELF file" and "another kind of ELF file" are told apart.
        match file {
            [0x7f, b'E', b'L', b'F', ELFCLASS64, ELFDATA2LSB, ..] => {}
            [0x7f, b'E', b'L', b'F', _, _, ..] => return Err(ImageError::WrongMachine),
            _ => return Err(ImageError::NotElf),
        }
        let elf = ElfBytes::<LittleEndian>::minimal_parse(file).map_err(|_| ImageError::NotElf)?;
        let head = elf.ehdr;
        if head.e_machine != EM_X86_64 {
            return Err(ImageError::WrongMachine);
        }
        if head.e_type != ET_DYN {
            return Err(ImageError::NotPie);
        }
        let headers = elf.segments().ok_or(ImageError::NoSegments)?;
        let nothing = Segment {
            address: 0,
            bytes: &[],
            len: 0,
            access: Access::Read,
        };
        let mut image = Self {
            segments: [nothing; MAX_SEGMENTS],
            count: 0,
            entry: head.e_entry,
            relro: (0, 0),
            relocations: &[],
        };
        let mut dynamic = None;
        let mut relro = None;
        for header in headers.iter() {
            match header.p_type {
                PT_LOAD => image.add(file, &header)?,
                PT_INTERP => return Err(ImageError::Dynamic),
                PT_TLS if header.p_memsz > 0 => return Err(ImageError::ThreadLocal),
                PT_GNU_STACK if header.p_flags & PF_X != 0 => {
                    return Err(ImageError::ExecutableStack);
                }
                PT_DYNAMIC => dynamic = Some(header),
                PT_GNU_RELRO => relro = Some(header),
                _ => {}
            }
        }
        if image.count == 0 {
            return Err(ImageError::NoSegments);
        }
        image.check_entry()?;
        if let Some(header) = relro {
            image.set_relro(&header)?;
        }
        if let Some(header) = dynamic {
            image.read_dynamic(bytes_of(file, &header).ok_or(ImageError::DynamicSection)?)?;
        }
        image.check_relocations()?;
        Ok(image)
    }

    /// Adds a segment; they come in order of their addresses.
    fn add(&mut self, file: &'a [u8], header: &ProgramHeader) -> Result<(), ImageError> {
        let address = header.p_vaddr;
        if header.p_memsz == 0 {
            return Ok(());
        }
        let bytes = bytes_of(file, header)
            .filter(|_| header.p_filesz <= header.p_memsz)
            .ok_or(ImageError::SegmentBytes { address })?;
        if address
            .checked_add(header.p_memsz)
            .is_none_or(|end| end > MAX_SPAN_BYTES)
        {
            return Err(ImageError::SegmentTooHigh { address });
        }
        let access = match (header.p_flags & PF_W != 0, header.p_flags & PF_X != 0) {
            (true, true) => return Err(ImageError::WriteExecute { address }),
            (true, false) => Access::Write,
            (false, true) => Access::Execute,
            (false, false) => Access::Read,
        };
        let segment = Segment {
            address,
            bytes,
            len: header.p_memsz,
            access,
        };
        match self.segments().last() {
            None if segment.pages().0 != 0 => return Err(ImageError::NotAtZero),
            Some(before) if segment.pages().0 < before.pages().1 => {
                return Err(ImageError::SegmentOverlap { address });
            }
            _ => {}
        }
        *self
            .segments
            .get_mut(self.count)
            .ok_or(ImageError::TooManySegments)? = segment;
        self.count += 1;
        Ok(())
    }

    fn check_entry(&self) -> Result<(), ImageError> {
        let address = self.entry;
        let fits = self
            .segments()
            .iter()
            .any(|segment| segment.access == Access::Execute && segment.holds(address, 1));
        fits.then_some(()).ok_or(ImageError::Entry { address })
    }

    fn set_relro(&mut self, header: &ProgramHeader) -> Result<(), ImageError> {
        if header.p_memsz == 0 {
            return Ok(());
        }
        let (start, len) = (header.p_vaddr, header.p_memsz);
        let segment = self
            .segments()
            .iter()
            .find(|segment| segment.access == Access::Write && segment.holds(start, len))
            .ok_or(ImageError::Relro)?;
        // Only whole pages can be protected; on the segment's own first page nothing else lies before it.
        let first = if start == segment.address {
            segment.pages().0
        } else {
            start.next_multiple_of(PAGE_BYTES)
        };
        let end = start + len;
        let last = if end == segment.address + segment.len {
            segment.pages().1
        } else {
            end - end % PAGE_BYTES
        };
        if first < last {
            self.relro = (first, last);
        }
        Ok(())
    }

    fn read_dynamic(&mut self, bytes: &[u8]) -> Result<(), ImageError> {
        let (mut table, mut size, mut entry) = (None, 0, RELA_BYTES);
        for item in DynamicTable::new(LittleEndian, Class::ELF64, bytes) {
            match item.d_tag {
                DT_NULL => break,
                DT_NEEDED => return Err(ImageError::Dynamic),
                DT_RELA => table = Some(item.d_ptr()),
                DT_RELASZ => size = item.d_val(),
                DT_RELAENT => entry = item.d_val(),
                DT_REL | DT_RELR | DT_JMPREL | DT_TEXTREL | DT_INIT_ARRAY => {
                    return Err(ImageError::DynamicSection);
                }
                _ => {}
            }
        }
        let Some(address) = table else {
            return Ok(());
        };
        if entry != RELA_BYTES || !size.is_multiple_of(RELA_BYTES) {
            return Err(ImageError::RelocationTable);
        }
        self.relocations = self
            .file_bytes(address, size)
            .ok_or(ImageError::RelocationTable)?;
        Ok(())
    }

    /// The file's bytes that are loaded to `address`.
    fn file_bytes(&self, address: u64, len: u64) -> Option<&'a [u8]> {
        self.segments().iter().find_map(|segment| {
            let start = usize::try_from(address.checked_sub(segment.address)?).ok()?;
            let end = start.checked_add(usize::try_from(len).ok()?)?;
            segment.bytes.get(start..end)
        })
    }

    fn check_relocations(&self) -> Result<(), ImageError> {
        let span = self.span_bytes();
        for item in self.relocation_entries() {
            if item.r_type != R_X86_64_RELATIVE || item.r_sym != 0 {
                return Err(ImageError::RelocationKind { kind: item.r_type });
            }
            let address = item.r_offset;
            let writable = self
                .segments()
                .iter()
                .any(|segment| segment.access == Access::Write && segment.holds(address, 8));
            if !writable {
                return Err(ImageError::RelocationPlace { address });
            }
            // One past the end is where an empty range may end.
            let target = item.r_addend as u64;
            if target > span {
                return Err(ImageError::RelocationTarget { address: target });
            }
        }
        Ok(())
    }

    /// The words that depend on `base`, the address its first page is mapped at: where each lies, relative to that, and what it is then.
    pub fn relocated(&self, base: u64) -> impl Iterator<Item = (u64, u64)> + 'a {
        let entries = self.relocation_entries();
        entries.map(move |item| (item.r_offset, base.wrapping_add(item.r_addend as u64)))
    }

    fn relocation_entries(&self) -> RelaIterator<'a, LittleEndian> {
        RelaIterator::new(LittleEndian, Class::ELF64, self.relocations)
    }

    /// How many bytes of addresses it takes from its base on: a multiple of the page size, not 0.
    #[must_use]
    pub fn span_bytes(&self) -> u64 {
        self.segments().last().map_or(0, |last| last.pages().1)
    }

    /// Its first instruction, relative to its base.
    #[must_use]
    pub const fn entry(&self) -> u64 {
        self.entry
    }

    /// What is loaded, by address.
    #[must_use]
    pub fn segments(&self) -> &[Segment<'a>] {
        self.segments.get(..self.count).unwrap_or_default()
    }

    /// How to map what was loaded, by address, not overlapping: pages that only relocation writes are read-only.
    pub fn regions(&self) -> impl Iterator<Item = Region> + '_ {
        self.segments().iter().flat_map(|segment| {
            let (start, end) = segment.pages();
            let (mut first, mut last) = (end, end);
            if segment.access == Access::Write && self.relro.0 >= start && self.relro.1 <= end {
                (first, last) = self.relro;
            }
            [
                (start, first, segment.access),
                (first, last, Access::Read),
                (last, end, segment.access),
            ]
            .into_iter()
            .filter(|(start, end, _)| start < end)
            .map(|(start, end, access)| Region {
                address: start,
                len: end - start,
                access,
            })
        })
    }

    /// How many words of it depend on where it is loaded.
    #[must_use]
    pub fn relocation_count(&self) -> usize {
        self.relocations.len() / RELA_BYTES as usize
    }

    /// Writes the segments, then every word that depends on `base`, the address its first page is mapped at.
    ///
    /// # Errors
    /// The memory's.
    pub fn load<M: Memory + ?Sized>(&self, base: u64, memory: &mut M) -> Result<(), M::Error> {
        for segment in self.segments() {
            if !segment.bytes.is_empty() {
                memory.write(segment.address, segment.bytes)?;
            }
        }
        for (address, value) in self.relocated(base) {
            memory.write(address, &value.to_le_bytes())?;
        }
        Ok(())
    }
}

/// A segment's bytes in the file.
fn bytes_of<'a>(file: &'a [u8], header: &ProgramHeader) -> Option<&'a [u8]> {
    let start = usize::try_from(header.p_offset).ok()?;
    let end = start.checked_add(usize::try_from(header.p_filesz).ok()?)?;
    file.get(start..end)
}
