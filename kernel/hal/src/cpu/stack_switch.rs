//! Leaving one stack for another, for good.

use core::arch::asm;

/// Continues in `next` on the stack whose top is `top`; the present stack is abandoned.
///
/// # Safety
/// `top` is the 16-byte aligned top of a mapped stack nobody uses, and nothing on the present stack is needed again.
pub unsafe fn continue_on(top: u64, next: extern "C" fn() -> !) -> ! {
    // SAFETY: by the caller's word; a zero frame pointer ends backtraces here.
    unsafe {
        asm!(
            "mov rsp, {top}",
            "xor ebp, ebp",
            "call {next}",
            "ud2",
            top = in(reg) top,
            next = in(reg) next,
            options(noreturn),
        )
    }
}
