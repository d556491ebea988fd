//! A bounded stream of values from many senders to one receiver.

use core::fmt;

use super::{Disconnected, NoMemory};
use crate::{
    atomics::{AtomicUsize, Ordering},
    raw::{gate::Gate, ring::Ring, shared::Shared},
};

struct Common<T> {
    ring: Ring<T>,
    room: Gate,
    items: Gate,
    senders: AtomicUsize,
}

/// A channel for at most `capacity` values at a time (at least one). All memory is allocated here.
///
/// # Errors
/// When memory is short.
pub fn channel<T>(capacity: usize) -> Result<(Sender<T>, Receiver<T>), NoMemory> {
    let capacity = capacity.clamp(1, 1 << 30);
    let ring = Ring::with_capacity(capacity).map_err(|_| NoMemory)?;
    let shared = Common {
        ring,
        room: Gate::new(capacity, capacity),
        items: Gate::new(0, 1),
        senders: AtomicUsize::new(1),
    };
    let shared = Shared::new(shared).ok_or(NoMemory)?;
    Ok((
        Sender {
            shared: shared.clone(),
        },
        Receiver { shared },
    ))
}

/// Sends; may be cloned.
pub struct Sender<T> {
    shared: Shared<Common<T>>,
}

/// Receives.
pub struct Receiver<T> {
    shared: Shared<Common<T>>,
}

/// Why a value was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrySendError<T> {
    /// There is no room; try again when the receiver has taken some.
    Full(T),
    /// The receiver is gone.
    Disconnected(T),
}

impl<T> Sender<T> {
    /// Waits for room and sends. Cancel-safe: dropped before it completes, nothing was sent.
    ///
    /// # Errors
    /// The value, if the receiver is gone.
    pub async fn send(&self, value: T) -> Result<(), T> {
        match self.shared.room.acquire(1).await {
            Ok(()) => self.put(value),
            Err(_) => Err(value),
        }
    }

    /// Sends if there is room. Never spins for long and may be called from interrupt handlers; there it can find the channel
    /// locked by the very task it interrupted, and reports it as full.
    ///
    /// # Errors
    /// The value, if there is no room or the receiver is gone.
    pub fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        match self.shared.room.try_acquire_briefly(1) {
            Ok(true) => self.put(value).map_err(TrySendError::Disconnected),
            Ok(false) => Err(TrySendError::Full(value)),
            Err(_) => Err(TrySendError::Disconnected(value)),
        }
    }

    fn put(&self, value: T) -> Result<(), T> {
        // The permit is a place in the ring, which holds at least as many.
        self.shared.ring.push(value)?;
        self.shared.items.release(1);
        Ok(())
    }

    /// Where senders wait.
    pub(crate) fn line(&self) -> &Gate {
        &self.shared.room
    }

    /// Whether the receiver is gone.
    pub fn is_closed(&self) -> bool {
        self.shared.room.is_closed()
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.shared.senders.fetch_add(1, Ordering::Relaxed);
        Sender {
            shared: self.shared.clone(),
        }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        if self.shared.senders.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.shared.items.close();
        }
    }
}

impl<T> Receiver<T> {
    /// Waits for the next value. Cancel-safe: dropped before it completes, nothing was taken.
    ///
    /// # Errors
    /// [`Disconnected`] when all senders are gone and all values taken.
    pub async fn receive(&mut self) -> Result<T, Disconnected> {
        loop {
            if let Some(value) = self.try_receive() {
                return Ok(value);
            }
            if self.shared.items.acquire(1).await.is_err() {
                // No sender is left; what the last ones sent is still here.
                if crate::atomics::mutated("close_no_recheck") {
                    return Err(Disconnected);
                }
                return self.try_receive().ok_or(Disconnected);
            }
        }
    }

    /// The next value, if there is one.
    pub fn try_receive(&mut self) -> Option<T> {
        let value = self.shared.ring.pop()?;
        self.shared.room.release(1);
        Some(value)
    }

    /// Where the receiver waits.
    pub(crate) fn line(&self) -> &Gate {
        &self.shared.items
    }

    /// Refuses further values; those sent already can still be received.
    pub fn close(&mut self) {
        self.shared.room.close();
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.close();
        while self.shared.ring.pop().is_some() {}
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("mpsc::Sender")
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("mpsc::Receiver")
    }
}

impl<T> fmt::Display for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TrySendError::Full(_) => "the channel is full",
            TrySendError::Disconnected(_) => "the receiver is gone",
        })
    }
}
