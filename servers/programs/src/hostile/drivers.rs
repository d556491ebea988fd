//! Taking driven threads, their memory, their processes and their drivers away while they run.

use core::sync::atomic::{AtomicU64, Ordering};

use abi::process::KILLED;
use abi::{AT_ONCE, Call, Error, FOREVER, Handle, ObjectType, Rights, Signals};
use personality::raw_code::{ASK, SPIN, driven};
use rt::sys::driven::{DrivenThread, Stop, Why};
use rt::sys::memory::unmap_in;
use rt::sys::object::{self, Borrowed, Object, Process, Thread};
use rt::sys::process::this_job;
use rt::sys::{clock, thread};

use crate::races::pause;
use crate::{Attack, Outcome, call, holds};

/// Kicks in a row.
const KICKS: u64 = 500;
/// What takes longer than this was lost.
const PATIENCE_NS: u64 = 10_000_000_000;

pub(crate) const ATTACKS: &[Attack] = &[
    Attack::refused("two-drivers", &[Error::BadState], || {
        let (_process, thread) = driven(&this_job(), SPIN)?;
        let other = thread.thread().duplicate(Rights::DRIVE)?;
        let driver = thread::spawn(move || {
            let _ = DrivenThread::from_thread(other).run_blocking(FOREVER);
        })?;
        until_driven(thread.thread().handle())?;
        let refused = thread.run_blocking(FOREVER).map(|_| 0);
        let registers = thread.registers().err() == Some(Error::BadState);
        let state = thread.set_extended(&[0; 512]).err().is_some();
        thread.kick()?;
        driver.join_blocking(FOREVER)?;
        if registers && state { refused } else { Ok(1) }
    }),
    Attack::holds("a-driver-that-is-killed", || {
        let (_process, thread) = driven(&this_job(), SPIN)?;
        let other = thread.thread().duplicate(Rights::DRIVE)?;
        let driver = thread::spawn(move || {
            let _ = DrivenThread::from_thread(other).run_blocking(FOREVER);
        })?;
        until_driven(thread.thread().handle())?;
        driver.thread().kill()?;
        driver.join_blocking(deadline())?;
        // It stands still, and whoever else holds it can go on with it.
        let stopped = thread
            .thread()
            .wait_blocking(Signals::STOPPED, deadline())?;
        let stop = thread.run_blocking(clock::now_ns() + 1_000_000)?;
        holds(stopped.contains(Signals::STOPPED) && stop.why() == Why::Deadline)
    }),
    Attack::refused("revoke-while-driving", &[Error::Revoked], || {
        let (_process, thread) = driven(&this_job(), SPIN)?;
        let (leased, lease) = thread.thread().lease(Rights::DRIVE)?;
        let revoker = thread::spawn(move || {
            pause();
            let _ = lease.revoke();
        })?;
        let refused = DrivenThread::from_thread(leased).run_blocking(deadline());
        revoker.join_blocking(FOREVER)?;
        let stop = thread.run_blocking(clock::now_ns() + 1_000_000)?;
        if stop.why() != Why::Deadline {
            return Ok(1);
        }
        refused.map(|_| 0)
    }),
    Attack::holds("driven-handle-closed", || {
        let (process, thread) = driven(&this_job(), SPIN)?;
        drop(thread);
        process.wait_blocking(Signals::ENDED, deadline()).map(|_| 0)
    }),
    Attack::holds("driven-handle-closed-while-driving", || {
        ended_by(|_, number| object::close(number.handle()))
    }),
    Attack::holds("driven-thread-killed-while-driving", || {
        ended_by(|_, number| number.kill())
    }),
    Attack::holds("driven-process-killed-while-driving", || {
        ended_by(|process, _| process.kill(KILLED))
    }),
    Attack::holds("driven-job-killed-while-driving", || {
        let job = this_job().create(&abi::process::JobLimits::NONE)?;
        let (_process, thread) = driven(&job, SPIN)?;
        let killer = thread::spawn(move || {
            pause();
            let _ = job.kill(KILLED);
        })?;
        let stop = thread.run_blocking(deadline())?;
        killer.join_blocking(FOREVER)?;
        holds(stop.why() == Why::Ended)
    }),
    Attack::holds("driven-memory-unmapped-while-driving", || {
        let (process, thread) = driven(&this_job(), SPIN)?;
        let code = thread.registers()?.rip & !4095;
        let unmapper = thread::spawn(move || {
            pause();
            let _ = unmap_in(&process, code, 4096);
        })?;
        let stop = thread.run_blocking(deadline())?;
        unmapper.join_blocking(FOREVER)?;
        let expected = Why::Exception {
            vector: 14,
            error_code: 0x14,
            address: code,
            refusal: Some(Error::BadAddress),
        };
        log::info!("{:?}", stop.why());
        holds(same_fault(stop.why(), expected))
    }),
    Attack::holds("driven-with-a-deadline-in-the-past", || {
        let (_process, thread) = driven(&this_job(), ASK)?;
        let before = thread.registers()?;
        let whys = [AT_ONCE, 1, clock::now_ns()].map(|deadline_ns| {
            let stop = thread.run_blocking(deadline_ns);
            stop.map(|stop| (stop.why(), *stop.registers()))
        });
        holds(whys == [Ok((Why::Deadline, before)); 3])
    }),
    Attack::holds("kick-what-stands-still", || {
        let (_process, thread) = driven(&this_job(), ASK)?;
        thread.kick()?;
        thread.kick()?;
        let first = thread.run_blocking(FOREVER)?;
        let second = thread.run_blocking(FOREVER)?;
        holds(first.why() == Why::Kicked && second.why() == Why::SystemCall)
    }),
    Attack::holds("kicks-are-not-lost", kicks_are_not_lost),
    Attack::holds("run-what-has-ended", || {
        let (process, thread) = driven(&this_job(), ASK)?;
        thread.kill()?;
        process.wait_blocking(Signals::ENDED, deadline())?;
        let ended = |stop: Result<Stop, Error>| stop.map(|stop| stop.why()) == Ok(Why::Ended);
        let runs = [FOREVER, AT_ONCE].map(|deadline_ns| ended(thread.run_blocking(deadline_ns)));
        thread.kick()?;
        holds(runs == [true; 2] && thread.registers().is_ok())
    }),
];

fn deadline() -> u64 {
    clock::now_ns() + PATIENCE_NS
}

/// Whether both are page faults for the same reason on the same page.
fn same_fault(seen: Why, expected: Why) -> bool {
    match (seen, expected) {
        (
            Why::Exception {
                vector: a,
                address: at,
                refusal: why,
                ..
            },
            Why::Exception {
                vector: b,
                address: page,
                refusal: reason,
                ..
            },
        ) => a == b && at & !4095 == page && why == reason,
        _ => false,
    }
}

/// Waits until somebody else runs it.
fn until_driven(thread: Handle) -> Result<(), Error> {
    let mut registers = [0_u64; 20];
    let end_ns = deadline();
    while clock::now_ns() < end_ns {
        let arguments = [thread.0, registers.as_mut_ptr() as u64, 0];
        if call(Call::ThreadRegisters, arguments) == Err(Error::BadState) {
            return Ok(());
        }
        rt::sys::process::yield_now();
    }
    Err(Error::TimedOut)
}

/// Drives a loop that never ends while another thread ends it so. Its driver is told, each time he asks, and the process ends.
fn ended_by(end: fn(&Process, &Thread) -> Result<(), Error>) -> Outcome {
    let (process, thread) = driven(&this_job(), SPIN)?;
    let number = thread.thread().handle();
    let handle = process.duplicate(Rights::of_new(ObjectType::Process))?;
    let killer = thread::spawn(move || {
        let done = until_driven(number);
        if let Err(error) = done.and_then(|()| end(&handle, &Borrowed::<Thread>::new(number))) {
            log::error!("it cannot be ended: {error}");
        }
    })?;
    let stop = thread.run_blocking(deadline())?;
    killer.join_blocking(FOREVER)?;
    process.wait_blocking(Signals::ENDED, deadline())?;
    holds(stop.why() == Why::Ended)
}

/// Each kick is one stop, however the kick and the start of the run fall together.
fn kicks_are_not_lost() -> Outcome {
    static SEEN: AtomicU64 = AtomicU64::new(0);
    SEEN.store(0, Ordering::SeqCst);
    let (_process, thread) = driven(&this_job(), SPIN)?;
    let other = DrivenThread::from_thread(thread.thread().duplicate(Rights::DRIVE)?);
    let kicker = thread::spawn(move || {
        for kick in 0..KICKS {
            if other.kick().is_err() {
                return;
            }
            while SEEN.load(Ordering::SeqCst) <= kick {
                rt::sys::process::yield_now();
            }
        }
    })?;
    let mut wrong = 0;
    while SEEN.load(Ordering::SeqCst) < KICKS {
        match thread.run_blocking(deadline())?.why() {
            Why::Kicked => {}
            why => {
                log::error!("{why:?} instead of a kick");
                wrong += 1;
            }
        }
        SEEN.fetch_add(1, Ordering::SeqCst);
    }
    kicker.join_blocking(deadline())?;
    Ok(wrong)
}
