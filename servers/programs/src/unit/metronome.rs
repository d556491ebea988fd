//! A unit with a reservation, which sees for itself whether it meets its deadlines.

use core::sync::atomic::{AtomicU64, Ordering};

use abi::FOREVER;
use abi::message::WORDS;
use rt::Env;
use rt::sys::object::Endpoint;
use rt::sys::{clock, thread};
use rt::unit::Manager;

use super::{Be, Cannot, Sleeper, at, ready};

/// As in its manifest.
const PERIOD_NS: u64 = 10_000_000;
/// What it works in each period: a part of its budget.
const WORK_NS: u64 = 200_000;
/// How often it says that it is well: more often than its manifest wants it.
const ALIVE_NS: u64 = 100_000_000;

static MET: AtomicU64 = AtomicU64::new(0);
static MISSED: AtomicU64 = AtomicU64::new(0);
static WORST_NS: AtomicU64 = AtomicU64::new(0);

/// Runs for ever. The calls are answered, and the manager told, by threads of their own: neither may hold the beat up.
pub fn run(mut env: Env, manager: Manager) -> Be {
    let endpoint = env.take::<Endpoint>("metronome");
    let endpoint = endpoint.map_err(|missing| Cannot::Lacks("metronome", missing))?;
    let (sleeper, for_manager) = (Sleeper::new()?, Sleeper::new()?);
    ready(&manager)?;
    thread::spawn(move || {
        while for_manager.until(clock::now_ns() + ALIVE_NS).is_ok() && manager.say_alive().is_ok() {
        }
    })
    .map_err(at("starting a thread"))?;
    thread::spawn(move || answer(&endpoint)).map_err(at("starting a thread"))?;
    let mut start_ns = clock::now_ns() + PERIOD_NS;
    loop {
        sleeper.until(start_ns)?;
        let begun_ns = clock::now_ns();
        while clock::now_ns() - begun_ns < WORK_NS {
            core::hint::spin_loop();
        }
        let took_ns = clock::now_ns() - start_ns;
        let counter = if took_ns <= PERIOD_NS { &MET } else { &MISSED };
        counter.fetch_add(1, Ordering::Relaxed);
        WORST_NS.fetch_max(took_ns, Ordering::Relaxed);
        // A beat that came too late is over; the next one is not held up by it.
        start_ns += PERIOD_NS * took_ns.div_ceil(PERIOD_NS).max(1);
    }
}

/// Answers `[met, missed, longest time from a period's start to the work's end in ns]`, of the time since the last call.
fn answer(endpoint: &Endpoint) {
    while let Ok(call) = endpoint.receive_blocking(FOREVER) {
        let mut words = [0; WORDS];
        words[0] = MET.swap(0, Ordering::Relaxed);
        words[1] = MISSED.swap(0, Ordering::Relaxed);
        words[2] = WORST_NS.swap(0, Ordering::Relaxed);
        // Whoever asked may be gone.
        let _ = call.token.reply(&words);
    }
}
