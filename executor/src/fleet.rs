//! All cores of a machine under one name.

use alloc::boxed::Box;
use core::{
    fmt,
    ptr::null_mut,
    sync::atomic::{AtomicPtr, Ordering},
};

use crate::{
    config::{CoreConfig, StartError},
    ident::{CoreId, TaskId},
    platform::Platform,
    raw::{core::Core, sites::Sites, waker::Vtable},
};

/// The cores of one platform: a `static`, filled by [`Fleet::start_core`].
pub struct Fleet<P: Platform> {
    cores: [AtomicPtr<Core<P>>; CoreId::MAX],
    pub(crate) sites: Sites,
    pub(crate) wakers: Vtable<P>,
}

impl<P: Platform> fmt::Debug for Fleet<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.cores()).finish()
    }
}

/// What [`Fleet::step`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Polled one task.
    Ran,
    /// Nothing is ready. The next timer or replenishment is due at this tick, if there is one.
    Idle(Option<u64>),
}

/// Why a core cannot be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunError {
    /// The core was not started.
    NotStarted(CoreId),
    /// The caller is not the core's task context: `Platform::here` says otherwise.
    NotHere(CoreId),
    /// Called from within a task that the core is polling.
    Nested(CoreId),
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RunError::NotStarted(core) => write!(
                f,
                "core {core} was not started: call Fleet::start_core first"
            ),
            RunError::NotHere(core) => write!(f, "this is not the task context of core {core}"),
            RunError::Nested(core) => write!(
                f,
                "core {core} is polling a task: its executor cannot be run inside"
            ),
        }
    }
}

impl core::error::Error for RunError {}

/// Why a task was not moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MoveError {
    /// Only a task of the task's own core can move it.
    NotHere,
    /// The task is gone, or moved already.
    Gone,
    /// The task is being polled or has only just been spawned.
    Busy,
    /// The task's future is not `Send`.
    Pinned,
    /// Tasks with a deadline or reservation, or with loans, stay where they were admitted.
    NotBestEffort,
    /// The other core was not started.
    NoCore,
    /// All slots for tasks from elsewhere are taken there.
    NoSlot,
}

impl fmt::Display for MoveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            MoveError::NotHere => "only the task's own core can move it",
            MoveError::Gone => "the task is gone",
            MoveError::Busy => "the task is running",
            MoveError::Pinned => "the task's future is not Send",
            MoveError::NotBestEffort => "only best-effort tasks can be moved",
            MoveError::NoCore => "the other core was not started",
            MoveError::NoSlot => "no slot is free on the other core",
        })
    }
}

impl core::error::Error for MoveError {}

/// Why a task was not abandoned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AbandonError {
    /// The task is gone.
    Gone,
    /// Only the task context of the task's own core can do that, and it moved to another.
    NotHere,
    /// The task is being polled: only [`Platform::guard`] can end that.
    Running,
}

impl fmt::Display for AbandonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AbandonError::Gone => "the task is gone",
            AbandonError::NotHere => "only the task's own core can abandon it",
            AbandonError::Running => "the task is running",
        })
    }
}

impl core::error::Error for AbandonError {}

/// Fleets are statics; only models, which make one for each execution, give them up.
#[cfg(loom)]
impl<P: Platform> Drop for Fleet<P> {
    fn drop(&mut self) {
        for core in &self.cores {
            crate::raw::unpublish(core);
        }
    }
}

impl<P: Platform> Fleet<P> {
    /// A fleet without cores.
    #[expect(clippy::new_without_default, reason = "a fleet is a static")]
    pub const fn new() -> Fleet<P> {
        Fleet {
            cores: [const { AtomicPtr::new(null_mut()) }; CoreId::MAX],
            sites: Sites::new(),
            wakers: Vtable::new(),
        }
    }

    /// Makes room for a core. From anywhere; the core takes tasks from now on and runs them once it is run.
    ///
    /// # Errors
    /// If it was started before, the configuration is bad, or memory is short.
    pub fn start_core(&'static self, core: CoreId, config: CoreConfig) -> Result<(), StartError> {
        if self.core(core).is_some() {
            return Err(StartError::AlreadyStarted(core));
        }
        let fresh = crate::raw::try_box(Core::new(core, config)?).ok_or(StartError::NoMemory)?;
        crate::raw::publish(&self.cores[core.index()], fresh)
            .map_err(|_: Box<Core<P>>| StartError::AlreadyStarted(core))
    }

    /// The core of that number, if started.
    #[inline(always)]
    pub(crate) fn core(&self, core: CoreId) -> Option<&'static Core<P>> {
        crate::raw::published(&self.cores[core.index()])
    }

    /// The cores that were started, in order.
    pub fn cores(&self) -> impl Iterator<Item = CoreId> + '_ {
        (0..CoreId::MAX)
            .filter_map(CoreId::new)
            .filter(|core| !self.cores[core.index()].load(Ordering::Relaxed).is_null())
    }

    /// Wakes a task, from anywhere: task, interrupt handler, another core, any thread. A task that is gone is not
    /// there to be woken; nothing happens.
    #[inline(always)]
    pub fn wake(&self, task: TaskId) {
        #[cfg(feature = "inject")]
        inject::at(inject::Point::TaskWake);
        let here = P::here();
        if let Some(core) = self.core(task.core()) {
            core.wake(task, here);
        }
    }

    /// Cancels a task, from anywhere: its future is dropped, on its own core, instead of being polled again.
    /// `false` if it is gone already.
    pub fn cancel(&self, task: TaskId) -> bool {
        self.core(task.core())
            .is_some_and(|core| core.cancel(task.slot(), task.generation()))
    }

    /// Moves a best-effort task to another core, from a task of its own core. Returns its id there; the old one, and wakers and
    /// handles made with it, go on working until the task dies. Its statistics start afresh.
    ///
    /// # Errors
    /// See [`MoveError`]. The task stays where it is then.
    pub fn move_task(&self, task: TaskId, to: CoreId) -> Result<TaskId, MoveError> {
        let home = self.core(task.core()).ok_or(MoveError::Gone)?;
        if !home.is_here() {
            return Err(MoveError::NotHere);
        }
        home.move_out(task, to)
    }

    /// Ends a task without dropping its future, at its next turn: for the other tasks of a program one of whose tasks was
    /// [abandoned](crate::Abandoned). As for that one, [`Platform::remains`] gets its memory, and what is said there
    /// about what the task had holds.
    ///
    /// # Errors
    /// See [`AbandonError`]; nothing has changed then.
    pub fn abandon(&self, task: TaskId) -> Result<(), AbandonError> {
        self.core(task.core())
            .ok_or(AbandonError::Gone)?
            .abandon(task)
    }

    /// Disarms all timers of the calling core whose wakers' data lies in `memory`, which is given up. The wakers are not run, nor
    /// dropped. For wakers that abandoned tasks made themselves; those that wake tasks need no such care.
    pub fn forget_wakers(&self, memory: core::ops::Range<usize>) {
        if let Some(core) = self.here() {
            core.forget_wakers(&memory);
        }
    }

    /// The core with the fewest tasks among those that take tasks which do not name them.
    pub fn least_loaded(&self) -> Option<CoreId> {
        self.cores()
            .filter(|&core| self.core(core).is_some_and(|core| !core.config.isolated))
            .min_by_key(|&core| {
                self.core(core)
                    .map_or(u64::MAX, |core| core.stats.tasks.get())
            })
    }

    fn runnable(&self, core: CoreId) -> Result<&'static Core<P>, RunError> {
        let core_ref = self.core(core).ok_or(RunError::NotStarted(core))?;
        if !core_ref.is_here() {
            return Err(RunError::NotHere(core));
        }
        if core_ref.is_polling() {
            return Err(RunError::Nested(core));
        }
        core_ref.enter();
        Ok(core_ref)
    }

    /// Runs `core` for ever: polls what is ready in deadline order, idles when nothing is.
    ///
    /// # Errors
    /// If the core cannot be run here; else it does not return.
    pub fn run(&self, core: CoreId) -> Result<core::convert::Infallible, RunError> {
        let core = self.runnable(core)?;
        loop {
            crate::raw::step_or_idle(core);
        }
    }

    /// Runs `core` until `done` says so; asked after each poll and each halt.
    ///
    /// # Errors
    /// If the core cannot be run here.
    pub fn run_until(&self, core: CoreId, mut done: impl FnMut() -> bool) -> Result<(), RunError> {
        let core = self.runnable(core)?;
        while !done() {
            crate::raw::step_or_idle(core);
        }
        core.leave();
        Ok(())
    }

    /// By when `core`, which is this one, has something to do (ticks): the earliest deadline of what is ready, or when the next timer is due; `u64::MAX`
    /// for never. `None` if best effort is ready, which says nothing. For a process whose kernel schedules it by that: see
    /// [`postpone`](crate::postpone).
    #[inline]
    pub fn next_deadline(&self, core: CoreId) -> Option<u64> {
        self.core(core)?.next_deadline()
    }

    /// Polls at most one task of `core` and does not idle.
    ///
    /// # Errors
    /// If the core cannot be run here.
    pub fn step(&self, core: CoreId) -> Result<Step, RunError> {
        let core = self.runnable(core)?;
        let step = crate::raw::step(core);
        core.leave();
        Ok(step)
    }

    /// The core this is the task context of.
    #[inline(always)]
    pub(crate) fn here(&self) -> Option<&'static Core<P>> {
        self.core(P::here().task_core()?)
    }
}
