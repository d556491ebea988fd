//! The processor: what it can do, how each core is set up, how traps come in, how a dying kernel reports.
//!
//! Order on every core: [`init_core`] loads descriptor tables, GS and control bits; from then on a trap
//! is safe and [`percpu::this`] works. [`protection::report`] logs which protections are on.

pub mod backtrace;
pub mod entropy;
pub(crate) mod exception;
pub mod features;
pub mod idt;
pub mod percpu;
pub mod protection;
pub mod report;
pub mod stack_switch;
pub mod tables;
pub mod trap;

use tables::IstTops;

pub use features::features;

/// Sets up the calling core: descriptor tables, interrupt stacks, per-core block, control registers.
/// Interrupts stay off.
///
/// # Safety
/// Called once on each core, by that core, with interrupts off, on a stack that stays mapped; `block`
/// belongs to no other core and `tops` are tops of mapped stacks nobody else uses.
pub unsafe fn init_core(block: &'static percpu::PerCpu, core: u32, apic_id: u32, tops: &IstTops) {
    // SAFETY: nobody else can reach this core's tables: it is only just being set up.
    unsafe { (*block.tables.get()).load(tops) };
    percpu::install(block, core, apic_id);
    idt::load();
    protection::enable();
    crate::user::entry::init_this_core();
}

/// Gives the running core other interrupt stacks (the boot core starts on unguarded ones).
///
/// # Safety
/// Interrupts are off; `tops` are tops of mapped stacks nobody else uses.
pub unsafe fn move_interrupt_stacks(tops: &IstTops) {
    // SAFETY: the owner core changes its own tables with interrupts off; an NMI meanwhile reads one
    // aligned word of them.
    unsafe { (*percpu::this().tables.get()).move_stacks(tops) };
}

/// Points the exception stack at unmapped memory, so that the next fault becomes a double fault (a self-test).
///
/// # Safety
/// Interrupts are off, and the next fault is meant to end the kernel.
pub(crate) unsafe fn break_exception_stack() {
    // SAFETY: as in `move_interrupt_stacks`.
    unsafe { (*percpu::this().tables.get()).break_exception_stack() };
}

/// The calling core's APIC id by CPUID (leaf 0xb's 32 bits where there, else leaf 1's 8).
pub fn initial_apic_id() -> u32 {
    let cpuid = raw_cpuid::CpuId::with_cpuid_reader(raw_cpuid::CpuIdReaderNative);
    let wide = cpuid
        .get_extended_topology_info()
        .and_then(|mut levels| levels.find(|level| level.processors() > 0))
        .map(|level| level.x2apic_id());
    let narrow = || {
        cpuid
            .get_feature_info()
            .map_or(0, |info| u32::from(info.initial_local_apic_id()))
    };
    wide.unwrap_or_else(narrow)
}

/// Lets interrupts in: the last step of a core's set-up, before its executor runs.
pub fn enable_interrupts() {
    x86_64::instructions::interrupts::enable();
}

/// Stops this core for good.
pub fn halt_forever() -> ! {
    loop {
        x86_64::instructions::interrupts::disable();
        x86_64::instructions::hlt();
    }
}
