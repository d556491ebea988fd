//! The caller's side of a call: whether it waits, was answered, or has gone.
//!
//! Each caller has one [`CallSlot`] and makes one call at a time, under a number that never comes again; so an answer to a call that has timed out
//! cannot end the next one. Whoever answers first *claims* the call: from then until the answer is finished, the words are its to write, and the caller cannot leave.
//! That takes a few instructions and no await.

use core::{
    future::poll_fn,
    hint::spin_loop,
    pin::pin,
    sync::atomic::{AtomicI64, AtomicU64, Ordering},
    task::{Poll, Waker},
};

use abi::Error;
use spin::Mutex;

use crate::lease::Lease;

/// The number of a call among those of its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallId(u64);

impl CallId {
    /// Of a slot that is used once.
    pub(crate) const FIRST: Self = Self(1);
}

const IDLE: u64 = 0;
const WAITING: u64 = 1;
const CLAIMED: u64 = 2;
const ANSWERED: u64 = 3;

const fn word(id: CallId, phase: u64) -> u64 {
    id.0 << 2 | phase
}

/// See the module. Lies in the thread.
#[derive(Debug, Default)]
pub struct CallSlot {
    /// Call number, and phase in bits 1:0.
    state: AtomicU64,
    /// Of the answer: 0, or an error.
    outcome: AtomicI64,
    waker: Mutex<Option<Waker>>,
}

impl CallSlot {
    /// No call.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            state: AtomicU64::new(IDLE),
            outcome: AtomicI64::new(0),
            waker: Mutex::new(None),
        }
    }

    /// Begins a call. Only the caller itself does, and after the one before has ended.
    #[inline]
    pub(super) fn begin(&self) -> CallId {
        let id = CallId((self.state.load(Ordering::Relaxed) >> 2) + 1);
        self.state.store(word(id, WAITING), Ordering::Release);
        id
    }

    /// Whether this call has neither been answered nor given up.
    #[must_use]
    #[inline]
    pub fn is_waiting(&self, id: CallId) -> bool {
        self.state.load(Ordering::Acquire) == word(id, WAITING)
    }

    /// Takes the call to answer it.
    #[inline]
    pub(super) fn claim(&self, id: CallId) -> bool {
        self.state
            .compare_exchange(
                word(id, WAITING),
                word(id, CLAIMED),
                Ordering::AcqRel,
                Ordering::Relaxed,
            )
            .is_ok()
    }

    /// Ends a call that was claimed; the waker to call, under no lock, if the caller waits.
    #[inline]
    pub(super) fn finish(&self, id: CallId, outcome: Result<(), Error>) -> Option<Waker> {
        let raw = outcome.map_or_else(|error| error as i64, |()| 0);
        self.outcome.store(raw, Ordering::Relaxed);
        self.state.store(word(id, ANSWERED), Ordering::SeqCst);
        self.waker.lock().take()
    }

    /// Ends a call whose caller waits in no future, by whoever alone can answer it.
    #[inline]
    pub(super) fn finish_here(&self, id: CallId) {
        self.state.store(word(id, IDLE), Ordering::Release);
    }

    /// The last call that was begun.
    #[inline]
    pub(super) fn last(&self) -> CallId {
        CallId(self.state.load(Ordering::Relaxed) >> 2)
    }

    /// The answer, if it has come.
    #[must_use]
    #[inline]
    pub fn answer(&self, id: CallId) -> Option<Result<(), Error>> {
        if self.state.load(Ordering::SeqCst) != word(id, ANSWERED) {
            return None;
        }
        let raw = self.outcome.load(Ordering::Relaxed);
        Some(if raw == 0 {
            Ok(())
        } else {
            Err(Error::from_raw(raw).unwrap_or(Error::Unknown))
        })
    }

    /// Whom to wake when the call is over; it may be already.
    pub(crate) fn set_waker(&self, waker: Waker) {
        let before = self.waker.lock().replace(waker);
        drop(before);
    }

    /// Nobody is to be woken.
    pub(crate) fn take_waker(&self) -> Option<Waker> {
        self.waker.lock().take()
    }

    /// Gives the call up; `false` if it was answered first.
    pub(super) fn cancel(&self, id: CallId) -> bool {
        loop {
            let change = self.state.compare_exchange(
                word(id, WAITING),
                word(id, IDLE),
                Ordering::AcqRel,
                Ordering::Acquire,
            );
            match change {
                Ok(_) => return true,
                // Somebody writes the answer on another core, without ever pausing.
                Err(now) if now == word(id, CLAIMED) => spin_loop(),
                Err(_) => return false,
            }
        }
    }

    /// Waits for the answer.
    ///
    /// # Errors
    /// What ended the call; [`Error::Revoked`] as soon as the lease is: the call is still to be given up then.
    pub(super) async fn answered(&self, id: CallId, lease: Option<&Lease>) -> Result<(), Error> {
        let mut revoked = pin!(lease.map(Lease::revoked));
        poll_fn(|context| {
            if let Some(answer) = self.answer(id) {
                return Poll::Ready(answer);
            }
            let old = {
                let mut waker = self.waker.lock();
                let kept = waker
                    .as_ref()
                    .is_some_and(|kept| kept.will_wake(context.waker()));
                if kept {
                    None
                } else {
                    waker.replace(context.waker().clone())
                }
            };
            drop(old);
            // After the waker is there: an answer before was missed by nobody but us.
            if let Some(answer) = self.answer(id) {
                return Poll::Ready(answer);
            }
            if let Some(revoked) = revoked.as_mut().as_pin_mut()
                && revoked.poll(context).is_ready()
            {
                return Poll::Ready(Err(Error::Revoked));
            }
            Poll::Pending
        })
        .await
    }
}
