//! One-time set-up on the boot core, step by step; then the core becomes an executor.
//!
//! Plan: memory, guarded stacks, screen, ACPI, interrupts, time, the executor, the other cores, and from
//! the first task on: serial console, keyboard, screen; then the first process, and shells. A step that fails says what is missing and the rest goes on,
//! unless nothing can run without it. Each step's time is logged once the clock is calibrated.

use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use hal::boot::{boot_info, boot_memory};
use kerncore::boot_info::MemoryKind;
use kerncore::kaslr::Base;

use crate::exec::{self, CoreId};
use crate::options::options;
use crate::{bench, keyboard, log, machine, monitor, screen, selftest, serial, terminal};

/// Steps that are timed.
const MOST_STEPS: usize = 16;

struct Step {
    name: spin::Once<&'static str>,
    end_ticks: AtomicU64,
}

static STEPS: [Step; MOST_STEPS] = [const {
    Step {
        name: spin::Once::new(),
        end_ticks: AtomicU64::new(0),
    }
}; MOST_STEPS];
static STEP_COUNT: AtomicUsize = AtomicUsize::new(0);

/// Notes that the step `name` has just ended.
pub fn step_done(name: &'static str) {
    if let Some(step) = STEPS.get(STEP_COUNT.fetch_add(1, Ordering::Relaxed)) {
        step.name.call_once(|| name);
        step.end_ticks
            .store(hal::time::now_ticks(), Ordering::Release);
    }
}

/// Logs a `boot` line for each step: how long it took, and when it was over.
pub fn log_steps() {
    let mut before = boot_info().entry_ticks;
    for step in &STEPS {
        let Some(name) = step.name.get() else { break };
        let end = step.end_ticks.load(Ordering::Acquire);
        let milliseconds = |ticks| Milliseconds(hal::time::ticks_to_ns(ticks));
        ::log::info!(
            target: "boot",
            "{name}: {} ms, done at {} ms",
            milliseconds(end.saturating_sub(before)),
            milliseconds(end.saturating_sub(boot_info().entry_ticks)),
        );
        before = end;
    }
}

/// Nanoseconds shown as milliseconds with three decimals.
struct Milliseconds(u64);

impl core::fmt::Display for Milliseconds {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let micros = self.0 / 1000;
        write!(f, "{}.{:03}", micros / 1000, micros % 1000)
    }
}

/// The kernel's first own code: on the boot stack, interrupts off, no heap.
pub fn boot_core() -> ! {
    step_done("hand-off");
    log::init();
    let boot = boot_info();
    options().apply();
    ::log::info!(target: "boot", "Raede {} by {}", env!("CARGO_PKG_VERSION"), boot.path);
    options().report();
    log_placement();
    log_memory();
    if let Err(error) = hal::mem::start() {
        panic!("memory cannot be set up: {error}");
    }
    step_done("memory");
    match hal::cpu::stack_switch::leave_boot_stack(on_guarded_stack) {
        Err(error) => panic!("no memory for the boot core's stacks: {error}"),
    }
}

fn log_placement() {
    let placement = &boot_info().placement;
    ::log::info!(target: "kaslr", "{placement}; from {}", boot_memory().seed_sources);
    let line = |what: &str, base: &Base| ::log::debug!(target: "kaslr", "{what} at {:#x} ({} bits)", base.address, base.bits);
    line("image", &placement.image);
    line("direct map", &placement.direct_map);
    line("heap", &placement.heap);
}

fn log_memory() {
    let map = &boot_memory().map;
    let mebibytes = |bytes: u64| bytes >> 20;
    ::log::info!(
        target: "memory",
        "{} MiB of RAM, {} MiB usable, {} MiB reclaimable, in {} regions",
        mebibytes(map.ram_bytes()),
        mebibytes(map.bytes_of(MemoryKind::Usable)),
        mebibytes(map.bytes_of(MemoryKind::Reclaimable)),
        map.regions().len(),
    );
    if !map.report().is_clean() {
        ::log::warn!(target: "memory", "the firmware's memory map: {}", map.report());
    }
}

extern "C" fn on_guarded_stack() -> ! {
    screen::start();
    step_done("screen");
    hal::cpu::protection::report();
    machine::start();
    if !exec::prepare(CoreId::FIRST) {
        panic!("the boot core has no memory for its executor");
    }
    machine::start_cores();
    exec::spawn_best_effort("start", CoreId::FIRST, start_services());
    exec::run(CoreId::FIRST)
}

/// The first task: everything a person sees.
async fn start_services() {
    log::end_start_up();
    serial::start(options().serial_shell);
    if let Some((terminal_size, output)) = screen::start_tasks() {
        let seat = keyboard::Seat {
            keymap: options().keymap,
            terminal_size,
            output,
        };
        if options().desktop {
            terminal::add_desktop(seat);
        } else {
            seat.start();
        }
    } else if options().desktop && machine::has_graphics() {
        ::log::info!(target: "screen", "no framebuffer; a graphics device is left to the desktop");
        terminal::add_unseen_desktop(options().keymap);
    }
    monitor::start();
    bench::start();
    step_done("services");
    log_steps();
    exec::spawn_best_effort("first process", CoreId::FIRST, crate::process::start());
    selftest::run_all().await;
}

static SHELL_IS_UP: AtomicBool = AtomicBool::new(false);

/// Called by each shell as it starts: the first one ends the boot.
pub fn shell_is_up() {
    if !SHELL_IS_UP.swap(true, Ordering::Relaxed) {
        let ns = log::uptime_ns(hal::time::now_ticks());
        ::log::info!(target: "boot", "shell ready {} ms after the kernel's entry", Milliseconds(ns));
    }
}
