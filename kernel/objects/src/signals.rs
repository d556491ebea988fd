//! What an object says about itself, and waiting for it.
//!
//! Signals are levels in one word. An object changes them **under its own lock**, together with what they tell about, and
//! informs those who wait **after** unlocking: [`SignalState::raise`] gives a [`Raised`], to be [told](Raised::tell). Any task on any core may do
//! that; a top half may not (the list of observers has a lock): an interrupt wakes a task, and the task raises.
//!
//! Waiting takes no memory: the waiter's node lies in its future. A future that is dropped takes nothing with it.

use core::{
    future::poll_fn,
    pin::pin,
    sync::atomic::{AtomicU32, AtomicUsize, Ordering},
    task::Poll,
};

use abi::{Error, Signals};
use executor::sync::Notify;

use crate::{lease::Lease, observers::Observers};

/// Something that happens, and how many wait for it: telling nobody costs one load.
#[derive(Debug, Default)]
pub(crate) struct Event {
    waiting: AtomicUsize,
    happened: Notify,
}

impl Event {
    pub(crate) const fn new() -> Self {
        Self {
            waiting: AtomicUsize::new(0),
            happened: Notify::new(),
        }
    }

    /// Wakes who waits, after what they look at has changed (sequentially consistent).
    #[inline]
    pub(crate) fn tell(&self) {
        if self.waiting.load(Ordering::SeqCst) != 0 {
            self.happened.notify_waiters();
        }
    }

    /// As [`until`], for what this event tells.
    pub(crate) async fn until<T>(
        &self,
        lease: Option<&Lease>,
        look: impl FnMut() -> Option<Result<T, Error>>,
    ) -> Result<T, Error> {
        let _counted = self.count();
        until(&self.happened, lease, look).await
    }

    /// Counts among those who wait, before looking.
    fn count(&self) -> Counted<'_> {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        Counted(self)
    }
}

struct Counted<'a>(&'a Event);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The signals of one object.
#[derive(Debug, Default)]
pub struct SignalState {
    bits: AtomicU32,
    changed: Event,
    observers: Observers,
}

/// Signals that were set, and whose waiters do not know yet.
#[derive(Debug)]
#[must_use = "those who wait must be told, after unlocking"]
pub struct Raised<'a> {
    state: &'a SignalState,
    new: Signals,
}

impl Raised<'_> {
    /// Wakes who waits for them. Under no lock.
    #[inline]
    pub fn tell(self) {
        if !self.new.is_empty() {
            self.state.changed.tell();
            self.state.observers.wake(self.new);
        }
    }
}

impl SignalState {
    /// These are set.
    #[must_use]
    pub const fn new(signals: Signals) -> Self {
        Self {
            bits: AtomicU32::new(signals.bits()),
            changed: Event::new(),
            observers: Observers::new(),
        }
    }

    /// What is set now.
    #[must_use]
    #[inline]
    pub fn get(&self) -> Signals {
        Signals::from_bits_retain(self.bits.load(Ordering::SeqCst))
    }

    /// Sets signals, under the object's lock; tell those who wait after unlocking.
    #[inline]
    pub fn raise(&self, signals: Signals) -> Raised<'_> {
        let before = self.bits.fetch_or(signals.bits(), Ordering::SeqCst);
        Raised {
            state: self,
            new: signals & !Signals::from_bits_retain(before),
        }
    }

    /// Clears signals. Nobody waits for that.
    #[inline]
    pub fn clear(&self, signals: Signals) {
        self.bits.fetch_and(!signals.bits(), Ordering::SeqCst);
    }

    /// Sets signals and wakes who waits for them; for objects whose signals follow from nothing else.
    pub fn set(&self, signals: Signals) {
        self.raise(signals).tell();
    }

    /// Who stays informed beside those who wait.
    pub fn observers(&self) -> &Observers {
        &self.observers
    }

    /// Waits until one of these is set, and gives all of them that are.
    ///
    /// # Errors
    /// [`Error::Revoked`] as soon as the lease that the waiting hangs on is revoked; [`Error::BadArgument`] for nothing to wait for.
    pub async fn wait(&self, mask: Signals, lease: Option<&Lease>) -> Result<Signals, Error> {
        if mask.is_empty() {
            return Err(Error::BadArgument);
        }
        self.wait_until(lease, || {
            let now = self.get() & mask;
            (!now.is_empty()).then_some(Ok(now))
        })
        .await
    }

    /// Waits until `look` finds something; it is asked again after each change of signals to set.
    ///
    /// # Errors
    /// What `look` answers; [`Error::Revoked`] as soon as the lease is revoked.
    pub async fn wait_until<T>(
        &self,
        lease: Option<&Lease>,
        look: impl FnMut() -> Option<Result<T, Error>>,
    ) -> Result<T, Error> {
        self.changed.until(lease, look).await
    }
}

/// Waits until `look` finds something, asking again after each notification.
pub(crate) async fn until<T>(
    event: &Notify,
    lease: Option<&Lease>,
    mut look: impl FnMut() -> Option<Result<T, Error>>,
) -> Result<T, Error> {
    let revoked = || lease.is_some_and(Lease::is_revoked);
    if revoked() {
        return Err(Error::Revoked);
    }
    if let Some(found) = look() {
        return found;
    }
    let family = lease.map(|lease| &lease.family().changed);
    let _counted = family.map(Event::count);
    loop {
        let mut happened = pin!(event.notified());
        let mut revocation = pin!(async {
            if let Some(family) = family {
                family.happened.notified().await;
            }
        });
        let found = poll_fn(|context| {
            // First in the lists, then a look: whatever changes after the look wakes this task.
            let mut woken = happened.as_mut().poll(context).is_ready();
            woken |= family.is_some() && revocation.as_mut().poll(context).is_ready();
            if revoked() {
                return Poll::Ready(Some(Err(Error::Revoked)));
            }
            match look() {
                None if woken => Poll::Ready(None),
                None => Poll::Pending,
                found => Poll::Ready(found),
            }
        })
        .await;
        if let Some(found) = found {
            return found;
        }
    }
}
