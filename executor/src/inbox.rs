//! How a wake crosses cores: a pending bit in the woken item, a lock-free stack of items at the home
//! core, and the word that says whether the home core sleeps.
//!
//! Wakers anywhere: [`Link::claim`], and who wins pushes to the [`Inbox`], then asks [`Park`] whether
//! a kick is owed. The home core: [`Inbox::take`], and for each item [`Link::release`] *before* the
//! item is queued, so that a wake which came too late to be carried by this round starts another one.
//! What must hold: no wake is lost between any two steps of either side, including the step from "the
//! inbox is empty" to the halt. The loom models in `tests/loom_wake.rs` run this very module.

use crate::atomics::{AtomicU32, Ordering, dekker_fence};

const PENDING: u32 = 1 << 31;
const END: u32 = 0;

/// The intrusive part: pending bit (31) and the next item's number plus one (0..31).
#[derive(Debug)]
pub struct Link(AtomicU32);

impl Default for Link {
    fn default() -> Self {
        Self::new()
    }
}

impl Link {
    /// A link in no inbox.
    pub fn new() -> Link {
        Link(AtomicU32::new(0))
    }

    /// Sets the pending bit; `true` for the caller that must push. Others may rely on that push: what
    /// they wrote before is visible to the home core after its `release`.
    #[inline]
    pub fn claim(&self) -> bool {
        self.0.fetch_or(PENDING, Ordering::AcqRel) & PENDING == 0
    }

    /// Clears the pending bit. A locked instruction on purpose: it must *read* the last `claim`, or
    /// the writes of a waker that found the bit set could stay unseen.
    #[inline]
    pub fn release(&self) {
        if cfg!(loom_mutation = "release_is_store") {
            self.0.store(0, Ordering::Relaxed);
        } else {
            self.0.swap(0, Ordering::AcqRel);
        }
    }

    /// Whether a wake is on its way through the inbox.
    #[inline]
    pub fn is_pending(&self) -> bool {
        self.0.load(Ordering::Relaxed) & PENDING != 0
    }
}

/// A core's stack of items woken from elsewhere. Items are numbers below 2³⁰; their links are found
/// by the closure given to each call.
#[derive(Debug)]
pub struct Inbox {
    head: AtomicU32,
}

impl Default for Inbox {
    fn default() -> Self {
        Self::new()
    }
}

impl Inbox {
    /// An empty inbox.
    pub fn new() -> Inbox {
        Inbox { head: AtomicU32::new(END) }
    }

    /// Pushes an item whose link the caller has claimed.
    #[inline]
    pub fn push(&self, item: u32, link: &Link) {
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            link.0.store(PENDING | head, Ordering::Relaxed);
            // SeqCst: the sender's half of the handshake with `Park::announce`.
            match self.head.compare_exchange_weak(head, item + 1, Ordering::SeqCst, Ordering::Relaxed) {
                Ok(_) => return,
                Err(seen) => head = seen,
            }
        }
    }

    /// Whether nothing waits. One plain load.
    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        self.head.load(Ordering::Relaxed) == END
    }

    /// Whether nothing waits, ordered behind an earlier `SeqCst` store: what is not seen here sees that store.
    #[inline]
    pub fn is_empty_now(&self) -> bool {
        self.head.load(Ordering::SeqCst) == END
    }

    /// Takes everything, as a chain in order of arrival; for the home core.
    #[inline]
    pub fn take<'a, F: Fn(u32) -> &'a Link>(&self, link: F) -> Batch<'a, F> {
        // The stack is newest first: turn the chain around so that ties keep their wake order.
        let mut newer = END;
        let mut item = self.head.swap(END, Ordering::AcqRel);
        while item != END {
            let word = &link(item - 1).0;
            let older = word.load(Ordering::Relaxed) & !PENDING;
            word.store(PENDING | newer, Ordering::Relaxed);
            newer = item;
            item = older;
        }
        Batch { next: newer, link }
    }
}

/// Items taken from an [`Inbox`], oldest first; each link is released as the item is handed out.
#[derive(Debug)]
pub struct Batch<'a, F: Fn(u32) -> &'a Link> {
    next: u32,
    link: F,
}

impl<'a, F: Fn(u32) -> &'a Link> Iterator for Batch<'a, F> {
    type Item = u32;

    #[inline]
    fn next(&mut self) -> Option<u32> {
        if self.next == END {
            return None;
        }
        let item = self.next - 1;
        let link = (self.link)(item);
        self.next = link.0.load(Ordering::Relaxed) & !PENDING;
        link.release();
        Some(item)
    }
}

const RUNNING: u32 = 0;
const HALTED: u32 = 1;

/// Whether a core sleeps, and the handshake that makes falling asleep safe.
#[derive(Debug)]
pub struct Park {
    state: AtomicU32,
}

impl Default for Park {
    fn default() -> Self {
        Self::new()
    }
}

impl Park {
    /// A core that runs.
    pub fn new() -> Park {
        Park { state: AtomicU32::new(RUNNING) }
    }

    /// The home core is about to halt. Returns whether it may: nothing came before the announcement;
    /// whatever comes after it brings a kick.
    #[inline]
    pub fn announce(&self, inbox: &Inbox) -> bool {
        self.state.store(HALTED, Ordering::SeqCst);
        dekker_fence();
        if cfg!(loom_mutation = "no_recheck") || inbox.is_empty_now() {
            return true;
        }
        self.resume();
        false
    }

    /// The home core runs again.
    #[inline]
    pub fn resume(&self) {
        self.state.store(RUNNING, Ordering::Relaxed);
    }

    /// After a push: whether the caller owes the core a kick. At most one of several callers is told so
    /// for one halt.
    #[inline]
    pub fn claim_kick(&self) -> bool {
        dekker_fence();
        self.state.load(Ordering::SeqCst) == HALTED
            && self.state.compare_exchange(HALTED, RUNNING, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Whether the core sleeps, as last seen from here.
    #[inline]
    pub fn is_halted(&self) -> bool {
        self.state.load(Ordering::Relaxed) == HALTED
    }
}
