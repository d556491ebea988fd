//! Whose poll each core is in, and whose handlers run in polls of others.

use core::task::Waker;

use executor::TaskId;
use hal::cpu::percpu;
use hal::user::contain;
use objects::refs::Ref;
use spin::Mutex;

use super::driving::Runs;
use super::waits::Waits;
use crate::process::process;
use crate::process::thread::Thread;

/// A poll of a resident server's task.
pub struct Running {
    /// The server's face.
    pub thread: Ref<Thread>,
    /// Which task.
    pub task: TaskId,
    /// The executor's waker of it.
    pub waker: Waker,
    /// What it waits for.
    pub waits: Waits,
    /// Threads it runs.
    pub runs: Runs,
    /// The first tick that it wants to be woken at.
    pub wake_at_ticks: u64,
    /// A task that could not be started, on its way back to who wanted it.
    pub returned: Option<rt::sys::gate::Task>,
}

/// Only each core's own, so no lock is ever waited for.
static RUNNING: [Mutex<Option<Running>>; percpu::MAX_CORES] =
    [const { Mutex::new(None) }; percpu::MAX_CORES];

fn here() -> &'static Mutex<Option<Running>> {
    static NONE: Mutex<Option<Running>> = Mutex::new(None);
    RUNNING.get(percpu::core_number() as usize).unwrap_or(&NONE)
}

/// Begins a poll on this core.
pub fn begin(running: Running) {
    let before = here().lock().replace(running);
    drop(before);
}

/// Ends it.
pub fn end() -> Option<Running> {
    here().lock().take()
}

/// The poll that this core is in. `look` calls nothing that comes here again.
pub fn with<R>(look: impl FnOnce(&mut Running) -> R) -> Option<R> {
    here().lock().as_mut().map(look)
}

/// The server whose arena has this owner: its process's number.
pub fn owner(id: u64) -> Option<Ref<Thread>> {
    process::find(id)?.first_thread()
}

/// The server that runs on this core: a task of it, or a handler.
pub fn thread() -> Option<Ref<Thread>> {
    with(|running| running.thread.clone()).or_else(|| contain::owner().and_then(owner))
}
