//! What a resident server's system calls are: plain functions, called within its poll.
//!
//! Each holds a [`KernelSection`] for as long as it is in the kernel: the arena is out of use then, and a failure fatal.

use core::pin::pin;
use core::task::{Context, Poll, Waker};

use abi::process::ExitReport;
use abi::{AT_ONCE, Call, Error, Handle, Signals};
use hal::time;
use hal::user::{KernelSection, contain};
use objects::refs::Ref;
use rt::sys::gate::{Answer, Answers, Frame, Own, Task};

use super::{calls, driving, handler, running, task};
use crate::process::outcome::{Outcome, Results};
use crate::process::thread::Thread;
use crate::process::{calls as system, dispatch};

/// What the kernel gives to the resident servers of its image.
pub static TABLE: rt::sys::gate::Resident = rt::sys::gate::Resident {
    call,
    poll,
    forget,
    spawn,
    wake_at,
    begin_call,
    answer,
    give_up,
    own,
    answer_at_once,
    answer_later,
    run_thread,
    end_run,
};

/// A system call takes no more stack than this, interrupts and exceptions having stacks of their own.
const STACK_BYTES: u64 = 16 << 10;
/// How often a system call that yields to others is polled on the spot.
const MOST_POLLS: usize = 100;
/// How long one is that changes mappings, whose steps are as many as the pages, and which waits for other cores.
const LONGEST_NS: u64 = 100_000_000;

/// While it exists, the kernel is at work for a server; then the server's memory is in place again.
struct Inside(KernelSection);

impl Drop for Inside {
    #[inline]
    fn drop(&mut self) {
        let activate = |thread: &Ref<Thread>| {
            if let Some(resident) = thread.process.resident() {
                resident.activate();
            }
        };
        if running::with(|running| activate(&running.thread)).is_none()
            && let Some(thread) = running::thread()
        {
            activate(&thread);
        }
    }
}

/// Enters the kernel; ends the server if there is not stack enough for that.
#[inline]
fn enter() -> Inside {
    assert!(
        contain::stack_left_bytes() >= STACK_BYTES,
        "the stack is used up but for what a system call needs"
    );
    Inside(KernelSection::new())
}

fn call(frame: &mut Frame) {
    let go_on = {
        let _section = enter();
        match running::thread() {
            Some(thread) => ask(&thread, frame),
            None => {
                frame.rax = Error::Unknown.to_raw();
                true
            }
        }
    };
    if !go_on {
        contain::leave();
    }
}

/// Answers a system call; whether its server goes on.
fn ask(thread: &Ref<Thread>, frame: &mut Frame) -> bool {
    use core::sync::atomic::Ordering;
    thread.process.system_calls.fetch_add(1, Ordering::Relaxed);
    match ask_now(thread, frame) {
        Ok(go_on) => go_on,
        Err(error) => {
            frame.rax = error.to_raw();
            true
        }
    }
}

fn ask_now(thread: &Ref<Thread>, frame: &mut Frame) -> Result<bool, Error> {
    let mut context = thread.context.lock();
    context.registers.rax = frame.rax;
    context.registers.rdi = frame.rdi;
    context.registers.rsi = frame.rsi;
    *context.words_mut() = frame.words;
    match Call::from_raw(frame.rax).ok_or(Error::Unknown)? {
        // Whatever deadline they name: waiting is done by `poll`.
        Call::Receive | Call::PortWait | Call::NotificationTake | Call::InterruptWait => {
            context.registers.rsi = AT_ONCE;
        }
        Call::Wait | Call::LogWait => context.registers.rdx = AT_ONCE,
        // These wait with a thread, or make one, or are about an address space.
        Call::Call
        | Call::CallLong
        | Call::ReplyReceive
        | Call::PortReplyWait
        | Call::ThreadExit
        | Call::ThreadRun
        | Call::PagerNext => return Err(Error::Unsupported),
        _ => {}
    }
    match dispatch::ask(thread, None, false, &mut context) {
        Outcome::Set | Outcome::Back | Outcome::Yield => {}
        Outcome::Long(call) => {
            let arguments = context.arguments();
            drop(context);
            let (rax, rdx) = now(thread, call, arguments)?;
            context = thread.context.lock();
            context.set_results(rax, rdx);
        }
        Outcome::End => return Ok(false),
        Outcome::Answer
        | Outcome::Enter(_)
        | Outcome::Take
        | Outcome::Again
        | Outcome::Killed
        | Outcome::Trap(_)
        | Outcome::Parked
        | Outcome::ParkedBack
        | Outcome::Drive => {
            return Err(Error::Unsupported);
        }
    }
    frame.rax = context.registers.rax;
    frame.rdi = context.registers.rdi;
    frame.rsi = context.registers.rsi;
    frame.words = *context.words();
    Ok(true)
}

/// Answers a call that may take long: on the spot, or not at all.
fn now(thread: &Ref<Thread>, call: Call, arguments: system::Arguments) -> Result<Results, Error> {
    let mut answer = pin!(system::long(thread, call, arguments));
    let mut context = Context::from_waker(Waker::noop());
    let is_long = matches!(
        call,
        Call::Map | Call::Unmap | Call::Protect | Call::VmoOp | Call::VmoResize | Call::VmoClone
    );
    let until_ticks = time::now_ticks().saturating_add(time::ns_to_ticks(LONGEST_NS));
    let mut polls = 0;
    while polls < MOST_POLLS || (is_long && time::now_ticks() < until_ticks) {
        if let Poll::Ready(results) = answer.as_mut().poll(&mut context) {
            return results;
        }
        polls += 1;
    }
    Err(Error::WouldWait)
}

/// Whether a waker is the running task's own: the kernel keeps no other.
fn is_own(waker: &Waker) -> Result<(), Error> {
    let task = running::with(|running| running.task).ok_or(Error::Unknown)?;
    if waker.will_wake(&contain::waker_of(task)) {
        Ok(())
    } else {
        Err(Error::Unsupported)
    }
}

fn poll(handle: Handle, signals: Signals, waker: &Waker) -> Poll<Result<Signals, Error>> {
    let _section = enter();
    if let Err(error) = is_own(waker) {
        return Poll::Ready(Err(error));
    }
    let polled = running::with(|running| {
        running
            .waits
            .poll(&running.thread, handle, signals, &running.waker)
    });
    polled.unwrap_or(Poll::Ready(Err(Error::Unknown)))
}

fn forget(handle: Handle) {
    let _section = enter();
    running::with(|running| running.waits.forget(handle));
}

fn spawn(name: &'static str, future: Task) -> Result<(), Task> {
    let _section = enter();
    task::spawn(name, future)
}

fn wake_at(ticks: u64, waker: &Waker) -> Result<(), Error> {
    let _section = enter();
    is_own(waker)?;
    running::with(|running| running.wake_at_ticks = running.wake_at_ticks.min(ticks));
    Ok(())
}

fn begin_call(
    handle: Handle,
    deadline_ns: u64,
    request: &[u8],
    handles: Option<&[Handle]>,
    max_answer_bytes: usize,
) -> Result<u64, Error> {
    let _section = enter();
    calls::begin(handle, deadline_ns, request, handles, max_answer_bytes)
}

fn answer(call: u64, answer: &mut [u8], handles: &mut [Handle], waker: &Waker) -> Answer {
    let _section = enter();
    match is_own(waker) {
        Ok(()) => calls::answer(call, answer, handles),
        Err(error) => Poll::Ready(Err(error)),
    }
}

fn give_up(call: u64) {
    let _section = enter();
    calls::give_up(call);
}

fn answer_at_once(endpoint: Handle, function: Answers) -> Result<(), Error> {
    let _section = enter();
    handler::set(endpoint, function)
}

fn answer_later(endpoint: Handle) {
    let _section = enter();
    handler::unset(endpoint);
}

fn run_thread(
    thread: Handle,
    report: &mut ExitReport,
    deadline_ns: u64,
    flags: u32,
    waker: &Waker,
) -> driving::Ran {
    let _section = enter();
    match is_own(waker) {
        Ok(()) => driving::run(thread, report, deadline_ns, flags),
        Err(error) => Poll::Ready(Err(error)),
    }
}

fn end_run(thread: Handle) {
    let _section = enter();
    driving::end(thread);
}

fn own(which: Own) -> u64 {
    let _section = enter();
    let thread = running::thread();
    thread
        .as_ref()
        .and_then(|thread| thread.process.resident())
        .and_then(|resident| resident.own.get(which as usize).copied())
        .unwrap_or(0)
}
