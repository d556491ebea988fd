//! Starts as many sleeping threads as its argument says (10 000) and logs what each costs.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use abi::process::JobLimits;
use abi::{Error, Signals};
use proto::MemoryInfo;
use rt::Env;
use rt::sys::clock;
use rt::sys::object::{Notification, Object, System};
use rt::sys::process::{this_job, this_process};
use rt::sys::thread::Sleepers;
use rt::tables;

rt::entry!(main);

/// How long the threads have to start, to fall asleep, and to end.
const PATIENCE_NS: u64 = 20_000_000_000;

fn main(mut env: Env) -> i32 {
    let count = env
        .argument(1)
        .and_then(|text| text.parse().ok())
        .unwrap_or(10_000);
    let system = match env.take("system") {
        Ok(system) => system,
        Err(missing) => {
            log::error!("{missing}");
            return 1;
        }
    };
    match sleep(count, &system) {
        Ok(()) => 0,
        Err(error) => {
            log::error!("{error}");
            1
        }
    }
}

fn used() -> Result<JobLimits, Error> {
    Ok(this_job().usage()?.used)
}

/// Bytes of the kernel's heap that are in use.
fn heap_used(system: &System) -> Result<u64, Error> {
    Ok(tables::only::<MemoryInfo>(system)?.heap.used)
}

fn sleep(count: usize, system: &System) -> Result<(), Error> {
    let notification = Notification::create()?;
    let (before, heap_before) = (used()?, heap_used(system)?);
    let start_ns = clock::now_ns();
    let sleepers = match Sleepers::start(count, &notification, drop) {
        Ok(sleepers) => sleepers,
        Err((error, started)) => {
            log::error!("{started} of {count} threads started");
            return Err(error);
        }
    };
    let started_ns = clock::now_ns() - start_ns;
    // Each touches its stack only when it runs.
    let end_ns = clock::now_ns() + PATIENCE_NS;
    let wanted = before.memory_bytes + count as u64 * 4096;
    while used()?.memory_bytes < wanted && clock::now_ns() < end_ns {
        pause(1_000_000)?;
    }
    let (after, heap_after) = (used()?, heap_used(system)?);
    let per_thread = |after: u64, before: u64| after.saturating_sub(before) / count.max(1) as u64;
    log::info!(
        "{} threads sleep: kernel heap bytes each {}, charged {}, memory bytes each {}, started in {} ns each",
        sleepers.started(),
        per_thread(heap_after, heap_before),
        per_thread(after.kernel_bytes, before.kernel_bytes),
        per_thread(after.memory_bytes, before.memory_bytes),
        started_ns / count.max(1) as u64,
    );
    let start_ns = clock::now_ns();
    notification.signal(1)?;
    while this_process().status()?.threads > 1 {
        if clock::now_ns() > start_ns + PATIENCE_NS {
            return Err(Error::TimedOut);
        }
        pause(1_000_000)?;
    }
    log::info!("all ended after {} ns", clock::now_ns() - start_ns);
    Ok(())
}

/// Sleeps with the whole thread.
fn pause(ns: u64) -> Result<(), Error> {
    let nothing = Notification::create()?;
    match nothing.wait_blocking(Signals::READABLE, clock::now_ns() + ns) {
        Ok(_) | Err(Error::TimedOut) => Ok(()),
        Err(error) => Err(error),
    }
}
