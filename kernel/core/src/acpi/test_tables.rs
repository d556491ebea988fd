//! Builds ACPI tables in a caller's buffer, as firmware would: the parser's tests use it, and the scenario that boots
//! with damaged tables (`acpi_rsdp=` and QEMU's loader device) through `examples/acpi_tables`.
//!
//! [`q35`] describes QEMU's q35 machine, so that a kernel booted with the result works; a [`Defect`] then spoils one thing.

use super::Signature;
use crate::fixed_list::FixedList;

/// A buffer of this size holds any result of [`q35`].
pub const Q35_BYTES: usize = 16 << 10;

const RSDP_BYTES: usize = 64;
const HEADER_BYTES: usize = 36;
const MAX_LISTED: usize = 32;

/// Puts tables one after the other into a buffer that will be loaded at a given physical address.
pub struct Builder<'b> {
    buffer: &'b mut [u8],
    load_address: u64,
    used: usize,
    listed: FixedList<u64, MAX_LISTED>,
}

/// The buffer is too small or there are too many tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooSmall;

impl<'b> Builder<'b> {
    /// Begins, with room for the root pointer at the start of `buffer`.
    pub fn new(buffer: &'b mut [u8], load_address: u64) -> Self {
        buffer.fill(0);
        Self {
            buffer,
            load_address,
            used: RSDP_BYTES,
            listed: FixedList::new(0),
        }
    }

    /// Adds a table of these `parts` after a header, and returns its physical address. It is not listed yet.
    ///
    /// # Errors
    /// [`TooSmall`] if the buffer is full.
    pub fn table(
        &mut self,
        signature: Signature,
        revision: u8,
        parts: &[&[u8]],
    ) -> Result<u64, TooSmall> {
        let start = self.used;
        let length = HEADER_BYTES + parts.iter().map(|part| part.len()).sum::<usize>();
        let table = self.buffer.get_mut(start..start + length).ok_or(TooSmall)?;
        table[..4].copy_from_slice(&signature.0);
        table[4..8].copy_from_slice(&(length as u32).to_le_bytes());
        table[8] = revision;
        table[10..16].copy_from_slice(b"RAEDE ");
        table[16..24].copy_from_slice(b"TESTTABL");
        let mut at = HEADER_BYTES;
        for part in parts {
            table[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
        fix_checksum(table, 9);
        // Eight-byte alignment, as firmware does.
        self.used = (start + length).next_multiple_of(8);
        Ok(self.load_address + start as u64)
    }

    /// Has the root tables list the table at `address`.
    ///
    /// # Errors
    /// [`TooSmall`] if 32 are listed.
    pub fn list(&mut self, address: u64) -> Result<(), TooSmall> {
        self.listed.push(address).map_err(|_| TooSmall)
    }

    /// The bytes of the table at `address`, to spoil, with its checksum at index 9.
    pub fn at(&mut self, address: u64) -> &mut [u8] {
        let start = address.saturating_sub(self.load_address) as usize;
        self.buffer.get_mut(start..).unwrap_or(&mut [])
    }

    /// Writes RSDT, XSDT and root pointer, and returns their addresses and how many bytes are used. The root pointer is at the load address.
    ///
    /// # Errors
    /// [`TooSmall`] if the buffer is full.
    pub fn finish(&mut self) -> Result<Finished, TooSmall> {
        let mut short = [0u8; 4 * MAX_LISTED];
        let mut long = [0u8; 8 * MAX_LISTED];
        let listed = self.listed;
        for (index, address) in listed.iter().enumerate() {
            short[index * 4..index * 4 + 4].copy_from_slice(&(*address as u32).to_le_bytes());
            long[index * 8..index * 8 + 8].copy_from_slice(&address.to_le_bytes());
        }
        let rsdt = self.table(Signature::RSDT, 1, &[&short[..listed.len() * 4]])?;
        let xsdt = self.table(Signature::XSDT, 1, &[&long[..listed.len() * 8]])?;
        let pointer = self.buffer.get_mut(..36).ok_or(TooSmall)?;
        pointer[..8].copy_from_slice(b"RSD PTR ");
        pointer[9..15].copy_from_slice(b"RAEDE ");
        pointer[15] = 2;
        pointer[16..20].copy_from_slice(&(rsdt as u32).to_le_bytes());
        pointer[20..24].copy_from_slice(&36u32.to_le_bytes());
        pointer[24..32].copy_from_slice(&xsdt.to_le_bytes());
        fix_checksum(&mut pointer[..20], 8);
        fix_checksum(pointer, 32);
        Ok(Finished {
            rsdt,
            xsdt,
            bytes: self.used,
        })
    }
}

/// Where the root tables were put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finished {
    /// Address of the RSDT.
    pub rsdt: u64,
    /// Address of the XSDT.
    pub xsdt: u64,
    /// Bytes of the buffer used.
    pub bytes: usize,
}

/// Sets the byte at `at` so that all of `bytes` sum to zero.
pub fn fix_checksum(bytes: &mut [u8], at: usize) {
    bytes[at] = 0;
    let sum = bytes.iter().fold(0u8, |sum, &byte| sum.wrapping_add(byte));
    bytes[at] = sum.wrapping_neg();
}

/// One thing wrong with a set of tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defect {
    /// Nothing.
    None,
    /// The root pointer's first checksum is wrong.
    RootPointerChecksum,
    /// There is something else in the root pointer's place.
    RootPointerMissing,
    /// The XSDT's checksum is wrong; the RSDT is intact.
    XsdtChecksum,
    /// Both root tables are damaged.
    BothRootsChecksum,
    /// The first entry of the root tables points to no memory.
    EntryUnreadable,
    /// The root tables list themselves.
    EntryToItself,
    /// The MADT's checksum is wrong.
    MadtChecksum,
    /// The MADT claims to be 4 GiB long.
    MadtLength,
    /// The MADT has an entry of length 0 after the first processor.
    MadtEntryZero,
    /// The MADT's last entry reaches past its end.
    MadtEntryTruncated,
    /// There is no MADT.
    MadtMissing,
    /// The MCFG's last bus lies before its first, and its address is odd.
    McfgNonsense,
    /// The HPET is at address 0.
    HpetAddress,
    /// The FADT is cut short.
    FadtShort,
    /// The DSDT's `\_S5` package holds strings.
    SoftOffDamaged,
}

impl Defect {
    /// Every defect with its name, as the files of `examples/acpi_tables` are called.
    pub const ALL: [(Self, &'static str); 16] = [
        (Self::None, "good"),
        (Self::RootPointerChecksum, "root-pointer-checksum"),
        (Self::RootPointerMissing, "root-pointer-missing"),
        (Self::XsdtChecksum, "xsdt-checksum"),
        (Self::BothRootsChecksum, "both-roots-checksum"),
        (Self::EntryUnreadable, "entry-unreadable"),
        (Self::EntryToItself, "entry-to-itself"),
        (Self::MadtChecksum, "madt-checksum"),
        (Self::MadtLength, "madt-length"),
        (Self::MadtEntryZero, "madt-entry-zero"),
        (Self::MadtEntryTruncated, "madt-entry-truncated"),
        (Self::MadtMissing, "madt-missing"),
        (Self::McfgNonsense, "mcfg-nonsense"),
        (Self::HpetAddress, "hpet-address"),
        (Self::FadtShort, "fadt-short"),
        (Self::SoftOffDamaged, "soft-off-damaged"),
    ];
}

// AML: Name (_S5, Package (4) { 0, 0, 0, 0 }), with other names around it.
const AML: &[u8] = b"\x08_S3_\x12\x06\x04\x0a\x01\x0a\x01\x08_S5_\x12\x06\x04\x00\x00\x00\x00\x08_S4_\x12\x06\x04\x0a\x02\x0a\x02";
// The same with strings instead of integers.
const AML_DAMAGED: &[u8] = b"\x08_S5_\x12\x08\x02\x0da\x00\x0db\x00";

/// Writes the tables of a QEMU q35 machine with `cpus` processors (at most 255) into `buffer`, to be loaded at
/// `load_address`, where the root pointer then is; `defect` is worked in. Returns how many bytes are used.
///
/// # Errors
/// [`TooSmall`] if `buffer` is under [`Q35_BYTES`].
pub fn q35(
    buffer: &mut [u8],
    load_address: u64,
    cpus: u8,
    defect: Defect,
) -> Result<usize, TooSmall> {
    let mut builder = Builder::new(buffer, load_address);
    if defect == Defect::EntryUnreadable {
        // Within 32 bits, as the RSDT holds it too, but far above any RAM there and below any device.
        builder.list(0xdead_0000)?;
    }
    let aml = if defect == Defect::SoftOffDamaged {
        AML_DAMAGED
    } else {
        AML
    };
    let dsdt = builder.table(Signature::DSDT, 2, &[aml])?;
    let fadt = fadt(&mut builder, dsdt, defect)?;
    builder.list(fadt)?;
    if defect != Defect::MadtMissing {
        let madt = madt(&mut builder, cpus, defect)?;
        builder.list(madt)?;
    }
    let mut window = [0u8; 24];
    window[8..16].copy_from_slice(&0xb000_0000u64.to_le_bytes());
    window[19] = 255;
    if defect == Defect::McfgNonsense {
        window[8] = 1;
        window[18..20].copy_from_slice(&[9, 3]);
    }
    let mcfg = builder.table(Signature::MCFG, 1, &[&window])?;
    builder.list(mcfg)?;
    let mut hpet = [0u8; 20];
    hpet[..4].copy_from_slice(&0x8086_a201u32.to_le_bytes());
    if defect != Defect::HpetAddress {
        hpet[8..16].copy_from_slice(&0xfed0_0000u64.to_le_bytes());
    }
    let hpet = builder.table(Signature::HPET, 1, &[&hpet])?;
    builder.list(hpet)?;
    if defect == Defect::EntryToItself {
        // The RSDT comes next, and the XSDT after it; both lists name both.
        let rsdt = load_address + builder.used as u64;
        let entries = builder.listed.len() + 2;
        let xsdt = rsdt + (HEADER_BYTES + entries * 4).next_multiple_of(8) as u64;
        builder.list(rsdt)?;
        builder.list(xsdt)?;
    }
    let finished = builder.finish()?;
    match defect {
        Defect::RootPointerChecksum => builder.at(load_address)[8] ^= 0x40,
        Defect::RootPointerMissing => builder.at(load_address)[..8].copy_from_slice(b"NOTHING!"),
        Defect::XsdtChecksum => builder.at(finished.xsdt)[9] ^= 0x40,
        Defect::BothRootsChecksum => {
            builder.at(finished.xsdt)[9] ^= 0x40;
            builder.at(finished.rsdt)[9] ^= 0x40;
        }
        _ => {}
    }
    Ok(finished.bytes)
}

fn fadt(builder: &mut Builder<'_>, dsdt: u64, defect: Defect) -> Result<u64, TooSmall> {
    // The table as of ACPI 2.0, from offset 36 on.
    let mut body = [0u8; 244 - HEADER_BYTES];
    let mut put = |offset: usize, bytes: &[u8]| {
        body[offset - HEADER_BYTES..offset - HEADER_BYTES + bytes.len()].copy_from_slice(bytes);
    };
    let io = |bits: u8, port: u8, page: u8| [1, bits, 0, 0, port, page, 0, 0, 0, 0, 0, 0];
    put(40, &(dsdt as u32).to_le_bytes());
    put(46, &9u16.to_le_bytes());
    put(48, &0xb2u32.to_le_bytes());
    put(52, &[2, 3]);
    put(56, &0x600u32.to_le_bytes());
    put(64, &0x604u32.to_le_bytes());
    put(76, &0x608u32.to_le_bytes());
    put(88, &[4, 2, 0, 4]);
    put(108, &[0x32]);
    put(109, &2u16.to_le_bytes());
    put(112, &(1u32 << 10 | 1 << 8).to_le_bytes());
    put(116, &io(8, 0xf9, 0x0c));
    put(128, &[0x0f]);
    put(140, &dsdt.to_le_bytes());
    put(148, &io(32, 0x00, 0x06));
    put(172, &io(16, 0x04, 0x06));
    put(208, &io(32, 0x08, 0x06));
    let body = if defect == Defect::FadtShort {
        &body[..40]
    } else {
        &body[..]
    };
    builder.table(Signature::FADT, 3, &[body])
}

fn madt(builder: &mut Builder<'_>, cpus: u8, defect: Defect) -> Result<u64, TooSmall> {
    let mut cpu_entries = [0u8; 8 * 255];
    for (index, entry) in cpu_entries.chunks_exact_mut(8).enumerate() {
        entry.copy_from_slice(&[0, 8, index as u8, index as u8, 1, 0, 0, 0]);
    }
    if defect == Defect::MadtEntryZero {
        cpu_entries[9] = 0;
    }
    let used = &cpu_entries[..8 * usize::from(cpus)];
    let head = [0x00, 0x00, 0xe0, 0xfe, 1, 0, 0, 0];
    let io_apic = [1, 12, 0, 0, 0x00, 0x00, 0xc0, 0xfe, 0, 0, 0, 0];
    // The timer on input 2; the interrupts of PCI links 5, 9, 10 and 11 are level, active high.
    let timer = [2, 10, 0, 0, 2, 0, 0, 0, 0, 0];
    let link = |irq: u8| [2, 10, 0, irq, irq, 0, 0, 0, 0x0d, 0];
    let local_nmi = [
        4,
        if defect == Defect::MadtEntryTruncated {
            60
        } else {
            6
        },
        0xff,
        0,
        0,
        1,
    ];
    let parts: [&[u8]; 9] = [
        &head,
        used,
        &io_apic,
        &timer,
        &link(5),
        &link(9),
        &link(10),
        &link(11),
        &local_nmi,
    ];
    let madt = builder.table(Signature::MADT, 3, &parts)?;
    match defect {
        Defect::MadtChecksum => builder.at(madt)[9] ^= 0x40,
        Defect::MadtLength => builder.at(madt)[4..8].copy_from_slice(&u32::MAX.to_le_bytes()),
        _ => {}
    }
    Ok(madt)
}
