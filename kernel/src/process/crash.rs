//! What becomes of a thread that does what it may not: a page is brought, or the process ends with a report.

use abi::Error;
use abi::process::CRASHED;
use objects::memory::{Blocked, Outcome, Touch};
use objects::refs::Ref;

use super::thread::Thread;

const PAGE_FAULT: u8 = 14;
/// Page-fault error bits (Intel SDM vol. 3A §5.7).
const WRITE: u64 = 1 << 1;
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

/// An exception of `thread`'s.
pub fn exception(thread: &Ref<Thread>, vector: u8, error_code: u64, address: u64) -> Verdict {
    if vector != PAGE_FAULT {
        report(thread, format_args!("exception {vector}, error code {error_code:#x}"));
        return Verdict::End;
    }
    let touch = match error_code {
        code if code & FETCH != 0 => Touch::Execute,
        code if code & WRITE != 0 => Touch::Write,
        _ => Touch::Read,
    };
    match thread.process.space.fault(address, touch) {
        Outcome::Mapped => Verdict::GoOn,
        Outcome::Blocked(Blocked::Failed(error)) => {
            unbacked(thread, address, touch, error);
            Verdict::End
        }
        Outcome::Blocked(_) => Verdict::Wanted(touch),
        Outcome::Violation(violation) => {
            unbacked(thread, address, touch, violation.into());
            Verdict::End
        }
    }
}

/// A page cannot be brought: the process ends.
pub fn unbacked(thread: &Ref<Thread>, address: u64, touch: Touch, error: Error) {
    let what = match touch {
        Touch::Read => "read",
        Touch::Write => "write",
        Touch::Execute => "execute",
    };
    report(thread, format_args!("tried to {what} {address:#x}: {error}"));
}

/// There is no memory for the thread's vector state: the process ends.
pub fn out_of_memory(thread: &Ref<Thread>) {
    report(thread, format_args!("no memory for its registers"));
}

fn report(thread: &Ref<Thread>, what: core::fmt::Arguments<'_>) {
    let rip = thread.context.lock().rip();
    ::log::warn!(
        target: "process",
        "{} (process {}, thread {}) crashed at {rip:#x}: {what}",
        thread.process.name(),
        thread.process.id(),
        thread.id(),
    );
    thread.process.kill(CRASHED);
}
