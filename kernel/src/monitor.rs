//! Watches what the executors report: tasks that held a core far too long are named in the log.
//!
//! Deadline misses and shorter overruns are counted by the executor itself, per task and spawn place; here is only what
//! a person should hear of without asking.

use core::time::Duration;

use hal::platform::Notice;

use crate::exec::{self, CoreId};

/// A poll this long is felt by everybody on its core. (Under emulation, shorter ones happen to anybody whenever the
/// host takes the processor away.)
const LONG_POLL_NS: u64 = 250_000_000;
/// At most one line in this time.
const QUIET: Duration = Duration::from_secs(1);

/// Starts the task.
pub fn start() {
    hal::platform::keep_notices(hal::time::ns_to_ticks(LONG_POLL_NS));
    exec::spawn_best_effort("monitor", CoreId::FIRST, async {
        loop {
            let (notice, dropped) = hal::platform::next_notice().await;
            if dropped > 0 {
                ::log::warn!("{dropped} more reports came too fast to be kept");
            }
            report(&notice);
            exec::sleep(QUIET).await;
        }
    });
}

fn report(notice: &Notice) {
    match *notice {
        Notice::LongPoll {
            task,
            name,
            place,
            ticks,
            allowed_ticks,
        } => {
            let ms = hal::time::ticks_to_ns(ticks) / 1_000_000;
            let allowed_us = hal::time::ticks_to_ns(allowed_ticks) / 1000;
            let core = task.core();
            match place {
                Some(place) => ::log::warn!(
                    "task {task} {name}, spawned at {place}, held core {core} for {ms} ms without a pause (allowed: {allowed_us} us)"
                ),
                None => ::log::warn!(
                    "task {task} {name} held core {core} for {ms} ms without a pause (allowed: {allowed_us} us)"
                ),
            }
        }
        Notice::TimersExhausted(core) => {
            ::log::warn!("core {core} has no free timer: its sleepers poll until one is free");
        }
    }
}
