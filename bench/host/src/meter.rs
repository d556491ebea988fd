//! What tasks share while they are measured: the countdown, and the gate that waits for them to end.

use crate::alloc_count::allocations;
use crate::clock::thread_cpu_ns;
use serde::{Deserialize, Serialize};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// What a measurement gives.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// Nanoseconds per operation; absent where the workload measures something else.
    pub ns_per_op: Option<f64>,
    /// Other figures by name; the unit is in the name.
    pub extra: BTreeMap<String, f64>,
}

impl Reading {
    /// Adds a figure.
    pub fn with(mut self, name: &str, value: f64) -> Reading {
        self.extra.insert(name.to_owned(), value);
        self
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    WarmUp,
    Measuring,
    Over,
}

/// Counts operations: a warm-up, then those that are measured. One decrement per operation.
#[derive(Debug)]
pub struct Meter {
    left: Cell<u64>,
    phase: Cell<Phase>,
    ops: u64,
    cpu_ns: Cell<u64>,
    allocations: Cell<u64>,
}

impl Meter {
    /// A meter for `ops` operations after `warm_up` others. Lives as long as the process, as tasks do.
    pub fn leak(warm_up: u64, ops: u64) -> &'static Meter {
        Box::leak(Box::new(Meter {
            left: Cell::new(warm_up),
            phase: Cell::new(Phase::WarmUp),
            ops,
            cpu_ns: Cell::new(0),
            allocations: Cell::new(0),
        }))
    }

    /// Counts an operation; `false` when there are enough and the task should end.
    #[inline(always)]
    pub fn tick(&self) -> bool {
        let left = self.left.get();
        if left == 0 {
            return self.turn();
        }
        self.left.set(left - 1);
        true
    }

    #[cold]
    fn turn(&self) -> bool {
        match self.phase.get() {
            Phase::WarmUp => {
                self.phase.set(Phase::Measuring);
                self.left.set(self.ops - 1);
                self.allocations.set(allocations());
                self.cpu_ns.set(thread_cpu_ns());
                true
            }
            Phase::Measuring => {
                self.cpu_ns.set(thread_cpu_ns() - self.cpu_ns.get());
                self.allocations.set(allocations() - self.allocations.get());
                self.phase.set(Phase::Over);
                false
            }
            Phase::Over => false,
        }
    }

    /// Whether operations count now.
    pub fn is_measuring(&self) -> bool {
        self.phase.get() == Phase::Measuring
    }

    /// The result, once the tasks have ended.
    pub fn reading(&self) -> Reading {
        assert_eq!(
            self.phase.get(),
            Phase::Over,
            "the executor stopped before its tasks ended"
        );
        let ops = self.ops as f64;
        Reading {
            ns_per_op: Some(self.cpu_ns.get() as f64 / ops),
            ..Reading::default()
        }
        .with("allocs_per_op", self.allocations.get() as f64 / ops)
    }
}

/// Opens when as many tasks have left as entered. For one waiter.
#[derive(Default)]
pub struct Gate {
    inside: Cell<usize>,
    waiter: Cell<Option<Waker>>,
}

impl Gate {
    /// A gate with nobody inside. Lives as long as the process.
    pub fn leak() -> &'static Gate {
        Box::leak(Box::default())
    }

    /// Lets `tasks` in.
    pub fn enter(&self, tasks: usize) {
        self.inside.set(self.inside.get() + tasks);
    }

    /// One leaves.
    #[inline]
    pub fn leave(&self) {
        let inside = self.inside.get() - 1;
        self.inside.set(inside);
        if inside == 0
            && let Some(waiter) = self.waiter.take()
        {
            waiter.wake();
        }
    }

    /// Waits until nobody is inside.
    pub fn wait(&'static self) -> WaitForAll {
        WaitForAll(self)
    }
}

/// See [`Gate::wait`].
#[must_use = "futures do nothing unless awaited"]
pub struct WaitForAll(&'static Gate);

impl Future for WaitForAll {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.0.inside.get() == 0 {
            return Poll::Ready(());
        }
        self.0.waiter.set(Some(context.waker().clone()));
        Poll::Pending
    }
}
