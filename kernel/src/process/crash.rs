//! What becomes of a thread that does what it may not: a page is brought, or the process ends with a report.

use abi::Error;
use abi::process::{CRASHED, ExitReason, ExitReport, Registers};
use hal::user::UserContext;
use hal::user::contain::{Abandoned, Reason};
use objects::channel::Message;
use objects::memory::{Blocked, Outcome, Touch};
use objects::refs::Ref;

use super::object::Object;
use super::process::Process;
use super::thread::Thread;
use zerocopy::IntoBytes;

/// The vector of page faults.
pub const PAGE_FAULT: u8 = 14;
/// Page-fault error bits (Intel SDM vol. 3A §5.7).
const WRITE: u64 = 1 << 1;
const USER: u64 = 1 << 2;
const RESERVED: u64 = 1 << 3;
const FETCH: u64 = 1 << 4;

/// What to do with the thread.
pub enum Verdict {
    /// It goes on.
    GoOn,
    /// It goes on once the page is there.
    Wanted(Touch),
    /// It is over.
    End,
}

/// An exception of `thread`'s, which stands at `rip`. If it ends the process, whoever asked for its crash reports gets one.
pub fn exception(
    thread: &Ref<Thread>,
    rip: u64,
    vector: u8,
    error_code: u64,
    address: u64,
) -> Verdict {
    let verdict = judge(thread, rip, vector, error_code, address);
    if matches!(verdict, Verdict::End)
        && let Err(error) = send(thread, vector, error_code, address)
    {
        ::log::warn!(target: "process", "the report of that crash is lost: {error}");
    }
    verdict
}

fn judge(thread: &Ref<Thread>, rip: u64, vector: u8, error_code: u64, address: u64) -> Verdict {
    if vector != PAGE_FAULT {
        report(
            thread,
            rip,
            format_args!("exception {vector}, error code {error_code:#x}"),
        );
        return Verdict::End;
    }
    let Some(touch) = touch_of(error_code) else {
        report(
            thread,
            rip,
            format_args!(
                "page fault at {address:#x} that no page helps, error code {error_code:#x}"
            ),
        );
        return Verdict::End;
    };
    match thread.process.space.fault(address, touch) {
        Outcome::Mapped => Verdict::GoOn,
        Outcome::Blocked(Blocked::Failed(error)) => {
            unbacked(thread, rip, address, touch, error);
            Verdict::End
        }
        Outcome::Blocked(_) => Verdict::Wanted(touch),
        Outcome::Violation(violation) => {
            unbacked(thread, rip, address, touch, violation.into());
            Verdict::End
        }
    }
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

/// A page cannot be brought: the process ends.
pub fn unbacked(thread: &Ref<Thread>, rip: u64, address: u64, touch: Touch, error: Error) {
    let what = match touch {
        Touch::Read => "read",
        Touch::Write => "write",
        Touch::Execute => "execute",
    };
    report(
        thread,
        rip,
        format_args!("tried to {what} {address:#x}: {error}"),
    );
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
        && let Err(error) = send(thread, vector, error_code, address)
    {
        log::warn!(target: "process", "the report of that crash is lost: {error}");
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

/// Sends a report of an exception to whoever asked for the process's.
fn send(thread: &Ref<Thread>, vector: u8, error_code: u64, address: u64) -> Result<(), Error> {
    let Some(Object::Channel(channel)) = thread.process.exceptions() else {
        return Ok(());
    };
    let report = ExitReport {
        reason: ExitReason::Exception as u32,
        vector: u32::from(vector),
        error_code,
        address,
        thread_id: thread.id(),
        registers: registers(&thread.context.lock()),
    };
    let bytes = report.as_bytes();
    let mut message = Message::new(thread.process.account(), bytes.len(), 0)?;
    message.bytes_mut().copy_from_slice(bytes);
    channel.write(message, thread.process.handles.take(&[])?)
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
