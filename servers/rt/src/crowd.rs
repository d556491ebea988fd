//! Any number of futures in one task: for servers with many sockets or clients, as a process has few tasks.
//!
//! In a resident server each is a task of its own: those are the core's, and the kernel wakes nothing smaller.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::future::{Future, poll_fn};
use core::pin::{Pin, pin};
use core::task::Poll;

use executor::sync::Notify;
use futures_util::stream::{FuturesUnordered, Stream};
use spin::Mutex;

use crate::sys::gate;
use crate::tasks::{NotStarted, spawn};

type Member = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Futures that run until they are done.
#[derive(Default)]
pub struct Crowd {
    joining: Mutex<Vec<Member>>,
    joined: Notify,
}

impl core::fmt::Debug for Crowd {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Crowd").finish_non_exhaustive()
    }
}

impl Crowd {
    /// Adds one.
    ///
    /// # Errors
    /// [`NotStarted`] without memory, or at the most tasks that a resident server may have; the future is dropped.
    pub fn join(
        &self,
        member: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), NotStarted> {
        if gate::is_resident() {
            return spawn("member", member);
        }
        let mut joining = self.joining.lock();
        joining.try_reserve(1).map_err(|_| NotStarted)?;
        joining.push(Box::pin(member));
        drop(joining);
        self.joined.notify_one();
        Ok(())
    }

    /// Runs them for ever: what its task does.
    pub async fn run(&self) {
        let mut members: FuturesUnordered<Member> = FuturesUnordered::new();
        loop {
            let mut joined = pin!(self.joined.notified());
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
