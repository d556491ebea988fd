//! Code for ring 3, for the test suite (`selftest=user`): well-behaved, hostile and nosy pieces, position-independent, all in one blob that a
//! test maps where it likes.
//!
//! Conventions: RDI points to memory of the thread's own where the piece wants some; system call 100 means "so far so good", 101
//! "something I checked is wrong". What a piece is meant to end in is the test's business.

use core::arch::global_asm;

use super::context::UserContext;

macro_rules! snippets {
    ($($name:ident: $code:literal;)+) => {
        global_asm!(
            ".section .rodata.user_snippets, \"a\"",
            ".balign 64",
            ".global user_snippets_begin, user_snippets_end",
            "user_snippets_begin:",
            $(
                concat!(".global user_snippet_", stringify!($name)),
                concat!("user_snippet_", stringify!($name), ":"),
                $code,
                "ud2",
            )+
            "user_snippets_end:",
            ".text",
        );

        mod labels {
            unsafe extern "C" {
                $(
                    #[link_name = concat!("user_snippet_", stringify!($name))]
                    pub static $name: u8;
                )+
            }
        }

        /// Where the piece called `name` begins, in bytes from the beginning of [`code`].
        pub fn offset(name: &str) -> Option<u64> {
            let begin = &raw const user_snippets_begin as u64;
            [$((stringify!($name), &raw const labels::$name as u64),)+]
                .into_iter()
                .find(|&(known, _)| known == name)
                .map(|(_, address)| address - begin)
        }
    };
}

unsafe extern "C" {
    static user_snippets_begin: u8;
    static user_snippets_end: u8;
}

/// All pieces.
pub fn code() -> &'static [u8] {
    let begin = &raw const user_snippets_begin;
    let len = &raw const user_snippets_end as usize - begin as usize;
    // SAFETY: the two labels enclose constants of the image.
    unsafe { core::slice::from_raw_parts(begin, len) }
}

/// Gives `context` an instruction pointer that its setter refuses; [`super::enter`] must refuse it too.
pub fn misplace(context: &mut UserContext, rip: u64) {
    context.rip = rip;
}

/// Puts a secret into XMM0-15, as kernel code may.
pub fn dirty_vector_registers() {
    /// Not zero, and none of the tests' patterns.
    const SECRET: u64 = 0x5ec2_e75e_c2e7_5ec2;
    // SAFETY: all registers it changes are declared.
    unsafe {
        core::arch::asm!(
            "movq xmm0, {secret}",
            "movaps xmm1, xmm0", "movaps xmm2, xmm0", "movaps xmm3, xmm0", "movaps xmm4, xmm0",
            "movaps xmm5, xmm0", "movaps xmm6, xmm0", "movaps xmm7, xmm0", "movaps xmm8, xmm0",
            "movaps xmm9, xmm0", "movaps xmm10, xmm0", "movaps xmm11, xmm0", "movaps xmm12, xmm0",
            "movaps xmm13, xmm0", "movaps xmm14, xmm0", "movaps xmm15, xmm0",
            secret = in(reg) SECRET,
            out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _,
            out("xmm4") _, out("xmm5") _, out("xmm6") _, out("xmm7") _,
            out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
            out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _,
            options(nomem, nostack, preserves_flags),
        );
    }
}

/// RFLAGS and MXCSR of the caller.
pub fn flags_and_mxcsr() -> (u64, u32) {
    let flags: u64;
    let mut mxcsr = 0u32;
    // SAFETY: reads registers; the pushed word is popped at once.
    unsafe {
        core::arch::asm!(
            "pushfq",
            "pop {flags}",
            "stmxcsr [{mxcsr}]",
            flags = out(reg) flags,
            mxcsr = in(reg) &raw mut mxcsr,
        );
    }
    (flags, mxcsr)
}

snippets! {
    // Privileged, or meant for the kernel.
    cli: "cli";
    sti: "sti";
    hlt: "hlt";
    in_byte: "mov dx, 0x3f8\n in al, dx";
    out_byte: "mov dx, 0x3f8\n out dx, al";
    rdmsr: "mov ecx, 0xc0000101\n rdmsr";
    wrmsr: "mov ecx, 0xc0000082\n xor eax, eax\n xor edx, edx\n wrmsr";
    mov_from_cr0: "mov rax, cr0";
    mov_to_cr3: "xor eax, eax\n mov cr3, rax";
    mov_dr7: "xor eax, eax\n mov dr7, rax";
    lidt: "lidt [rsp - 16]";
    ltr: "xor eax, eax\n ltr ax";
    invlpg: "invlpg [rsp]";
    wbinvd: "wbinvd";
    swapgs: "swapgs";
    sysret: "xor ecx, ecx\n xor r11d, r11d\n sysretq";
    iret_to_ring_0: "push 0x10\n push rsp\n push 2\n push 8\n lea rax, [rip]\n push rax\n iretq";
    sgdt: "sgdt [rsp - 16]";
    load_kernel_ss: "mov eax, 0x10\n mov ss, eax";
    far_call_tss: "push 0x28\n push 0\n rex64 retf";
    xsetbv: "xor ecx, ecx\n xor eax, eax\n xor edx, edx\n xsetbv";
    rdpmc: "xor ecx, ecx\n rdpmc";
    wrfsbase: "xor eax, eax\n wrfsbase rax";
    wrgsbase: "mov rax, -1\n wrgsbase rax";
    stac: "stac";
    int_0x80: "int 0x80";
    int_timer: "int 0xf0";
    int_page_fault: "int 14";
    int_nmi: "int 2";
    int_double_fault: "int 8";
    // Exceptions of its own.
    int3: "int3";
    int_3: ".byte 0xcd, 3";
    int_4: "int 4";
    ud2: "ud2";
    divide: "xor ecx, ecx\n xor edx, edx\n mov eax, 1\n div ecx";
    x87_error: "fninit\n push 0x37b\n fldcw [rsp]\n fld1\n fldz\n fdivp\n fwait";
    jump_non_canonical: "mov rax, 1\n shl rax, 47\n jmp rax";
    return_non_canonical: "mov rax, 1\n shl rax, 63\n push rax\n ret";
    read_non_canonical: "mov rax, 1\n shl rax, 63\n mov rax, [rax]";
    push_non_canonical: "mov rsp, 1\n shl rsp, 63\n push rax";
    // At the address in RDI.
    read: "mov rax, [rdi]";
    write: "mov byte ptr [rdi], 1";
    jump: "jmp rdi";
    // Calls 100 with the flags left after asking for IOPL 3, no interrupts, NT, AC and DF in RBX; then lives with the latter.
    flags: "
        pushfq
        or dword ptr [rsp], 0x47400
        and dword ptr [rsp], 0xfffffdff
        popfq
        pushfq
        pop rbx
        mov eax, 100
        syscall
        push 0x7f80
        ldmxcsr [rsp]
        mov eax, 4
        syscall
        mov r12, rax
        mov r13, rdx
        pushfq
        pop r14
        mov eax, 100
        syscall
        ud2";
    // With NT set an `iretq` asks for a task switch, which long mode refuses.
    nested_iret: "pushfq\n or dword ptr [rsp], 0x4000\n popfq\n iretq";
    // Steps over the system call whose number is in RAX; RBX is the address of what follows.
    step: "
        lea rbx, [rip + 2f]
        pushfq
        or dword ptr [rsp], 0x100
        popfq
        syscall
        2: nop
        nop";
    // A slow call with all registers filled, then a check that it kept them.
    slow_call: "
        mov edi, 1
        mov esi, 2
        mov edx, 3
        mov r10d, 4
        mov r8d, 5
        mov r9d, 6
        mov r12d, 12
        mov r13d, 13
        mov r14d, 14
        mov r15d, 15
        mov ebx, 16
        mov ebp, 17
        mov eax, 77
        syscall
        cmp rax, 0x111
        jne 2f
        cmp rdx, 0x222
        jne 2f
        jmp 3f
        2: mov eax, 101
        syscall
        3: cmp rdi, 1
        jne 2b
        cmp rsi, 2
        jne 2b
        cmp r10, 4
        jne 2b
        cmp r8, 5
        jne 2b
        cmp r9, 6
        jne 2b
        cmp r12, 12
        jne 2b
        cmp r13, 13
        jne 2b
        cmp r14, 14
        jne 2b
        cmp r15, 15
        jne 2b
        cmp rbx, 16
        jne 2b
        cmp rbp, 17
        jne 2b
        mov eax, 100
        syscall";
    // Call 1 (a weighted sum of its arguments, and their number), RCX times; call 2 (fast, but answers that it is not) at the end.
    fast_calls: "
        mov r14, rcx
        mov r15, rsp
        4: mov edi, 1
        mov esi, 2
        mov edx, 3
        mov r10d, 4
        mov r8d, 5
        mov r9d, 6
        mov r12d, 12
        mov r13d, 13
        mov ebx, 16
        mov ebp, 17
        mov eax, 1
        syscall
        cmp rax, 654321
        jne 2f
        cmp rdx, 6
        jne 2f
        cmp rdi, 1
        jne 2f
        cmp rsi, 2
        jne 2f
        cmp r10, 4
        jne 2f
        cmp r8, 5
        jne 2f
        cmp r9, 6
        jne 2f
        cmp r12, 12
        jne 2f
        cmp r13, 13
        jne 2f
        cmp rbx, 16
        jne 2f
        cmp rbp, 17
        jne 2f
        cmp rsp, r15
        jne 2f
        dec r14
        jnz 4b
        mov eax, 2
        syscall
        mov eax, 100
        syscall
        2: mov eax, 101
        syscall";
    // Stores XMM0-15 to [RDI], then calls RSI, then stores them to [RDI + 256] and MXCSR to [RDI + 512].
    vectors_over_call: "
        pcmpeqd xmm0, xmm0
        movaps xmm1, xmm0
        movaps xmm15, xmm0
        mov rax, rsi
        syscall
        movups [rdi], xmm0
        movups [rdi + 16], xmm1
        movups [rdi + 32], xmm2
        movups [rdi + 48], xmm3
        movups [rdi + 64], xmm4
        movups [rdi + 80], xmm5
        movups [rdi + 96], xmm6
        movups [rdi + 112], xmm7
        movups [rdi + 128], xmm8
        movups [rdi + 144], xmm9
        movups [rdi + 160], xmm10
        movups [rdi + 176], xmm11
        movups [rdi + 192], xmm12
        movups [rdi + 208], xmm13
        movups [rdi + 224], xmm14
        movups [rdi + 240], xmm15
        stmxcsr [rdi + 512]
        mov eax, 100
        syscall";
    // The legacy region of its vector state as it finds it, to [RDI].
    look_at_state: "fxsave64 [rdi]\n mov eax, 100\n syscall";
    // Fills vector and x87 registers from memory, waits until told, and stores what is in them then. At RDI: 0 vectors in,
    // 512 vectors out (32 bytes each), 1024 flag, 1032 MXCSR in, 1036 out, 1040 FCW in, 1042 out, 1056 x87 in, 1152 out (10 bytes
    // each). RSI: whether there is AVX.
    keep_state: "
        fninit
        fldcw [rdi + 1040]
        fld tbyte ptr [rdi + 1126]
        fld tbyte ptr [rdi + 1116]
        fld tbyte ptr [rdi + 1106]
        fld tbyte ptr [rdi + 1096]
        fld tbyte ptr [rdi + 1086]
        fld tbyte ptr [rdi + 1076]
        fld tbyte ptr [rdi + 1066]
        fld tbyte ptr [rdi + 1056]
        ldmxcsr [rdi + 1032]
        test esi, esi
        jnz 2f
        movups xmm0, [rdi]
        movups xmm1, [rdi + 32]
        movups xmm7, [rdi + 224]
        movups xmm8, [rdi + 256]
        movups xmm15, [rdi + 480]
        jmp 3f
        2:
        vmovups ymm0, [rdi]
        vmovups ymm1, [rdi + 32]
        vmovups ymm7, [rdi + 224]
        vmovups ymm8, [rdi + 256]
        vmovups ymm15, [rdi + 480]
        3:
        pause
        cmp dword ptr [rdi + 1024], 0
        je 3b
        test esi, esi
        jnz 4f
        movups [rdi + 512], xmm0
        movups [rdi + 544], xmm1
        movups [rdi + 736], xmm7
        movups [rdi + 768], xmm8
        movups [rdi + 992], xmm15
        jmp 5f
        4:
        vmovups [rdi + 512], ymm0
        vmovups [rdi + 544], ymm1
        vmovups [rdi + 736], ymm7
        vmovups [rdi + 768], ymm8
        vmovups [rdi + 992], ymm15
        5:
        stmxcsr [rdi + 1036]
        fnstcw [rdi + 1042]
        fstp tbyte ptr [rdi + 1152]
        fstp tbyte ptr [rdi + 1162]
        fstp tbyte ptr [rdi + 1172]
        fstp tbyte ptr [rdi + 1182]
        fstp tbyte ptr [rdi + 1192]
        fstp tbyte ptr [rdi + 1202]
        fstp tbyte ptr [rdi + 1212]
        fstp tbyte ptr [rdi + 1222]
        mov eax, 100
        syscall";
    // Reads its words at FS and GS, again after each call.
    read_bases: "
        2: mov rbx, fs:[0]
        mov rbp, gs:[0]
        mov eax, 100
        syscall
        jmp 2b";
    // Makes its FS and GS bases zero behind the kernel's back, by selectors: null ones, then ring 3's data segment.
    clear_bases: "
        xor eax, eax
        mov fs, eax
        mov gs, eax
        mov eax, 100
        syscall
        mov eax, 0x1b
        mov fs, eax
        mov gs, eax
        mov ds, eax
        mov es, eax
        mov eax, 100
        syscall";
    // Its selectors: RBX is all of them or-ed together.
    look_at_selectors: "
        mov ebx, ds
        mov eax, es
        or ebx, eax
        mov eax, fs
        or ebx, eax
        mov eax, gs
        or ebx, eax
        mov eax, 100
        syscall";
    // Holds the core until something comes.
    spin: "2: jmp 2b";
    // Call 0, R14 times.
    call_loop: "
        2: xor eax, eax
        syscall
        dec r14
        jnz 2b
        mov eax, 100
        syscall";
    // A breakpoint after the other.
    trap_loop: "2: int3\n jmp 2b";
    // Fast and slow calls for ever, each checked.
    storm: "
        xor r14d, r14d
        mov r15, rsp
        4: mov edi, 1
        mov esi, 2
        mov edx, 3
        mov r10d, 4
        mov r8d, 5
        mov r9d, 6
        mov eax, 1
        syscall
        cmp rax, 654321
        jne 2f
        cmp rsp, r15
        jne 2f
        inc r14
        test r14d, 0xff
        jnz 4b
        mov eax, 100
        syscall
        cmp rsp, r15
        je 4b
        2: mov eax, 101
        syscall";
}
