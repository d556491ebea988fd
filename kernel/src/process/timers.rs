//! The kernel's own task that fires timer objects.

use alloc::collections::BinaryHeap;
use core::cmp::Ordering;
use core::pin::pin;

use abi::Error;
use executor::sync::Notify;
use objects::refs::{Ref, WeakRef};
use objects::timer::{Armed, Fired, Timer};
use spin::Mutex;

use super::clock;
use super::run::until;
use crate::exec::{self, CoreId};

/// A timer that was set. Stale ones stay until their time comes, or until they are more than half of all.
struct Due {
    armed: Armed,
    timer: WeakRef<Timer>,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.armed.deadline_ns == other.armed.deadline_ns
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    /// The earliest is the greatest: it is the heap's first.
    fn cmp(&self, other: &Self) -> Ordering {
        other.armed.deadline_ns.cmp(&self.armed.deadline_ns)
    }
}

static DUE: Mutex<BinaryHeap<Due>> = Mutex::new(BinaryHeap::new());
static EARLIER: Notify = Notify::new();

/// Sets a timer.
///
/// # Errors
/// [`Error::NoMemory`]; it is not set then.
pub fn set(timer: &Ref<Timer>, deadline_ns: u64) -> Result<(), Error> {
    if deadline_ns == abi::FOREVER {
        timer.set(deadline_ns);
        return Ok(());
    }
    let is_first = {
        let mut due = DUE.lock();
        if due.len() == due.capacity() {
            due.retain(|due| {
                due.timer
                    .upgrade()
                    .is_some_and(|timer| timer.armed() == Some(due.armed))
            });
            let more = due.len().max(16);
            due.try_reserve(more).map_err(|_| Error::NoMemory)?;
        }
        let armed = timer.set(deadline_ns);
        due.push(Due {
            armed,
            timer: timer.downgrade(),
        });
        due.peek().is_some_and(|first| first.armed == armed)
    };
    if is_first {
        EARLIER.notify_one();
    }
    Ok(())
}

/// Takes out what is due at `now_ns`.
fn take_due(now_ns: u64) -> Option<Due> {
    let mut due = DUE.lock();
    let first = due.peek()?;
    (first.armed.deadline_ns <= now_ns).then(|| due.pop())?
}

/// Starts the task.
pub fn start() {
    exec::spawn("timers", CoreId::FIRST, exec::DRIVER_DEADLINE, async {
        loop {
            while let Some(due) = take_due(clock::now_ns()) {
                if let Some(timer) = due.timer.upgrade() {
                    // Stale if it was set anew; it cannot be early.
                    let _: Fired = timer.fire(due.armed, clock::now_ns());
                }
            }
            let next = DUE
                .lock()
                .peek()
                .map_or(abi::FOREVER, |due| due.armed.deadline_ns);
            until(next, pin!(EARLIER.notified())).await;
        }
    });
}
