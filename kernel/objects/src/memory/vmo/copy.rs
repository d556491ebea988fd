//! Reading, writing and committing by offset.

use abi::Error;
use abi::memory::PAGE_BYTES;

use super::page::Need;
use super::{Blocked, Kind, Vmo};
use crate::memory::machine::{Frames, Machine};
use crate::memory::store::Slot;
use crate::refs::Ref;

const PAGE: usize = PAGE_BYTES as usize;
/// Pages that are committed under one lock: each may have to be zeroed or copied.
const COMMIT_STEP: u64 = 32;
/// Pages copied between checkpoints.
const COPY_STEP: usize = 2;

/// The piece of `[offset, offset + len)` that lies in `offset`'s page: page, offset in it, bytes.
fn piece(offset: u64, len: usize) -> (u64, usize, usize) {
    let inside = (offset % PAGE_BYTES) as usize;
    (offset / PAGE_BYTES, inside, len.min(PAGE - inside))
}

impl<M: Machine> Ref<Vmo<M>> {
    /// Copies bytes out, as many as lie in one page; returns how many. Reading commits nothing.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] at the vmo's end and for an empty buffer beyond it, [`Error::Unsupported`] for a device's memory, what a pager may do.
    pub fn try_read(&self, offset: u64, into: &mut [u8]) -> Result<usize, Blocked<M>> {
        self.check_copy(offset, into.len())?;
        let (page, inside, len) = piece(offset, into.len());
        let Some(into) = into.get_mut(..len) else {
            return Ok(0);
        };
        let state = &mut *self.lock();
        if page >= state.pages {
            return Err(Error::OutOfRange.into());
        }
        if state.store.get(page) == Slot::Empty && self.is_zero(state.source_end, page) {
            into.fill(0);
            return Ok(len);
        }
        let frame = self.bring(state, page, Need::Read)?;
        self.frames.read(frame, inside, into);
        Ok(len)
    }

    /// Copies bytes in, as many as lie in one page; returns how many.
    ///
    /// # Errors
    /// As [`try_read`](Self::try_read), and [`Error::NoMemory`].
    pub fn try_write(&self, offset: u64, from: &[u8]) -> Result<usize, Blocked<M>> {
        self.check_copy(offset, from.len())?;
        let (page, inside, len) = piece(offset, from.len());
        let Some(from) = from.get(..len) else {
            return Ok(0);
        };
        let state = &mut *self.lock();
        let frame = self.bring(state, page, Need::Write)?;
        self.frames.write(frame, inside, from);
        Ok(len)
    }

    fn check_copy(&self, offset: u64, len: usize) -> Result<(), Error> {
        if self.is_physical() {
            return Err(Error::Unsupported);
        }
        offset
            .checked_add(len as u64)
            .map(drop)
            .ok_or(Error::OutOfRange)
    }

    /// Whether an empty slot reads as zeroes.
    fn is_zero(&self, source_end: u64, page: u64) -> bool {
        match self.kind {
            Kind::Anonymous => true,
            Kind::Copy { .. } => page >= source_end,
            Kind::Paged(_) | Kind::Physical { .. } => false,
        }
    }

    /// Copies bytes out, waiting for pagers.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if the vmo does not have them (the buffer's contents mean nothing then), [`Error::Unsupported`] for a device's memory,
    /// [`Error::PagerFailed`], [`Error::NoMemory`].
    pub async fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), Error> {
        self.check_range(offset, into.len())?;
        let mut done = 0;
        let mut copied = 0;
        while let Some(rest) = into.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match self.try_read(offset.saturating_add(done as u64), rest) {
                Ok(len) => done += len,
                Err(blocked) => blocked.resolve().await?,
            }
            copied += 1;
            if copied % COPY_STEP == 0 {
                M::checkpoint().await;
            }
        }
        Ok(())
    }

    /// Copies bytes in, waiting for pagers and other cores.
    ///
    /// # Errors
    /// As [`read`](Self::read); what lies before the offending page is written then.
    pub async fn write(&self, offset: u64, from: &[u8]) -> Result<(), Error> {
        self.check_range(offset, from.len())?;
        let mut done = 0;
        let mut copied = 0;
        while let Some(rest) = from.get(done..).filter(|rest| !rest.is_empty()) {
            match self.try_write(offset.saturating_add(done as u64), rest) {
                Ok(len) => done += len,
                Err(blocked) => blocked.resolve().await?,
            }
            copied += 1;
            if copied % COPY_STEP == 0 {
                M::checkpoint().await;
            }
        }
        Ok(())
    }

    fn check_range(&self, offset: u64, len: usize) -> Result<(), Error> {
        self.check_copy(offset, len)?;
        match offset.checked_add(len as u64) {
            Some(end) if end <= self.bytes() => Ok(()),
            _ => Err(Error::OutOfRange),
        }
    }

    /// Gives all pages of a range their frames. Dropped, or failed, it has done a part.
    ///
    /// # Errors
    /// [`Error::BadArgument`] if these are no whole pages, [`Error::OutOfRange`], [`Error::NoMemory`], [`Error::PagerFailed`].
    pub async fn commit(&self, offset: u64, len: u64) -> Result<(), Error> {
        let range = self.range(offset, len)?;
        if self.is_physical() {
            return Ok(());
        }
        let mut page = range.start;
        while page < range.end {
            match self.commit_step(&mut page, range.end) {
                Ok(()) => M::checkpoint().await,
                Err(blocked) => blocked.resolve().await?,
            }
        }
        Ok(())
    }

    fn commit_step(&self, page: &mut u64, end: u64) -> Result<(), Blocked<M>> {
        let state = &mut *self.lock();
        let stop = end.min(page.saturating_add(COMMIT_STEP));
        while *page < stop {
            self.bring(state, *page, Need::Read)?;
            *page += 1;
        }
        Ok(())
    }
}
