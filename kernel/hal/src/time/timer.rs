//! The one-shot timer of each core: armed for the earliest need and for nothing else.
//!
//! Two ways, chosen once for all cores: the local APIC's down-counter, whose clock was calibrated against the TSC,
//! or its TSC-deadline mode (Intel SDM vol. 3A §12.5.4.1; untested under QEMU TCG, which lacks it).

use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use crate::cpu::percpu;
use crate::irq::lapic::{self, Divider};

/// Not armed.
const NEVER: u64 = u64::MAX;
/// Counts a full counter should last for, in seconds: the divider is chosen for it, so that an idle core
/// with a far deadline wakes for nothing once a minute at most.
const COUNTER_SECONDS: u64 = 60;

/// A core's timer, as it was last armed.
pub(crate) struct CoreTimer {
    armed_for_ticks: AtomicU64,
}

impl CoreTimer {
    pub(crate) const fn new() -> Self {
        Self {
            armed_for_ticks: AtomicU64::new(NEVER),
        }
    }

    /// Whether it fires at `at_ticks` or earlier; asked by the core itself. At `u64::MAX` nothing needs to.
    #[inline(always)]
    pub(crate) fn fires_by(&self, at_ticks: u64) -> bool {
        self.armed_for_ticks.load(Ordering::Relaxed) <= at_ticks
    }
}

static DEADLINE_MODE: AtomicBool = AtomicBool::new(false);
/// Counts per tick after the divider, 32.32 fixed point.
static COUNTS_PER_TICK_Q32: AtomicU64 = AtomicU64::new(0);
static DIVIDER_POWER: AtomicU32 = AtomicU32::new(0);
/// A need further away than this is armed for this.
static LONGEST_TICKS: AtomicU64 = AtomicU64::new(0);

/// Chooses the way. `counter_hz` is the local APIC counter's rate undivided.
pub(super) fn init(counter_hz: u64, ticks_per_second: u64) {
    let fits =
        |power: u32| (counter_hz >> power).saturating_mul(COUNTER_SECONDS) <= u64::from(u32::MAX);
    let power = (0..7).find(|&power| fits(power)).unwrap_or(7);
    let divided_q32 = (u128::from(counter_hz) << 32 >> power) / u128::from(ticks_per_second.max(1));
    let counts_per_tick_q32 = u64::try_from(divided_q32).unwrap_or(u64::MAX).max(1);
    let longest = (u128::from(u32::MAX - 1) << 32) / u128::from(counts_per_tick_q32);
    DIVIDER_POWER.store(power, Ordering::Relaxed);
    COUNTS_PER_TICK_Q32.store(counts_per_tick_q32, Ordering::Relaxed);
    LONGEST_TICKS.store(
        u64::try_from(longest).unwrap_or(u64::MAX),
        Ordering::Relaxed,
    );
    DEADLINE_MODE.store(crate::cpu::features().tsc_deadline, Ordering::Relaxed);
}

/// Whether timers run in TSC-deadline mode.
pub fn uses_deadline_mode() -> bool {
    DEADLINE_MODE.load(Ordering::Relaxed)
}

/// Readies the calling core's timer, disarmed.
pub(crate) fn init_this_core() {
    if uses_deadline_mode() {
        lapic::timer_deadline_mode();
    } else {
        lapic::timer_one_shot(Divider::power_of_two(DIVIDER_POWER.load(Ordering::Relaxed)));
    }
    percpu::this()
        .platform
        .timer
        .armed_for_ticks
        .store(NEVER, Ordering::Relaxed);
}

/// Arms the calling core's timer for `at_ticks` of [`now_ticks`](super::now_ticks), which now reads `now_ticks`; a moment
/// already past fires at once. Does nothing if it is armed for that already. Interrupts must be off.
///
/// A far moment is shortened to what the counter can hold: the core then wakes early and arms again.
#[inline]
pub(crate) fn arm(at_ticks: u64, now_ticks: u64) {
    let core = &percpu::this().platform;
    if core.timer.armed_for_ticks.load(Ordering::Relaxed) == at_ticks {
        return;
    }
    core.timer
        .armed_for_ticks
        .store(at_ticks, Ordering::Relaxed);
    if uses_deadline_mode() {
        // Zero would disarm.
        lapic::timer_deadline(
            at_ticks
                .wrapping_sub(core.tsc_offset.load(Ordering::Relaxed))
                .max(1),
        );
        return;
    }
    let ahead = at_ticks
        .saturating_sub(now_ticks)
        .min(LONGEST_TICKS.load(Ordering::Relaxed));
    let per_tick = COUNTS_PER_TICK_Q32.load(Ordering::Relaxed);
    // Rounded up: firing a hair early would cost a second interrupt for the same need.
    let counts = ((u128::from(ahead) * u128::from(per_tick)) >> 32) as u64 + 1;
    lapic::timer_start(u32::try_from(counts).unwrap_or(u32::MAX));
}

/// Disarms the calling core's timer, if it is armed. Interrupts must be off.
#[inline]
pub(crate) fn disarm() {
    let timer = &percpu::this().platform.timer;
    if timer.armed_for_ticks.load(Ordering::Relaxed) == NEVER {
        return;
    }
    timer.armed_for_ticks.store(NEVER, Ordering::Relaxed);
    if uses_deadline_mode() {
        lapic::timer_deadline(0);
    } else {
        lapic::timer_start(0);
    }
}

/// The top half of the timer's interrupt: what it was armed for is no longer armed. The halt it ends, or the
/// executor's next look at the clock, does the rest.
#[inline]
pub(crate) fn top_half() {
    // An interrupt already on its way when the timer was armed anew must not make it look disarmed.
    if lapic::timer_has_fired(uses_deadline_mode()) {
        percpu::this()
            .platform
            .timer
            .armed_for_ticks
            .store(NEVER, Ordering::Relaxed);
    }
}

/// What core `core`'s timer is armed for, in ticks of [`now_ticks`](super::now_ticks).
pub fn armed_for_ticks(core: u32) -> Option<u64> {
    let armed = percpu::get(core)?
        .platform
        .timer
        .armed_for_ticks
        .load(Ordering::Relaxed);
    (armed != NEVER).then_some(armed)
}
