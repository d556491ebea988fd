//! The Raede kernel: what happens after `hal` has reached the high half.
//!
//! A newcomer's tour, in the order of a boot:
//! - [`start`]: one-time set-up on the boot core (memory, tables, interrupts, time, the other cores), each step logged
//!   with its time; then the core becomes an executor and all that follows is tasks.
//! - [`log`]: the ring that `dmesg` reads, and who follows it.
//! - [`serial`], [`keyboard`], [`screen`] (with [`bochs_display`] where firmware set no mode): the devices a person uses, each a few tasks around a server library.
//! - [`terminal`]: who answers there: shells and a console in ring 3, or the kernel's own.
//! - [`monitor`]: names tasks that hold a core too long.
//! - [`process`]: what runs in ring 3. [`tables`]: what it may read of the system.
//! - [`system`]: what the shell may ask, answered from the kernel's own tables.
//! - [`selftest`]: faults and races provoked on purpose (`selftest=` on the command line), for the test suite.
//!
//! What must hold: after start-up nothing polls and nothing allocates infallibly; no lock is held over an await; nothing
//! here needs `unsafe` but the entry point's name.
#![no_std]
#![no_main]
#![deny(unsafe_code)]

extern crate alloc;

mod alloc_fail;
mod bench;
mod bochs_display;
mod device_irq;
mod devices;
mod exec;
mod keyboard;
mod load_test;
mod log;
mod machine;
mod monitor;
mod options;
mod output;
mod process;
mod screen;
mod selftest;
mod serial;
mod start;
mod system;
mod tables;
mod terminal;
mod trace;
mod user_tables_test;
mod user_test;

/// Called by `hal` on the boot core: final page tables, interrupts off.
#[allow(unsafe_code)] // only the symbol's name is: hal calls it once
#[unsafe(no_mangle)]
extern "C" fn kernel_main() -> ! {
    start::boot_core()
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo) -> ! {
    hal::cpu::report::panic(info)
}
