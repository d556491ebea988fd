//! Operations one after another, against a reference that knows bytes and nothing of frames.

use super::std;
use std::collections::{BTreeMap, HashMap};
use std::vec;
use std::vec::Vec;

use abi::memory::USER_BASE;
use abi::process::JobLimits;
use abi::{Error, Rights};
use proptest::prelude::*;

use super::machine::{Model, PAGE, World};
use super::ops::{CORES, Op, op};
use super::run::block_on;
use crate::job::Job;
use crate::memory::machine::{Access, Touch};
use crate::memory::space::{FaultError, Inherit, MapArgs, Place, Space, Violation};
use crate::memory::vmo::Vmo;
use crate::refs::Ref;

const ALL: Rights = Rights::READ
    .union(Rights::WRITE)
    .union(Rights::EXECUTE)
    .union(Rights::MAP);

/// What a vmo is to contain. Bytes that are not there are zero.
#[derive(Clone, Default)]
struct Contents {
    pages: u64,
    bytes: HashMap<u64, u8>,
}

impl Contents {
    fn byte(&self, offset: u64) -> u8 {
        self.bytes.get(&offset).copied().unwrap_or(0)
    }

    fn forget(&mut self, from: u64, to: u64) {
        self.bytes
            .retain(|&offset, _| offset < from * PAGE || offset >= to * PAGE);
    }
}

/// What lies in a page of a space: which contents, which page of it, how.
type Pages = BTreeMap<u64, (usize, u64, Access)>;

struct Stage {
    world: World,
    /// Who is charged: may have a limit.
    job: Ref<Job>,
    /// Handles, and which contents they are for.
    vmos: Vec<Option<(Ref<Vmo<Model>>, usize)>>,
    contents: Vec<Contents>,
    spaces: Vec<(Space<Model>, Pages)>,
    /// Memory may be short: operations may fail in part, so contents are not compared.
    short: bool,
}

impl Stage {
    fn new(memory_pages: Option<u64>) -> Self {
        let world = World::new();
        let limits = JobLimits {
            memory_bytes: memory_pages.map_or(u64::MAX, |pages| pages * PAGE),
            kernel_bytes: memory_pages.map_or(u64::MAX, |pages| pages * 2048),
            ..JobLimits::NONE
        };
        let job = world.job.child(&limits).unwrap();
        let spaces = (0..3).map(|_| (world.space(CORES), Pages::new())).collect();
        Self {
            world,
            job,
            vmos: (0..6).map(|_| None).collect(),
            contents: Vec::new(),
            spaces,
            short: memory_pages.is_some(),
        }
    }

    fn add(&mut self, vmo: Ref<Vmo<Model>>, contents: Contents) {
        self.contents.push(contents);
        let entry = Some((vmo, self.contents.len() - 1));
        let free = self.vmos.iter().position(Option::is_none).unwrap_or(0);
        self.vmos[free] = entry;
    }

    /// The result is the expected one, or memory was short. True if it was done.
    fn expect(&self, result: Result<(), Error>, expected: Result<(), Error>) -> bool {
        if self.short && result == Err(Error::NoMemory) {
            return false;
        }
        assert_eq!(result, expected);
        result.is_ok()
    }

    fn run(&mut self, op: Op) {
        match op {
            Op::Create { pages } => {
                let vmo = Vmo::create(self.world.ram.clone(), &self.job, pages * PAGE);
                if let Ok(vmo) = vmo {
                    let contents = Contents {
                        pages,
                        ..Contents::default()
                    };
                    self.add(vmo, contents);
                }
            }
            Op::Close { vmo } => self.vmos[vmo] = None,
            Op::Map {
                space,
                vmo,
                first,
                pages,
                at,
                access,
            } => self.map(space, vmo, (first, pages), at, access),
            Op::Unmap { space, at, pages } => {
                let (space, model) = &mut self.spaces[space];
                let result = block_on(space.unmap(USER_BASE + at * PAGE, pages * PAGE));
                if result.is_ok() {
                    model.retain(|&page, _| page < at || page >= at + pages);
                } else {
                    assert!(self.short && result == Err(Error::NoMemory));
                }
            }
            Op::Protect {
                space,
                at,
                pages,
                access,
            } => self.protect(space, at, pages, access),
            Op::Load { space, core, at } => self.touch(space, core, at, Touch::Read, 0),
            Op::Store {
                space,
                core,
                at,
                byte,
            } => self.touch(space, core, at, Touch::Write, byte),
            Op::Execute { space, core, at } => self.touch(space, core, at, Touch::Execute, 0),
            Op::Poke { space, at, byte } => self.poke(space, at, byte),
            Op::Fork { space, into } => self.fork(space, into),
            Op::Snapshot { vmo, .. }
            | Op::Read { vmo, .. }
            | Op::Write { vmo, .. }
            | Op::Commit { vmo, .. }
            | Op::Decommit { vmo, .. }
            | Op::Resize { vmo, .. } => {
                if let Some((vmo, index)) = self.vmos[vmo].clone() {
                    self.run_on(&vmo, index, op);
                }
            }
        }
    }

    fn run_on(&mut self, vmo: &Ref<Vmo<Model>>, index: usize, op: Op) {
        let size = self.contents[index].pages;
        let within = |end: u64| match end <= size * PAGE {
            true => Ok(()),
            false => Err(Error::OutOfRange),
        };
        match op {
            Op::Snapshot { first, pages, .. } => {
                let copy = block_on(vmo.snapshot(&self.job, first * PAGE, pages * PAGE));
                let result = copy.as_ref().map(|_| ()).map_err(|&error| error);
                if self.expect(result, within((first + pages) * PAGE)) {
                    let from = &self.contents[index].bytes;
                    let bytes = from
                        .iter()
                        .filter(|&(&at, _)| at >= first * PAGE && at < (first + pages) * PAGE)
                        .map(|(at, byte)| (at - first * PAGE, *byte))
                        .collect();
                    self.add(copy.unwrap(), Contents { pages, bytes });
                }
            }
            Op::Read { offset, len, .. } => {
                let mut bytes = vec![0xaa; len];
                let result = block_on(vmo.read(offset, &mut bytes));
                if self.expect(result, within(offset + len as u64)) && !self.short {
                    for (at, byte) in (offset..).zip(bytes) {
                        assert_eq!(byte, self.contents[index].byte(at), "at {at:#x}");
                    }
                }
            }
            Op::Write {
                offset, len, byte, ..
            } => {
                let result = block_on(vmo.write(offset, &vec![byte; len]));
                if self.expect(result, within(offset + len as u64)) {
                    let bytes = (offset..offset + len as u64).map(|at| (at, byte));
                    self.contents[index].bytes.extend(bytes);
                }
            }
            Op::Commit { first, pages, .. } => {
                let result = block_on(vmo.commit(first * PAGE, pages * PAGE));
                self.expect(result, within((first + pages) * PAGE));
            }
            Op::Decommit { first, pages, .. } => {
                let result = block_on(vmo.decommit(first * PAGE, pages * PAGE));
                if self.expect(result, within((first + pages) * PAGE)) {
                    self.contents[index].forget(first, first + pages);
                }
            }
            Op::Resize { pages, .. } => {
                let result = block_on(vmo.resize(pages * PAGE));
                let expected = match pages {
                    0 => Err(Error::BadArgument),
                    _ => Ok(()),
                };
                if self.expect(result, expected) {
                    self.contents[index].pages = pages;
                    self.contents[index].forget(pages, u64::MAX / PAGE);
                }
            }
            _ => {}
        }
    }

    fn map(&mut self, space: usize, vmo: usize, part: (u64, u64), at: u64, access: Access) {
        let Some((vmo, index)) = self.vmos[vmo].clone() else {
            return;
        };
        let (first, pages) = part;
        let mapped = self.spaces[space].0.map(&MapArgs {
            vmo: &vmo,
            offset: first * PAGE,
            len: pages * PAGE,
            place: Place::Fixed(USER_BASE + at * PAGE),
            access,
            rights: ALL,
            guarded: false,
            lease: None,
            inherit: Inherit::Copy,
        });
        let taken = self.spaces[space].1.range(at..at + pages).next().is_some();
        let expected = if taken {
            Err(Error::Occupied)
        } else if first + pages > self.contents[index].pages {
            Err(Error::OutOfRange)
        } else {
            Ok(())
        };
        if self.expect(mapped.map(drop), expected) {
            let entries = (0..pages).map(|page| (at + page, (index, first + page, access)));
            self.spaces[space].1.extend(entries);
        }
    }

    fn protect(&mut self, space: usize, at: u64, pages: u64, access: Access) {
        let (space, model) = &mut self.spaces[space];
        let result = block_on(space.protect(USER_BASE + at * PAGE, pages * PAGE, access));
        let whole = model.range(at..at + pages).count() as u64 == pages;
        match result {
            Ok(()) => {
                assert!(whole);
                for (_, entry) in model.range_mut(at..at + pages) {
                    entry.2 = access;
                }
            }
            Err(Error::BadAddress) => assert!(!whole),
            Err(error) => {
                assert!(self.short && error == Error::NoMemory);
                // Some of it may allow less now: all of it is made to.
                for (_, entry) in model.range_mut(at..at + pages) {
                    entry.2 = Access::Read;
                }
            }
        }
    }

    /// What the page at an address is to allow.
    fn expected(&self, space: usize, at: u64, touch: Touch) -> Result<(usize, u64), Violation> {
        let entry = self.spaces[space].1.get(&(at / PAGE));
        let &(index, page, access) = entry.ok_or(Violation::Unmapped)?;
        if !access.allows(touch) {
            return Err(Violation::Access);
        }
        if page >= self.contents[index].pages {
            return Err(Violation::OutOfRange);
        }
        Ok((index, page * PAGE + at % PAGE))
    }

    /// An instruction on a core, with its faults.
    fn touch(&mut self, space: usize, core: usize, at: u64, touch: Touch, byte: u8) {
        let expected = self.expected(space, at, touch);
        let address = USER_BASE + at;
        let (space, _) = &self.spaces[space];
        loop {
            let seen = match touch {
                Touch::Write => space.tables().store(core, address, byte).then_some(byte),
                _ => space.tables().load(core, address, touch),
            };
            if let Some(seen) = seen {
                let (index, offset) = expected.expect("a page is reached that should not be");
                if touch == Touch::Write {
                    self.contents[index].bytes.insert(offset, byte);
                } else if !self.short {
                    assert_eq!(seen, self.contents[index].byte(offset));
                }
                return;
            }
            match block_on(space.fault_in(address, touch)) {
                Ok(()) => {}
                Err(FaultError::NoMemory) if self.short => return,
                Err(FaultError::Violation(_)) if self.short => return,
                Err(error) => {
                    assert_eq!(Err(error), expected.map_err(FaultError::Violation));
                    return;
                }
            }
        }
    }

    fn poke(&mut self, space: usize, at: u64, byte: u8) {
        let expected = self.expected(space, at, Touch::Write);
        let result = block_on(self.spaces[space].0.write(USER_BASE + at, &[byte]));
        if !self.short {
            assert_eq!(result, expected.map(drop).map_err(|_| Error::BadAddress));
        }
        if let (Ok(()), Ok((index, offset))) = (result, expected) {
            self.contents[index].bytes.insert(offset, byte);
        }
    }

    fn fork(&mut self, space: usize, into: usize) {
        if space == into {
            return;
        }
        let mut child = self.world.space(CORES);
        let result = block_on(self.spaces[space].0.fork_into(&child, &self.job));
        let mut model = Pages::new();
        if result.is_ok() {
            let mut copies = HashMap::new();
            for (&at, &(index, page, access)) in &self.spaces[space].1 {
                if page >= self.contents[index].pages {
                    continue;
                }
                let copy = *copies.entry(index).or_insert_with(|| {
                    self.contents.push(self.contents[index].clone());
                    self.contents.len() - 1
                });
                model.insert(at, (copy, page, access));
            }
        } else {
            assert!(self.short && result == Err(Error::NoMemory));
            child = self.world.space(CORES);
        }
        let (old, _) = core::mem::replace(&mut self.spaces[into], (child, model));
        while !old.teardown_step() {}
    }

    /// What must hold after every operation, and can be seen from outside.
    fn check(&self) {
        for (space, model) in &self.spaces {
            space.tables().check_write_xor_execute();
            if !self.short {
                assert_eq!(space.mapped_bytes(), model.len() as u64 * PAGE);
            }
            for (&at, &(index, page, access)) in model {
                let address = USER_BASE + at * PAGE;
                let (_, offset) = space.lookup(address + 5).unwrap();
                assert_eq!(offset, page * PAGE + 5);
                for core in 0..CORES {
                    let Some(byte) = space.tables().load(core, address, Touch::Read) else {
                        continue;
                    };
                    assert!(page < self.contents[index].pages, "beyond the end");
                    if !self.short {
                        assert_eq!(byte, self.contents[index].byte(page * PAGE));
                    }
                    let _ = access;
                }
            }
        }
    }

    fn end(self) {
        if !self.short {
            for (vmo, index) in self.vmos.iter().flatten() {
                let contents = &self.contents[*index];
                let mut bytes = vec![0; (contents.pages * PAGE) as usize];
                block_on(vmo.read(0, &mut bytes)).unwrap();
                for (at, byte) in (0..).zip(bytes) {
                    assert_eq!(byte, contents.byte(at), "at {at:#x}");
                }
            }
        }
        drop(self.spaces);
        drop(self.vmos);
        drop(self.job);
        self.world.end();
    }
}

fn play(ops: Vec<Op>, memory_pages: Option<u64>) {
    let mut stage = Stage::new(memory_pages);
    stage.run(Op::Create { pages: 8 });
    for op in ops {
        stage.run(op);
        stage.check();
    }
    stage.end();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_byte_is_the_reference_s(ops in prop::collection::vec(op(), 1..80)) {
        play(ops, None);
    }

    #[test]
    fn short_memory_leaves_nothing_behind(
        ops in prop::collection::vec(op(), 1..80),
        pages in 1u64..30,
    ) {
        play(ops, Some(pages));
    }
}
