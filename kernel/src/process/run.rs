//! A thread's life: the future that an executor polls.
//!
//! [`run`] is what happens within one poll: enter ring 3, come back, answer, enter again. It stops when something more urgent waits
//! or something must be awaited, and [`live`] awaits that. A poll may run other threads than its own: those of servers that its
//! thread called ([`Riders`]).

use core::future::{Future, poll_fn};
use core::pin::{Pin, pin};
use core::sync::atomic::Ordering;
use core::task::{Poll, Waker};

use abi::{Call, Error, Handle, Rights};
use hal::mem::user_tables;
use hal::platform::KernelPlatform;
use hal::user::{self, Exit, InterruptsOff};
use objects::memory::Touch;
use objects::refs::Ref;

use super::beside::beside;
use super::context::Context;
use super::crash::Fault;
use super::direct::Rider;
use super::drive::{Unfinished, Window};
use super::object::Object;
use super::outcome::Outcome;
use super::process::Process;
use super::reservation::ReservationObject;
use super::resident::handler::{self, InGate};
use super::thread::{Place, Resume, Thread};
use super::{calls, clock, cpu, crash, direct, dispatch, drive};
use crate::exec;

/// Most servers that call one another within one caller's poll. One more goes the long way, through its own task.
const MOST_RIDERS: usize = 4;
/// What a thread's task takes: charged with the thread.
pub const TASK_BYTES: u64 = task_bytes(life_of);
// Threads mostly wait, and there are many: what they wait in is kept small.
const _: () = assert!(TASK_BYTES <= 1280);

const fn task_bytes<F: Future>(_: fn(Ref<Thread>) -> F) -> u64 {
    executor::task_bytes::<F>() as u64
}

/// The threads that a task runs: its own, and on top of it servers' that are answering a call of the one below.
struct Riders {
    own: Ref<Thread>,
    lent: heapless::Vec<Rider, MOST_RIDERS>,
}

impl Riders {
    #[inline]
    fn top(&self) -> &Ref<Thread> {
        self.lent.last().map_or(&self.own, |rider| &rider.thread)
    }

    /// The top thread if it is lent, and who waits for what it answers.
    #[inline]
    fn pair(&self) -> Option<(&Rider, &Ref<Thread>)> {
        let (rider, others) = self.lent.split_last()?;
        let below = others.last().map_or(&self.own, |rider| &rider.thread);
        Some((rider, below))
    }

    /// Who waits for what the top thread answers.
    fn below(&self) -> Option<&Ref<Thread>> {
        self.pair().map(|(_, below)| below)
    }

    /// Takes the top thread off, if it is lent, for another reason than that it [parks](direct::park). `answered`: the one below
    /// has its answer.
    fn pop(&mut self, answered: bool) -> Option<Ref<Thread>> {
        let rider = self.lent.pop()?;
        let waits = (!answered).then(|| &**self.top());
        Some(rider.gets_off(waits))
    }

    /// What the own thread, if it is about to run, says of its earliest deadline. A word of ring 3: whatever stands there, it can only
    /// let others go first.
    #[inline]
    fn take_deadline(&self, interrupts_off: &InterruptsOff) {
        let at = self.own.deadline_at();
        if at != 0 && self.lent.is_empty() {
            user_tables::activate_now(self.own.process.tables().hardware(), interrupts_off);
            executor::postpone::<KernelPlatform>(user::read_u64(at).unwrap_or(0));
        }
    }

    /// Sends every lent thread home: the top one does there what `resume` says, those below it, and afterwards the own one, wait for
    /// the answer to their calls. `false` if none was lent.
    fn send_all_home(&mut self, mut resume: Resume) -> bool {
        let mut any = false;
        while let Some(rider) = self.pop(false) {
            rider.send_home(resume);
            resume = Resume::Answer;
            any = true;
        }
        any
    }
}

/// What a poll could not go on without.
enum Next {
    /// Others first.
    Yield,
    /// Its job's processor time.
    Share(u64),
    /// A system call that may take long.
    Long(Call),
    /// The end of another thread's run, which the thread drives.
    Drive(Unfinished),
    /// Bits of a notification.
    Take,
    /// A wake, to ask the same again.
    Again,
    /// The answer to the thread's call.
    Answer,
    /// A call or packet.
    Parked,
    /// A page that is brought by somebody else, after this fault.
    Page(Fault, Touch),
    /// What becomes of it after an exception.
    Settle,
    /// The thread is over.
    End,
}

/// The thread is over once this is dropped: when its future ends, or when a kill drops the future where it waits.
struct Life(Riders);

impl Drop for Life {
    fn drop(&mut self) {
        // They go on by themselves; the answer to this thread's call will find nobody.
        self.0.send_all_home(Resume::Enter);
        let own = &self.0.own;
        own.unpark();
        own.give_call_up();
        // The last of its time is paid for too.
        cpu::share_of(own);
        Process::thread_ended(&own.process, own);
    }
}

/// The life of `thread`, on its core. It ends with the future, even if that is dropped before it was ever polled.
fn life_of(thread: Ref<Thread>) -> impl Future<Output = ()> + Send {
    let mut life = Life(Riders {
        own: thread,
        lent: heapless::Vec::new(),
    });
    // An async function would keep what it is given twice.
    async move {
        if let Some(task) = executor::current_task::<KernelPlatform>() {
            life.0.own.set_task(task);
            crate::trace::thread(task, life.0.own.process.id());
        }
        let mut ask = false;
        loop {
            // Both are waited for here: what else is to be awaited is a place further on in this future, and costs a way there.
            let next = poll_fn(|context| {
                let next = match cpu::share_of(&life.0.own) {
                    cpu::Share::Until(end) => {
                        let ask = core::mem::take(&mut ask);
                        run(&mut life.0, ask, end, context.waker())
                    }
                    // Used up during a call: the server goes on by itself.
                    cpu::Share::Wait(_) if life.0.send_all_home(Resume::Enter) => Next::Answer,
                    cpu::Share::Wait(until) => Next::Share(until),
                };
                match next {
                    Next::Yield => context.waker().wake_by_ref(),
                    Next::Again => ask = true,
                    next => return Poll::Ready(next),
                }
                Poll::Pending
            });
            let next = next.await;
            let own = &life.0.own;
            let resume = match next {
                Next::End => break,
                // Not reached.
                Next::Yield | Next::Again => continue,
                Next::Share(until) => {
                    exec::sleep_until(until).await;
                    continue;
                }
                Next::Page(fault, touch) => {
                    if let Err(error) = calls::bring_in(&own.process, fault.address, touch).await {
                        *own.fault.lock() = Some(Fault {
                            refusal: Some(error),
                            ..fault
                        });
                        crash::settle(own).await;
                    }
                    continue;
                }
                Next::Long(call) => {
                    let arguments = own.context.lock().arguments();
                    let results = calls::long(own, call, arguments).await;
                    let (rax, rdx) = results.unwrap_or_else(|error: Error| (error.to_raw(), 0));
                    own.context.lock().set_results(rax, rdx);
                    continue;
                }
                Next::Drive(unfinished) => {
                    let finished = drive::finish(own, unfinished);
                    let results = match beside(own.process.account(), finished) {
                        Ok(finished) => finished.await,
                        Err(error) => Err(error),
                    };
                    let (rax, rdx) = results.unwrap_or_else(|error: Error| (error.to_raw(), 0));
                    own.context.lock().set_results(rax, rdx);
                    continue;
                }
                Next::Take => {
                    let (rax, rdx) = match take_bits(own).await {
                        Ok(bits) => (0, bits),
                        Err(error) => (error.to_raw(), 0),
                    };
                    own.context.lock().set_results(rax, rdx);
                    continue;
                }
                Next::Answer => Resume::Answer,
                Next::Settle => Resume::Settle,
                Next::Parked => wait_parked(own).await,
            };
            match resume {
                Resume::Enter => {}
                Resume::Ask => ask = true,
                Resume::Answer => wait_answer(own).await,
                Resume::Settle => crash::settle(own).await,
            }
        }
    }
}

/// Runs the threads of a task until it must wait, in ring 3 at most until the tick `end`. `ask`: the own thread's registers hold a
/// system call to be asked first. `waker`: the task's.
fn run(riders: &mut Riders, mut ask: bool, end: u64, waker: &Waker) -> Next {
    // Open for as long as nothing more urgent came: most system calls take less time than opening another.
    let mut window: Option<Window> = None;
    'threads: loop {
        let thread = riders.top();
        if hal::trace::is_on() {
            let depth = riders.lent.len();
            crate::trace::runs(&riders.own, &thread.process, depth);
        }
        let mut context = thread.context.lock();
        let outcome = loop {
            if thread.is_killed() || riders.own.is_killed() {
                break Outcome::Killed;
            }
            let exit = if core::mem::take(&mut ask) {
                Exit::Syscall
            } else {
                // Before the look, so that a wake after it ends the stay in ring 3 at once.
                let interrupts_off = InterruptsOff::new();
                let before_opening = || riders.take_deadline(&interrupts_off);
                let until = keep_open(&mut window, end, &interrupts_off, before_opening);
                let Some(until) = until else {
                    return Next::Yield;
                };
                user_tables::activate_now(thread.process.tables().hardware(), &interrupts_off);
                let Context { user, known } = &mut *context;
                let mut in_gate = InGate { thread, known };
                user::enter(interrupts_off, user, until, &mut in_gate)
            };
            if exit != Exit::Syscall {
                // If an interrupt: maybe the timer's, at the window's end.
                window = None;
                if matches!(exit, Exit::Interrupt | Exit::Answered) {
                    continue;
                }
                break Outcome::Trap(exit);
            }
            thread.process.system_calls.fetch_add(1, Ordering::Relaxed);
            let outcome = match context.call_number() {
                dispatch::CALL if !riders.lent.is_full() => {
                    if let Some(rider) = direct::call(thread, &context) {
                        drop(context);
                        // There is room.
                        let _ = riders.lent.push(rider);
                        continue 'threads;
                    }
                    dispatch::ask(thread, riders.below(), true, &mut context)
                }
                dispatch::REPLY_RECEIVE => {
                    if let Some((rider, below)) = riders.pair()
                        && direct::reply(rider, below, &mut context)
                    {
                        drop(context);
                        if let Some(rider) = riders.lent.pop() {
                            direct::park(rider);
                        }
                        continue 'threads;
                    }
                    dispatch::ask(thread, riders.below(), true, &mut context)
                }
                dispatch::SIGNAL => dispatch::signal(thread, &mut context),
                dispatch::TAKE => {
                    let waker = riders.lent.is_empty().then_some(waker);
                    dispatch::take(thread, waker, &mut context)
                }
                dispatch::YIELD => {
                    #[cfg(feature = "inject")]
                    inject::at(inject::Point::Switch);
                    context.set_results(0, 0);
                    return Next::Yield;
                }
                _ => dispatch::ask(thread, riders.below(), false, &mut context),
            };
            match outcome {
                Outcome::Set => {}
                outcome => {
                    // Nothing is in it after a system call, and the thread may wait for long.
                    context.shed_extended_area();
                    break outcome;
                }
            }
        };
        drop(context);
        match outcome {
            Outcome::Set => {}
            Outcome::Killed => {
                if riders.own.is_killed() {
                    return Next::End;
                }
                // The top one's own task ends it, and that answers the call it was about.
                riders.send_all_home(Resume::Enter);
                return Next::Answer;
            }
            Outcome::Trap(trap) => {
                if let Some(next) = trapped(riders, trap) {
                    return next;
                }
            }
            Outcome::Enter(server) => {
                if let Err(rider) = riders.lent.push(Rider::new(server)) {
                    // Not reached: the dispatcher was told whether there is room.
                    rider.thread.send_home(Resume::Enter);
                    return Next::Answer;
                }
            }
            Outcome::ParkedBack => {
                drop(riders.pop(true));
                riders.top().take_pending_call();
            }
            Outcome::Back => {
                if let Some(server) = riders.pop(true) {
                    server.send_home(Resume::Enter);
                }
                riders.top().take_pending_call();
            }
            Outcome::Drive => {
                // Its own task has its own time for that.
                if riders.send_all_home(Resume::Ask) {
                    return Next::Answer;
                }
                let own = &riders.own;
                let arguments = own.context.lock().arguments();
                let results = match drive::run_now(own, arguments, &mut window, end) {
                    Ok(Err(unfinished)) => return Next::Drive(unfinished),
                    Ok(Ok(results)) => Ok(results),
                    Err(error) => Err(error),
                };
                let (rax, rdx) = results.unwrap_or_else(|error: Error| (error.to_raw(), 0));
                own.context.lock().set_results(rax, rdx);
            }
            Outcome::Yield => return Next::Yield,
            Outcome::Again => return Next::Again,
            Outcome::Answer => {
                riders.send_all_home(Resume::Answer);
                return Next::Answer;
            }
            Outcome::Parked => {
                // A lent thread that parks without an answer: its own task waits for it already.
                if riders.pop(false).is_some() {
                    riders.send_all_home(Resume::Answer);
                    return Next::Answer;
                }
                return Next::Parked;
            }
            Outcome::Take => {
                if riders.send_all_home(Resume::Ask) {
                    return Next::Answer;
                }
                return Next::Take;
            }
            Outcome::Long(call) => {
                let top = riders.top();
                let arguments = top.context.lock().arguments();
                if let Some(results) = calls::at_once(top, call, arguments, waker) {
                    let (rax, rdx) = results.unwrap_or_else(|error: Error| (error.to_raw(), 0));
                    top.context.lock().set_results(rax, rdx);
                    continue;
                }
                if riders.send_all_home(Resume::Ask) {
                    return Next::Answer;
                }
                return Next::Long(call);
            }
            Outcome::End => riders.top().kill(),
        }
    }
}

/// An exception of the top thread, a failure of who answered it, or no memory for it; `None`: it goes on, or is found to end.
#[cold]
fn trapped(riders: &mut Riders, trap: Exit) -> Option<Next> {
    let thread = riders.top();
    let fault = match trap {
        Exit::Exception {
            vector,
            error_code,
            address,
        } => Fault {
            vector,
            error_code: error_code as u32,
            address,
            refusal: None,
        },
        Exit::Abandoned => {
            let known = thread.context.lock().known.take();
            let error = handler::abandoned(known);
            thread.context.lock().set_results(error.to_raw(), 0);
            return None;
        }
        // The others are no traps.
        Exit::OutOfMemory | Exit::Interrupt | Exit::Answered | Exit::Syscall => {
            let rip = thread.context.lock().rip();
            crash::out_of_memory(thread, rip);
            thread.kill();
            return None;
        }
    };
    match crash::judge(thread, fault) {
        crash::Verdict::GoOn => None,
        crash::Verdict::Wanted(touch) => {
            // A lent thread's own task meets the same fault.
            if riders.send_all_home(Resume::Enter) {
                return Some(Next::Answer);
            }
            Some(Next::Page(fault, touch))
        }
        crash::Verdict::Stuck(fault) if thread.process.has_exceptions() => {
            *thread.fault.lock() = Some(fault);
            // It waits in its own task.
            if riders.send_all_home(Resume::Settle) {
                return Some(Next::Answer);
            }
            Some(Next::Settle)
        }
        crash::Verdict::Stuck(fault) => {
            crash::end(thread, &fault);
            None
        }
    }
}

/// Until when (ticks) ring 3 may be entered in the window, which is opened if it is not, at most until the tick `end`; `None`: something more
/// urgent is ready or due, or the end is past.
#[inline]
pub fn keep_open(
    window: &mut Option<Window>,
    end: u64,
    _: &InterruptsOff,
    before_opening: impl FnOnce(),
) -> Option<u64> {
    let until = match window {
        Some(open) => open.holds(end).then(|| open.until()),
        None if end != u64::MAX && hal::time::now_ticks() >= end => None,
        None => {
            before_opening();
            *window = executor::preemptible::<KernelPlatform>();
            window.as_mut().map(|open| {
                open.end_by(end);
                open.until()
            })
        }
    };
    if until.is_none() {
        *window = None;
    }
    until
}

/// Awaits `event`, at most until the deadline in nanoseconds of the monotonic clock; `None` if that came first. The event stays where it
/// is: futures that are passed on are stored once more each time, and a thread's future is small.
pub async fn until<F: Future>(deadline_ns: u64, event: Pin<&mut F>) -> Option<F::Output> {
    if deadline_ns == abi::FOREVER {
        return Some(event.await);
    }
    match rt::first(event, exec::sleep_until(clock::ticks_at(deadline_ns))).await {
        rt::Either::A(output) => Some(output),
        rt::Either::B(()) => {
            #[cfg(feature = "inject")]
            inject::at(inject::Point::Timer);
            None
        }
    }
}

/// Waits for the bits of the notification that the registers name, until the deadline there.
async fn take_bits(thread: &Thread) -> Result<u64, Error> {
    let [handle, deadline_ns, ..] = thread.context.lock().arguments();
    let handles = &thread.process.handles;
    let picked = handles.pick(Handle(handle), Rights::READ, Object::as_notification)?;
    let taken = pin!(picked.object.take(picked.lease.as_deref()));
    until(deadline_ns, taken).await.ok_or(Error::TimedOut)?
}

/// Waits where a caller may take the thread along; comes back once it is at home again.
async fn wait_parked(thread: &Ref<Thread>) -> Resume {
    loop {
        // Whoever moves it home wakes this very task.
        let at_home = pin!(poll_fn(|_| match thread.place() {
            Place::Home => Poll::Ready(()),
            _ => Poll::Pending,
        }));
        let deadline_ns = thread.parked_until_ns();
        if until(deadline_ns, at_home).await.is_some() {
            return thread.take_resume();
        }
        // Lent threads have no deadline: what was handed to them is theirs. And who was lent and parked again has another one.
        if clock::now_ns() >= thread.parked_until_ns() && thread.unpark() {
            return Resume::Ask;
        }
        if thread.place() == Place::Lent {
            poll_fn(|_| match thread.place() {
                Place::Home => Poll::Ready(()),
                _ => Poll::Pending,
            })
            .await;
            return thread.take_resume();
        }
    }
}

/// Waits for the answer to the thread's call, lending its deadline to the server meanwhile. Its registers then hold the answer.
async fn wait_answer(thread: &Ref<Thread>) {
    let Some(call) = thread.take_pending_call() else {
        return;
    };
    let in_flight = call.endpoint.resume(&thread.calls, call.record);
    let answer = {
        let answered = pin!(in_flight.answered(call.lease.as_deref()));
        let mut answer = pin!(until(call.deadline_ns, answered));
        match call.helper {
            Some(task) => executor::lend::<KernelPlatform, _>(task, answer.as_mut()).await,
            None => answer.as_mut().await,
        }
    };
    let error = match answer {
        Some(Ok(())) => return,
        Some(Err(error)) => error,
        // Maybe it was answered at the last moment.
        None => match in_flight.try_answer() {
            Some(Ok(())) => return,
            Some(Err(error)) => error,
            None => Error::TimedOut,
        },
    };
    drop(in_flight);
    let mut context = thread.context.lock();
    context.set_results(error.to_raw(), 0);
    // Of a server that is gone, maybe.
    let known = context.known.take();
    drop(context);
    drop(known);
}

/// Starts a thread's life, in a reservation of its core or as best effort.
///
/// # Errors
/// [`Error::NoMemory`] if its core has no room for another task or future; [`Error::Dying`] if its process is ending.
pub fn start(thread: &Ref<Thread>, reservation: Option<&ReservationObject>) -> Result<(), Error> {
    thread.process.thread_begins(thread)?;
    if let Some(reservation) = reservation {
        thread.process.note_terms(reservation.terms);
    }
    let mut task = executor::Task::<KernelPlatform>::new("thread").core(thread.core);
    task = match reservation {
        Some(reservation) => task.within(&reservation.reserved),
        None => task.weight(u32::try_from(thread.process.account().weight()).unwrap_or(u32::MAX)),
    };
    match task.spawn(life_of(thread.clone())) {
        Ok(handle) => {
            thread.set_task(handle.id());
            handle.detach();
            Ok(())
        }
        Err(error) => {
            // The future is dropped, and so the thread has ended.
            ::log::warn!(target: "process", "a thread of {} cannot be started: {error}", thread.process.name());
            Err(Error::NoMemory)
        }
    }
}
