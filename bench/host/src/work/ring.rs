//! Tasks that yield, and tasks that wake one another in a ring. No deadlines.

use crate::meter::{Gate, Meter, Reading};
use crate::peer::{Peer, Room};
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

struct Yielder {
    meter: &'static Meter,
    gate: &'static Gate,
}

impl Future for Yielder {
    type Output = ();

    #[inline(always)]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if !self.meter.tick() {
            self.gate.leave();
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

pub(super) fn round_robin<P: Peer>(size: usize, ops: u64) -> Reading {
    let (meter, gate) = (Meter::leak(2 * size as u64, ops), Gate::leak());
    P::run(Room::busy(size), |peer| async move {
        let mut storage = peer.storage(size);
        gate.enter(size);
        for _ in 0..size {
            peer.spawn(&mut storage, None, Yielder { meter, gate });
        }
        gate.wait().await;
    });
    meter.reading()
}

/// A place in the ring: the task's waker, registered once as most synchronisation does, and whether it is its turn.
#[derive(Default)]
struct Place {
    turn: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

struct Member {
    ring: &'static [Place],
    me: usize,
    meter: &'static Meter,
    gate: &'static Gate,
}

impl Future for Member {
    type Output = ();

    #[inline(always)]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let place = &self.ring[self.me];
        if place.turn.get() {
            place.turn.set(false);
            let goes_on = self.meter.tick();
            let next = &self.ring[if self.me + 1 == self.ring.len() {
                0
            } else {
                self.me + 1
            }];
            next.turn.set(true);
            if let Some(waker) = next.waker.borrow().as_ref() {
                waker.wake_by_ref();
            }
            if !goes_on {
                self.gate.leave();
                return Poll::Ready(());
            }
        }
        let mut waker = place.waker.borrow_mut();
        if !waker
            .as_ref()
            .is_some_and(|waker| waker.will_wake(context.waker()))
        {
            *waker = Some(context.waker().clone());
        }
        Poll::Pending
    }
}

pub(super) fn wake_chain<P: Peer>(size: usize, ops: u64) -> Reading {
    let (meter, gate) = (Meter::leak(2 * size as u64, ops), Gate::leak());
    let ring: &'static [Place] = Vec::leak((0..size).map(|_| Place::default()).collect());
    ring[0].turn.set(true);
    P::run(Room::busy(size), |peer| async move {
        let mut storage = peer.storage(size);
        gate.enter(size);
        for me in 0..size {
            peer.spawn(
                &mut storage,
                None,
                Member {
                    ring,
                    me,
                    meter,
                    gate,
                },
            );
        }
        gate.wait().await;
    });
    meter.reading()
}
