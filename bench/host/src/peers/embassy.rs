//! embassy-executor's raw executor, polled by a loop of ours: no platform layer between it and the measurement.
//!
//! Its queue is chosen at compile time, so this peer is `embassy-fifo` or, with this crate's feature
//! `embassy-deadline`, `embassy-edf`. The time driver is ours too, and kinder than the stock ones: it keeps the earliest
//! alarm at hand instead of searching the queue at each arming.

use crate::peer::{Order, Peer, Room, Waits};
use embassy_executor::Spawner;
use embassy_executor::raw::{Executor, TaskStorage};
use embassy_time_driver::Driver;
use embassy_time_queue_utils::Queue;
use std::cell::Cell;
use std::future::Future;
use std::rc::Rc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Waker};
use std::thread::{self, Thread};

#[derive(Clone)]
pub(super) struct Embassy {
    spawner: Spawner,
}

/// embassy calls this when its queue was empty and something came. Null while the loop never halts.
// SAFETY: nobody else defines the symbol; the signature is the one embassy-executor documents.
#[unsafe(export_name = "__pender")]
fn pender(thread: *mut ()) {
    // SAFETY: null, or the leaked thread handle that `run` made the executor with.
    if let Some(thread) = unsafe { thread.cast::<Thread>().as_ref() } {
        thread.unpark();
    }
}

struct Clock {
    now_us: AtomicU64,
    alarm: Mutex<Alarm>,
}

struct Alarm {
    queue: Queue,
    next_us: u64,
}

impl Driver for Clock {
    fn now(&self) -> u64 {
        self.now_us.load(Relaxed)
    }

    fn schedule_wake(&self, at: u64, waker: &Waker) {
        let mut alarm = self
            .alarm
            .lock()
            .unwrap_or_else(|poison| poison.into_inner());
        if alarm.queue.schedule_wake(at, waker) {
            alarm.next_us = alarm.next_us.min(at);
        }
    }
}

embassy_time_driver::time_driver_impl!(static CLOCK: Clock = Clock {
    now_us: AtomicU64::new(0),
    alarm: Mutex::new(Alarm { queue: Queue::new(), next_us: u64::MAX }),
});

/// Lets the clock jump to the next alarm and wakes whoever is due.
fn jump() {
    let mut alarm = CLOCK
        .alarm
        .lock()
        .unwrap_or_else(|poison| poison.into_inner());
    if alarm.next_us != u64::MAX {
        CLOCK.now_us.store(alarm.next_us.max(CLOCK.now()), Relaxed);
        alarm.next_us = alarm.queue.next_expiration(CLOCK.now());
    }
}

/// Task memory that is taken in turn: with a batch at a time the next one is always free, so the search that
/// `TaskPool` would make is saved.
pub(super) struct Storage<F: Future + 'static> {
    tasks: &'static [TaskStorage<F>],
    next: usize,
}

impl Peer for Embassy {
    const NAME: &'static str = if cfg!(feature = "embassy-deadline") {
        "embassy-edf"
    } else {
        "embassy-fifo"
    };
    const ORDER: Order = if cfg!(feature = "embassy-deadline") {
        Order::Deadline
    } else {
        Order::Other
    };
    const TIMERS: bool = true;
    type Storage<F: Future<Output = ()> + 'static> = Storage<F>;

    fn run<M, F>(room: Room, main: M)
    where
        M: FnOnce(Self) -> F,
        F: Future<Output = ()> + 'static,
    {
        let thread = match room.waits {
            Waits::Park => Box::into_raw(Box::new(thread::current())).cast(),
            _ => std::ptr::null_mut(),
        };
        let executor: &'static Executor = Box::leak(Box::new(Executor::new(thread)));
        let peer = Embassy {
            spawner: executor.spawner(),
        };
        let done = Rc::new(Cell::new(false));
        let (seen, main) = (done.clone(), main(peer.clone()));
        let mut storage = peer.storage(1);
        peer.spawn(&mut storage, None, async move {
            main.await;
            seen.set(true);
        });
        loop {
            // SAFETY: this loop alone polls the executor, and no task does.
            unsafe { executor.poll() };
            if done.get() {
                break;
            }
            match room.waits {
                Waits::Busy | Waits::Spin => {}
                Waits::Park => thread::park(),
                Waits::Virtual => jump(),
            }
        }
    }

    fn storage<F: Future<Output = ()> + 'static>(&self, tasks: usize) -> Storage<F> {
        Storage {
            tasks: Vec::leak((0..tasks).map(|_| TaskStorage::new()).collect()),
            next: 0,
        }
    }

    fn spawn<F: Future<Output = ()> + 'static>(
        &self,
        storage: &mut Storage<F>,
        deadline: Option<u64>,
        future: F,
    ) {
        let task = &storage.tasks[storage.next];
        storage.next = if storage.next + 1 == storage.tasks.len() {
            0
        } else {
            storage.next + 1
        };
        let Ok(token) = task.spawn(|| future) else {
            panic!("the workload spawns more than it made room for")
        };
        #[cfg(feature = "embassy-deadline")]
        if let Some(deadline) = deadline {
            token.metadata().set_deadline(deadline);
        }
        #[cfg(not(feature = "embassy-deadline"))]
        let _ = deadline;
        self.spawner.spawn(token);
    }

    #[cfg(feature = "embassy-deadline")]
    #[inline(always)]
    fn set_deadline(context: &mut Context<'_>, deadline: u64) {
        let current = std::pin::pin!(embassy_executor::Metadata::for_current_task());
        if let std::task::Poll::Ready(metadata) = current.poll(context) {
            metadata.set_deadline(deadline);
        }
    }

    #[cfg(not(feature = "embassy-deadline"))]
    #[inline(always)]
    fn set_deadline(_context: &mut Context<'_>, _deadline: u64) {}

    fn sleep(&self, millis: u64) -> impl Future<Output = ()> + 'static {
        embassy_time::Timer::after_millis(millis)
    }
}
