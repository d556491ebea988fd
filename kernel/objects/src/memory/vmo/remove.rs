//! Taking pages out of a vmo: giving them back, cutting the vmo, moving them to another.

use abi::Error;

use super::page::Need;
use super::retired::Batch;
use super::{Blocked, Kind, Retired, State, Vmo, pages_of};
use crate::memory::machine::{Frames, Machine};
use crate::memory::store::{MAX_PAGES, Slot};
use crate::memory::{PageRange, STEP_PAGES};
use crate::refs::Ref;

/// What is done with the frames that are taken out.
enum Took<M: Machine> {
    /// These are out; go on at this page.
    More(Retired<M>, u64),
    /// These were the last.
    Last(Retired<M>),
}

impl<M: Machine> Ref<Vmo<M>> {
    /// Gives the pages of a range back: they are zeroes again, or the pager's to bring again. Until the call is over, other threads may find
    /// the old or the new contents, and lose what they write. Dropped, it has done a part.
    ///
    /// # Errors
    /// [`Error::BadArgument`] if these are no whole pages, [`Error::OutOfRange`]; [`Error::Unsupported`] for a device's memory;
    /// [`Error::BadState`] where a clone and a pager would have to agree on what the pages are: in a clone of a paged vmo,
    /// and in a paged vmo with clones.
    pub async fn decommit(&self, offset: u64, len: u64) -> Result<(), Error> {
        let range = self.range(offset, len)?;
        let mut from = range.start;
        loop {
            let took = {
                let state = &mut *self.lock();
                self.may_decommit(state, range)?;
                self.take_out(state, PageRange::new(from, range.end))
            };
            match took {
                Took::Last(retired) => {
                    retired.settle().await;
                    return Ok(());
                }
                Took::More(retired, next) => {
                    retired.settle().await;
                    from = next;
                }
            }
            M::checkpoint().await;
        }
    }

    fn may_decommit(&self, state: &State<M>, range: PageRange) -> Result<(), Error> {
        match &self.kind {
            Kind::Anonymous => Ok(()),
            Kind::Physical { .. } => Err(Error::Unsupported),
            Kind::Paged(_) if state.copies != 0 => Err(Error::BadState),
            Kind::Copy { .. } if range.start < state.source_end => Err(Error::BadState),
            _ => Ok(()),
        }
    }

    /// Gives it another size, rounded up to whole pages. Pages beyond go, from mappings too: what is touched there is an error, also while the
    /// region stays. Growing again gives zeroes (or the pager's pages). Dropped, it has the new size; what lay beyond is freed by the next one, or
    /// with the vmo.
    ///
    /// # Errors
    /// [`Error::BadArgument`] for no bytes, [`Error::OutOfRange`] above 64 GiB, [`Error::Unsupported`] for a device's memory,
    /// [`Error::BadState`] for a paged vmo with clones that would shrink.
    pub async fn resize(&self, bytes: u64) -> Result<(), Error> {
        let pages = pages_of(bytes)?;
        if self.is_physical() {
            return Err(Error::Unsupported);
        }
        let mut resized = false;
        loop {
            let took = {
                let state = &mut *self.lock();
                // What is beyond the size goes before the size may change: nothing of it may come back.
                let beyond = PageRange::new(state.pages, MAX_PAGES);
                if !resized && state.store.next(beyond.start, beyond.end).is_none() {
                    if matches!(self.kind, Kind::Paged(_))
                        && pages < state.pages
                        && state.copies != 0
                    {
                        return Err(Error::BadState);
                    }
                    state.pages = pages;
                    state.source_end = state.source_end.min(pages);
                    resized = true;
                }
                let beyond = PageRange::new(state.pages, MAX_PAGES);
                self.take_out(state, beyond)
            };
            let (retired, last) = match took {
                Took::Last(retired) => (retired, true),
                Took::More(retired, _) => (retired, false),
            };
            retired.settle().await;
            if resized {
                // Who waits for pages that are gone must see that they are.
                self.notify_all();
                if last {
                    return Ok(());
                }
            }
            M::checkpoint().await;
        }
    }

    fn notify_all(&self) {
        self.changed().notify_waiters();
        if let Kind::Paged(pager) = &self.kind {
            pager.changed().notify_waiters();
        }
    }

    /// Takes as many pages out as a step may.
    fn take_out(&self, state: &mut State<M>, range: PageRange) -> Took<M> {
        let mut batch = Batch::with_room(self);
        let limit = batch.room().min(state.mappings.step_pages());
        // First where the step ends, so that each mapping is changed once.
        let mut end = range.start;
        let mut more = true;
        for _ in 0..limit {
            match state.store.next(end, range.end) {
                Some((page, _)) => end = page + 1,
                None => {
                    more = false;
                    break;
                }
            }
        }
        state
            .mappings
            .unmap_everywhere(PageRange::new(range.start, end));
        let mut from = range.start;
        let mut pages = 0;
        while let Some((page, slot)) = state.store.next(from, end) {
            from = page + 1;
            match slot {
                // The pager will bring it all the same, and who waits for it is told then.
                Slot::Wanted if page < state.pages => continue,
                Slot::Held(frame) => {
                    batch.push(frame);
                    pages += 1;
                }
                _ => {}
            }
            // A slot that is in use never fails to change.
            let _ = state.store.set(page, Slot::Empty, &mut state.account);
        }
        batch.set_charge(state.account.split_pages(pages));
        let retired = Retired::new(self, state.mappings.changes(), batch);
        if more {
            Took::More(retired, end)
        } else {
            Took::Last(retired)
        }
    }

    /// Brings pages of this vmo, whose pager has them in `from`: they are moved, and what was at their places in `from` is zero then. Pages
    /// that this vmo has already are left as they are. Dropped, it has brought a part; the rest of what was moved is lost.
    ///
    /// # Errors
    /// [`Error::BadArgument`] if these are no whole pages, or `from` is this vmo or a device's memory; [`Error::BadState`] if this vmo has no
    /// pager, or `from` one; [`Error::OutOfRange`]; [`Error::NoMemory`].
    pub async fn supply(
        &self,
        offset: u64,
        from: &Self,
        from_offset: u64,
        len: u64,
    ) -> Result<(), Error> {
        let Kind::Paged(pager) = &self.kind else {
            return Err(Error::BadState);
        };
        match &from.kind {
            Kind::Paged(_) | Kind::Copy { .. } => return Err(Error::BadState),
            Kind::Physical { .. } => return Err(Error::BadArgument),
            Kind::Anonymous => {}
        }
        let to = self.range(offset, len)?;
        let source = from.range(from_offset, len)?;
        let mut done = 0;
        while done < to.pages() {
            let first = source.start.saturating_add(done);
            let step = PageRange::new(first, source.end.min(first.saturating_add(STEP_PAGES)));
            let (retired, pages) = match from.move_out(step) {
                Ok(moved) => moved,
                Err(blocked) => {
                    blocked.resolve().await?;
                    continue;
                }
            };
            let batch = retired.into_batch().await;
            let first = to.start.saturating_add(done);
            let result = self.put_batch(PageRange::new(first, first.saturating_add(pages)), batch);
            pager.changed().notify_waiters();
            result?;
            done = done.saturating_add(pages);
            M::checkpoint().await;
        }
        Ok(())
    }

    /// Takes the first pages of `range` out, zeroes where there are none; how many is up to it, at least one.
    fn move_out(&self, range: PageRange) -> Result<(Retired<M>, u64), Blocked<M>> {
        let mut batch = Batch::with_room(self);
        let state = &mut *self.lock();
        let limit = batch.room().min(state.mappings.step_pages());
        let end = range.end.min(range.start.saturating_add(limit));
        let mut moved = range.start;
        while moved < end {
            let frame = match self.bring(state, moved, Need::Read) {
                Ok(frame) => frame,
                Err(blocked) if moved == range.start => return Err(blocked),
                // Nothing was begun that would have to be settled: reading never copies.
                Err(_) => break,
            };
            batch.push(frame);
            moved += 1;
        }
        let pages = PageRange::new(range.start, moved);
        state.mappings.unmap_everywhere(pages);
        for page in pages.start..pages.end {
            let _ = state.store.set(page, Slot::Empty, &mut state.account);
        }
        batch.set_charge(state.account.split_pages(pages.pages()));
        let upto = state.mappings.changes();
        Ok((Retired::new(self, upto, batch), pages.pages()))
    }

    /// Puts moved frames at `range`, from its end on, since that is how they come out; charges this vmo's job in place of the other.
    fn put_batch(&self, range: PageRange, mut batch: Batch) -> Result<(), Error> {
        let mut result = Ok(());
        {
            let state = &mut *self.lock();
            let mut page = range.end;
            while let Some(frame) = batch.pop() {
                page = page.saturating_sub(1);
                batch.uncharge_page();
                let wanted = result.is_ok()
                    && page < state.pages
                    && !matches!(state.store.get(page), Slot::Held(_));
                if !wanted {
                    self.frames.release(frame);
                    continue;
                }
                result = state.account.take_page();
                if result.is_ok() {
                    result = state
                        .store
                        .set(page, Slot::Held(frame), &mut state.account)
                        .map(drop);
                    if result.is_err() {
                        state.account.give_pages(1);
                    }
                }
                if result.is_err() {
                    self.frames.release(frame);
                }
            }
        }
        self.release_batch(&mut batch);
        result
    }
}
