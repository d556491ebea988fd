//! What the gate costs. With `-icount` a nanosecond is an instruction, ring 3's own included.

use hal::user::{Exit, UserContext};

use super::Outcome;
use super::gate::fine;
use super::space::{DATA, Space};

/// Samples, of which the least counts: nothing came in between.
const SAMPLES: usize = 20;
/// Rounds in each, and system calls of a thread that is only started and ended once.
const ROUNDS: u64 = 100;
const FAST_CALLS: u64 = 10_000;
/// Instructions of ring 3's loop but for `syscall` itself.
const LOOP: u64 = 3;

/// Logs what each way through the gate takes, in ns.
pub fn all() -> Outcome {
    let space = Space::new()?;
    let fast = least(|| {
        let mut thread = space.thread("call_loop")?;
        thread.registers.r14 = FAST_CALLS;
        fine(space.run(&mut thread), &thread)
    })? * ROUNDS
        / FAST_CALLS;
    let mut caller = space.thread("read_bases")?;
    set_bases(&mut caller)?;
    let slow = least(|| rounds(|| fine(space.run(&mut caller), &caller)))?;
    let mut other = space.thread("read_bases")?;
    set_bases(&mut other)?;
    let alternate = least(|| {
        rounds(|| {
            fine(space.run(&mut caller), &caller)?;
            fine(space.run(&mut other), &other)
        })
    })?;
    let mut trapper = space.thread("trap_loop")?;
    let trap = least(|| {
        rounds(|| match space.run(&mut trapper) {
            Exit::Exception { vector: 3, .. } => Ok(()),
            _ => Err("not the trap that was expected"),
        })
    })?;
    ::log::info!(
        target: "selftest",
        "cost in ns (with -icount: instructions): fast call {}, slow call and return {slow}, the same in turn with another thread {}, \
         trap and return {trap}",
        fast.saturating_sub(LOOP),
        alternate / 2,
    );
    Ok(())
}

fn set_bases(thread: &mut UserContext) -> Outcome {
    thread.set_fs_base(DATA).map_err(|_| "refused")?;
    thread.set_gs_base(DATA).map_err(|_| "refused")?;
    Ok(())
}

fn rounds(mut round: impl FnMut() -> Outcome) -> Outcome {
    (0..ROUNDS).try_for_each(|_| round())
}

/// Nanoseconds per round of the quickest sample.
fn least(mut sample: impl FnMut() -> Outcome) -> Result<u64, &'static str> {
    let mut least = u64::MAX;
    for _ in 0..SAMPLES {
        let start = hal::time::now_ticks();
        sample()?;
        least = least.min(hal::time::now_ticks() - start);
    }
    Ok(hal::time::ticks_to_ns(least) / ROUNDS)
}
