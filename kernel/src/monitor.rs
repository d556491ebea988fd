//! Watches what the executors report: tasks that held a core far too long are named in the log.
//!
//! Deadline misses and shorter overruns are counted by the executor itself, per task and spawn place; here is only what
//! a person should hear of without asking.

use core::time::Duration;

use executor::Event;

use crate::exec::{self, CoreId};

/// A poll this long is felt by everybody on its core. (Under emulation, shorter ones happen to anybody whenever the
/// host takes the processor away.)
const LONG_POLL_NS: u64 = 250_000_000;
/// At most one line in this time.
const QUIET: Duration = Duration::from_secs(1);

/// Starts the task.
pub fn start() {
    hal::platform::keep_events();
    exec::spawn_best_effort("monitor", CoreId::FIRST, async {
        loop {
            let (event, dropped) = hal::platform::next_event().await;
            if dropped > 0 {
                ::log::debug!("{dropped} executor events were dropped");
            }
            if report(&event) {
                exec::sleep(QUIET).await;
            }
        }
    });
}

/// Logs `event` if it is worth it.
fn report(event: &Event) -> bool {
    match *event {
        Event::LongPoll {
            task,
            ticks,
            allowed_ticks,
        } => {
            let ns = hal::time::ticks_to_ns(ticks);
            if ns < LONG_POLL_NS {
                return false;
            }
            let info = exec::fleet().task(task);
            let name = info.as_ref().map_or("(ended)", |info| info.name);
            let allowed_us = hal::time::ticks_to_ns(allowed_ticks) / 1000;
            match info.as_ref().and_then(|info| info.place) {
                Some(place) => ::log::warn!(
                    "task {task} {name}, spawned at {place}, held core {} for {} ms without a pause (allowed: {allowed_us} us)",
                    task.core(),
                    ns / 1_000_000
                ),
                None => ::log::warn!(
                    "task {task} {name} held core {} for {} ms without a pause",
                    task.core(),
                    ns / 1_000_000
                ),
            }
            true
        }
        Event::TimersExhausted { core } => {
            ::log::warn!("core {core} has no free timer: its sleepers poll until one is free");
            true
        }
        // Counted per task; `ps` and `top` show them.
        _ => false,
    }
}
