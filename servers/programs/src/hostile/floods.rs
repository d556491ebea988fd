//! More and more of everything, in a job whose limits stop it.

use alloc::vec::Vec;

use abi::memory::{MapFlags, PAGE_BYTES, VmoOp};
use abi::message::WORDS;
use abi::process::{JobLimits, ReservationArgs};
use abi::{Call, Error, Rights, Signals};
use rt::sys::message::Handles;
use rt::sys::object::{Channel, Job, Notification, Object, Port, Process, Vmo};
use rt::sys::process::{this_job, this_process};
use rt::sys::{clock, thread};

use crate::{Attack, Outcome, call, holds};

/// Nothing may be had more often than this.
const MANY: usize = 1 << 20;
const FULL: &[Error] = &[Error::LimitReached, Error::NoMemory];

pub(crate) const ATTACKS: &[Attack] = &[
    Attack::refused("process-bomb", FULL, || {
        let job = small_job()?;
        let mut kept = Vec::new();
        until_refused(|| keep(&mut kept, Process::create(&job, "bomb")?))
    }),
    Attack::refused("job-bomb", FULL, || {
        let mut job = small_job()?;
        let mut kept = Vec::new();
        until_refused(|| {
            let inner = job.create(&JobLimits::NONE)?;
            keep(&mut kept, core::mem::replace(&mut job, inner))
        })
    }),
    Attack::refused("kernel-memory-bomb", FULL, || {
        let child = in_small_job()?;
        until_refused(|| {
            let own = Notification::create()?;
            child.give(own.into_owned(), Rights::SIGNAL).map(drop)
        })
    }),
    Attack::refused("memory-bomb", FULL, || {
        let job = small_job()?;
        let child = Process::create(&job, "memory")?;
        let mut kept = Vec::new();
        until_refused(|| {
            let vmo = Vmo::create(PAGE_BYTES)?;
            vmo.operate(VmoOp::Commit, 0, PAGE_BYTES)?;
            rt::sys::memory::map_at(
                &child,
                &vmo,
                &abi::memory::MapArgs {
                    len: PAGE_BYTES,
                    flags: MapFlags::WRITE.bits(),
                    ..Default::default()
                },
            )?;
            keep(&mut kept, vmo)
        })
    }),
    Attack::refused("page-table-bomb", FULL, || {
        let child = in_small_job()?;
        let vmo = Vmo::create(PAGE_BYTES)?;
        let mut at = 0x10_0000_0000;
        until_refused(|| {
            // Each needs page tables of its own.
            at += 1 << 30;
            rt::sys::memory::map_at(
                &child,
                &vmo,
                &abi::memory::MapArgs {
                    len: PAGE_BYTES,
                    address: at,
                    flags: (MapFlags::FIXED | MapFlags::COMMIT).bits(),
                    ..Default::default()
                },
            )
            .map(drop)
        })
    }),
    Attack::refused(
        "message-flood",
        &[Error::QueueFull, Error::LimitReached, Error::NoMemory],
        || {
            let (here, _there) = Channel::create()?;
            until_refused(|| here.write(&[0; 1024], &mut Handles::new()))
        },
    ),
    Attack::refused(
        "packet-flood",
        &[Error::QueueFull, Error::LimitReached, Error::NoMemory],
        || {
            let port = Port::create()?;
            until_refused(|| port.post(1, &[0; WORDS]))
        },
    ),
    Attack::refused(
        "channel-chain",
        &[Error::QueueFull, Error::LimitReached, Error::NoMemory],
        || {
            // Ends inside of messages inside of ends.
            let (mut here, there) = Channel::create()?;
            let mut kept = Vec::new();
            keep(&mut kept, there)?;
            until_refused(|| {
                let (next, inner) = Channel::create()?;
                let mut handles = Handles::new();
                let old = core::mem::replace(&mut here, next);
                if handles.push(old).is_err() {
                    return Err(Error::Unknown);
                }
                here.write(b"", &mut handles)?;
                keep(&mut kept, inner)?;
                if kept.len() > 1000 {
                    return Err(Error::LimitReached);
                }
                Ok(())
            })
        },
    ),
    Attack::holds("floods-leave-nothing", || {
        let mut kept: Vec<Process> = Vec::new();
        kept.try_reserve(64).map_err(|_| Error::NoMemory)?;
        let mut flood = || {
            let job = small_job()?;
            let _ = until_refused(|| keep(&mut kept, Process::create(&job, "bomb")?));
            kept.clear();
            job.kill(0)
        };
        // The handle table keeps the places it once had.
        flood()?;
        let before = settled()?;
        for _ in 0..10 {
            flood()?;
        }
        // Memory and processes; what the kernel keeps for later is not the job's.
        for _ in 0..200 {
            let after = this_job().usage()?.used;
            if after.processes <= before.processes && after.kernel_bytes <= before.kernel_bytes {
                return Ok(0);
            }
            pause()?;
        }
        let after = this_job().usage()?.used;
        log::error!(
            "processes {} before, {} after; kernel bytes {} before, {} after",
            before.processes,
            after.processes,
            before.kernel_bytes,
            after.kernel_bytes
        );
        Ok(1)
    }),
    Attack::refused("reservation-bomb", FULL, || {
        let job = this_job().create(&JobLimits {
            reserved_ppm: 10_000,
            ..JobLimits::NONE
        })?;
        let mut kept = Vec::new();
        until_refused(|| {
            let reservation = job.reserve(&ReservationArgs {
                budget_ns: 10_000,
                period_ns: 10_000_000,
                ..ReservationArgs::default()
            });
            keep(&mut kept, reservation.map_err(|(error, _)| error)?)
        })
    }),
    Attack::holds("cpu-bomb", || {
        holds_to_its_share(|end_ns| {
            for _ in 0..6 {
                thread::spawn(move || while clock::now_ns() < end_ns {})?;
            }
            while clock::now_ns() < end_ns {}
            Ok(())
        })
    }),
    Attack::holds("cpu-in-short-lives", || {
        // Each is over before anybody looks at what it used.
        holds_to_its_share(|end_ns| {
            while clock::now_ns() < end_ns {
                let mut some = Vec::new();
                for _ in 0..8 {
                    let body = || {
                        let stop_ns = clock::now_ns() + 2_000_000;
                        while clock::now_ns() < stop_ns {}
                    };
                    keep(&mut some, thread::spawn(body)?)?;
                }
                for thread in some {
                    thread.join_blocking(abi::FOREVER)?;
                }
            }
            Ok(())
        })
    }),
    Attack::holds("cpu-in-system-calls", || {
        holds_to_its_share(|end_ns| {
            let vmo = Vmo::create(64 * PAGE_BYTES)?;
            while clock::now_ns() < end_ns {
                vmo.operate(VmoOp::Commit, 0, 64 * PAGE_BYTES)?;
                vmo.operate(VmoOp::Decommit, 0, 64 * PAGE_BYTES)?;
            }
            Ok(())
        })
    }),
    Attack::holds("job-let-go-of", || {
        // What runs in a job that nobody holds ends with the one above.
        let above = this_job().create(&JobLimits::NONE)?;
        let child = Process::create(&above.create(&JobLimits::NONE)?, "left")?;
        above.kill(7)?;
        child.wait_blocking(Signals::ENDED, clock::now_ns() + 5_000_000_000)?;
        holds(child.status()?.exit_code == 7)
    }),
    Attack::refused("thread-bomb", FULL, || {
        let mut kept = Vec::new();
        let notification = Notification::create()?;
        let result = until_refused(|| {
            let waiter = notification.duplicate(Rights::READ)?;
            keep(
                &mut kept,
                thread::spawn_with(PAGE_BYTES, u32::MAX, move || {
                    let _ = waiter.take_blocking(abi::FOREVER);
                })?,
            )
        });
        log::info!("{} threads", kept.len());
        result
    }),
    Attack::refused("handle-bomb", FULL, || {
        let notification = Notification::create()?;
        let mut kept = Vec::new();
        let result = until_refused(|| keep(&mut kept, notification.duplicate(Rights::READ)?));
        log::info!("{} handles", kept.len());
        result
    }),
    Attack::refused("mapping-bomb", FULL, || {
        let vmo = Vmo::create(PAGE_BYTES)?;
        let mut kept = Vec::new();
        let result = until_refused(|| keep(&mut kept, vmo.map(0, PAGE_BYTES, MapFlags::empty())?));
        log::info!("{} mappings", kept.len());
        result
    }),
    Attack::refused("heap-bomb", FULL, || {
        let mut kept: Vec<Vec<u8>> = Vec::new();
        let result = until_refused(|| {
            let mut block = Vec::new();
            block.try_reserve(1 << 20).map_err(|_| Error::NoMemory)?;
            block.resize(1 << 20, 1);
            keep(&mut kept, block)
        });
        log::info!("{} MiB", kept.len());
        drop(kept);
        result
    }),
    Attack::holds("close-storm", || {
        for _ in 0..10_000 {
            drop(Port::create()?);
        }
        call(Call::Nop, [])
    }),
    Attack::holds("the-rest-still-works", || {
        holds(this_process().status()?.ended == 0)
    }),
];

/// Has `work` go on in a job that may use a twentieth of a core, and sees whether it stays at that.
fn holds_to_its_share(work: fn(u64) -> Result<(), Error>) -> Outcome {
    const SHARE_PPM: u64 = 50_000;
    const LAST_NS: u64 = 1_000_000_000;
    let job = this_job();
    let unlimited = job.usage()?.limits;
    job.set_limits(&JobLimits {
        cpu_ppm: SHARE_PPM,
        ..unlimited
    })?;
    let (before_ns, start_ns) = (job.usage()?.cpu_ns, clock::now_ns());
    work(start_ns + LAST_NS)?;
    job.set_limits(&unlimited)?;
    let shown_ns = this_process().status()?.cpu_ns;
    let used_ns = job.usage()?.cpu_ns - before_ns;
    let elapsed_ns = clock::now_ns() - start_ns;
    let share_ns = elapsed_ns / 1_000_000 * SHARE_PPM;
    log::info!("used {used_ns} of {share_ns} ns");
    // It is all the process's; and where there are several cores each may run over at first.
    let is_shown = shown_ns > used_ns / 2 && shown_ns < elapsed_ns;
    holds(is_shown && used_ns > share_ns / 4 && used_ns < share_ns * 2)
}

/// Leaves the processor to others for a millisecond.
fn pause() -> Result<(), Error> {
    match Notification::create()?.take_blocking(clock::now_ns() + 1_000_000) {
        Ok(_) | Err(Error::TimedOut) => Ok(()),
        Err(error) => Err(error),
    }
}

/// The job's use once it falls no more.
fn settled() -> Result<JobLimits, Error> {
    let mut least = this_job().usage()?.used;
    let mut unchanged = 0;
    while unchanged < 20 {
        pause()?;
        let now = this_job().usage()?.used;
        unchanged = if now.kernel_bytes < least.kernel_bytes {
            0
        } else {
            unchanged + 1
        };
        least = now;
    }
    Ok(least)
}

/// A job that may have little.
fn small_job() -> Result<Job, Error> {
    this_job().create(&JobLimits {
        memory_bytes: 256 << 10,
        kernel_bytes: 256 << 10,
        handles: 256,
        processes: 32,
        threads: 32,
        reserved_ppm: 0,
        cpu_ppm: u64::MAX,
        weight: 1024,
    })
}

fn in_small_job() -> Result<Process, Error> {
    Process::create(&small_job()?, "child")
}

/// Does it until it is refused. An end without that would be a surprise.
fn until_refused(mut step: impl FnMut() -> Result<(), Error>) -> Outcome {
    for _ in 0..MANY {
        step()?;
    }
    Ok(MANY as u64)
}

/// Keeps a thing alive.
fn keep<T>(list: &mut Vec<T>, thing: T) -> Result<(), Error> {
    list.try_reserve(1).map_err(|_| Error::NoMemory)?;
    list.push(thing);
    Ok(())
}
