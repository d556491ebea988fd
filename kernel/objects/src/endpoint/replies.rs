//! Calls that a process has received and not answered yet.
//!
//! The token of a call is a place in the table and its generation, as a handle is: a forged one and one that was used are
//! [`Error::BadHandle`]. A place is promised before a receiver parks, so that handing it a call allocates nothing. When the process goes, its table is closed and all
//! callers get [`Error::PeerClosed`].

use core::task::Waker;

use abi::Error;
use spin::Mutex;

use super::{Caller, slot::CallId};
use crate::{
    graveyard::Progress,
    job::Job,
    refs::Ref,
    slots::{self, Number, Slots},
};

/// What a reply names its call by. Never negative as an `i64`, never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token(pub u64);

impl Token {
    #[inline]
    fn of(number: Number) -> Self {
        Self(u64::from(number.generation) << 32 | (u64::from(number.index) + 1))
    }

    #[inline]
    fn number(self) -> Option<Number> {
        Some(Number {
            index: (self.0 as u32).checked_sub(1)?,
            generation: (self.0 >> 32) as u32,
        })
    }
}

/// A process's calls to answer.
#[derive(Debug)]
pub struct ReplyTable<C: Caller> {
    job: Ref<Job>,
    calls: Mutex<Slots<Reply<C>>>,
}

impl<C: Caller> ReplyTable<C> {
    /// An empty table, whose places will be charged to this job.
    pub fn new(job: &Ref<Job>) -> Self {
        Self {
            job: job.clone(),
            calls: Mutex::new(Slots::default()),
        }
    }

    /// How many calls are to be answered.
    pub fn len(&self) -> usize {
        self.calls.lock().used()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Promises a place.
    ///
    /// # Errors
    /// [`Error::NoMemory`]; [`Error::LimitReached`]; [`Error::Dying`] once closed.
    #[inline]
    pub(crate) fn reserve(&self) -> Result<(), Error> {
        slots::reserve(&self.calls, &self.job, 1)
    }

    /// Gives a promised place back.
    pub(crate) fn unreserve(&self) {
        self.calls.lock().unreserve(1);
    }

    /// Puts a call into a promised place; back if the table was closed.
    #[inline]
    pub(super) fn put(&self, reply: Reply<C>) -> Result<Token, Reply<C>> {
        self.calls.lock().put_reserved(reply).map(Token::of)
    }

    /// Takes the call to answer it.
    ///
    /// # Errors
    /// [`Error::BadHandle`] for a token that is none or was used.
    #[inline]
    pub fn take(&self, token: Token) -> Result<Reply<C>, Error> {
        let number = token.number().ok_or(Error::BadHandle)?;
        self.calls.lock().take(number).ok_or(Error::BadHandle)
    }

    /// Answers a call: `write` puts the answer where its caller looks for it. Comes back with the caller, and with its waker if it waits in a
    /// future: call that, or run the caller at once.
    ///
    /// # Errors
    /// [`Error::BadHandle`] for a token that is none or was used; [`Error::PeerClosed`] if the caller has given up.
    #[inline(always)]
    pub fn answer(
        &self,
        token: Token,
        write: impl FnOnce(&C),
    ) -> Result<(C, Option<Waker>), Error> {
        let mut reply = self.take(token)?;
        let caller = reply.caller.take().ok_or(Error::PeerClosed)?;
        if !caller.calls().claim(reply.id) {
            return Err(Error::PeerClosed);
        }
        write(&caller);
        let waker = caller.calls().finish(reply.id, Ok(()));
        Ok((caller, waker))
    }

    /// Answers a call whose caller, as `is_here` says, waits in no future but goes on when the one who answers stops, which is now;
    /// and promises a place for the next call, for [`Endpoint::park_again`](super::Endpoint::park_again). `None` where it is not as simple, and nothing has happened then.
    #[inline(always)]
    pub fn answer_here(&self, token: Token, is_here: impl FnOnce(&C) -> bool) -> Option<C> {
        let number = token.number()?;
        let mut calls = self.calls.lock();
        let mut place = calls.begin_emptying(number)?;
        let reply = place.value()?;
        let caller = reply.caller.as_ref()?;
        if !(is_here(caller) && caller.calls().is_waiting(reply.id)) {
            return None;
        }
        // Out of the table while it waited: nobody else can answer it, and the caller cannot give it up as it is not running.
        caller.calls().finish_here(reply.id);
        let caller = reply.caller.take();
        place.done();
        caller
    }

    /// The caller of a call that is not answered yet: to fetch its message.
    ///
    /// # Errors
    /// [`Error::BadHandle`] for a token that is none or was used; [`Error::PeerClosed`] if the caller has given up.
    pub fn caller(&self, token: Token) -> Result<C, Error> {
        let number = token.number().ok_or(Error::BadHandle)?;
        let calls = self.calls.lock();
        let reply = calls.get(number).ok_or(Error::BadHandle)?;
        reply.waiting().cloned().ok_or(Error::PeerClosed)
    }

    /// Ends the table: no call gets in any more, and each call ends up to `most` of those in it with [`Error::PeerClosed`].
    pub fn close_some(&self, most: usize) -> Progress {
        slots::close_some(&self.calls, most, |_| true, drop)
    }
}

/// A call to answer. Dropped without an answer, it ends with [`Error::PeerClosed`].
#[derive(Debug)]
#[must_use = "dropping it ends the call with PeerClosed"]
pub struct Reply<C: Caller> {
    caller: Option<C>,
    id: CallId,
}

impl<C: Caller> Reply<C> {
    #[inline]
    pub(super) fn new(caller: C, id: CallId) -> Self {
        Self {
            caller: Some(caller),
            id,
        }
    }

    /// Who calls, if it still waits.
    pub(super) fn waiting(&self) -> Option<&C> {
        let caller = self.caller.as_ref()?;
        caller.calls().is_waiting(self.id).then_some(caller)
    }

    /// Claims the call: what the caller is to get is now this one's to write, at once and without a pause.
    ///
    /// # Errors
    /// [`Error::PeerClosed`] if the caller has given up.
    #[inline]
    pub fn claim(mut self) -> Result<Claimed<C>, Error> {
        match self.caller.take() {
            Some(caller) if caller.calls().claim(self.id) => Ok(Claimed {
                caller: Some(caller),
                id: self.id,
            }),
            _ => Err(Error::PeerClosed),
        }
    }
}

impl<C: Caller> Drop for Reply<C> {
    fn drop(&mut self) {
        if let Some(caller) = self.caller.take() {
            fail(&caller, self.id, Error::PeerClosed);
        }
    }
}

/// Ends a call with an error, if nobody else has ended it.
fn fail<C: Caller>(caller: &C, id: CallId, error: Error) {
    let slot = caller.calls();
    if slot.claim(id)
        && let Some(waker) = slot.finish(id, Err(error))
    {
        waker.wake();
    }
}

/// A call whose answer is being written. Dropped unfinished, it ends with [`Error::PeerClosed`].
#[derive(Debug)]
#[must_use = "the caller cannot leave before it is finished"]
pub struct Claimed<C: Caller> {
    caller: Option<C>,
    id: CallId,
}

impl<C: Caller> Claimed<C> {
    /// Who called: write its words.
    pub fn caller(&self) -> Option<&C> {
        self.caller.as_ref()
    }

    /// Ends the call. The waker is the caller's, if it waits in a future: call it, or run the caller at once.
    #[inline]
    pub fn finish(mut self, outcome: Result<(), Error>) -> Option<Waker> {
        let caller = self.caller.take()?;
        caller.calls().finish(self.id, outcome)
    }
}

impl<C: Caller> Drop for Claimed<C> {
    fn drop(&mut self) {
        if let Some(caller) = self.caller.take()
            && let Some(waker) = caller.calls().finish(self.id, Err(Error::PeerClosed))
        {
            waker.wake();
        }
    }
}
