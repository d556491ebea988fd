//! One thread wakes another.

use std::io::{Read, Write};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

use super::{PRIORITY, SAMPLES, time};
use crate::report::Report;
use crate::{Outcome, sys};

pub fn all(report: &mut Report) -> Outcome {
    futex(report)?;
    let (ours, theirs) = (sys::eventfd()?, sys::eventfd()?);
    rounds(
        report,
        "pingpong.eventfd.same",
        [1, 0, 0, 0, 0, 0, 0, 0],
        (theirs.try_clone()?, ours.try_clone()?),
        (ours, theirs),
    )?;
    let (their_end, to_them) = std::io::pipe()?;
    let (our_end, to_us) = std::io::pipe()?;
    rounds(
        report,
        "pingpong.pipe.same",
        [1],
        (their_end, to_us),
        (our_end, to_them),
    )
}

/// Before the wake call, to the woken thread of higher priority.
fn futex(report: &mut Report) -> Outcome {
    static WORD: AtomicU32 = AtomicU32::new(0);
    static CALLED: AtomicU64 = AtomicU64::new(0);
    let (tell, told) = channel();
    let sleeper = std::thread::spawn(move || -> std::io::Result<()> {
        sys::set_fifo(PRIORITY + 1)?;
        let mut samples = Vec::with_capacity(SAMPLES);
        for number in 0..(SAMPLES + SAMPLES / 10) as u32 {
            while WORD.load(Ordering::Acquire) == number {
                sys::futex_wait(&WORD, number, false);
            }
            let woken = sys::ticks();
            if samples.len() < SAMPLES && number as usize >= SAMPLES / 10 {
                samples.push(woken - CALLED.load(Ordering::Relaxed));
            }
        }
        let _ = tell.send(samples);
        Ok(())
    });
    // It gets its priority first, and sleeps then: from now on it runs whenever it can.
    std::thread::sleep(Duration::from_millis(10));
    for number in 0..(SAMPLES + SAMPLES / 10) as u32 {
        WORD.store(number + 1, Ordering::Release);
        CALLED.store(sys::ticks(), Ordering::Relaxed);
        sys::futex_wake(&WORD, false);
    }
    let samples = told.recv();
    sleeper.join().map_err(|_| "the sleeper panicked")??;
    report.ticks("wake.futex.same", &mut samples?)
}

/// There and back again between two threads.
fn rounds<const N: usize>(
    report: &mut Report,
    metric: &str,
    token: [u8; N],
    (mut from_us, mut to_us): (impl Read + Send + 'static, impl Write + Send + 'static),
    (mut from_them, mut to_them): (impl Read, impl Write),
) -> Outcome {
    let other = std::thread::spawn(move || {
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
