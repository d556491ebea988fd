//! The same on threads of the host: what happens between looking a region up and mapping a page.

use super::std;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use abi::Rights;
use abi::memory::USER_BASE;

use super::machine::{Model, PAGE, World};
use super::run::{Random, block_on_thread};
use crate::memory::machine::{Access, Touch};
use crate::memory::space::{FaultError, Inherit, MapArgs, Place, Space, Violation};
use crate::memory::vmo::Vmo;
use crate::refs::Ref;

const CORES: usize = 3;
const PAGES: u64 = 4;

fn map(space: &Space<Model>, vmo: &Ref<Vmo<Model>>, address: u64) {
    space
        .map(&MapArgs {
            vmo,
            offset: 0,
            len: PAGES * PAGE,
            place: Place::Fixed(address),
            access: Access::ReadWrite,
            rights: Rights::READ | Rights::WRITE | Rights::MAP,
            guarded: false,
            lease: None,
            inherit: Inherit::Copy,
        })
        .unwrap();
}

/// A core's write and read back of its own bytes, which nobody else writes.
fn work(space: &Space<Model>, core: usize, steady: u64, rounds: u32, ended: &AtomicU32) {
    let mut random = Random(core as u64);
    let mut last = [0u8; PAGES as usize];
    for round in 0..rounds {
        let page = random.below(PAGES);
        let address = steady + page * PAGE + core as u64;
        loop {
            if let Some(seen) = space.tables().load(core, address, Touch::Read) {
                assert_eq!(seen, last[page as usize]);
                break;
            }
            block_on_thread(space.fault_in(address, Touch::Read)).unwrap();
        }
        let value = round as u8;
        while !space.tables().store(core, address, value) {
            block_on_thread(space.fault_in(address, Touch::Write)).unwrap();
        }
        last[page as usize] = value;
        // Where it comes and goes.
        let passing = steady + (64 + random.below(PAGES)) * PAGE;
        if space.tables().load(core, passing, Touch::Read).is_none() {
            let result = block_on_thread(space.fault_in(passing, Touch::Read));
            let gone = FaultError::Violation(Violation::Unmapped);
            assert!(result.is_ok() || result == Err(gone), "{result:?}");
        }
    }
    ended.fetch_add(1, Ordering::SeqCst);
}

#[test]
fn cores_fault_while_memory_is_copied_and_unmapped() {
    const ROUNDS: u32 = 600;
    let world = World::new();
    let vmo = world.vmo(PAGES);
    let space = world.space(CORES);
    let steady = USER_BASE;
    let passing = USER_BASE + 64 * PAGE;
    map(&space, &vmo, steady);
    let ended = AtomicU32::new(0);
    let broken = AtomicBool::new(false);
    let goes_on = || ended.load(Ordering::SeqCst) < CORES as u32 && !broken.load(Ordering::SeqCst);
    thread::scope(|scope| {
        for core in 0..CORES {
            let (space, ended, broken) = (&space, &ended, &broken);
            scope.spawn(move || {
                let guard = OnPanic(broken);
                work(space, core, steady, ROUNDS, ended);
                core::mem::forget(guard);
            });
        }
        scope.spawn(|| {
            while goes_on() {
                let copy = block_on_thread(vmo.snapshot(&world.job, 0, PAGES * PAGE)).unwrap();
                let mut byte = [0];
                block_on_thread(copy.read(PAGE, &mut byte)).unwrap();
                block_on_thread(copy.write(0, &[1])).unwrap();
                let child = world.space(CORES);
                block_on_thread(space.fork_into(&child, &world.job)).unwrap();
                while !child.teardown_step() {}
            }
        });
        scope.spawn(|| {
            while goes_on() {
                map(&space, &vmo, passing);
                for page in 0..PAGES {
                    block_on_thread(space.fault_in(passing + page * PAGE, Touch::Read)).unwrap();
                }
                block_on_thread(space.unmap(passing, PAGES * PAGE)).unwrap();
                // Nothing came into a region that is gone, and no core remembers.
                for core in 0..CORES {
                    for page in 0..PAGES {
                        let address = passing + page * PAGE;
                        assert_eq!(space.tables().load(core, address, Touch::Read), None);
                    }
                }
            }
        });
    });
    drop((space, vmo));
    world.end();
}

struct OnPanic<'a>(&'a AtomicBool);

impl Drop for OnPanic<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn cores_that_fault_on_the_same_page_get_one_frame() {
    for _ in 0..60 {
        let world = World::new();
        let vmo = world.vmo(PAGES);
        let space = world.space(CORES);
        map(&space, &vmo, USER_BASE);
        thread::scope(|scope| {
            for core in 0..CORES {
                let space = &space;
                scope.spawn(move || {
                    for page in 0..PAGES {
                        let address = USER_BASE + page * PAGE + core as u64;
                        while !space.tables().store(core, address, 7) {
                            block_on_thread(space.fault_in(address, Touch::Write)).unwrap();
                        }
                    }
                });
            }
        });
        assert_eq!(world.ram.in_use() as u64, PAGES);
        for page in 0..PAGES {
            let mut bytes = [0; CORES];
            block_on_thread(vmo.read(page * PAGE, &mut bytes)).unwrap();
            assert_eq!(bytes, [7; CORES]);
        }
        drop((space, vmo));
        world.end();
    }
}
