//! The one way into the kernel from interrupts and exceptions.
//!
//! 256 sixteen-byte stubs push a uniform frame and join one path, which keeps general registers,
//! XMM0-15 and MXCSR (compiled code uses SSE freely; no AVX and no x87 exists in the kernel, so these
//! are all there is), marks the core as "in interrupt", and calls the handler. All gates are interrupt
//! gates on IST stacks, so nothing nests but NMI, #DF, #MC and exceptions inside top halves.
//!
//! A trap from ring 3 goes to `user_trap` ([`crate::user::entry`]) instead. Not so NMI, #DF and #MC, which are handled here
//! wherever they come from; those, and #DB in ring 0, may find ring 3's GS base still active (between an entry's first
//! instruction and its `swapgs`, or an exit's `swapgs` and its last): they look at the base, whose sign tells whose it is.

use core::arch::global_asm;
use core::sync::atomic::Ordering;

use super::percpu::{self, IN_INTERRUPT, PerCpu};

/// Registers at the moment of an interrupt or exception, as the stubs lay them out in memory.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
#[allow(missing_docs)] // register names
pub struct TrapFrame {
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub r11: u64,
    pub r10: u64,
    pub r9: u64,
    pub r8: u64,
    pub rbp: u64,
    pub rdi: u64,
    pub rsi: u64,
    pub rdx: u64,
    pub rcx: u64,
    pub rbx: u64,
    pub rax: u64,
    pub vector: u64,
    /// The CPU's error code, 0 where the vector has none.
    pub error: u64,
    pub rip: u64,
    pub cs: u64,
    pub rflags: u64,
    pub rsp: u64,
    pub ss: u64,
}

impl TrapFrame {
    /// Whether interrupts were enabled where it happened (RFLAGS.IF).
    pub fn interrupts_enabled(&self) -> bool {
        self.rflags & (1 << 9) != 0
    }
}

// Vectors with an error code: Intel SDM vol. 3A table 7-1; 21, 29 and 30 by AMD APM vol. 2 §8.2.
// At `trap_common` the stack is 16-byte aligned: the CPU aligns an IST stack before its five pushes,
// and 22 words follow in all. 0x1f80 is the MXCSR's reset value.
global_asm!(
    r#"
.section .text.trap_stubs, "ax"
.macro trap_push_registers
    push rax
    push rbx
    push rcx
    push rdx
    push rsi
    push rdi
    push rbp
    push r8
    push r9
    push r10
    push r11
    push r12
    push r13
    push r14
    push r15
.endm

.balign 16
.global trap_stubs
trap_stubs:
vector = 0
.rept 256
    .balign 16
    .if !(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21 || vector == 29 || vector == 30)
        push 0
    .endif
    .byte 0x68
    .long vector
    .if vector == 1 || vector == 2 || vector == 8 || vector == 18
        jmp trap_anywhere
    .else
        jmp trap_common
    .endif
    vector = vector + 1
.endr

.balign 16
trap_anywhere:
    cmp qword ptr [rsp], 1
    jne 2f
    test byte ptr [rsp + 24], 3
    jnz user_trap
2:
    trap_push_registers
    mov ecx, 0xc0000101
    rdmsr
    xor ebx, ebx
    test edx, edx
    js trap_handle
    swapgs
    inc ebx
    jmp trap_handle

.balign 16
trap_common:
    test byte ptr [rsp + 24], 3
    jnz user_trap
    trap_push_registers
    xor ebx, ebx
# EBX: whether to swap GS again at the end.
trap_handle:
    # Clears DF, NT and AC, which a gate leaves as they were (AC: SMAP's lifting by a user copy, or by ring 3).
    push 2
    popfq
    mov rdi, rsp
    xor ebp, ebp
    sub rsp, 272
    movaps [rsp], xmm0
    movaps [rsp + 16], xmm1
    movaps [rsp + 32], xmm2
    movaps [rsp + 48], xmm3
    movaps [rsp + 64], xmm4
    movaps [rsp + 80], xmm5
    movaps [rsp + 96], xmm6
    movaps [rsp + 112], xmm7
    movaps [rsp + 128], xmm8
    movaps [rsp + 144], xmm9
    movaps [rsp + 160], xmm10
    movaps [rsp + 176], xmm11
    movaps [rsp + 192], xmm12
    movaps [rsp + 208], xmm13
    movaps [rsp + 224], xmm14
    movaps [rsp + 240], xmm15
    stmxcsr [rsp + 256]
    mov dword ptr [rsp + 260], 0x1f80
    ldmxcsr [rsp + 260]
    call {entry}
    ldmxcsr [rsp + 256]
    movaps xmm0, [rsp]
    movaps xmm1, [rsp + 16]
    movaps xmm2, [rsp + 32]
    movaps xmm3, [rsp + 48]
    movaps xmm4, [rsp + 64]
    movaps xmm5, [rsp + 80]
    movaps xmm6, [rsp + 96]
    movaps xmm7, [rsp + 112]
    movaps xmm8, [rsp + 128]
    movaps xmm9, [rsp + 144]
    movaps xmm10, [rsp + 160]
    movaps xmm11, [rsp + 176]
    movaps xmm12, [rsp + 192]
    movaps xmm13, [rsp + 208]
    movaps xmm14, [rsp + 224]
    movaps xmm15, [rsp + 240]
    add rsp, 272
    test ebx, ebx
    jz 3f
    swapgs
3:
    pop r15
    pop r14
    pop r13
    pop r12
    pop r11
    pop r10
    pop r9
    pop r8
    pop rbp
    pop rdi
    pop rsi
    pop rdx
    pop rcx
    pop rbx
    pop rax
    add rsp, 16
    iretq
.text
"#,
    entry = sym trap_entry,
);

unsafe extern "C" {
    static trap_stubs: u8;
}

/// Address of vector `vector`'s stub.
pub(super) fn stub_address(vector: u8) -> u64 {
    // The stub table is only named, never read.
    &raw const trap_stubs as u64 + u64::from(vector) * 16
}

extern "C" fn trap_entry(frame: &mut TrapFrame) {
    let core = percpu::this();
    let vector = frame.vector as u8;
    let before = core.here.load(Ordering::Relaxed);
    core.here.store(before | IN_INTERRUPT, Ordering::Relaxed);
    count(core, vector);
    match vector {
        2 => crate::irq::nmi(frame),
        0..32 => super::exception::handle(frame, before),
        _ => {
            core.user.interrupted();
            crate::irq::dispatch(vector);
        }
    }
    core.here.store(before, Ordering::Relaxed);
}

/// Counts a trap at `vector`.
#[inline]
pub(crate) fn count(core: &PerCpu, vector: u8) {
    // Only this core writes its counters, so a plain load and store will do; an NMI in between may
    // only touch its own vector's.
    let count = &core.vector_counts[usize::from(vector)];
    count.store(
        count.load(Ordering::Relaxed).wrapping_add(1),
        Ordering::Relaxed,
    );
}
