use super::*;
use proptest::prelude::*;
use std::string::ToString;
use std::vec::Vec;

const KINDS: [MemoryKind; 9] = MemoryKind::ALL;

fn region(start: u64, end: u64, kind: MemoryKind) -> MemoryRegion {
    MemoryRegion::new(start, end, kind)
}

// The map of a QEMU q35 machine with 256 MiB, as SeaBIOS gives it.
fn q35() -> Vec<MemoryRegion> {
    use MemoryKind::{Reserved, Usable};
    [
        (0, 0x9fc00, Usable),
        (0x9fc00, 0xa0000, Reserved),
        (0xf0000, 0x10_0000, Reserved),
        (0x10_0000, 0xffd_b000, Usable),
        (0xffd_b000, 0x1000_0000, Reserved),
        (0xb000_0000, 0xc000_0000, Reserved),
        (0xfd_0000_0000, 0x100_0000_0000, Reserved),
    ]
    .into_iter()
    .map(|(start, end, kind)| region(start, end, kind))
    .collect()
}

#[test]
fn a_tidy_map_stays_as_it_is() {
    let image = region(0x20_0000, 0x58_1234, MemoryKind::KernelImage);
    let map = MemoryMap::normalise(&q35(), &[image], 40);
    assert!(map.report().is_clean(), "{}", map.report());
    let free: Vec<_> = map
        .regions()
        .iter()
        .filter(|r| r.kind.is_free_ram())
        .map(|r| (r.start, r.end))
        .collect();
    assert_eq!(
        free,
        [
            (0x1_0000, 0x9_f000),
            (0x10_0000, 0x20_0000),
            (0x58_2000, 0xffd_b000)
        ]
    );
    assert_eq!(
        map.find(0x58_1fff).map(|r| r.kind),
        Some(MemoryKind::KernelImage)
    );
    assert_eq!(map.find(0xd000_0000), None);
    assert_eq!(map.ram_end(), 0xffd_b000);
}

#[test]
fn defects_are_reported() {
    let defective = [
        region(0x10_0000, 0x80_0000, MemoryKind::Usable),
        region(0x40_0000, 0x48_0000, MemoryKind::Reserved),
        region(0x50_0000, 0x40_0000, MemoryKind::Usable),
        region(u64::MAX - 10, u64::MAX, MemoryKind::Usable),
        region(0x90_0001, 0x90_2fff, MemoryKind::Usable),
        region(0x90_0000, u64::MAX, MemoryKind::Mmio),
    ];
    let map = MemoryMap::normalise(&defective, &[], 36);
    assert_eq!(
        map.report().to_string(),
        "1 empty or inverted (ignored); 2 past the processor's address width (clipped); \
         2 overlaps (the more restrictive kind was taken); 2 of free RAM not page aligned (shrunk)"
    );
    assert_eq!(map.regions().last().map(|r| r.end), Some(1 << 36));
}

#[test]
fn a_full_list_forgets_reservations_before_ram() {
    let alternating: Vec<_> = (0..256u64)
        .map(|i| {
            let kind = if i % 2 == 0 {
                MemoryKind::Usable
            } else {
                MemoryKind::Reserved
            };
            region(
                0x10_0000 + i * 0x2000,
                0x10_0000 + i * 0x2000 + 0x1000,
                kind,
            )
        })
        .collect();
    let map = MemoryMap::normalise(
        &alternating,
        &[region(0x1000_0000, 0x1000_1000, MemoryKind::BootData)],
        40,
    );
    assert_eq!(map.bytes_of(MemoryKind::Usable), 128 * PAGE_BYTES);
    assert_eq!((map.report().forgotten, map.report().dropped), (2, 0));

    let ram: Vec<_> = (0..256u64)
        .map(|i| {
            region(
                0x10_0000 + i * 0x4000,
                0x10_2000 + i * 0x4000,
                MemoryKind::Usable,
            )
        })
        .collect();
    let mut map = MemoryMap::normalise(&ram, &[], 40);
    assert_eq!((map.report().forgotten, map.report().dropped), (1, 0));
    // Taking from the middle of a region in a full list makes room by dropping RAM, but not the RAM it takes from.
    let taken = map
        .take(0x1000, 0x1000, u64::MAX, MemoryKind::BootData)
        .unwrap();
    assert_eq!(
        map.find(taken.start).map(|r| r.kind),
        Some(MemoryKind::BootData)
    );
    assert_eq!(
        (map.report().dropped, map.report().dropped_bytes),
        (2, 0x4000)
    );
}

#[test]
fn the_trampoline_lies_in_low_memory() {
    let mut map = MemoryMap::normalise(&q35(), &[], 40);
    assert_eq!(
        map.take_trampoline(),
        Ok(PhysRange::new(0x9_e000, 0x9_f000))
    );
    let mut none = MemoryMap::normalise(&q35()[2..], &[], 40);
    let error = none.take_trampoline().unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("no free range of 4 KiB aligned to 0x1000 below 0x100000"),
        "{error}"
    );
}

#[test]
fn the_trampoline_may_lie_where_boot_services_were() {
    let region = MemoryRegion::new(0x20000, 0xa0000, MemoryKind::Reclaimable);
    let mut map = MemoryMap::normalise(&[region], &[], 40);
    assert_eq!(map.take_trampoline(), Ok(PhysRange::new(0x9f000, 0xa0000)));
    assert_eq!(map.bytes_of(MemoryKind::BootData), PAGE_BYTES);
}

#[test]
fn taking_respects_alignment_and_limit_and_joins() {
    let mut map = MemoryMap::normalise(&q35(), &[], 40);
    let before = map.regions().len();
    let first = map.take(0x3000, 1, u64::MAX, MemoryKind::BootData).unwrap();
    let second = map.take(0x1001, 1, u64::MAX, MemoryKind::BootData).unwrap();
    assert_eq!((first.end, second.end), (0xffd_b000, first.start));
    assert_eq!(second.len(), 0x2000);
    assert_eq!(map.regions().len(), before + 1);
    let aligned = map
        .take(0x1000, 0x20_0000, 0x800_0000, MemoryKind::BootData)
        .unwrap();
    assert_eq!(aligned.start, 0x7e0_0000);
    assert!(
        map.take(1 << 40, 0x1000, u64::MAX, MemoryKind::BootData)
            .is_err()
    );
    assert!(
        map.take(0x1000, 3 << 12, u64::MAX, MemoryKind::BootData)
            .is_err()
    );
    assert!(
        map.take(u64::MAX, 1, u64::MAX, MemoryKind::BootData)
            .is_err()
    );
    let free = map.bytes_of(MemoryKind::Usable);
    assert_eq!(map.release(MemoryKind::BootData), 0x6000);
    assert_eq!(map.bytes_of(MemoryKind::Usable), free + 0x6000);
    assert_eq!(map.regions().len(), before);
}

#[test]
fn limiting_keeps_the_lowest_ram() {
    let mut map = MemoryMap::normalise(&q35(), &[], 40);
    let all = map.bytes_of(MemoryKind::Usable);
    assert_eq!(map.limit_free_ram(64 << 20), all - (64 << 20));
    assert_eq!(map.bytes_of(MemoryKind::Usable), 64 << 20);
    assert_eq!(map.limit_free_ram(0), 64 << 20);
    assert_eq!(map.bytes_of(MemoryKind::Usable), 0);
}

const PAGES: u64 = 64;

fn any_region() -> impl Strategy<Value = MemoryRegion> {
    let at = prop_oneof![
        (0..PAGES).prop_map(|page| page * PAGE_BYTES),
        0..PAGES * PAGE_BYTES,
    ];
    (at.clone(), at, 0..KINDS.len()).prop_map(|(start, end, kind)| region(start, end, KINDS[kind]))
}

// What a page is, looked up region by region.
fn model(page: u64, regions: &[MemoryRegion]) -> Option<MemoryKind> {
    let (start, end) = (page * PAGE_BYTES, (page + 1) * PAGE_BYTES);
    if start < FIRMWARE_LOW_BYTES {
        let low = regions
            .iter()
            .filter(|r| touches(r, start, end))
            .map(|r| r.kind)
            .max();
        return Some(
            low.unwrap_or(MemoryKind::Reserved)
                .max(MemoryKind::Reserved),
        );
    }
    regions
        .iter()
        .filter(|r| touches(r, start, end))
        .map(|r| r.kind)
        .max()
}

fn touches(r: &MemoryRegion, start: u64, end: u64) -> bool {
    if r.is_empty() {
        false
    } else if r.kind.is_free_ram() {
        r.start <= start && end <= r.end
    } else {
        r.start < end && start < r.end
    }
}

fn check_shape(map: &MemoryMap) -> Result<(), TestCaseError> {
    for region in map.regions() {
        prop_assert!(!region.is_empty());
        prop_assert_eq!((region.start | region.end) % PAGE_BYTES, 0);
    }
    for pair in map.regions().windows(2) {
        prop_assert!(pair[0].end <= pair[1].start);
        prop_assert!(
            pair[0].end < pair[1].start || pair[0].kind != pair[1].kind,
            "not joined: {:?}",
            pair
        );
    }
    Ok(())
}

#[test]
fn devices_are_told_from_ram() {
    let map = MemoryMap::normalise(
        &[
            region(0x10_0000, 0x20_0000, MemoryKind::Usable),
            region(0x20_0000, 0x21_0000, MemoryKind::AcpiReclaim),
            region(0x21_0000, 0x22_0000, MemoryKind::AcpiNvs),
            region(0x22_0000, 0x30_0000, MemoryKind::Reserved),
        ],
        &[region(0x18_0000, 0x19_0000, MemoryKind::KernelImage)],
        40,
    );
    let overlaps = |start, end| map.overlaps_own_ram(PhysRange::new(start, end));
    for (start, end) in [
        (0x10_0000, 0x10_1000),
        (0x18_0400, 0x18_0800),
        (0x20_f000, 0x23_0000),
        (0, 0x10_0001),
        (0, u64::MAX),
    ] {
        assert!(overlaps(start, end), "{start:#x}..{end:#x} is RAM");
    }
    for (start, end) in [
        (0xa_0000, 0x10_0000),
        (0x21_0000, 0x30_0000),
        (0x21_0000, 0xfec0_0000),
        (0xfee0_0000, u64::MAX),
    ] {
        assert!(
            !overlaps(start, end),
            "{start:#x}..{end:#x} is no RAM of ours"
        );
    }
}

proptest! {
    #[test]
    fn every_page_is_what_the_model_says(regions in prop::collection::vec(any_region(), 0..24), carved in 0..4usize) {
        let (carve, firmware) = regions.split_at(carved.min(regions.len()));
        let map = MemoryMap::normalise(firmware, carve, 40);
        check_shape(&map)?;
        for page in 0..PAGES {
            let found = map.find(page * PAGE_BYTES).map(|region| region.kind);
            prop_assert_eq!(found, model(page, &regions), "page {}", page);
        }
    }

    #[test]
    fn what_is_taken_was_free_and_is_taken_once(
        regions in prop::collection::vec(any_region(), 1..12),
        takes in prop::collection::vec((1..5u64, 0..4u32, 1..PAGES), 1..12),
    ) {
        let mut map = MemoryMap::normalise(&regions, &[], 40);
        for (pages, align, below) in takes {
            let before = map;
            let (align, below) = (PAGE_BYTES << align, below * PAGE_BYTES);
            let fits = |start: u64| {
                start.is_multiple_of(align) && start + pages * PAGE_BYTES <= below
                    && (0..pages).all(|i| before.find(start + i * PAGE_BYTES).is_some_and(|r| r.kind == MemoryKind::Usable))
            };
            let expected = (0..PAGES).rev().map(|page| page * PAGE_BYTES).find(|&start| fits(start));
            let taken = map.take(pages * PAGE_BYTES, align, below, MemoryKind::BootData).ok();
            prop_assert_eq!(taken.map(|range| range.start), expected);
            check_shape(&map)?;
            for page in 0..PAGES {
                let at = page * PAGE_BYTES;
                let kind = |map: &MemoryMap| map.find(at).map(|region| region.kind);
                let expected = if taken.is_some_and(|t| t.contains(at)) { Some(MemoryKind::BootData) } else { kind(&before) };
                prop_assert_eq!(kind(&map), expected);
            }
        }
    }

    #[test]
    fn hostile_maps_are_survived(
        regions in prop::collection::vec((any::<u64>(), any::<u64>(), 0..KINDS.len()), 0..600), bits in 0..70u32
    ) {
        let regions: Vec<_> = regions.into_iter().map(|(start, end, kind)| region(start, end, KINDS[kind])).collect();
        let mut map = MemoryMap::normalise(&regions, &regions, bits);
        check_shape(&map)?;
        let _ = map.take(1 << 20, 1 << 21, u64::MAX, MemoryKind::BootData);
        map.limit_free_ram(1 << 30);
        check_shape(&map)?;
        let _ = map.report().to_string();
    }
}
