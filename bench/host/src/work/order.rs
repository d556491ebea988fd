//! Not timed: is the order of dispatch that of the deadlines?
//!
//! All tasks are always ready; an oracle keeps their deadlines sorted and judges each dispatch. Now and then the running task
//! wakes one with the earliest deadline of all: whoever is polled before that one overtakes it.

use super::{Random, far_future};
use crate::meter::{Gate, Reading};
use crate::peer::{Peer, Room};
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

const DISPATCHES: u64 = 20_000;
/// Every so many dispatches the urgent task is woken.
const URGENT_EVERY: u64 = 50;
/// Few enough values that equal deadlines occur: among those any order is right.
const SPAN_BITS: u32 = 12;

struct Oracle {
    ready: RefCell<BTreeSet<(u64, usize)>>,
    random: Random,
    gate: &'static Gate,
    base: u64,
    dispatches: Cell<u64>,
    late: Cell<u64>,
    urgent: RefCell<Option<Waker>>,
    /// Dispatches since the urgent task was woken, while it waits.
    overtaking: Cell<Option<u64>>,
    arrivals: Cell<u64>,
    overtaken: Cell<u64>,
    worst: Cell<u64>,
}

fn bump(counter: &Cell<u64>) {
    counter.set(counter.get() + 1);
}

impl Oracle {
    /// Judges the dispatch of `me`.
    fn dispatched(&self, deadline: u64, me: usize) {
        bump(&self.dispatches);
        let mut ready = self.ready.borrow_mut();
        if ready.first().is_some_and(|earliest| earliest.0 < deadline) {
            bump(&self.late);
        }
        ready.remove(&(deadline, me));
    }

    fn is_over(&self) -> bool {
        self.dispatches.get() >= DISPATCHES
    }
}

struct Member<P> {
    oracle: &'static Oracle,
    me: usize,
    deadline: u64,
    peer: PhantomData<fn() -> P>,
}

impl<P: Peer> Future for Member<P> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let oracle = self.oracle;
        if oracle.is_over() {
            oracle.gate.leave();
            if let Some(urgent) = oracle.urgent.borrow().as_ref() {
                urgent.wake_by_ref();
            }
            return Poll::Ready(());
        }
        oracle.dispatched(self.deadline, self.me);
        if let Some(passed) = oracle.overtaking.get() {
            oracle.overtaking.set(Some(passed + 1));
        }
        self.deadline += 1 + oracle.random.bits(SPAN_BITS);
        P::set_deadline(context, self.deadline);
        oracle.ready.borrow_mut().insert((self.deadline, self.me));
        if oracle.dispatches.get().is_multiple_of(URGENT_EVERY)
            && oracle.overtaking.get().is_none()
            && let Some(urgent) = oracle.urgent.borrow().as_ref()
        {
            oracle.overtaking.set(Some(0));
            oracle.ready.borrow_mut().insert((oracle.base, usize::MAX));
            urgent.wake_by_ref();
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

struct Urgent {
    oracle: &'static Oracle,
}

impl Future for Urgent {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let oracle = self.oracle;
        if oracle.is_over() {
            oracle.gate.leave();
            return Poll::Ready(());
        }
        // The floor polls it unasked.
        if let Some(passed) = oracle.overtaking.take() {
            oracle.dispatched(oracle.base, usize::MAX);
            bump(&oracle.arrivals);
            if passed > 0 {
                bump(&oracle.overtaken);
                oracle.worst.set(oracle.worst.get().max(passed));
            }
        }
        if oracle.urgent.borrow().is_none() {
            *oracle.urgent.borrow_mut() = Some(context.waker().clone());
        }
        Poll::Pending
    }
}

pub(super) fn order<P: Peer>(size: usize) -> Reading {
    let oracle: &'static Oracle = Box::leak(Box::new(Oracle {
        ready: RefCell::default(),
        random: Random::new(0xd1b5_4a32_d192_ed03),
        gate: Gate::leak(),
        base: far_future(),
        dispatches: Cell::new(0),
        late: Cell::new(0),
        urgent: RefCell::new(None),
        overtaking: Cell::new(None),
        arrivals: Cell::new(0),
        overtaken: Cell::new(0),
        worst: Cell::new(0),
    }));
    P::run(Room::busy(size + 1), |peer| async move {
        oracle.gate.enter(size + 1);
        peer.spawn(&mut peer.storage(1), Some(oracle.base), Urgent { oracle });
        let mut storage = peer.storage(size);
        for me in 0..size {
            let deadline = oracle.base + 1 + oracle.random.bits(SPAN_BITS);
            oracle.ready.borrow_mut().insert((deadline, me));
            peer.spawn(
                &mut storage,
                Some(deadline),
                Member::<P> {
                    oracle,
                    me,
                    deadline,
                    peer: PhantomData,
                },
            );
        }
        oracle.gate.wait().await;
    });
    let share =
        |part: &Cell<u64>, whole: &Cell<u64>| 100.0 * part.get() as f64 / whole.get().max(1) as f64;
    Reading::default()
        .with("late_percent", share(&oracle.late, &oracle.dispatches))
        .with(
            "overtaken_percent",
            share(&oracle.overtaken, &oracle.arrivals),
        )
        .with("overtakers_worst", oracle.worst.get() as f64)
        .with("arrivals", oracle.arrivals.get() as f64)
}
