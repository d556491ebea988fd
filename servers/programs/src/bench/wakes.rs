//! One thread wakes another, which goes first: it has a reservation.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use abi::{FOREVER, Rights};
use rt::sys::object::{Notification, Object};
use rt::sys::process::yield_now;
use rt::sys::{clock, thread};
use spin::Mutex;

use crate::report::Report;
use crate::{CORE, Outcome, SAMPLES, reserve, room};

const BUDGET_NS: u64 = 2_000_000;
const PERIOD_NS: u64 = 4_000_000;
const WARM_UP: usize = SAMPLES / 10;

/// From before the call that wakes, to the first instruction of the woken one.
pub fn all(report: &mut Report) -> Outcome {
    static CALLED: AtomicU64 = AtomicU64::new(0);
    static WOKEN: AtomicUsize = AtomicUsize::new(0);
    let bell = Notification::create()?;
    let asleep = Notification::create()?;
    let (theirs, tell) = (
        bell.duplicate(Rights::READ)?,
        asleep.duplicate(Rights::SIGNAL)?,
    );
    let taken = Arc::new(Mutex::new(room(SAMPLES)?));
    let samples = Arc::clone(&taken);
    let reservation = reserve(CORE, BUDGET_NS, PERIOD_NS)?;
    let sleeper = thread::spawn_reserved(thread::STACK_BYTES, CORE, &reservation, move || {
        let mut samples = samples.lock();
        if tell.signal(1).is_err() {
            return;
        }
        for number in 0..SAMPLES + WARM_UP {
            if theirs.take_blocking(FOREVER).is_err() {
                return;
            }
            let woken = clock::now_ticks();
            if number >= WARM_UP {
                samples.push(woken - CALLED.load(Ordering::Relaxed));
            }
            WOKEN.store(number + 1, Ordering::Relaxed);
        }
    })?;
    // It goes first, so it is at its wait once this returns.
    asleep.take_blocking(FOREVER)?;
    for number in 0..SAMPLES + WARM_UP {
        CALLED.store(clock::now_ticks(), Ordering::Relaxed);
        bell.signal(1)?;
        // It has run by now, or its budget is used up.
        while WOKEN.load(Ordering::Relaxed) <= number {
            yield_now();
        }
    }
    sleeper.join_blocking(FOREVER)?;
    let mut samples: Vec<u64> = core::mem::take(&mut *taken.lock());
    report.ticks("wake.futex.same", &mut samples)
}
