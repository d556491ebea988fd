//! Running futures: one to its end, or several in an order that a seed gives.

use super::std;
use std::boxed::Box;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::vec::Vec;

/// Numbers from a seed (splitmix64).
pub(in crate::memory) struct Random(pub(in crate::memory) u64);

impl Random {
    pub(in crate::memory) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(in crate::memory) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

/// Pending once.
pub(in crate::memory) async fn yield_now() {
    let mut yielded = false;
    std::future::poll_fn(|context| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Runs a future that never waits for anybody else but by yielding.
pub(in crate::memory) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let woken = Arc::new(Woken(AtomicBool::new(true)));
    let waker = Waker::from(woken.clone());
    let mut context = Context::from_waker(&waker);
    loop {
        assert!(woken.0.swap(false, Ordering::SeqCst), "nobody will wake it");
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
    }
}

/// The same on a thread among others, which may wake it.
pub(in crate::memory) fn block_on_thread<T>(future: impl Future<Output = T>) -> T {
    struct Thread(std::thread::Thread);
    impl Wake for Thread {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let mut future = std::pin::pin!(future);
    let waker = Waker::from(Arc::new(Thread(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
        std::thread::park();
    }
}

/// Polls a future at most `polls` times, then drops it.
pub(in crate::memory) async fn give_up_after<T>(
    polls: u64,
    future: impl Future<Output = T>,
) -> Option<T> {
    let mut future = Box::pin(future);
    for _ in 0..polls {
        let result = std::future::poll_fn(|context| match future.as_mut().poll(context) {
            Poll::Ready(value) => Poll::Ready(Some(value)),
            Poll::Pending => Poll::Ready(None),
        })
        .await;
        if result.is_some() {
            return result;
        }
        yield_now().await;
    }
    None
}

/// Tasks of one test.
pub(in crate::memory) struct Tasks<'a> {
    tasks: Vec<Task<'a>>,
}

struct Task<'a> {
    future: Pin<Box<dyn Future<Output = ()> + 'a>>,
    woken: Arc<Woken>,
    name: &'static str,
}

impl<'a> Tasks<'a> {
    pub(in crate::memory) fn new() -> Self {
        Self { tasks: Vec::new() }
    }

    pub(in crate::memory) fn add(
        &mut self,
        name: &'static str,
        future: impl Future<Output = ()> + 'a,
    ) {
        self.tasks.push(Task {
            future: Box::pin(future),
            woken: Arc::new(Woken(AtomicBool::new(true))),
            name,
        });
    }

    /// Runs them all to their ends, `check` after each poll.
    pub(in crate::memory) fn run(mut self, random: &mut Random, mut check: impl FnMut()) {
        let mut polls = 0u64;
        while !self.tasks.is_empty() {
            let ready: Vec<usize> = (0..self.tasks.len())
                .filter(|&index| self.tasks[index].woken.0.load(Ordering::SeqCst))
                .collect();
            if ready.is_empty() {
                let names: Vec<_> = self.tasks.iter().map(|task| task.name).collect();
                panic!("all wait and nobody wakes: {names:?}");
            }
            polls += 1;
            if polls >= 1_000_000 {
                let names: Vec<_> = self.tasks.iter().map(|task| task.name).collect();
                panic!("no end: {names:?}");
            }
            let index = ready[random.below(ready.len() as u64) as usize];
            let task = &mut self.tasks[index];
            task.woken.0.store(false, Ordering::SeqCst);
            let waker = Waker::from(task.woken.clone());
            let done = task
                .future
                .as_mut()
                .poll(&mut Context::from_waker(&waker))
                .is_ready();
            if done {
                drop(self.tasks.swap_remove(index));
            }
            check();
        }
    }
}
