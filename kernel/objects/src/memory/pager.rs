//! Who brings the pages of some vmos.
//!
//! A page that nobody brought yet is asked for by whoever touches it first: a [`Request`] is queued, the page is marked as wanted (so it is
//! asked for once), and [`Signals::PAGE_WANTED`] is set. The pager takes requests with [`Pager::next`], fills a vmo of its own and moves the
//! pages over with [`supply`](super::Vmo), or says with `fail` that they cannot be had. A pager that is closed fails all that are
//! missing; pages that are there stay.

use alloc::collections::VecDeque;
use core::sync::atomic::{AtomicBool, Ordering};

use abi::{Error, ObjectType, Signals};
use executor::sync::Notify;
use spin::Mutex;

use super::machine::Machine;
use super::vmo::{Kind, Vmo};
use crate::job::Job;
use crate::object::Header;
use crate::refs::{NoMemory, Ref};
use crate::signals::SignalState;

/// Requests that wait for the pager to take them, at most; who wants more pages then waits for room.
pub const MAX_REQUESTS: usize = 128;

/// A page that is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// The vmo's number.
    pub vmo_id: u64,
    /// The page, counted from the vmo's first.
    pub page: u64,
}

/// Who brings pages.
pub struct Pager<M: Machine> {
    header: Header,
    signals: SignalState,
    /// Pages came, failed, or there is room for requests.
    changed: Notify,
    closed: AtomicBool,
    requests: Mutex<VecDeque<Request>>,
    _machine: core::marker::PhantomData<fn() -> M>,
}

impl<M: Machine> Pager<M> {
    /// A pager without vmos.
    ///
    /// # Errors
    /// [`Error::NoMemory`].
    pub fn create(job: &Ref<Job>) -> Result<Ref<Self>, Error> {
        let bytes = Ref::<Self>::BYTES + (MAX_REQUESTS * size_of::<Request>()) as u64;
        let header = Header::new(ObjectType::Pager, job, bytes)?;
        let mut requests = VecDeque::new();
        requests
            .try_reserve_exact(MAX_REQUESTS)
            .map_err(|_| NoMemory)?;
        Ok(Ref::try_new(Self {
            header,
            signals: SignalState::new(Signals::empty()),
            changed: Notify::new(),
            closed: AtomicBool::new(false),
            requests: Mutex::new(requests),
            _machine: core::marker::PhantomData,
        })?)
    }

    /// What every object has.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// [`Signals::PAGE_WANTED`] while there are requests.
    pub fn signals(&self) -> &SignalState {
        &self.signals
    }

    /// The next page wanted.
    pub fn next(&self) -> Option<Request> {
        let (request, was_full) = {
            let mut requests = self.requests.lock();
            let was_full = requests.len() == MAX_REQUESTS;
            let request = requests.pop_front();
            if requests.is_empty() {
                self.signals.clear(Signals::PAGE_WANTED);
            }
            (request, was_full)
        };
        if was_full {
            self.changed.notify_waiters();
        }
        request
    }

    /// Ends it: what waits for its pages, now or later, gets [`Error::PagerFailed`]. For when its last handle is closed.
    pub fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.changed.notify_waiters();
    }

    /// Whether it was closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Queues a request. Under the vmo's lock; [`announce`](Self::announce) it after.
    pub(super) fn request(&self, request: Request) -> Result<(), Full> {
        let mut requests = self.requests.lock();
        if requests.len() >= MAX_REQUESTS {
            return Err(Full);
        }
        requests.push_back(request);
        Ok(())
    }

    /// Tells the pager that there are requests. Under no lock.
    pub(super) fn announce(&self) {
        let raised = {
            let requests = self.requests.lock();
            if requests.is_empty() {
                return;
            }
            self.signals.raise(Signals::PAGE_WANTED)
        };
        raised.tell();
    }

    pub(super) fn has_room(&self) -> bool {
        self.requests.lock().len() < MAX_REQUESTS
    }

    pub(super) fn changed(&self) -> &Notify {
        &self.changed
    }
}

/// There is no room for another request now.
pub(super) struct Full;

impl<M: Machine> Ref<Pager<M>> {
    /// A vmo of `bytes` whose pages this pager brings, charged to `job`.
    ///
    /// # Errors
    /// As [`Vmo::create`]; [`Error::BadState`] if the pager is closed.
    pub fn vmo(&self, frames: M::Frames, job: &Ref<Job>, bytes: u64) -> Result<Ref<Vmo<M>>, Error> {
        if self.is_closed() {
            return Err(Error::BadState);
        }
        Vmo::with_kind(frames, job, bytes, Kind::Paged(self.clone()))
    }

    /// Says that wanted pages of `[offset, offset + len)` cannot be had: who waits for them, or touches them later, gets
    /// [`Error::PagerFailed`], until they are supplied or given back. Pages that nobody wants are left as they are.
    ///
    /// # Errors
    /// [`Error::BadArgument`] if it is not this pager's vmo or the range is not of whole pages, [`Error::OutOfRange`].
    pub async fn fail(&self, vmo: &Ref<Vmo<M>>, offset: u64, len: u64) -> Result<(), Error> {
        match vmo.pager() {
            Some(pager) if pager.is(self) => {}
            _ => return Err(Error::BadArgument),
        }
        let range = vmo.range(offset, len)?;
        let mut next = Some(range.start);
        while let Some(from) = next {
            next = vmo.fail_step(super::PageRange::new(from, range.end));
            self.changed.notify_waiters();
            if next.is_some() {
                M::checkpoint().await;
            }
        }
        Ok(())
    }
}
