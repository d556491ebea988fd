//! tokio's current-thread scheduler, by both of its doors: `Runtime` with tasks that claim to be `Send`, and
//! `LocalRuntime`. The goals compare with the faster of the two.

use crate::peer::{Peer, Room, Waits};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::runtime::{Builder, LocalOptions};

#[derive(Clone)]
pub(super) struct Tokio;

#[derive(Clone)]
pub(super) struct TokioLocal;

fn builder(room: Room) -> Builder {
    let mut builder = Builder::new_current_thread();
    if room.waits == Waits::Virtual {
        builder.enable_time().start_paused(true);
    }
    builder
}

/// `main`, and beside it a future that is always ready where the runtime must not park.
async fn beside_spinner(room: Room, main: impl Future<Output = ()>) {
    let spins = room.waits == Waits::Spin;
    let mut main = pin!(main);
    poll_fn(|context| {
        if spins {
            context.waker().wake_by_ref();
        }
        main.as_mut().poll(context)
    })
    .await;
}

struct AssertSend<F>(F);

// SAFETY: a current-thread runtime polls its tasks inside `block_on`, and drops them there or with the runtime: all on
// the thread of `Tokio::run`.
unsafe impl<F> Send for AssertSend<F> {}

impl<F: Future> Future for AssertSend<F> {
    type Output = F::Output;

    #[inline(always)]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        // SAFETY: the field is pinned with its struct.
        unsafe { self.map_unchecked_mut(|this| &mut this.0) }.poll(context)
    }
}

impl Peer for Tokio {
    const NAME: &'static str = "tokio";
    const TIMERS: bool = true;
    type Storage<F: Future<Output = ()> + 'static> = ();

    fn run<M, F>(room: Room, main: M)
    where
        M: FnOnce(Self) -> F,
        F: Future<Output = ()> + 'static,
    {
        let runtime = builder(room)
            .build()
            .unwrap_or_else(|error| panic!("tokio's runtime: {error}"));
        runtime.block_on(beside_spinner(room, main(Tokio)));
    }

    fn storage<F: Future<Output = ()> + 'static>(&self, _tasks: usize) {}

    fn spawn<F: Future<Output = ()> + 'static>(
        &self,
        (): &mut (),
        _deadline: Option<u64>,
        future: F,
    ) {
        tokio::task::spawn(AssertSend(future));
    }

    fn sleep(&self, millis: u64) -> impl Future<Output = ()> + 'static {
        tokio::time::sleep(Duration::from_millis(millis))
    }
}

impl Peer for TokioLocal {
    const NAME: &'static str = "tokio-local";
    const TIMERS: bool = true;
    type Storage<F: Future<Output = ()> + 'static> = ();

    fn run<M, F>(room: Room, main: M)
    where
        M: FnOnce(Self) -> F,
        F: Future<Output = ()> + 'static,
    {
        let runtime = builder(room)
            .build_local(LocalOptions::default())
            .unwrap_or_else(|error| panic!("tokio's runtime: {error}"));
        runtime.block_on(beside_spinner(room, main(TokioLocal)));
    }

    fn storage<F: Future<Output = ()> + 'static>(&self, _tasks: usize) {}

    fn spawn<F: Future<Output = ()> + 'static>(
        &self,
        (): &mut (),
        _deadline: Option<u64>,
        future: F,
    ) {
        tokio::task::spawn_local(future);
    }

    fn sleep(&self, millis: u64) -> impl Future<Output = ()> + 'static {
        tokio::time::sleep(Duration::from_millis(millis))
    }
}
