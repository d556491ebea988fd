//! What is measured.

mod calls;
mod ipc;
pub mod memory;
mod periods;
mod shm;
mod threads;
mod wakes;

use crate::report::Report;
use crate::{Outcome, sys};

/// Samples of each latency, after a tenth as many to warm up.
const SAMPLES: usize = 4000;
/// Of what takes its time.
const FEWER: usize = 1000;
/// What is measured runs on this CPU; what takes part from elsewhere, on the other.
const CPU: usize = 0;
const OTHER_CPU: usize = 1;
/// Below this nothing but the probes runs, above the default all of them do.
const PRIORITY: i32 = 80;

/// All of them. `seconds`: how long each periodic one lasts.
pub fn all(report: &mut Report, seconds: u64) -> Outcome {
    sys::pin([CPU])?;
    sys::set_fifo(PRIORITY)?;
    calls::machine(report)?;
    calls::all(report)?;
    wakes::all(report)?;
    ipc::all(report)?;
    shm::all(report)?;
    threads::create_join(report)?;
    periods::all(report, seconds)?;
    threads::many(report)
}

/// The CPUs on which the other side of a probe can be, with the words for that.
fn places() -> Vec<(&'static str, usize)> {
    let mut places = vec![("same", CPU), ("cross", OTHER_CPU)];
    places.truncate(sys::cpus());
    places
}

/// The other side of a probe between two processes.
pub fn partner(what: &str, cpu: Option<&String>) -> Outcome {
    sys::lock_memory()?;
    if let Some(cpu) = cpu {
        sys::pin([cpu.parse()?])?;
    }
    match what {
        "yield" => calls::yield_for_ever(),
        "echo" => ipc::echo(),
        "echo-words" => ipc::echo_words(),
        _ => Err("no such partner".into()),
    }
}

/// Samples of what `step` measures by itself.
fn sample(mut step: impl FnMut() -> Outcome<u64>) -> Outcome<Vec<u64>> {
    for _ in 0..SAMPLES / 10 {
        step()?;
    }
    (0..SAMPLES).map(|_| step()).collect()
}

/// Ticks that `step` takes.
fn time(mut step: impl FnMut() -> Outcome) -> Outcome<Vec<u64>> {
    sample(|| {
        let start = sys::ticks();
        step()?;
        Ok(sys::ticks() - start)
    })
}
