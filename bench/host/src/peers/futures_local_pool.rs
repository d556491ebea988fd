//! `futures_executor::LocalPool`.

use crate::peer::{Peer, Room, Waits};
use futures_executor::{LocalPool, LocalSpawner};
use futures_util::task::LocalSpawnExt;
use std::cell::Cell;
use std::future::Future;
use std::rc::Rc;

#[derive(Clone)]
pub(super) struct FuturesLocalPool {
    spawner: LocalSpawner,
}

impl Peer for FuturesLocalPool {
    const NAME: &'static str = "futures-localpool";
    type Storage<F: Future<Output = ()> + 'static> = ();

    fn run<M, F>(room: Room, main: M)
    where
        M: FnOnce(Self) -> F,
        F: Future<Output = ()> + 'static,
    {
        let mut pool = LocalPool::new();
        let main = main(FuturesLocalPool {
            spawner: pool.spawner(),
        });
        if room.waits != Waits::Spin {
            return pool.run_until(main);
        }
        let done = Rc::new(Cell::new(false));
        let seen = done.clone();
        let spawned = pool.spawner().spawn_local(async move {
            main.await;
            seen.set(true);
        });
        assert!(spawned.is_ok(), "the pool is alive");
        while !done.get() {
            pool.run_until_stalled();
        }
    }

    fn storage<F: Future<Output = ()> + 'static>(&self, _tasks: usize) {}

    fn spawn<F: Future<Output = ()> + 'static>(
        &self,
        (): &mut (),
        _deadline: Option<u64>,
        future: F,
    ) {
        let spawned = self.spawner.spawn_local(future);
        assert!(spawned.is_ok(), "the pool is alive");
    }
}
