//! Single properties.

use abi::memory::{MAX_VMO_BYTES, MapFlags, USER_BASE, USER_END};
use abi::process::JobLimits;
use abi::{Error, Rights};

use super::machine::{Model, PAGE, PageTables, World};
use super::map::{RIGHTS, args};
use super::run::block_on;
use crate::job::Resource;
use crate::memory::machine::{Access, Cache, Frame, Tables, Touch};
use crate::memory::space::{FaultError, Inherit, MapArgs, Outcome, Place, Space, Violation};
use crate::memory::vmo::{Blocked, Retired, Vmo};
use crate::refs::Ref;

#[test]
fn sizes_are_small() {
    // An outcome lies in the future of every thread; a vmo and a region are what a small process is made of.
    assert!(size_of::<Outcome<Model>>() <= 128);
    assert!(size_of::<Blocked<Model>>() <= 128);
    assert!(size_of::<Retired<Model>>() <= 120);
    let vmo_bytes = Ref::<Vmo<Model>>::BYTES;
    assert!(vmo_bytes <= 320, "{vmo_bytes}");
    assert!(
        size_of::<Space<Model>>() <= 256,
        "{}",
        size_of::<Space<Model>>()
    );
}

#[test]
fn futures_can_move_to_another_core() {
    fn sendable<T: Send>(value: T) -> T {
        value
    }
    let world = World::new();
    let vmo = world.vmo(4);
    let space = world.space(1);
    block_on(async {
        let address = space.map(&args(&vmo, 4 * PAGE, Place::Random(1))).unwrap();
        sendable(space.fault_in(address, Touch::Write))
            .await
            .unwrap();
        sendable(space.populate(address, 4 * PAGE)).await.unwrap();
        sendable(space.protect(address, PAGE, Access::Read))
            .await
            .unwrap();
        sendable(space.unmap(address, 4 * PAGE)).await.unwrap();
        drop(sendable(vmo.snapshot(&world.job, 0, PAGE)).await.unwrap());
        sendable(vmo.decommit(0, PAGE)).await.unwrap();
        sendable(vmo.resize(PAGE)).await.unwrap();
        sendable(vmo.info()).await;
        sendable(vmo.unmap_revoked()).await;
        let child = world.space(1);
        sendable(space.fork_into(&child, &world.job)).await.unwrap();
    });
    drop((space, vmo));
    world.end();
}

#[test]
fn bad_arguments_are_refused_and_change_nothing() {
    let world = World::new();
    let job = &world.job;
    let create = |bytes| Vmo::<Model>::create(world.ram.clone(), job, bytes).err();
    assert_eq!(create(0), Some(Error::BadArgument));
    assert_eq!(create(MAX_VMO_BYTES), None);
    assert_eq!(create(MAX_VMO_BYTES + 1), Some(Error::OutOfRange));
    assert_eq!(create(u64::MAX), Some(Error::OutOfRange));
    let vmo = world.vmo(4);
    let space = world.space(1);
    let fixed = |offset, len, address| {
        space
            .map(&MapArgs {
                offset,
                ..args(&vmo, len, Place::Fixed(address))
            })
            .err()
    };
    assert_eq!(fixed(1, PAGE, USER_BASE), Some(Error::BadArgument));
    assert_eq!(fixed(0, 1, USER_BASE), Some(Error::BadArgument));
    assert_eq!(fixed(0, 0, USER_BASE), Some(Error::BadArgument));
    assert_eq!(fixed(0, PAGE, USER_BASE + 1), Some(Error::BadArgument));
    assert_eq!(fixed(0, PAGE, 0), Some(Error::BadAddress));
    assert_eq!(fixed(0, PAGE, USER_BASE - PAGE), Some(Error::BadAddress));
    assert_eq!(fixed(0, PAGE, USER_END), Some(Error::BadAddress));
    assert_eq!(fixed(0, PAGE, u64::MAX - PAGE + 1), Some(Error::BadAddress));
    assert_eq!(fixed(0, 2 * PAGE, USER_END - PAGE), Some(Error::BadAddress));
    assert_eq!(fixed(4 * PAGE, PAGE, USER_BASE), Some(Error::OutOfRange));
    assert_eq!(fixed(PAGE, 4 * PAGE, USER_BASE), Some(Error::OutOfRange));
    let huge = u64::MAX - PAGE + 1;
    assert_eq!(fixed(huge, PAGE, USER_BASE), Some(Error::OutOfRange));
    assert_eq!(fixed(PAGE, huge, USER_BASE), Some(Error::OutOfRange));
    assert_eq!(fixed(0, huge, USER_BASE), Some(Error::BadAddress));
    let random = space.map(&args(&vmo, huge, Place::Random(7)));
    assert_eq!(random, Err(Error::OutOfRange));
    block_on(async {
        for (address, len, error) in [
            (USER_BASE + 1, PAGE, Error::BadArgument),
            (USER_BASE, 0, Error::BadArgument),
            (USER_BASE, 5, Error::BadArgument),
            (0, PAGE, Error::BadAddress),
            (USER_BASE, huge, Error::BadAddress),
            (USER_END, PAGE, Error::BadAddress),
        ] {
            assert_eq!(space.unmap(address, len).await, Err(error));
            let protect = space.protect(address, len, Access::Read).await;
            assert_eq!(protect, Err(error));
        }
        let nothing = space.protect(USER_BASE, PAGE, Access::Read).await;
        assert_eq!(nothing, Err(Error::BadAddress));
        assert_eq!(space.unmap(USER_BASE, USER_END - USER_BASE).await, Ok(()));
        for (offset, len, error) in [
            (1, PAGE, Error::BadArgument),
            (0, 5 * PAGE, Error::OutOfRange),
            (huge, PAGE, Error::OutOfRange),
            (huge, huge, Error::OutOfRange),
        ] {
            assert_eq!(vmo.commit(offset, len).await, Err(error));
            assert_eq!(vmo.decommit(offset, len).await, Err(error));
            assert_eq!(vmo.snapshot(job, offset, len).await.err(), Some(error));
        }
        let none = vmo.snapshot(job, 0, 0).await.err();
        assert_eq!(none, Some(Error::BadArgument));
        assert_eq!(
            vmo.read(u64::MAX, &mut [0; 2]).await,
            Err(Error::OutOfRange)
        );
        assert_eq!(vmo.write(4 * PAGE, &[0]).await, Err(Error::OutOfRange));
        assert_eq!(vmo.read(4 * PAGE, &mut []).await, Ok(()));
        assert_eq!(
            space.read(u64::MAX, &mut [0; 2]).await,
            Err(Error::BadAddress)
        );
        for address in [0, USER_BASE, USER_END, u64::MAX] {
            let fault = space.fault_in(address, Touch::Read).await;
            let unmapped = FaultError::Violation(Violation::Unmapped);
            assert_eq!(fault, Err(unmapped));
        }
    });
    assert_eq!(space.regions(), 0);
    drop((space, vmo));
    world.end();
}

#[test]
fn rights_at_mapping_bound_what_protect_gives() {
    let both = MapFlags::WRITE | MapFlags::EXECUTE;
    assert_eq!(Access::from_flags(both), Err(Error::WriteExecute));
    let world = World::new();
    let vmo = world.vmo(4);
    let space = world.space(2);
    block_on(async {
        let map = |access, rights| {
            space.map(&MapArgs {
                access,
                rights,
                ..args(&vmo, PAGE, Place::Random(3))
            })
        };
        assert_eq!(map(Access::Read, Rights::READ), Err(Error::NoRight));
        assert_eq!(map(Access::Read, Rights::MAP), Err(Error::NoRight));
        let read = Rights::READ | Rights::MAP;
        assert_eq!(map(Access::ReadWrite, read), Err(Error::NoRight));
        assert_eq!(map(Access::ReadExecute, RIGHTS), Err(Error::NoRight));
        let address = map(Access::Read, read).unwrap();
        for access in [Access::ReadWrite, Access::ReadExecute] {
            let protect = space.protect(address, PAGE, access).await;
            assert_eq!(protect, Err(Error::NoRight));
        }
        let unallowed = FaultError::Violation(Violation::Access);
        let fault = space.fault_in(address, Touch::Write).await;
        assert_eq!(fault, Err(unallowed));
    });
    drop((space, vmo));
    world.end();
}

#[test]
fn every_page_held_is_paid_for_shared_or_not() {
    let world = World::new();
    let limits = JobLimits {
        memory_bytes: 6 * PAGE,
        ..JobLimits::NONE
    };
    let job = world.job.child(&limits).unwrap();
    let vmo = Vmo::<Model>::create(world.ram.clone(), &job, 64 * PAGE).unwrap();
    block_on(async {
        vmo.commit(0, 4 * PAGE).await.unwrap();
        assert_eq!(job.used(Resource::Memory), 4 * PAGE);
        let no = vmo.snapshot(&job, 0, 4 * PAGE).await.err();
        assert_eq!(no, Some(Error::NoMemory));
        assert_eq!(job.used(Resource::Memory), 4 * PAGE);
        let copy = vmo.snapshot(&job, 0, 2 * PAGE).await.unwrap();
        assert_eq!(job.used(Resource::Memory), 6 * PAGE);
        assert_eq!(world.ram.in_use(), 4);
        assert_eq!(vmo.info().await.shared_bytes, 2 * PAGE);
        // Paid for already: writing cannot fail for that.
        copy.write(0, &[1; 2 * PAGE as usize]).await.unwrap();
        assert_eq!(world.ram.in_use(), 6);
        let more = vmo.commit(0, 64 * PAGE).await;
        assert_eq!(more, Err(Error::NoMemory));
        vmo.decommit(0, 64 * PAGE).await.unwrap();
        assert_eq!(job.used(Resource::Memory), 2 * PAGE);
        let info = vmo.info().await;
        assert_eq!((info.committed_bytes, info.size_bytes), (0, 64 * PAGE));
    });
    drop((vmo, job));
    world.end();
}

#[test]
fn the_largest_vmo_is_sparse() {
    let world = World::new();
    let vmo = Vmo::<Model>::create(world.ram.clone(), &world.job, MAX_VMO_BYTES).unwrap();
    let before = world.job.used(Resource::Kernel);
    block_on(async {
        for offset in [MAX_VMO_BYTES - 1, 0, MAX_VMO_BYTES / 2, 1 << 20] {
            vmo.write(offset, &[9]).await.unwrap();
        }
        // Four pages far from each other: four paths of at most four nodes.
        assert!(world.job.used(Resource::Kernel) - before < 16 * 1100);
        let copy = vmo.snapshot(&world.job, 0, MAX_VMO_BYTES).await.unwrap();
        let mut byte = [0];
        copy.read(MAX_VMO_BYTES - 1, &mut byte).await.unwrap();
        assert_eq!(byte, [9]);
        copy.decommit(0, MAX_VMO_BYTES).await.unwrap();
        vmo.resize(PAGE).await.unwrap();
        assert_eq!(world.ram.in_use(), 1);
    });
    drop(vmo);
    world.end();
}

#[test]
fn a_device_s_memory_is_mapped_as_it_is() {
    let world = World::new();
    let first = Frame::from_address(0xfee0_0000).unwrap();
    let physical = |pages, cache| {
        Vmo::create_physical(world.ram.clone(), &world.job, first, pages, cache, None)
    };
    assert_eq!(
        physical(u64::MAX, Cache::Uncached).err(),
        Some(Error::OutOfRange)
    );
    assert_eq!(physical(0, Cache::Uncached).err(), Some(Error::BadArgument));
    let vmo = physical(4, Cache::Uncached).unwrap();
    let space: Space<Model> = Space::new(PageTables::new(&world.ram, 1), &world.job).unwrap();
    let address = space.map(&args(&vmo, 4 * PAGE, Place::Random(1))).unwrap();
    block_on(async {
        space
            .fault_in(address + 2 * PAGE, Touch::Write)
            .await
            .unwrap();
        let mapped = space.tables().translate(address + 2 * PAGE);
        let frame = Frame::from_address(0xfee0_2000).unwrap();
        assert_eq!(mapped, Some((frame, Access::ReadWrite)));
        assert_eq!(vmo.read(0, &mut [0]).await, Err(Error::Unsupported));
        assert_eq!(vmo.write(0, &[0]).await, Err(Error::Unsupported));
        assert_eq!(vmo.decommit(0, PAGE).await, Err(Error::Unsupported));
        assert_eq!(vmo.resize(PAGE).await, Err(Error::Unsupported));
        let copy = vmo.snapshot(&world.job, 0, PAGE).await.err();
        assert_eq!(copy, Some(Error::Unsupported));
        let child = world.space(1);
        space.fork_into(&child, &world.job).await.unwrap();
        child.fault_in(address, Touch::Write).await.unwrap();
        assert_eq!(child.lookup(address), Ok((vmo.id(), 0)));
    });
    assert_eq!(world.job.used(Resource::Memory), 0);
    drop((space, vmo));
    world.end();
}

/// Nobody writes a constant, whatever rights there are: not when it is mapped, and not later.
#[test]
fn a_constant_stays_as_it_is() {
    let world = World::new();
    let first = Frame::from_address(0x10_0000).unwrap();
    let vmo = Vmo::create_constant(world.ram.clone(), &world.job, first, 2).unwrap();
    assert!(vmo.is_constant());
    let space = world.space(1);
    let writable = args(&vmo, 2 * PAGE, Place::Random(1));
    assert_eq!(space.map(&writable), Err(Error::NoRight));
    let address = space
        .map(&MapArgs {
            access: Access::Read,
            ..writable
        })
        .unwrap();
    block_on(async {
        assert_eq!(
            space.protect(address, PAGE, Access::ReadWrite).await,
            Err(Error::NoRight)
        );
        let written = space.fault_in(address, Touch::Write).await;
        assert!(matches!(written, Err(FaultError::Violation(_))));
        space.fault_in(address + PAGE, Touch::Read).await.unwrap();
        let frame = Frame::from_address(0x10_1000).unwrap();
        let mapped = space.tables().translate(address + PAGE);
        assert_eq!(mapped, Some((frame, Access::Read)));
        assert_eq!(vmo.write(0, &[0]).await, Err(Error::Unsupported));
        assert_eq!(vmo.decommit(0, PAGE).await, Err(Error::Unsupported));
    });
    drop((space, vmo));
    world.end();
}

#[test]
fn shared_regions_stay_shared_in_a_fork() {
    let world = World::new();
    let vmo = world.vmo(2);
    let space = world.space(1);
    let map = |inherit, place| {
        space.map(&MapArgs {
            inherit,
            ..args(&vmo, PAGE, place)
        })
    };
    let shared = map(Inherit::Share, Place::Random(1)).unwrap();
    let copied = map(Inherit::Copy, Place::Random(2)).unwrap();
    block_on(async {
        space.write(shared, &[1]).await.unwrap();
        let child = world.space(1);
        space.fork_into(&child, &world.job).await.unwrap();
        child.write(shared, &[2]).await.unwrap();
        let mut bytes = [0; 2];
        space.read(shared, &mut bytes[..1]).await.unwrap();
        child.read(copied, &mut bytes[1..]).await.unwrap();
        assert_eq!(bytes, [2, 1]);
    });
    drop((space, vmo));
    world.end();
}

#[test]
fn short_page_tables_are_an_error_and_no_more() {
    let world = World::new();
    let vmo = world.vmo(2);
    let space = world.space(1);
    let address = space.map(&args(&vmo, 2 * PAGE, Place::Random(1))).unwrap();
    space.tables().set_limit(Some(1));
    block_on(async {
        space.fault_in(address, Touch::Write).await.unwrap();
        let fault = space.fault_in(address + PAGE, Touch::Write).await;
        assert_eq!(fault, Err(FaultError::NoMemory));
        assert_eq!(
            space.populate(address, 2 * PAGE).await,
            Err(Error::NoMemory)
        );
        space.tables().set_limit(None);
        space.populate(address, 2 * PAGE).await.unwrap();
        // Frames run out: an error too, and what is there stays.
        world.ram.set_limit(Some(2));
        let copy = vmo.snapshot(&world.job, 0, 2 * PAGE).await.unwrap();
        let fault = space.fault_in(address, Touch::Write).await;
        assert_eq!(fault, Err(FaultError::NoMemory));
        assert_eq!(copy.write(0, &[1]).await, Err(Error::NoMemory));
        drop(copy);
        space.fault_in(address, Touch::Write).await.unwrap();
    });
    drop((space, vmo));
    world.end();
}

#[test]
fn nothing_is_mapped_into_an_ended_space() {
    let world = World::new();
    let vmo = world.vmo(2);
    let space = world.space(1);
    let address = space.map(&args(&vmo, 2 * PAGE, Place::Random(1))).unwrap();
    block_on(space.populate(address, 2 * PAGE)).unwrap();
    while !space.teardown_step() {}
    let late = space.map(&args(&vmo, PAGE, Place::Random(2)));
    assert_eq!(late, Err(Error::Dying));
    assert_eq!(space.mapped_bytes(), 0);
    assert_eq!(vmo.owners(), 1);
    assert!(Vmo::close_step(&vmo));
    assert_eq!(world.ram.in_use(), 0);
    drop((space, vmo));
    world.end();
}
