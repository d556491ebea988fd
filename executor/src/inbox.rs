//! How a wake crosses cores: a pending bit in the woken item, a lock-free stack of items at the home
//! core, and the word that says whether the home core sleeps.
//!
//! Wakers anywhere: [`claim`], and who wins pushes to the [`Inbox`], then asks [`Park`] whether
//! a kick is owed. The home core: [`Inbox::take`], which clears each item's bit *before* the
//! item is queued, so that a wake which came too late to be carried by this round starts another one.
//! What must hold: no wake is lost between any two steps of either side, including the step from "the
//! inbox is empty" to the halt. The loom models in `tests/loom_wake.rs` run this very module.

use crate::atomics::{AtomicBool, AtomicU32, Ordering, dekker_fence};

const END: u32 = 0;

/// What an item must hold to be woken from elsewhere. The two are separate words on purpose: the pending bit must only
/// ever be changed by read-modify-writes, so that [`release`] reads the last [`claim`] and sees what its
/// author wrote before. A plain store to the same word (of the next item's number) would break that chain.
pub trait Linked {
    /// Whether a wake is on its way.
    fn pending(&self) -> &AtomicBool;
    /// The next item's number plus one; 0 at the end.
    fn next(&self) -> &AtomicU32;
}

/// Sets the pending bit; `true` for the caller that must push. Others may rely on that push: what they wrote before is
/// visible to the home core after its `release`.
#[inline]
pub fn claim(item: &impl Linked) -> bool {
    !item.pending().swap(true, Ordering::AcqRel)
}

/// Clears the pending bit. A locked instruction on purpose: it must *read* the last `claim`, or the writes of a waker
/// that found the bit set could stay unseen.
#[inline]
fn release(item: &impl Linked) {
    if crate::atomics::mutated("release_is_store") {
        item.pending().store(false, Ordering::Relaxed);
    } else {
        item.pending().swap(false, Ordering::AcqRel);
    }
}

/// A core's stack of items woken from elsewhere. Items are numbers below 2³²; they are found
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
        Inbox {
            head: AtomicU32::new(END),
        }
    }

    /// Pushes an item that the caller has claimed.
    #[inline]
    pub fn push(&self, number: u32, item: &impl Linked) {
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            item.next().store(head, Ordering::Relaxed);
            // SeqCst: the sender's half of the handshake with `Park::announce`.
            match self.head.compare_exchange_weak(
                head,
                number + 1,
                Ordering::SeqCst,
                Ordering::Relaxed,
            ) {
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
    pub fn take<'a, L: Linked + 'a, F: Fn(u32) -> &'a L>(&self, find: F) -> Batch<F> {
        // The stack is newest first: turn the chain around so that ties keep their wake order.
        let mut newer = END;
        let mut item = self.head.swap(END, Ordering::AcqRel);
        while item != END {
            let next = find(item - 1).next();
            let older = next.load(Ordering::Relaxed);
            next.store(newer, Ordering::Relaxed);
            newer = item;
            item = older;
        }
        Batch { next: newer, find }
    }
}

/// Items taken from an [`Inbox`], oldest first; each one's pending bit is cleared as it is handed out.
#[derive(Debug)]
pub struct Batch<F> {
    next: u32,
    find: F,
}

impl<'a, L: Linked + 'a, F: Fn(u32) -> &'a L> Iterator for Batch<F> {
    type Item = u32;

    #[inline]
    fn next(&mut self) -> Option<u32> {
        if self.next == END {
            return None;
        }
        let number = self.next - 1;
        let item = (self.find)(number);
        self.next = item.next().load(Ordering::Relaxed);
        release(item);
        Some(number)
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
        Park {
            state: AtomicU32::new(RUNNING),
        }
    }

    /// The home core is about to halt. Returns whether it may: nothing came before the announcement;
    /// whatever comes after it brings a kick.
    #[inline]
    pub fn announce(&self, inbox: &Inbox) -> bool {
        self.state.store(HALTED, Ordering::SeqCst);
        dekker_fence();
        if crate::atomics::mutated("no_recheck") || inbox.is_empty_now() {
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
            && self
                .state
                .compare_exchange(HALTED, RUNNING, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
    }

    /// Whether the core sleeps, as last seen from here.
    #[inline]
    pub fn is_halted(&self) -> bool {
        self.state.load(Ordering::Relaxed) == HALTED
    }
}
