//! `futures_util::stream::FuturesUnordered`, polled by a loop on the thread.

use crate::peer::{Peer, Room, Waits};
use futures_util::stream::{FuturesUnordered, Stream};
use futures_util::task::{ArcWake, waker};
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread::{self, Thread};

type Task = Pin<Box<dyn Future<Output = ()>>>;

#[derive(Clone)]
pub(super) struct Unordered {
    spawned: Rc<RefCell<Vec<Task>>>,
}

struct Unpark(Thread);

impl ArcWake for Unpark {
    fn wake_by_ref(this: &Arc<Self>) {
        this.0.unpark();
    }
}

impl Peer for Unordered {
    const NAME: &'static str = "futures-unordered";
    type Storage<F: Future<Output = ()> + 'static> = ();

    fn run<M, F>(room: Room, main: M)
    where
        M: FnOnce(Self) -> F,
        F: Future<Output = ()> + 'static,
    {
        let peer = Unordered {
            spawned: Rc::default(),
        };
        let spawned = peer.spawned.clone();
        let done = Rc::new(Cell::new(false));
        let (seen, main) = (done.clone(), main(peer));
        let mut tasks = FuturesUnordered::<Task>::new();
        tasks.push(Box::pin(async move {
            main.await;
            seen.set(true);
        }));
        // When it never parks, nobody needs to be told of a wake.
        let parks = room.waits == Waits::Park;
        let waker = if parks {
            waker(Arc::new(Unpark(thread::current())))
        } else {
            Waker::noop().clone()
        };
        let mut context = Context::from_waker(&waker);
        while !done.get() {
            let polled = Pin::new(&mut tasks).poll_next(&mut context);
            let new = spawned.take();
            if !new.is_empty() {
                tasks.extend(new);
            } else if parks && polled.is_pending() {
                thread::park();
            } else if polled == Poll::Ready(None) {
                break;
            }
        }
    }

    fn storage<F: Future<Output = ()> + 'static>(&self, _tasks: usize) {}

    fn spawn<F: Future<Output = ()> + 'static>(
        &self,
        (): &mut (),
        _deadline: Option<u64>,
        future: F,
    ) {
        self.spawned.borrow_mut().push(Box::pin(future));
    }
}
