//! Clones: both have the same frames until one of them writes.

use abi::Error;
use abi::memory::PAGE_BYTES;

use super::retired::Batch;
use super::{Kind, Retired, State, Vmo};
use crate::job::Job;
use crate::memory::PageRange;
use crate::memory::machine::{Frame, Frames, Machine};
use crate::memory::store::Slot;
use crate::refs::Ref;

/// A step of sharing.
struct Shared<M: Machine> {
    /// Where to go on.
    next: Option<u64>,
    retired: Retired<M>,
    /// What went wrong after the pages before.
    result: Result<(), Error>,
}

impl<M: Machine> Ref<Vmo<M>> {
    /// A copy-on-write copy of `bytes` from `offset` on, charged to `job`: each page as it was at some moment of the call. Of a
    /// vmo with a pager, pages that it has not brought yet are the copy's too, as they are when the copy is first touched there.
    ///
    /// Dropping the future drops the copy.
    ///
    /// # Errors
    /// [`Error::BadArgument`] if these are no whole pages, [`Error::OutOfRange`] if it does not have them, [`Error::Unsupported`] for a device's
    /// memory, [`Error::NoMemory`].
    pub async fn snapshot(&self, job: &Ref<Job>, offset: u64, bytes: u64) -> Result<Self, Error> {
        let range = self.range(offset, bytes)?;
        let copy = self.empty_copy(job, range)?;
        self.share_into(&copy, range, 0).await?;
        Ok(copy)
    }

    /// A vmo like `range` of this one, without its pages.
    pub(in super::super) fn empty_copy(
        &self,
        job: &Ref<Job>,
        range: PageRange,
    ) -> Result<Self, Error> {
        let (kind, source_end) = match &self.kind {
            Kind::Physical { .. } => return Err(Error::Unsupported),
            Kind::Anonymous => (Kind::Anonymous, 0),
            Kind::Paged(_) => (
                Kind::Copy {
                    source: self.clone(),
                    first: range.start,
                },
                range.pages(),
            ),
            Kind::Copy { source, first } => (
                Kind::Copy {
                    source: source.clone(),
                    first: first.checked_add(range.start).ok_or(Error::OutOfRange)?,
                },
                // What was cut off here is not the source's any more.
                self.lock()
                    .source_end
                    .saturating_sub(range.start)
                    .min(range.pages()),
            ),
        };
        let bytes = range
            .pages()
            .checked_mul(PAGE_BYTES)
            .ok_or(Error::OutOfRange)?;
        let copy = Vmo::with_kind(self.frames.clone(), job, bytes, kind)?;
        copy.lock().source_end = source_end;
        Ok(copy)
    }

    /// Shares the pages of `range` with `copy`, which nobody else knows yet, from its page `first` on; pages that it has already stay.
    pub(in super::super) async fn share_into(
        &self,
        copy: &Self,
        range: PageRange,
        first: u64,
    ) -> Result<(), Error> {
        let mut from = range.start;
        loop {
            let step = self.share_step(copy, PageRange::new(from, range.end), range.start, first);
            step.retired.settle().await;
            step.result?;
            match step.next {
                Some(next) => from = next,
                None => return Ok(()),
            }
            M::checkpoint().await;
        }
    }

    /// `start` is the page that becomes `first`.
    fn share_step(&self, copy: &Self, range: PageRange, start: u64, first: u64) -> Shared<M> {
        let state = &mut *self.lock();
        let copy_state = &mut *copy.lock();
        let mut from = range.start;
        let mut last = None;
        let mut result = Ok(());
        let mut next = None;
        for _ in 0..state.mappings.step_pages() {
            let Some((page, slot)) = state.store.next(from, range.end.min(state.pages)) else {
                next = None;
                break;
            };
            if let Slot::Held(frame) = slot {
                let to = first.saturating_add(page.saturating_sub(start));
                result = self.share_page(copy_state, to, frame);
                if result.is_err() {
                    break;
                }
                last = Some(page);
            }
            from = page + 1;
            next = Some(from);
        }
        if let Some(last) = last {
            state
                .mappings
                .make_read_only_everywhere(PageRange::new(range.start, last + 1));
        }
        let upto = state.mappings.changes();
        Shared {
            next,
            retired: Retired::new(self, upto, Batch::empty()),
            result,
        }
    }

    fn share_page(&self, copy: &mut State<M>, page: u64, frame: Frame) -> Result<(), Error> {
        if matches!(copy.store.get(page), Slot::Held(_)) {
            return Ok(());
        }
        copy.account.take_page()?;
        if self.frames.share(frame).is_err() {
            copy.account.give_pages(1);
            return Err(Error::NoMemory);
        }
        let put = copy.store.set(page, Slot::Held(frame), &mut copy.account);
        if put.is_err() {
            self.frames.release(frame);
            copy.account.give_pages(1);
        }
        put.map(drop)
    }
}
