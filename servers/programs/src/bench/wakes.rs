//! One thread wakes another, which goes first: it has a reservation.

use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hint::black_box;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use abi::{Error, FOREVER, Rights, Signals};
use rt::sys::message::Handles;
use rt::sys::object::{Channel, Notification, Object};
use rt::sys::process::yield_now;
use rt::sys::{clock, thread};
use spin::Mutex;

use crate::report::Report;
use crate::{CORE, Failed, OTHER_CORE, Outcome, SAMPLES, reserve, room, time};

const BUDGET_NS: u64 = 2_000_000;
const PERIOD_NS: u64 = 4_000_000;
/// Of what takes its time.
const FEWER: usize = 1000;
/// Longer than anybody needs to wait again, and his core to halt.
const SETTLE_NS: u64 = 300_000;
/// No signal comes after it.
const LAST: u64 = 2;

pub fn all(report: &mut Report) -> Outcome {
    let mut samples = wakes(CORE)?;
    report.ticks("wake.futex.same", &mut samples)?;
    rounds_of_bells(report, "same", CORE)?;
    rounds_of_messages(report, "same", CORE)?;
    if clock::page().cores < 2 {
        return Ok(());
    }
    let mut samples = wakes(OTHER_CORE)?;
    report.ticks("wake.futex.cross", &mut samples)?;
    let over = Arc::new(AtomicBool::new(false));
    let is_over = Arc::clone(&over);
    let busy = thread::spawn_with(thread::STACK_BYTES, OTHER_CORE, move || {
        while !is_over.load(Ordering::Relaxed) {
            black_box(&is_over);
        }
    })?;
    let samples = wakes(OTHER_CORE);
    over.store(true, Ordering::Relaxed);
    busy.join_blocking(FOREVER)?;
    report.ticks("wake.futex.cross.busy", &mut samples?)?;
    rounds_of_bells(report, "cross", OTHER_CORE)?;
    rounds_of_messages(report, "cross", OTHER_CORE)
}

/// From before the call that wakes, to the first instruction of the woken one, which lives on `core`.
fn wakes(core: u32) -> Outcome<Vec<u64>> {
    static CALLED: AtomicU64 = AtomicU64::new(0);
    static WOKEN: AtomicUsize = AtomicUsize::new(0);
    let count = if core == CORE { SAMPLES } else { FEWER };
    let warm_up = count / 10;
    WOKEN.store(0, Ordering::Relaxed);
    let bell = Notification::create()?;
    let asleep = Notification::create()?;
    let never = Notification::create()?;
    let (theirs, tell) = (
        bell.duplicate(Rights::READ)?,
        asleep.duplicate(Rights::SIGNAL)?,
    );
    let taken = Arc::new(Mutex::new(room(count)?));
    let samples = Arc::clone(&taken);
    let reservation = reserve(core, BUDGET_NS, PERIOD_NS)?;
    let sleeper = thread::spawn_reserved(thread::STACK_BYTES, core, &reservation, move || {
        let mut samples = samples.lock();
        if tell.signal(1).is_err() {
            return;
        }
        for number in 0..count + warm_up {
            if theirs.take_blocking(FOREVER).is_err() {
                return;
            }
            let woken = clock::now_ticks();
            if number >= warm_up {
                samples.push(woken.saturating_sub(CALLED.load(Ordering::Relaxed)));
            }
            WOKEN.store(number + 1, Ordering::Release);
        }
    })?;
    // It goes first, so it is at its wait once this returns.
    asleep.take_blocking(FOREVER)?;
    for number in 0..count + warm_up {
        if core != CORE {
            // Long enough for it to wait again and for its core to halt.
            match never.take_blocking(clock::now_ns() + SETTLE_NS) {
                Err(Error::TimedOut) => {}
                _ => return Err(Failed::Because("a bell rang that nobody has")),
            }
        }
        CALLED.store(clock::now_ticks(), Ordering::Relaxed);
        bell.signal(1)?;
        // On the same core it has run by now, or its budget is used up.
        while WOKEN.load(Ordering::Acquire) <= number {
            yield_now();
        }
    }
    sleeper.join_blocking(FOREVER)?;
    Ok(core::mem::take(&mut *taken.lock()))
}

/// There and back again between two threads, by two notifications.
fn rounds_of_bells(report: &mut Report, word: &str, core: u32) -> Outcome {
    let (there, back) = (Notification::create()?, Notification::create()?);
    let (their_there, their_back) = (
        there.duplicate(Rights::READ)?,
        back.duplicate(Rights::SIGNAL)?,
    );
    let other = thread::spawn_with(thread::STACK_BYTES, core, move || {
        while their_there.take_blocking(FOREVER) == Ok(1) && their_back.signal(1).is_ok() {}
    })?;
    let samples = time(|| {
        there.signal(1)?;
        back.take_blocking(FOREVER)?;
        Ok(())
    });
    there.signal(LAST)?;
    other.join_blocking(FOREVER)?;
    report.ticks(&format!("pingpong.notification.{word}"), &mut samples?)
}

/// There and back again between two threads, by messages of a byte.
fn rounds_of_messages(report: &mut Report, word: &str, core: u32) -> Outcome {
    let (ours, theirs) = Channel::create()?;
    let other = thread::spawn_with(thread::STACK_BYTES, core, move || {
        while receive(&theirs).is_ok() && theirs.write(&[1], &mut Handles::new()).is_ok() {}
    })?;
    let samples = time(|| {
        ours.write(&[1], &mut Handles::new())?;
        receive(&ours)
    });
    drop(ours);
    other.join_blocking(FOREVER)?;
    report.ticks(&format!("pingpong.channel.{word}"), &mut samples?)
}

fn receive(channel: &Channel) -> Outcome {
    channel.wait_blocking(Signals::READABLE | Signals::PEER_CLOSED, FOREVER)?;
    let read = channel.read(&mut [0], &mut Handles::new());
    read.map(drop).map_err(|bad| Failed::Call(bad.error))
}
