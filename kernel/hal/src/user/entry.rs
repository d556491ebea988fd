//! The gate between ring 0 and ring 3.
//!
//! Ways in: `user_syscall` (LSTAR), and `user_trap`, to which the trap stubs jump when the saved CPL is 3. Ways out: `sysretq`
//! for a thread that stands behind a system call, `iretq` for all others. Between [`enter`] and the way in, the core's stack
//! holds one frame, `user_enter`'s, and gs:[kernel_rsp] points to it.
//!
//! # Cost of a fast system call
//! In ring 0: 21 instructions in, `call` included, the function itself, and 29 out, `sysretq` included; the kernel's tests count them
//! (`qemu.user.cost`).
//!
//! # Calls answered in the gate
//! A native `call` may be answered by a resident server right here, without unwinding to [`enter`]'s caller: see
//! [`super::at_once`]. The way back to ring 3 is then that of a fast system call, with all words of the message.
//!
//! # `sysretq`
//! It faults in ring 0 if RCX is not canonical (Intel SDM vol. 2B, SYSRET), after the stack pointer is ring 3's. So only addresses
//! below 2^47 leave that way; [`super::USER_END`] keeps `syscall` from standing where the next address would not be.
//! `iretq` cannot fault: the selectors are constants, RFLAGS is filtered, RIP is canonical ([`enter`] checks).

use core::arch::{asm, global_asm};
use core::cell::{Cell, UnsafeCell};
use core::mem::offset_of;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use x86_64::VirtAddr;
use x86_64::registers::control::Cr2;
use x86_64::registers::model_specific::{FsBase, KernelGsBase, LStar, Msr};

use super::at_once::{self, AtOnce};
use super::contain::{self, ABANDONED, ContainCore};
use super::context::{Registers, UserContext, mode};
use super::extended::{self, CHOICES, ExtendedArea, GateChoices, INITIAL, INITIAL_MXCSR};
use super::fast::{FAST_COUNT, SLOW_MARK};
use super::{Exit, InterruptsOff, copy};
use crate::cpu::percpu::{self, IN_INTERRUPT, PerCpu};
use crate::cpu::tables::{KERNEL_CODE, KERNEL_DATA, USER_CODE, USER_DATA};
use crate::cpu::trap;
use crate::time::{self, timer};

/// MXCSR in ring 0.
pub(super) static KERNEL_MXCSR: AtomicU32 = AtomicU32::new(INITIAL_MXCSR);

/// What a core keeps for ring 3. Written by the core itself.
#[repr(C)]
pub(crate) struct UserCore {
    /// The thread in ring 3, or the last one that was.
    context: Cell<*mut UserContext>,
    /// Stack pointer of `user_enter`'s frame.
    kernel_rsp: Cell<u64>,
    /// Ring 3's stack pointer during a system call.
    user_rsp: Cell<u64>,
    /// Where a trap from ring 3 saves vector state.
    area: Cell<*mut u8>,
    /// How often ring 3 was entered; a fast system call does not count.
    entries: AtomicU64,
    /// [`UserContext::id`] of the thread whose FS and GS bases are loaded; 0: nobody's.
    last_id: Cell<u64>,
    /// The bases last loaded. A thread can only have made them 0 since, by loading a selector.
    fs_base: Cell<u64>,
    gs_base: Cell<u64>,
    /// For the next thread without an area that is interrupted.
    spare: UnsafeCell<Option<ExtendedArea>>,
    /// The first argument of calls that may be answered in the gate; 0: none is.
    at_once_first: Cell<u64>,
    /// Who may: a function, and what it is called with.
    at_once: Cell<*const ()>,
    at_once_data: Cell<*mut ()>,
    pub(super) contain: ContainCore,
}

impl UserCore {
    pub(crate) const fn new() -> Self {
        Self {
            context: Cell::new(core::ptr::null_mut()),
            kernel_rsp: Cell::new(0),
            user_rsp: Cell::new(0),
            area: Cell::new(core::ptr::null_mut()),
            entries: AtomicU64::new(0),
            last_id: Cell::new(0),
            fs_base: Cell::new(0),
            gs_base: Cell::new(0),
            spare: UnsafeCell::new(None),
            at_once_first: Cell::new(0),
            at_once: Cell::new(core::ptr::null()),
            at_once_data: Cell::new(core::ptr::null_mut()),
            contain: ContainCore::new(),
        }
    }

    /// An interrupt was taken in ring 0.
    #[inline]
    pub(crate) fn interrupted(&self) {
        self.contain.disturb();
    }

    /// Stack pointer of `user_enter`'s frame, while a thread is in ring 3.
    pub(super) fn frame(&self) -> u64 {
        self.kernel_rsp.get()
    }

    /// How often this core has entered ring 3. Any core may ask.
    pub(crate) fn entries(&self) -> u64 {
        self.entries.load(Ordering::Relaxed)
    }
}

/// How often core `core` has entered ring 3 by [`enter`].
pub fn entries(core: u32) -> u64 {
    percpu::get(core).map_or(0, |block| block.user.entries())
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// A number that no context had before.
pub(super) fn next_context_id() -> u64 {
    NEXT_ID.fetch_add(1, Ordering::Relaxed)
}

/// What `user_enter` came back with.
#[repr(C)]
struct GateExit {
    /// The vector of a trap, or [`BY_SYSCALL`].
    what: u64,
    /// A trap's error code.
    error: u64,
}

/// Not a vector.
const BY_SYSCALL: u64 = 256;
/// By a call that was answered in the gate.
const ANSWERED: u64 = 257;
const _: () = assert!(ABANDONED > ANSWERED);

/// The number of the system call that may be answered in the gate.
pub const CALL_NUMBER: u64 = 66;

// General registers are saved and restored by name at `offset_of!` places. Alignment: `user_enter`'s frame leaves RSP 16-byte
// aligned, so that the fast functions are called as the ABI wants. RBP stays ring 3's in fast functions: backtraces stop at it.
global_asm!(
    r#"
.section .text.user_gate, "ax"

# Saves vector state to [rdi] and loads the kernel's MXCSR. Changes rax, rdx.
.macro user_save_extended
    mov eax, -1
    mov edx, -1
    cmp byte ptr [rip + {choices} + {method}], 1
    jb 95f
    je 96f
    xsaveopt64 [rdi]
    jmp 97f
95: fxsave64 [rdi]
    jmp 97f
96: xsave64 [rdi]
97: ldmxcsr [rip + {kernel_mxcsr}]
.endm

.macro user_clear_xmm
    xorps xmm0, xmm0
    xorps xmm1, xmm1
    xorps xmm2, xmm2
    xorps xmm3, xmm3
    xorps xmm4, xmm4
    xorps xmm5, xmm5
    xorps xmm6, xmm6
    xorps xmm7, xmm7
    xorps xmm8, xmm8
    xorps xmm9, xmm9
    xorps xmm10, xmm10
    xorps xmm11, xmm11
    xorps xmm12, xmm12
    xorps xmm13, xmm13
    xorps xmm14, xmm14
    xorps xmm15, xmm15
.endm

# user_enter(context, vector state to load)
.balign 16
.global user_enter
user_enter:
    push rbp
    mov rbp, rsp
    push rbx
    push r12
    push r13
    push r14
    push r15
    sub rsp, 8
    mov gs:[{kernel_rsp}], rsp
    mov gs:[{context}], rdi
    inc qword ptr gs:[{entries}]
    cmp byte ptr [rip + {choices} + {x87_leaks}], 0
    je 2f
    fninit
2:
    cmp byte ptr [rip + {choices} + {method}], 0
    je 3f
    mov eax, -1
    mov edx, -1
    xrstor64 [rsi]
    jmp 4f
3:
    fxrstor64 [rsi]
4:
    test dword ptr [rdi + {mode}], {exact}
    jnz 5f
    mov rcx, [rdi + {rip}]
    mov rax, rcx
    shr rax, 47
    jnz 5f
    mov rsp, rdi
    mov r11, [rsp + {rflags}]
    mov rdx, [rsp + {rdx}]
    mov r8, [rsp + {r8}]
    mov r9, [rsp + {r9}]
    mov r10, [rsp + {r10}]
    mov r12, [rsp + {r12}]
    mov r13, [rsp + {r13}]
    mov r14, [rsp + {r14}]
    mov r15, [rsp + {r15}]
    mov rdi, [rsp + {rdi}]
    mov rsi, [rsp + {rsi}]
    mov rax, [rsp + {rax}]
    mov rbx, [rsp + {rbx}]
    mov rbp, [rsp + {rbp}]
    mov rsp, [rsp + {rsp}]
    swapgs
    sysretq
5:
    push {user_data}
    push qword ptr [rdi + {rsp}]
    push qword ptr [rdi + {rflags}]
    push {user_code}
    push qword ptr [rdi + {rip}]
    mov rdx, [rdi + {rdx}]
    mov r8, [rdi + {r8}]
    mov r9, [rdi + {r9}]
    mov r10, [rdi + {r10}]
    mov r11, [rdi + {r11}]
    mov r12, [rdi + {r12}]
    mov r13, [rdi + {r13}]
    mov r14, [rdi + {r14}]
    mov r15, [rdi + {r15}]
    mov rsi, [rdi + {rsi}]
    mov rax, [rdi + {rax}]
    mov rbx, [rdi + {rbx}]
    mov rbp, [rdi + {rbp}]
    mov rcx, [rdi + {rcx}]
    mov rdi, [rdi + {rdi}]
    swapgs
    iretq

# From a `syscall` of ring 3: rip in rcx, rflags in r11, interrupts off. RSP serves as the pointer to the context: all gates
# have stacks of their own, so nothing needs a stack here.
.balign 16
.global user_syscall
user_syscall:
    swapgs
    mov gs:[{user_rsp}], rsp
    mov rsp, gs:[{context}]
    mov [rsp + {rip}], rcx
    mov [rsp + {rflags}], r11
    mov [rsp + {rax}], rax
    mov [rsp + {rdi}], rdi
    mov [rsp + {rsi}], rsi
    mov [rsp + {rdx}], rdx
    mov [rsp + {r10}], r10
    mov [rsp + {r8}], r8
    mov [rsp + {r9}], r9
    mov ecx, [rsp + {fast_limit}]
    mov r11, [rsp + {fast_table}]
    mov rsp, gs:[{kernel_rsp}]
    cmp rax, rcx
    jae 6f
    ldmxcsr [rip + {kernel_mxcsr}]
    and eax, {fast_mask}
    mov rcx, r10
    call [r11 + rax * 8]
    cmp rax, {slow_mark}
    je 6f
    mov rsp, gs:[{context}]
    mov rcx, [rsp + {rip}]
    mov r11, [rsp + {rflags}]
    mov rdi, [rsp + {rdi}]
    mov rsi, [rsp + {rsi}]
    mov r10, [rsp + {r10}]
    mov r8, [rsp + {r8}]
    mov r9, [rsp + {r9}]
    user_clear_xmm
    mov rsp, gs:[{user_rsp}]
    swapgs
    sysretq
6:
    mov r11, gs:[{context}]
    mov rcx, gs:[{user_rsp}]
    mov [r11 + {rsp}], rcx
    mov [r11 + {rbx}], rbx
    mov [r11 + {rbp}], rbp
    mov [r11 + {r12}], r12
    mov [r11 + {r13}], r13
    mov [r11 + {r14}], r14
    mov [r11 + {r15}], r15
    test dword ptr [r11 + {mode}], {foreign}
    jz 7f
    mov rdi, gs:[{area}]
    user_save_extended
    jmp 8f
7:
    ldmxcsr [rip + {kernel_mxcsr}]
    cmp qword ptr [r11 + {rax}], {call}
    jne 8f
    cmp rdi, gs:[{at_once_first}]
    jne 8f
    test rdi, rdi
    jz 8f
    mov rdi, gs:[{at_once_data}]
    mov rsi, r11
    call qword ptr gs:[{at_once}]
    cmp eax, {back}
    jb 8f
    ja 9f
    mov rsp, gs:[{context}]
    mov rcx, [rsp + {rip}]
    mov r11, [rsp + {rflags}]
    mov rdx, [rsp + {rdx}]
    mov r8, [rsp + {r8}]
    mov r9, [rsp + {r9}]
    mov r10, [rsp + {r10}]
    mov r12, [rsp + {r12}]
    mov r13, [rsp + {r13}]
    mov r14, [rsp + {r14}]
    mov r15, [rsp + {r15}]
    mov rdi, [rsp + {rdi}]
    mov rsi, [rsp + {rsi}]
    mov rax, [rsp + {rax}]
    user_clear_xmm
    mov rsp, [rsp + {rsp}]
    swapgs
    sysretq
9:
    mov eax, {answered}
    jmp user_leave
8:
    mov eax, {by_syscall}
user_leave:
    add rsp, 8
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbx
    pop rbp
    ret

# From the trap stubs, on an IST stack: vector, error code, rip, cs, rflags, rsp, ss of ring 3.
.balign 16
.global user_trap
user_trap:
    swapgs
    push 2
    popfq
    push rax
    mov rax, gs:[{context}]
    mov [rax + {rdx}], rdx
    mov [rax + {r8}], r8
    mov [rax + {r9}], r9
    mov [rax + {r10}], r10
    mov [rax + {r12}], r12
    mov [rax + {r13}], r13
    mov [rax + {r14}], r14
    mov [rax + {r15}], r15
    mov [rax + {rdi}], rdi
    mov [rax + {rsi}], rsi
    mov [rax + {rbx}], rbx
    mov [rax + {rbp}], rbp
    mov [rax + {rcx}], rcx
    mov [rax + {r11}], r11
    pop qword ptr [rax + {rax}]
    pop rbx
    pop r12
    pop qword ptr [rax + {rip}]
    add rsp, 8
    pop qword ptr [rax + {rflags}]
    pop qword ptr [rax + {rsp}]
    mov rsp, gs:[{kernel_rsp}]
    mov rdi, gs:[{area}]
    user_save_extended
    mov rax, rbx
    mov rdx, r12
    jmp user_leave
.text
"#,
    choices = sym CHOICES,
    method = const offset_of!(GateChoices, method),
    x87_leaks = const offset_of!(GateChoices, x87_leaks),
    kernel_mxcsr = sym KERNEL_MXCSR,
    fast_mask = const FAST_COUNT - 1,
    slow_mark = const SLOW_MARK,
    by_syscall = const BY_SYSCALL,
    answered = const ANSWERED,
    call = const CALL_NUMBER,
    back = const at_once::BACK,
    at_once = const offset_of!(PerCpu, user) + offset_of!(UserCore, at_once),
    at_once_first = const offset_of!(PerCpu, user) + offset_of!(UserCore, at_once_first),
    at_once_data = const offset_of!(PerCpu, user) + offset_of!(UserCore, at_once_data),
    exact = const mode::EXACT,
    foreign = const mode::FOREIGN,
    user_data = const USER_DATA,
    user_code = const USER_CODE,
    context = const offset_of!(PerCpu, user) + offset_of!(UserCore, context),
    kernel_rsp = const offset_of!(PerCpu, user) + offset_of!(UserCore, kernel_rsp),
    user_rsp = const offset_of!(PerCpu, user) + offset_of!(UserCore, user_rsp),
    area = const offset_of!(PerCpu, user) + offset_of!(UserCore, area),
    entries = const offset_of!(PerCpu, user) + offset_of!(UserCore, entries),
    mode = const offset_of!(UserContext, mode),
    fast_limit = const offset_of!(UserContext, fast_limit),
    fast_table = const offset_of!(UserContext, fast_table),
    rip = const offset_of!(UserContext, rip),
    rflags = const offset_of!(UserContext, rflags),
    rsp = const offset_of!(UserContext, rsp),
    rdx = const offset_of!(Registers, rdx),
    r8 = const offset_of!(Registers, r8),
    r9 = const offset_of!(Registers, r9),
    r10 = const offset_of!(Registers, r10),
    r12 = const offset_of!(Registers, r12),
    r13 = const offset_of!(Registers, r13),
    r14 = const offset_of!(Registers, r14),
    r15 = const offset_of!(Registers, r15),
    rdi = const offset_of!(Registers, rdi),
    rsi = const offset_of!(Registers, rsi),
    rax = const offset_of!(Registers, rax),
    rbx = const offset_of!(Registers, rbx),
    rbp = const offset_of!(Registers, rbp),
    rcx = const offset_of!(Registers, rcx),
    r11 = const offset_of!(Registers, r11),
);

unsafe extern "sysv64" {
    fn user_enter(context: *mut UserContext, vector_state: *const u8) -> GateExit;
    static user_syscall: u8;
}

const IA32_STAR: u32 = 0xc000_0081;
const IA32_FMASK: u32 = 0xc000_0084;
/// Zero: `sysenter` is a general protection fault (Intel SDM vol. 2B, SYSENTER).
const IA32_SYSENTER_CS: u32 = 0x174;
/// Flags that `syscall` clears: CF, PF, AF, ZF, SF, TF, IF, DF, OF, IOPL, NT, RF, AC, ID.
const SYSCALL_CLEARS: u64 = 0x0025_7fd5;

// `syscall` loads CS and, 8 further, SS; `sysretq` loads CS 16 and SS 8 further than its base (Intel SDM vol. 2B).
const _: () = assert!(KERNEL_DATA == KERNEL_CODE + 8);
const _: () = assert!(USER_CODE == USER_DATA + 8);

/// Readies the calling core for ring 3: MSRs and XCR0. After its control registers are set, before interrupts are on.
pub(crate) fn init_this_core() {
    let bases = u64::from(USER_DATA - 8) << 48 | u64::from(KERNEL_CODE) << 32;
    // SAFETY: the selectors are the loaded GDT's; the entry point is the gate's, which wants exactly these flags cleared.
    unsafe {
        Msr::new(IA32_STAR).write(bases);
        Msr::new(IA32_FMASK).write(SYSCALL_CLEARS);
        Msr::new(IA32_SYSENTER_CS).write(0);
    }
    LStar::write(VirtAddr::from_ptr(&raw const user_syscall));
    KernelGsBase::write(VirtAddr::zero());
    FsBase::write(VirtAddr::zero());
    // SAFETY: no breakpoint is set: what firmware left there must not fire.
    unsafe { asm!("mov dr7, {}", in(reg) 0x400u64, options(nomem, nostack, preserves_flags)) };
    extended::init_this_core();
    copy::init();
}

const GENERAL_PROTECTION: u8 = 13;
const PAGE_FAULT: u64 = 14;

/// Runs the thread in ring 3 until it stops, in the address space that is active. The core's timer is armed for `until_ticks`
/// (of [`time::now_ticks`]; `u64::MAX`: never), or for an earlier moment, if it was already: to program it costs more than the one
/// interrupt too many that this can bring. `at_once`: who may answer its calls in the gate. On return interrupts are on.
#[inline]
pub fn enter<A: AtOnce>(
    off: InterruptsOff,
    context: &mut UserContext,
    until_ticks: u64,
    at_once: &mut A,
) -> Exit {
    let core = percpu::this();
    let user = &core.user;
    if !is_canonical(context.rip) {
        return Exit::Exception {
            vector: GENERAL_PROTECTION,
            error_code: 0,
            address: context.rip,
        };
    }
    let area = match &context.area {
        Some(area) => area.pointer(),
        None => match spare(user) {
            Some(area) => area,
            None => return Exit::OutOfMemory,
        },
    };
    user.area.set(area);
    if user.last_id.get() != context.id {
        change_thread(user, context);
    }
    if !core.platform.timer.fires_by(until_ticks) {
        timer::arm(until_ticks, time::now_ticks());
    }
    let mut first = at_once.first_argument();
    if first != 0 {
        if !contain::is_free(&user.contain) {
            first = 0;
        }
        user.at_once.set(at_once::entry::<A>());
        user.at_once_data.set(core::ptr::from_mut(at_once).cast());
    }
    user.at_once_first.set(first);
    let state = if context.mode & mode::AREA_LIVE != 0 {
        area.cast_const()
    } else {
        (&raw const INITIAL).cast()
    };
    // SAFETY: interrupts are off; `context` is exclusively ours, its invariants make both ways to ring 3 fault-free; `state` is
    // something the CPU accepts, `area` has room for what it saves. The gate keeps what the ABI wants kept. `at_once` is ours
    // too, and the function that the gate calls with it and `context` is for its type.
    let exit = unsafe { user_enter(context, state) };
    match exit.what {
        BY_SYSCALL if context.mode & mode::FOREIGN == 0 => {
            context.mode = 0;
            drop(off);
            Exit::Syscall
        }
        BY_SYSCALL => {
            take_area(user, context);
            context.registers.rcx = context.rip;
            context.registers.r11 = context.rflags;
            context.mode = mode::FOREIGN | mode::AREA_LIVE;
            drop(off);
            Exit::Syscall
        }
        ANSWERED => {
            context.mode = 0;
            drop(off);
            Exit::Answered
        }
        ABANDONED => {
            context.mode = 0;
            contain::abandoned_in_gate(&user.contain);
            drop(off);
            Exit::Abandoned
        }
        vector => {
            take_area(user, context);
            context.mode |= mode::EXACT | mode::AREA_LIVE;
            let exit = trapped(core, vector, exit.error);
            drop(off);
            exit
        }
    }
}

/// After a trap from ring 3, interrupts still off.
#[inline]
fn trapped(core: &PerCpu, vector: u64, error_code: u64) -> Exit {
    trap::count(core, vector as u8);
    if vector < 32 {
        let address = if vector == PAGE_FAULT {
            Cr2::read_raw()
        } else {
            0
        };
        return Exit::Exception {
            vector: vector as u8,
            error_code,
            address,
        };
    }
    let before = core.here.load(Ordering::Relaxed);
    core.here.store(before | IN_INTERRUPT, Ordering::Relaxed);
    crate::irq::dispatch(vector as u8);
    core.here.store(before, Ordering::Relaxed);
    Exit::Interrupt
}

/// The core's spare area, made now if there is none.
#[inline]
fn spare(user: &UserCore) -> Option<*mut u8> {
    // SAFETY: only this core's task context gets here, and the reference ends here.
    let spare = unsafe { &mut *user.spare.get() };
    if spare.is_none() {
        *spare = Some(ExtendedArea::try_new()?);
    }
    spare.as_ref().map(ExtendedArea::pointer)
}

/// The vector state was just saved: if that was to the core's spare area, it is the thread's now.
#[inline]
fn take_area(user: &UserCore, context: &mut UserContext) {
    if context.area.is_none() {
        // SAFETY: as in `spare`.
        context.area = unsafe { (*user.spare.get()).take() };
    }
}

/// Whether bits 63:47 are all the same.
#[inline(always)]
fn is_canonical(address: u64) -> bool {
    ((address << 16) as i64 >> 16) as u64 == address
}

/// Another thread than the last one: its FS and GS bases, and no segment selectors of the last one's.
#[inline(always)]
fn change_thread(user: &UserCore, context: &UserContext) {
    let selectors: u64;
    // SAFETY: reads registers.
    unsafe {
        asm!(
            "mov {all:e}, ds",
            "mov {one:e}, es",
            "or {all:e}, {one:e}",
            "mov {one:e}, fs",
            "or {all:e}, {one:e}",
            "mov {one:e}, gs",
            "or {all:e}, {one:e}",
            all = out(reg) selectors,
            one = out(reg) _,
            options(nomem, nostack),
        );
    }
    if selectors != 0 {
        clear_selectors();
    }
    let bases = context.fs_base | context.gs_base | user.fs_base.get() | user.gs_base.get();
    if bases != 0 {
        load_bases(user, context);
    }
    user.last_id.set(context.id);
}

#[cold]
#[inline(never)]
fn clear_selectors() {
    // SAFETY: null selectors are what ring 0 runs with. Loading GS clears the active base on some CPUs, so ring 3's is
    // made active meanwhile; interrupts are off and NMIs look at the base's sign.
    unsafe {
        asm!(
            "mov ds, {zero:e}",
            "mov es, {zero:e}",
            "mov fs, {zero:e}",
            "swapgs",
            "mov gs, {zero:e}",
            "swapgs",
            zero = in(reg) 0,
            options(nostack, preserves_flags),
        );
    }
}

#[inline(never)]
fn load_bases(user: &UserCore, context: &UserContext) {
    // The last thread can have made a base 0 behind our back, and nothing else: 0 is there already or must be written,
    // anything else must be written in any case.
    if context.fs_base != 0 || user.fs_base.get() != 0 {
        FsBase::write(VirtAddr::new_truncate(context.fs_base));
        user.fs_base.set(context.fs_base);
    }
    if context.gs_base != 0 || user.gs_base.get() != 0 {
        KernelGsBase::write(VirtAddr::new_truncate(context.gs_base));
        user.gs_base.set(context.gs_base);
    }
}
