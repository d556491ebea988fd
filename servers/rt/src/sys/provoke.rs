//! What no program should do, for programs that test the kernel: wild memory accesses, privileged instructions, raw system
//! calls. Each is expected to end the process or to be refused. Nothing else calls these; the linker leaves them out then.

use core::arch::asm;

use super::gate;

/// Reads a byte anywhere.
pub fn read(address: u64) -> u8 {
    let byte;
    // SAFETY: the point is to be stopped by the processor; if not, a byte was read.
    unsafe { asm!("mov {}, byte ptr [{}]", out(reg_byte) byte, in(reg) address, options(nostack)) };
    byte
}

/// Writes a byte anywhere.
pub fn write(address: u64, byte: u8) {
    // SAFETY: the point is to be stopped by the processor; the caller gives up all hope for this process otherwise.
    unsafe { asm!("mov byte ptr [{}], {}", in(reg) address, in(reg_byte) byte, options(nostack)) };
}

/// Calls code anywhere.
pub fn execute(address: u64) {
    // SAFETY: as in `write`.
    unsafe { asm!("call {}", in(reg) address, clobber_abi("sysv64")) };
}

/// Uses all of the stack.
pub fn exhaust_stack() -> u64 {
    // SAFETY: the point is to be stopped at the guard page.
    unsafe { asm!("2: push 0", "jmp 2b", options(noreturn)) }
}

/// A return address in bytes of data, to be executed.
pub static RETURN: [u8; 1] = [0xc3];

/// The address of some code of this program.
#[must_use]
pub fn code_address() -> u64 {
    exhaust_stack as *const () as u64
}

macro_rules! instructions {
    ($($(#[doc = $doc:literal])+ $name:ident $text:literal: $asm:literal;)+) => {
        /// Instructions that ring 3 may not execute, or that raise an exception by themselves.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Instruction {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Instruction {
            /// All of them, by name.
            pub const ALL: &[(&str, Self)] = &[$(($text, Self::$name),)+];

            /// Executes it. Returns only if the processor let it through.
            pub fn execute(self) {
                match self {
                    $(Self::$name => {
                        // SAFETY: as in `write`.
                        unsafe { asm!($asm, out("rax") _, out("rcx") _, out("rdx") _) }
                    })+
                }
            }
        }
    };
}

instructions! {
    /// Interrupts off.
    Cli "cli": "cli";
    /// Interrupts on.
    Sti "sti": "sti";
    /// Halts the core.
    Hlt "hlt": "hlt";
    /// Reads a port.
    In "in": "mov edx, 0x3fd; in al, dx";
    /// Writes a port.
    Out "out": "mov edx, 0x80; xor eax, eax; out dx, al";
    /// Writes ports from memory.
    Outs "outs": "push rsi; mov rsi, rsp; mov edx, 0x80; outsb; pop rsi";
    /// Writes a model-specific register.
    Wrmsr "wrmsr": "mov ecx, 0xc0000102; xor eax, eax; xor edx, edx; wrmsr";
    /// Reads a model-specific register.
    Rdmsr "rdmsr": "mov ecx, 0xc0000082; rdmsr";
    /// Another page table.
    MovCr3 "mov-cr3": "xor eax, eax; mov cr3, rax";
    /// Reads CR0.
    ReadCr0 "read-cr0": "mov rax, cr0";
    /// Sets a debug register.
    MovDr7 "mov-dr7": "xor eax, eax; mov dr7, rax";
    /// Another descriptor table.
    Lgdt "lgdt": "sub rsp, 16; lgdt [rsp]; add rsp, 16";
    /// Another interrupt table.
    Lidt "lidt": "sub rsp, 16; lidt [rsp]; add rsp, 16";
    /// Another task.
    Ltr "ltr": "mov eax, 0x28; ltr ax";
    /// Clears the task-switched flag.
    Clts "clts": "clts";
    /// Forgets a translation.
    Invlpg "invlpg": "invlpg [rsp]";
    /// Empties the caches.
    Wbinvd "wbinvd": "wbinvd";
    /// The kernel's GS.
    Swapgs "swapgs": "swapgs";
    /// Returns from a system call that was none.
    Sysret "sysret": "sysretq";
    /// Extended state the kernel did not allow.
    Xsetbv "xsetbv": "xor ecx, ecx; xor edx, edx; mov eax, 7; xsetbv";
    /// A software interrupt at a device's gate.
    Int20 "int-0x20": "int 0x20";
    /// A software interrupt at the double fault's gate.
    Int8 "int-8": "int 8";
    /// A software interrupt at the gate of page faults.
    Int14 "int-14": "int 14";
    /// A software interrupt that other systems use for calls.
    Int80 "int-0x80": "int 0x80";
    /// Returns into ring 0.
    IretToRing0 "iret-ring0":
        "mov rax, rsp; push 0; push rax; pushfq; push 8; lea rax, [rip + 2f]; push rax; iretq; 2:";
    /// Returns far into ring 0.
    FarReturnToRing0 "far-return-ring0": "push 8; lea rax, [rip + 2f]; push rax; retfq; 2:";
    /// The kernel's data segment as stack.
    KernelStackSegment "kernel-ss": "mov eax, 0x10; mov ss, ax";
    /// A segment beyond the table.
    WildSegment "wild-segment": "mov eax, 0xfff8; mov ds, ax";
    /// No instruction.
    Ud2 "ud2": "ud2";
    /// A debugger's breakpoint.
    Int3 "int3": "int3";
    /// Division by zero.
    Divide "divide": "xor eax, eax; xor ecx, ecx; xor edx, edx; div ecx";
    /// An unmasked floating-point exception.
    FloatException "float-exception":
        "push 0x37b; fninit; fldcw [rsp]; fld1; fldz; fdivp; fwait; pop rax; fninit";
    /// The trap flag, and then an instruction.
    SingleStep "single-step": "pushfq; or qword ptr [rsp], 0x100; popfq; nop; nop";
    /// The trap flag, and then a system call.
    SingleStepCall "single-step-call":
        "push r11; pushfq; or qword ptr [rsp], 0x100; popfq; xor eax, eax; syscall; nop; pop r11";
    /// Interrupts off after asking for the right to.
    IoplCli "iopl-cli": "pushfq; or qword ptr [rsp], 0x3000; popfq; cli";
    /// A port after asking for the right to.
    IoplIn "iopl-in": "pushfq; or qword ptr [rsp], 0x3000; popfq; mov edx, 0x3fd; in al, dx";
    /// An interrupt return with the nested-task flag.
    NtIret "nt-iret": "pushfq; or qword ptr [rsp], 0x4000; popfq; iretq";
    /// A jump to the first address that is none.
    NonCanonicalJump "non-canonical-jump": "mov rax, 0x800000000000; jmp rax";
    /// A return to an address that is none.
    NonCanonicalReturn "non-canonical-return": "mov rax, 0x8000000000000000; push rax; ret";
    /// A stack at an address that is none, and a push.
    NonCanonicalStack "non-canonical-stack": "mov rsp, 0x800000000000; push rax";
}

/// Flags to be set while a system call is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flag {
    /// Direction: string instructions go downwards.
    Direction = 1 << 10,
    /// Nested task.
    NestedTask = 1 << 14,
    /// Alignment check.
    AlignmentCheck = 1 << 18,
    /// The privilege that I/O needs.
    IoPrivilege = 3 << 12,
    /// Resume.
    Resume = 1 << 16,
    /// What `cpuid` can be seen by.
    Identification = 1 << 21,
}

/// Makes the null system call with a flag set. Its result, and the flags after it.
#[must_use]
pub fn call_with_flag(flag: Flag) -> (u64, u64) {
    let (rax, flags);
    // SAFETY: the flags that Rust depends on (direction) are clear again afterwards.
    unsafe {
        asm!(
            "pushfq", "or qword ptr [rsp], r12", "popfq",
            "xor eax, eax",
            "syscall",
            "pushfq", "pop r12",
            "cld",
            "pushfq", "and qword ptr [rsp], {clear}", "popfq",
            inout("r12") flag as u64 => flags, clear = const !0x4_4000_i32,
            out("rax") rax, clobber_abi("sysv64"),
        );
    }
    (rax, flags)
}

/// Makes the null system call with a stack pointer that is none. Its result.
#[must_use]
pub fn call_without_stack(stack: u64) -> u64 {
    let rax;
    // SAFETY: the system call does not use the stack, which is back before anything else does.
    unsafe {
        asm!(
            "mov r12, rsp", "mov rsp, r13", "xor eax, eax", "syscall", "mov rsp, r12",
            in("r13") stack, out("r12") _, out("rax") rax, clobber_abi("sysv64"),
        );
    }
    rax
}

/// Whether all registers that a system call keeps are kept, and vector registers do not come back with the kernel's contents.
#[must_use]
pub fn registers_survive(number: u64) -> bool {
    let (wrong, vector): (u64, u64);
    // SAFETY: all registers touched are named or restored.
    unsafe {
        asm!(
            "push rbx", "push rbp",
            "mov rbx, 0x1111", "mov rbp, 0x2222", "mov r12, 0x3333", "mov r13, 0x4444", "mov r14, 0x5555", "mov r15, 0x6666",
            "mov r8, rsp",
            "mov [rsp - 64], r8",
            "xor edi, edi", "xor esi, esi", "xor edx, edx", "xor r10d, r10d", "xor r8d, r8d", "xor r9d, r9d",
            "syscall",
            "xor rbx, 0x1111", "xor rbp, 0x2222", "xor r12, 0x3333", "xor r13, 0x4444", "xor r14, 0x5555", "xor r15, 0x6666",
            "or rbx, rbp", "or r12, r13", "or r14, r15", "or rbx, r12", "or rbx, r14",
            "mov r8, [rsp - 64]", "xor r8, rsp", "or rbx, r8",
            "mov rax, rbx",
            "pop rbp", "pop rbx",
            "movaps xmm1, xmm0",
            "por xmm1, xmm5", "por xmm1, xmm10", "por xmm1, xmm15",
            "packsswb xmm1, xmm1", "movq rcx, xmm1",
            inout("rax") number => wrong, out("rcx") vector, out("rdx") _, out("rsi") _, out("rdi") _, out("r8") _, out("r9") _, out("r10") _,
            out("r11") _, out("r12") _, out("r13") _, out("r14") _, out("r15") _,
            out("xmm0") _, out("xmm1") _,
        );
    }
    wrong == 0 && vector == 0
}

/// Any system call with any arguments: `rax` and `rdx`.
#[must_use]
pub fn call(number: u64, arguments: [u64; 6]) -> (u64, u64) {
    // SAFETY: for programs that are made to be refused or killed. What is granted may take memory away under this process.
    unsafe { gate::call_raw(number, arguments) }
}

/// Any system call with a message: all registers before and after.
pub fn message(number: abi::Call, frame: &mut gate::Frame) {
    // SAFETY: as in `call`.
    *frame = unsafe { gate::message(number, *frame) };
}

/// Runs for ever, with interrupts as they are and no system call.
pub fn spin() -> ! {
    loop {
        core::hint::spin_loop();
    }
}
