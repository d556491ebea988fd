//! Ring 3: entering it, coming back, and touching its memory.
//!
//! A newcomer's tour:
//! - [`UserContext`] is a thread while it does not run; [`enter`] runs it until it stops and says why ([`Exit`]). Nothing of a
//!   thread is ever left on the core's stack.
//! - [`entry`] is the gate itself, in assembly: `syscall`, traps from ring 3, and the ways back.
//! - [`fast`] has the system calls that are answered inside the gate ([`install_fast_table`]).
//! - [`extended`] is about vector and x87 state.
//! - [`copy`] moves bytes between kernel and user memory and survives faults.
//! - [`snippets`] is code for ring 3, for the test suite.
//! - [`at_once`]: calls that a resident server answers inside the gate.
//! - [`contain`] runs code of the kernel's own image whose failure must not be the kernel's; `touch` has pages come that it touches.
//!
//! # How a stay in ring 3 goes
//! With interrupts off ([`InterruptsOff`]) the caller opens its preemption window and makes sure that nothing more urgent
//! waits; then it calls [`enter`]. A wake after the look finds interrupts off, stays pending, and ends the stay at once: none is lost.
//! - `syscall` stores what it must in the context and either answers on the spot ([`fast`]) or returns from [`enter`].
//! - A trap from ring 3 comes in on an IST stack like any other, moves the registers from there to the context, and returns from
//!   [`enter`] on the core's own stack; interrupts are handled there, still with interrupts off. The exceptions are NMIs and
//!   machine checks, which stay on their own stacks and go straight back: NMIs are blocked until an `iretq`.
//!
//! # What must hold
//! - All gates use IST stacks, so TSS.RSP0 is never used and is left zero. The TSS has no I/O bitmap: ring 3 has no ports.
//! - While ring 3 runs, the kernel's GS base is in KERNEL_GS_BASE. Traps swap by the saved CPL; NMI, #DF, #MC, and #DB in
//!   ring 0, which may come in between, look at the active base's sign: user bases are addresses of the lower half (the
//!   setters see to it, and CR4.FSGSBASE is off), the kernel's is in the upper.
//! - Ring 0 runs with AC, DF, NT and TF clear, MXCSR 0x1f80, and whatever x87 and upper vector state ring 3 left: it uses neither.
//! - The kernel's half stays mapped while ring 3 runs, and there are no fences behind `swapgs`: on CPUs that leak through Meltdown or
//!   its relatives (IA32_ARCH_CAPABILITIES, Intel SDM vol. 4 table 2-2, tells which do not) ring 3 can read ring 0's memory. Only the fast table's index is masked.
//! - RFLAGS of ring 3: IF always on, IOPL always 0; NT, AC, TF, DF and ID are ring 3's own business; RF comes back only by `iretq`.

pub mod at_once;
pub mod contain;
mod context;
pub mod copy;
pub mod entry;
pub mod extended;
pub mod fast;
pub mod snippets;
pub(crate) mod touch;

use core::fmt;
use core::marker::PhantomData;

pub use crate::mem::user_tables::{USER_BASE, USER_END};
pub use at_once::{Answerer, AtOnce, Nobody};
pub use contain::{Abandoned, KernelSection, contain};
pub use context::{Registers, UserContext, Words};
pub use copy::{CopyFault, check, copy_in, copy_in_words, copy_out, read_u64, write_u64};
pub use entry::{CALL_NUMBER, enter};
pub use fast::{FAST_COUNT, FastFn, FastResult, FastTable, install_fast_table};

/// Why a stay in ring 3 ended. Interrupts are on again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The thread executed `syscall` and waits for its results ([`UserContext::set_results`]).
    Syscall,
    /// The thread caused an exception; it stands before the instruction at fault (behind it for traps: #BP, #OF, most #DB).
    Exception {
        /// Intel SDM vol. 3A table 7-1.
        vector: u8,
        /// The CPU's error code, 0 where the vector has none.
        error_code: u64,
        /// What a page fault was about; for a jump to a non-canonical address that address; else 0.
        address: u64,
    },
    /// An interrupt came and was handled. Whoever entered looks whether there is something more urgent now.
    Interrupt,
    /// The thread made a call that was answered in the gate. There may be something more urgent now.
    Answered,
    /// Who was answering the thread's call in the gate failed: [`contain::why_abandoned`] says how. The call has no answer.
    Abandoned,
    /// Not entered: there is no memory for a place where the thread's vector state could be saved.
    OutOfMemory,
}

/// An address is not one of ring 3's: not below [`USER_END`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotUserAddress {
    /// The address.
    pub address: u64,
}

impl fmt::Display for NotUserAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x} is not an address of a process", self.address)
    }
}

impl core::error::Error for NotUserAddress {}

/// Interrupts are off on this core until this is dropped or given to [`enter`]. One at a time, in task context.
#[derive(Debug)]
pub struct InterruptsOff(PhantomData<*const ()>);

impl InterruptsOff {
    /// Turns interrupts off. Take it *before* looking whether anything more urgent waits (and before opening the executor's
    /// preemption window): what comes after the look then stays pending and ends the stay in ring 3.
    #[inline]
    #[expect(clippy::new_without_default, reason = "it has an effect")]
    pub fn new() -> Self {
        x86_64::instructions::interrupts::disable();
        Self(PhantomData)
    }
}

impl Drop for InterruptsOff {
    #[inline]
    fn drop(&mut self) {
        x86_64::instructions::interrupts::enable();
    }
}
