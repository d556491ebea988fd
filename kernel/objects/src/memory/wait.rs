//! Waiting for a page that is not ready: for its pager, or for other cores to forget what was there before.

use abi::Error;

use super::machine::Machine;
use super::pager::Pager;
use super::vmo::Vmo;
use crate::refs::Ref;
use crate::signals::until;

enum For<M: Machine> {
    /// The end of a shootdown.
    Shootdown,
    /// The page.
    Page(Ref<Pager<M>>),
    /// Room among the pager's requests.
    Room(Ref<Pager<M>>),
}

/// A page is not ready. Once [`ready`](Self::ready) is over, look again: it is no promise.
#[must_use = "the page is not ready"]
pub struct Wait<M: Machine> {
    vmo: Ref<Vmo<M>>,
    page: u64,
    what: For<M>,
}

impl<M: Machine> Wait<M> {
    pub(super) fn for_shootdown(vmo: &Ref<Vmo<M>>, page: u64) -> Self {
        Self {
            vmo: vmo.clone(),
            page,
            what: For::Shootdown,
        }
    }

    pub(super) fn for_page(vmo: &Ref<Vmo<M>>, page: u64, pager: &Ref<Pager<M>>) -> Self {
        Self {
            vmo: vmo.clone(),
            page,
            what: For::Page(pager.clone()),
        }
    }

    pub(super) fn for_room(vmo: &Ref<Vmo<M>>, page: u64, pager: &Ref<Pager<M>>) -> Self {
        Self {
            vmo: vmo.clone(),
            page,
            what: For::Room(pager.clone()),
        }
    }

    /// Whether a pager is waited for: that takes as long as the pager likes.
    #[must_use]
    pub fn is_for_pager(&self) -> bool {
        !matches!(self.what, For::Shootdown)
    }

    /// The vmo's number and the byte offset of the page.
    #[must_use]
    pub fn page(&self) -> (u64, u64) {
        (
            self.vmo.id(),
            self.page.saturating_mul(abi::memory::PAGE_BYTES),
        )
    }

    /// Until it is worth looking again. Takes no memory; may be dropped.
    pub async fn ready(&self) {
        let when = |done: bool| done.then_some(Ok::<(), Error>(()));
        // None of them fails: there is no lease to be revoked.
        let _: Result<(), Error> = match &self.what {
            For::Shootdown => {
                let look = || when(!self.vmo.is_unsettled(self.page));
                until(self.vmo.changed(), None, look).await
            }
            For::Page(pager) => {
                pager.announce();
                let look = || when(pager.is_closed() || !self.vmo.is_wanted(self.page));
                until(pager.changed(), None, look).await
            }
            For::Room(pager) => {
                pager.announce();
                let look = || when(pager.is_closed() || pager.has_room());
                until(pager.changed(), None, look).await
            }
        };
    }
}
