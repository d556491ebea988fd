//! Host-side test support for the servers: a deterministic executor with a virtual clock.
//!
//! [`Sim`] polls a task only when its waker was called, and time moves only when nothing is left to
//! poll. So a lost wake shows as a stall ([`Sim::run`] returns), never as a slow test, and two runs
//! of the same test are the same run.
//!
//! [`tls`]: peers that speak TLS, with certificates made for the test.
#![forbid(unsafe_code)]

pub mod tls;

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Wake, Waker};

use rt::Clock;

/// Ticks of the virtual clock in a second: one tick is a nanosecond.
pub const TICKS_PER_SECOND: u64 = 1_000_000_000;

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

struct Task {
    name: &'static str,
    future: Pin<Box<dyn Future<Output = ()> + Send>>,
    woken: Arc<Flag>,
}

#[derive(Default)]
struct Timers {
    now_ticks: u64,
    next_id: u64,
    sleepers: BTreeMap<(u64, u64), Waker>,
}

/// The virtual clock of a [`Sim`].
#[derive(Clone, Default)]
pub struct SimClock(Arc<Mutex<Timers>>);

impl SimClock {
    fn lock(&self) -> MutexGuard<'_, Timers> {
        self.0.lock().expect("no test panics with the clock locked")
    }

    /// Moves time forward without running anything.
    pub fn advance(&self, ticks: u64) {
        self.lock().now_ticks += ticks;
    }

    /// How many sleeps are armed.
    #[must_use]
    pub fn armed(&self) -> usize {
        self.lock().sleepers.len()
    }
}

impl Clock for SimClock {
    fn now_ticks(&self) -> u64 {
        self.lock().now_ticks
    }
    fn ticks_per_second(&self) -> u64 {
        TICKS_PER_SECOND
    }
    fn sleep_until(&self, deadline_ticks: u64) -> impl Future<Output = ()> + Send {
        let mut armed = Armed {
            clock: self.clone(),
            key: None,
        };
        poll_fn(move |cx| {
            let clock = armed.clock.clone();
            let mut timers = clock.lock();
            if timers.now_ticks >= deadline_ticks {
                return Poll::Ready(());
            }
            let key = *armed.key.get_or_insert_with(|| {
                timers.next_id += 1;
                (deadline_ticks, timers.next_id)
            });
            timers.sleepers.insert(key, cx.waker().clone());
            Poll::Pending
        })
    }
}

struct Armed {
    clock: SimClock,
    key: Option<(u64, u64)>,
}

impl Drop for Armed {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.clock.lock().sleepers.remove(&key);
        }
    }
}

/// A deterministic executor.
#[derive(Default)]
pub struct Sim {
    tasks: Vec<Task>,
    clock: SimClock,
    polls: u64,
}

/// Polls after which a run counts as a busy loop.
const POLL_LIMIT: u64 = 10_000_000;

impl Sim {
    /// An empty executor at time 0.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Its clock.
    #[must_use]
    pub fn clock(&self) -> SimClock {
        self.clock.clone()
    }

    /// Adds a task, due at once.
    pub fn spawn(&mut self, name: &'static str, future: impl Future<Output = ()> + Send + 'static) {
        let woken = Arc::new(Flag(AtomicBool::new(true)));
        self.tasks.push(Task {
            name,
            future: Box::pin(future),
            woken,
        });
    }

    /// Polls woken tasks until none is woken; time stands still.
    ///
    /// # Panics
    /// If that takes more than ten million polls: some task busy-waits.
    pub fn run_woken(&mut self) {
        loop {
            let mut progressed = false;
            let mut index = 0;
            while index < self.tasks.len() {
                let task = &mut self.tasks[index];
                if !task.woken.0.swap(false, Ordering::SeqCst) {
                    index += 1;
                    continue;
                }
                progressed = true;
                self.polls += 1;
                assert!(self.polls < POLL_LIMIT, "task {} busy-waits", task.name);
                let waker = Waker::from(task.woken.clone());
                if task
                    .future
                    .as_mut()
                    .poll(&mut Context::from_waker(&waker))
                    .is_ready()
                {
                    drop(self.tasks.remove(index));
                } else {
                    index += 1;
                }
            }
            if !progressed {
                return;
            }
        }
    }

    /// Runs until no task is woken and no sleep is armed, moving time to the earliest sleep whenever
    /// nothing else is left to do. Stops when time would pass `until_ticks`.
    pub fn run_until(&mut self, until_ticks: u64) {
        loop {
            self.run_woken();
            let waker = {
                let mut timers = self.clock.lock();
                let Some((&key, _)) = timers.sleepers.first_key_value() else {
                    return;
                };
                if key.0 > until_ticks {
                    timers.now_ticks = timers.now_ticks.max(until_ticks);
                    return;
                }
                timers.now_ticks = timers.now_ticks.max(key.0);
                timers.sleepers.remove(&key)
            };
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }

    /// Runs until everything has ended or is stuck.
    pub fn run(&mut self) {
        self.run_until(u64::MAX);
    }

    /// Names of the tasks that have not ended.
    #[must_use]
    pub fn unfinished(&self) -> Vec<&'static str> {
        self.tasks.iter().map(|task| task.name).collect()
    }

    /// Polls so far.
    #[must_use]
    pub fn polls(&self) -> u64 {
        self.polls
    }
}

/// Runs one future to its end on a [`Sim`] of its own.
///
/// # Panics
/// If it gets stuck.
pub fn block_on<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> T {
    let mut sim = Sim::new();
    let slot = Arc::new(Mutex::new(None));
    let result = slot.clone();
    sim.spawn("block_on", async move {
        let value = future.await;
        *result.lock().expect("nobody else holds it") = Some(value);
    });
    sim.run();
    let value = slot.lock().expect("the task has ended").take();
    value.expect("the future got stuck: nothing will wake it")
}
