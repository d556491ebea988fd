//! loom models of the shipped wait list: permits, closing, cancellation, and the try-lock hand-over.
#![cfg(loom)]

use std::{
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
};

use executor::{modelled::Gate, sync::mpsc};
use loom::{
    model::Builder,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Release);
    }
}

fn bounded() -> Builder {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(2);
    builder.max_branches = 20_000;
    builder
}

/// Polls until ready; between polls only a wake helps, so a lost one is a deadlock.
fn wait<F: Future>(future: F) -> F::Output {
    let bell = Arc::new(Bell(AtomicUsize::new(0)));
    let waker = Waker::from(bell.clone());
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        while bell.0.swap(0, Ordering::AcqRel) == 0 {
            thread::yield_now();
        }
    }
}

/// Two givers at once, one of which may find the lock taken: both permits arrive.
#[test]
fn permits_are_not_lost_at_a_taken_lock() {
    bounded().check(|| {
        let gate = Arc::new(Gate::new(0, 8));
        let givers: Vec<_> = (0..2)
            .map(|_| {
                let gate = gate.clone();
                thread::spawn(move || gate.release(1))
            })
            .collect();
        wait(gate.acquire(2)).expect("open");
        for giver in givers {
            giver.join().expect("no panic");
        }
    });
}

/// A waiter is dropped while a permit comes: the other waiter gets it.
#[test]
fn a_cancelled_wait_passes_its_permit_on() {
    bounded().check(|| {
        let gate = Arc::new(Gate::new(0, 8));
        let giver = {
            let gate = gate.clone();
            thread::spawn(move || gate.release(1))
        };
        {
            let waker = Waker::from(Arc::new(Bell(AtomicUsize::new(0))));
            let mut first = pin!(gate.acquire(1));
            if first
                .as_mut()
                .poll(&mut Context::from_waker(&waker))
                .is_ready()
            {
                giver.join().expect("no panic");
                return;
            }
        }
        wait(gate.acquire(1)).expect("open");
        giver.join().expect("no panic");
    });
}

/// The channel closes while somebody begins to wait.
#[test]
fn close_reaches_waiters() {
    bounded().check(|| {
        let gate = Arc::new(Gate::new(0, 8));
        let closer = {
            let gate = gate.clone();
            thread::spawn(move || gate.close())
        };
        assert!(wait(gate.acquire(1)).is_err());
        closer.join().expect("no panic");
    });
}

/// Mutual exclusion and hand-over between two takers.
#[test]
fn one_permit_one_holder() {
    bounded().check(|| {
        let gate = Arc::new(Gate::new(1, 1));
        let inside = Arc::new(loom::cell::UnsafeCell::new(0));
        let other = {
            let (gate, inside) = (gate.clone(), inside.clone());
            thread::spawn(move || {
                wait(gate.acquire(1)).expect("open");
                // SAFETY: the permit is the only one; loom checks.
                inside.with_mut(|value| unsafe { *value += 1 });
                gate.release(1);
            })
        };
        wait(gate.acquire(1)).expect("open");
        // SAFETY: as above.
        inside.with_mut(|value| unsafe { *value += 1 });
        gate.release(1);
        other.join().expect("no panic");
    });
}

/// The last sender sends and goes while the receiver waits: the value comes before the end.
#[test]
fn a_channel_closes_behind_its_last_value() {
    bounded().check(|| {
        let (sender, mut receiver) = mpsc::channel::<u32>(2).expect("memory");
        let other = thread::spawn(move || {
            assert!(sender.try_send(7).is_ok());
        });
        assert_eq!(wait(receiver.receive()), Ok(7));
        assert!(wait(receiver.receive()).is_err());
        other.join().expect("no panic");
    });
}

/// The receiver goes while somebody sends: the value comes back or is dropped, once; a sender that waits for room is told.
#[test]
fn a_channel_closes_under_its_senders() {
    bounded().check(|| {
        let value = Arc::new(());
        let (sender, receiver) = mpsc::channel(1).expect("memory");
        let other = {
            let value = value.clone();
            thread::spawn(move || {
                let first = sender.try_send(value.clone());
                // Without room, or with a closed channel: either way it ends.
                let second = wait(sender.send(value));
                assert!(second.is_err());
                drop(first);
            })
        };
        drop(receiver);
        other.join().expect("no panic");
        assert_eq!(Arc::strong_count(&value), 1);
    });
}
