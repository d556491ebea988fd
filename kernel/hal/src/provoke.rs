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
    /// Write to a constant that holds an address, which relocation had to write.
    WriteConstant,
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
            "write_constant" => Self::WriteConstant,
            "exec_data" => Self::ExecuteData,
            "page_fault" => Self::PageFault,
            "general_protection" => Self::GeneralProtection,
            "double_fault" => Self::DoubleFault,
            "stack_overflow" => Self::StackOverflow,
            _ => return None,
        })
    }
}

/// A constant with an address in it.
static RELOCATED: &[u8; 1] = &DATA_CODE;
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
            Fault::WriteConstant => {
                let place = black_box((&raw const RELOCATED).cast_mut());
                place.write_volatile(place.read_volatile());
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

/// Sixteen different patterns, one for each XMM register.
#[repr(C, align(16))]
struct Registers([[u64; 2]; 16]);

/// Whether XMM0-15 and MXCSR survive a trap whose handler overwrites them all (a breakpoint's does, on purpose).
#[inline(never)]
pub fn xmm_survives_a_trap() -> bool {
    /// Round towards zero, all exceptions masked: not the reset value.
    const MXCSR: u32 = 0x7f80;
    let before = Registers(core::array::from_fn(|index| {
        let word = 0x0101_0101_0101_0101 * (index as u64 + 1);
        [word, !word]
    }));
    let mut after = Registers([[0; 2]; 16]);
    let mut mxcsr = [0u32, MXCSR, 0];
    // SAFETY: all registers it changes are declared; the buffers have room for sixteen registers each; the control
    // word is put back.
    unsafe {
        asm!(
            "stmxcsr [{control}]",
            "ldmxcsr [{control} + 4]",
            "movaps xmm0, [{before}]",
            "movaps xmm1, [{before} + 16]",
            "movaps xmm2, [{before} + 32]",
            "movaps xmm3, [{before} + 48]",
            "movaps xmm4, [{before} + 64]",
            "movaps xmm5, [{before} + 80]",
            "movaps xmm6, [{before} + 96]",
            "movaps xmm7, [{before} + 112]",
            "movaps xmm8, [{before} + 128]",
            "movaps xmm9, [{before} + 144]",
            "movaps xmm10, [{before} + 160]",
            "movaps xmm11, [{before} + 176]",
            "movaps xmm12, [{before} + 192]",
            "movaps xmm13, [{before} + 208]",
            "movaps xmm14, [{before} + 224]",
            "movaps xmm15, [{before} + 240]",
            "int3",
            "movaps [{after}], xmm0",
            "movaps [{after} + 16], xmm1",
            "movaps [{after} + 32], xmm2",
            "movaps [{after} + 48], xmm3",
            "movaps [{after} + 64], xmm4",
            "movaps [{after} + 80], xmm5",
            "movaps [{after} + 96], xmm6",
            "movaps [{after} + 112], xmm7",
            "movaps [{after} + 128], xmm8",
            "movaps [{after} + 144], xmm9",
            "movaps [{after} + 160], xmm10",
            "movaps [{after} + 176], xmm11",
            "movaps [{after} + 192], xmm12",
            "movaps [{after} + 208], xmm13",
            "movaps [{after} + 224], xmm14",
            "movaps [{after} + 240], xmm15",
            "stmxcsr [{control} + 8]",
            "ldmxcsr [{control}]",
            before = in(reg) &raw const before,
            after = in(reg) &raw mut after,
            control = in(reg) mxcsr.as_mut_ptr(),
            out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _,
            out("xmm4") _, out("xmm5") _, out("xmm6") _, out("xmm7") _,
            out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
            out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _,
        );
    }
    before.0 == after.0 && mxcsr[2] == MXCSR
}

/// Overwrites XMM0-15 and MXCSR: what a breakpoint's handler does, so that [`xmm_survives_a_trap`] can tell.
pub(crate) fn overwrite_xmm() {
    let zero_rounding = 0x1f80u32;
    // SAFETY: all registers it changes are declared; the trap path loads this very control word for handlers.
    unsafe {
        asm!(
            "pxor xmm0, xmm0", "pxor xmm1, xmm1", "pxor xmm2, xmm2", "pxor xmm3, xmm3",
            "pxor xmm4, xmm4", "pxor xmm5, xmm5", "pxor xmm6, xmm6", "pxor xmm7, xmm7",
            "pxor xmm8, xmm8", "pxor xmm9, xmm9", "pxor xmm10, xmm10", "pxor xmm11, xmm11",
            "pxor xmm12, xmm12", "pxor xmm13, xmm13", "pxor xmm14, xmm14", "pxor xmm15, xmm15",
            "ldmxcsr [{control}]",
            control = in(reg) &raw const zero_rounding,
            out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _,
            out("xmm4") _, out("xmm5") _, out("xmm6") _, out("xmm7") _,
            out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
            out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _,
        );
    }
}

/// What a touch came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Touched {
    /// The word that was read.
    pub word: u64,
    /// The registers, the flags and the red zone were behind it as before it.
    pub all_kept: bool,
}

/// Reads the word at an address of the user half, where nothing of the kernel's lies, in the middle of as much state as a page fault could disturb.
/// `None` for another address.
#[inline(never)]
pub fn touch(address: u64) -> Option<Touched> {
    const CARRY_AND_DIRECTION: u64 = 1 << 0 | 1 << 10;
    if !(crate::user::USER_BASE..crate::user::USER_END).contains(&address) {
        return None;
    }
    let marks: [u64; 6] = [0x11, 0x22, 0x33, 0x44, 0x55, 0x66].map(|mark| mark << 40 | mark);
    let [mut c, mut d, mut si, mut r8, mut r9, mut xmm15] = marks;
    let (word, flags, xmm0, red_zone): (u64, u64, u64, u64);
    // SAFETY: reads memory that no Rust value lies in, or faults. All registers it changes are declared, the direction flag is clear again, and
    // the word below the stack pointer is nobody's: assembly that uses the stack has no red zone to keep.
    unsafe {
        asm!(
            "movq xmm0, rcx",
            "movq xmm15, r10",
            // As prebuilt code may use it; code of ours must not, so the check of the kernel's file is told by the detour that this is meant.
            "lea r12, [rsp - 64]",
            "mov [r12], r8",
            "std",
            "stc",
            "mov rax, [rdi]",
            "pushfq",
            "pop r11",
            "cld",
            "mov r12, [r12]",
            "movq rdi, xmm0",
            "movq r10, xmm15",
            out("rax") word,
            out("r11") flags,
            out("r12") red_zone,
            inlateout("rdi") address => xmm0,
            inlateout("rcx") c,
            inlateout("rdx") d,
            inlateout("rsi") si,
            inlateout("r8") r8,
            inlateout("r9") r9,
            inlateout("r10") xmm15,
            out("xmm0") _,
            out("xmm15") _,
        );
    }
    let kept = [c, d, si, r8, r9, xmm15] == marks && xmm0 == c && red_zone == r8;
    Some(Touched {
        word,
        all_kept: kept && flags & CARRY_AND_DIRECTION == CARRY_AND_DIRECTION,
    })
}
