//! The executor as the rest of the kernel uses it: the platform filled in, deadlines by role, and what happens
//! when a task cannot be spawned.

use core::future::Future;
use core::time::Duration;

use executor::{CoreConfig, Fleet, Platform, Task};
use hal::platform::KernelPlatform;

pub use executor::CoreId;

/// Deadlines of tasks that answer hardware: a UART's receive FIFO of 16 bytes overflows after 1.4 ms at 115 200 baud.
pub const DRIVER_DEADLINE: Duration = Duration::from_millis(1);
/// Deadline of what carries a key press onwards.
pub const INPUT_DEADLINE: Duration = Duration::from_millis(2);
/// Deadline of what puts text in front of a person.
pub const CONSOLE_DEADLINE: Duration = Duration::from_millis(8);

/// With a heap of this size each core gets room for sixteen thousand tasks, else for one thousand.
const ROOMY_HEAP_BYTES: usize = 48 << 20;

/// Every core's executor.
pub fn fleet() -> &'static Fleet<KernelPlatform> {
    KernelPlatform::fleet()
}

/// Starts a task with a relative deadline on `core`. Failure is logged: the kernel goes on without the task.
#[track_caller]
pub fn spawn(
    name: &'static str,
    core: CoreId,
    deadline: Duration,
    future: impl Future<Output = ()> + Send + 'static,
) {
    match Task::<KernelPlatform>::new(name)
        .core(core)
        .deadline_after(deadline)
        .spawn(future)
    {
        Ok(handle) => handle.detach(),
        Err(error) => ::log::error!(target: "exec", "task {name} cannot be started: {error}"),
    }
}

/// Starts a task without a deadline on `core`.
#[track_caller]
pub fn spawn_best_effort(
    name: &'static str,
    core: CoreId,
    future: impl Future<Output = ()> + Send + 'static,
) {
    match Task::<KernelPlatform>::new(name).core(core).spawn(future) {
        Ok(handle) => handle.detach(),
        Err(error) => ::log::error!(target: "exec", "task {name} cannot be started: {error}"),
    }
}

/// Sleeps until the clock reaches `deadline_ticks`.
pub fn sleep_until(deadline_ticks: u64) -> impl Future<Output = ()> + Send {
    executor::time::sleep_until::<KernelPlatform>(deadline_ticks)
}

/// Sleeps for `duration`.
pub fn sleep(duration: Duration) -> impl Future<Output = ()> + Send {
    executor::time::sleep::<KernelPlatform>(duration)
}

/// Prepares core `core`'s executor; the core itself then calls [`run`].
pub fn prepare(core: CoreId) -> bool {
    let roomy = hal::mem::heap::stats().most_bytes >= ROOMY_HEAP_BYTES;
    let config = if roomy {
        CoreConfig {
            tasks: 20_480,
            // Threads are mostly spawned by threads of other cores.
            remote_tasks: 8192,
            timers: 16_384,
            ..CoreConfig::new()
        }
    } else {
        CoreConfig::new()
    };
    match fleet().start_core(core, config) {
        Ok(()) => true,
        Err(error) => {
            ::log::error!(target: "exec", "core {core} has no executor: {error}");
            false
        }
    }
}

/// Becomes core `core`'s executor, for good.
pub fn run(core: CoreId) -> ! {
    hal::cpu::enable_interrupts();
    match fleet().run(core) {
        Err(error) => panic!("core {core} cannot run its executor: {error}"),
    }
}
