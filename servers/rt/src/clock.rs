//! Time: a monotonic tick count and sleeping until a tick.

use core::future::Future;

const NANOSECONDS_PER_SECOND: u128 = 1_000_000_000;

/// The monotonic clock a server is given.
pub trait Clock: Send + Sync {
    /// Ticks since an arbitrary start; the same on all cores, never going back.
    fn now_ticks(&self) -> u64;
    /// Ticks in a second; constant and at least 1.
    fn ticks_per_second(&self) -> u64;
    /// Sleeps until `now_ticks() >= deadline_ticks`; ready at once if that is past.
    fn sleep_until(&self, deadline_ticks: u64) -> impl Future<Output = ()> + Send;

    /// Sleeps for at least `duration_ns` nanoseconds, counted from the call.
    fn sleep(&self, duration_ns: u64) -> impl Future<Output = ()> + Send {
        self.sleep_until(self.now_ticks().saturating_add(self.ticks_in(duration_ns)))
    }

    /// `duration_ns` in ticks, rounded up, so that a sleep is never short.
    fn ticks_in(&self, duration_ns: u64) -> u64 {
        let ticks = (u128::from(duration_ns) * u128::from(self.ticks_per_second()))
            .div_ceil(NANOSECONDS_PER_SECOND);
        u64::try_from(ticks).unwrap_or(u64::MAX)
    }
}

impl<T: Clock> Clock for &T {
    fn now_ticks(&self) -> u64 {
        (**self).now_ticks()
    }
    fn ticks_per_second(&self) -> u64 {
        (**self).ticks_per_second()
    }
    fn sleep_until(&self, deadline_ticks: u64) -> impl Future<Output = ()> + Send {
        (**self).sleep_until(deadline_ticks)
    }
}
