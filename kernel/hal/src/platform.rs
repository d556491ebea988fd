//! The executor's seams in ring 0: the clock, "which core, and am I in an interrupt", the wake interrupt, and idle.
//!
//! Idle is where a wake is most easily lost. Here: interrupts off, the executor looks once more whether there is
//! anything to do, the one-shot timer is armed for the next need (or disarmed: an idle core takes no timer interrupt when
//! nothing is due), and `sti; hlt` as one step. An interrupt between the look and the halt stays pending and ends the
//! halt at once, because `sti` takes effect only after the instruction that follows it (Intel SDM vol. 2B, STI).

use core::arch::asm;
use core::future::poll_fn;
use core::sync::atomic::{AtomicU64, Ordering};
use core::task::Poll;

use conquer_once::spin::OnceCell;
use crossbeam_queue::ArrayQueue;
use executor::{CoreId, Event, Fleet, Here, Platform};
use futures_util::task::AtomicWaker;

use crate::cpu::percpu;
use crate::irq::VectorTable;
use crate::irq::nmi::NmiCore;
use crate::irq::watchdog::WatchedCore;
use crate::time::timer::{self, CoreTimer};
use crate::{smp, time};

/// What the platform keeps for each core, inside its [`percpu::PerCpu`]. Written by the core itself, read by all.
pub(crate) struct PlatformCore {
    /// Device vectors.
    pub(crate) vectors: VectorTable,
    /// The one-shot timer.
    pub(crate) timer: CoreTimer,
    /// Added to this core's TSC to get the boot core's, in ticks, wrapping.
    pub(crate) tsc_offset: AtomicU64,
    /// What the NMI handler keeps.
    pub(crate) nmi: NmiCore,
    /// What the watchdog keeps.
    pub(crate) watch: WatchedCore,
    idle: IdleTimes,
}

struct IdleTimes {
    /// When the halt under way began, in ticks; 0 while not halted.
    since_ticks: AtomicU64,
    total_ticks: AtomicU64,
    halts: AtomicU64,
}

impl PlatformCore {
    pub(crate) const fn new() -> Self {
        Self {
            vectors: VectorTable::new(),
            timer: CoreTimer::new(),
            tsc_offset: AtomicU64::new(0),
            nmi: NmiCore::new(),
            watch: WatchedCore::new(),
            idle: IdleTimes {
                since_ticks: AtomicU64::new(0),
                total_ticks: AtomicU64::new(0),
                halts: AtomicU64::new(0),
            },
        }
    }

    /// Whether the core is halted, and how often it has been.
    pub(crate) fn halts(&self) -> (bool, u64) {
        let halted = self.idle.since_ticks.load(Ordering::Relaxed) != 0;
        (halted, self.idle.halts.load(Ordering::Relaxed))
    }
}

/// How much of its life a core has spent halted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IdleTime {
    /// Ticks spent halted, the halt under way included.
    pub ticks: u64,
    /// How often it halted.
    pub halts: u64,
    /// Whether it is halted now.
    pub halted_now: bool,
}

/// Core `core`'s idle time.
pub fn idle_time(core: u32) -> Option<IdleTime> {
    let idle = &percpu::get(core)?.platform.idle;
    let total = idle.total_ticks.load(Ordering::Acquire);
    let since = idle.since_ticks.load(Ordering::Relaxed);
    let under_way = if since == 0 {
        0
    } else {
        time::now_ticks().saturating_sub(since)
    };
    Some(IdleTime {
        ticks: total + under_way,
        halts: idle.halts.load(Ordering::Relaxed),
        halted_now: since != 0,
    })
}

/// Ring 0 of this machine.
#[derive(Clone, Copy, Debug)]
pub struct KernelPlatform;

static FLEET: Fleet<KernelPlatform> = Fleet::new();

impl Platform for KernelPlatform {
    fn fleet() -> &'static Fleet<Self> {
        &FLEET
    }

    #[inline(always)]
    fn now() -> u64 {
        time::now_ticks()
    }

    #[inline(always)]
    fn ticks_per_second() -> u64 {
        time::ticks_per_second()
    }

    #[inline(always)]
    fn here() -> Here {
        // SAFETY: the word is this core's own number, and the trap path sets the interrupt bit around every
        // handler; the executor's layout of it is the per-core block's.
        unsafe { Here::from_bits(percpu::here_word()) }
    }

    #[inline]
    fn kick(core: CoreId) {
        smp::wake(core.index() as u32);
    }

    fn event(event: Event) {
        if let Some(events) = EVENTS.get() {
            if events.queue.push(event).is_err() {
                events.dropped.fetch_add(1, Ordering::Relaxed);
            }
            // The executor is in the middle of its own bookkeeping: wake as an interrupt would, through the inbox.
            let here = &percpu::this().here;
            let before = here.load(Ordering::Relaxed);
            here.store(before | percpu::IN_INTERRUPT, Ordering::Relaxed);
            events.reader.wake();
            here.store(before, Ordering::Relaxed);
        }
    }

    #[inline]
    fn idle(_core: CoreId, until: Option<u64>, still_idle: impl FnOnce() -> bool) {
        // SAFETY: every path below turns interrupts on again.
        unsafe { asm!("cli", options(nostack)) };
        let before = time::now_ticks();
        if !still_idle() || !arm_for(until, before) {
            // SAFETY: task context runs with interrupts on.
            unsafe { asm!("sti", options(nostack)) };
            return;
        }
        let idle = &percpu::this().platform.idle;
        idle.since_ticks.store(before.max(1), Ordering::Relaxed);
        // SAFETY: nothing can come between the two: `sti` holds interrupts back for one instruction.
        unsafe { asm!("sti", "hlt", options(nostack)) };
        let ticks = time::now_ticks().wrapping_sub(before);
        idle.since_ticks.store(0, Ordering::Relaxed);
        idle.halts
            .store(idle.halts.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        idle.total_ticks.store(
            idle.total_ticks.load(Ordering::Relaxed) + ticks,
            Ordering::Release,
        );
    }
}

/// Executor events kept until a task takes them. More than that at once are counted and dropped.
const KEPT_EVENTS: usize = 256;

/// What the executors of all cores have to tell, on its way to the task that logs it.
struct Events {
    queue: ArrayQueue<Event>,
    reader: AtomicWaker,
    dropped: AtomicU64,
}

static EVENTS: OnceCell<Events> = OnceCell::uninit();

/// Starts keeping executor events. Allocates: call it while starting up.
pub fn keep_events() {
    // Only the first call matters.
    let _ = EVENTS.try_init_once(|| Events {
        queue: ArrayQueue::new(KEPT_EVENTS),
        reader: AtomicWaker::new(),
        dropped: AtomicU64::new(0),
    });
}

/// Waits for the next event, and says how many were dropped since the last one. One task at a time; waits for ever if
/// [`keep_events`] was not called.
pub async fn next_event() -> (Event, u64) {
    poll_fn(|context| {
        let Some(events) = EVENTS.get() else {
            return Poll::Pending;
        };
        events.reader.register(context.waker());
        match events.queue.pop() {
            Some(event) => Poll::Ready((event, events.dropped.swap(0, Ordering::Relaxed))),
            None => Poll::Pending,
        }
    })
    .await
}

/// Arms the timer for `until`; `false` if that is past, so that there is no point in halting.
#[inline]
fn arm_for(until: Option<u64>, now_ticks: u64) -> bool {
    match until {
        Some(at_ticks) if at_ticks <= now_ticks => return false,
        Some(at_ticks) => timer::arm(at_ticks, now_ticks),
        None => timer::disarm(),
    }
    true
}
