//! Tasks and time in a server, wherever it is placed.
//!
//! In ring 3 they are the process's own executor's ([`Ring3`]); a resident server's are the core's.

use core::future::{Future, poll_fn};
use core::task::Poll;
use core::time::Duration;

use alloc::boxed::Box;
use executor::Task;

use crate::clock::Clock;
use crate::sys::clock;
use crate::sys::exec::Ring3;
use crate::sys::gate;

/// A task could not be started: no slot or no memory is left for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotStarted;

impl core::fmt::Display for NotStarted {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("no room for another task")
    }
}

impl core::error::Error for NotStarted {}

/// Starts a task that goes on by itself.
///
/// # Errors
/// [`NotStarted`]; the future is dropped.
#[track_caller]
pub fn spawn(
    name: &'static str,
    future: impl Future<Output = ()> + Send + 'static,
) -> Result<(), NotStarted> {
    match gate::resident() {
        Some(resident) => (resident.spawn)(name, Box::pin(future)).map_err(|_| NotStarted),
        None => match Task::<Ring3>::new(name).spawn(future) {
            Ok(handle) => {
                handle.detach();
                Ok(())
            }
            Err(_) => Err(NotStarted),
        },
    }
}

/// [`spawn`] of a task each of whose jobs (from a wake to the next wait) is due `deadline` after its wake: before tasks that are due later,
/// and before those without a deadline. In a resident server it is as urgent as the server.
///
/// # Errors
/// As [`spawn`].
#[track_caller]
pub fn spawn_due(
    name: &'static str,
    deadline: Duration,
    future: impl Future<Output = ()> + Send + 'static,
) -> Result<(), NotStarted> {
    if gate::is_resident() {
        return spawn(name, future);
    }
    match Task::<Ring3>::new(name)
        .deadline_after(deadline)
        .spawn(future)
    {
        Ok(handle) => {
            handle.detach();
            Ok(())
        }
        Err(_) => Err(NotStarted),
    }
}

/// Sleeps for at least `duration`.
pub async fn sleep(duration: Duration) {
    let ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    MonotonicClock.sleep(ns).await;
}

/// The machine's monotonic clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct MonotonicClock;

impl Clock for MonotonicClock {
    fn now_ticks(&self) -> u64 {
        clock::now_ticks()
    }

    fn ticks_per_second(&self) -> u64 {
        clock::page().tsc_hz.max(1)
    }

    async fn sleep_until(&self, deadline_ticks: u64) {
        match gate::resident() {
            Some(resident) => {
                poll_fn(|context| {
                    if clock::now_ticks() >= deadline_ticks
                        || (resident.wake_at)(deadline_ticks, context.waker()).is_err()
                    {
                        return Poll::Ready(());
                    }
                    Poll::Pending
                })
                .await;
            }
            None => executor::time::sleep_until::<Ring3>(deadline_ticks).await,
        }
    }
}
