//! Hostile tables: whatever their bytes, the parser returns, within its budget, with messages and without a panic.

use super::sleep::tests::soft_off;
use super::test_tables::{Builder, Defect, fix_checksum};
use super::tests::{Image, LOAD, discover, messages, one_table, tables};
use super::*;
use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

proptest! {
    // Any change to good tables, with checksums made right again so that the damage gets past them.
    #[test]
    fn mutated_tables_are_survived(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..24),
        fix in prop::bool::weighted(0.9), cut: prop::sample::Index, cut_at_all in prop::bool::weighted(0.2),
    ) {
        let mut bytes = tables(4, Defect::None);
        let starts = table_starts(&bytes);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if fix {
            for start in starts {
                let length = u32::from_le_bytes(bytes[start + 4..start + 8].try_into().unwrap()) as usize;
                if (36..bytes.len() - start).contains(&length) {
                    fix_checksum(&mut bytes[start..start + length], 9);
                }
            }
            bytes[..8].copy_from_slice(b"RSD PTR ");
            fix_checksum(&mut bytes[..20], 8);
            fix_checksum(&mut bytes[..36], 32);
        }
        if cut_at_all {
            let len = cut.index(bytes.len());
            bytes.truncate(len);
        }
        survives(&bytes)?;
    }

    #[test]
    fn random_tables_are_survived(
        bodies in prop::collection::vec((0..6usize, prop::collection::vec(any::<u8>(), 0..300)), 0..8)
    ) {
        let names = [Signature::MADT, Signature::MCFG, Signature::HPET, Signature::FADT, Signature::SSDT, Signature(*b"\xff\0AB")];
        let mut buffer = vec![0; 8192];
        let mut builder = Builder::new(&mut buffer, LOAD);
        for (name, body) in bodies {
            let table = builder.table(names[name], 3, &[&body]).unwrap();
            builder.list(table).unwrap();
        }
        builder.finish().unwrap();
        survives(&buffer)?;
    }

    #[test]
    fn random_madt_entries_are_survived(
        entries in prop::collection::vec((0..18u8, 0..20u8, prop::collection::vec(any::<u8>(), 18)), 0..200)
    ) {
        let mut body = vec![0, 0, 0xe0, 0xfe, 1, 0, 0, 0];
        for (kind, length, bytes) in entries {
            body.extend_from_slice(&[kind, length]);
            body.extend_from_slice(&bytes[..usize::from(length).saturating_sub(2)]);
        }
        let acpi = one_table(Signature::MADT, 5, &body);
        prop_assert!(acpi.madt.is_none_or(|madt| !madt.cpus.is_empty() && !madt.io_apics.is_empty()));
    }

    #[test]
    fn random_aml_is_survived(
        pieces in prop::collection::vec(prop_oneof![
            Just(b"\x08_S5_\x12".to_vec()), Just(b"_S5_".to_vec()), Just(b"\x08\\".to_vec()),
            prop::collection::vec(any::<u8>(), 0..12)
        ], 0..200)
    ) {
        let _ = soft_off(&pieces.concat());
    }
}

fn table_starts(bytes: &[u8]) -> Vec<usize> {
    discover(bytes)
        .tables
        .iter()
        .map(|table| (table.address - LOAD) as usize)
        .collect()
}

fn survives(bytes: &[u8]) -> Result<(), TestCaseError> {
    let memory = Image::new(LOAD, bytes);
    let mut acpi = Acpi::EMPTY;
    acpi.discover(
        &memory,
        Candidates {
            command_line: Some(LOAD),
            boot: Some(LOAD + 64),
            search_bios: true,
        },
    );
    prop_assert!(memory.reads.get() <= READ_BUDGET_BYTES / 16);
    for message in messages(&acpi) {
        prop_assert!(message.starts_with("ACPI ") && message.len() < 400);
    }
    prop_assert!(acpi.root.is_some() || !acpi.problems.as_slice().is_empty());
    Ok(())
}

#[test]
fn the_budget_bounds_everything() {
    // A root table naming 128 tables that are each 4 MiB long and all overlap.
    let mut buffer = vec![0u8; 6 << 20];
    let mut builder = Builder::new(&mut buffer, LOAD);
    for index in 0..30u64 {
        builder.list(LOAD + 0x10_0000 + index * 64).unwrap();
    }
    builder.finish().unwrap();
    for index in 0..30usize {
        let at = 0x10_0000 + index * 64;
        buffer[at..at + 4].copy_from_slice(b"SSDT");
        buffer[at + 4..at + 8].copy_from_slice(&MAX_TABLE_BYTES.to_le_bytes());
    }
    let memory = Image::new(LOAD, &buffer);
    let mut acpi = Acpi::EMPTY;
    acpi.discover(
        &memory,
        Candidates {
            command_line: Some(LOAD),
            ..Candidates::default()
        },
    );
    assert!(memory.reads.get() <= READ_BUDGET_BYTES / 16);
    assert!(
        messages(&acpi)
            .iter()
            .any(|m| m.contains("hold more than 16384 KiB")),
        "{:?}",
        messages(&acpi)
    );
}
