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
        let event = match &self.what {
            For::Shootdown => self.vmo.changed(),
            For::Page(pager) | For::Room(pager) => {
                pager.announce();
                pager.changed()
            }
        };
        let look = || {
            let done = match &self.what {
                For::Shootdown => !self.vmo.is_unsettled(self.page),
                For::Page(pager) => pager.is_closed() || !self.vmo.is_wanted(self.page),
                For::Room(pager) => pager.is_closed() || pager.has_room(),
            };
            done.then_some(Ok::<(), Error>(()))
        };
        // It does not fail: there is no lease to be revoked.
        let _: Result<(), Error> = until(event, None, look).await;
    }
}
