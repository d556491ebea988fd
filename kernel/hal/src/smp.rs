//! The other cores: starting them, waking them, calling them, stopping them.
//!
//! [`start_all`] runs once on the boot core, after interrupts and time are set up: it resets all other cores at
//! once and then lets them in one after another, so that each can compare its clock with the boot core's and so
//! that core numbers have no holes. A core that does not come is named in the log and left out.
//!
//! Afterwards cores talk by inter-processor interrupts with fixed meanings ([`crate::irq::vectors`]): [`wake`] ends a
//! halt, [`tlb`] makes cores forget translations, and [`stop_other_cores`] is an NMI, so that it also reaches a core that has
//! its interrupts off.

pub mod tlb;
mod trampoline;

use core::fmt;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use kerncore::fixed_list::FixedList;

use crate::cpu::percpu::{self, MAX_CORES, PerCpu};
use crate::cpu::stack_switch::CoreStacks;
use crate::cpu::tables::IstTops;
use crate::cpu::{self, halt_forever};
use crate::irq::{self, lapic, nmi, vectors};
use crate::mem::paging::{self, MapError};
use crate::time;
use crate::time::sync::Exchange;
use trampoline::{NOBODY, StartSlot, Trampoline};

/// After INIT (Intel SDM vol. 3A §10.4.4.1, the universal start-up algorithm).
const AFTER_INIT_US: u64 = 10_000;
/// After the first start-up IPI, before the second (the same).
const AFTER_STARTUP_US: u64 = 200;
/// How long a core may take to arrive. Generous: emulated cores share the host's.
const ARRIVAL_US: u64 = 1_000_000;
/// How long it may then take until it runs.
const SET_UP_US: u64 = 1_000_000;

/// Where a core is on its way, in [`Newcomer::state`].
mod state {
    pub const EXPECTED: u32 = 0;
    pub const ARRIVED: u32 = 1;
    /// Set up, and about to be listed under its number: it can no longer be given up on.
    pub const JOINING: u32 = 2;
    pub const RUNNING: u32 = 3;
    /// Its number is the next core's: it must not go on.
    pub const GIVEN_UP: u32 = 4;
}

/// A core being started. Never freed: a core given up on may still read it.
#[repr(C)]
struct Newcomer {
    slot: StartSlot,
    state: AtomicU32,
    core: u32,
    apic_id: u32,
    block: &'static PerCpu,
    tops: IstTops,
    exchange: Exchange,
    enter: fn(u32) -> !,
    offset_ticks: AtomicU64,
    uncertainty_ticks: AtomicU64,
}

impl Newcomer {
    /// Moves from one state to another; `false` if it is not in the first. Either core may try: one of them wins.
    fn go_on(&self, from: u32, to: u32) -> bool {
        self.state
            .compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }
}

/// Why a core does not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Missing {
    /// It did not answer the start-up IPIs.
    Silent,
    /// It began but did not get to run.
    Stuck,
    /// There was no memory for its stacks or per-core block.
    OutOfMemory(MapError),
    /// Its APIC id needs x2APIC mode, which is not on.
    NeedsX2Apic,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent => write!(
                f,
                "no answer to INIT and start-up IPIs within {} ms",
                ARRIVAL_US / 1000
            ),
            Self::Stuck => write!(f, "began, but was not up within {} ms", SET_UP_US / 1000),
            Self::OutOfMemory(error) => write!(f, "its stacks: {error}"),
            Self::NeedsX2Apic => write!(f, "its APIC id needs x2APIC mode, which is off"),
        }
    }
}

/// Moves a value to memory that is never freed, or says that there is none.
fn leak<T>(value: T) -> Option<&'static T> {
    extern crate alloc;
    let layout = core::alloc::Layout::new::<T>();
    // SAFETY: the values leaked here are not zero-sized.
    let place = unsafe { alloc::alloc::alloc(layout) }.cast::<T>();
    if place.is_null() {
        return None;
    }
    // SAFETY: fresh memory of the right layout, never freed.
    unsafe {
        place.write(value);
        Some(&*place)
    }
}

/// Starts every other core the firmware lists, at most `limit` cores in all, and returns how many run (the boot core
/// included). Each calls `enter` with its number, interrupts off, on its own stack.
///
/// Needs interrupts and time set up, and a heap. Takes about 11 ms plus one or two per core; a core that
/// does not answer costs a second.
pub fn start_all(limit: u32, enter: fn(u32) -> !) -> u32 {
    let mut ids: FixedList<u32, MAX_CORES> = FixedList::new(0);
    let own_id = lapic::id();
    for apic_id in crate::acpi::usable_apic_ids().filter(|&id| id != own_id) {
        if ids.push(apic_id).is_err() {
            log::warn!(target: "smp", "more than {MAX_CORES} cores: the rest stay off");
            break;
        }
    }
    let wanted = (limit.max(1) - 1).min(MAX_CORES as u32 - 1);
    if ids.len() as u32 > wanted {
        log::info!(target: "smp", "{} of {} cores stay off, as asked", ids.len() as u32 - wanted, ids.len() + 1);
        ids.truncate(wanted as usize);
    }
    if ids.is_empty() {
        return 1;
    }
    let Some(page) = crate::boot::boot_memory().trampoline_page else {
        log::warn!(target: "smp", "no free page below 1 MiB to start cores from: running on one core");
        return 1;
    };
    // SAFETY: boot set this page of RAM aside for this use, and this is the one user.
    let trampoline = match unsafe { Trampoline::prepare(page, cpu::features().nx) } {
        Ok(trampoline) => trampoline,
        Err(error) => {
            log::warn!(target: "smp", "the start-up page cannot be made: {error}; running on one core");
            return 1;
        }
    };
    let reachable = |id: u32| id < 0xff || lapic::mode() == Some(lapic::Mode::X2Apic);
    for &apic_id in ids.iter().filter(|&&id| reachable(id)) {
        lapic::send_init(apic_id);
    }
    time::spin_us(AFTER_INIT_US);
    let mut running = 1;
    for &apic_id in &ids {
        let outcome = if reachable(apic_id) {
            start_one(&trampoline, running, apic_id, enter)
        } else {
            Err(Missing::NeedsX2Apic)
        };
        match outcome {
            Ok(()) => running += 1,
            Err(why) => {
                log::error!(target: "smp", "the core with APIC id {apic_id} is left out: {why}")
            }
        }
    }
    running
}

fn start_one(
    trampoline: &Trampoline,
    core: u32,
    apic_id: u32,
    enter: fn(u32) -> !,
) -> Result<(), Missing> {
    let stacks = CoreStacks::new(core).map_err(Missing::OutOfMemory)?;
    let no_memory = Missing::OutOfMemory(MapError::OutOfFrames);
    let block = leak(PerCpu::new()).ok_or(no_memory)?;
    let newcomer = leak(Newcomer {
        slot: StartSlot {
            expected_apic_id: AtomicU32::new(apic_id),
            id_leaf: AtomicU32::new(apic_id_leaf()),
            cr3: paging::kernel_root(),
            stack_top: stacks.executor_top,
            main: newcomer_main,
        },
        state: AtomicU32::new(state::EXPECTED),
        core,
        apic_id,
        block,
        tops: stacks.interrupt_tops,
        exchange: Exchange::new(),
        enter,
        offset_ticks: AtomicU64::new(0),
        uncertainty_ticks: AtomicU64::new(u64::MAX),
    })
    .ok_or(no_memory)?;
    trampoline.set_slot(core::ptr::from_ref(newcomer).cast());

    lapic::send_startup(apic_id, trampoline.startup_page());
    if !wait_while(newcomer, state::EXPECTED, AFTER_STARTUP_US) {
        lapic::send_startup(apic_id, trampoline.startup_page());
        if !wait_while(newcomer, state::EXPECTED, ARRIVAL_US) {
            newcomer
                .slot
                .expected_apic_id
                .store(NOBODY, Ordering::Release);
            if newcomer.go_on(state::EXPECTED, state::GIVEN_UP) {
                return Err(Missing::Silent);
            }
        }
    }
    if !wait_while(newcomer, state::ARRIVED, SET_UP_US)
        && newcomer.go_on(state::ARRIVED, state::GIVEN_UP)
    {
        return Err(Missing::Stuck);
    }
    // A few instructions, unless the host takes its time away: it counts as running in any case.
    wait_while(newcomer, state::JOINING, SET_UP_US);
    report_clock(newcomer);
    Ok(())
}

/// Waits, answering the newcomer's questions about the time, until its state is no longer `while_state`.
fn wait_while(newcomer: &Newcomer, while_state: u32, limit_us: u64) -> bool {
    let begin = time::now_ticks();
    let limit_ticks = time::ns_to_ticks(limit_us * 1000);
    while newcomer.state.load(Ordering::Acquire) == while_state {
        newcomer.exchange.serve();
        if time::now_ticks().wrapping_sub(begin) > limit_ticks {
            return newcomer.state.load(Ordering::Acquire) != while_state;
        }
        core::hint::spin_loop();
    }
    true
}

/// Core `core`'s TSC minus core 0's as measured when it started, in ticks, before correction; `None` if it does not run.
pub fn tsc_offset_ticks(core: u32) -> Option<i64> {
    let block = percpu::get(core)?;
    // What is added to a core's TSC is the negated difference.
    Some((block.platform.tsc_offset.load(Ordering::Relaxed) as i64).wrapping_neg())
}

fn report_clock(newcomer: &Newcomer) {
    let Newcomer { core, .. } = newcomer;
    let offset = newcomer.offset_ticks.load(Ordering::Relaxed) as i64;
    let uncertainty = newcomer.uncertainty_ticks.load(Ordering::Relaxed);
    let ns = |ticks: u64| time::ticks_to_ns(ticks);
    if uncertainty == u64::MAX {
        log::warn!(target: "smp", "core {core}'s clock could not be compared with core 0's: taken to be equal");
    } else if offset.unsigned_abs() > uncertainty {
        log::warn!(
            target: "smp",
            "core {core}'s TSC differs from core 0's by {} ns (± {} ns): corrected in software",
            if offset < 0 { ns(offset.unsigned_abs()) as i64 } else { -(ns(offset as u64) as i64) },
            ns(uncertainty),
        );
    } else {
        log::debug!(target: "smp", "core {core}'s TSC equals core 0's within {} ns", ns(uncertainty));
    }
}

/// The CPUID leaf in which a core finds its own APIC id: the topology leaf where it is filled in, else leaf 1.
fn apic_id_leaf() -> u32 {
    const TOPOLOGY: u32 = 0xb;
    let has_leaf = core::arch::x86_64::__cpuid(0).eax >= TOPOLOGY;
    // EBX is zero where the leaf is not (Intel SDM vol. 2A, CPUID).
    let filled_in = has_leaf && core::arch::x86_64::__cpuid_count(TOPOLOGY, 0).ebx != 0;
    if filled_in { TOPOLOGY } else { 1 }
}

/// First compiled code of a starting core, on its own stack and the kernel's page tables, interrupts off.
extern "C" fn newcomer_main(slot: *const StartSlot) -> ! {
    // SAFETY: `start_one` passes the address of a leaked `Newcomer`, whose first field is the slot (`repr(C)`).
    let newcomer = unsafe { &*slot.cast::<Newcomer>() };
    if !newcomer.go_on(state::EXPECTED, state::ARRIVED) {
        halt_forever();
    }
    // SAFETY: this core, once, interrupts off; block and stacks were made for it, and the exchange above lets
    // nobody else get here with them.
    unsafe {
        cpu::init_core(
            newcomer.block,
            newcomer.core,
            newcomer.apic_id,
            &newcomer.tops,
        )
    };
    // SAFETY: once on this core, which is on the kernel's own tables.
    unsafe { crate::mem::user_tables::init_this_core() };
    irq::init_this_core();
    time::init_this_core(Some(&newcomer.exchange)).inspect(|offset| {
        newcomer
            .offset_ticks
            .store(offset.ticks as u64, Ordering::Relaxed);
        newcomer
            .uncertainty_ticks
            .store(offset.uncertainty_ticks, Ordering::Relaxed);
    });
    if !newcomer.go_on(state::ARRIVED, state::JOINING) {
        // Too late: the boot core has given up, and the number may be another core's by now.
        halt_forever();
    }
    percpu::list(newcomer.block, newcomer.core);
    newcomer.state.store(state::RUNNING, Ordering::Release);
    (newcomer.enter)(newcomer.core)
}

/// Ends core `core`'s halt, or makes it pass through its interrupt path once. Sticky: if it is about to halt, the
/// halt ends at once.
#[inline]
pub fn wake(core: u32) {
    if let Some(block) = percpu::get(core) {
        lapic::send_fixed(block.apic_id.load(Ordering::Relaxed), vectors::WAKE);
    }
}

/// Makes core `core` look for requests to flush translations, in a top half.
fn call(core: u32) {
    if let Some(block) = percpu::get(core) {
        lapic::send_fixed(block.apic_id.load(Ordering::Relaxed), vectors::CALL);
    }
}

/// How long the other cores may take to stop, in spins: a dying kernel may have no clock yet.
const STOP_SPINS: u32 = 20_000_000;

/// Stops all other cores for good, by NMI, also those with interrupts off. Returns how many did not stop in time.
/// Takes no lock; for the report of a dying kernel.
pub fn stop_other_cores() -> u32 {
    if lapic::mode().is_none() {
        // Before interrupts are set up there are no other cores.
        return 0;
    }
    let own = percpu::core_number();
    nmi::ask_to_stop(own);
    let mut waiting = 0;
    for core in (0..percpu::count()).filter(|&core| core != own) {
        if let Some(block) = percpu::get(core) {
            lapic::send_nmi(block.apic_id.load(Ordering::Relaxed));
            waiting += 1;
        }
    }
    for _ in 0..STOP_SPINS {
        if nmi::stopped_count() >= waiting {
            return 0;
        }
        core::hint::spin_loop();
    }
    waiting.saturating_sub(nmi::stopped_count())
}
