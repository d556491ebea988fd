//! Random system calls: `fuzz SEED CALLS`. The same seed makes the same calls on the same objects.
//!
//! Numbers, arguments and the objects they are about are random; what an argument is for is taken from the table of calls, so that
//! most calls get far. Exits with 0 if the program survived and its job's use is what it was before, 1 if something is left, 2
//! if it could not begin.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

mod draw;
mod world;

use rt::Env;
use rt::sys::process::{this_job, yield_now};

use world::World;

rt::entry!(main);

/// Calls between two lines of the log.
const REPORT_EVERY: u64 = 250_000;
/// How often the job's use is looked at again before what is left counts as lost.
const LOOKS: u32 = 10_000;

fn main(env: Env) -> i32 {
    let number = |index, default| {
        env.argument(index)
            .and_then(|text| text.parse().ok())
            .unwrap_or(default)
    };
    let (seed, calls) = (number(1, 1_u64), number(2, 100_000_u64));
    let Ok(before) = this_job().usage() else {
        log::error!("the job cannot be inspected");
        return 2;
    };
    let mut world = match World::new(seed) {
        Ok(world) => world,
        Err(error) => {
            log::error!("cannot begin: {error}");
            return 2;
        }
    };
    for number in 1..=calls {
        world.step();
        if number % REPORT_EVERY == 0 {
            log::info!("seed {seed}: {number} of {calls} calls");
        }
    }
    let summary = world.finish();
    log::info!(
        "seed {seed}: {calls} calls, {} succeeded, {} objects made",
        summary.succeeded,
        summary.made
    );
    for _ in 0..LOOKS {
        // The heap may have grown; processes, handles and kernel memory are all given back.
        if let Ok(after) = this_job().usage()
            && after.used.processes <= before.used.processes
            && after.used.handles <= before.used.handles
            && after.used.threads <= before.used.threads
            && after.used.kernel_bytes <= before.used.kernel_bytes + world::HEAP_KERNEL_BYTES
        {
            return 0;
        }
        yield_now();
    }
    let after = this_job().usage().map(|info| info.used);
    log::error!("seed {seed}: left over: {after:?} after {:?}", before.used);
    1
}
