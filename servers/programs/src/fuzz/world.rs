//! The objects of a run and the calls made on them.

use alloc::vec::Vec;

use abi::call::{Row, TABLE};
use abi::memory::{MapFlags, USER_END};
use abi::process::JobLimits;
use abi::{Call, Error, Handle, ObjectType, Rights};
use rt::sys::gate::Frame;
use rt::sys::memory::{Mapping, copy_into};
use rt::sys::object::{self, Job, Object, Vmo};
use rt::sys::process::{this_job, this_process};
use rt::sys::{clock, provoke};

use crate::draw::Draw;
use personality::raw_code;

/// Most handles kept.
const MAX_HANDLES: usize = 256;
/// Where buffers lie: guarded on both sides, so that what is written beyond it is seen.
const SCRATCH_BYTES: u64 = 64 << 10;
/// Kernel memory that the program's own heap may have come to cost.
pub(crate) const HEAP_KERNEL_BYTES: u64 = 64 << 10;

/// What a run came to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Summary {
    pub(crate) succeeded: u64,
    pub(crate) made: u64,
}

/// All that calls are made with.
pub(crate) struct World {
    draw: Draw,
    handles: Vec<(Handle, Option<ObjectType>)>,
    scratch: Mapping,
    job: Job,
    summary: Summary,
}

impl World {
    pub(crate) fn new(seed: u64) -> Result<Self, Error> {
        let job = this_job().create(&JobLimits {
            memory_bytes: 8 << 20,
            kernel_bytes: 4 << 20,
            handles: 1024,
            processes: 64,
            threads: 64,
            reserved_ppm: 10_000,
            cpu_ppm: u64::MAX,
            weight: 1,
        })?;
        let scratch = Vmo::create(SCRATCH_BYTES)?.map(
            0,
            SCRATCH_BYTES,
            MapFlags::WRITE | MapFlags::GUARDS | MapFlags::COMMIT,
        )?;
        let mut handles = Vec::new();
        handles
            .try_reserve_exact(MAX_HANDLES)
            .map_err(|_| Error::NoMemory)?;
        Ok(Self {
            draw: Draw::new(seed),
            handles,
            scratch,
            job,
            summary: Summary::default(),
        })
    }

    /// Makes one call.
    pub(crate) fn step(&mut self) {
        if self.handles.is_empty() || self.draw.once_in(64) {
            self.seed_handles();
        }
        if self.draw.once_in(256) {
            self.seed_driven();
        }
        if self.draw.once_in(50) {
            // Any number, any arguments, but none that is in use.
            let number = self.draw.next() | 1 << 20;
            let arguments = core::array::from_fn(|_| self.draw.next());
            let _ = provoke::call(number, arguments);
            return;
        }
        let row = TABLE
            .get(self.draw.below(TABLE.len() as u64) as usize)
            .filter(|row| is_allowed(row.call));
        let Some(row) = row else { return };
        if self.draw.once_in(4) {
            self.fill_scratch();
        }
        let mut names = row.arguments.split(", ").filter(|name| !name.is_empty());
        let mut arguments = [0; 6];
        for place in &mut arguments {
            *place = match names.next() {
                Some(name) => self.argument(name),
                // Registers that mean nothing hold anything.
                None => self.draw.next(),
            };
        }
        self.call(row, arguments);
    }

    fn call(&mut self, row: &Row, arguments: [u64; 6]) {
        let results = if row.arguments.contains("words") {
            let [rdi, rsi, words @ ..] = arguments;
            let mut frame = Frame {
                rdi,
                rsi,
                ..Frame::default()
            };
            for (index, word) in frame.words.iter_mut().enumerate() {
                *word = words.get(index % 4).copied().unwrap_or(0);
            }
            provoke::message(row.call, &mut frame);
            (frame.rax, frame.words[0])
        } else {
            provoke::call(row.call as u64, arguments)
        };
        let Ok(first) = Error::check(results.0) else {
            return;
        };
        self.summary.succeeded += 1;
        match row.call {
            Call::HandleClose | Call::HandleGive => {
                let gone = if row.call == Call::HandleClose {
                    arguments[0]
                } else {
                    arguments[1]
                };
                self.handles.retain(|(handle, _)| handle.0 != gone);
            }
            Call::ChannelCreate => {
                self.keep(first, Some(ObjectType::Channel));
                self.keep(results.1, Some(ObjectType::Channel));
            }
            Call::LeaseCreate => {
                self.keep(first, None);
                self.keep(results.1, Some(ObjectType::Lease));
            }
            Call::HandleDuplicate | Call::EndpointMint => self.keep(first, None),
            Call::Map => {}
            _ => {
                let made = ObjectType::ALL
                    .iter()
                    .copied()
                    .find(|object| object.name() == row.results);
                if made.is_some() {
                    self.keep(first, made);
                }
            }
        }
    }

    /// Keeps a handle, or closes it if there are too many.
    fn keep(&mut self, number: u64, object: Option<ObjectType>) {
        self.summary.made += 1;
        let handle = Handle(number);
        let object = object.or_else(|| {
            let info = object::info(handle).ok()?;
            ObjectType::from_raw(info.object_type)
        });
        if self.handles.len() < MAX_HANDLES {
            self.handles.push((handle, object));
        } else {
            let index = self.draw.below(MAX_HANDLES as u64) as usize;
            if let Some(place) = self.handles.get_mut(index) {
                let (old, _) = core::mem::replace(place, (handle, object));
                let _ = object::close(old);
            }
        }
    }

    /// Objects that only come from others: this process and its thread without the rights to harm them, and the run's job.
    fn seed_handles(&mut self) {
        let harmless = Rights::INSPECT | Rights::WAIT | Rights::DUPLICATE | Rights::READ;
        let job = Rights::of_new(ObjectType::Job) - Rights::KILL;
        for (handle, rights) in [
            (this_process().handle(), harmless),
            (self.job.handle(), job),
        ] {
            if let Ok(owned) = object::duplicate(handle, rights) {
                self.keep(owned.into_raw().0, None);
            }
        }
    }

    /// A process whose thread is run by calls alone: one that makes system calls, or one that never ends.
    fn seed_driven(&mut self) {
        let code = self
            .draw
            .of(&[raw_code::ASK, raw_code::SPIN], raw_code::ASK);
        if let Ok((process, thread)) = raw_code::driven(&self.job, code) {
            self.keep(process.into_owned().into_raw().0, None);
            let thread = thread
                .thread()
                .duplicate(Rights::of_new(ObjectType::Thread));
            if let Ok(thread) = thread {
                self.keep(thread.into_owned().into_raw().0, None);
            }
        }
    }

    /// Something for an argument of this name.
    fn argument(&mut self, name: &str) -> u64 {
        if name.starts_with('*') {
            return self.pointer();
        }
        let object = ObjectType::ALL
            .iter()
            .copied()
            .find(|object| name.trim_start_matches("from ") == object.name());
        match (object, name) {
            (Some(object), _) => self.handle(Some(object)),
            (None, "handle" | "process, thread or job" | "thread or job") => self.handle(None),
            (None, "process") => self.handle(Some(ObjectType::Process)),
            (None, "token") => self.draw.next(),
            // Of the few calls that were started: place and generation.
            (None, "id") => self.draw.below(4) << 32 | self.draw.below(16),
            (None, "deadline_ns") => self.deadline(),
            (None, "address") => self.address(),
            (None, "rights" | "signals" | "flags" | "bits") => self.bits(),
            _ => self.number(),
        }
    }

    /// A handle: mostly one of that type, sometimes another, a stale or a forged one.
    fn handle(&mut self, object: Option<ObjectType>) -> u64 {
        let count = self.handles.len() as u64;
        let start = self.draw.below(count) as usize;
        let any = self.handles.get(start).map_or(0, |(handle, _)| handle.0);
        match self.draw.below(16) {
            0 => any,
            1 => any ^ 1 << 32,
            2 => Handle::new(5000 + self.draw.below(1 << 20) as u32, 0).0,
            3 => 0,
            _ => self
                .handles
                .iter()
                .cycle()
                .skip(start)
                .take(count as usize)
                .find(|(_, known)| object.is_none() || *known == object)
                .map_or(any, |(handle, _)| handle.0),
        }
    }

    /// An address for a buffer: mostly in the scratch area.
    fn pointer(&mut self) -> u64 {
        let scratch = self.scratch.address();
        let inside = scratch + self.draw.below(SCRATCH_BYTES);
        let page = scratch + (self.draw.below(SCRATCH_BYTES) & !4095);
        let wild = self.draw.next();
        self.draw.of(
            &[
                scratch,
                scratch,
                page,
                page,
                inside,
                inside,
                scratch + SCRATCH_BYTES - 8,
                scratch - 8,
                0,
                USER_END - 4,
                1 << 47,
                u64::MAX - 7,
                // In the kernel's half: nothing of this program's own can be hit.
                wild | 1 << 63,
            ],
            scratch,
        )
    }

    /// An address in another process.
    fn address(&mut self) -> u64 {
        let page = 0x10_0000 + self.draw.below(64) * 4096;
        let wild = self.draw.next();
        self.draw.of(
            &[
                page,
                page,
                page,
                page + 8,
                0,
                USER_END - 4096,
                1 << 47,
                wild,
            ],
            page,
        )
    }

    fn deadline(&mut self) -> u64 {
        let soon = clock::now_ns() + self.draw.below(20_000);
        let past = self.draw.below(clock::now_ns());
        self.draw.of(&[0, 0, 0, 1, past, soon], 0)
    }

    fn bits(&mut self) -> u64 {
        let some = self.draw.next() & self.draw.next() & 0x7fff;
        let wild = self.draw.next();
        self.draw.of(
            &[
                some,
                some,
                0,
                1,
                2,
                3,
                0x7fff,
                u64::from(u32::MAX),
                u64::MAX,
                wild,
            ],
            0,
        )
    }

    fn number(&mut self) -> u64 {
        let small = self.draw.below(64);
        let page = self.draw.below(64) * 4096;
        let wild = self.draw.next();
        self.draw.of(
            &[
                0,
                1,
                2,
                4,
                8,
                small,
                small,
                page,
                page,
                page,
                4096,
                4095,
                16384,
                16385,
                1 << 32,
                u64::MAX,
                wild,
            ],
            0,
        )
    }

    /// Arguments in memory: words as they stand in registers.
    fn fill_scratch(&mut self) {
        let page = (self.draw.below(SCRATCH_BYTES) & !4095) as usize;
        for index in 0..16 {
            let word = match self.draw.below(5) {
                0 => self.handle(None),
                1 => self.pointer(),
                2 => self.bits(),
                3 => self.address(),
                _ => self.number(),
            };
            let _ = copy_into(&self.scratch, page + index * 8, &word.to_le_bytes());
        }
    }

    /// Closes all and ends what runs.
    pub(crate) fn finish(self) -> Summary {
        for (handle, _) in &self.handles {
            let _ = object::close(*handle);
        }
        let _ = self.job.kill(0);
        self.summary
    }
}

/// Calls that would end the program or let it wait for ever.
const fn is_allowed(call: Call) -> bool {
    !matches!(
        call,
        Call::ProcessExit
            | Call::ThreadExit
            | Call::PagerNext
            // Whoever reads such a vmo waits for a pager that nobody runs.
            | Call::PagerVmo
            | Call::ReplyReceive
            | Call::PortReplyWait
            | Call::SystemControl
            | Call::LogWrite
    )
}
