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

extern "sysv64" fn slow(_: u64, _: u64, _: u64, _: u64, _: u64, _: u64) -> FastResult {
    FastResult::SLOW
}

static ALL_SLOW: [FastFn; FAST_COUNT] = [slow; FAST_COUNT];

/// The table the gate uses.
pub(super) static TABLE: AtomicPtr<FastFn> =
    AtomicPtr::new((&raw const ALL_SLOW).cast::<FastFn>().cast_mut());

/// Sets the functions of the fast system calls, by number, and returns those in use before. Once, before ring 3 is entered.
pub fn install_fast_table(table: &'static [FastFn; FAST_COUNT]) -> &'static [FastFn; FAST_COUNT] {
    let before = TABLE.swap(table.as_ptr().cast_mut(), Ordering::AcqRel);
    // SAFETY: only tables of this length and lifetime are ever stored.
    unsafe { &*before.cast_const().cast() }
}

/// An entry for numbers that have no fast system call.
pub const NOT_FAST: FastFn = slow;
