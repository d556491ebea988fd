//! A page's frame, for reading or for writing.

use alloc::boxed::Box;

use abi::Error;

use super::retired::Batch;
use super::{Kind, Retired, State, Vmo};
use crate::memory::PageRange;
use crate::memory::machine::{Frame, Frames, Machine};
use crate::memory::pager::Request;
use crate::memory::store::Slot;
use crate::memory::wait::Wait;
use crate::refs::{NoMemory, Ref, try_box};

/// Why something could not be done at once.
#[must_use = "nothing was done"]
pub enum Blocked<M: Machine> {
    /// The page is not ready: try again when it is.
    Wait(Wait<M>),
    /// It has begun; try again once this is settled.
    Settle(Retired<M>),
    /// It cannot be done.
    Failed(Error),
}

impl<M: Machine> Blocked<M> {
    /// Until it is worth trying again. What it waits in is large, rare, and would be a part of all that copies: it lies in memory of its
    /// own. Without memory for that, others run before the next try.
    ///
    /// # Errors
    /// If it never will be.
    pub fn resolve(self) -> impl Future<Output = Result<(), Error>> {
        let resolved = match self {
            Self::Failed(error) => Err(error),
            wait => Ok(try_box(wait.resolved())),
        };
        async move {
            match resolved? {
                Ok(resolved) => Box::into_pin(resolved).await,
                Err(NoMemory) => M::checkpoint().await,
            }
            Ok(())
        }
    }

    async fn resolved(self) {
        match self {
            Self::Wait(wait) => wait.ready().await,
            Self::Settle(retired) => retired.settle().await,
            Self::Failed(_) => {}
        }
    }
}

impl<M: Machine> From<Error> for Blocked<M> {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// What a frame is needed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Need {
    /// Its contents; it may be shared.
    Read,
    /// To be changed: it is this vmo's alone then.
    Write,
}

impl<M: Machine> Ref<Vmo<M>> {
    /// Gets the frame of a page: commits, copies, asks the pager. What it gives is true as long as the lock is held.
    pub(in super::super) fn bring(
        &self,
        state: &mut State<M>,
        page: u64,
        need: Need,
    ) -> Result<Frame, Blocked<M>> {
        if page >= state.pages {
            return Err(Error::OutOfRange.into());
        }
        if state.mappings.is_unsettled(page) {
            return Err(Blocked::Wait(Wait::for_shootdown(self, page)));
        }
        if let Kind::Physical { first, .. } = &self.kind {
            return physical(*first, page).ok_or_else(|| Error::OutOfRange.into());
        }
        let frame = match state.store.get(page) {
            Slot::Held(frame) => {
                self.check_source(state, page, frame)?;
                frame
            }
            Slot::Failed => return Err(Error::PagerFailed.into()),
            Slot::Wanted => return self.ask(state, page),
            Slot::Empty => return self.fill(state, page, need),
        };
        match need {
            Need::Write if self.frames.count(frame) > 1 => self.make_own(state, page, frame),
            _ => Ok(frame),
        }
    }

    /// Gives an untouched page its frame.
    fn fill(&self, state: &mut State<M>, page: u64, need: Need) -> Result<Frame, Blocked<M>> {
        match &self.kind {
            Kind::Paged(_) => self.ask(state, page),
            Kind::Copy { source, first } if page < state.source_end => {
                let from = first.checked_add(page).ok_or(Error::OutOfRange)?;
                self.take_from(source, from, state, page)?;
                // Again from the beginning: it is shared now.
                self.bring(state, page, need)
            }
            _ => {
                state.account.take_page()?;
                let Some(frame) = self.frames.allocate_zeroed() else {
                    state.account.give_pages(1);
                    return Err(Error::NoMemory.into());
                };
                self.put(state, page, frame)?;
                Ok(frame)
            }
        }
    }

    /// Puts a frame in, whose charge is taken; gives both back if that fails.
    fn put(&self, state: &mut State<M>, page: u64, frame: Frame) -> Result<(), Error> {
        let put = state.store.set(page, Slot::Held(frame), &mut state.account);
        if put.is_err() {
            self.frames.release(frame);
            state.account.give_pages(1);
        }
        put.map(drop)
    }

    /// Asks the pager, once per page.
    fn ask(&self, state: &mut State<M>, page: u64) -> Result<Frame, Blocked<M>> {
        let Kind::Paged(pager) = &self.kind else {
            return Err(Error::BadState.into());
        };
        if pager.is_closed() {
            return Err(Error::PagerFailed.into());
        }
        if state.store.get(page) == Slot::Wanted {
            return Err(Blocked::Wait(Wait::for_page(self, page, pager)));
        }
        state.store.set(page, Slot::Wanted, &mut state.account)?;
        let request = Request {
            vmo_id: self.id(),
            page,
        };
        match pager.request(request) {
            Ok(()) => Err(Blocked::Wait(Wait::for_page(self, page, pager))),
            Err(_) => {
                let _ = state.store.set(page, Slot::Empty, &mut state.account);
                Err(Blocked::Wait(Wait::for_room(self, page, pager)))
            }
        }
    }

    /// Shares a page of the vmo that this one was cloned from. Under both locks, this one's first.
    fn take_from(
        &self,
        source: &Ref<Vmo<M>>,
        from: u64,
        state: &mut State<M>,
        page: u64,
    ) -> Result<(), Blocked<M>> {
        let source_state = &mut *source.lock();
        // What the source does not have any more, or never had, is zero.
        if from >= source_state.pages {
            state.source_end = state.source_end.min(page);
            return Ok(());
        }
        let frame = source.bring(source_state, from, Need::Read)?;
        state.account.take_page()?;
        if self.frames.share(frame).is_err() {
            state.account.give_pages(1);
            return Err(Error::NoMemory.into());
        }
        self.put(state, page, frame)?;
        source_state
            .mappings
            .make_read_only_everywhere(PageRange::one(from));
        if source_state.mappings.is_unsettled(from) {
            // Nobody uses it before: see `check_source`.
            let upto = source_state.mappings.changes();
            return Err(Blocked::Settle(Retired::new(source, upto, Batch::empty())));
        }
        Ok(())
    }

    /// A page shared with the source may still be written there, through what other cores remember.
    fn check_source(&self, state: &State<M>, page: u64, frame: Frame) -> Result<(), Blocked<M>> {
        let Kind::Copy { source, first } = &self.kind else {
            return Ok(());
        };
        if page >= state.source_end || self.frames.count(frame) <= 1 {
            return Ok(());
        }
        let from = first.saturating_add(page);
        if source.is_unsettled(from) {
            return Err(Blocked::Wait(Wait::for_shootdown(source, from)));
        }
        Ok(())
    }

    /// Copy on write: gives the page a frame of its own.
    fn make_own(
        &self,
        state: &mut State<M>,
        page: u64,
        shared: Frame,
    ) -> Result<Frame, Blocked<M>> {
        // Nobody can write to it now: what is shared is mapped without writes, and all cores know that.
        let own = self.frames.allocate_copy(shared).ok_or(Error::NoMemory)?;
        state.mappings.unmap_everywhere(PageRange::one(page));
        // A slot that is in use never fails to change; the charge stays as it was.
        let _ = state.store.set(page, Slot::Held(own), &mut state.account);
        if state.mappings.is_unsettled(page) {
            let mut batch = Batch::empty();
            batch.push(shared);
            let upto = state.mappings.changes();
            return Err(Blocked::Settle(Retired::new(self, upto, batch)));
        }
        self.frames.release(shared);
        Ok(own)
    }
}

/// Frame number `page` of those from `first` on.
fn physical(first: Frame, page: u64) -> Option<Frame> {
    let offset = page.checked_mul(abi::memory::PAGE_BYTES)?;
    Frame::from_address(first.address().checked_add(offset)?)
}
