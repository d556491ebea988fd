//! Frames between unmapping and release.

extern crate alloc;

use alloc::vec::Vec;

use kerncore::fixed_list::FixedList;
use kerncore::frames::Usage;
use kerncore::page_tree::{Mapping, Progress, TreeError};
use kerncore::tlb::Flush;

use super::UserTables;
use crate::mem::counted;

/// Frames that fit without memory from the heap.
const FEW: usize = 16;

/// Frames that were mapped in some tables, and what cores may have cached of them: [`retire`](Self::retire) makes all cores forget
/// it and then releases the frames. Dropping the batch does the same, waiting on the spot.
#[derive(Debug)]
#[must_use = "dropping it waits for other cores"]
pub struct Retired<'a> {
    tables: &'a UserTables,
    few: FixedList<u64, FEW>,
    more: Vec<u64>,
    /// The addresses touched: first, and the end of the last.
    touched: Option<(u64, u64)>,
}

impl<'a> Retired<'a> {
    pub(super) fn new(tables: &'a UserTables) -> Self {
        Self {
            tables,
            few: FixedList::new(0),
            more: Vec::new(),
            touched: None,
        }
    }

    /// Frames collected.
    pub fn len(&self) -> usize {
        self.few.len() + self.more.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Makes room for one more; `false` if the heap has none: retire what there is and go on with a new batch.
    fn has_room(&mut self) -> bool {
        !self.few.is_full() || self.more.try_reserve(1).is_ok()
    }

    /// Pages from `start` to `end` were changed: whatever cores know of them must go.
    pub fn touch(&mut self, start: u64, end: u64) {
        let (first, last) = self.touched.unwrap_or((start, end));
        self.touched = Some((first.min(start), last.max(end)));
    }

    /// Collects a counted frame that was mapped at `address`, of which the batch takes over one hold. `false` if there is
    /// no room for it: then it was not taken. A fresh batch always has room for sixteen.
    #[must_use = "a frame not taken is still the caller's"]
    pub fn push(&mut self, address: u64, frame: u64) -> bool {
        if !self.has_room() {
            return false;
        }
        self.put(address, frame);
        true
    }

    fn put(&mut self, address: u64, frame: u64) {
        if self.few.push(frame).is_err() {
            // Room was reserved.
            self.more.push(frame);
        }
        self.touch(address, address + 1);
    }

    /// Unmaps the pages of `[start, end)`, at most `limit`, and collects their frames, of which the batch takes over one hold
    /// each. Where this stops, for lack of room or by the limit, is in the answer: retire the batch and go on from there.
    /// Pages whose frames are not counted (device memory) are unmapped all the same.
    ///
    /// # Errors
    /// [`TreeError::BadAddress`].
    pub fn unmap_range(&mut self, start: u64, end: u64, limit: u64) -> Result<Progress, TreeError> {
        let tables = self.tables;
        tables.unmap_range(start, end, limit, |address, Mapping { frame, .. }| {
            if counted::count(frame) == 0 {
                self.touch(address, address + 1);
                return true;
            }
            self.push(address, frame)
        })
    }

    /// Makes all cores forget the pages touched, then releases the frames.
    pub async fn retire(mut self) {
        if let Some((start, end)) = self.touched {
            self.tables.shootdown(Flush::range(start, end)).await;
            self.touched = None;
        }
        self.release();
    }

    fn release(&mut self) {
        for &frame in self.few.iter().chain(&self.more) {
            counted::release(frame, Usage::User);
        }
        self.few.truncate(0);
        self.more.clear();
    }
}

impl Drop for Retired<'_> {
    fn drop(&mut self) {
        if let Some((start, end)) = self.touched.take() {
            self.tables.shootdown_now(Flush::range(start, end));
        }
        self.release();
    }
}
