//! `async_executor::StaticLocalExecutor`: the faster form, which does not keep track of its tasks.

use crate::peer::{Peer, Room, Waits};
use async_executor::{LocalExecutor, StaticLocalExecutor};
use std::cell::Cell;
use std::future::Future;
use std::rc::Rc;

#[derive(Clone)]
pub(super) struct AsyncExecutor {
    executor: &'static StaticLocalExecutor,
}

impl Peer for AsyncExecutor {
    const NAME: &'static str = "async-executor";
    type Storage<F: Future<Output = ()> + 'static> = ();

    fn run<M, F>(room: Room, main: M)
    where
        M: FnOnce(Self) -> F,
        F: Future<Output = ()> + 'static,
    {
        let executor = LocalExecutor::new().leak();
        let main = main(AsyncExecutor { executor });
        // `run` has a queue of its own and is the faster way; only `try_tick` can spin.
        if room.waits != Waits::Spin {
            return futures_executor::block_on(executor.run(main));
        }
        let done = Rc::new(Cell::new(false));
        let seen = done.clone();
        executor
            .spawn(async move {
                main.await;
                seen.set(true);
            })
            .detach();
        while !done.get() {
            executor.try_tick();
        }
    }

    fn storage<F: Future<Output = ()> + 'static>(&self, _tasks: usize) {}

    fn spawn<F: Future<Output = ()> + 'static>(
        &self,
        (): &mut (),
        _deadline: Option<u64>,
        future: F,
    ) {
        self.executor.spawn(future).detach();
    }
}
