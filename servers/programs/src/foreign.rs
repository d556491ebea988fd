//! A program of a foreign system: static, with the system-call numbers and the calling convention of Linux on x86-64, and nothing
//! of Raede's. It is run by `foreign-driver`, or by Linux itself.
//!
//! Its first argument's first letter says what it does: none, all that should go well, for which it exits with 7, and with the number
//! of the first thing that went wrong otherwise; `w` a wild write; `s` nothing, for ever; `t` exceptions, one after the other; `g`
//! getpid for ever.
//!
//! All of it is assembly: the point is what becomes of each register, so none is left to a compiler.
#![no_std]
#![no_main]

use core::arch::global_asm;
use core::panic::PanicInfo;

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}

global_asm!(
    r#"
.equ WRITE, 1
.equ MMAP, 9
.equ GETPID, 39
.equ FORK, 57
.equ EXIT, 60
.equ WAIT4, 61
.equ EXIT_GROUP, 231

# A system call that Linux has not got, and its answer.
.equ NONE, 9999
.equ ENOSYS, -38

.equ VECTOR_BYTES, 512
.equ CALLS, 200
.equ SPINS, 20000000

# Gives up with a number unless the last comparison was equal.
.macro expect_equal number
    mov edi, \number
    jne fail
.endm

.macro say text
    lea rsi, [rip + \text]
    xor edx, edx
98: inc edx
    cmp byte ptr [rsi + rdx], 0
    jne 98b
    mov eax, WRITE
    mov edi, 1
    syscall
    cmp rax, rdx
    expect_equal 1
.endm

.text
.global _start
_start:
    cmp qword ptr [rsp], 2
    jb main
    mov rsi, [rsp + 16]
    mov al, [rsi]
    cmp al, 0x77
    je wild
    cmp al, 0x73
    je spin
    cmp al, 0x74
    je traps
    cmp al, 0x67
    je ask
main:
    say hello
    mov eax, NONE
    syscall
    cmp rax, ENOSYS
    expect_equal 2

    # All registers but rax, rcx and r11 survive a system call; those are as the instruction leaves them.
    mov rbx, 0x1111111111111111
    mov rbp, 0x2222222222222222
    mov rdi, 0x3333333333333333
    mov rsi, 0x4444444444444444
    mov rdx, 0x5555555555555555
    mov r8,  0x6666666666666666
    mov r9,  0x7777777777777777
    mov r10, 0x8888888888888888
    mov r12, 0x9999999999999999
    mov r13, 0xaaaaaaaaaaaaaaaa
    mov r14, 0xbbbbbbbbbbbbbbbb
    mov r15, 0xcccccccccccccccc
    mov eax, GETPID
    stc
    std
    syscall
behind:
    pushfq
    cld
    push rax
    cmp [rsp + 8], r11
    jne register_lost
    lea rax, [rip + behind]
    cmp rax, rcx
    jne register_lost
    mov rax, 0x1111111111111111
    cmp rax, rbx
    jne register_lost
    mov rax, 0x2222222222222222
    cmp rax, rbp
    jne register_lost
    mov rax, 0x3333333333333333
    cmp rax, rdi
    jne register_lost
    mov rax, 0x4444444444444444
    cmp rax, rsi
    jne register_lost
    mov rax, 0x5555555555555555
    cmp rax, rdx
    jne register_lost
    mov rax, 0x6666666666666666
    cmp rax, r8
    jne register_lost
    mov rax, 0x7777777777777777
    cmp rax, r9
    jne register_lost
    mov rax, 0x8888888888888888
    cmp rax, r10
    jne register_lost
    mov rax, 0x9999999999999999
    cmp rax, r12
    jne register_lost
    mov rax, 0xaaaaaaaaaaaaaaaa
    cmp rax, r13
    jne register_lost
    mov rax, 0xbbbbbbbbbbbbbbbb
    cmp rax, r14
    jne register_lost
    mov rax, 0xcccccccccccccccc
    cmp rax, r15
    jne register_lost
    # The flags at the call: carry and direction are set, interrupts are on, and the input-output privilege level is 0.
    mov rax, [rsp + 8]
    and eax, 0x3601
    cmp eax, 0x601
    jne register_lost
    pop rax
    add rsp, 8
    test rax, rax
    mov edi, 4
    jle fail

    # Two pages of zeroes, committed by being touched.
    xor edi, edi
    mov esi, 8192
    mov edx, 3
    mov r10d, 0x22
    mov r8, -1
    xor r9d, r9d
    mov eax, MMAP
    syscall
    test rax, rax
    mov edi, 5
    jle fail
    mov rbx, rax
    cmp qword ptr [rbx], 0
    expect_equal 6
    cmp qword ptr [rbx + 4096], 0
    expect_equal 6
    mov byte ptr [rbx], 1
    mov byte ptr [rbx + 4096], 1

    # Vector registers survive system calls, and being interrupted.
    call has_avx
    mov r13d, eax
    call load_vectors
    mov r12d, CALLS
2:  mov eax, GETPID
    syscall
    dec r12d
    jnz 2b
    call same_vectors
    expect_equal 7
    mov ecx, SPINS
2:  dec ecx
    jnz 2b
    call same_vectors
    expect_equal 8

    # A fork's memory is its own, and its registers are copies.
    lea r14, [rip + cell]
    mov dword ptr [r14], 1
    mov eax, FORK
    syscall
    test rax, rax
    mov edi, 9
    js fail
    jz child
    mov r15, rax
    sub rsp, 16
    mov rdi, r15
    mov rsi, rsp
    xor edx, edx
    xor r10d, r10d
    mov eax, WAIT4
    syscall
    cmp rax, r15
    expect_equal 10
    cmp dword ptr [rsp], 42 << 8
    expect_equal 11
    add rsp, 16
    cmp dword ptr [r14], 1
    expect_equal 12
    cmp byte ptr [rbx], 1
    expect_equal 12
    call same_vectors
    expect_equal 13
    say bye
    mov edi, 7
    jmp fail

child:
    cmp dword ptr [r14], 1
    expect_equal 20
    cmp byte ptr [rbx], 1
    expect_equal 20
    cmp byte ptr [rbx + 4096], 1
    expect_equal 20
    call same_vectors
    expect_equal 21
    mov dword ptr [r14], 2
    mov byte ptr [rbx], 2
    say forked
    cmp dword ptr [r14], 2
    expect_equal 22
    mov edi, 42
    mov eax, EXIT
    syscall
    ud2

register_lost:
    mov edi, 3
fail:
    mov eax, EXIT_GROUP
    syscall
    ud2

# 1 in eax if there is AVX and the system keeps its registers.
has_avx:
    push rbx
    mov eax, 1
    xor ecx, ecx
    cpuid
    pop rbx
    and ecx, 3 << 27
    cmp ecx, 3 << 27
    mov eax, 0
    jne 2f
    xor ecx, ecx
    xgetbv
    and eax, 6
    cmp eax, 6
    sete al
    movzx eax, al
2:  ret

load_vectors:
    lea r8, [rip + patterns]
    test r13d, r13d
    jz 2f
    .irp name, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    vmovups ymm\name, [r8 + 32 * \name]
    .endr
    ret
2:
    .irp name, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    movups xmm\name, [r8 + 16 * \name]
    .endr
    ret

# Equal if all vector registers are as `load_vectors` left them.
same_vectors:
    lea rdi, [rip + buffer]
    lea rsi, [rip + patterns]
    test r13d, r13d
    jz 2f
    .irp name, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    vmovups [rdi + 32 * \name], ymm\name
    .endr
    mov ecx, VECTOR_BYTES
    repe cmpsb
    ret
2:
    .irp name, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    movups [rdi + 16 * \name], xmm\name
    .endr
    mov ecx, VECTOR_BYTES / 2
    repe cmpsb
    ret

wild:
    mov eax, 0x10
    mov byte ptr [rax], 1
    ud2

spin:
    jmp spin

ask:
    mov eax, GETPID
    syscall
    jmp ask

traps:
    int3
    int 0x80
    ud2
    hlt
    sysenter
    xor ecx, ecx
    div ecx
    mov rax, 0x800000000000
    mov al, [rax]
    xor edi, edi
    mov eax, EXIT
    syscall
    ud2

.section .rodata
hello: .asciz "hello from a foreign program\n"
forked: .asciz "the copy is its own\n"
bye: .asciz "all of it held\n"

.balign 32
patterns:
    .set byte, 1
    .rept VECTOR_BYTES
    .byte byte & 0xff
    .set byte, byte * 5 + 3
    .endr

.data
.balign 4
cell: .long 0

.bss
.balign 32
buffer: .skip VECTOR_BYTES
.text
"#
);
