//! The executor's seams in ring 0: the clock, "which core, and am I in an interrupt", the wake interrupt, and idle.
//!
//! Idle is where a wake is most easily lost. Here: interrupts off, the executor looks once more whether there is
//! anything to do, the one-shot timer is armed for the next need (or disarmed: an idle core takes no timer interrupt when
//! nothing is due), and `sti; hlt` as one step. An interrupt between the look and the halt stays pending and ends the
//! halt at once, because `sti` takes effect only after the instruction that follows it (Intel SDM vol. 2B, STI).

use core::arch::asm;
use core::future::poll_fn;
use core::panic::Location;
use core::sync::atomic::{AtomicU64, Ordering};
use core::task::Poll;

use conquer_once::spin::OnceCell;
use crossbeam_queue::ArrayQueue;
use executor::{CoreId, Event, Fleet, Here, Moment, Platform, TaskId};
use futures_util::task::AtomicWaker;

use crate::cpu::percpu;
use crate::irq::VectorTable;
use crate::irq::nmi::NmiCore;
use crate::irq::watchdog::WatchedCore;
use crate::mem::user_tables::ActiveCore;
use crate::smp::tlb::TlbCore;
use crate::time::timer::{self, CoreTimer};
use crate::{smp, time, trace};

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
    /// The address space it has loaded.
    pub(crate) active: ActiveCore,
    /// Requests to flush translations.
    pub(crate) tlb: TlbCore,
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
            active: ActiveCore::new(),
            tlb: TlbCore::new(),
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

    #[inline(always)]
    fn recorder() -> bool {
        trace::is_on()
    }

    fn moment(moment: Moment) {
        trace::moment(moment);
    }

    fn event(event: Event) {
        if trace::is_on() {
            trace::event(&event);
        }
        let Some(notices) = NOTICES.get() else { return };
        let Some(notice) = notice_of(event, notices.long_poll_ticks) else {
            return;
        };
        if notices.queue.push(notice).is_err() {
            notices.dropped.fetch_add(1, Ordering::Relaxed);
        }
        notices.reader.wake();
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

/// Notices kept until a task takes them. More than that at once are counted and dropped.
const KEPT_NOTICES: usize = 64;

/// Something an executor reports that a person should hear of.
#[derive(Clone, Copy, Debug)]
pub enum Notice {
    /// A poll held its core for at least the time given to [`keep_notices`].
    LongPoll {
        /// Whose poll.
        task: TaskId,
        /// The task's name.
        name: &'static str,
        /// Where it was spawned.
        place: Option<&'static Location<'static>>,
        /// How long the poll took, in ticks.
        ticks: u64,
        /// How long it may have taken, in ticks.
        allowed_ticks: u64,
    },
    /// A core has no free timer: its sleepers poll until one is free.
    TimersExhausted(CoreId),
}

/// What the executors of all cores have to tell, on its way to the task that logs it.
struct Notices {
    queue: ArrayQueue<Notice>,
    reader: AtomicWaker,
    dropped: AtomicU64,
    long_poll_ticks: u64,
}

static NOTICES: OnceCell<Notices> = OnceCell::uninit();

/// Starts keeping notices; of polls, those of at least `long_poll_ticks`. Allocates: call it while starting up.
pub fn keep_notices(long_poll_ticks: u64) {
    // Only the first call matters.
    let _ = NOTICES.try_init_once(|| Notices {
        queue: ArrayQueue::new(KEPT_NOTICES),
        reader: AtomicWaker::new(),
        dropped: AtomicU64::new(0),
        long_poll_ticks,
    });
}

/// Waits for the next notice, and says how many were dropped since the last one. One task at a time; waits for ever if
/// [`keep_notices`] was not called.
pub async fn next_notice() -> (Notice, u64) {
    poll_fn(|context| {
        let Some(notices) = NOTICES.get() else {
            return Poll::Pending;
        };
        notices.reader.register(context.waker());
        match notices.queue.pop() {
            Some(notice) => Poll::Ready((notice, notices.dropped.swap(0, Ordering::Relaxed))),
            None => Poll::Pending,
        }
    })
    .await
}

/// The notice that `event` is worth, if any. Names are read now: the task may be gone when somebody hears of it.
fn notice_of(event: Event, long_poll_ticks: u64) -> Option<Notice> {
    match event {
        Event::LongPoll {
            task,
            ticks,
            allowed_ticks,
        } if ticks >= long_poll_ticks => {
            let info = FLEET.task(task);
            Some(Notice::LongPoll {
                task,
                name: info.as_ref().map_or("(ended)", |info| info.name),
                place: info.and_then(|info| info.place),
                ticks,
                allowed_ticks,
            })
        }
        Event::TimersExhausted { core } => Some(Notice::TimersExhausted(core)),
        // Misses and shorter overruns are counted by the executor, per task and place.
        _ => None,
    }
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
