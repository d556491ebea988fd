//! What happens between looking a region up and mapping a page, step by step.

use core::future::Future;
use core::pin::pin;
use core::task::{Context, Poll, Waker};

use abi::Rights;
use abi::memory::USER_BASE;

use super::{Inherit, MapArgs, Place, Space};
use crate::memory::machine::{Access, Tables, Touch};
use crate::memory::tests::machine::{Model, PAGE, World};
use crate::memory::tests::run::block_on;
use crate::memory::vmo::{Blocked, Faulted, Vmo};
use crate::refs::Ref;

fn map(space: &Space<Model>, vmo: &Ref<Vmo<Model>>) {
    space
        .map(&MapArgs {
            vmo,
            offset: 0,
            len: 4 * PAGE,
            place: Place::Fixed(USER_BASE),
            access: Access::ReadWrite,
            rights: Rights::READ | Rights::WRITE | Rights::EXECUTE | Rights::MAP,
            guarded: false,
            lease: None,
            inherit: Inherit::Copy,
        })
        .unwrap();
}

fn poll_once(future: core::pin::Pin<&mut impl Future>) {
    let mut context = Context::from_waker(Waker::noop());
    assert!(matches!(future.poll(&mut context), Poll::Pending));
}

#[test]
fn a_fault_that_found_the_region_maps_nothing_once_it_is_going() {
    let world = World::new();
    let vmo = world.vmo(4);
    let space = world.space(2);
    map(&space, &vmo);
    block_on(space.fault_in(USER_BASE + PAGE, Touch::Write)).unwrap();
    let found = space.find(USER_BASE).unwrap();
    let fault = |touch| found.vmo.fault(found.key, found.page, touch);
    {
        // The piece with the page is being unmapped, and its page tables are done with.
        let mut unmap = pin!(space.unmap(USER_BASE, 2 * PAGE));
        poll_once(unmap.as_mut());
        assert!(space.find(USER_BASE).is_none());
        assert!(matches!(fault(Touch::Read), Faulted::Changed));
        assert!(space.tables().translate(USER_BASE).is_none());
    }
    block_on(space.unmap(USER_BASE, 2 * PAGE)).unwrap();
    assert!(matches!(fault(Touch::Read), Faulted::Changed));
    // Another region at its place, of the same pages: the old key is none of its.
    block_on(space.unmap(USER_BASE, 4 * PAGE)).unwrap();
    map(&space, &vmo);
    assert!(matches!(fault(Touch::Read), Faulted::Changed));
    drop(found);
    drop((space, vmo));
    world.end();
}

#[test]
fn a_fault_that_found_more_access_maps_nothing_with_it() {
    let world = World::new();
    let vmo = world.vmo(4);
    let space = world.space(2);
    map(&space, &vmo);
    let found = space.find(USER_BASE + 3 * PAGE).unwrap();
    block_on(space.fault_in(USER_BASE, Touch::Write)).unwrap();
    assert!(space.tables().store(1, USER_BASE, 1));
    {
        let mut protect = pin!(space.protect(USER_BASE, 4 * PAGE, Access::ReadExecute));
        poll_once(protect.as_mut());
        let write = found.vmo.fault(found.key, found.page, Touch::Write);
        assert!(matches!(write, Faulted::Changed));
        // Another core may still write there, so nobody executes.
        let execute = space.fault(USER_BASE, Touch::Execute);
        assert!(matches!(
            execute,
            super::Outcome::Violation(super::Violation::Access)
        ));
        let read = space.fault(USER_BASE, Touch::Read);
        assert!(matches!(read, super::Outcome::Blocked(Blocked::Wait(_))));
    }
    // Dropped: what both allow.
    let read = space.fault(USER_BASE, Touch::Read);
    assert!(matches!(read, super::Outcome::Mapped));
    assert!(!space.tables().store(1, USER_BASE, 1));
    block_on(space.protect(USER_BASE, 4 * PAGE, Access::ReadExecute)).unwrap();
    let execute = space.fault(USER_BASE, Touch::Execute);
    assert!(matches!(execute, super::Outcome::Mapped));
    // The part below another cut keeps its mapping's name, the one above has a new one.
    block_on(space.unmap(USER_BASE + PAGE, PAGE)).unwrap();
    let late = found.vmo.fault(found.key, found.page, Touch::Read);
    assert!(matches!(late, Faulted::Changed));
    drop(found);
    drop((space, vmo));
    world.end();
}
