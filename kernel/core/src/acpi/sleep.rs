//! How to power off: the `\_S5` package of the definition blocks (ACPI 6.5 §7.4.2.6), found by scanning their AML bytes.
//!
//! Firmware declares it as a constant, `Name (_S5, Package () { a, b, ... })`, in practice without exception; so the
//! encoding is looked for (ACPI 6.5 §20.2) instead of interpreting AML:
//! NameOp `08`, optionally `\` (`5C`), `_S5_`, PackageOp `12`, a package length of 1 to 4 bytes, the number of elements, then integers.

use super::reader::{CHUNK_BYTES, HEADER_BYTES, Table};

/// The values of the SLP_TYP fields that mean "off", each 0 to 7.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SleepType {
    /// For the first power control register, or the sleep control register.
    pub a: u8,
    /// For the second power control register.
    pub b: u8,
}

impl SleepType {
    /// SLP_EN, the bit that starts the transition (ACPI 6.5 §4.8.3.2.1).
    const SLEEP_ENABLE: u16 = 1 << 13;
    /// What to write to the first power control register, keeping the `current` other bits.
    pub const fn pm1a_value(self, current: u16) -> u16 {
        pm1_value(current, self.a)
    }

    /// What to write to the second power control register, keeping the `current` other bits.
    pub const fn pm1b_value(self, current: u16) -> u16 {
        pm1_value(current, self.b)
    }

    /// What to write to the sleep control register of a hardware-reduced machine (ACPI 6.5 §4.8.3.7).
    pub const fn sleep_control_value(self) -> u8 {
        self.a << 2 | 1 << 5
    }
}

const fn pm1_value(current: u16, sleep_type: u8) -> u16 {
    current & !(7 << 10) | (sleep_type as u16) << 10 | SleepType::SLEEP_ENABLE
}

/// What a scan found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Package(SleepType),
    /// The name is declared, but not as a package of two small integers.
    Damaged {
        offset: u32,
    },
    Nothing,
}

const NAME: [u8; 4] = *b"_S5_";
const NAME_OP: u8 = 0x08;
const ROOT_CHAR: u8 = 0x5c;
const PACKAGE_OP: u8 = 0x12;
// The longest encoding of what is read after the name: package, its length, the count, two integers of 8 bytes.
const READ_BYTES: usize = 1 + 4 + 1 + 2 * 9;

/// Scans `table` for the package.
pub(super) fn find_soft_off(table: &Table<'_>) -> Found {
    let mut damaged = Found::Nothing;
    let mut chunk = [0u8; CHUNK_BYTES];
    let mut start = HEADER_BYTES;
    while start < table.len() {
        let len = ((table.len() - start) as usize).min(CHUNK_BYTES);
        let Some(part) = chunk.get_mut(..len) else {
            break;
        };
        if table.read(start, part).is_none() {
            break;
        }
        for (index, _) in part
            .windows(NAME.len())
            .enumerate()
            .filter(|(_, window)| *window == NAME)
        {
            let offset = start + index as u32;
            if !is_declaration(table, offset) {
                continue;
            }
            match read_package(table, offset + NAME.len() as u32) {
                Some(sleep_type) => return Found::Package(sleep_type),
                None if damaged == Found::Nothing => damaged = Found::Damaged { offset },
                None => {}
            }
        }
        if len < CHUNK_BYTES {
            break;
        }
        // A name may lie across the end of the chunk.
        start += (CHUNK_BYTES - (NAME.len() - 1)) as u32;
    }
    damaged
}

// Whether the name at `offset` follows NameOp, with or without the root character.
fn is_declaration(table: &Table<'_>, offset: u32) -> bool {
    let before = |bytes: u32| offset.checked_sub(bytes).and_then(|at| table.u8(at));
    before(1) == Some(NAME_OP) || (before(1) == Some(ROOT_CHAR) && before(2) == Some(NAME_OP))
}

fn read_package(table: &Table<'_>, offset: u32) -> Option<SleepType> {
    let mut bytes = [0u8; READ_BYTES];
    let len = (table.len().checked_sub(offset)? as usize).min(READ_BYTES);
    table.read(offset, bytes.get_mut(..len)?)?;
    let rest = bytes.get(..len)?.strip_prefix(&[PACKAGE_OP])?;
    // The top two bits of the length's first byte say how many more bytes it has.
    let more = usize::from(rest.first()? >> 6);
    let rest = rest.get(1 + more..)?;
    let (&count, rest) = rest.split_first()?;
    let (a, rest) = integer(rest)?;
    // A package of one element leaves the second register's value at 0.
    let b = if count >= 2 { integer(rest)?.0 } else { 0 };
    (count >= 1).then_some(SleepType { a, b })
}

// An integer of 0 to 7 and what follows it.
fn integer(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let (&op, rest) = bytes.split_first()?;
    let width = match op {
        0x00 | 0x01 => return Some((op, rest)),
        0x0a => 1,
        0x0b => 2,
        0x0c => 4,
        0x0e => 8,
        _ => return None,
    };
    let (value, rest) = rest.split_at_checked(width)?;
    let (&low, high) = value.split_first()?;
    (low <= 7 && high.iter().all(|&byte| byte == 0)).then_some((low, rest))
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::Signature;
    use super::super::test_tables::Builder;
    use super::super::tests::{LOAD, discover};
    use super::*;
    use std::vec;

    pub(in super::super) fn soft_off(aml: &[u8]) -> Option<SleepType> {
        let mut buffer = vec![0; aml.len() + 4096];
        let mut builder = Builder::new(&mut buffer, LOAD);
        let ssdt = builder.table(Signature::SSDT, 2, &[aml]).unwrap();
        builder.list(ssdt).unwrap();
        builder.finish().unwrap();
        discover(&buffer).soft_off
    }

    #[test]
    fn encodings_of_the_soft_off_package() {
        let expect =
            |aml: &[u8], a, b| assert_eq!(soft_off(aml), Some(SleepType { a, b }), "{aml:?}");
        expect(b"\x08_S5_\x12\x06\x04\x0a\x05\x0a\x06\x00\x00", 5, 6);
        expect(b"\x08\\_S5_\x12\x06\x04\x01\x00\x00\x00", 1, 0);
        expect(
            b"\x08_S5_\x12\x4a\x00\x02\x0b\x07\x00\x0c\x03\x00\x00\x00",
            7,
            3,
        );
        expect(b"\x08_S5_\x12\x06\x01\x0a\x05", 5, 0);
        // One that is used, not declared, and a damaged one come first.
        expect(
            b"_S5_\x12\x06\x02\x01\x01\x08_S5_\x12\x06\x02\x0d\x08_S5_\x12\x06\x02\x0a\x05\x0a\x05",
            5,
            5,
        );
        for damaged in [
            &b"\x08_S5_\x12\x06\x02\x0a\x08\x00"[..],
            b"\x08_S5_",
            b"\x08_S5_\x12",
            b"\x08_S5_\x12\xff\x02\x00",
            b"_S5_",
        ] {
            assert_eq!(soft_off(damaged), None, "{damaged:?}");
        }
        // Across the end of what is read at once, at every place.
        for before in 440..530 {
            let mut aml = vec![0xa3; before];
            aml.extend_from_slice(b"\x08_S5_\x12\x06\x02\x0a\x05\x0a\x05");
            expect(&aml, 5, 5);
        }
    }
}
