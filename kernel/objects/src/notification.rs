//! Notifications: 64 bits that are set and taken.
//!
//! Most have one who takes: that one waits in the notification itself, which costs a fraction of a place in the signals' list of waiters.

use core::{
    future::poll_fn,
    task::{Poll, Waker},
};

use abi::{Error, ObjectType, Signals};
use spin::Mutex;

use crate::{job::Job, lease::Lease, object::Header, refs::Ref, signals::SignalState};

/// 64 bits.
#[derive(Debug)]
pub struct Notification {
    header: Header,
    signals: SignalState,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    bits: u64,
    /// The place for one who waits is taken.
    has_taker: bool,
    /// To be woken: set when that one has looked in vain.
    taker: Option<Waker>,
}

impl Notification {
    /// With no bit set.
    ///
    /// # Errors
    /// [`Error::NoMemory`].
    pub fn create(job: &Ref<Job>) -> Result<Ref<Self>, Error> {
        let header = Header::new(ObjectType::Notification, job, Ref::<Self>::BYTES)?;
        Ok(Ref::try_new(Self {
            header,
            signals: SignalState::new(Signals::empty()),
            state: Mutex::new(State {
                bits: 0,
                has_taker: false,
                taker: None,
            }),
        })?)
    }

    /// What every object has.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Readable while a bit is set.
    pub fn signals(&self) -> &SignalState {
        &self.signals
    }

    /// Sets bits.
    #[inline]
    pub fn signal(&self, bits: u64) {
        if bits == 0 {
            return;
        }
        let (raised, taker) = {
            let mut state = self.state.lock();
            state.bits |= bits;
            (self.signals.raise(Signals::READABLE), state.taker.take())
        };
        raised.tell();
        if let Some(taker) = taker {
            taker.wake();
        }
    }

    /// Takes all bits there are.
    ///
    /// # Errors
    /// [`Error::WouldWait`] if there are none.
    #[inline]
    pub fn try_take(&self) -> Result<u64, Error> {
        self.take_of(&mut self.state.lock()).ok_or(Error::WouldWait)
    }

    #[inline]
    fn take_of(&self, state: &mut State) -> Option<u64> {
        if state.bits == 0 {
            return None;
        }
        self.signals.clear(Signals::READABLE);
        Some(core::mem::take(&mut state.bits))
    }

    /// Waits for bits and takes all of them.
    ///
    /// # Errors
    /// [`Error::Revoked`] as soon as the lease is.
    pub async fn take(&self, lease: Option<&Lease>) -> Result<u64, Error> {
        if lease.is_none()
            && let Some(place) = Taker::new(self)
        {
            return Ok(poll_fn(|context| place.poll(context.waker())).await);
        }
        self.signals
            .wait_until(lease, || self.try_take().ok().map(Ok))
            .await
    }
}

/// The one who waits in the notification itself.
struct Taker<'a>(&'a Notification);

impl<'a> Taker<'a> {
    fn new(notification: &'a Notification) -> Option<Self> {
        let mut state = notification.state.lock();
        if state.has_taker {
            return None;
        }
        state.has_taker = true;
        drop(state);
        Some(Self(notification))
    }

    fn poll(&self, waker: &Waker) -> Poll<u64> {
        let mut state = self.0.state.lock();
        if let Some(bits) = self.0.take_of(&mut state) {
            return Poll::Ready(bits);
        }
        let kept = state
            .taker
            .as_ref()
            .is_some_and(|kept| kept.will_wake(waker));
        let old = if kept {
            None
        } else {
            state.taker.replace(waker.clone())
        };
        drop(state);
        drop(old);
        Poll::Pending
    }
}

impl Drop for Taker<'_> {
    fn drop(&mut self) {
        let old = {
            let mut state = self.0.state.lock();
            state.has_taker = false;
            state.taker.take()
        };
        drop(old);
    }
}
