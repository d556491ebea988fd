//! What an operation has taken away and the cores may still use: shot down first, freed then.

use alloc::vec::Vec;
use core::mem;

use abi::memory::PAGE_BYTES;

use super::Vmo;
use super::mappings::Owed;
use crate::job::Charge;
use crate::memory::STEP_PAGES;
use crate::memory::machine::{Frame, Frames, Machine, Tables};
use crate::refs::Ref;

/// Frames on their way out of a vmo, with their charge.
pub(super) struct Batch {
    /// One that has room whatever happens.
    one: Option<Frame>,
    more: Vec<Frame>,
    /// For `more`.
    kernel: Option<Charge>,
    pages: Option<Charge>,
}

impl Batch {
    pub(super) const fn empty() -> Self {
        Self {
            one: None,
            more: Vec::new(),
            kernel: None,
            pages: None,
        }
    }

    /// Room for a step's frames; if there is no memory for that, for one.
    pub(super) fn with_room<M: Machine>(vmo: &Vmo<M>) -> Self {
        let mut batch = Self::empty();
        let bytes = STEP_PAGES * size_of::<Frame>() as u64;
        let charge = vmo.header().job().map(|job| job.charge_kernel(bytes));
        if let Some(Ok(charge)) = charge
            && batch.more.try_reserve_exact(STEP_PAGES as usize).is_ok()
        {
            batch.kernel = Some(charge);
        }
        batch
    }

    pub(super) fn room(&self) -> u64 {
        let more = self.more.capacity() - self.more.len();
        more as u64 + u64::from(self.one.is_none())
    }

    /// Adds a frame, for which there is room.
    pub(super) fn push(&mut self, frame: Frame) {
        if self.more.len() < self.more.capacity() {
            self.more.push(frame);
        } else {
            self.one = Some(frame);
        }
    }

    /// Takes the frame that was put in last.
    pub(super) fn pop(&mut self) -> Option<Frame> {
        self.one.take().or_else(|| self.more.pop())
    }

    pub(super) fn set_charge(&mut self, charge: Charge) {
        self.pages = Some(charge);
    }

    /// Gives the charge of one page back.
    pub(super) fn uncharge_page(&mut self) {
        if let Some(charge) = &mut self.pages {
            charge.shrink(PAGE_BYTES);
        }
    }
}

/// Changes of a vmo that cores may not know yet, and the frames that go when they do.
///
/// To be [settled](Self::settle) before the operation that gave it counts as done. Dropping it does the same on the spot,
/// waiting for the other cores.
#[must_use = "settle it before the operation counts as done"]
pub struct Retired<M: Machine> {
    vmo: Ref<Vmo<M>>,
    /// Changes up to this one.
    upto: u64,
    batch: Batch,
    /// Nothing more is to be done when it is dropped.
    done: bool,
}

impl<M: Machine> Retired<M> {
    pub(super) fn new(vmo: &Ref<Vmo<M>>, upto: u64, batch: Batch) -> Self {
        Self {
            vmo: vmo.clone(),
            upto,
            batch,
            done: false,
        }
    }

    /// Waits until all cores know of the changes, then frees.
    pub async fn settle(mut self) {
        self.flush().await;
        self.free();
        self.done = true;
    }

    /// Waits until all cores know, and gives the frames: nobody can reach them any more.
    pub(super) async fn into_batch(mut self) -> Batch {
        self.flush().await;
        self.done = true;
        mem::replace(&mut self.batch, Batch::empty())
    }

    async fn flush(&self) {
        /// Shootdowns between checkpoints: they may all be ready at once.
        const FLUSH_STEP: u32 = 8;
        let mut last = None;
        let mut done = 0u32;
        while let Some(owed) = self.owed(last.as_ref()) {
            owed.tables.shootdown(owed.span).await;
            self.paid(&owed);
            last = Some(owed);
            done = done.wrapping_add(1);
            if done.is_multiple_of(FLUSH_STEP) {
                M::checkpoint().await;
            }
        }
    }

    fn flush_now(&self) {
        let mut last = None;
        while let Some(owed) = self.owed(last.as_ref()) {
            owed.tables.shootdown_now(owed.span);
            self.paid(&owed);
            last = Some(owed);
        }
    }

    fn owed(&self, last: Option<&Owed<M>>) -> Option<Owed<M>> {
        self.vmo.lock().mappings.owed(self.upto, last)
    }

    fn paid(&self, owed: &Owed<M>) {
        self.vmo.lock().mappings.paid(owed);
        self.vmo.changed().notify_waiters();
    }

    fn free(&mut self) {
        self.vmo.release_batch(&mut self.batch);
    }
}

impl<M: Machine> Vmo<M> {
    /// Frees frames that nobody can reach.
    pub(super) fn release_batch(&self, batch: &mut Batch) {
        while let Some(frame) = batch.pop() {
            self.frames().release(frame);
        }
        batch.pages = None;
        batch.more = Vec::new();
        batch.kernel = None;
    }
}

impl<M: Machine> Drop for Retired<M> {
    fn drop(&mut self) {
        if !self.done {
            self.flush_now();
            self.free();
        }
    }
}
