//! Vmos whose pages a pager brings.

use super::std;
use core::cell::Cell;
use std::vec;

use abi::memory::USER_BASE;
use abi::{Error, Signals};

use super::machine::{Model, PAGE, World};
use super::map::map;
use super::run::{Random, Tasks, block_on, give_up_after, yield_now};
use crate::memory::Pager;
use crate::memory::machine::{Access, Frames, Touch};
use crate::memory::pager::{MAX_REQUESTS, Request};
use crate::memory::space::{FaultError, Outcome, Violation};
use crate::memory::vmo::{Blocked, Vmo};
use crate::refs::Ref;

/// What the pager puts at the beginning of a page.
fn first_byte(page: u64) -> u8 {
    page as u8 ^ 0x5a
}

async fn supply(world: &World, vmo: &Ref<Vmo<Model>>, page: u64) -> Result<(), Error> {
    let bounce = world.vmo(3);
    bounce.write(PAGE, &[first_byte(page)]).await?;
    vmo.supply(page * PAGE, &bounce, PAGE, PAGE).await?;
    let mut byte = [1];
    bounce.read(PAGE, &mut byte).await?;
    assert_eq!(byte, [0], "the page was not moved but copied");
    Ok(())
}

#[test]
fn a_page_is_asked_for_once_and_brought() {
    let world = World::new();
    let pager = Pager::create(&world.job).unwrap();
    let vmo = pager.vmo(world.ram.clone(), &world.job, 8 * PAGE).unwrap();
    let space = world.space(2);
    map(&space, &vmo, USER_BASE);
    let address = USER_BASE + 3 * PAGE;
    for _ in 0..3 {
        match space.fault(address, Touch::Read) {
            Outcome::Blocked(Blocked::Wait(wait)) => {
                assert!(wait.is_for_pager());
                assert_eq!(wait.page(), (vmo.id(), 3 * PAGE));
            }
            _ => panic!("it cannot be there"),
        }
    }
    let mut tasks = Tasks::new();
    for touch in [Touch::Read, Touch::Write, Touch::Read] {
        let space = &space;
        tasks.add("toucher", async move {
            space.fault_in(address, touch).await.unwrap();
        });
    }
    tasks.add("pager", async {
        let signals = pager.signals().wait(Signals::PAGE_WANTED, None).await;
        assert_eq!(signals, Ok(Signals::PAGE_WANTED));
        let vmo_id = vmo.id();
        assert_eq!(pager.next(), Some(Request { vmo_id, page: 3 }));
        assert_eq!(pager.next(), None);
        assert_eq!(pager.signals().get(), Signals::empty());
        supply(&world, &vmo, 3).await.unwrap();
    });
    tasks.run(&mut Random(1), || ());
    assert_eq!(
        space.tables().load(0, address, Touch::Read),
        Some(first_byte(3))
    );
    drop((space, vmo, pager));
    world.end();
}

#[test]
fn closing_and_failing_end_the_wait() {
    let world = World::new();
    let pager = Pager::create(&world.job).unwrap();
    let vmo = pager.vmo(world.ram.clone(), &world.job, 8 * PAGE).unwrap();
    let space = world.space(2);
    map(&space, &vmo, USER_BASE);
    let failed = FaultError::Violation(Violation::PagerFailed);
    let mut tasks = Tasks::new();
    tasks.add("page 1", async {
        let result = space.fault_in(USER_BASE + PAGE, Touch::Read).await;
        assert_eq!(result, Err(failed));
        assert_eq!(vmo.read(PAGE, &mut [0]).await, Err(Error::PagerFailed));
        assert_eq!(vmo.write(PAGE, &[0]).await, Err(Error::PagerFailed));
    });
    tasks.add("page 2", async {
        let result = space.fault_in(USER_BASE + 2 * PAGE, Touch::Write).await;
        assert_eq!(result, Err(failed));
    });
    tasks.add("pager", async {
        while pager.next().is_none_or(|request| request.page != 1) {
            yield_now().await;
        }
        pager.fail(&vmo, 0, 2 * PAGE).await.unwrap();
        for _ in 0..20 {
            yield_now().await;
        }
        pager.close();
    });
    tasks.run(&mut Random(2), || ());
    assert_eq!(
        block_on(space.fault_in(USER_BASE + 5 * PAGE, Touch::Read)),
        Err(failed)
    );
    assert_eq!(
        pager.vmo(world.ram.clone(), &world.job, PAGE).err(),
        Some(Error::BadState)
    );
    drop((space, vmo, pager));
    world.end();
}

#[test]
fn who_gives_up_leaves_nothing_and_requests_are_bounded() {
    let world = World::new();
    let pager = Pager::create(&world.job).unwrap();
    let pages = MAX_REQUESTS as u64 + 20;
    let vmo = pager
        .vmo(world.ram.clone(), &world.job, pages * PAGE)
        .unwrap();
    let got = Cell::new(0);
    let mut tasks = Tasks::new();
    for page in 0..pages {
        let (vmo, got) = (&vmo, &got);
        tasks.add("reader", async move {
            let mut byte = [0];
            if page % 5 == 0 {
                let read = vmo.read(page * PAGE, &mut byte);
                give_up_after(3, read).await;
                return;
            }
            vmo.read(page * PAGE, &mut byte).await.unwrap();
            assert_eq!(byte, [first_byte(page)]);
            got.set(got.get() + 1);
        });
    }
    let wanted = (0..pages).filter(|page| page % 5 != 0).count();
    tasks.add("pager", async {
        while got.get() < wanted {
            match pager.next() {
                Some(request) => supply(&world, &vmo, request.page).await.unwrap(),
                None => yield_now().await,
            }
        }
    });
    tasks.run(&mut Random(3), || ());
    drop((vmo, pager));
    world.end();
}

#[test]
fn a_copy_takes_pages_when_it_needs_them() {
    let world = World::new();
    let pager = Pager::create(&world.job).unwrap();
    let vmo = pager.vmo(world.ram.clone(), &world.job, 8 * PAGE).unwrap();
    let space = world.space(2);
    map(&space, &vmo, USER_BASE);
    let job = &world.job;
    block_on(async {
        for page in 0..4 {
            supply(&world, &vmo, page).await.unwrap();
        }
        // Writable, and remembered so by a core.
        space
            .fault_in(USER_BASE + PAGE, Touch::Write)
            .await
            .unwrap();
        assert!(space.tables().store(1, USER_BASE + PAGE, 0x11));
        let copy = vmo.snapshot(job, PAGE, 6 * PAGE).await.unwrap();
        let second = copy.snapshot(job, PAGE, 5 * PAGE).await.unwrap();
        space
            .fault_in(USER_BASE + PAGE, Touch::Write)
            .await
            .unwrap();
        assert!(space.tables().store(1, USER_BASE + PAGE, 0x22));
        let mut byte = [0];
        copy.read(0, &mut byte).await.unwrap();
        assert_eq!(byte, [0x11]);
        // Brought and mapped with writes after the copies were made: they take it as it is when they touch it.
        supply(&world, &vmo, 5).await.unwrap();
        space
            .fault_in(USER_BASE + 5 * PAGE, Touch::Write)
            .await
            .unwrap();
        assert!(space.tables().store(1, USER_BASE + 5 * PAGE, 0x33));
        copy.read(4 * PAGE, &mut byte).await.unwrap();
        assert_eq!(byte, [0x33]);
        space
            .fault_in(USER_BASE + 5 * PAGE, Touch::Write)
            .await
            .unwrap();
        assert!(space.tables().store(1, USER_BASE + 5 * PAGE, 0x44));
        copy.read(4 * PAGE, &mut byte).await.unwrap();
        assert_eq!(byte, [0x33], "written through what a core remembered");
        second.read(3 * PAGE, &mut byte).await.unwrap();
        assert_eq!(byte, [0x44], "never touched before");
        second.write(3 * PAGE, &[0x55]).await.unwrap();
        vmo.read(5 * PAGE, &mut byte).await.unwrap();
        assert_eq!(byte, [0x44]);
        // Zeroes in place of pages would be a third opinion.
        assert_eq!(copy.decommit(0, PAGE).await, Err(Error::BadState));
        assert_eq!(vmo.decommit(0, PAGE).await, Err(Error::BadState));
        assert_eq!(vmo.resize(PAGE).await, Err(Error::BadState));
        copy.resize(PAGE).await.unwrap();
        copy.resize(6 * PAGE).await.unwrap();
        copy.read(4 * PAGE, &mut byte).await.unwrap();
        assert_eq!(byte, [0], "what was cut off came back");
        drop((copy, second));
        vmo.decommit(0, 8 * PAGE).await.unwrap();
        assert!(matches!(
            vmo.try_read(PAGE, &mut byte),
            Err(Blocked::Wait(_))
        ));
    });
    drop((space, vmo, pager));
    world.end();
}

#[test]
fn supplying_is_checked_and_keeps_what_is_there() {
    let world = World::new();
    let pager = Pager::create(&world.job).unwrap();
    let vmo = pager
        .vmo(world.ram.clone(), &world.job, 700 * PAGE)
        .unwrap();
    let from = world.vmo(700);
    block_on(async {
        let other = world.vmo(1);
        let wrong = other.supply(0, &from, 0, PAGE).await;
        assert_eq!(wrong, Err(Error::BadState));
        assert_eq!(vmo.supply(0, &vmo, 0, PAGE).await, Err(Error::BadState));
        assert_eq!(vmo.supply(1, &from, 0, PAGE).await, Err(Error::BadArgument));
        let far = vmo.supply(PAGE, &from, 0, 700 * PAGE).await;
        assert_eq!(far, Err(Error::OutOfRange));
        supply(&world, &vmo, 300).await.unwrap();
        vmo.write(300 * PAGE, &[0x99]).await.unwrap();
        for page in 0..700 {
            from.write(page * PAGE, &[page as u8]).await.unwrap();
        }
        vmo.supply(0, &from, 0, 700 * PAGE).await.unwrap();
        for page in 0..700u64 {
            let mut bytes = vec![1; 2];
            vmo.read(page * PAGE, &mut bytes).await.unwrap();
            let expected = if page == 300 { 0x99 } else { page as u8 };
            assert_eq!(bytes, [expected, 0]);
        }
        assert_eq!(from.info().await.committed_bytes, 0);
        // What was never written is supplied as zeroes.
        vmo.decommit(0, 700 * PAGE).await.unwrap();
        vmo.supply(0, &from, 0, PAGE).await.unwrap();
        let mut byte = [1];
        vmo.read(0, &mut byte).await.unwrap();
        assert_eq!(byte, [0]);
    });
    drop((from, vmo, pager));
    world.end();
}

/// Many touch pages of a vmo and of its copies while the pager brings them, in any order.
#[test]
fn readers_writers_and_the_pager_interleave() {
    for seed in 0..30 {
        let mut random = Random(seed);
        let world = World::new();
        let pager = Pager::create(&world.job).unwrap();
        let vmo = pager.vmo(world.ram.clone(), &world.job, 6 * PAGE).unwrap();
        let space = world.space(3);
        map(&space, &vmo, USER_BASE);
        let running = Cell::new(3);
        let mut tasks = Tasks::new();
        for core in 0..3usize {
            let (space, running, seed) = (&space, &running, random.next());
            let (vmo, world) = (&vmo, &world);
            tasks.add("core", async move {
                let mut random = Random(seed);
                let mut last = [0u8; 6];
                for round in 1..20u8 {
                    let page = random.below(6);
                    let address = USER_BASE + page * PAGE + 1 + core as u64;
                    loop {
                        match space.tables().load(core, address, Touch::Read) {
                            Some(seen) => {
                                assert_eq!(seen, last[page as usize], "seed {seed}");
                                break;
                            }
                            None => space.fault_in(address, Touch::Read).await.unwrap(),
                        }
                    }
                    while !space.tables().store(core, address, round) {
                        space.fault_in(address, Touch::Write).await.unwrap();
                    }
                    last[page as usize] = round;
                    if random.below(4) == 0 {
                        let copy = vmo.snapshot(&world.job, 0, 6 * PAGE).await.unwrap();
                        let mut byte = [0];
                        let offset = page * PAGE + 1 + core as u64;
                        copy.read(offset, &mut byte).await.unwrap();
                        assert_eq!(byte, [round], "seed {seed}");
                        let other = random.below(6) * PAGE;
                        copy.write(other + 100, &[1]).await.unwrap();
                        let mut first = [0];
                        copy.read(other, &mut first).await.unwrap();
                        assert_eq!(first, [first_byte(other / PAGE)]);
                    }
                }
                running.set(running.get() - 1);
            });
        }
        tasks.add("pager", async {
            while running.get() > 0 {
                match pager.next() {
                    Some(request) => supply(&world, &vmo, request.page).await.unwrap(),
                    None => yield_now().await,
                }
            }
        });
        tasks.run(&mut random, || {
            for (_, (frame, access)) in space.tables().mapped() {
                assert!(world.ram.count(frame) == 1 || access != Access::ReadWrite);
            }
        });
        drop((space, vmo, pager));
        world.end();
    }
}
