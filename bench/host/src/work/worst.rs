//! The worst single operation of a queue with many tasks in it.
//!
//! The same sequence is played several times; an operation's cost is its least over the repetitions, which takes the host's
//! interruptions out, and the worst of these is what an unlucky task waits for. The sequence: all tasks are woken (each wake
//! timed), each is dispatched, takes a later deadline and yields, is dispatched again and blocks (each gap between two polls
//! timed, which is all that the executor does between them).

use super::{Random, far_future};
use crate::clock::{thread_cpu_ns, ticks_to_ns, tsc};
use crate::meter::{Gate, Reading};
use crate::peer::{Peer, Room};
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

const SPAN_BITS: u32 = 20;

struct Stage {
    gate: &'static Gate,
    base: u64,
    /// The deadlines of each task: at its wake, and after its yield.
    deadlines: Vec<[u64; 2]>,
    wakers: RefCell<Vec<Option<Waker>>>,
    waiting: Cell<usize>,
    conductor: RefCell<Option<Waker>>,
    over: Cell<bool>,
    /// When the last poll ended, and how many polls there were in this round.
    ended: Cell<u64>,
    polls: Cell<usize>,
    gaps: RefCell<Vec<u64>>,
    wakes: RefCell<Vec<u64>>,
}

fn least(at: &mut u64, ticks: u64) {
    *at = (*at).min(ticks);
}

struct Member<P> {
    stage: &'static Stage,
    me: usize,
    known: bool,
    yielded: bool,
    peer: PhantomData<fn() -> P>,
}

impl<P: Peer> Future for Member<P> {
    type Output = ();

    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let started = tsc();
        let stage = self.stage;
        if stage.over.get() {
            stage.gate.leave();
            return Poll::Ready(());
        }
        let [first, second] = stage.deadlines[self.me];
        if !self.known {
            self.known = true;
            stage.wakers.borrow_mut()[self.me] = Some(context.waker().clone());
        } else {
            let poll = stage.polls.get();
            stage.polls.set(poll + 1);
            // Before the first poll of a round the conductor ran.
            if poll > 0 {
                least(
                    &mut stage.gaps.borrow_mut()[poll],
                    started - stage.ended.get(),
                );
            }
            self.yielded = !self.yielded;
            if self.yielded {
                P::set_deadline(context, stage.base + second);
                context.waker().wake_by_ref();
                stage.ended.set(tsc());
                return Poll::Pending;
            }
        }
        P::set_deadline(context, stage.base + first);
        stage.waiting.set(stage.waiting.get() - 1);
        if stage.waiting.get() == 0
            && let Some(waker) = &*stage.conductor.borrow()
        {
            waker.wake_by_ref();
        }
        stage.ended.set(tsc());
        Poll::Pending
    }
}

/// As many rounds as this CPU time allows, within [`ROUNDS`].
const BUDGET_NS: u64 = 1_500_000_000;
const ROUNDS: std::ops::Range<usize> = 5..61;

pub(super) fn queue_worst<P: Peer>(size: usize) -> Reading {
    let random = Random::new(0x2545_f491_4f6c_dd1d);
    let deadlines = (0..size).map(|_| {
        let first = random.bits(SPAN_BITS);
        [first, first + 1 + random.bits(SPAN_BITS)]
    });
    let stage: &'static Stage = Box::leak(Box::new(Stage {
        gate: Gate::leak(),
        base: far_future(),
        deadlines: deadlines.collect(),
        wakers: RefCell::new(vec![None; size]),
        waiting: Cell::new(size),
        conductor: RefCell::new(None),
        over: Cell::new(false),
        ended: Cell::new(0),
        polls: Cell::new(0),
        gaps: RefCell::new(vec![u64::MAX; 2 * size]),
        wakes: RefCell::new(vec![u64::MAX; size]),
    }));
    P::run(Room::busy(size), |peer| async move {
        let mut storage = peer.storage(size);
        stage.gate.enter(size);
        for me in 0..size {
            let deadline = Some(stage.base + stage.deadlines[me][0]);
            peer.spawn(
                &mut storage,
                deadline,
                Member::<P> {
                    stage,
                    me,
                    known: false,
                    yielded: false,
                    peer: PhantomData,
                },
            );
        }
        let started = thread_cpu_ns();
        for round in 0.. {
            poll_fn(|context| {
                if stage.waiting.get() == 0 {
                    return Poll::Ready(());
                }
                *stage.conductor.borrow_mut() = Some(context.waker().clone());
                Poll::Pending
            })
            .await;
            let enough = thread_cpu_ns() - started > BUDGET_NS;
            stage
                .over
                .set(round >= ROUNDS.end || enough && round >= ROUNDS.start);
            stage.waiting.set(size);
            stage.polls.set(0);
            let mut wakes = stage.wakes.borrow_mut();
            for (waker, wake) in stage.wakers.borrow().iter().flatten().zip(wakes.iter_mut()) {
                let before = tsc();
                waker.wake_by_ref();
                least(wake, tsc() - before);
            }
            if stage.over.get() {
                break;
            }
        }
        stage.gate.wait().await;
    });
    // What the clock itself costs.
    let floor = (0..1000).map(|_| {
        let before = tsc();
        tsc() - before
    });
    let floor = floor.min().unwrap_or(0);
    let worst = |costs: &[u64]| {
        ticks_to_ns(
            costs
                .iter()
                .max()
                .copied()
                .unwrap_or(0)
                .saturating_sub(floor),
        )
    };
    let (wake, dispatch) = (
        worst(&stage.wakes.borrow()),
        worst(&stage.gaps.borrow()[1..]),
    );
    Reading {
        ns_per_op: Some(wake.max(dispatch)),
        ..Reading::default()
    }
    .with("worst_wake_ns", wake)
    .with("worst_dispatch_ns", dispatch)
}
