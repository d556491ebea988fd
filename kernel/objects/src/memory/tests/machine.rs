//! The modelled machine.

use super::std;
use std::boxed::Box;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::vec::Vec;

use abi::memory::PAGE_BYTES;
use abi::process::JobLimits;

use crate::job::{Job, Resource};
use crate::memory::machine::{Access, Cache, Changed, Frame, Frames, Machine, Span, Tables, Touch};
use crate::memory::{Space, Vmo};
use crate::refs::{NoMemory, Ref};

use super::run::yield_now;

pub(in crate::memory) const PAGE: u64 = PAGE_BYTES;

/// The machine.
pub(in crate::memory) struct Model;

impl Machine for Model {
    type Frames = Ram;
    type Tables = PageTables;
    type Owner = std::sync::Arc<()>;

    async fn checkpoint() {
        yield_now().await;
    }
}

struct Held {
    holders: u32,
    bytes: Box<[u8; PAGE as usize]>,
}

#[derive(Default)]
struct RamState {
    frames: HashMap<u64, Held>,
    given: u64,
    limit: Option<usize>,
}

/// Memory whose frames are never used twice, so that a stale use is always seen.
#[derive(Clone, Default)]
pub(in crate::memory) struct Ram(Arc<Mutex<RamState>>);

impl Ram {
    pub(in crate::memory) fn in_use(&self) -> usize {
        self.0.lock().unwrap().frames.len()
    }

    pub(in crate::memory) fn set_limit(&self, limit: Option<usize>) {
        self.0.lock().unwrap().limit = limit;
    }

    fn put(&self, bytes: impl FnOnce(&RamState) -> Box<[u8; PAGE as usize]>) -> Option<Frame> {
        let mut ram = self.0.lock().unwrap();
        if ram.limit.is_some_and(|limit| ram.frames.len() >= limit) {
            return None;
        }
        ram.given += 1;
        let address = ram.given * PAGE;
        let held = Held {
            holders: 1,
            bytes: bytes(&ram),
        };
        ram.frames.insert(address, held);
        Frame::from_address(address)
    }
}

impl Frames for Ram {
    fn allocate_zeroed(&self) -> Option<Frame> {
        self.put(|_| Box::new([0; PAGE as usize]))
    }

    fn allocate_copy(&self, from: Frame) -> Option<Frame> {
        self.put(|ram| ram.frames[&from.address()].bytes.clone())
    }

    fn share(&self, frame: Frame) -> Result<(), NoMemory> {
        let mut ram = self.0.lock().unwrap();
        ram.frames.get_mut(&frame.address()).unwrap().holders += 1;
        Ok(())
    }

    fn release(&self, frame: Frame) {
        let mut ram = self.0.lock().unwrap();
        let held = ram
            .frames
            .get_mut(&frame.address())
            .expect("a frame is released that is free");
        held.holders -= 1;
        if held.holders == 0 {
            ram.frames.remove(&frame.address());
        }
    }

    fn count(&self, frame: Frame) -> u32 {
        let ram = self.0.lock().unwrap();
        ram.frames.get(&frame.address()).map_or(0, |h| h.holders)
    }

    fn read(&self, frame: Frame, offset: usize, into: &mut [u8]) {
        let ram = self.0.lock().unwrap();
        let held = ram
            .frames
            .get(&frame.address())
            .expect("a free frame is read");
        into.copy_from_slice(&held.bytes[offset..offset + into.len()]);
    }

    fn write(&self, frame: Frame, offset: usize, from: &[u8]) {
        let mut ram = self.0.lock().unwrap();
        let held = ram
            .frames
            .get_mut(&frame.address())
            .expect("a free frame is written");
        held.bytes[offset..offset + from.len()].copy_from_slice(from);
    }
}

type Entries = BTreeMap<u64, (Frame, Access)>;

/// Page tables, and what each core remembers of them: everything it ever used, until a shootdown.
pub(in crate::memory) struct PageTables {
    ram: Ram,
    entries: Mutex<Entries>,
    cores: Vec<Mutex<Entries>>,
    limit: Mutex<Option<usize>>,
}

impl PageTables {
    pub(in crate::memory) fn new(ram: &Ram, cores: usize) -> Ref<Self> {
        Ref::try_new(Self {
            ram: ram.clone(),
            entries: Mutex::default(),
            cores: (0..cores).map(|_| Mutex::default()).collect(),
            limit: Mutex::default(),
        })
        .unwrap()
    }

    /// From now on only so many pages can be mapped.
    pub(in crate::memory) fn set_limit(&self, limit: Option<usize>) {
        *self.limit.lock().unwrap() = limit;
    }

    /// What a core does for an instruction: uses what it remembers, else walks the tables and remembers, else faults.
    fn reach(&self, core: usize, address: u64, touch: Touch, run: impl FnOnce(Frame)) -> bool {
        let page = address / PAGE * PAGE;
        let mut cache = self.cores[core].lock().unwrap();
        if let Some(&(frame, access)) = cache.get(&page)
            && access.allows(touch)
        {
            run(frame);
            return true;
        }
        // A fault forgets the address (Intel SDM vol. 3A §4.10.4.1); so does a walk that finds more.
        cache.remove(&page);
        let entry = self.entries.lock().unwrap().get(&page).copied();
        match entry {
            Some((frame, access)) if access.allows(touch) => {
                cache.insert(page, (frame, access));
                run(frame);
                true
            }
            _ => false,
        }
    }

    pub(in crate::memory) fn load(&self, core: usize, address: u64, touch: Touch) -> Option<u8> {
        let mut byte = [0];
        self.reach(core, address, touch, |frame| {
            self.ram.read(frame, (address % PAGE) as usize, &mut byte);
        })
        .then_some(byte[0])
    }

    pub(in crate::memory) fn store(&self, core: usize, address: u64, byte: u8) -> bool {
        self.reach(core, address, Touch::Write, |frame| {
            self.ram.write(frame, (address % PAGE) as usize, &[byte]);
        })
    }

    pub(in crate::memory) fn mapped(&self) -> Entries {
        self.entries.lock().unwrap().clone()
    }

    /// That no page is writable for one core and executable for the same or another.
    pub(in crate::memory) fn check_write_xor_execute(&self) {
        let mut seen: HashMap<u64, (bool, bool)> = HashMap::new();
        let mut look = |entries: &Entries| {
            for (&address, &(_, access)) in entries {
                let (write, execute) = seen.entry(address).or_default();
                *write |= access == Access::ReadWrite;
                *execute |= access == Access::ReadExecute;
                assert!(
                    !(*write && *execute),
                    "{address:#x} is writable and executable"
                );
            }
        };
        look(&self.entries.lock().unwrap());
        for core in &self.cores {
            look(&core.lock().unwrap());
        }
    }

    fn forget(&self, core: usize, span: Span) {
        let mut cache = self.cores[core].lock().unwrap();
        cache.retain(|&address, _| address < span.address || address >= span.end());
    }

    fn change(
        &self,
        span: Span,
        limit: u64,
        mut change: impl FnMut(&mut Entries, u64) -> bool,
    ) -> Changed {
        let mut entries = self.entries.lock().unwrap();
        let addresses: Vec<u64> = entries
            .range(span.address..span.end())
            .map(|(&address, _)| address)
            .collect();
        let mut changed = Changed {
            entries: 0,
            pages: span.pages,
        };
        for (looked, address) in (0..).zip(addresses) {
            if looked == limit {
                changed.pages = (address - span.address) / PAGE;
                break;
            }
            changed.entries += u64::from(change(&mut entries, address));
        }
        changed
    }
}

impl Tables for PageTables {
    fn map(
        &self,
        address: u64,
        frame: Frame,
        access: Access,
        _cache: Cache,
    ) -> Result<(), NoMemory> {
        assert!(address.is_multiple_of(PAGE));
        let mut entries = self.entries.lock().unwrap();
        if let Some(&(before, _)) = entries.get(&address) {
            assert_eq!(before, frame, "another frame is mapped at {address:#x}");
        } else if self
            .limit
            .lock()
            .unwrap()
            .is_some_and(|limit| entries.len() >= limit)
        {
            return Err(NoMemory);
        }
        entries.insert(address, (frame, access));
        Ok(())
    }

    fn unmap(&self, span: Span, limit: u64) -> Changed {
        self.change(span, limit, |entries, address| {
            entries.remove(&address).is_some()
        })
    }

    fn make_read_only(&self, span: Span, limit: u64) -> Changed {
        self.change(span, limit, |entries, address| {
            let (_, access) = entries.get_mut(&address).unwrap();
            core::mem::replace(access, Access::Read) != Access::Read
        })
    }

    fn translate(&self, address: u64) -> Option<(Frame, Access)> {
        let page = address / PAGE * PAGE;
        self.entries.lock().unwrap().get(&page).copied()
    }

    fn mapped_pages(&self) -> u64 {
        self.entries.lock().unwrap().len() as u64
    }

    fn flush_if_alone(&self, span: Span) -> bool {
        if self.cores.len() == 1 {
            self.forget(0, span);
        }
        self.cores.len() == 1
    }

    async fn shootdown(&self, span: Span) {
        // Cores answer at different times.
        for core in 0..self.cores.len() {
            yield_now().await;
            self.forget(core, span);
        }
        yield_now().await;
    }

    fn shootdown_now(&self, span: Span) {
        for core in 0..self.cores.len() {
            self.forget(core, span);
        }
    }
}

/// Memory and an account, which must both be as they were when it ends.
pub(in crate::memory) struct World {
    pub(in crate::memory) ram: Ram,
    pub(in crate::memory) job: Ref<Job>,
}

impl World {
    pub(in crate::memory) fn new() -> Self {
        Self {
            ram: Ram::default(),
            job: Job::root(&JobLimits::NONE).unwrap(),
        }
    }

    pub(in crate::memory) fn vmo(&self, pages: u64) -> Ref<Vmo<Model>> {
        Vmo::create(self.ram.clone(), &self.job, pages * PAGE).unwrap()
    }

    pub(in crate::memory) fn space(&self, cores: usize) -> Space<Model> {
        Space::new(PageTables::new(&self.ram, cores), &self.job).unwrap()
    }

    /// That everything was given back.
    pub(in crate::memory) fn end(self) {
        assert_eq!(self.ram.in_use(), 0, "frames are left");
        for resource in Resource::ALL {
            assert_eq!(self.job.used(resource), 0, "{resource:?} is left charged");
        }
    }
}
