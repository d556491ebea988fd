//! Operations that were dropped in the middle, or are not over yet.

use core::future::Future;
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};

use abi::memory::USER_BASE;
use abi::{Error, Rights};

use super::machine::{PAGE, World};
use super::map::map;
use super::run::block_on;
use crate::memory::Pager;
use crate::memory::machine::{Access, Touch};
use crate::memory::space::{FaultError, Inherit, MapArgs, Place, Violation};
use crate::memory::vmo::Blocked;

/// More than a step.
const PAGES: u64 = 600;

fn poll_once<T>(future: Pin<&mut impl Future<Output = T>>) {
    let polled = future.poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(polled, Poll::Pending));
}

#[test]
fn a_dropped_resize_brings_nothing_back() {
    let world = World::new();
    let vmo = world.vmo(PAGES);
    let space = world.space(2);
    map(&space, &vmo, USER_BASE);
    let last = USER_BASE + (PAGES - 1) * PAGE;
    block_on(async {
        vmo.commit(0, PAGES * PAGE).await.unwrap();
        space.fault_in(last, Touch::Write).await.unwrap();
        assert!(space.tables().store(0, last, 7));
    });
    poll_once(pin!(vmo.resize(PAGE)));
    assert_eq!(vmo.bytes(), PAGE);
    assert!(world.ram.in_use() > 1, "it was not dropped in the middle");
    block_on(async {
        let mut byte = [1];
        let beyond = vmo.read((PAGES - 1) * PAGE, &mut byte).await;
        assert_eq!(beyond, Err(Error::OutOfRange));
        vmo.resize(PAGES * PAGE).await.unwrap();
        vmo.read((PAGES - 1) * PAGE, &mut byte).await.unwrap();
        assert_eq!(byte, [0]);
        assert_eq!(space.tables().load(0, last, Touch::Read), None);
        assert_eq!(world.ram.in_use(), 1);
    });
    drop((space, vmo));
    world.end();
}

#[test]
fn what_is_beyond_the_end_is_a_violation_until_it_grows() {
    let world = World::new();
    let vmo = world.vmo(4);
    let space = world.space(2);
    map(&space, &vmo, USER_BASE);
    block_on(async {
        vmo.resize(PAGE).await.unwrap();
        let cut = Err(FaultError::Violation(Violation::OutOfRange));
        assert_eq!(space.fault_in(USER_BASE + PAGE, Touch::Read).await, cut);
        let read = space.read(USER_BASE + PAGE, &mut [0]).await;
        assert_eq!(read, Err(Error::BadAddress));
        // A fork inherits what there is.
        let child = world.space(2);
        space.fork_into(&child, &world.job).await.unwrap();
        assert_eq!(child.mapped_bytes(), PAGE);
        vmo.resize(2 * PAGE).await.unwrap();
        space.fault_in(USER_BASE + PAGE, Touch::Read).await.unwrap();
    });
    drop((space, vmo));
    world.end();
}

/// Pages that a protection has not come to yet can still be written; a clone must see to them.
#[test]
fn a_clone_during_a_protection_is_not_written_through() {
    let world = World::new();
    let vmo = world.vmo(PAGES);
    let space = world.space(2);
    map(&space, &vmo, USER_BASE);
    let last = USER_BASE + (PAGES - 1) * PAGE;
    block_on(space.populate(USER_BASE, PAGES * PAGE)).unwrap();
    assert!(space.tables().store(1, last, 1));
    {
        let mut protect = pin!(space.protect(USER_BASE, PAGES * PAGE, Access::Read));
        poll_once(protect.as_mut());
        assert!(space.tables().store(1, last, 2), "it was protected at once");
        block_on(async {
            let copy = vmo.snapshot(&world.job, 0, PAGES * PAGE).await.unwrap();
            assert!(!space.tables().store(1, last, 3));
            let mut byte = [0];
            copy.read((PAGES - 1) * PAGE, &mut byte).await.unwrap();
            assert_eq!(byte, [2]);
        });
        block_on(protect).unwrap();
    }
    drop((space, vmo));
    world.end();
}

/// The first reader of a page that a copy takes from its source waits for the cores that may still write it; so do the others.
#[test]
fn nobody_reads_a_taken_page_before_it_is_settled() {
    let world = World::new();
    let pager = Pager::create(&world.job).unwrap();
    let vmo = pager.vmo(world.ram.clone(), &world.job, 4 * PAGE).unwrap();
    let space = world.space(2);
    map(&space, &vmo, USER_BASE);
    let copy = block_on(async {
        let copy = vmo.snapshot(&world.job, 0, 4 * PAGE).await.unwrap();
        vmo.supply(0, &world.vmo(4), 0, 4 * PAGE).await.unwrap();
        space.fault_in(USER_BASE, Touch::Write).await.unwrap();
        copy
    });
    assert!(space.tables().store(1, USER_BASE, 1));
    let mut byte = [0];
    let mut other = [0];
    {
        let mut first = pin!(copy.read(0, &mut byte));
        poll_once(first.as_mut());
        assert!(space.tables().store(1, USER_BASE, 2));
        assert!(matches!(
            copy.try_read(0, &mut other),
            Err(Blocked::Wait(_))
        ));
        assert!(matches!(copy.try_write(0, &other), Err(Blocked::Wait(_))));
        block_on(first).unwrap();
    }
    assert!(!space.tables().store(1, USER_BASE, 3));
    block_on(copy.read(0, &mut other)).unwrap();
    assert_eq!((byte, other), ([2], [2]));
    drop((copy, space, vmo, pager));
    world.end();
}

/// While the parent is copied, its regions are unmapped and others mapped over what was copied already.
#[test]
fn a_fork_of_a_space_that_changes_goes_on_behind_what_it_has() {
    let world = World::new();
    let vmo = world.vmo(16);
    let space = world.space(2);
    let child = world.space(2);
    let map = |address, pages| {
        space
            .map(&MapArgs {
                vmo: &vmo,
                offset: 0,
                len: pages * PAGE,
                place: Place::Fixed(address),
                access: Access::ReadWrite,
                rights: Rights::READ | Rights::WRITE | Rights::MAP,
                guarded: false,
                lease: None,
                inherit: Inherit::Copy,
            })
            .unwrap();
    };
    map(USER_BASE, 2);
    map(USER_BASE + 4 * PAGE, 2);
    map(USER_BASE + 12 * PAGE, 4);
    block_on(vmo.commit(0, 16 * PAGE)).unwrap();
    {
        let mut fork = pin!(space.fork_into(&child, &world.job));
        // The first region is done, the second one looked up.
        while child.regions() == 0 {
            poll_once(fork.as_mut());
        }
        block_on(space.unmap(USER_BASE + 4 * PAGE, 2 * PAGE)).unwrap();
        map(USER_BASE + 4 * PAGE, 6);
        block_on(fork).unwrap();
    }
    assert_eq!(child.mapped_bytes(), (2 + 6 + 4) * PAGE);
    block_on(child.fault_in(USER_BASE + 12 * PAGE, Touch::Write)).unwrap();
    drop((space, child, vmo));
    world.end();
}

#[test]
fn a_dropped_unmap_keeps_the_addresses_until_it_is_asked_for_again() {
    let world = World::new();
    let vmo = world.vmo(PAGES);
    let space = world.space(2);
    map(&space, &vmo, USER_BASE);
    block_on(space.populate(USER_BASE, PAGES * PAGE)).unwrap();
    assert!(space.tables().store(1, USER_BASE, 1));
    poll_once(pin!(space.unmap(USER_BASE, PAGES * PAGE)));
    assert_eq!(space.tables().load(1, USER_BASE, Touch::Read), None);
    let gone = Err(FaultError::Violation(Violation::Unmapped));
    assert_eq!(block_on(space.fault_in(USER_BASE, Touch::Read)), gone);
    assert_eq!(space.mapped_bytes(), 0);
    assert_eq!(space.regions(), 1);
    {
        // Two at once: both are over when it is gone.
        let mut first = pin!(space.unmap(USER_BASE, PAGES * PAGE));
        let mut second = pin!(space.unmap(USER_BASE, PAGE));
        poll_once(first.as_mut());
        poll_once(second.as_mut());
        block_on(first).unwrap();
        assert_eq!(space.regions(), 0);
        block_on(second).unwrap();
    }
    map(&space, &vmo, USER_BASE);
    drop((space, vmo));
    world.end();
}
