//! Vmos: memory in pages.
//!
//! A page has a frame once it was touched or committed ([`page`](self)'s `bring`), shared with clones until it is written.
//! [`Vmo`]s are used through a [`Ref`]: what is left of an operation (a [`Retired`], a [`Wait`](super::Wait)) keeps the vmo alive.
//!
//! * `page`: a page's frame for reading or writing: commit, copy on write, ask the pager.
//! * `copy`: reading and writing by offset. `share`: clones. `remove`: give back, resize, move to another vmo.
//! * `mappings`: where it is mapped and what is owed to the cores. `retired`: paying that.

mod attach;
mod copy;
mod mappings;
mod page;
mod remove;
mod retired;
mod share;

pub(super) use attach::Faulted;
pub(super) use mappings::{MapKey, NewMapping};
pub use page::Blocked;
pub use retired::Retired;

use abi::memory::{MAX_VMO_BYTES, PAGE_BYTES, VmoInfo};
use abi::{Error, ObjectType, Rights};
use executor::sync::Notify;
use spin::{Mutex, MutexGuard};

use super::account::Account;
use super::machine::{Cache, Frame, Frames, Machine};
use super::pager::Pager;
use super::store::{PageStore, Slot};
use super::{PageRange, STEP_PAGES};
use crate::job::Job;
use crate::object::Header;
use crate::refs::Ref;
use mappings::Mappings;

/// Where pages that nobody touched come from.
pub(super) enum Kind<M: Machine> {
    /// Zeroes.
    Anonymous,
    /// A clone of a paged vmo: what that one had not when it was cloned is taken when it is touched.
    Copy {
        /// That vmo, which is no clone itself.
        source: Ref<Vmo<M>>,
        /// Its page that is the first of this one.
        first: u64,
    },
    /// A pager.
    Paged(Ref<Pager<M>>),
    /// Fixed frames: registers, framebuffer or buffers of a device.
    Physical {
        /// The first frame.
        first: Frame,
        /// How they are to be cached.
        cache: Cache,
        /// They are constants of the kernel.
        constant: bool,
        /// Whose they are, if they can go.
        _owner: Option<M::Owner>,
    },
}

/// What a vmo's lock guards.
pub(super) struct State<M: Machine> {
    pub(super) pages: u64,
    pub(super) store: PageStore,
    pub(super) mappings: Mappings<M>,
    pub(super) account: Account,
    /// Of a copy: the pages from here on are zeroes, not the source's.
    source_end: u64,
    /// Of a paged vmo: copies that may still take pages from it.
    copies: u64,
}

/// Memory in pages, up to 64 GiB.
pub struct Vmo<M: Machine> {
    header: Header,
    frames: M::Frames,
    kind: Kind<M>,
    /// Changes have settled.
    changed: Notify,
    state: Mutex<State<M>>,
}

impl<M: Machine> Vmo<M> {
    /// A vmo of zeroes, none of them committed. The size is rounded up to whole pages.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] above 64 GiB, [`Error::BadArgument`] for no bytes, [`Error::NoMemory`].
    pub fn create(frames: M::Frames, job: &Ref<Job>, bytes: u64) -> Result<Ref<Self>, Error> {
        Self::with_kind(frames, job, bytes, Kind::Anonymous)
    }

    /// A vmo of `pages` frames from `first` on, which belong to a device and stay its: neither counted nor charged nor freed, always
    /// there. They can be mapped, but not read or written by offset, cloned or resized. `owner` is dropped with the vmo, and not before.
    ///
    /// # Errors
    /// As [`create`](Self::create); [`Error::OutOfRange`] for frames there cannot be.
    pub fn create_physical(
        frames: M::Frames,
        job: &Ref<Job>,
        first: Frame,
        pages: u64,
        cache: Cache,
        owner: Option<M::Owner>,
    ) -> Result<Ref<Self>, Error> {
        let kind = Kind::Physical {
            first,
            cache,
            constant: false,
            _owner: owner,
        };
        Self::of_frames(frames, job, first, pages, kind)
    }

    /// The same of memory of the kernel's image that never changes: nobody may write there, whatever rights he has.
    ///
    /// # Errors
    /// As [`create_physical`](Self::create_physical).
    pub fn create_constant(
        frames: M::Frames,
        job: &Ref<Job>,
        first: Frame,
        pages: u64,
    ) -> Result<Ref<Self>, Error> {
        let kind = Kind::Physical {
            first,
            cache: Cache::WriteBack,
            constant: true,
            _owner: None,
        };
        Self::of_frames(frames, job, first, pages, kind)
    }

    /// With `pages` fixed frames from `first` on, which there must be.
    fn of_frames(
        frames: M::Frames,
        job: &Ref<Job>,
        first: Frame,
        pages: u64,
        kind: Kind<M>,
    ) -> Result<Ref<Self>, Error> {
        let bytes = pages.checked_mul(PAGE_BYTES).ok_or(Error::OutOfRange)?;
        first
            .address()
            .checked_add(bytes)
            .and_then(|end| Frame::from_address(end.checked_sub(PAGE_BYTES)?))
            .ok_or(Error::OutOfRange)?;
        Self::with_kind(frames, job, bytes, kind)
    }

    pub(super) fn with_kind(
        frames: M::Frames,
        job: &Ref<Job>,
        bytes: u64,
        kind: Kind<M>,
    ) -> Result<Ref<Self>, Error> {
        let pages = pages_of(bytes)?;
        let header = Header::new(ObjectType::Vmo, job, Ref::<Self>::BYTES)?;
        let account = Account::new(job)?;
        // From here on only the last step can fail, and dropping the vmo counts the copy off again.
        if let Kind::Copy { source, .. } = &kind {
            let mut state = source.state.lock();
            state.copies = state.copies.saturating_add(1);
        }
        Ok(Ref::try_new(Self {
            header,
            frames,
            kind,
            changed: Notify::new(),
            state: Mutex::new(State {
                pages,
                store: PageStore::new(),
                mappings: Mappings::new(),
                account,
                source_end: pages,
                copies: 0,
            }),
        })?)
    }

    /// What every object has.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Its number, never used for another object.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.header.id()
    }

    /// Its size in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.pages().saturating_mul(PAGE_BYTES)
    }

    pub(super) fn pages(&self) -> u64 {
        self.lock().pages
    }

    /// Who brings its pages.
    #[must_use]
    pub fn pager(&self) -> Option<&Ref<Pager<M>>> {
        match &self.kind {
            Kind::Paged(pager) => Some(pager),
            _ => None,
        }
    }

    /// Whether a touch of it may have to wait until a pager brings a page.
    #[must_use]
    pub fn may_wait_for_pager(&self) -> bool {
        matches!(self.kind, Kind::Paged(_) | Kind::Copy { .. })
    }

    /// Whether it is a device's memory.
    #[must_use]
    pub fn is_physical(&self) -> bool {
        matches!(self.kind, Kind::Physical { .. })
    }

    /// Whether its bytes never change.
    #[must_use]
    pub fn is_constant(&self) -> bool {
        matches!(self.kind, Kind::Physical { constant: true, .. })
    }

    /// What somebody with these rights may do with it.
    pub(super) fn limit(&self, rights: Rights) -> Rights {
        if self.is_constant() {
            rights.difference(Rights::WRITE)
        } else {
            rights
        }
    }

    pub(super) fn frames(&self) -> &M::Frames {
        &self.frames
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State<M>> {
        self.state.lock()
    }

    pub(super) fn changed(&self) -> &Notify {
        &self.changed
    }

    /// Whether cores may remember another state of this page.
    pub(super) fn is_unsettled(&self, page: u64) -> bool {
        self.lock().mappings.is_unsettled(page)
    }

    /// Whether its pager was asked for this page and has not answered.
    pub(super) fn is_wanted(&self, page: u64) -> bool {
        self.lock().store.get(page) == Slot::Wanted
    }

    /// The pages of `len` bytes from `offset` on.
    ///
    /// # Errors
    /// [`Error::BadArgument`] if they are no whole pages, [`Error::OutOfRange`] if it does not have them.
    pub(super) fn range(&self, offset: u64, len: u64) -> Result<PageRange, Error> {
        let range = PageRange::of_bytes(offset, len)?;
        if range.end > self.lock().pages {
            return Err(Error::OutOfRange);
        }
        Ok(range)
    }

    /// Marks wanted pages as failed, as many as a step takes; returns where to go on.
    pub(super) fn fail_step(&self, range: PageRange) -> Option<u64> {
        let state = &mut *self.lock();
        let mut from = range.start;
        for _ in 0..STEP_PAGES {
            let (page, slot) = state.store.next(from, range.end)?;
            if slot == Slot::Wanted {
                // A slot that is in use never fails to change.
                let _ = state.store.set(page, Slot::Failed, &mut state.account);
            }
            from = page + 1;
        }
        Some(from)
    }

    /// Sizes, as they were at some moment of the call each.
    pub async fn info(&self) -> VmoInfo {
        let mut shared = 0;
        let mut next = Some(0);
        while let Some(from) = next {
            next = self.count_shared(from, &mut shared);
            if next.is_some() {
                M::checkpoint().await;
            }
        }
        let state = self.lock();
        VmoInfo {
            size_bytes: state.pages.saturating_mul(PAGE_BYTES),
            committed_bytes: state.store.held().saturating_mul(PAGE_BYTES),
            shared_bytes: shared,
            mappings: state.mappings.len() as u64,
        }
    }

    fn count_shared(&self, from: u64, bytes: &mut u64) -> Option<u64> {
        let state = self.lock();
        let mut from = from;
        for _ in 0..STEP_PAGES {
            let (page, slot) = state.store.next(from, u64::MAX)?;
            if let Slot::Held(frame) = slot
                && self.frames.count(frame) > 1
            {
                *bytes = bytes.saturating_add(PAGE_BYTES);
            }
            from = page + 1;
        }
        Some(from)
    }

    /// Before a reference is dropped that may be the last: frees a piece of the pages if it is. True once dropping it is short.
    pub fn close_step(this: &Ref<Self>) -> bool {
        if this.owners() != 1 {
            return true;
        }
        // Who gets another one now, through a weak reference, finds a vmo that nobody has a handle to.
        let state = &mut *this.lock();
        state.mappings.len() != 0 || this.drain(state, STEP_PAGES)
    }

    /// The same, to the end.
    pub async fn close(this: &Ref<Self>) {
        while !Self::close_step(this) {
            M::checkpoint().await;
        }
    }

    fn drain(&self, state: &mut State<M>, limit: u64) -> bool {
        for _ in 0..limit {
            let Some((page, slot)) = state.store.next(0, u64::MAX) else {
                return true;
            };
            let _ = state.store.set(page, Slot::Empty, &mut state.account);
            if let Slot::Held(frame) = slot {
                self.frames.release(frame);
                state.account.give_pages(1);
            }
        }
        false
    }
}

impl<M: Machine> Drop for Vmo<M> {
    fn drop(&mut self) {
        {
            // Nothing is mapped: mappings are held by regions, which hold the vmo.
            let state = &mut *self.state.lock();
            self.drain(state, u64::MAX);
        }
        if let Kind::Copy { source, .. } = &self.kind {
            let mut state = source.state.lock();
            state.copies = state.copies.saturating_sub(1);
        }
    }
}

/// Whole pages for `bytes`.
fn pages_of(bytes: u64) -> Result<u64, Error> {
    match bytes {
        0 => Err(Error::BadArgument),
        1..=MAX_VMO_BYTES => Ok(bytes.div_ceil(PAGE_BYTES)),
        _ => Err(Error::OutOfRange),
    }
}
