//! How a driven thread stopped, and its registers as others see and set them.

use abi::Error;
use abi::process::{ExitReason, ExitReport, Registers};
use hal::user::{self, UserContext};

use crate::process::crash;
use crate::process::thread::Thread;

/// Why a driven thread stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop {
    /// In a word.
    pub reason: ExitReason,
    pub(super) vector: u8,
    pub(super) error_code: u64,
    pub(super) address: u64,
    /// Why no page could be brought, after a page fault.
    pub refusal: Option<Error>,
}

impl Stop {
    pub(super) const fn plain(reason: ExitReason) -> Self {
        Self {
            reason,
            vector: 0,
            error_code: 0,
            address: 0,
            refusal: None,
        }
    }

    /// As its driver is told.
    pub fn report(&self, thread: &Thread, context: &UserContext) -> ExitReport {
        ExitReport {
            reason: self.reason as u32,
            vector: u32::from(self.vector),
            error_code: self.error_code,
            address: self.address,
            thread_id: thread.id(),
            registers: crash::registers(context),
        }
    }
}

/// Sets all registers, or none.
///
/// # Errors
/// [`Error::BadAddress`] if RIP or a base is not below [`USER_END`](user::USER_END).
pub fn set_registers(context: &mut UserContext, all: &Registers) -> Result<(), Error> {
    let is_address = |address: u64| address < user::USER_END;
    if !(is_address(all.rip) && is_address(all.fs_base) && is_address(all.gs_base)) {
        return Err(Error::BadAddress);
    }
    context.registers = user::Registers {
        rdx: all.rdx,
        r8: all.r8,
        r9: all.r9,
        r10: all.r10,
        r12: all.r12,
        r13: all.r13,
        r14: all.r14,
        r15: all.r15,
        rdi: all.rdi,
        rsi: all.rsi,
        rax: all.rax,
        rbx: all.rbx,
        rbp: all.rbp,
        rcx: all.rcx,
        r11: all.r11,
    };
    context.rsp = all.rsp;
    let refused = |_| Error::BadAddress;
    context.set_rip(all.rip).map_err(refused)?;
    // Each change of a base costs the next entry two writes of MSRs.
    if context.fs_base() != all.fs_base {
        context.set_fs_base(all.fs_base).map_err(refused)?;
    }
    if context.gs_base() != all.gs_base {
        context.set_gs_base(all.gs_base).map_err(refused)?;
    }
    context.set_rflags(all.rflags);
    context.return_as_after_syscall();
    Ok(())
}
