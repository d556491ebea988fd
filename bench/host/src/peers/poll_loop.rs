//! The floor: no executor, every future is polled in turn whether it was woken or not. What a workload costs here is
//! the workload's own cost.

use crate::peer::{Peer, Room};
use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Waker};

type Spawned = Rc<RefCell<Vec<Pin<Box<dyn Future<Output = ()>>>>>>;

#[derive(Clone)]
pub(super) struct PollLoop {
    spawned: Spawned,
}

impl Peer for PollLoop {
    const NAME: &'static str = "poll-loop";
    const PARKS: bool = false;
    type Storage<F: Future<Output = ()> + 'static> = ();

    fn run<M, F>(_room: Room, main: M)
    where
        M: FnOnce(Self) -> F,
        F: Future<Output = ()> + 'static,
    {
        let spawned = Spawned::default();
        let mut main = Box::pin(main(PollLoop {
            spawned: spawned.clone(),
        }));
        let mut context = Context::from_waker(Waker::noop());
        let mut tasks = Vec::new();
        while main.as_mut().poll(&mut context).is_pending() {
            tasks.append(&mut spawned.borrow_mut());
            let mut next = 0;
            while let Some(task) = tasks.get_mut(next) {
                if task.as_mut().poll(&mut context).is_pending() {
                    next += 1;
                } else {
                    drop(tasks.swap_remove(next));
                }
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
