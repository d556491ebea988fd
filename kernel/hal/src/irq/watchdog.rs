//! The watchdog: finds a core that is stuck with its interrupts off, names it, and makes it say where it is.
//!
//! What it concludes from what it sees is pure logic in [`kerncore::watchdog`]; here is what it sees, and what is done
//! about it. Every two seconds some core looks at all cores. A core without progress is pinged by an ordinary
//! interrupt; one that does not answer gets an NMI, whose handler writes a report: which task, where, how it got there.
//!
//! The looks come from an HPET comparator, delivered to core 0 as an NMI, so that core 0's own interrupts need not be
//! on; without an HPET, from the CMOS clock's once-a-second interrupt, delivered likewise. If there is neither, whoever takes a
//! wake or timer interrupt looks, if it is time: then a stuck core is found only while another one has something to do, and
//! a lone core cannot be found at all.

use core::cell::UnsafeCell;
use core::fmt::Write;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use executor::{CoreId, Platform, TaskId};
use kerncore::watchdog::{Action, CoreWatch, Limits, Observation, Verdict};

use super::ioapic::{self, Delivery};
use super::{Polarity, Trigger, lapic, source, vectors};
use crate::cpu::backtrace;
use crate::cpu::percpu::{self, PerCpu};
use crate::cpu::report::EmergencyOutput;
use crate::cpu::trap::TrapFrame;
use crate::platform::KernelPlatform;
use crate::time::{self, rtc};

/// From one look to the next.
const PERIOD_MS: u32 = 2000;
/// A look this soon after the last one is an NMI that was not ours.
const LEAST_MS: u32 = PERIOD_MS * 3 / 4;
/// The IOAPIC input that the PIT's channel 0 is wired to on every PC; the channel is silenced at boot.
const PIT_INPUT: u8 = 2;
/// The ISA interrupt of the CMOS clock on every PC.
const CMOS_CLOCK_ISA_IRQ: u8 = 8;

/// What the watchdog keeps for each core.
pub(crate) struct WatchedCore {
    /// Conclusions so far; only touched by who holds [`LOOKING`].
    watch: UnsafeCell<CoreWatch>,
    /// When the core last answered a ping, nanoseconds.
    answered_ns: AtomicU64,
    /// It is to report at its next NMI; since when it is stuck, nanoseconds; 0 if not.
    report_stuck_since_ns: AtomicU64,
    /// It has been named a long poll and not recovered.
    long_poll_told: AtomicBool,
}

// SAFETY: the cell is touched only under `LOOKING`; all the rest are atomics.
unsafe impl Sync for WatchedCore {}

impl WatchedCore {
    pub(crate) const fn new() -> Self {
        Self {
            watch: UnsafeCell::new(CoreWatch::new()),
            answered_ns: AtomicU64::new(0),
            report_stuck_since_ns: AtomicU64::new(0),
            long_poll_told: AtomicBool::new(false),
        }
    }
}

/// Who looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heartbeat {
    /// An HPET comparator, by NMI to core 0.
    Hpet {
        /// The global system interrupt that it comes in on.
        gsi: u32,
    },
    /// The CMOS clock, by NMI to core 0, once a second (every second one is a look).
    CmosClock {
        /// The global system interrupt that it comes in on.
        gsi: u32,
    },
    /// Whoever takes an interrupt.
    Interrupts,
}

const OFF: u32 = 0;
const BY_HPET: u32 = 1;
const BY_CMOS_CLOCK: u32 = 2;
const BY_INTERRUPTS: u32 = 3;
static MODE: AtomicU32 = AtomicU32::new(OFF);
/// The heartbeat's GSI plus one, 0 for none.
static LINE: AtomicU32 = AtomicU32::new(0);
/// Held while somebody looks; whoever finds it held does not wait but leaves it to the other.
static LOOKING: AtomicBool = AtomicBool::new(false);
/// No look before then, in ticks.
static NEXT_TICKS: AtomicU64 = AtomicU64::new(0);
static STUCK_REPORTS: AtomicU64 = AtomicU64::new(0);
static LONG_POLL_REPORTS: AtomicU64 = AtomicU64::new(0);

/// How many times a core was found stuck with its interrupts off and reported where.
pub fn stuck_reports() -> u64 {
    STUCK_REPORTS.load(Ordering::Relaxed)
}

/// How many times a core was found taking interrupts but holding on to one poll.
pub fn long_poll_reports() -> u64 {
    LONG_POLL_REPORTS.load(Ordering::Relaxed)
}

/// The line that the heartbeat comes in on.
pub(super) fn line() -> Option<u32> {
    LINE.load(Ordering::Relaxed).checked_sub(1)
}

/// Starts watching. Once, when the cores run.
pub fn start() -> Heartbeat {
    set_next_look();
    let heartbeat = start_hpet()
        .or_else(start_cmos_clock)
        .unwrap_or(Heartbeat::Interrupts);
    match heartbeat {
        Heartbeat::CmosClock { gsi } => {
            log::info!(target: "watchdog", "no usable HPET: CMOS clock, by NMI on GSI {gsi} every second");
        }
        Heartbeat::Hpet { gsi } => {
            log::info!(target: "watchdog", "HPET, by NMI on GSI {gsi} every {PERIOD_MS} ms")
        }
        Heartbeat::Interrupts => {
            MODE.store(BY_INTERRUPTS, Ordering::Release);
            log::warn!(
                target: "watchdog",
                "no usable HPET or CMOS clock: a core stuck with interrupts off is noticed only when another takes an interrupt"
            );
        }
    }
    heartbeat
}

fn start_hpet() -> Option<Heartbeat> {
    let hpet = time::hpet()?;
    let (comparator, inputs) = hpet.periodic_comparator()?;
    let free = |input: u8| inputs & 1 << input != 0 && !source::is_claimed(u32::from(input));
    // The PIT's input is nobody else's; else one that no ISA device has, from the top.
    let input = core::iter::once(PIT_INPUT)
        .chain((16..32).rev())
        .find(|&input| free(input))?;
    let gsi = u32::from(input);
    let line = ioapic::find(gsi)?;
    let apic_id = percpu::get(0)?.apic_id.load(Ordering::Relaxed);
    ioapic::route(
        line,
        Delivery::Nmi,
        apic_id,
        Polarity::ActiveHigh,
        Trigger::Edge,
    )
    .ok()?;
    LINE.store(gsi + 1, Ordering::Relaxed);
    MODE.store(BY_HPET, Ordering::Release);
    hpet.start_periodic(comparator, input, PERIOD_MS);
    Some(Heartbeat::Hpet { gsi })
}

fn start_cmos_clock() -> Option<Heartbeat> {
    if !time::has_cmos_clock() || !time::cmos_clock_runs() {
        return None;
    }
    let route = super::isa_route(CMOS_CLOCK_ISA_IRQ)?;
    if route.trigger != Trigger::Edge || source::is_claimed(route.gsi) {
        return None;
    }
    let line = ioapic::find(route.gsi)?;
    let apic_id = percpu::get(0)?.apic_id.load(Ordering::Relaxed);
    ioapic::route(line, Delivery::Nmi, apic_id, route.polarity, Trigger::Edge).ok()?;
    LINE.store(route.gsi + 1, Ordering::Relaxed);
    MODE.store(BY_CMOS_CLOCK, Ordering::Release);
    rtc::start_heartbeat();
    Some(Heartbeat::CmosClock { gsi: route.gsi })
}

/// What an NMI is for, if it is the watchdog's.
pub(super) fn nmi(own: &WatchedCore, number: u32, frame: &TrapFrame) {
    let since_ns = own.report_stuck_since_ns.swap(0, Ordering::AcqRel);
    if since_ns != 0 {
        report_where(number, since_ns, frame);
    }
    let mode = MODE.load(Ordering::Acquire);
    if number != 0 || (mode != BY_HPET && mode != BY_CMOS_CLOCK) {
        return;
    }
    if mode == BY_CMOS_CLOCK {
        rtc::rearm_heartbeat();
    }
    look_if_due(number, Some(frame));
}

/// After the top half of a wake or timer interrupt: where there is no HPET, this is when somebody looks.
#[inline]
pub(super) fn after_interrupt() {
    if MODE.load(Ordering::Relaxed) == BY_INTERRUPTS {
        look_if_due(percpu::core_number(), None);
    }
}

/// The top half of a ping.
pub(super) fn answer() {
    let now_ns = time::ticks_to_ns(time::now_ticks());
    percpu::this()
        .platform
        .watch
        .answered_ns
        .store(now_ns, Ordering::Relaxed);
}

fn set_next_look() {
    let ticks = time::ns_to_ticks(u64::from(LEAST_MS) * 1_000_000);
    NEXT_TICKS.store(time::now_ticks().saturating_add(ticks), Ordering::Relaxed);
}

/// Looks at all cores, if it is time. `frame`: what an NMI on this core interrupted.
fn look_if_due(own: u32, frame: Option<&TrapFrame>) {
    if time::now_ticks() < NEXT_TICKS.load(Ordering::Relaxed)
        || LOOKING.swap(true, Ordering::Acquire)
    {
        return;
    }
    set_next_look();
    for number in 0..percpu::count() {
        let Some(core) = percpu::get(number) else {
            continue;
        };
        let Some(seen) = observe(number, core) else {
            continue;
        };
        let now_ns = time::ticks_to_ns(time::now_ticks());
        // SAFETY: `LOOKING` is held by this very call: nobody else touches the cell.
        let watch = unsafe { &mut *core.platform.watch.watch.get() };
        let (verdict, action) = watch.observe(now_ns, seen, Limits::DEFAULT);
        act(
            number,
            core,
            action,
            verdict,
            (number == own).then_some(frame).flatten(),
        );
    }
    LOOKING.store(false, Ordering::Release);
}

/// What a core publishes about itself; `None` while it runs no executor.
fn observe(number: u32, core: &PerCpu) -> Option<Observation> {
    let fleet = KernelPlatform::fleet();
    let id = CoreId::new(number as usize)?;
    let stats = fleet.core_stats(id)?;
    let (halted, halts) = core.platform.halts();
    let poll = fleet.polling(id);
    Some(Observation {
        // Counts that only grow, and whether a poll is under way: each poll's beginning and end changes the sum. A thread that
        // stays in ring 3 in one long poll is interrupted by the ping, and entered again.
        progress: (stats
            .dispatches
            .get()
            .wrapping_add(halts)
            .wrapping_add(core.user.entries())
            << 1)
            | u64::from(poll.is_some()),
        idle: halted,
        task: poll.map(|poll| poll.task.to_bits()),
        answered_ns: core.platform.watch.answered_ns.load(Ordering::Relaxed),
    })
}

fn act(
    number: u32,
    core: &PerCpu,
    action: Action,
    verdict: Verdict,
    own_frame: Option<&TrapFrame>,
) {
    let apic_id = core.apic_id.load(Ordering::Relaxed);
    match action {
        Action::None => {}
        Action::Ping => lapic::send_fixed_in_nmi(apic_id, vectors::PING),
        Action::Nmi => {
            let Verdict::InterruptsOff { since_ns, .. } = verdict else {
                return;
            };
            match own_frame {
                Some(frame) => report_where(number, since_ns, frame),
                None => {
                    core.platform
                        .watch
                        .report_stuck_since_ns
                        .store(since_ns.max(1), Ordering::Release);
                    lapic::send_nmi(apic_id);
                }
            }
        }
    }
    let told = &core.platform.watch.long_poll_told;
    match verdict {
        Verdict::Healthy => told.store(false, Ordering::Relaxed),
        Verdict::LongPoll { since_ns, .. } if !told.swap(true, Ordering::Relaxed) => {
            LONG_POLL_REPORTS.fetch_add(1, Ordering::Relaxed);
            let _ = write_headline(
                number,
                since_ns,
                "takes interrupts, but has been in one poll",
            );
        }
        Verdict::LongPoll { .. } | Verdict::InterruptsOff { .. } => {}
    }
}

/// Written by the stuck core itself, in its NMI handler.
fn report_where(number: u32, since_ns: u64, frame: &TrapFrame) {
    if frame.interrupts_enabled() {
        // It has come round meanwhile.
        return;
    }
    STUCK_REPORTS.fetch_add(1, Ordering::Relaxed);
    // Output that fails has nowhere to say so.
    let _ = write_headline(number, since_ns, "is stuck with interrupts off");
    let _ = backtrace::write(&mut EmergencyOutput, frame.rip, frame.rbp);
}

fn write_headline(number: u32, since_ns: u64, what: &str) -> core::fmt::Result {
    let now_ns = time::ticks_to_ns(time::now_ticks());
    let seconds = now_ns.saturating_sub(since_ns) / 1_000_000_000;
    write!(
        EmergencyOutput,
        "\nRAEDE WATCHDOG: core {number} {what} for {seconds} s or more, "
    )?;
    let poll = CoreId::new(number as usize).and_then(|core| KernelPlatform::fleet().polling(core));
    match poll {
        Some(poll) => {
            let id: TaskId = poll.task;
            let name = KernelPlatform::fleet()
                .task(id)
                .map_or("(gone)", |task| task.name);
            writeln!(EmergencyOutput, "in task {id} {name}")
        }
        None => writeln!(EmergencyOutput, "in no task"),
    }
}
