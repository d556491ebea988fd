//! Waiting for the clock: [`sleep`], [`sleep_until`], [`interval`], [`timeout`].
//!
//! A timer is armed at the first poll, stays where it is however often its future is polled again, and is disarmed when the
//! future is dropped. No timer allocates.

use core::{
    fmt,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use crate::{CoreId, Platform, raw::core::Core, timers::TimerId};

const NANOS: u128 = 1_000_000_000;

/// A duration in the platform's ticks, rounded up, saturating.
pub fn to_ticks<P: Platform>(duration: Duration) -> u64 {
    let per_second = P::ticks_per_second();
    let nanos = duration.subsec_nanos() as u64;
    // Up to 18 GHz without a division of 128 bits, which costs more than all the rest of a sleep.
    let part = match nanos.checked_mul(per_second) {
        Some(product) => product.div_ceil(NANOS as u64),
        None => (nanos as u128 * per_second as u128).div_ceil(NANOS) as u64,
    };
    duration
        .as_secs()
        .saturating_mul(per_second)
        .saturating_add(part)
}

/// Ticks of the platform as a duration, rounded down.
pub fn from_ticks<P: Platform>(ticks: u64) -> Duration {
    let per_second = P::ticks_per_second().max(1);
    let nanos = (ticks % per_second) as u128 * NANOS / per_second as u128;
    Duration::new(ticks / per_second, nanos as u32)
}

/// Completes at a tick of the clock.
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct Sleep<P: Platform> {
    until: u64,
    timer: Option<(CoreId, TimerId)>,
    platform: PhantomData<fn() -> P>,
}

/// Waits for `duration` from now.
pub fn sleep<P: Platform>(duration: Duration) -> Sleep<P> {
    sleep_until(P::now().saturating_add(to_ticks::<P>(duration)))
}

/// Waits until the clock shows `ticks`.
pub fn sleep_until<P: Platform>(ticks: u64) -> Sleep<P> {
    Sleep {
        until: ticks,
        timer: None,
        platform: PhantomData,
    }
}

impl<P: Platform> Sleep<P> {
    /// When it completes (ticks).
    pub fn until(&self) -> u64 {
        self.until
    }

    #[inline(always)]
    fn disarm(&mut self) {
        if let Some((core, timer)) = self.timer.take() {
            Self::disarm_on(core, timer);
        }
    }

    /// As `poll`, by who is no task of the fleet: looks at the clock again and again.
    #[cold]
    fn poll_elsewhere(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if P::now() >= self.until {
            self.disarm();
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    #[inline(never)]
    fn disarm_on(core: CoreId, timer: TimerId) {
        if let Some(core) = P::fleet().core(core) {
            core.disarm(timer);
        }
    }
}

impl<P: Platform> Unpin for Sleep<P> {}

impl<P: Platform> Future for Sleep<P> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Some(home) = Core::<P>::at_home() else {
            return self.poll_elsewhere(context);
        };
        if let Some((core, timer)) = self.timer {
            if core == home.id {
                if home.refresh_timer(timer, context.waker()) {
                    return Poll::Pending;
                }
                // It fired. A timer never fires early.
                self.timer = None;
                return Poll::Ready(());
            }
            // The task moved to another core: so does its timer.
            self.disarm();
        }
        if home.has_passed(self.until) {
            return Poll::Ready(());
        }
        match home.arm(self.until, context.waker()) {
            Some(timer) => self.timer = Some((home.id, timer)),
            // No timer is free: look at the clock again.
            None => context.waker().wake_by_ref(),
        }
        Poll::Pending
    }
}

impl<P: Platform> Drop for Sleep<P> {
    fn drop(&mut self) {
        self.disarm();
    }
}

/// Ticks at a fixed rate without drift.
#[derive(Debug)]
pub struct Interval<P: Platform> {
    sleep: Sleep<P>,
    period: u64,
}

/// An interval whose first tick is one `period` from now. A zero period is taken as one clock tick.
pub fn interval<P: Platform>(period: Duration) -> Interval<P> {
    let period = to_ticks::<P>(period).max(1);
    Interval {
        sleep: sleep_until(P::now().saturating_add(period)),
        period,
    }
}

impl<P: Platform> Interval<P> {
    /// Waits for the next tick and returns when it was due (clock ticks). One that is late comes at once and does
    /// not shift those after it. Dropping the future loses no tick.
    pub async fn tick(&mut self) -> u64 {
        core::future::poll_fn(|context| Pin::new(&mut self.sleep).poll(context)).await;
        let due = self.sleep.until;
        self.sleep = sleep_until(due.saturating_add(self.period));
        due
    }

    /// Skips the ticks that are past, and returns how many those were.
    pub fn skip_missed(&mut self) -> u64 {
        let behind = P::now().saturating_sub(self.sleep.until);
        let missed = behind / self.period;
        if missed > 0 {
            self.sleep = sleep_until(self.sleep.until.saturating_add(missed * self.period));
        }
        missed
    }
}

/// The time was up first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed;

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the time was up")
    }
}

impl core::error::Error for Elapsed {}

/// Awaits `future` for at most `duration`. When both are ready at once, the future wins.
///
/// # Errors
/// [`Elapsed`] when the time is up; the future is dropped then.
pub async fn timeout<P: Platform, F: Future>(
    duration: Duration,
    future: F,
) -> Result<F::Output, Elapsed> {
    let mut future = core::pin::pin!(future);
    let mut sleep = sleep::<P>(duration);
    core::future::poll_fn(|context| {
        if let Poll::Ready(output) = future.as_mut().poll(context) {
            return Poll::Ready(Ok(output));
        }
        Pin::new(&mut sleep).poll(context).map(|()| Err(Elapsed))
    })
    .await
}
