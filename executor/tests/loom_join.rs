//! loom models of the shipped join cell and one-shot channel.
#![cfg(loom)]

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
};

use executor::modelled::{Completion, JoinCell, oneshot};
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
    builder.preemption_bound = Some(3);
    builder
}

/// The task completes while the handle registers, perhaps twice with different wakers: done, or woken later.
#[test]
fn join_is_woken() {
    for again in [false, true] {
        bounded().check(move || {
            let cell = Arc::new(JoinCell::new());
            let task = {
                let cell = cell.clone();
                thread::spawn(move || {
                    if let Completion::Delivered(Some(waker)) = cell.complete(false) {
                        waker.wake();
                    }
                })
            };
            let bells = [
                Arc::new(Bell(AtomicUsize::new(0))),
                Arc::new(Bell(AtomicUsize::new(0))),
            ];
            let mut last = &bells[0];
            let mut done = cell.register(&Waker::from(bells[0].clone()));
            if again && !done {
                last = &bells[1];
                done = cell.register(&Waker::from(bells[1].clone()));
            }
            if !done {
                while last.0.load(Ordering::Acquire) == 0 {
                    thread::yield_now();
                }
                assert!(cell.is_done());
            }
            task.join().expect("no panic");
        });
    }
}

/// The handle goes away while the task completes: exactly one of the two is told to clean up.
#[test]
fn one_side_cleans_up() {
    bounded().check(|| {
        let cell = Arc::new(JoinCell::new());
        let task = {
            let cell = cell.clone();
            thread::spawn(move || matches!(cell.complete(false), Completion::Abandoned))
        };
        let by_handle = cell.abandon();
        let by_task = task.join().expect("no panic");
        assert!(by_handle != by_task);
    });
}

/// A value crosses, or comes back; memory is freed once (loom checks the cells).
#[test]
fn oneshot_send_and_drop() {
    bounded().check(|| {
        let (sender, mut receiver) = oneshot::channel::<usize>().expect("memory");
        let other = thread::spawn(move || sender.send(7));
        let bell = Arc::new(Bell(AtomicUsize::new(0)));
        let waker = Waker::from(bell.clone());
        match Pin::new(&mut receiver).poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => assert_eq!(value, Ok(7)),
            Poll::Pending => {
                while bell.0.load(Ordering::Acquire) == 0 {
                    thread::yield_now();
                }
                assert_eq!(receiver.try_receive(), Ok(Some(7)));
            }
        }
        assert_eq!(other.join().expect("no panic"), Ok(()));
    });
    bounded().check(|| {
        let (sender, receiver) = oneshot::channel::<usize>().expect("memory");
        let other = thread::spawn(move || sender.send(7));
        drop(receiver);
        let _ = other.join().expect("no panic");
    });
    bounded().check(|| {
        let (sender, receiver) = oneshot::channel::<usize>().expect("memory");
        let other = thread::spawn(move || drop(sender));
        drop(receiver);
        other.join().expect("no panic");
    });
}
