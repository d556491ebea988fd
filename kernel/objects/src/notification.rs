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
    /// Woken by the next bits: of one who looked in vain.
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

    /// Takes all bits there are; if there are none, `waker` is woken by the next, to ask again. What one who waits leaves here when
    /// he goes away is a wake too many.
    #[inline]
    pub fn take_or_wait(&self, waker: &Waker) -> Taking {
        let mut state = self.state.lock();
        if let Some(bits) = self.take_of(&mut state) {
            return Taking::Taken(bits);
        }
        match &state.taker {
            None => state.taker = Some(waker.clone()),
            Some(kept) if kept.will_wake(waker) => {}
            Some(_) => return Taking::Busy,
        }
        Taking::Waits
    }

    /// Waits for bits and takes all of them.
    ///
    /// # Errors
    /// [`Error::Revoked`] as soon as the lease is.
    pub async fn take(&self, lease: Option<&Lease>) -> Result<u64, Error> {
        if lease.is_none() {
            let alone = poll_fn(|context| match self.take_or_wait(context.waker()) {
                Taking::Taken(bits) => Poll::Ready(Some(bits)),
                Taking::Waits => Poll::Pending,
                Taking::Busy => Poll::Ready(None),
            });
            if let Some(bits) = alone.await {
                return Ok(bits);
            }
        }
        self.signals
            .wait_until(lease, || self.try_take().ok().map(Ok))
            .await
    }
}

/// What became of one who came to take bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taking {
    /// These are his.
    Taken(u64),
    /// He will be woken.
    Waits,
    /// Somebody else waits here: he must wait as for any signal.
    Busy,
}
