//! Dispatch among tasks with random deadlines.
//!
//! Both workloads check the order as they go, by one comparison: deadlines are handed out such that in deadline order they
//! never decrease from one dispatch to the next.

use super::{Random, far_future};
use crate::meter::{Gate, Meter, Reading};
use crate::peer::{Peer, Room};
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// Deadlines differ by up to 2^this ticks.
const SPAN_BITS: u32 = 20;

struct Shared {
    meter: &'static Meter,
    gate: &'static Gate,
    random: Random,
    last: Cell<u64>,
    late: Cell<u64>,
    base: u64,
}

impl Shared {
    fn leak(size: usize, ops: u64) -> &'static Shared {
        Box::leak(Box::new(Shared {
            meter: Meter::leak(2 * size as u64, ops),
            gate: Gate::leak(),
            random: Random::new(0x853c_49e6_748f_ea9b),
            last: Cell::new(0),
            late: Cell::new(0),
            base: far_future(),
        }))
    }

    /// Notes a dispatch under `deadline`.
    #[inline(always)]
    fn check(&self, deadline: u64) {
        if deadline < self.last.get() {
            self.late.set(self.late.get() + 1);
        }
        self.last.set(deadline);
    }

    fn reading(&self, ops: u64) -> Reading {
        self.meter
            .reading()
            .with("late_percent", 100.0 * self.late.get() as f64 / ops as f64)
    }
}

struct Holder<P> {
    shared: &'static Shared,
    deadline: u64,
    peer: PhantomData<fn() -> P>,
}

impl<P: Peer> Future for Holder<P> {
    type Output = ();

    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let shared = self.shared;
        if !shared.meter.tick() {
            shared.gate.leave();
            return Poll::Ready(());
        }
        shared.check(self.deadline);
        self.deadline += 1 + shared.random.bits(SPAN_BITS);
        P::set_deadline(context, self.deadline);
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

pub(super) fn hold<P: Peer>(size: usize, ops: u64) -> Reading {
    let shared = Shared::leak(size, ops);
    P::run(Room::busy(size), |peer| async move {
        let mut storage = peer.storage(size);
        shared.gate.enter(size);
        for _ in 0..size {
            let deadline = shared.base + shared.random.bits(SPAN_BITS);
            peer.spawn(
                &mut storage,
                Some(deadline),
                Holder::<P> {
                    shared,
                    deadline,
                    peer: PhantomData,
                },
            );
        }
        shared.gate.wait().await;
    });
    shared.reading(ops + 2 * size as u64)
}

struct Sleeper<P> {
    shared: &'static Shared,
    round: &'static Round,
    me: usize,
    deadline: u64,
    /// Whether the conductor has its waker.
    known: bool,
    peer: PhantomData<fn() -> P>,
}

struct Round {
    wakers: RefCell<Vec<Option<Waker>>>,
    waiting: Cell<usize>,
    conductor: RefCell<Option<Waker>>,
    over: Cell<bool>,
}

impl Round {
    fn wake_conductor(&self) {
        if let Some(waker) = &*self.conductor.borrow() {
            waker.wake_by_ref();
        }
    }
}

impl<P: Peer> Future for Sleeper<P> {
    type Output = ();

    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let (shared, round) = (self.shared, self.round);
        if round.over.get() {
            shared.gate.leave();
            return Poll::Ready(());
        }
        if self.known {
            if !shared.meter.tick() {
                round.over.set(true);
                round.wake_conductor();
                shared.gate.leave();
                return Poll::Ready(());
            }
            shared.check(self.deadline);
        } else {
            self.known = true;
            round.wakers.borrow_mut()[self.me] = Some(context.waker().clone());
        }
        // For the next round.
        self.deadline = shared.base + shared.random.bits(SPAN_BITS);
        P::set_deadline(context, self.deadline);
        round.waiting.set(round.waiting.get() - 1);
        if round.waiting.get() == 0 {
            round.wake_conductor();
        }
        Poll::Pending
    }
}

/// Rounds of: wake all, let all run. The one that wakes has no deadline and runs when they are through.
pub(super) fn burst<P: Peer>(size: usize, ops: u64) -> Reading {
    let shared = Shared::leak(size, ops);
    let round: &'static Round = Box::leak(Box::new(Round {
        wakers: RefCell::new(vec![None; size]),
        waiting: Cell::new(size),
        conductor: RefCell::new(None),
        over: Cell::new(false),
    }));
    P::run(Room::busy(size), |peer| async move {
        let mut storage = peer.storage(size);
        shared.gate.enter(size);
        for me in 0..size {
            let deadline = shared.base + shared.random.bits(SPAN_BITS);
            peer.spawn(
                &mut storage,
                Some(deadline),
                Sleeper::<P> {
                    shared,
                    round,
                    me,
                    deadline,
                    known: false,
                    peer: PhantomData,
                },
            );
        }
        loop {
            poll_fn(|context| {
                if round.waiting.get() == 0 || round.over.get() {
                    return Poll::Ready(());
                }
                *round.conductor.borrow_mut() = Some(context.waker().clone());
                Poll::Pending
            })
            .await;
            round.waiting.set(size);
            shared.last.set(0);
            for waker in round.wakers.borrow().iter().flatten() {
                waker.wake_by_ref();
            }
            // The last round wakes those who have had their turn, so that they can end.
            if round.over.get() {
                break;
            }
        }
        shared.gate.wait().await;
    });
    shared.reading(ops + 2 * size as u64)
}
