//! Entering the kernel, reading the clock, switching.

use std::hint::black_box;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, Ordering};

use super::{sample, time};
use crate::report::Report;
use crate::{Outcome, sys};

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
    for cpu in 0..sys::cpus() {
        let spinner = std::thread::spawn(move || sys::pin([cpu]).map(|()| spin()));
        let mut gaps = spinner.join().map_err(|_| "the spinner panicked")??;
        report.ticks(&format!("noise.spin_gap_per_ms.cpu{cpu}"), &mut gaps)?;
    }
    Ok(())
}

/// The largest step that the counter makes in each millisecond.
fn spin() -> Vec<u64> {
    let millisecond = (sys::ticks_per_us() * 1000.0) as u64;
    let mut gaps = Vec::with_capacity(NOISE_MS);
    let mut before = sys::ticks();
    for _ in 0..NOISE_MS {
        let (start, mut largest) = (before, 0);
        while before - start < millisecond {
            let now = sys::ticks();
            largest = (now - before).max(largest);
            before = now;
        }
        gaps.push(largest);
    }
    gaps
}

pub fn all(report: &mut Report) -> Outcome {
    let mean = |call: fn()| {
        sample(|| {
            let start = sys::ticks();
            for _ in 0..EACH {
                call();
            }
            Ok((sys::ticks() - start) / EACH)
        })
    };
    report.ticks("syscall.null", &mut mean(sys::null_call)?)?;
    let clock = || {
        black_box(sys::now_ns());
    };
    report.ticks("clock.read", &mut mean(clock)?)?;
    threads(report)?;
    processes(report)
}

/// A round of two who yield is two switches.
fn switches() -> Outcome<Vec<u64>> {
    let mut rounds = time(|| {
        sys::yield_now();
        Ok(())
    })?;
    rounds.iter_mut().for_each(|round| *round /= 2);
    Ok(rounds)
}

fn threads(report: &mut Report) -> Outcome {
    static OVER: AtomicBool = AtomicBool::new(false);
    let other = std::thread::spawn(|| {
        while !OVER.load(Ordering::Relaxed) {
            sys::yield_now();
        }
    });
    let samples = switches();
    OVER.store(true, Ordering::Relaxed);
    let _ = other.join();
    report.ticks("ctxsw.thread.same", &mut samples?)
}

fn processes(report: &mut Report) -> Outcome {
    let mut other = Ended(Command::new("/proc/self/exe").arg("yield").spawn()?);
    // Until it runs and yields.
    for _ in 0..1000 {
        sys::yield_now();
    }
    let samples = switches();
    other.0.kill()?;
    report.ticks("ctxsw.process.same", &mut samples?)
}

pub fn yield_for_ever() -> Outcome {
    loop {
        sys::yield_now();
    }
}

/// A process that ends with its owner.
pub struct Ended(pub Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
