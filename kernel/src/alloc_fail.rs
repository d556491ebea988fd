//! Out of memory as a value: representative paths are run with the n-th allocation refused, for every n, until one
//! run needs no more than n. Each run must either work or say that it cannot; whatever it took must be given back.

use core::future::Future;

use executor::Task;
use hal::mem::heap;
use hal::platform::KernelPlatform;

use crate::exec::CoreId;

/// More allocations than any of the paths makes.
const MOST: u64 = 200;

/// Runs all paths.
pub async fn run() -> Result<(), &'static str> {
    each_refusal("spawn and join", spawn_and_join).await?;
    each_refusal("channel", channel).await?;
    each_refusal("text console", || async { crate::screen::try_console() }).await?;
    each_refusal("log follower", || async { crate::log::Follower::new().map(drop).ok_or(()) }).await
}

/// Runs `path` with each of its allocations refused in turn.
async fn each_refusal<F>(name: &'static str, path: impl Fn() -> F) -> Result<(), &'static str>
where
    F: Future<Output = Result<(), ()>>,
{
    // Once without a refusal, so that what is made once and kept (slabs) exists.
    path().await.map_err(|()| "a path fails even with memory")?;
    let before = heap::stats().used_bytes;
    for n in 0..MOST {
        heap::fail_the_nth(Some(n));
        let outcome = path().await;
        let refused = heap::refusal_happened();
        heap::fail_the_nth(None);
        if heap::stats().used_bytes > before {
            return Err("a refused allocation leaked memory");
        }
        if !refused {
            outcome.map_err(|()| "a path fails without a refusal")?;
            ::log::info!(target: "selftest", "alloc_fail: {name}: {n} allocations, each refused once");
            return Ok(());
        }
    }
    Err("a path makes more allocations than the test looks at")
}

async fn spawn_and_join() -> Result<(), ()> {
    // A future of 3000 bytes has a size class of its own, so that its memory is not at hand already.
    let ballast = [1u8; 3000];
    let task = Task::<KernelPlatform>::new("alloc-test")
        .core(CoreId::FIRST)
        .spawn(async move {
            executor::yield_now().await;
            core::hint::black_box(&ballast);
        })
        .map_err(drop)?;
    task.await.map_err(drop)
}

async fn channel() -> Result<(), ()> {
    let (sender, mut receiver) = executor::sync::mpsc::channel::<u64>(8).map_err(drop)?;
    sender.send(7).await.map_err(drop)?;
    receiver.receive().await.map(drop).map_err(drop)
}
