//! What the driver saw, for anybody to read at any time.

use core::sync::atomic::{AtomicU64, Ordering};

/// A copy of the counters of a [`Uart`](crate::Uart), since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Interrupts delivered.
    pub interrupts: u64,
    /// Deliveries that found nothing to do.
    pub spurious: u64,
    /// Bytes received and passed on.
    pub received: u64,
    /// Bytes sent.
    pub sent: u64,
    /// Times the hardware lost received bytes, as its FIFO was full.
    pub overruns: u64,
    /// Bytes with wrong parity (passed on).
    pub parity_errors: u64,
    /// Bytes without a stop bit (passed on).
    pub framing_errors: u64,
    /// Break conditions.
    pub breaks: u64,
    /// Times reception was held back, as the reader's pipe was full.
    pub stalls: u64,
}

#[derive(Default)]
pub(crate) struct Live {
    pub interrupts: Count,
    pub spurious: Count,
    pub received: Count,
    pub sent: Count,
    pub overruns: Count,
    pub parity_errors: Count,
    pub framing_errors: Count,
    pub breaks: Count,
    pub stalls: Count,
}

/// Only the driver's task writes, so that a load and a store do, without a locked instruction.
#[derive(Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub fn add(&self, more: u64) {
        self.0
            .store(self.get().wrapping_add(more), Ordering::Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Live {
    pub fn copy(&self) -> Counters {
        Counters {
            interrupts: self.interrupts.get(),
            spurious: self.spurious.get(),
            received: self.received.get(),
            sent: self.sent.get(),
            overruns: self.overruns.get(),
            parity_errors: self.parity_errors.get(),
            framing_errors: self.framing_errors.get(),
            breaks: self.breaks.get(),
            stalls: self.stalls.get(),
        }
    }
}
