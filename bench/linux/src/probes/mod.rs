//! What is measured.

mod calls;
mod ipc;
pub mod memory;
mod periods;
mod threads;
mod wakes;

use crate::report::Report;
use crate::{Outcome, sys};

/// Samples of each latency, after a tenth as many to warm up.
const SAMPLES: usize = 4000;
/// Below this nothing but the probes runs, above the default all of them do.
const PRIORITY: i32 = 80;

/// All of them. `seconds`: how long each periodic one lasts.
pub fn all(report: &mut Report, seconds: u64) -> Outcome {
    sys::pin([0])?;
    sys::set_fifo(PRIORITY)?;
    calls::all(report)?;
    wakes::all(report)?;
    ipc::all(report)?;
    threads::create_join(report)?;
    periods::all(report, seconds)?;
    threads::many(report)
}

/// The other side of a probe between two processes.
pub fn partner(what: &str) -> Outcome {
    sys::lock_memory()?;
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
