//! System calls answered inside the gate, on the core's stack, with interrupts off and without leaving [`super::enter`].

use core::sync::atomic::AtomicPtr;
use core::sync::atomic::Ordering;

/// System calls below this number are looked up in the table. A power of two: the gate masks the number, so that a mispredicted
/// comparison cannot index past the table.
pub const FAST_COUNT: usize = 8;
const _: () = assert!(FAST_COUNT.is_power_of_two());

/// What a fast system call answers: `rax` and `rdx` of the caller.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FastResult {
    /// The result. Never [`FastResult::SLOW`]'s, unless it is that.
    pub rax: u64,
    /// The second result.
    pub rdx: u64,
}

/// `rax` of [`FastResult::SLOW`], as the gate compares it: no error number is anywhere near.
pub(super) const SLOW_MARK: i32 = i32::MIN;

impl FastResult {
    /// "Take the long way": [`super::enter`] returns [`super::Exit::Syscall`] with all arguments as they were.
    pub const SLOW: Self = Self {
        rax: SLOW_MARK as i64 as u64,
        rdx: 0,
    };

    /// One result; the second is zero.
    #[inline]
    pub const fn one(rax: u64) -> Self {
        Self { rax, rdx: 0 }
    }
}

/// A fast system call. Arguments come from `rdi rsi rdx r10 r8 r9`; it runs inside the poll that entered the thread, with
/// interrupts off: it must be short, must not fault, and must not turn interrupts on.
pub type FastFn = extern "sysv64" fn(u64, u64, u64, u64, u64, u64) -> FastResult;

/// Fast system calls by number.
pub type FastTable = [FastFn; FAST_COUNT];

extern "sysv64" fn slow(_: u64, _: u64, _: u64, _: u64, _: u64, _: u64) -> FastResult {
    FastResult::SLOW
}

/// An entry for numbers that have no fast system call.
pub const NOT_FAST: FastFn = slow;

static ALL_SLOW: FastTable = [NOT_FAST; FAST_COUNT];

/// What new threads get.
static TABLE: AtomicPtr<FastTable> = AtomicPtr::new((&raw const ALL_SLOW).cast_mut());

/// Sets the fast system calls of threads made from now on. Once, before the first thread.
pub fn install_fast_table(table: &'static FastTable) {
    TABLE.store(core::ptr::from_ref(table).cast_mut(), Ordering::Release);
}

/// The table that new threads get.
pub(super) fn installed() -> &'static FastTable {
    // SAFETY: only references to tables that live for ever are stored.
    unsafe { &*TABLE.load(Ordering::Acquire) }
}
