//! What a foreign system call costs, in ticks: instructions, where the machine counts those instead of time.

use alloc::vec::Vec;

use abi::{Error, FOREVER};
use rt::sys::clock;
use rt::sys::process::this_job;

use crate::raw_code::{ASK, driven};

const SAMPLES: usize = 2000;

/// A driven thread asks for its process id and its driver answers: from one such call to the next.
pub async fn measure() -> Result<(), Error> {
    let (process, thread) = driven(&this_job(), ASK)?;
    let mut stop = thread.run(FOREVER).await?;
    let mut samples: Vec<u64> = Vec::new();
    samples
        .try_reserve_exact(SAMPLES)
        .map_err(|_| Error::NoMemory)?;
    for _ in 0..SAMPLES {
        let before = clock::now_ticks();
        stop.registers_mut().rax = 1;
        thread.resume(&mut stop, FOREVER).await?;
        samples.push(clock::now_ticks() - before);
    }
    samples.sort_unstable();
    let at = |permille: usize| {
        samples
            .get((SAMPLES - 1) * permille / 1000)
            .copied()
            .unwrap_or(0)
    };
    log::info!(
        "probe foreign_system_call_resident min {} p50 {} p99 {} p99.9 {} ticks",
        at(0),
        at(500),
        at(990),
        at(999)
    );
    process.kill(0)
}
