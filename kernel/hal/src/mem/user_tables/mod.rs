//! A process's page tables: its user half; the kernel's half is shared by all.
//!
//! [`UserTables`] changes entries; what cores may have cached of them is dealt with by
//! [`shootdown`](UserTables::shootdown), which the caller awaits before it frees a frame or relies on a page being
//! gone. [`Retired`] collects frames and does both in the right order. Which core runs what is `active`'s part.
//!
//! Lock order: the tables' lock is the last one taken; it is not held over an await and no top half takes it.
//! Table frames are freed by the last acknowledgement of the shootdown that follows their removal, or when the tables are dropped.
//! Data frames are not theirs: who maps a frame holds it until the shootdown after the unmapping is over.

mod active;
mod retired;
mod shared;

pub(crate) use active::{
    ActiveCore, Served, flush_here, flush_page, init_this_core, serve as serve_active,
};
pub use active::{activate, activate_kernel, activate_now, is_active};
pub use kerncore::page_tree::{
    Mapping, Progress, TreeError, USER_BASE, USER_END, UserAccess, UserCache, UserFlags,
};
pub use kerncore::tlb::Flush;
pub use retired::Retired;
pub(crate) use shared::{RetiredTables, Shared};

use core::ptr::NonNull;

use crate::mem::audit::{self, Audit};
use crate::smp::tlb::{self, Shootdown};

/// Asked before each table frame is taken: may the process have another? The place to charge its job. The frames
/// go back unasked: [`UserTables::table_frames`] tells what is held.
pub type MayTake<'a> = &'a mut dyn FnMut() -> bool;

/// Page tables of one process.
///
/// Dropping them takes every core off them and frees all table frames; that waits for the other cores unless
/// [`evict`](Self::evict) was awaited before. Whoever holds frames that are still mapped may release them only after one
/// of the two. Not to be dropped in a top half.
#[derive(Debug)]
pub struct UserTables {
    /// Never freed but by `drop`: cores that have the space active keep its address.
    shared: NonNull<Shared>,
}

// SAFETY: all of `Shared` may be used from any core: atomics, and the tree behind its lock.
unsafe impl Send for UserTables {}
// SAFETY: as above.
unsafe impl Sync for UserTables {}

impl UserTables {
    /// Empty tables.
    ///
    /// # Errors
    /// [`TreeError::OverQuota`], [`TreeError::OutOfFrames`].
    pub fn new(may_take: MayTake<'_>) -> Result<Self, TreeError> {
        Shared::new(may_take).map(|shared| Self { shared })
    }

    #[inline]
    pub(crate) fn shared(&self) -> &Shared {
        // SAFETY: `drop` alone frees it.
        unsafe { self.shared.as_ref() }
    }

    /// A number no other tables ever have.
    pub fn id(&self) -> u64 {
        self.shared().id()
    }

    /// Maps `frame` at `address`, where nothing may be mapped. No shootdown is owed for it. Takes at most three tables.
    ///
    /// # Errors
    /// [`TreeError`]; nothing was changed then.
    pub fn map(
        &self,
        address: u64,
        frame: u64,
        flags: UserFlags,
        may_take: MayTake<'_>,
    ) -> Result<(), TreeError> {
        self.shared().change(Some(may_take), |tree, store| {
            tree.map(store, address, frame, flags)
        })
    }

    /// Puts `frame` in the place of what is mapped at `address`, in one step: no core ever finds nothing there. Returns what was there,
    /// which cores may use until a shootdown.
    ///
    /// # Errors
    /// [`TreeError::NotMapped`], [`TreeError::BadAddress`], [`TreeError::BadFrame`].
    pub fn replace(
        &self,
        address: u64,
        frame: u64,
        flags: UserFlags,
    ) -> Result<Mapping, TreeError> {
        self.shared().change(None, |tree, store| {
            tree.replace(store, address, frame, flags)
        })
    }

    /// Changes the flags of the page at `address`; returns what was there. Cores may use the old flags until a shootdown.
    ///
    /// # Errors
    /// [`TreeError::NotMapped`], [`TreeError::BadAddress`].
    pub fn protect(&self, address: u64, flags: UserFlags) -> Result<Mapping, TreeError> {
        self.shared()
            .change(None, |tree, store| tree.protect(store, address, flags))
    }

    /// Removes the page at `address`; returns what was there, which cores may use until a shootdown.
    pub fn unmap(&self, address: u64) -> Option<Mapping> {
        self.shared()
            .change(None, |tree, store| tree.unmap(store, address))
    }

    /// What is mapped at `address`, which need not be a page's first.
    pub fn translate(&self, address: u64) -> Option<Mapping> {
        self.shared()
            .change(None, |tree, store| tree.translate(store, address))
    }

    /// Calls `visit` with the mapped pages of `[start, end)`, at most `limit`, skipping what is empty. Under the tables' lock: it must
    /// be short.
    ///
    /// # Errors
    /// [`TreeError::BadAddress`].
    pub fn visit_range(
        &self,
        start: u64,
        end: u64,
        limit: u64,
        visit: impl FnMut(u64, Mapping),
    ) -> Result<Progress, TreeError> {
        self.shared().change(None, |tree, store| {
            tree.visit_range(store, start, end, limit, visit)
        })
    }

    /// Gives the mapped pages of `[start, end)`, at most `limit`, the flags that `flags` says (`None`: as they are). Cores may use the
    /// old flags until a shootdown. Under the tables' lock.
    ///
    /// # Errors
    /// [`TreeError::BadAddress`].
    pub fn protect_range(
        &self,
        start: u64,
        end: u64,
        limit: u64,
        flags: impl FnMut(u64, Mapping) -> Option<UserFlags>,
    ) -> Result<Progress, TreeError> {
        self.shared().change(None, |tree, store| {
            tree.protect_range(store, start, end, limit, flags)
        })
    }

    /// Removes the mapped pages of `[start, end)`, at most `limit`, as long as `accept` takes them: it is asked before each
    /// goes, under the tables' lock. Cores may use them until a shootdown. See [`Retired::unmap_range`].
    ///
    /// # Errors
    /// [`TreeError::BadAddress`].
    pub fn unmap_range(
        &self,
        start: u64,
        end: u64,
        limit: u64,
        accept: impl FnMut(u64, Mapping) -> bool,
    ) -> Result<Progress, TreeError> {
        self.shared().change(None, |tree, store| {
            tree.unmap_range(store, start, end, limit, accept)
        })
    }

    /// Frames held for tables, those included that await a shootdown.
    pub fn table_frames(&self) -> u64 {
        self.shared().table_frames()
    }

    /// Pages mapped.
    pub fn mapped_pages(&self) -> u64 {
        self.shared().mapped_pages()
    }

    /// Makes every core forget what `flush` names as it was before this call. The requests are out when this returns; await the
    /// answers. With no other core on these tables it costs an `invlpg` per page and is ready at once.
    pub fn shootdown(&self, flush: Flush) -> Shootdown<'_> {
        tlb::shootdown(self, flush)
    }

    /// The same, waiting for the answers on the spot. Good with interrupts off too: this core serves others meanwhile.
    pub fn shootdown_now(&self, flush: Flush) {
        tlb::shootdown(self, flush).wait();
    }

    /// If no core but this one has these tables active, does all of [`shootdown`](Self::shootdown) and returns true; else nothing.
    pub fn flush_if_alone(&self, flush: Flush) -> bool {
        tlb::flush_if_alone(self, flush)
    }

    /// Takes all cores off these tables; await the answers. The process must not be about to run: nobody activates them any more.
    pub fn evict(&self) -> Shootdown<'_> {
        tlb::evict(self)
    }

    /// A batch of frames to be released after the next shootdown.
    pub fn retired(&self) -> Retired<'_> {
        Retired::new(self)
    }

    /// Counts the mapped pages by what may be done with them, as the CPU would see it.
    pub fn audit(&self) -> Audit {
        self.shared()
            .change(None, |tree, _| audit::user_half(tree.root()))
    }
}

impl Drop for UserTables {
    fn drop(&mut self) {
        tlb::evict(self).wait();
        // SAFETY: no core has the space active now, and none can get it: this was the only way to it.
        unsafe { Shared::free(self.shared) };
    }
}
