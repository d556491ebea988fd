//! Operations interleaved at their awaits: nothing is lost, no two cores ever see different contents of a page, and everything ends.

use super::std;
use core::cell::{Cell, RefCell};
use std::rc::Rc;
use std::vec;
use std::vec::Vec;

use abi::memory::USER_BASE;
use abi::{Error, Rights};

use super::machine::{Model, PAGE, PageTables, World};
use super::run::{Random, Tasks, give_up_after, yield_now};
use crate::lease::Lease;
use crate::memory::machine::{Access, Frames, Touch};
use crate::memory::space::{FaultError, Inherit, MapArgs, Place, Space, Violation};
use crate::memory::vmo::Vmo;
use crate::refs::Ref;

const CORES: usize = 3;
const PAGES: u64 = 6;
const WRITERS: usize = 3;
/// Where the vmo is mapped: twice in the first space, once in the second.
const FIRST: u64 = USER_BASE;
const SECOND: u64 = USER_BASE + 64 * PAGE;
const RIGHTS: Rights = Rights::READ
    .union(Rights::WRITE)
    .union(Rights::EXECUTE)
    .union(Rights::MAP);

struct Stage {
    world: World,
    vmo: Ref<Vmo<Model>>,
    spaces: [Space<Model>; 2],
    /// Writer w's byte w of page p, as it was written last.
    written: RefCell<Vec<[u8; WRITERS]>>,
}

fn args(vmo: &Ref<Vmo<Model>>, address: u64) -> MapArgs<'_, Model> {
    MapArgs {
        vmo,
        offset: 0,
        len: PAGES * PAGE,
        place: Place::Fixed(address),
        access: Access::ReadWrite,
        rights: RIGHTS,
        guarded: false,
        lease: None,
        inherit: Inherit::Copy,
    }
}

impl Stage {
    fn new() -> Self {
        let world = World::new();
        let vmo = world.vmo(PAGES);
        let spaces = [world.space(CORES), world.space(CORES)];
        spaces[0].map(&args(&vmo, FIRST)).unwrap();
        spaces[0].map(&args(&vmo, SECOND)).unwrap();
        spaces[1].map(&args(&vmo, FIRST)).unwrap();
        Self {
            world,
            vmo,
            spaces,
            written: RefCell::new(vec![[0; WRITERS]; PAGES as usize]),
        }
    }

    fn tables(&self, space: usize) -> &PageTables {
        self.spaces[space].tables()
    }

    /// A place where a page of the vmo is mapped.
    fn place(&self, random: &mut Random, page: u64) -> (usize, u64) {
        match random.below(3) {
            0 => (0, FIRST + page * PAGE),
            1 => (0, SECOND + page * PAGE),
            _ => (1, FIRST + page * PAGE),
        }
    }

    /// A core's instruction, with the faults that it takes. False if it is not allowed now.
    async fn touch(
        &self,
        space: usize,
        address: u64,
        touch: Touch,
        mut run: impl FnMut() -> bool,
    ) -> bool {
        loop {
            if run() {
                return true;
            }
            match self.spaces[space].fault_in(address, touch).await {
                Ok(()) => {}
                Err(FaultError::Violation(Violation::Access | Violation::Unmapped)) => {
                    return false;
                }
                Err(error) => panic!("{error:?}"),
            }
        }
    }

    async fn writer(&self, writer: usize, mut random: Random, rounds: u32) {
        for _ in 0..rounds {
            let core = random.below(CORES as u64) as usize;
            let page = random.below(PAGES);
            let (space, address) = self.place(&mut random, page);
            let address = address + writer as u64;
            let mut seen = None;
            let tables = self.tables(space);
            self.touch(space, address, Touch::Read, || {
                seen = tables.load(core, address, Touch::Read);
                seen.is_some()
            })
            .await;
            let expected = self.written.borrow()[page as usize][writer];
            if let Some(seen) = seen {
                assert_eq!(
                    seen, expected,
                    "page {page} byte {writer} read at {address:#x}"
                );
            }
            let value = expected.wrapping_add(1);
            if random.below(8) == 0 {
                let offset = page * PAGE + writer as u64;
                self.vmo.write(offset, &[value]).await.unwrap();
                self.written.borrow_mut()[page as usize][writer] = value;
            } else {
                self.touch(space, address, Touch::Write, || {
                    let stored = tables.store(core, address, value);
                    if stored {
                        self.written.borrow_mut()[page as usize][writer] = value;
                    }
                    stored
                })
                .await;
            }
            yield_now().await;
        }
    }

    fn bytes(&self) -> Vec<[u8; WRITERS]> {
        self.written.borrow().clone()
    }

    /// Every byte of a copy is one that was there between two moments.
    fn check_copy(&self, before: &[[u8; WRITERS]], copy: &[[u8; WRITERS]]) {
        let after = self.bytes();
        for page in 0..PAGES as usize {
            for writer in 0..WRITERS {
                let range = before[page][writer]..=after[page][writer];
                let byte = copy[page][writer];
                assert!(range.contains(&byte), "{byte} of {range:?} in page {page}");
            }
        }
    }

    async fn contents(&self, vmo: &Ref<Vmo<Model>>) -> Vec<[u8; WRITERS]> {
        let mut contents = vec![[0; WRITERS]; PAGES as usize];
        for (page, bytes) in contents.iter_mut().enumerate() {
            vmo.read(page as u64 * PAGE, bytes).await.unwrap();
        }
        contents
    }

    async fn snapshots(&self, mut random: Random, rounds: u32) {
        for _ in 0..rounds {
            let before = self.bytes();
            let taken = self.vmo.snapshot(&self.world.job, 0, PAGES * PAGE);
            let patience = match random.below(3) {
                0 => random.below(12),
                _ => u64::MAX,
            };
            let Some(copy) = give_up_after(patience, taken).await else {
                continue;
            };
            let copy = copy.unwrap();
            let first = self.contents(&copy).await;
            self.check_copy(&before, &first);
            for _ in 0..random.below(40) {
                yield_now().await;
            }
            assert_eq!(self.contents(&copy).await, first, "a copy changed");
            // Writing to the copy is not seen in the original: the writers check that.
            copy.write(random.below(PAGES) * PAGE, &[0xee; WRITERS])
                .await
                .unwrap();
        }
    }

    async fn forks(&self, mut random: Random, rounds: u32) {
        for _ in 0..rounds {
            let child = self.world.space(CORES);
            let before = self.bytes();
            let patience = match random.below(3) {
                0 => random.below(30),
                _ => u64::MAX,
            };
            let forked = self.spaces[0].fork_into(&child, &self.world.job);
            if let Some(result) = give_up_after(patience, forked).await {
                result.unwrap();
                let mut copy = vec![[0; WRITERS]; PAGES as usize];
                let mut whole = true;
                for (page, bytes) in copy.iter_mut().enumerate() {
                    let at = page as u64 * PAGE;
                    whole &= child.read(FIRST + at, bytes).await.is_ok();
                }
                if whole {
                    self.check_copy(&before, &copy);
                }
                // The two mappings of one vmo are still the same memory.
                if child.write(SECOND, &[0x77]).await.is_ok() {
                    let mut byte = [0];
                    if child.read(FIRST, &mut byte).await.is_ok() {
                        assert_eq!(byte, [0x77]);
                    }
                }
            }
            while !child.teardown_step() {
                yield_now().await;
            }
        }
    }

    /// Takes the second mapping away and brings it back.
    async fn remaps(&self, mut random: Random, rounds: u32) {
        for _ in 0..rounds {
            let pages = 1 + random.below(PAGES);
            let unmap = self.spaces[0].unmap(SECOND, pages * PAGE);
            let patience = match random.below(3) {
                0 => random.below(8),
                _ => u64::MAX,
            };
            let done = give_up_after(patience, unmap).await;
            if done.is_none() {
                self.spaces[0].unmap(SECOND, pages * PAGE).await.unwrap();
            }
            let mapped = self.tables(0).mapped();
            assert_eq!(mapped.range(SECOND..SECOND + pages * PAGE).next(), None);
            for core in 0..CORES {
                assert_eq!(self.tables(0).load(core, SECOND, Touch::Read), None);
            }
            self.spaces[0]
                .map(&MapArgs {
                    len: pages * PAGE,
                    ..args(&self.vmo, SECOND)
                })
                .unwrap();
            for _ in 0..random.below(20) {
                yield_now().await;
            }
        }
    }

    /// `alone`: nobody else changes the access.
    async fn protects(&self, mut random: Random, rounds: u32, alone: bool) {
        for _ in 0..rounds {
            let access =
                [Access::Read, Access::ReadWrite, Access::ReadExecute][random.below(3) as usize];
            let first = random.below(PAGES);
            let pages = 1 + random.below(PAGES - first);
            let address = FIRST + first * PAGE;
            let protect = self.spaces[1].protect(address, pages * PAGE, access);
            let patience = match random.below(3) {
                0 => random.below(12),
                _ => u64::MAX,
            };
            if let Some(result) = give_up_after(patience, protect).await {
                result.unwrap();
                if alone && access == Access::ReadExecute {
                    let core = random.below(CORES as u64) as usize;
                    let tables = self.tables(1);
                    let reached = self.touch(1, address, Touch::Execute, || {
                        tables.load(core, address, Touch::Execute).is_some()
                    });
                    assert!(reached.await);
                }
                if alone && access != Access::ReadWrite {
                    for core in 0..CORES {
                        assert!(!self.tables(1).store(core, address + 100, 1));
                    }
                }
            }
        }
    }

    /// Fetches instructions where that may be allowed one moment and not the next.
    async fn executes(&self, mut random: Random, rounds: u32) {
        for _ in 0..rounds {
            let core = random.below(CORES as u64) as usize;
            let address = FIRST + random.below(PAGES) * PAGE;
            let tables = self.tables(1);
            self.touch(1, address, Touch::Execute, || {
                tables.load(core, address, Touch::Execute).is_some()
            })
            .await;
            yield_now().await;
        }
    }

    async fn revocations(&self, mut random: Random, rounds: u32) {
        let address = SECOND + 64 * PAGE;
        for _ in 0..rounds {
            let lease = Lease::new(&self.world.job, None).unwrap();
            self.spaces[1]
                .map(&MapArgs {
                    lease: Some(&lease),
                    ..args(&self.vmo, address)
                })
                .unwrap();
            let at = address + random.below(PAGES) * PAGE + 200;
            let tables = self.tables(1);
            let core = random.below(CORES as u64) as usize;
            assert!(
                self.touch(1, at, Touch::Write, || tables.store(core, at, 1))
                    .await
            );
            lease.revoke();
            self.vmo.unmap_revoked().await;
            for core in 0..CORES {
                assert_eq!(tables.load(core, at, Touch::Read), None);
            }
            assert_eq!(
                self.spaces[1].fault_in(at, Touch::Read).await,
                Err(FaultError::Violation(Violation::Revoked))
            );
            assert_eq!(self.spaces[1].read(at, &mut [0]).await, Err(Error::Revoked));
            self.spaces[1].unmap(address, PAGES * PAGE).await.unwrap();
        }
    }

    /// What must hold between any two steps.
    fn check(&self) {
        let state = self.vmo.lock();
        for space in 0..2 {
            let tables = self.tables(space);
            tables.check_write_xor_execute();
            for (address, (frame, access)) in tables.mapped() {
                let page = (address - USER_BASE) / PAGE % 64;
                let slot = state.store.get(page);
                assert_eq!(
                    slot,
                    crate::memory::store::Slot::Held(frame),
                    "{address:#x}"
                );
                let shared = self.world.ram.count(frame) > 1;
                assert!(!(shared && access == Access::ReadWrite), "{address:#x}");
            }
        }
    }

    fn end(self) {
        for space in &self.spaces {
            while !space.teardown_step() {}
        }
        assert_eq!(self.vmo.owners(), 1);
        drop(self.vmo);
        drop(self.spaces);
        self.world.end();
    }
}

fn play(seed: u64) {
    let mut random = Random(seed);
    let stage = Stage::new();
    let mut tasks = Tasks::new();
    for writer in 0..WRITERS {
        tasks.add("writer", stage.writer(writer, Random(random.next()), 30));
    }
    // Not all at once: fewer at a time reach other states.
    if random.below(4) != 0 {
        tasks.add("snapshots", stage.snapshots(Random(random.next()), 5));
    }
    if random.below(3) == 0 {
        tasks.add("snapshots", stage.snapshots(Random(random.next()), 5));
    }
    if random.below(2) == 0 {
        tasks.add("forks", stage.forks(Random(random.next()), 3));
    }
    if random.below(2) == 0 {
        tasks.add("remaps", stage.remaps(Random(random.next()), 6));
    }
    let protectors = random.below(3);
    for _ in 0..protectors {
        let task = stage.protects(Random(random.next()), 6, protectors == 1);
        tasks.add("protects", task);
    }
    if protectors != 0 {
        tasks.add("executes", stage.executes(Random(random.next()), 60));
    }
    if random.below(2) == 0 {
        tasks.add("revocations", stage.revocations(Random(random.next()), 3));
    }
    tasks.run(&mut random, || stage.check());
    stage.end();
}

#[test]
fn interleavings_lose_nothing() {
    let rounds = std::env::var("MEMORY_RACES").map_or(60, |text| text.parse().unwrap());
    let current = Rc::new(Cell::new(0));
    for seed in 0..rounds {
        current.set(seed);
        let outcome = std::panic::catch_unwind(|| play(seed));
        if let Err(panic) = outcome {
            std::eprintln!("seed {seed}");
            std::panic::resume_unwind(panic);
        }
    }
}
