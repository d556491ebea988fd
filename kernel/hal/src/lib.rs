//! `hal`: everything that needs `unsafe`, a CPU register or assembly. The rest of the kernel is safe Rust on top of it.
//!
//! A newcomer's tour, in the order things happen:
//! - [`boot`]: three ways in (PVH, multiboot2, UEFI), one [`kerncore::boot_info::BootInfo`] out; KASLR and the jump to the high half.
//! - [`cpu`]: CPUID, control registers, GDT/TSS, per-core data, trap stubs and exception reports.
//! - [`mem`]: page tables whose flags cannot express writable+executable, the direct map, MMIO windows, guarded stacks, the heap.
//! - [`acpi`]: finds and checks the firmware's tables through the direct map; the parsing itself is pure logic in `kerncore`.
//! - [`irq`]: 8259 masked, local APIC, IOAPIC, MSI; an interrupt is a stamp, a count and a wake.
//! - [`time`]: TSC calibration and synchronisation, HPET, the one-shot timer.
//! - [`smp`]: starting the other cores, inter-processor interrupts.
//! - [`user`]: ring 3: entering it, coming back, touching its memory; and containing failures of resident servers.
//! - [`pci`]: configuration space through ECAM, BARs, MSI/MSI-X.
//! - [`framebuffer`]: pixels that can be written.
//! - [`provoke`]: faults on purpose, for the test suite.
//! - [`io`]: port ranges and the register windows that drivers get.
//!
//! What must hold: top halves run with interrupts off, never nest, never allocate, never reschedule. Their stack is an IST stack, or,
//! where they interrupted ring 3, the core's own, on top of [`user::enter`]'s frame.
#![no_std]

extern crate alloc;

pub mod acpi;
pub mod boot;
pub mod cpu;
pub mod framebuffer;
pub mod io;
pub mod irq;
pub mod mem;
pub mod pci;
pub mod platform;
pub mod provoke;
pub mod smp;
pub mod time;
pub mod trace;
pub mod user;
