//! Threads: one after the other, and many at once.

use std::ffi::c_void;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use super::memory::available_bytes;
use super::time;
use crate::report::Report;
use crate::sys::RawThread;
use crate::{Outcome, sys};

const MANY: usize = 10_000;
const STACK_BYTES: usize = 64 << 10;

extern "C" fn end(nothing: *mut c_void) -> *mut c_void {
    nothing
}

pub fn create_join(report: &mut Report) -> Outcome {
    // Else each stack would be filled in advance.
    sys::unlock_memory()?;
    let mut samples = time(|| {
        RawThread::start(STACK_BYTES, end)?.join();
        Ok(())
    })?;
    sys::lock_memory()?;
    report.ticks("thread.create_join.same", &mut samples)
}

static ASLEEP: AtomicUsize = AtomicUsize::new(0);
static OVER: AtomicU32 = AtomicU32::new(0);

extern "C" fn sleep(nothing: *mut c_void) -> *mut c_void {
    ASLEEP.fetch_add(1, Ordering::Relaxed);
    while OVER.load(Ordering::Acquire) == 0 {
        sys::futex_wait(&OVER, 0, false);
    }
    // The next one.
    sys::futex_wake(&OVER, false);
    nothing
}

/// Many that sleep: what each takes of the machine's memory.
pub fn many(report: &mut Report) -> Outcome {
    sys::unlock_memory()?;
    sys::set_fifo(0)?;
    std::fs::write("/proc/sys/kernel/threads-max", (2 * MANY).to_string())?;
    let before = available_bytes()?;
    let start_ns = sys::now_ns();
    let threads: Vec<_> = (0..MANY)
        .map_while(|_| RawThread::start(STACK_BYTES, sleep).ok())
        .collect();
    let took_ns = sys::now_ns() - start_ns;
    while ASLEEP.load(Ordering::Relaxed) < threads.len() {
        sys::yield_now();
    }
    let taken = before.saturating_sub(available_bytes()?);
    let started = threads.len();
    OVER.store(1, Ordering::Release);
    sys::futex_wake(&OVER, false);
    threads.into_iter().for_each(RawThread::join);
    if started < MANY {
        return Err(format!("{started} of {MANY} threads started").into());
    }
    report.value("thread.10k.bytes_each", "bytes", taken / MANY as u64)?;
    report.value("thread.10k.spawn_each", "ns", took_ns / MANY as u64)
}
