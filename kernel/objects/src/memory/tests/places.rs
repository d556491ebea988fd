//! Where regions lie: guards, random places, full spaces, many regions.

use super::std;
use std::collections::HashSet;
use std::vec::Vec;

use abi::Error;
use abi::memory::{MAX_VMO_BYTES, USER_BASE, USER_END};

use super::machine::{Model, PAGE, World};
use super::map::args;
use super::run::block_on;
use crate::job::Resource;
use crate::memory::machine::Touch;
use crate::memory::space::{MapArgs, Outcome, Place, Violation};
use crate::memory::vmo::Vmo;

#[test]
fn guards_stay_free_and_go_with_their_end() {
    let world = World::new();
    let vmo = world.vmo(4);
    let space = world.space(1);
    let base = USER_BASE + 16 * PAGE;
    let guarded = |address| {
        space.map(&MapArgs {
            guarded: true,
            ..args(&vmo, 4 * PAGE, Place::Fixed(address))
        })
    };
    let single = |address| space.map(&args(&vmo, PAGE, Place::Fixed(address)));
    assert_eq!(guarded(base), Ok(base));
    assert_eq!(single(base - PAGE), Err(Error::Occupied));
    assert_eq!(single(base + 4 * PAGE), Err(Error::Occupied));
    assert_eq!(single(base - 2 * PAGE), Ok(base - 2 * PAGE));
    // A guard may not lie on another, nor outside.
    assert_eq!(guarded(base + 5 * PAGE), Err(Error::Occupied));
    assert_eq!(guarded(base + 6 * PAGE), Ok(base + 6 * PAGE));
    assert_eq!(guarded(USER_BASE), Err(Error::BadAddress));
    assert_eq!(guarded(USER_END - 4 * PAGE), Err(Error::BadAddress));
    for address in [base - PAGE, base + 4 * PAGE] {
        assert!(matches!(
            space.fault(address, Touch::Read),
            Outcome::Violation(Violation::Unmapped)
        ));
    }
    block_on(async {
        // The middle goes: the outer guards stay.
        space.unmap(base + PAGE, 2 * PAGE).await.unwrap();
        assert_eq!(single(base - PAGE), Err(Error::Occupied));
        assert_eq!(single(base + 4 * PAGE), Err(Error::Occupied));
        assert_eq!(single(base + PAGE), Ok(base + PAGE));
        space.unmap(base, PAGE).await.unwrap();
        assert_eq!(single(base - PAGE), Ok(base - PAGE));
        // A fork has them too.
        let child = world.space(1);
        space.fork_into(&child, &world.job).await.unwrap();
        let again = child.map(&args(&vmo, PAGE, Place::Fixed(base + 4 * PAGE)));
        assert_eq!(again, Err(Error::Occupied));
        assert_eq!(child.mapped_bytes(), space.mapped_bytes());
    });
    drop((space, vmo));
    world.end();
}

#[test]
fn places_are_random_and_small_regions_are_neighbours() {
    let world = World::new();
    let vmo = world.vmo(600);
    let mut seen = HashSet::new();
    let mut high = HashSet::new();
    for seed in 0..200 {
        let space = world.space(1);
        let first = space.map(&args(&vmo, PAGE, Place::Random(seed))).unwrap();
        let second = space
            .map(&args(&vmo, 3 * PAGE, Place::Random(seed + 1000)))
            .unwrap();
        let large = space
            .map(&args(&vmo, 600 * PAGE, Place::Random(seed + 2000)))
            .unwrap();
        // One page table for both small ones (or two next to each other), so that small things cost little; unless a run ended.
        assert!(second.abs_diff(first) <= 17 * PAGE || first % (1 << 30) > (1 << 30) - 32 * PAGE);
        assert!(seen.insert(first) && seen.insert(large));
        high.insert(first >> 40);
        for address in [first, second, large] {
            assert!((USER_BASE..USER_END).contains(&address));
            assert!(address.is_multiple_of(PAGE));
        }
    }
    // 128 such areas: most are hit.
    assert!(high.len() > 80, "{}", high.len());
    drop(vmo);
    world.end();
}

#[test]
fn a_full_space_is_filled_to_the_last_page() {
    let world = World::new();
    let vmo = Vmo::<Model>::create(world.ram.clone(), &world.job, MAX_VMO_BYTES).unwrap();
    let space = world.space(1);
    // All but two holes of two pages.
    let mut address = USER_BASE;
    let holes = [USER_BASE + MAX_VMO_BYTES, USER_END - 9 * PAGE];
    for hole in holes {
        while address < hole {
            let len = (hole - address).min(MAX_VMO_BYTES);
            space.map(&args(&vmo, len, Place::Fixed(address))).unwrap();
            address += len;
        }
        address += 2 * PAGE;
    }
    let len = USER_END - address;
    space.map(&args(&vmo, len, Place::Fixed(address))).unwrap();
    let mut got: Vec<u64> = (0..4)
        .map(|seed| space.map(&args(&vmo, PAGE, Place::Random(seed))).unwrap())
        .collect();
    got.sort_unstable();
    assert_eq!(got, [holes[0], holes[0] + PAGE, holes[1], holes[1] + PAGE]);
    let full = space.map(&args(&vmo, PAGE, Place::Random(9)));
    assert_eq!(full, Err(Error::NoMemory));
    drop((space, vmo));
    world.end();
}

#[test]
fn ten_thousand_regions() {
    let world = World::new();
    let vmo = world.vmo(1);
    let space = world.space(1);
    let mut addresses = Vec::new();
    for seed in 0..10_000 {
        addresses.push(space.map(&args(&vmo, PAGE, Place::Random(seed))).unwrap());
    }
    assert_eq!(space.regions(), 10_000);
    let per_region = world.job.used(Resource::Kernel) / 10_000;
    assert!(per_region <= 512, "{per_region} bytes a region");
    for &address in addresses.iter().step_by(100) {
        block_on(space.fault_in(address, Touch::Read)).unwrap();
        assert_eq!(space.lookup(address), Ok((vmo.id(), 0)));
    }
    assert_eq!(space.resident_bytes(), 100 * PAGE);
    block_on(space.unmap(USER_BASE, USER_END - USER_BASE)).unwrap();
    assert_eq!(space.regions(), 0);
    assert_eq!(space.resident_bytes(), 0);
    drop((space, vmo));
    world.end();
}

#[test]
fn a_vmo_mapped_a_thousand_times() {
    let world = World::new();
    let vmo = world.vmo(2);
    let space = world.space(2);
    let mut addresses = Vec::new();
    for seed in 0..1000 {
        let address = space
            .map(&args(&vmo, 2 * PAGE, Place::Random(seed)))
            .unwrap();
        block_on(space.populate(address, 2 * PAGE)).unwrap();
        assert!(space.tables().store(1, address, seed as u8));
        addresses.push(address);
    }
    block_on(async {
        let copy = vmo.snapshot(&world.job, 0, 2 * PAGE).await.unwrap();
        for &address in &addresses {
            assert!(!space.tables().store(1, address, 0xff));
        }
        drop(copy);
        vmo.decommit(PAGE, PAGE).await.unwrap();
        vmo.resize(PAGE).await.unwrap();
    });
    assert_eq!(space.resident_bytes(), 1000 * PAGE);
    drop((space, vmo));
    world.end();
}
