//! Threads: one after the other, and many at once; and what the system takes for itself.

use abi::FOREVER;
use abi::memory::PAGE_BYTES;
use proto::MemoryInfo;
use rt::sys::object::{Notification, System};
use rt::sys::process::{this_job, this_process, yield_now};
use rt::sys::thread::Sleepers;
use rt::sys::{clock, thread};
use rt::tables;

use crate::report::Report;
use crate::{CORE, Outcome, time};

const MANY: usize = 10_000;
const MACHINE_BYTES: u64 = 512 << 20;

/// Before anything was measured.
pub fn memory_at_start(report: &mut Report, system: &System) -> Outcome {
    let memory = tables::only::<MemoryInfo>(system)?;
    let used = (memory.total_frames - memory.free_frames) * PAGE_BYTES;
    report.value("mem.total_minus_available", "bytes", used)?;
    let free = memory.free_frames * PAGE_BYTES;
    let rest = MACHINE_BYTES.saturating_sub(free);
    report.value("mem.ram_minus_available", "bytes", rest)
}

pub fn create_join(report: &mut Report) -> Outcome {
    let mut samples = time(|| {
        let thread = thread::spawn_with(thread::STACK_BYTES, CORE, || {})?;
        Ok(thread.join_blocking(FOREVER)?)
    })?;
    report.ticks("thread.create_join.same", &mut samples)
}

/// Many that sleep: what each takes of the machine's memory, its frames and its part of the kernel's heap.
pub fn many(report: &mut Report, system: &System) -> Outcome {
    let taken = || -> Outcome<u64> {
        let heap = tables::only::<MemoryInfo>(system)?.heap.used;
        Ok(heap + this_job().usage()?.used.memory_bytes)
    };
    let bell = Notification::create()?;
    let before = taken()?;
    let frames_before = this_job().usage()?.used.memory_bytes;
    let start_ns = clock::now_ns();
    let sleepers = Sleepers::start(MANY, &bell, drop).map_err(|(error, _)| error)?;
    let took_ns = clock::now_ns() - start_ns;
    // Each touches its stack only when it runs.
    while this_job().usage()?.used.memory_bytes < frames_before + MANY as u64 * PAGE_BYTES {
        yield_now();
    }
    let after = taken()?;
    let started = sleepers.started() as u64;
    bell.signal(1)?;
    while this_process().status()?.threads > 2 {
        yield_now();
    }
    report.value("thread.10k.bytes_each", "bytes", (after - before) / started)?;
    report.value("thread.10k.spawn_each", "ns", took_ns / started)
}
