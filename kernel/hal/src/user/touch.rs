//! Memory that is mapped for contained work in the user half: its pages come when they are touched.
//!
//! A page fault of such work is no failure yet. The handler has the work go on in `touch_page` below, on its own stack and in
//! task context, as if it had called that just before the instruction: there the arena's owner [brings the page](Arena::bring), which may take
//! locks and memory, and the instruction is tried again. If there is no such page the work is abandoned.

use core::arch::global_asm;

use x86_64::registers::control::Cr2;

use super::contain::{self, KernelSection, Reason};
use super::{USER_BASE, USER_END};
use crate::cpu::percpu;
use crate::cpu::trap::TrapFrame;

/// Bringing a page takes no more stack than this.
const STACK_BYTES: u64 = 16 << 10;
/// Bytes below the stack pointer that compiled code may use (System V ABI for x86-64, §3.2.2).
const RED_ZONE_BYTES: u64 = 128;

const PAGE_FAULT: u64 = 14;
/// Page-fault error bits (Intel SDM vol. 3A §5.7).
const WRITE: u64 = 1 << 1;
const RESERVED_BIT: u64 = 1 << 3;
const FETCH: u64 = 1 << 4;
/// RFLAGS.IF.
const INTERRUPTS: u64 = 1 << 9;

/// What the handler leaves on the work's stack, below the red zone.
#[repr(C)]
struct Touched {
    error: u64,
    address: u64,
    rip: u64,
}

// Begins with the stack pointer at a `Touched`. All registers and flags are the work's when it goes on.
global_asm!(
    r#"
.section .text.touch, "ax"
.global touch_page
.balign 16
touch_page:
    pushfq
    push rax
    push rcx
    push rdx
    push rsi
    push rdi
    push r8
    push r9
    push r10
    push r11
    push rbp
    mov rbp, rsp
    cld
    lea rdi, [rbp + 88]
    sub rsp, 256
    and rsp, -16
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
    call {touched}
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
    mov rsp, rbp
    pop rbp
    pop r11
    pop r10
    pop r9
    pop r8
    pop rdi
    pop rsi
    pop rdx
    pop rcx
    pop rax
    popfq
    lea rsp, [rsp + 16]
    ret {red_zone}
.text
"#,
    touched = sym touched,
    red_zone = const RED_ZONE_BYTES,
);

unsafe extern "sysv64" {
    /// Only jumped to.
    static touch_page: u8;
}

/// Makes the page fault that `frame` describes, taken in ring 0 where [`PerCpu::here`](percpu::PerCpu::here) was `here`, go on in `touch_page`:
/// `true`. `false` if it is none of contained work at an address of the user half.
pub(crate) fn redirect(frame: &mut TrapFrame, here: u32) -> bool {
    if frame.vector != PAGE_FAULT
        || frame.error & (FETCH | RESERVED_BIT) != 0
        || frame.rflags & INTERRUPTS == 0
    {
        return false;
    }
    let address = Cr2::read_raw();
    if !(USER_BASE..USER_END).contains(&address) {
        return false;
    }
    let core = percpu::this();
    let Some(room) = contain::room_of_arena_work(core, here, frame.rsp) else {
        return false;
    };
    let Some(at) = frame
        .rsp
        .checked_sub(RED_ZONE_BYTES + size_of::<Touched>() as u64)
        .filter(|_| room > STACK_BYTES)
    else {
        return false;
    };
    let touched = Touched {
        error: frame.error,
        address,
        rip: frame.rip,
    };
    // SAFETY: below the red zone of the work's stack, which has room there: nobody uses that memory while the work stands still. The
    // stack pointer is a multiple of 8, or the work's own calls had failed; unaligned, so that nothing hangs on that.
    unsafe { (at as *mut Touched).write_unaligned(touched) };
    frame.rsp = at;
    frame.rip = &raw const touch_page as u64;
    true
}

/// # Safety
/// For `touch_page`, with what [`redirect`] left.
unsafe extern "sysv64" fn touched(touched: *const Touched) {
    // SAFETY: `redirect` left it on this stack, above here.
    let Touched {
        error,
        address,
        rip,
    } = unsafe { touched.read_unaligned() };
    let brought = {
        let _section = KernelSection::new();
        contain::arena_lent().is_some_and(|arena| arena.bring(address, error & WRITE != 0))
    };
    if !brought {
        contain::abandon(Reason::Exception {
            vector: PAGE_FAULT as u8,
            error_code: error,
            address,
            rip,
        });
    }
}
