//! Entering the kernel, reading the clock, switching.

use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hint::black_box;
use core::sync::atomic::{AtomicBool, Ordering};

use abi::FOREVER;
use rt::sys::process::{nop, yield_now};
use rt::sys::{clock, thread};
use spin::Mutex;

use crate::report::Report;
use crate::{CORE, Outcome, Partners, room, sample, time};

/// How long noise is listened to.
const NOISE_MS: usize = 1000;
/// Calls in each sample.
const EACH: u64 = 16;

/// How fast the processor is, and how long the host forgets it.
pub fn machine(report: &mut Report) -> Outcome {
    let mut samples = time(|| {
        let mut number = black_box(1_u64);
        for _ in 0..10_000 {
            number = black_box(number.wrapping_mul(3).wrapping_add(1));
        }
        black_box(number);
        Ok(())
    })?;
    report.ticks("calib.alu_10k_iterations", &mut samples)?;
    for core in 0..clock::page().cores {
        let gaps = Arc::new(Mutex::new(room(NOISE_MS)?));
        let theirs = Arc::clone(&gaps);
        let spinner = thread::spawn_with(thread::STACK_BYTES, core, move || {
            spin(&mut theirs.lock());
        })?;
        spinner.join_blocking(FOREVER)?;
        let mut gaps = core::mem::take(&mut *gaps.lock());
        report.ticks(&format!("noise.spin_gap_per_ms.cpu{core}"), &mut gaps)?;
    }
    Ok(())
}

/// The largest step that the counter makes in each millisecond, for as many as there is room.
fn spin(gaps: &mut Vec<u64>) {
    let millisecond = clock::ticks_in(1_000_000);
    let mut before = clock::now_ticks();
    for _ in 0..gaps.capacity() {
        let (start, mut largest) = (before, 0);
        while before - start < millisecond {
            let now = clock::now_ticks();
            largest = (now - before).max(largest);
            before = now;
        }
        gaps.push(largest);
    }
}

pub fn all(report: &mut Report, partners: &Partners) -> Outcome {
    let mean = |call: fn()| {
        sample(|| {
            let start = clock::now_ticks();
            for _ in 0..EACH {
                call();
            }
            Ok((clock::now_ticks() - start) / EACH)
        })
    };
    report.ticks("syscall.null", &mut mean(nop)?)?;
    let clock = || {
        black_box(clock::now_ns());
    };
    report.ticks("clock.read", &mut mean(clock)?)?;
    threads(report)?;
    let other = partners.start("yield", CORE, Vec::new())?;
    // Until it runs and yields.
    for _ in 0..1000 {
        yield_now();
    }
    let samples = switches();
    other.process.kill(0)?;
    report.ticks("ctxsw.process.same", &mut samples?)
}

/// A round of two who yield is two switches.
fn switches() -> Outcome<Vec<u64>> {
    let mut rounds = time(|| {
        yield_now();
        Ok(())
    })?;
    rounds.iter_mut().for_each(|round| *round /= 2);
    Ok(rounds)
}

fn threads(report: &mut Report) -> Outcome {
    let over = Arc::new(AtomicBool::new(false));
    let is_over = Arc::clone(&over);
    let other = thread::spawn_with(thread::STACK_BYTES, CORE, move || {
        while !is_over.load(Ordering::Relaxed) {
            yield_now();
        }
    })?;
    let samples = switches();
    over.store(true, Ordering::Relaxed);
    other.join_blocking(FOREVER)?;
    report.ticks("ctxsw.thread.same", &mut samples?)
}

pub fn yield_for_ever() -> Outcome {
    loop {
        yield_now();
    }
}
