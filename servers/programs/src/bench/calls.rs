//! Entering the kernel, reading the clock, switching.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hint::black_box;
use core::sync::atomic::{AtomicBool, Ordering};

use abi::FOREVER;
use rt::sys::process::{nop, yield_now};
use rt::sys::{clock, thread};

use crate::report::Report;
use crate::{CORE, Outcome, Partners, sample, time};

/// Calls in each sample.
const EACH: u64 = 16;

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
    let other = partners.start("yield", Vec::new())?;
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
