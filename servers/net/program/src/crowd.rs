//! Any number of futures in one task: a socket's each. A process has few tasks, and a server many sockets.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::future::{Future, poll_fn};
use core::pin::Pin;
use core::task::Poll;

use executor::sync::Notify;
use futures_util::stream::{FuturesUnordered, Stream};
use spin::Mutex;

type Member = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Futures that run until they are done.
#[derive(Default)]
pub struct Crowd {
    joining: Mutex<Vec<Member>>,
    joined: Notify,
}

impl Crowd {
    /// Adds one; false, and it is dropped, without memory.
    pub fn join(&self, member: impl Future<Output = ()> + Send + 'static) -> bool {
        let mut joining = self.joining.lock();
        if joining.try_reserve(1).is_err() {
            return false;
        }
        joining.push(Box::pin(member));
        drop(joining);
        self.joined.notify_one();
        true
    }

    /// Runs them for ever: what its task does.
    pub async fn run(&self) {
        let mut members: FuturesUnordered<Member> = FuturesUnordered::new();
        loop {
            let joined = core::pin::pin!(self.joined.notified());
            let mut joined = joined;
            poll_fn(|context| {
                members.extend(self.joining.lock().drain(..));
                // Each that was woken has its turn; those that are done are gone.
                while let Poll::Ready(Some(())) = Pin::new(&mut members).poll_next(context) {}
                joined.as_mut().poll(context)
            })
            .await;
        }
    }
}
