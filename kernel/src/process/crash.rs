//! What becomes of a thread that does what it may not: a page is brought; or who listens to the process's exceptions gets a report and
//! the thread, which waits for him; or the process ends.
//!
//! A thread waits in its own task ([`settle`]). Until it is told to go on it stands still, and who has its handle with the right to drive reads
//! and sets its registers ([`drive::look`]). It ends, with its process, when the channel's other end is closed, so also when that's holder dies; and
//! like any thread when it is killed.

use alloc::boxed::Box;
use core::fmt;
use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;

use abi::process::{CRASHED, ExitReason, ExitReport, Registers};
use abi::{Error, Signals};
use hal::user::UserContext;
use hal::user::contain::{Abandoned, Reason};
use objects::channel::{Channel, Message};
use objects::memory::{Blocked, Outcome, Touch};
use objects::refs::{Ref, try_box};
use zerocopy::IntoBytes;

use super::drive;
use super::object::{Capability, Object};
use super::process::Process;
use super::thread::Thread;

/// The vector of page faults.
pub const PAGE_FAULT: u8 = 14;
/// Page-fault error bits (Intel SDM vol. 3A §5.7).
const WRITE: u64 = 1 << 1;
const USER: u64 = 1 << 2;
const RESERVED: u64 = 1 << 3;
const FETCH: u64 = 1 << 4;

/// An exception that a thread cannot go on from by itself.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// Intel SDM vol. 3A table 7-1.
    pub vector: u8,
    /// The CPU's error code, as it is pushed: 32 bits.
    pub error_code: u32,
    /// What a page fault was about.
    pub address: u64,
    /// Why no page can be brought.
    pub refusal: Option<Error>,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            vector,
            error_code,
            address,
            refusal,
        } = self;
        if *vector != PAGE_FAULT {
            return write!(f, "exception {vector}, error code {error_code:#x}");
        }
        match (touch_of((*error_code).into()), refusal) {
            (Some(touch), Some(error)) => {
                let what = match touch {
                    Touch::Read => "read",
                    Touch::Write => "write",
                    Touch::Execute => "execute",
                };
                write!(f, "tried to {what} {address:#x}: {error}")
            }
            _ => write!(
                f,
                "page fault at {address:#x} that no page helps, error code {error_code:#x}"
            ),
        }
    }
}

/// What to do with a thread after an exception.
pub enum Verdict {
    /// It goes on.
    GoOn,
    /// It goes on once the page is there.
    Wanted(Touch),
    /// It is somebody else's to say.
    Stuck(Fault),
}

/// What becomes of a thread after an exception.
pub fn judge(thread: &Thread, fault: Fault) -> Verdict {
    if fault.vector != PAGE_FAULT {
        return Verdict::Stuck(fault);
    }
    let Some(touch) = touch_of(fault.error_code.into()) else {
        return Verdict::Stuck(fault);
    };
    let refused = |error| {
        Verdict::Stuck(Fault {
            refusal: Some(error),
            ..fault
        })
    };
    match thread.process.space.fault(fault.address, touch) {
        Outcome::Mapped => Verdict::GoOn,
        Outcome::Blocked(Blocked::Failed(error)) => refused(error),
        Outcome::Blocked(_) => Verdict::Wanted(touch),
        Outcome::Violation(violation) => refused(violation.into()),
    }
}

/// Leaves it to who listens to the process's exceptions what becomes of the thread, which waits meanwhile; `true`: it goes on with the
/// registers it has then. `false` if nobody listens, or any more.
async fn held(thread: Ref<Thread>, fault: Fault) -> bool {
    let Some(exceptions) = thread.process.exceptions() else {
        return false;
    };
    let Object::Channel(channel) = exceptions.entry().object() else {
        return false;
    };
    let held = drive::Held::new(&thread);
    if let Err(error) = send(channel, &thread, &fault, true) {
        log::warn!(target: "process", "the report of a crash is lost: {error}");
        return false;
    }
    let mut closed = pin!(channel.signals().wait(Signals::PEER_CLOSED, None));
    poll_fn(|context| {
        // Whoever says so wakes this thread.
        if held.goes_on() {
            return Poll::Ready(true);
        }
        closed.as_mut().poll(context).map(|_| false)
    })
    .await
}

/// Waits for what is said about the thread's [`Thread::fault`], or ends its process.
pub async fn settle(thread: &Ref<Thread>) {
    let Some(fault) = thread.fault.lock().take() else {
        return;
    };
    if thread.process.has_exceptions() {
        // On the heap: a thread's future is small, and few wait here.
        let goes_on = match try_box(held(thread.clone(), fault)) {
            Ok(held) => Box::into_pin(held).await,
            Err(_) => false,
        };
        if goes_on {
            return;
        }
    }
    end(thread, &fault);
}

/// Ends a thread's process for an exception.
pub fn end(thread: &Ref<Thread>, fault: &Fault) {
    let rip = thread.context.lock().rip();
    report(thread, rip, format_args!("{fault}"));
    thread.kill();
}

/// What a page fault with this error code was about. `None` for an access that the CPU made in the kernel's name, to a descriptor
/// table, say, or a page table gone wrong: no page helps.
pub const fn touch_of(error_code: u64) -> Option<Touch> {
    if error_code & USER == 0 || error_code & RESERVED != 0 {
        return None;
    }
    Some(if error_code & FETCH != 0 {
        Touch::Execute
    } else if error_code & WRITE != 0 {
        Touch::Write
    } else {
        Touch::Read
    })
}

/// There is no memory for the thread's vector state: the process ends.
pub fn out_of_memory(thread: &Ref<Thread>, rip: u64) {
    report(thread, rip, format_args!("no memory for its registers"));
}

/// An exception of a resident server's, whose poll was abandoned.
pub fn contained(thread: &Ref<Thread>, abandoned: &Abandoned) {
    log::warn!(
        target: "process",
        "{} (process {}, resident) crashed: {abandoned}",
        thread.process.name(),
        thread.process.id(),
    );
    if let Reason::Exception {
        vector,
        error_code,
        address,
        ..
    } = abandoned.reason
        && let Some(exceptions) = thread.process.exceptions()
        && let Object::Channel(channel) = exceptions.entry().object()
    {
        let fault = Fault {
            vector,
            error_code: error_code as u32,
            address,
            refusal: None,
        };
        // There is nothing left that could wait.
        if let Err(error) = send(channel, thread, &fault, false) {
            log::warn!(target: "process", "the report of that crash is lost: {error}");
        }
    }
}

fn report(thread: &Ref<Thread>, rip: u64, what: core::fmt::Arguments<'_>) {
    ::log::warn!(
        target: "process",
        "{} (process {}, thread {}) crashed at {rip:#x}: {what}",
        thread.process.name(),
        thread.process.id(),
        thread.id(),
    );
    Process::kill(&thread.process, CRASHED);
}

/// Sends a report of an exception to who listens to a process's, with the thread if that waits for him.
fn send(
    channel: &Channel<Object>,
    thread: &Ref<Thread>,
    fault: &Fault,
    waits: bool,
) -> Result<(), Error> {
    let report = ExitReport {
        reason: ExitReason::Exception as u32,
        vector: u32::from(fault.vector),
        error_code: fault.error_code.into(),
        address: fault.address,
        thread_id: thread.id(),
        registers: registers(&thread.context.lock()),
    };
    let bytes = report.as_bytes();
    let mut message = Message::new(thread.process.account(), bytes.len(), usize::from(waits))?;
    message.bytes_mut().copy_from_slice(bytes);
    let handles = &thread.process.handles;
    if !waits {
        return channel.write(message, handles.take(&[])?);
    }
    // The process pays for the handle, as for any that it sends.
    let handle = handles.insert(Capability::new(Object::Thread(thread.clone()))?)?;
    let sent = handles
        .take(&[handle])
        .and_then(|taken| channel.write(message, taken));
    if sent.is_err() {
        let _ = handles.close(handle);
    }
    sent
}

/// All general registers, as others see them.
pub fn registers(context: &UserContext) -> Registers {
    let r = &context.registers;
    Registers {
        rax: r.rax,
        rbx: r.rbx,
        rcx: r.rcx,
        rdx: r.rdx,
        rsi: r.rsi,
        rdi: r.rdi,
        rbp: r.rbp,
        rsp: context.rsp,
        r8: r.r8,
        r9: r.r9,
        r10: r.r10,
        r11: r.r11,
        r12: r.r12,
        r13: r.r13,
        r14: r.r14,
        r15: r.r15,
        rip: context.rip(),
        rflags: context.rflags(),
        fs_base: context.fs_base(),
        gs_base: context.gs_base(),
    }
}
