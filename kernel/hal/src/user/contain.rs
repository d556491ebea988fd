//! Running code whose failure must not be the kernel's: a poll of a resident server, a driver's step.
//!
//! [`contain`] notes where it was called; [`contain_in`] gives the code a heap of its own besides, an [`Arena`]. A panic or CPU exception in the closure then becomes a return from there, without
//! unwinding: the stack pointer and the callee-saved registers are put back, nothing is dropped. Whoever owns what the
//! closure used (its arena, its handles) reclaims it. Not contained are failures of top halves, and failures while kernel state is
//! in the middle of a change: such code holds a [`KernelSection`]. Those end in the kernel's report, which says so.

use core::arch::global_asm;
use core::cell::{Cell, UnsafeCell};
use core::fmt::{self, Write};
use core::marker::PhantomData;
use core::panic::PanicInfo;
use core::ptr::NonNull;
use core::sync::atomic::Ordering;
use core::task::{RawWaker, RawWakerVTable, Waker};

use executor::{Platform, TaskId};
use kerncore::text::FixedText;
use x86_64::instructions::interrupts;
use x86_64::registers::control::Cr2;

use crate::cpu::percpu::{self, IN_INTERRUPT, PerCpu};
use crate::cpu::trap::TrapFrame;
use crate::cpu::{backtrace, exception};
use crate::mem::arena::Arena;
use crate::mem::stack;
use crate::platform::KernelPlatform;

use super::CopyFault;
use crate::boot::image;

/// Why contained work did not come to its end.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::large_enum_variant, reason = "a failure cannot allocate")]
pub enum Reason {
    /// It panicked.
    Panic {
        /// The panic's message.
        message: FixedText<160>,
        /// File, line and column.
        place: FixedText<96>,
    },
    /// The CPU refused an instruction of it.
    Exception {
        /// Intel SDM vol. 3A table 7-1.
        vector: u8,
        /// The CPU's error code, 0 where the vector has none.
        error_code: u64,
        /// What a page fault was about, else 0.
        address: u64,
        /// The instruction.
        rip: u64,
    },
    /// It asked for that, by [`leave`].
    Left,
}

/// Contained work was abandoned.
#[derive(Clone, Copy, Debug)]
pub struct Abandoned {
    /// Why.
    pub reason: Reason,
}

impl fmt::Display for Abandoned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reason {
            Reason::Left => f.write_str("it ended itself"),
            Reason::Panic { message, place } => {
                write!(f, "{} (at {})", message.as_str(), place.as_str())
            }
            Reason::Exception {
                vector,
                error_code,
                address,
                rip,
            } => {
                let (mnemonic, meaning) = exception::name(u64::from(*vector));
                write!(f, "{meaning} ({mnemonic}, error code {error_code:#x}")?;
                if *address != 0 {
                    write!(f, ", address {address:#x}")?;
                }
                if let Some(guard) = crate::mem::stack::guard_at(*address) {
                    write!(f, ", the guard page of {guard}")?;
                }
                write!(f, ") at {rip:#x} ")?;
                backtrace::write_symbol(f, *rip, 0)
            }
        }
    }
}

impl core::error::Error for Abandoned {}

/// What a core keeps for this. Touched by the core itself only; by trap handlers only when they end in the core's report
/// or resume in [`contain`].
pub(super) struct ContainCore {
    /// Stack pointer to go back to; 0: nothing is contained.
    point: Cell<u64>,
    /// Kernel sections entered and not left.
    held: Cell<u32>,
    /// A reason is being written down: a failure in that must not start over.
    recording: Cell<bool>,
    reason: UnsafeCell<Option<Reason>>,
    /// Where contained work allocates; null: in the kernel's heap. It lives as long as it is here.
    arena: Cell<*const Arena>,
    /// The lowest address of the core's stack, once it was looked up.
    stack_bottom: Cell<u64>,
    /// A kernel section was entered, or an interrupt taken in ring 0, since this was cleared.
    disturbed: Cell<bool>,
}

impl ContainCore {
    pub(super) const fn new() -> Self {
        Self {
            point: Cell::new(0),
            held: Cell::new(0),
            recording: Cell::new(false),
            reason: UnsafeCell::new(None),
            arena: Cell::new(core::ptr::null()),
            stack_bottom: Cell::new(0),
            disturbed: Cell::new(false),
        }
    }

    /// Something happened that who works in the gate must know of.
    #[inline]
    pub(super) fn disturb(&self) {
        self.disturbed.set(true);
    }
}

/// While it exists, kernel state may be in the middle of a change: a failure is not contained, and memory comes from the kernel's
/// heap. Cheap: two plain increments and a store.
#[derive(Debug)]
pub struct KernelSection(PhantomData<*const ()>);

impl KernelSection {
    /// Enters a section, in task context. Drop it before the poll ends.
    #[inline]
    #[expect(clippy::new_without_default, reason = "it has an effect")]
    pub fn new() -> Self {
        let contain = &percpu::this().user.contain;
        contain.held.set(contain.held.get() + 1);
        contain.disturb();
        Self(PhantomData)
    }
}

impl Drop for KernelSection {
    #[inline]
    fn drop(&mut self) {
        let held = &percpu::this().user.contain.held;
        held.set(held.get() - 1);
    }
}

/// What [`contain_call`] gives, or `user_enter` for work in the gate, when the work was abandoned.
pub(super) const ABANDONED: u64 = 512;

// `contain_call(point, function, data)`: 0 when `function(data)` came back, `ABANDONED` when it was abandoned. Its frame is laid out
// as that of `user_enter`, so that `contain_resume` can end either.
global_asm!(
    r#"
.section .text.contain, "ax"
.global contain_call, contain_resume, contain_jump
.balign 16
contain_call:
    push rbp
    mov rbp, rsp
    push rbx
    push r12
    push r13
    push r14
    push r15
    sub rsp, 8
    mov [rdi], rsp
    mov rdi, rdx
    call rsi
    xor eax, eax
2:
    add rsp, 8
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbx
    pop rbp
    ret
contain_resume:
    ldmxcsr [rip + {mxcsr}]
    cld
    mov eax, {abandoned}
    jmp 2b

# contain_jump(stack pointer, flags)
contain_jump:
    mov rsp, rdi
    push rsi
    popfq
    jmp contain_resume
.text
"#,
    mxcsr = sym super::entry::KERNEL_MXCSR,
    abandoned = const ABANDONED,
);

unsafe extern "sysv64" {
    fn contain_call(
        point: *mut u64,
        function: unsafe extern "sysv64" fn(*mut ()),
        data: *mut (),
    ) -> u64;
    fn contain_jump(stack_pointer: u64, flags: u64) -> !;
    static contain_resume: u8;
}

/// RFLAGS with interrupts on and nothing else, and the bit that is always one.
const FLAGS_TASK: u64 = 1 << 9 | 1 << 1;

struct Work<F, R> {
    function: Option<F>,
    result: Option<R>,
}

unsafe extern "sysv64" fn run<F: FnOnce() -> R, R>(work: *mut ()) {
    // SAFETY: `contain` passes its own `Work` of these types, and touches it again only when this is over.
    let work = unsafe { &mut *work.cast::<Work<F, R>>() };
    if let Some(function) = work.function.take() {
        work.result = Some(function());
    }
}

/// Runs `work`, in task context with interrupts on. If it panics or causes a CPU exception, it is abandoned where it stands.
///
/// What `work` borrows mutably may be in any state then: lend it only what is thrown away with it, or what holds a
/// [`KernelSection`] while it is inconsistent. Inside another `contain`, the innermost one gets the failure.
///
/// # Errors
/// If it was abandoned: why.
#[expect(
    clippy::result_large_err,
    reason = "a failure cannot allocate, and is rare"
)]
pub fn contain<F: FnOnce() -> R, R>(work: F) -> Result<R, Abandoned> {
    let core = &percpu::this().user.contain;
    let outer = core.point.get();
    let mut work = Work {
        function: Some(work),
        result: None,
    };
    // SAFETY: `run` gets the `Work` it expects. A task does not change cores within a poll, so `core` stays this core's.
    let abandoned = unsafe {
        contain_call(
            core.point.as_ptr(),
            run::<F, R>,
            (&raw mut work).cast::<()>(),
        )
    };
    core.point.set(outer);
    core.recording.set(false);
    match work.result {
        Some(result) if abandoned == 0 => Ok(result),
        left_over => {
            // A result half written is not dropped.
            core::mem::forget(left_over);
            Err(why_abandoned())
        }
    }
}

/// [`contain`], with `arena` as the heap of what `work` allocates outside of [`KernelSection`]s. After a failure the arena gives nothing
/// out any more. What `work` returns must not lie in the arena, unless it is used in there only.
///
/// # Errors
/// As [`contain`].
#[expect(
    clippy::result_large_err,
    reason = "a failure cannot allocate, and is rare"
)]
pub fn contain_in<F: FnOnce() -> R, R>(arena: &Arena, work: F) -> Result<R, Abandoned> {
    let core = &percpu::this().user.contain;
    know_stack(core);
    let outer = core.arena.replace(arena);
    let result = contain(work);
    core.arena.set(outer);
    if result.is_err() {
        arena.abandoned();
    }
    result
}

/// Runs `work` contained in the gate, as [`contain_in`] does, interrupts being off before and after and on meanwhile. Whether one was taken, or
/// a kernel section entered. If it is abandoned this does not come back: `user_enter` returns [`ABANDONED`], and then
/// [`abandoned_in_gate`] is to be called. What lies on the stack between is forgotten.
///
/// # Safety
/// `frame` is the stack pointer of `user_enter`'s frame on this core, below here, which [`is_free`]; what lies between needs no drop.
#[inline(always)]
pub(super) unsafe fn contain_in_gate(
    core: &ContainCore,
    frame: u64,
    arena: &Arena,
    work: impl FnOnce(),
) -> bool {
    core.disturbed.set(false);
    core.arena.set(arena);
    core.point.set(frame);
    interrupts::enable();
    work();
    interrupts::disable();
    core.point.set(0);
    core.arena.set(core::ptr::null());
    core.disturbed.get()
}

/// Puts in order what work in the gate left that was abandoned.
#[cold]
pub(super) fn abandoned_in_gate(core: &ContainCore) {
    core.point.set(0);
    core.recording.set(false);
    let arena = core.arena.replace(core::ptr::null());
    // SAFETY: as in `arena_in_use`: who lent it to the gate waits for that.
    if let Some(arena) = unsafe { arena.as_ref() } {
        arena.abandoned();
    }
}

/// Whether nothing is contained on this core, whose stack is known then.
#[inline]
pub(super) fn is_free(core: &ContainCore) -> bool {
    know_stack(core);
    core.point.get() == 0
}

#[inline]
fn know_stack(core: &ContainCore) {
    if core.stack_bottom.get() == 0 {
        core.stack_bottom.set(stack::bottom_below(here_on_stack()));
    }
}

/// How work in the gate failed, after [`Exit::Abandoned`](super::Exit::Abandoned), once.
pub fn why_abandoned() -> Abandoned {
    // SAFETY: only this core's task context and its failing code touch the cell, and the latter has ended.
    let reason = unsafe { (*percpu::this().user.contain.reason.get()).take() };
    Abandoned {
        reason: reason.unwrap_or(UNKNOWN),
    }
}

/// The [owner](Arena::owner) of the arena that work on this core is contained in, also while it is in a kernel section.
pub fn owner() -> Option<u64> {
    arena_lent().map(Arena::owner)
}

/// The arena that this core allocates in now.
#[inline]
pub(crate) fn arena_in_use() -> Option<&'static Arena> {
    let core = &percpu::this().user.contain;
    let arena = core.arena.get();
    if arena.is_null() || core.held.get() != 0 {
        return None;
    }
    // SAFETY: `contain_in` borrows it for as long as it is here, and nothing that comes from this outlives an allocation.
    Some(unsafe { &*arena })
}

/// Whether it is contained work in an arena, outside of all [`KernelSection`]s, that calls this.
pub fn runs_in_arena() -> bool {
    percpu::here_word() & IN_INTERRUPT == 0 && arena_in_use().is_some()
}

/// The arena that work on this core is contained in, also while it is in a kernel section.
pub(super) fn arena_lent() -> Option<&'static Arena> {
    // SAFETY: as in `arena_in_use`.
    unsafe { percpu::this().user.contain.arena.get().as_ref() }
}

/// If it is work in an arena, outside of all [`KernelSection`]s, that stands at this stack pointer: how many bytes it has below there.
pub(super) fn room_of_arena_work(core: &PerCpu, here: u32, stack_pointer: u64) -> Option<u64> {
    let point = way_out(core, here)?;
    let contain = &core.user.contain;
    if contain.arena.get().is_null() || stack_pointer >= point {
        return None;
    }
    stack_pointer.checked_sub(contain.stack_bottom.get())
}

/// Takes back a block that is not the kernel heap's.
///
/// # Safety
/// It was allocated with this alignment, in the arena that this core uses or has lent itself from.
#[cold]
pub(crate) unsafe fn free_in_arena(block: NonNull<u8>, align: usize) {
    match arena_lent() {
        // SAFETY: the caller's promise.
        Some(arena) => unsafe { arena.free(block, align) },
        None => log::error!("memory: a block at {block:p} is freed that is not the kernel's"),
    }
}

fn here_on_stack() -> u64 {
    let address: u64;
    // SAFETY: reads a register.
    unsafe {
        core::arch::asm!("mov {}, rsp", out(reg) address, options(nomem, nostack, preserves_flags));
    }
    address
}

/// How many bytes of the core's stack are left to contained work. Kernel code that is called from there needs some: what fails for
/// the lack of stack while it holds kernel state is fatal.
#[inline]
pub fn stack_left_bytes() -> u64 {
    here_on_stack().saturating_sub(percpu::this().user.contain.stack_bottom.get())
}

/// Whether the work in the arena may touch `len` bytes at `address`: they lie in the arena or on its part of the stack, or, only to be
/// read, in the kernel's image.
fn is_its_own(address: u64, len: u64, write: bool) -> bool {
    let core = &percpu::this().user.contain;
    let Some(end) = address.checked_add(len) else {
        return false;
    };
    let point = core.point.get();
    if address >= here_on_stack() && end <= point {
        return true;
    }
    if !write && address >= image::base() && end <= image::base() + image::len() {
        return true;
    }
    // SAFETY: as in `arena_in_use`.
    unsafe { core.arena.get().as_ref() }.is_some_and(|arena| arena.contains(address, len))
}

/// Copies `to.len()` bytes at `from`, which must be the contained work's, on whose behalf this is.
///
/// # Errors
/// If they are not.
pub fn copy_in(to: &mut [u8], from: u64) -> Result<(), CopyFault> {
    if !to.is_empty() {
        if !is_its_own(from, to.len() as u64, false) {
            return Err(CopyFault { address: from });
        }
        // SAFETY: the range is mapped memory that the contained work, which waits for this, may read; any byte is a `u8`.
        unsafe { core::ptr::copy(from as *const u8, to.as_mut_ptr(), to.len()) };
    }
    Ok(())
}

/// Copies `from` to `to`, which must be the contained work's, on whose behalf this is.
///
/// # Errors
/// If it is not.
pub fn copy_out(to: u64, from: &[u8]) -> Result<(), CopyFault> {
    if !from.is_empty() {
        if !is_its_own(to, from.len() as u64, true) {
            return Err(CopyFault { address: to });
        }
        // SAFETY: as in `copy_in`; the work says by its call that these bytes may be written.
        unsafe { core::ptr::copy(from.as_ptr(), to as *mut u8, from.len()) };
    }
    Ok(())
}

/// Ends the contained work that calls this, as a failure would.
pub fn leave() -> ! {
    abandon(Reason::Left)
}

/// Ends the contained work that calls this, for that reason.
pub(super) fn abandon(reason: Reason) -> ! {
    let core = percpu::this();
    match way_out(core, core.here.load(Ordering::Relaxed)) {
        Some(point) => {
            record(&core.user.contain, reason);
            interrupts::disable();
            // SAFETY: as in `abandon_panic`.
            unsafe { contain_jump(point, FLAGS_TASK) }
        }
        None => panic!("there is nothing contained that could be left"),
    }
}

/// A waker of a task for contained work: a failure in the executor itself is not contained.
pub fn waker_of(task: TaskId) -> Waker {
    const VTABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake, |_| ());
    static VTABLE_REF: &RawWakerVTable = &VTABLE;
    fn raw(data: *const ()) -> RawWaker {
        RawWaker::new(data, VTABLE_REF)
    }
    unsafe fn clone(data: *const ()) -> RawWaker {
        raw(data)
    }
    unsafe fn wake(data: *const ()) {
        let _section = KernelSection::new();
        KernelPlatform::fleet().wake(TaskId::from_bits(data.addr() as u64));
    }
    // SAFETY: the data is a plain number; any is accepted by `Fleet::wake`, from any core.
    unsafe { Waker::from_raw(raw(core::ptr::without_provenance(task.to_bits() as usize))) }
}

/// What is left if writing down the reason fails in turn.
const UNKNOWN: Reason = Reason::Panic {
    message: FixedText::new(),
    place: FixedText::new(),
};

/// The stack pointer that a failure on this core goes back to, if it can.
fn way_out(core: &PerCpu, here: u32) -> Option<u64> {
    let contain = &core.user.contain;
    let point = contain.point.get();
    (point != 0 && contain.held.get() == 0 && here & IN_INTERRUPT == 0).then_some(point)
}

/// Whether the failure under way would have been contained but for a [`KernelSection`].
pub(crate) fn kernel_state_was_held() -> bool {
    let contain = &percpu::this().user.contain;
    contain.point.get() != 0 && contain.held.get() != 0
}

/// Ends contained work that panicked. Returns if nothing is contained.
pub(crate) fn abandon_panic(info: &PanicInfo) {
    let core = percpu::this();
    let Some(point) = way_out(core, core.here.load(Ordering::Relaxed)) else {
        return;
    };
    let contain = &core.user.contain;
    if !contain.recording.replace(true) {
        let message = FixedText::format(format_args!("{}", info.message()));
        let mut place = FixedText::new();
        if let Some(location) = info.location() {
            let _ = write!(place, "{location}");
        }
        record(contain, Reason::Panic { message, place });
    }
    interrupts::disable();
    // SAFETY: `way_out`: the frame of `contain_call` is below us on this stack, and all above it is abandoned.
    unsafe { contain_jump(point, FLAGS_TASK) }
}

fn record(contain: &ContainCore, reason: Reason) {
    // SAFETY: this core's failing code is the one user of the cell until `contain` resumes.
    unsafe { *contain.reason.get() = Some(reason) };
}

/// Makes the trap that `frame` describes, taken in ring 0 where [`PerCpu::here`] was `here`, end contained work: `true`. `false`
/// if nothing is contained.
pub(crate) fn abandon_exception(frame: &mut TrapFrame, here: u32) -> bool {
    let core = percpu::this();
    let Some(point) = way_out(core, here) else {
        return false;
    };
    if !core.user.contain.recording.replace(true) {
        let address = match frame.vector {
            14 => Cr2::read_raw(),
            _ => 0,
        };
        record(
            &core.user.contain,
            Reason::Exception {
                vector: frame.vector as u8,
                error_code: frame.error,
                address,
                rip: frame.rip,
            },
        );
    }
    // The trap path's `iretq` goes there, which also leaves the IST stack.
    frame.rip = &raw const contain_resume as u64;
    frame.rsp = point;
    frame.rflags = FLAGS_TASK;
    true
}
