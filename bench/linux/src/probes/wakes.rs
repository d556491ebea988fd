//! One thread wakes another.

use std::hint::black_box;
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use super::{CPU, FEWER, OTHER_CPU, PRIORITY, SAMPLES, places, time};
use crate::report::Report;
use crate::{Outcome, sys};

/// Longer than anybody needs to wait again, and his CPU to halt.
const SETTLE_NS: u64 = 300_000;

pub fn all(report: &mut Report) -> Outcome {
    report.ticks("wake.futex.same", &mut futex(CPU)?)?;
    if sys::cpus() > 1 {
        report.ticks("wake.futex.cross", &mut futex(OTHER_CPU)?)?;
        let over = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&over);
        let busy = std::thread::spawn(move || -> std::io::Result<()> {
            sys::set_fifo(0)?;
            sys::pin([OTHER_CPU])?;
            while !is_over.load(Ordering::Relaxed) {
                black_box(&is_over);
            }
            Ok(())
        });
        let samples = futex(OTHER_CPU);
        over.store(true, Ordering::Relaxed);
        busy.join().map_err(|_| "the busy loop panicked")??;
        report.ticks("wake.futex.cross.busy", &mut samples?)?;
    }
    for (word, cpu) in places() {
        both_rounds(report, word, cpu)?;
    }
    Ok(())
}

fn both_rounds(report: &mut Report, word: &str, cpu: usize) -> Outcome {
    let (ours, theirs) = (sys::eventfd()?, sys::eventfd()?);
    rounds(
        report,
        &format!("pingpong.eventfd.{word}"),
        cpu,
        [1, 0, 0, 0, 0, 0, 0, 0],
        (theirs.try_clone()?, ours.try_clone()?),
        (ours, theirs),
    )?;
    let (their_end, to_them) = std::io::pipe()?;
    let (our_end, to_us) = std::io::pipe()?;
    rounds(
        report,
        &format!("pingpong.pipe.{word}"),
        cpu,
        [1],
        (their_end, to_us),
        (our_end, to_them),
    )
}

/// Before the wake call, to the woken thread of higher priority, on that CPU.
fn futex(cpu: usize) -> Outcome<Vec<u64>> {
    static WORD: AtomicU32 = AtomicU32::new(0);
    static CALLED: AtomicU64 = AtomicU64::new(0);
    static WOKEN: AtomicU32 = AtomicU32::new(0);
    let samples = if cpu == CPU { SAMPLES } else { FEWER };
    let (warm_up, count) = (samples / 10, (samples + samples / 10) as u32);
    WORD.store(0, Ordering::Release);
    WOKEN.store(0, Ordering::Release);
    let sleeper = std::thread::spawn(move || -> std::io::Result<Vec<u64>> {
        sys::pin([cpu])?;
        sys::set_fifo(PRIORITY + 1)?;
        let mut kept = Vec::with_capacity(samples);
        for number in 0..count {
            while WORD.load(Ordering::Acquire) == number {
                sys::futex_wait(&WORD, number, false);
            }
            let woken = sys::ticks();
            if number as usize >= warm_up {
                kept.push(woken.saturating_sub(CALLED.load(Ordering::Relaxed)));
            }
            WOKEN.store(number + 1, Ordering::Release);
        }
        Ok(kept)
    });
    // It gets its priority first, and sleeps then: from now on it runs whenever it can.
    std::thread::sleep(Duration::from_millis(10));
    for number in 0..count {
        if cpu != CPU {
            // Long enough for it to wait again and for its CPU to halt.
            sys::sleep_until(sys::now_ns() + SETTLE_NS);
        }
        WORD.store(number + 1, Ordering::Release);
        CALLED.store(sys::ticks(), Ordering::Relaxed);
        sys::futex_wake(&WORD, false);
        while WOKEN.load(Ordering::Acquire) <= number {
            sys::yield_now();
        }
    }
    Ok(sleeper.join().map_err(|_| "the sleeper panicked")??)
}

/// There and back again between two threads.
fn rounds<const N: usize>(
    report: &mut Report,
    metric: &str,
    cpu: usize,
    token: [u8; N],
    (mut from_us, mut to_us): (impl Read + Send + 'static, impl Write + Send + 'static),
    (mut from_them, mut to_them): (impl Read, impl Write),
) -> Outcome {
    let other = std::thread::spawn(move || {
        if sys::pin([cpu]).is_err() {
            return;
        }
        let mut token = [0; N];
        while from_us.read_exact(&mut token).is_ok() && token[0] == 1 {
            if to_us.write_all(&token).is_err() {
                return;
            }
        }
    });
    let mut back = [0; N];
    let samples = time(|| {
        to_them.write_all(&token)?;
        Ok(from_them.read_exact(&mut back)?)
    });
    let mut last = token;
    last[0] = 2;
    to_them.write_all(&last)?;
    let _ = other.join();
    report.ticks(metric, &mut samples?)
}
