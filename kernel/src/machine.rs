//! The machine around the boot core: ACPI tables, interrupts, time, PCI, the other cores.

use core::sync::atomic::{AtomicU32, Ordering};

use executor::CoreId;

use crate::options::options;
use crate::start::step_done;
use crate::{exec, screen};

/// Sets up everything but the other cores. Panics only where nothing could run without it.
pub fn start() {
    hal::acpi::init(options().acpi_rsdp);
    let gained = hal::mem::frames::release_boot_memory();
    ::log::debug!(target: "memory", "{} KiB of start-up memory given back", gained * 4);
    step_done("ACPI");
    if let Err(error) = hal::irq::init(hal::irq::Options {
        x2apic: options().x2apic,
    }) {
        panic!("interrupts cannot be set up: {error}");
    }
    step_done("interrupts");
    if let Err(error) = hal::time::init() {
        panic!("time cannot be kept: {error}");
    }
    step_done("time");
    hal::pci::init();
    step_done("PCI");
    screen::start_late();
    step_done("display");
}

/// Whether there is a graphics device that servers can drive: virtio's (virtio 1.2, §4.1.2 and §5.7: vendor 0x1af4, device 0x1040 + 16).
pub fn has_graphics() -> bool {
    let mut found = false;
    hal::pci::for_each_device(|info| found |= (info.vendor, info.device) == (0x1af4, 0x1050));
    found
}

/// Starts the other cores; each becomes an executor.
pub fn start_cores() {
    let limit = options().most_cores.unwrap_or(u32::MAX);
    let running = hal::smp::start_all(limit, core_main);
    await_executors(running.saturating_sub(1));
    ::log::info!(target: "smp", "{running} core{} running", if running == 1 { "" } else { "s" });
    step_done("cores");
    if options().watchdog {
        hal::irq::watchdog::start();
    }
}

/// Other cores that have an executor, or no memory for one.
static SET_UP: AtomicU32 = AtomicU32::new(0);
/// How long they may take: they map what memory their tables need.
const SET_UP_NS: u64 = 2_000_000_000;

/// Waits until the other cores can be given tasks: before, they are not seen.
fn await_executors(cores: u32) {
    let end_ticks = hal::time::now_ticks() + hal::time::ns_to_ticks(SET_UP_NS);
    while SET_UP.load(Ordering::Acquire) < cores {
        if hal::time::now_ticks() > end_ticks {
            ::log::warn!(target: "smp", "not all of {cores} cores have an executor within {} ms; going on", SET_UP_NS / 1_000_000);
            return;
        }
        core::hint::spin_loop();
    }
}

fn core_main(core: u32) -> ! {
    let own = CoreId::new(core as usize).filter(|&core| exec::prepare(core));
    SET_UP.fetch_add(1, Ordering::Release);
    match own {
        Some(core) => exec::run(core),
        None => hal::cpu::halt_forever(),
    }
}
