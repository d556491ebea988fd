//! A core's own stacks, guarded, and the step onto them.

use core::arch::asm;
use core::convert::Infallible;

use super::move_interrupt_stacks;
use super::tables::IstTops;
use crate::mem::paging::{self, MapError};
use crate::mem::stack::{GuardedStack, StackUse};

/// Pages of the one stack a core's executor polls on: 128 KiB, or 1 MiB in a debug build, which copies futures about.
const EXECUTOR_PAGES: u64 = if cfg!(debug_assertions) { 256 } else { 32 };
/// Pages of each interrupt stack: 16 KiB, room for a report with symbols (64 KiB in a debug build).
const INTERRUPT_PAGES: u64 = if cfg!(debug_assertions) { 16 } else { 4 };

/// The stacks of one core.
#[derive(Clone, Copy, Debug)]
pub struct CoreStacks {
    /// Top of the executor's stack.
    pub executor_top: u64,
    /// Tops of the interrupt stacks.
    pub interrupt_tops: IstTops,
}

impl CoreStacks {
    /// Maps guarded stacks for core `core`.
    pub fn new(core: u32) -> Result<Self, MapError> {
        let top = |pages, what| GuardedStack::new(pages, core, what).map(|stack| stack.top());
        Ok(Self {
            executor_top: top(EXECUTOR_PAGES, StackUse::Executor)?,
            interrupt_tops: IstTops([
                top(INTERRUPT_PAGES, StackUse::Interrupt)?,
                top(INTERRUPT_PAGES, StackUse::Exception)?,
                top(INTERRUPT_PAGES, StackUse::Nmi)?,
                top(INTERRUPT_PAGES, StackUse::DoubleFault)?,
                top(INTERRUPT_PAGES, StackUse::MachineCheck)?,
            ]),
        })
    }
}

/// Moves the boot core to guarded stacks, continues in `next` on the new one and empties the lower half of the
/// address space, which start-up ran on. Call it once, early, with interrupts off.
pub fn leave_boot_stack(next: extern "C" fn() -> !) -> Result<Infallible, MapError> {
    let stacks = CoreStacks::new(0)?;
    x86_64::instructions::interrupts::disable();
    // SAFETY: the stacks are new; `next` never returns, so nothing on the boot stack is needed again; all of
    // the kernel has run in the upper half since `boot::high_entry`.
    unsafe {
        move_interrupt_stacks(&stacks.interrupt_tops);
        paging::drop_lower_half();
        continue_on(stacks.executor_top, next)
    }
}

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
