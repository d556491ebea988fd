//! What an object says about itself, and waiting for it.
//!
//! Signals are levels in one word. An object changes them **under its own lock**, together with what they tell about, and
//! informs those who wait **after** unlocking: [`SignalState::raise`] gives a [`Raised`], to be [told](Raised::tell). Any task on any core may do
//! that; a top half may not (the list of observers has a lock): an interrupt wakes a task, and the task raises.
//!
//! Waiting takes no memory: the waiter's node lies in its future. A future that is dropped takes nothing with it.

use core::{
    pin::Pin,
    sync::atomic::{AtomicU32, AtomicUsize, Ordering},
    task::{Context, Poll},
};

use abi::{Error, Signals};
use executor::sync::{Notified, Notify};
use pin_project_lite::pin_project;

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
    pub(crate) fn until<'a, T, L: FnMut() -> Option<Result<T, Error>>>(
        &'a self,
        lease: Option<&'a Lease>,
        look: L,
    ) -> Until<'a, L> {
        let counted = self.count();
        Until {
            counted: Some(counted),
            ..until(&self.happened, lease, look)
        }
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
    pub fn wait<'a>(
        &'a self,
        mask: Signals,
        lease: Option<&'a Lease>,
    ) -> impl Future<Output = Result<Signals, Error>> + 'a {
        self.wait_until(lease, move || {
            if mask.is_empty() {
                return Some(Err(Error::BadArgument));
            }
            let now = self.get() & mask;
            (!now.is_empty()).then_some(Ok(now))
        })
    }

    /// Waits until `look` finds something; it is asked again after each change of signals to set.
    ///
    /// # Errors
    /// What `look` answers; [`Error::Revoked`] as soon as the lease is revoked.
    pub fn wait_until<'a, T, L: FnMut() -> Option<Result<T, Error>>>(
        &'a self,
        lease: Option<&'a Lease>,
        look: L,
    ) -> Until<'a, L> {
        self.changed.until(lease, look)
    }
}

/// Waits until `look` finds something, asking again after each notification.
pub(crate) fn until<'a, T, L: FnMut() -> Option<Result<T, Error>>>(
    event: &'a Notify,
    lease: Option<&'a Lease>,
    look: L,
) -> Until<'a, L> {
    Until {
        event,
        lease,
        look,
        happened: None,
        revocation: None,
        counted: None,
        counted_for_lease: None,
    }
}

pin_project! {
    /// Ends with what `look` finds, or with the revocation of the lease. A thread sleeps in one of these: each is in place once, and small.
    #[must_use = "futures do nothing unless awaited"]
    pub struct Until<'a, L> {
        event: &'a Notify,
        lease: Option<&'a Lease>,
        look: L,
        // `None` before the first look.
        #[pin]
        happened: Option<Notified<'a>>,
        #[pin]
        revocation: Option<Notified<'a>>,
        counted: Option<Counted<'a>>,
        counted_for_lease: Option<Counted<'a>>,
    }
}

impl<T, L: FnMut() -> Option<Result<T, Error>>> Future for Until<'_, L> {
    type Output = Result<T, Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let lease = *this.lease;
        let mut found = || {
            if lease.is_some_and(Lease::is_revoked) {
                return Some(Err(Error::Revoked));
            }
            (this.look)()
        };
        if this.happened.is_none() {
            if let Some(found) = found() {
                return Poll::Ready(found);
            }
            *this.counted_for_lease = lease.map(|lease| lease.family().changed.count());
        }
        let mut fresh = this.happened.is_none();
        loop {
            if fresh {
                this.happened.set(Some(this.event.notified()));
                let family = lease.map(|lease| &lease.family().changed);
                this.revocation
                    .set(family.map(|family| family.happened.notified()));
            }
            // First in the lists, then a look: whatever changes after the look wakes this task.
            fresh = false;
            for list in [this.happened.as_mut(), this.revocation.as_mut()] {
                if let Some(notified) = list.as_pin_mut() {
                    fresh |= notified.poll(context).is_ready();
                }
            }
            match found() {
                Some(found) => return Poll::Ready(found),
                None if fresh => {}
                None => return Poll::Pending,
            }
        }
    }
}
