//! The kernel's own tasks that clear away what ended processes and closed objects leave behind, in bounded steps.

use alloc::vec::Vec;

use executor::sync::Notify;
use objects::KernelObject;
use objects::graveyard::Progress;
use objects::refs::Ref;
use spin::Mutex;

use super::object::Object;
use super::process::Process;
use crate::exec::{self, CoreId};
use hal::platform::KernelPlatform;

/// Things dropped between two looks at whether somebody more urgent waits.
const STEP: usize = 16;

/// Ended processes that still hold something.
static ENDED: Mutex<Vec<Ref<Process>>> = Mutex::new(Vec::new());
static CAME: Notify = Notify::new();

/// Clears away what `process` holds, and then says that it has ended.
pub fn clean_up(process: Ref<Process>) {
    let mut ended = ENDED.lock();
    if ended.try_reserve(1).is_ok() {
        ended.push(process);
        drop(ended);
        CAME.notify_one();
        return;
    }
    drop(ended);
    // No memory to remember it: at once, though it takes long.
    while !step(&process) {}
    process.finish();
}

/// Clears a part; `true` when all is gone.
fn step(process: &Process) -> bool {
    if process.replies.close_some(STEP) == Progress::More {
        return false;
    }
    if process.started.close_some(STEP) == Progress::More {
        return false;
    }
    if !process.keeps_handles() && process.handles.close_some(STEP) == Progress::More {
        return false;
    }
    if let Some(resident) = process.resident() {
        if !resident.close_handlers() {
            return false;
        }
        resident.reclaim();
    }
    process.space.teardown_step()
}

/// Starts the tasks.
pub fn start() {
    exec::spawn_best_effort("reaper", CoreId::FIRST, async {
        loop {
            let next = ENDED.lock().pop();
            let Some(process) = next else {
                CAME.notified().await;
                continue;
            };
            process.set_exceptions(None);
            // No core may still have its pages in mind when they go.
            process.tables().hardware().evict().await;
            while !step(&process) {
                executor::checkpoint::<KernelPlatform>().await;
            }
            process.finish();
        }
    });
    exec::spawn_best_effort("graveyard", CoreId::FIRST, async {
        loop {
            match Object::graveyard().step(STEP) {
                Progress::More => executor::checkpoint::<KernelPlatform>().await,
                Progress::Done => Object::graveyard().filled().await,
            }
        }
    });
}
