//! A wake from another thread: from the stamp before the wake to the poll.

use super::Random;
use crate::clock::{ticks_to_ns, tsc, tsc_hz};
use crate::meter::{Gate, Reading};
use crate::peer::{Peer, Room, Waits};
use futures_util::task::AtomicWaker;
use std::cell::RefCell;
use std::future::Future;
use std::hint::spin_loop;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::thread;

/// How long after a wake was served the next one comes, in ns: at least this, at most twice as long.
const SPIN_PAUSE_NS: u64 = 1_000;
/// A thread needs that long to reach its halt.
const PARK_PAUSE_NS: u64 = 40_000;

#[repr(align(128))]
#[derive(Default)]
struct Line<T>(T);

#[derive(Default)]
struct Shared {
    waker: Line<AtomicWaker>,
    /// When the wake was issued; 0 when it was served.
    issued: Line<AtomicU64>,
    served: Line<AtomicU64>,
}

struct Receiver {
    shared: &'static Shared,
    latencies: &'static RefCell<Vec<u64>>,
    left: u64,
    gate: &'static Gate,
}

impl Future for Receiver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let shared = self.shared;
        shared.waker.0.register(context.waker());
        let issued = shared.issued.0.load(Ordering::Acquire);
        if issued == 0 {
            return Poll::Pending;
        }
        self.latencies
            .borrow_mut()
            .push(tsc().saturating_sub(issued));
        shared.issued.0.store(0, Ordering::Relaxed);
        shared.served.0.fetch_add(1, Ordering::Release);
        self.left -= 1;
        if self.left == 0 {
            self.gate.leave();
            return Poll::Ready(());
        }
        Poll::Pending
    }
}

fn issue(shared: &Shared, wakes: u64, pause_ns: u64) {
    let random = Random::new(0x9e37_79b9_7f4a_7c15);
    let pause = pause_ns * tsc_hz() / 1_000_000_000;
    for number in 0..wakes {
        while shared.served.0.load(Ordering::Acquire) != number {
            spin_loop();
        }
        let until = tsc() + pause + pause * random.bits(10) / 1024;
        while tsc() < until {
            spin_loop();
        }
        shared.issued.0.store(tsc(), Ordering::Release);
        shared.waker.0.wake();
    }
}

pub(super) fn wakes<P: Peer>(waits: Waits, ops: u64) -> Reading {
    let warm_up = ops / 10 + 1;
    let wakes = ops + warm_up;
    let shared: &'static Shared = Box::leak(Box::default());
    let latencies: &'static RefCell<Vec<u64>> =
        Box::leak(Box::new(RefCell::new(Vec::with_capacity(wakes as usize))));
    let gate = Gate::leak();
    let pause_ns = if waits == Waits::Park {
        PARK_PAUSE_NS
    } else {
        SPIN_PAUSE_NS
    };
    let issuer = thread::spawn(move || issue(shared, wakes, pause_ns));
    P::run(
        Room {
            tasks: 2,
            timers: 1,
            waits,
        },
        |peer| async move {
            let mut storage = peer.storage(1);
            gate.enter(1);
            // With a deadline where there are any: what a driver's task would have.
            peer.spawn(
                &mut storage,
                Some(super::far_future()),
                Receiver {
                    shared,
                    latencies,
                    left: wakes,
                    gate,
                },
            );
            gate.wait().await;
        },
    );
    assert!(issuer.join().is_ok(), "the issuing thread does not panic");
    let mut sorted = latencies.borrow()[warm_up as usize..].to_vec();
    sorted.sort_unstable();
    let part = |permille: usize| ticks_to_ns(sorted[(sorted.len() - 1) * permille / 1000]);
    Reading {
        ns_per_op: Some(part(500)),
        ..Reading::default()
    }
    .with("p99_ns", part(990))
    .with("min_ns", part(0))
}
