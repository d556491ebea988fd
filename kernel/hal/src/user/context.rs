//! What a thread is while it does not run: its registers, where its vector state is, and how its system calls are answered.

use super::extended::ExtendedArea;
use super::fast::FastTable;
use super::{NotUserAddress, USER_END};

/// RFLAGS bits that ring 3 may have any way it likes (Intel SDM vol. 1 §3.4.3): CF, PF, AF, ZF, SF, TF, DF, OF, NT, RF, AC, ID.
/// IF is always on, IOPL always 0, and the virtual-8086 bits are off.
const FREE_FLAGS: u64 = 0x0025_4dd5;
/// RF, which `sysretq` cannot set.
const RESUME_FLAG: u64 = 1 << 16;
/// Interrupts on, and the bit that is always one.
const FIXED_FLAGS: u64 = 1 << 9 | 1 << 1;

/// General registers, in the order the gate stores them: first the words of a short message.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)] // register names
pub struct Registers {
    pub rdx: u64,
    pub r8: u64,
    pub r9: u64,
    pub r10: u64,
    pub r12: u64,
    pub r13: u64,
    pub r14: u64,
    pub r15: u64,
    pub rdi: u64,
    pub rsi: u64,
    pub rax: u64,
    pub rbx: u64,
    pub rbp: u64,
    pub rcx: u64,
    pub r11: u64,
}

/// Words of a short message, in `rdx r8 r9 r10 r12 r13 r14 r15`.
pub type Words = [u64; 8];

/// How the thread goes back to ring 3, and where its vector state is: bits of [`UserContext::mode`].
pub(super) mod mode {
    /// The vector state is in the area, else it is the initial one.
    pub const AREA_LIVE: u32 = 1 << 0;
    /// All registers must come back as they are here: by `iretq`. Else the thread stands behind a `syscall`, which gives
    /// up RCX and R11, and goes back by `sysretq`.
    pub const EXACT: u32 = 1 << 1;
    /// System calls are somebody else's: none is fast, and all keep the vector state.
    pub const FOREIGN: u32 = 1 << 2;
}

/// A thread's state between its stays in ring 3: 192 bytes, and a lazily made area for vector state.
///
/// Layout (the gate's assembly knows it by `offset_of!`): [`Registers`] at 0, then RIP, RFLAGS, RSP, then what only this
/// module sees. Invariants, kept by the setters: RFLAGS has only harmless bits; the FS and GS bases are addresses of the user half.
#[repr(C)]
#[derive(Debug)]
pub struct UserContext {
    /// General registers but RSP. Any values are harmless.
    pub registers: Registers,
    pub(super) rip: u64,
    pub(super) rflags: u64,
    /// Stack pointer. Any value is harmless.
    pub rsp: u64,
    pub(super) mode: u32,
    /// System calls below this number are fast ones: 0 or [`super::FAST_COUNT`].
    pub(super) fast_limit: u32,
    pub(super) fs_base: u64,
    pub(super) gs_base: u64,
    /// Tells contexts apart for as long as the machine runs, unlike their addresses.
    pub(super) id: u64,
    pub(super) area: Option<ExtendedArea>,
    /// Its fast system calls.
    pub(super) fast_table: &'static FastTable,
}

impl UserContext {
    /// A thread about to execute its first instruction at `rip`, with the stack pointer `rsp`, all other registers zero
    /// and the vector state initial. Its fast system calls are those installed now ([`super::install_fast_table`]).
    ///
    /// # Errors
    /// If `rip` is not an address of the user half.
    pub fn new(rip: u64, rsp: u64) -> Result<Self, NotUserAddress> {
        let mut context = Self {
            registers: Registers::default(),
            rip: 0,
            rflags: FIXED_FLAGS,
            rsp,
            mode: mode::EXACT,
            fast_limit: super::FAST_COUNT as u32,
            fs_base: 0,
            gs_base: 0,
            id: super::entry::next_context_id(),
            area: None,
            fast_table: super::fast::installed(),
        };
        context.set_rip(rip)?;
        Ok(context)
    }

    /// Makes system calls leave [`super::enter`] whatever their number, with all registers and vector state kept (`true`),
    /// as a driver of a foreign system-call interface needs them; or native again.
    pub fn set_foreign(&mut self, foreign: bool) {
        if foreign {
            self.mode |= mode::FOREIGN;
            self.fast_limit = 0;
        } else {
            self.mode &= !mode::FOREIGN;
            self.fast_limit = super::FAST_COUNT as u32;
        }
    }

    /// Gives the thread other fast system calls than the installed ones.
    pub fn set_fast_table(&mut self, table: &'static FastTable) {
        self.fast_table = table;
    }

    /// The address of the next instruction.
    pub fn rip(&self) -> u64 {
        self.rip
    }

    /// Sets the address of the next instruction.
    ///
    /// # Errors
    /// If it is not below [`USER_END`]; nothing changes then.
    pub fn set_rip(&mut self, rip: u64) -> Result<(), NotUserAddress> {
        self.rip = user_address(rip)?;
        Ok(())
    }

    /// The flags.
    pub fn rflags(&self) -> u64 {
        self.rflags
    }

    /// Sets the arithmetic flags, DF, TF, NT, RF, AC and ID; other bits are ignored.
    pub fn set_rflags(&mut self, rflags: u64) {
        self.rflags = rflags & FREE_FLAGS | FIXED_FLAGS;
        self.mode |= mode::EXACT;
    }

    /// Makes the thread go back to ring 3 with RCX and R11 as they are in [`Self::registers`], which after a system call
    /// it otherwise need not.
    pub fn keep_all_registers(&mut self) {
        self.mode |= mode::EXACT;
    }

    /// Lets the thread go back to ring 3 the way of a system call, which is cheaper, if that restores all its registers: RCX and R11
    /// are what `syscall` leaves there, and RF is clear.
    pub fn return_as_after_syscall(&mut self) {
        let leaves_all = self.registers.rcx == self.rip
            && self.registers.r11 == self.rflags
            && self.rflags & RESUME_FLAG == 0;
        if leaves_all {
            self.mode &= !mode::EXACT;
        }
    }

    /// The base of FS.
    pub fn fs_base(&self) -> u64 {
        self.fs_base
    }

    /// Sets the base of FS.
    ///
    /// # Errors
    /// If it is not below [`USER_END`]; nothing changes then.
    pub fn set_fs_base(&mut self, base: u64) -> Result<(), NotUserAddress> {
        self.fs_base = user_address(base)?;
        self.id = super::entry::next_context_id();
        Ok(())
    }

    /// The base of GS.
    pub fn gs_base(&self) -> u64 {
        self.gs_base
    }

    /// Sets the base of GS.
    ///
    /// # Errors
    /// If it is not below [`USER_END`]; nothing changes then.
    pub fn set_gs_base(&mut self, base: u64) -> Result<(), NotUserAddress> {
        self.gs_base = user_address(base)?;
        self.id = super::entry::next_context_id();
        Ok(())
    }

    /// After [`super::Exit::Syscall`]: which call.
    #[inline]
    pub fn call_number(&self) -> u64 {
        self.registers.rax
    }

    /// After [`super::Exit::Syscall`]: its arguments, from `rdi rsi rdx r10 r8 r9`.
    #[inline]
    pub fn arguments(&self) -> [u64; 6] {
        let r = &self.registers;
        [r.rdi, r.rsi, r.rdx, r.r10, r.r8, r.r9]
    }

    /// Sets a system call's result.
    #[inline]
    pub fn set_result(&mut self, rax: u64) {
        self.registers.rax = rax;
    }

    /// Sets a system call's two results.
    #[inline]
    pub fn set_results(&mut self, rax: u64, rdx: u64) {
        self.registers.rax = rax;
        self.registers.rdx = rdx;
    }

    /// The short message in the registers.
    #[inline]
    pub fn words(&self) -> &Words {
        // SAFETY: `Registers` is `repr(C)` and begins with these eight words, as checked below.
        unsafe { &*(&raw const self.registers).cast() }
    }

    /// The short message in the registers, to be replaced.
    #[inline]
    pub fn words_mut(&mut self) -> &mut Words {
        // SAFETY: as in `words`; any values are valid.
        unsafe { &mut *(&raw mut self.registers).cast() }
    }
}

fn user_address(address: u64) -> Result<u64, NotUserAddress> {
    if address < USER_END {
        Ok(address)
    } else {
        Err(NotUserAddress { address })
    }
}

const _: () = {
    use core::mem::offset_of;
    assert!(offset_of!(Registers, rdx) == 0 && offset_of!(Registers, r8) == 8);
    assert!(offset_of!(Registers, r9) == 16 && offset_of!(Registers, r10) == 24);
    assert!(offset_of!(Registers, r12) == 32 && offset_of!(Registers, r13) == 40);
    assert!(offset_of!(Registers, r14) == 48 && offset_of!(Registers, r15) == 56);
    assert!(size_of::<UserContext>() == 192);
    assert!(offset_of!(UserContext, registers) == 0 && offset_of!(UserContext, rip) == 120);
};
