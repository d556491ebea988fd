//! Out of memory as a value: representative paths are run with the n-th allocation refused, for every n, until one
//! run needs no more than n. Each run must either work or say that it cannot; whatever it took must be given back.

use core::future::{Future, pending};

use executor::{CoreConfig, JoinHandle, Task};
use hal::mem::heap;
use hal::platform::KernelPlatform;

use crate::exec::{self, CoreId};

/// More allocations than any of the paths makes.
const MOST: u64 = 200;
/// Tasks that need more memory than the slabs start with.
const CROWD: usize = 64;
/// A core that no machine of the test suite has.
const NO_CORE: usize = 250;

/// Runs all paths.
pub async fn run() -> Result<(), &'static str> {
    each_refusal("core tables", || async {
        let core = CoreId::new(NO_CORE).ok_or(())?;
        exec::fleet()
            .start_core(core, CoreConfig::new())
            .map_err(drop)
    })
    .await?;
    each_refusal("channel", channel).await?;
    each_refusal("text console", || async { crate::screen::try_cells() }).await?;
    refused_spawn().await
}

/// Runs `path` with each of its allocations refused in turn.
async fn each_refusal<F>(name: &'static str, path: impl Fn() -> F) -> Result<(), &'static str>
where
    F: Future<Output = Result<(), ()>>,
{
    for n in 0..MOST {
        let before = heap::stats().used_bytes;
        heap::fail_the_nth(Some(n));
        let outcome = path().await;
        let refused = heap::refusal_happened();
        heap::fail_the_nth(None);
        if !refused {
            outcome.map_err(|()| "a path fails without a refusal")?;
            ::log::info!(target: "selftest", "alloc_fail: {name}: {n} allocations, each refused once");
            return Ok(());
        }
        if heap::stats().used_bytes > before {
            return Err("a refused allocation leaked memory");
        }
    }
    Err("a path makes more allocations than the test looks at")
}

async fn channel() -> Result<(), ()> {
    let (sender, mut receiver) = executor::sync::mpsc::channel::<u64>(8).map_err(drop)?;
    sender.send(7).await.map_err(drop)?;
    receiver.receive().await.map(drop).map_err(drop)
}

/// Spawns with all allocations refused until memory at hand is used up: that spawn is an error, and later ones work again. Task
/// memory is kept for reuse, so each task takes what the ones before it have not.
async fn refused_spawn() -> Result<(), &'static str> {
    let mut tasks = heapless::Vec::<_, CROWD>::new();
    heap::refuse_all(true);
    let refused = (0..CROWD).any(|_| match spawn_large() {
        Ok(task) => tasks.push(task).is_err(),
        Err(()) => true,
    });
    heap::refuse_all(false);
    if !refused {
        return Err("tasks are spawned without memory");
    }
    let after = spawn_large().map_err(|()| "a spawn fails after memory is there again")?;
    for task in tasks.into_iter().chain([after]) {
        task.cancel();
        // Cancelled, as asked.
        let _ = task.await;
    }
    ::log::info!(target: "selftest", "alloc_fail: spawn: refused without memory, then works again");
    Ok(())
}

/// A task that waits for ever and has a future of 3000 bytes.
fn spawn_large() -> Result<JoinHandle<KernelPlatform, ()>, ()> {
    let ballast = [1u8; 3000];
    Task::<KernelPlatform>::new("alloc-test")
        .core(CoreId::FIRST)
        .spawn(async move {
            pending::<()>().await;
            core::hint::black_box(&ballast);
        })
        .map_err(drop)
}
