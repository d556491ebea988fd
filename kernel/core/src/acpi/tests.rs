use super::madt::{CpuState, IsaRoute};
use super::test_tables::{Builder, Defect, Q35_BYTES, q35};
use super::*;
use core::cell::Cell;
use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

pub(super) const LOAD: u64 = 0x7fe_0000;

// Memory that holds some bytes at one place, and counts what is read.
pub(super) struct Image<'a> {
    base: u64,
    bytes: &'a [u8],
    pub(super) reads: Cell<u64>,
}

impl<'a> Image<'a> {
    pub(super) fn new(base: u64, bytes: &'a [u8]) -> Self {
        Self {
            base,
            bytes,
            reads: Cell::new(0),
        }
    }
}

impl PhysicalMemory for Image<'_> {
    fn read(&self, address: u64, buffer: &mut [u8]) -> Result<(), Unreadable> {
        self.reads.set(self.reads.get() + 1);
        let start = address.checked_sub(self.base).ok_or(Unreadable)? as usize;
        let bytes = self
            .bytes
            .get(start..start + buffer.len())
            .ok_or(Unreadable)?;
        buffer.copy_from_slice(bytes);
        Ok(())
    }
}

pub(super) fn discover(bytes: &[u8]) -> Acpi {
    let mut acpi = Acpi::EMPTY;
    let candidates = Candidates {
        command_line: Some(LOAD),
        ..Candidates::default()
    };
    acpi.discover(&Image::new(LOAD, bytes), candidates);
    acpi
}

pub(super) fn tables(cpus: u8, defect: Defect) -> Vec<u8> {
    let mut buffer = vec![0; Q35_BYTES];
    let used = q35(&mut buffer, LOAD, cpus, defect).unwrap();
    buffer.truncate(used);
    buffer
}

pub(super) fn messages(acpi: &Acpi) -> Vec<String> {
    acpi.problems
        .as_slice()
        .iter()
        .map(Problem::to_string)
        .collect()
}

fn with_defect(defect: Defect) -> (Acpi, Vec<String>) {
    let acpi = discover(&tables(2, defect));
    let messages = messages(&acpi);
    (acpi, messages)
}

#[test]
fn good_tables_are_read_whole() {
    let (acpi, messages) = with_defect(Defect::None);
    assert_eq!(messages, [""; 0]);
    assert!(size_of::<Acpi>() < 14 * 1024, "{}", size_of::<Acpi>());
    let root = acpi.root.unwrap();
    assert_eq!(
        (root.address, root.source, root.revision),
        (LOAD, RootSource::CommandLine, 2)
    );
    let madt = acpi.madt.unwrap();
    assert_eq!(
        madt.cpus
            .iter()
            .map(|cpu| (cpu.uid, cpu.apic_id))
            .collect::<Vec<_>>(),
        [(0, 0), (1, 1)]
    );
    assert_eq!(
        (madt.local_apic_address, madt.has_8259),
        (0xfee0_0000, true)
    );
    assert_eq!(
        madt.io_apic_for(23).map(|apic| apic.address),
        Some(0xfec0_0000)
    );
    assert_eq!(
        madt.isa_route(0),
        IsaRoute {
            gsi: 2,
            active_low: false,
            level: false
        }
    );
    assert_eq!(
        madt.isa_route(4),
        IsaRoute {
            gsi: 4,
            active_low: false,
            level: false
        }
    );
    assert_eq!(
        madt.isa_route(9),
        IsaRoute {
            gsi: 9,
            active_low: false,
            level: true
        }
    );
    assert_eq!(
        madt.local_nmis
            .iter()
            .map(|nmi| (nmi.uid, nmi.lint))
            .collect::<Vec<_>>(),
        [(None, 1)]
    );
    assert_eq!(
        acpi.mcfg
            .iter()
            .map(|s| (s.base, s.segment, s.first_bus, s.last_bus))
            .collect::<Vec<_>>(),
        [(0xb000_0000, 0, 0, 255)]
    );
    assert_eq!(acpi.mcfg[0].address_of(1, 31, 7), Some(0xb01f_f000));
    assert_eq!(acpi.mcfg[0].address_of(1, 32, 0), None);
    let hpet = acpi.hpet.unwrap();
    assert_eq!(
        (
            hpet.address,
            hpet.comparators,
            hpet.counter_64_bit,
            hpet.legacy_replacement
        ),
        (0xfed0_0000, 3, true, true)
    );
    let fadt = acpi.fadt.unwrap();
    assert_eq!(
        fadt.pm1a_control,
        Some(Register::Io {
            port: 0x604,
            bits: 16
        })
    );
    assert_eq!(fadt.pm1b_control, None);
    assert_eq!(
        fadt.pm_timer,
        Some(Register::Io {
            port: 0x608,
            bits: 32
        })
    );
    assert_eq!(
        fadt.reset,
        Some((
            Register::Io {
                port: 0xcf9,
                bits: 8
            },
            0x0f
        ))
    );
    assert_eq!(
        (fadt.sci_interrupt, fadt.enable, fadt.i8042),
        (9, Some((0xb2, 2)), fadt::Presence::Yes)
    );
    assert!(fadt.pm_timer_32_bit && !fadt.hardware_reduced && fadt.fixed_power_button);
    assert_eq!(acpi.soft_off, Some(SleepType { a: 0, b: 0 }));
    assert_eq!(acpi.soft_off.unwrap().pm1a_value(0x1c01), 0x2001);
    assert!(acpi.tables.iter().all(|table| table.valid));
}

#[test]
fn a_damaged_root_is_refused_or_worked_around() {
    let (acpi, messages) = with_defect(Defect::RootPointerChecksum);
    assert!(acpi.root.is_none() && acpi.madt.is_none());
    assert!(
        messages[0].starts_with("ACPI RSDP at 0x7fe0000: damaged, its bytes sum to 0x"),
        "{messages:?}"
    );
    assert!(messages[1].starts_with("ACPI RSDP: there is none; "));

    let (_, messages) = with_defect(Defect::RootPointerMissing);
    assert!(
        messages[0].contains("found \"NOTH\" instead"),
        "{messages:?}"
    );

    let (acpi, messages) = with_defect(Defect::XsdtChecksum);
    assert_eq!(acpi.madt.unwrap().cpus.len(), 2);
    assert!(
        messages.len() == 1
            && messages[0].contains("XSDT")
            && messages[0].contains("the RSDT is used"),
        "{messages:?}"
    );

    let (acpi, messages) = with_defect(Defect::BothRootsChecksum);
    assert!(acpi.root.is_none());
    assert_eq!(messages.len(), 3);

    for defect in [Defect::EntryUnreadable, Defect::EntryToItself] {
        let (acpi, messages) = with_defect(defect);
        assert_eq!(acpi.madt.unwrap().cpus.len(), 2);
        assert!(
            messages
                .iter()
                .all(|m| m.contains("the address of a table is")),
            "{messages:?}"
        );
        assert_eq!(
            messages.len(),
            if defect == Defect::EntryUnreadable {
                1
            } else {
                2
            }
        );
    }
}

#[test]
fn a_damaged_table_costs_itself_and_a_message() {
    for (defect, expected) in [
        (Defect::MadtChecksum, "damaged, its bytes sum to 0x"),
        (Defect::MadtLength, "claims a length of 4294967295 bytes"),
        (Defect::MadtMissing, "there is none"),
    ] {
        let (acpi, messages) = with_defect(defect);
        assert!(acpi.madt.is_none() && acpi.hpet.is_some() && acpi.soft_off.is_some());
        assert_eq!(messages.len(), 1, "{messages:?}");
        assert!(
            messages[0].contains("MADT") && messages[0].contains(expected),
            "{messages:?}"
        );
        assert!(
            messages[0].contains("only the boot core runs"),
            "{messages:?}"
        );
        assert!(
            messages[0].ends_with(
                "update the firmware, or pass acpi_rsdp= with the address of good tables"
            )
        );
    }
    let (acpi, messages) = with_defect(Defect::McfgNonsense);
    assert!(acpi.mcfg.is_empty());
    assert!(
        messages[0].contains("the address of a PCI window is 0xb0000001"),
        "{messages:?}"
    );
    let (acpi, messages) = with_defect(Defect::HpetAddress);
    assert!(
        acpi.hpet.is_none() && messages[0].contains("the address of the HPET is 0x0"),
        "{messages:?}"
    );
    let (acpi, messages) = with_defect(Defect::FadtShort);
    assert!(acpi.fadt.is_none() && acpi.soft_off.is_none() && acpi.madt.is_some());
    assert!(
        messages[0].contains("FADT") && messages[0].contains("claims a length of 76 bytes (116 to"),
        "{messages:?}"
    );
    let (acpi, messages) = with_defect(Defect::SoftOffDamaged);
    assert!(acpi.soft_off.is_none() && acpi.fadt.is_some());
    assert!(
        messages[0].contains("the \\_S5 package is damaged"),
        "{messages:?}"
    );
}

#[test]
fn a_damaged_entry_costs_itself_or_what_follows() {
    let (acpi, messages) = with_defect(Defect::MadtEntryZero);
    let madt = acpi.madt.unwrap();
    // Without the entries that follow, what every PC has is assumed, so that the keyboard still works.
    assert_eq!(
        (
            madt.cpus.len(),
            madt.io_apics[0].address,
            madt.isa_route(0).gsi
        ),
        (1, 0xfec0_0000, 2)
    );
    assert!(
        messages[0].contains("offset 0x34: entry with a length of 0"),
        "{messages:?}"
    );
    assert!(
        messages[1]
            .ends_with("no usable I/O APIC; that of a plain PC is assumed; update the firmware")
    );
    let (acpi, messages) = with_defect(Defect::MadtEntryTruncated);
    let madt = acpi.madt.unwrap();
    assert_eq!(
        (madt.cpus.len(), madt.overrides.len(), madt.local_nmis.len()),
        (2, 5, 0)
    );
    assert!(
        messages[0].contains("type 4 with an impossible length of 60"),
        "{messages:?}"
    );
}

#[test]
fn the_next_candidate_is_tried() {
    let bad = tables(1, Defect::BothRootsChecksum);
    let mut buffer = vec![0; 0x20_000 + Q35_BYTES];
    buffer[..bad.len()].copy_from_slice(&bad);
    let good_at = LOAD + 0x20_000;
    q35(&mut buffer[0x20_000..], good_at, 3, Defect::None).unwrap();
    let mut acpi = Acpi::EMPTY;
    let candidates = Candidates {
        command_line: Some(LOAD),
        boot: Some(good_at),
        search_bios: false,
    };
    acpi.discover(&Image::new(LOAD, &buffer), candidates);
    assert_eq!(acpi.root.map(|root| root.source), Some(RootSource::Boot));
    assert_eq!(acpi.madt.unwrap().cpus.len(), 3);
    assert_eq!(acpi.problems.as_slice().len(), 2);
}

#[test]
fn the_bios_areas_are_searched() {
    for at in [0xf_5b20u64, 0x9_fc10] {
        let mut low = vec![0u8; 0x10_0000 + Q35_BYTES];
        low[0x40e..0x410].copy_from_slice(&0x9fc0u16.to_le_bytes());
        // A root pointer with a wrong checksum before it must not stop the search.
        low[0xe_0000..0xe_0008].copy_from_slice(b"RSD PTR ");
        let mut buffer = vec![0; Q35_BYTES];
        q35(&mut buffer, 0x10_0000, 1, Defect::None).unwrap();
        low[0x10_0000..].copy_from_slice(&buffer);
        let pointer: Vec<u8> = buffer[..36].to_vec();
        low[at as usize..at as usize + 36].copy_from_slice(&pointer);
        let mut acpi = Acpi::EMPTY;
        acpi.discover(
            &Image::new(0, &low),
            Candidates {
                search_bios: true,
                ..Candidates::default()
            },
        );
        assert_eq!(
            acpi.root.map(|root| (root.address, root.source)),
            Some((at, RootSource::BiosSearch))
        );
        assert!(acpi.problems.as_slice().is_empty(), "{:?}", messages(&acpi));
    }
}

#[test]
fn without_a_machine_there_is_one_clear_message() {
    let mut acpi = Acpi::EMPTY;
    acpi.discover(
        &Image::new(0, &[]),
        Candidates {
            search_bios: true,
            ..Candidates::default()
        },
    );
    assert_eq!(
        messages(&acpi),
        [
            "ACPI RSDP: there is none; only the boot core runs, with legacy interrupts; update the firmware, or pass \
          acpi_rsdp= with the address of good tables"
        ]
    );
    let assumed = Madt::assumed_pc(3);
    assert_eq!(
        (
            assumed.cpus[0].apic_id,
            assumed.isa_route(0).gsi,
            assumed.isa_route(1).gsi
        ),
        (3, 2, 1)
    );
}

pub(super) fn one_table(signature: Signature, revision: u8, body: &[u8]) -> Acpi {
    let mut buffer = vec![0; body.len() + 4096];
    let mut builder = Builder::new(&mut buffer, LOAD);
    let table = builder.table(signature, revision, &[body]).unwrap();
    builder.list(table).unwrap();
    builder.finish().unwrap();
    discover(&buffer)
}

// Leaves out the complaints about tables the test does not build.
fn problems_in(acpi: &Acpi, signature: Signature) -> Vec<ProblemKind> {
    acpi.problems
        .as_slice()
        .iter()
        .filter(|p| p.table == signature)
        .map(|p| p.kind)
        .collect()
}

#[test]
fn madt_entries_of_all_kinds() {
    let mut body = vec![0, 0, 0xe0, 0xfe, 0, 0, 0, 0];
    let mut add = |entry: &[u8]| body.extend_from_slice(entry);
    add(&[0, 8, 1, 0, 1, 0, 0, 0]);
    add(&[0, 8, 2, 4, 0, 0, 0, 0]); // disabled
    add(&[0, 8, 3, 6, 2, 0, 0, 0]); // may be plugged in
    add(&[9, 16, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0]); // the first again, long
    add(&[9, 16, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 9, 0, 0, 0]); // APIC 256
    add(&[0, 8, 1, 0, 1, 0, 0, 0]); // the first again, short: a defect
    add(&[0, 8, 7, 255, 1, 0, 0, 0]); // broadcast as identifier: a defect
    add(&[1, 12, 2, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0]);
    add(&[1, 12, 3, 0, 0, 0x10, 0xc0, 0xfe, 24, 0, 0, 0]);
    add(&[1, 12, 4, 0, 1, 0x10, 0xc0, 0xfe, 48, 0, 0, 0]); // odd address: a defect
    add(&[2, 10, 1, 3, 3, 0, 0, 0, 0, 0]); // not the ISA bus: a defect
    add(&[2, 10, 0, 3, 3, 0, 0, 0, 2, 0]); // reserved polarity: a defect
    add(&[2, 10, 0, 3, 30, 0, 0, 0, 0x0f, 0]);
    add(&[3, 8, 0x05, 0, 23, 0, 0, 0]);
    add(&[10, 12, 0, 0, 9, 0, 0, 0, 1, 0, 0, 0]);
    add(&[5, 12, 0, 0, 0, 0, 0xd0, 0xfe, 1, 0, 0, 0]);
    add(&[0x7f, 4, 1, 2]); // unknown: passed over
    let acpi = one_table(Signature::MADT, 5, &body);
    let madt = acpi.madt.unwrap();
    let cpus: Vec<_> = madt
        .cpus
        .iter()
        .map(|cpu| (cpu.uid, cpu.apic_id, cpu.state))
        .collect();
    let enabled = CpuState::Enabled;
    assert_eq!(
        cpus,
        [
            (1, 0, enabled),
            (3, 6, CpuState::OnlineCapable),
            (9, 256, enabled)
        ]
    );
    assert_eq!((madt.disabled_cpus, madt.has_8259), (1, false));
    assert_eq!(madt.local_apic_address, 0x1_fed0_0000);
    assert_eq!(
        [0, 23, 24, 99].map(|gsi| madt.io_apic_for(gsi).unwrap().id),
        [2, 2, 3, 3]
    );
    assert_eq!(
        madt.isa_route(3),
        IsaRoute {
            gsi: 30,
            active_low: true,
            level: true
        }
    );
    assert_eq!(
        (madt.nmi_sources.len(), madt.local_nmis[0].uid),
        (1, Some(9))
    );
    let bad = problems_in(&acpi, Signature::MADT);
    assert_eq!(bad.len(), 5, "{bad:?}");
    assert!(
        bad.iter()
            .all(|kind| matches!(kind, ProblemKind::BadValue { .. }))
    );
}

#[test]
fn more_processors_than_fit_are_named_once_each_table() {
    let mut body = vec![0, 0, 0xe0, 0xfe, 0, 0, 0, 0];
    for id in 0..300u32 {
        body.extend_from_slice(&[9, 16, 0, 0]);
        body.extend_from_slice(&id.to_le_bytes());
        body.extend_from_slice(&[1, 0, 0, 0]);
        body.extend_from_slice(&id.to_le_bytes());
    }
    let acpi = one_table(Signature::MADT, 5, &body);
    assert_eq!(acpi.madt.unwrap().cpus.len(), madt::MAX_CPUS);
    let many = ProblemKind::TooMany {
        what: "processors",
        limit: 256,
    };
    let no_io_apic = ProblemKind::Assumed { what: "I/O APIC" };
    assert_eq!(problems_in(&acpi, Signature::MADT), [many, no_io_apic]);
    let nobody = one_table(
        Signature::MADT,
        5,
        &[0, 0, 0xe0, 0xfe, 0, 0, 0, 0, 0, 8, 0, 0, 2, 0, 0, 0],
    );
    assert!(nobody.madt.is_none());
    assert_eq!(
        problems_in(&nobody, Signature::MADT),
        [ProblemKind::Assumed { what: "processor" }]
    );
}

#[test]
fn old_and_new_fields_of_the_fadt() {
    let read = |revision, change: &dyn Fn(&mut Vec<u8>)| {
        let mut body = vec![0u8; 276 - 36];
        change(&mut body);
        one_table(Signature::FADT, revision, &body).fadt.unwrap()
    };
    let put = |body: &mut Vec<u8>, offset: usize, bytes: &[u8]| {
        body[offset - 36..offset - 36 + bytes.len()].copy_from_slice(bytes)
    };
    // Only the old field.
    let fadt = read(1, &|body| put(body, 64, &0x404u32.to_le_bytes()));
    assert_eq!(
        fadt.pm1a_control,
        Some(Register::Io {
            port: 0x404,
            bits: 16
        })
    );
    assert_eq!(fadt.i8042, fadt::Presence::Unknown);
    // A new field that cannot be: the old one.
    let fadt = read(3, &|body| {
        put(body, 64, &0x404u32.to_le_bytes());
        put(body, 172, &[1, 16, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0]);
    });
    assert_eq!(
        fadt.pm1a_control,
        Some(Register::Io {
            port: 0x404,
            bits: 16
        })
    );
    assert_eq!(fadt.i8042, fadt::Presence::No);
    // Both: the new one.
    let fadt = read(3, &|body| {
        put(body, 64, &0x404u32.to_le_bytes());
        put(body, 172, &[0, 16, 0, 0, 0, 0x10, 0xd0, 0xfe, 0, 0, 0, 0]);
        put(body, 112, &(1u32 << 20 | 1 << 10).to_le_bytes());
        put(body, 116, &[2, 8, 0, 0, 0x44, 0, 3, 0, 31, 0, 0, 0]);
        put(body, 128, &[6]);
    });
    assert_eq!(
        fadt.pm1a_control,
        Some(Register::Memory {
            address: 0xfed0_1000,
            bits: 16
        })
    );
    assert!(fadt.hardware_reduced);
    assert_eq!(
        fadt.reset,
        Some((
            Register::PciConfig {
                device: 31,
                function: 3,
                offset: 0x44
            },
            6
        ))
    );
}
