//! Faults on purpose, for the test suite (`selftest=` on the kernel command line). Each must end in its handler's
//! report; returning means that a protection is missing.

use core::arch::asm;
use core::hint::black_box;

use x86_64::instructions::interrupts;

/// A fault to provoke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Write to the kernel's code.
    WriteText,
    /// Execute bytes in the kernel's data.
    ExecuteData,
    /// Read an address where nothing is mapped.
    PageFault,
    /// Use a non-canonical address.
    GeneralProtection,
    /// Fault with no way to handle the fault.
    DoubleFault,
    /// Recurse until the stack ends.
    StackOverflow,
}

impl Fault {
    /// The fault that the test suite calls `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "write_text" => Self::WriteText,
            "exec_data" => Self::ExecuteData,
            "page_fault" => Self::PageFault,
            "general_protection" => Self::GeneralProtection,
            "double_fault" => Self::DoubleFault,
            "stack_overflow" => Self::StackOverflow,
            _ => return None,
        })
    }
}

/// A `ret`, in data.
static DATA_CODE: [u8; 1] = [0xc3];
/// In the unmapped half of the address space, beyond any program.
const NOWHERE: u64 = 0x7fff_dead_0000;
const NON_CANONICAL: u64 = 0x8000_0000_0000_0000;

/// Provokes `fault`. Returns only if nothing stopped it.
#[inline(never)]
pub fn provoke(fault: Fault) {
    // SAFETY: none is owed: each of these is meant to fault before it changes anything. Should it not, the caller
    // reports a missing protection and the machine is not used further.
    unsafe {
        match fault {
            Fault::WriteText => {
                let code = provoke as *mut u8;
                code.write_volatile(code.read_volatile());
            }
            Fault::ExecuteData => {
                let code: extern "C" fn() = core::mem::transmute(black_box(DATA_CODE.as_ptr()));
                code();
            }
            Fault::PageFault => {
                black_box((NOWHERE as *const u64).read_volatile());
            }
            Fault::GeneralProtection => {
                black_box((NON_CANONICAL as *const u64).read_volatile());
            }
            Fault::DoubleFault => {
                interrupts::disable();
                // With an empty interrupt table the first fault cannot be delivered; but neither can #DF: so the
                // stack of #PF's gate is made unusable instead, which leaves #DF its own.
                crate::cpu::break_exception_stack();
                black_box((NOWHERE as *const u64).read_volatile());
            }
            Fault::StackOverflow => {
                black_box(recurse(0));
            }
        }
    }
}

#[inline(never)]
fn recurse(depth: u64) -> u64 {
    let frame = black_box([depth; 64]);
    if black_box(depth) == u64::MAX {
        return 0;
    }
    recurse(depth + 1) + frame[black_box(7)]
}

/// Keeps this core busy with interrupts off for `ticks` of the time stamp counter: what the NMI watchdog is for.
#[inline(never)]
pub fn hog_with_interrupts_off(ticks: u64) {
    interrupts::without_interrupts(|| {
        let start = crate::time::now_ticks();
        while crate::time::now_ticks().wrapping_sub(start) < ticks {
            // SAFETY: a pause.
            unsafe { asm!("pause", options(nomem, nostack, preserves_flags)) };
        }
    });
}
