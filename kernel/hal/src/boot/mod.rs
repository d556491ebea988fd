//! From a boot loader to the kernel proper.
//!
//! Three entries (`entry.s`: PVH, multiboot2, UEFI) gather what they were given into one [`BootInfo`]
//! (`legacy`, `efi`); `handoff` then chooses random bases, builds the final page tables, relocates the image and
//! enters [`high_entry`], which makes traps safe and calls the kernel's `kernel_main`. Everything before that runs
//! identity-mapped, on one core, with interrupts off, and reports trouble on the serial port by polling.

mod efi;
pub(crate) mod entropy;
mod handoff;
pub mod image;
mod legacy;

use core::arch::global_asm;
use core::cell::UnsafeCell;

use conquer_once::spin::OnceCell;
use kerncore::boot_info::BootInfo;

use crate::cpu::tables::{IST_COUNT, IstTops};
use crate::cpu::{self, percpu};

pub use handoff::BootMemory;

global_asm!(include_str!("entry.s"), options(att_syntax));

unsafe extern "C" {
    /// The kernel binary's entry: on the boot core, final page tables, interrupts off, boot stack.
    fn kernel_main() -> !;
}

/// Written before the jump to the high half and read after it: it holds no pointers, so the move does not matter.
static BOOT: OnceCell<(BootInfo, BootMemory)> = OnceCell::uninit();

/// What the machine was started with.
pub fn boot_info() -> &'static BootInfo {
    &boot().0
}

/// The memory map after sorting, with what boot itself took marked.
pub fn boot_memory() -> &'static BootMemory {
    &boot().1
}

fn boot() -> &'static (BootInfo, BootMemory) {
    // `enter_kernel` stores it before anything that could ask is reachable.
    BOOT.get().unwrap_or_else(|| unreachable!())
}

/// The time stamp counter. Ordering with the surrounding code does not matter here.
fn early_ticks() -> u64 {
    // SAFETY: every x86-64 CPU has RDTSC, and firmware leaves CR4.TSD clear.
    unsafe { core::arch::x86_64::_rdtsc() }
}

const EARLY_STACK_BYTES: usize = if cfg!(debug_assertions) { 64 } else { 16 } * 1024;

/// Interrupt stacks of the boot core until there is memory for guarded ones.
#[repr(C, align(16))]
struct EarlyStacks(UnsafeCell<[[u8; EARLY_STACK_BYTES]; IST_COUNT]>);

// SAFETY: only the boot core's CPU uses them, as stacks.
unsafe impl Sync for EarlyStacks {}

static EARLY_STACKS: EarlyStacks =
    EarlyStacks(UnsafeCell::new([[0; EARLY_STACK_BYTES]; IST_COUNT]));

/// First code on the final page tables.
extern "C" fn high_entry() -> ! {
    crate::mem::use_direct_map();
    let bottom = EARLY_STACKS.0.get() as u64;
    let tops = core::array::from_fn(|index| bottom + ((index + 1) * EARLY_STACK_BYTES) as u64);
    // SAFETY: the boot core, once, interrupts off; the stacks are mapped with the image and unused.
    unsafe {
        cpu::init_core(
            percpu::boot_core_block(),
            0,
            cpu::initial_apic_id(),
            &IstTops(tops),
        );
        percpu::list(percpu::boot_core_block(), 0);
        kernel_main()
    }
}
