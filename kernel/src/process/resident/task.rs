//! A task of a resident server: the kernel's future around the server's own, which lies in the arena.

use alloc::vec::Vec;
use core::future::Future;
use core::mem::ManuallyDrop;
use core::pin::Pin;
use core::task::{Context, Poll};

use abi::Error;
use abi::process::CRASHED;
use executor::TaskId;
use executor::time::{Sleep, sleep_until};
use hal::platform::KernelPlatform;
use hal::user::contain::{self, Abandoned, Reason, contain_in};
use kerncore::text::FixedText;
use objects::refs::Ref;
use rt::sys::log::PANICKED;

use super::driving::Runs;
use super::running::{self, Running};
use super::waits::Waits;
use super::{Counted, MOST_TASKS, Resident, Server, speech};
use crate::exec;
use crate::process::cpu::{self, Metered, Share};
use crate::process::crash;
use crate::process::process::Process;
use crate::process::thread::Thread;

/// A future in the arena. The kernel polls it within the containment and never drops it: it goes with the arena, or was dropped in
/// there when it was done.
type InArena = ManuallyDrop<rt::sys::gate::Task>;

enum Work {
    /// The main task before its first poll, in which the start block moves to the arena.
    Main(&'static Server, Vec<u64>),
    /// Another task that has not been started: if it cannot be, it goes back to who wanted it.
    New(InArena),
    /// A task under way.
    Task(InArena),
    Done,
}

struct ResidentTask {
    counted: Counted,
    work: Work,
    /// Once it was polled.
    id: Option<TaskId>,
    waits: Waits,
    runs: Runs,
    metered: Metered,
    /// The one timer of the task, set to the first tick that it asked for.
    sleep: Option<Sleep<KernelPlatform>>,
}

impl Drop for ResidentTask {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            let used = cpu::ticks_of(id);
            let Counted { thread, resident } = &self.counted;
            // The last of its time is paid for too.
            cpu::share(&thread.process, &mut self.metered);
            let mut tasks = resident.tasks.lock();
            let place = tasks.iter().position(|&task| task == id);
            match place {
                Some(place) => {
                    tasks.swap_remove(place);
                }
                // The main one: nobody asks for it any more.
                None => thread.home_is_over(),
            }
            drop(tasks);
            thread.process.add_past_cpu(used);
        }
        if let Work::New(future) = core::mem::replace(&mut self.work, Work::Done) {
            // Within the poll of who wanted it; else it was killed before it began.
            running::with(|running| {
                running.returned = Some(ManuallyDrop::into_inner(future));
            });
        }
    }
}

impl Future for ResidentTask {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let Some(task) = executor::current_task::<KernelPlatform>() else {
            return Poll::Ready(());
        };
        let Counted { thread, resident } = &this.counted;
        if !thread.process.is_alive() {
            return Poll::Ready(());
        }
        if let Work::Main(..) = this.work {
            thread.set_task(task);
        }
        this.id = Some(task);
        if let Share::Wait(until) = cpu::share(&thread.process, &mut this.metered) {
            sleep(&mut this.sleep, until, context);
            return Poll::Pending;
        }
        running::begin(Running {
            thread: thread.clone(),
            task,
            waker: context.waker().clone(),
            waits: core::mem::take(&mut this.waits),
            runs: core::mem::take(&mut this.runs),
            wake_at_ticks: u64::MAX,
            returned: None,
        });
        let result = run(resident, task, &mut this.work);
        if let Some(running) = running::end() {
            this.waits = running.waits;
            this.runs = running.runs;
            if let Ok(Poll::Pending) = result {
                sleep(&mut this.sleep, running.wake_at_ticks, context);
            }
        }
        match result {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(())) => Poll::Ready(()),
            Err(abandoned) => {
                died(thread, &abandoned);
                Poll::Ready(())
            }
        }
    }
}

impl ResidentTask {
    fn new(thread: &Ref<Thread>, resident: &Ref<Resident>, work: Work) -> Self {
        Self {
            counted: Counted::new(thread, resident),
            work,
            id: None,
            waits: Waits::default(),
            runs: Runs::default(),
            metered: Metered::new(),
            sleep: None,
        }
    }

    /// Hands it to its server's core.
    fn spawn(self, name: &'static str) -> Result<TaskId, Error> {
        let Counted { thread, resident } = &self.counted;
        let mut task = executor::Task::<KernelPlatform>::new(name).core(resident.core);
        task = match &*resident.reservation.lock() {
            Some(reservation) => {
                thread.process.note_terms(reservation.terms);
                task.within(&reservation.reserved)
            }
            None => {
                let weight = thread.process.account().weight();
                task.weight(u32::try_from(weight).unwrap_or(u32::MAX))
            }
        };
        match task.spawn(self) {
            Ok(handle) => {
                let id = handle.id();
                handle.detach();
                Ok(id)
            }
            Err(error) => {
                log::warn!(target: "process", "a task of a resident server cannot be started: {error}");
                Err(Error::NoMemory)
            }
        }
    }
}

/// Starts a server's main task. Its end, also if it cannot be started, is the process's.
///
/// # Errors
/// [`Error::NoMemory`].
pub fn begin(
    thread: &Ref<Thread>,
    resident: &Ref<Resident>,
    server: &'static Server,
    block: Vec<u64>,
) -> Result<(), Error> {
    let main = ResidentTask::new(thread, resident, Work::Main(server, block));
    thread.set_task(main.spawn(server.name)?);
    Ok(())
}

/// Starts another task of the server that runs on this core, or gives it back.
pub fn spawn(name: &'static str, future: rt::sys::gate::Task) -> Result<(), rt::sys::gate::Task> {
    let Some(thread) = running::with(|running| running.thread.clone()) else {
        return Err(future);
    };
    let Some(resident) = thread.process.resident() else {
        return Err(future);
    };
    {
        let mut tasks = resident.tasks.lock();
        if tasks.len() >= MOST_TASKS || tasks.try_reserve(1).is_err() {
            return Err(future);
        }
    }
    let work = Work::New(ManuallyDrop::new(future));
    match ResidentTask::new(&thread, resident, work).spawn(name) {
        Ok(id) => {
            // Room was made; nobody else of this core was here since.
            resident.tasks.lock().push(id);
            if !thread.process.is_alive() {
                exec::fleet().cancel(id);
            }
            Ok(())
        }
        Err(_) => match running::with(|running| running.returned.take()).flatten() {
            Some(future) => Err(future),
            None => Ok(()),
        },
    }
}

/// Polls the server's own future.
#[expect(
    clippy::result_large_err,
    reason = "a failure cannot allocate, and is rare"
)]
fn run(resident: &Resident, task: TaskId, work: &mut Work) -> Result<Poll<()>, Abandoned> {
    let future = match core::mem::replace(work, Work::Done) {
        Work::Main(server, block) => {
            let begin = || rt::sys::resident::begin(server.main, &block);
            ManuallyDrop::new(contain_in(&resident.arena, begin)?)
        }
        Work::New(future) | Work::Task(future) => future,
        Work::Done => return Ok(Poll::Ready(())),
    };
    resident.activate();
    let waker = contain::waker_of(task);
    let left = contain_in(&resident.arena, move || {
        let mut future = future;
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Pending => Some(future),
            Poll::Ready(()) => {
                // Its last code: what it still holds goes.
                drop(ManuallyDrop::into_inner(future));
                None
            }
        }
    })?;
    Ok(match left {
        Some(future) => {
            *work = Work::Task(future);
            Poll::Pending
        }
        None => Poll::Ready(()),
    })
}

/// The task is woken at the first tick that any of its parts asked for. One timer for all; a tick that nobody wants any more
/// costs one poll.
fn sleep(armed: &mut Option<Sleep<KernelPlatform>>, wanted_ticks: u64, context: &mut Context<'_>) {
    if wanted_ticks != u64::MAX
        && armed
            .as_ref()
            .is_none_or(|armed| armed.until() > wanted_ticks)
    {
        *armed = Some(sleep_until(wanted_ticks));
    }
    if let Some(timer) = armed
        && Pin::new(timer).poll(context).is_ready()
    {
        *armed = None;
        context.waker().wake_by_ref();
    }
}

/// A poll or handler of the server was abandoned: says why, and ends the process.
pub fn died(thread: &Ref<Thread>, abandoned: &Abandoned) {
    match &abandoned.reason {
        // Whoever asked for that has said with what exit code.
        Reason::Left => {}
        Reason::Panic { .. } => {
            let text = FixedText::format(format_args!("panicked: {abandoned}"));
            speech::last_words(thread, &text);
            Process::kill(&thread.process, PANICKED);
        }
        Reason::Exception { .. } => {
            crash::contained(thread, abandoned);
            Process::kill(&thread.process, CRASHED);
        }
    }
}
