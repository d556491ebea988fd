//! Permits and those who wait for them: the one wait list under everything in `executor::sync`.
//!
//! Whoever gives permits ([`Gate::release`]) adds them to `incoming`, which is one atomic instruction, and then
//! *tries* the lock: if somebody holds it, that one looks at `incoming` again after unlocking, so the permits are
//! never left lying. Hence `release` never spins and may be called from an interrupt handler, even one that
//! interrupted a task of the same core inside the lock. Takers are tasks; they spin for the few instructions that
//! another core holds it.
//!
//! Waiters are nodes inside of pinned futures, first come first served. A future that is dropped after its permits
//! were granted gives them back: that is what makes everything built on it cancel-safe. The loom models in
//! `tests/loom_sync.rs` run this very module.

use core::{
    marker::PhantomPinned,
    ops::Range,
    pin::Pin,
    ptr::{self, null_mut},
    task::{Context, Poll, Waker},
};

use super::cell::RawCell;
use crate::atomics::{AtomicBool, AtomicUsize, Ordering, dekker_fence, spin_loop};

/// In `incoming`: grant everyone who waits now.
const EVERYONE: usize = 1 << (usize::BITS - 1);
/// In `incoming`: no permits will come any more.
const CLOSE: usize = 1 << (usize::BITS - 2);
const COUNT: usize = CLOSE - 1;
/// How often an interrupt handler tries a lock: longer than another core holds it.
const ATTEMPTS: usize = 200;

#[derive(Debug)]
struct Waiters {
    first: *mut Node,
    last: *mut Node,
    available: usize,
    closed: bool,
}

/// See the module.
#[derive(Debug)]
pub struct Gate {
    incoming: AtomicUsize,
    locked: AtomicBool,
    waiters: RawCell<Waiters>,
    /// Permits beyond this are forgotten.
    most: usize,
}

// SAFETY: `waiters`, and the nodes that hang on it, are only touched under the lock.
unsafe impl Send for Gate {}
// SAFETY: as above.
unsafe impl Sync for Gate {}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NodeState {
    New,
    Queued,
    Granted,
    Closed,
    Done,
}

#[derive(Debug)]
struct Node {
    next: *mut Node,
    previous: *mut Node,
    waker: Option<Waker>,
    wanted: usize,
    state: NodeState,
    _pinned: PhantomPinned,
}

/// The gate was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed;

impl Gate {
    /// A gate with so many permits at once, and room for `most`.
    #[cfg(not(loom))]
    pub const fn new(available: usize, most: usize) -> Gate {
        Gate {
            incoming: AtomicUsize::new(0),
            locked: AtomicBool::new(false),
            waiters: RawCell::new(Waiters {
                first: null_mut(),
                last: null_mut(),
                available,
                closed: false,
            }),
            most,
        }
    }

    /// As above, with loom's atomics.
    #[cfg(loom)]
    pub fn new(available: usize, most: usize) -> Gate {
        Gate {
            incoming: AtomicUsize::new(0),
            locked: AtomicBool::new(false),
            waiters: RawCell::new(Waiters {
                first: null_mut(),
                last: null_mut(),
                available,
                closed: false,
            }),
            most,
        }
    }

    fn try_lock(&self) -> bool {
        self.locked
            .compare_exchange(false, true, Ordering::SeqCst, Ordering::SeqCst)
            .is_ok()
    }

    fn lock(&self) {
        while !self.try_lock() {
            spin_loop();
        }
    }

    /// Unlocks; `true` if permits came in meanwhile and the caller must settle them.
    fn unlock(&self) -> bool {
        self.locked.swap(false, Ordering::SeqCst);
        dekker_fence();
        !crate::atomics::mutated("gate_no_recheck") && self.incoming.load(Ordering::SeqCst) != 0
    }

    /// Gives permits. From anywhere, interrupt handlers included.
    pub fn release(&self, permits: usize) {
        self.incoming.fetch_add(permits & COUNT, Ordering::SeqCst);
        self.settle();
    }

    /// Grants all who wait now, without permits. From anywhere.
    pub fn release_everyone(&self) {
        self.incoming.fetch_or(EVERYONE, Ordering::SeqCst);
        self.settle();
    }

    /// Ends waiting: who waits now or later gets [`Closed`]. From anywhere.
    pub fn close(&self) {
        self.incoming.fetch_or(CLOSE, Ordering::SeqCst);
        self.settle();
    }

    /// Hands out what came in, unless somebody else is about to.
    fn settle(&self) {
        loop {
            dekker_fence();
            if !self.try_lock() {
                return;
            }
            // SAFETY: locked.
            let (wakers, more) =
                unsafe { self.waiters.with_mut(|waiters| self.grant(&mut *waiters)) };
            let again = self.unlock() || more;
            for waker in wakers.into_iter().flatten() {
                waker.wake();
            }
            if !again {
                return;
            }
        }
    }

    /// Takes in `incoming` and grants from the front, a few at a time; `true` if there are more to grant.
    fn grant(&self, waiters: &mut Waiters) -> ([Option<Waker>; 8], bool) {
        let incoming = self.incoming.swap(0, Ordering::SeqCst);
        let mut wakers = [const { None }; 8];
        waiters.available = waiters.available.saturating_add(incoming & COUNT);
        waiters.closed |= incoming & CLOSE != 0;
        let everyone = incoming & EVERYONE != 0;
        let mut count = 0;
        while !waiters.first.is_null() {
            // SAFETY: queued nodes are alive: their futures unlink them before they go, under the lock.
            let node = unsafe { &mut *waiters.first };
            let state = if everyone {
                NodeState::Granted
            } else if waiters.closed {
                NodeState::Closed
            } else if node.wanted <= waiters.available {
                waiters.available -= node.wanted;
                NodeState::Granted
            } else {
                break;
            };
            if count == wakers.len() {
                if everyone {
                    self.incoming.fetch_or(EVERYONE, Ordering::SeqCst);
                } else if state == NodeState::Granted {
                    waiters.available += node.wanted;
                }
                return (wakers, true);
            }
            if everyone {
                node.wanted = 0;
            }
            // SAFETY: as above.
            unsafe { unlink(waiters, node) };
            node.state = state;
            wakers[count] = node.waker.take();
            count += 1;
        }
        if waiters.first.is_null() {
            waiters.available = waiters.available.min(self.most);
        }
        (wakers, false)
    }

    /// Takes permits if they are there and nobody waits for them already.
    ///
    /// # Errors
    /// [`Closed`] if the gate is.
    pub fn try_acquire(&self, permits: usize) -> Result<bool, Closed> {
        self.lock();
        self.try_acquire_locked(permits)
    }

    /// As [`Gate::try_acquire`], but gives up (`false`) when the lock stays taken: for interrupt handlers, which may have
    /// interrupted its holder.
    ///
    /// # Errors
    /// [`Closed`] if the gate is.
    pub fn try_acquire_briefly(&self, permits: usize) -> Result<bool, Closed> {
        for _ in 0..ATTEMPTS {
            if self.try_lock() {
                return self.try_acquire_locked(permits);
            }
            spin_loop();
        }
        Ok(false)
    }

    fn try_acquire_locked(&self, permits: usize) -> Result<bool, Closed> {
        // SAFETY: locked.
        let (result, wakers, more) = unsafe {
            self.waiters.with_mut(|waiters| {
                let waiters = &mut *waiters;
                let (wakers, more) = self.grant(waiters);
                let result = if waiters.closed {
                    Err(Closed)
                } else if waiters.first.is_null() && waiters.available >= permits {
                    waiters.available -= permits;
                    Ok(true)
                } else {
                    Ok(false)
                };
                (result, wakers, more)
            })
        };
        self.finish(wakers, more);
        result
    }

    fn finish(&self, wakers: [Option<Waker>; 8], more: bool) {
        let again = self.unlock() || more;
        for waker in wakers.into_iter().flatten() {
            waker.wake();
        }
        if again {
            self.settle();
        }
    }

    /// Takes all waiters in `memory` out of the line. Their wakers are neither run nor dropped.
    ///
    /// # Safety
    /// The futures they belong to are not polled or dropped any more.
    pub(crate) unsafe fn forget(&self, memory: &Range<usize>) {
        self.lock();
        // SAFETY: locked; queued nodes are there until they are unlinked, those of forgotten futures too.
        unsafe {
            self.waiters.with_mut(|waiters| {
                let mut next = (*waiters).first;
                while let Some(node) = next.as_mut() {
                    next = node.next;
                    if memory.contains(&ptr::from_mut(node).addr()) {
                        unlink(&mut *waiters, node);
                    }
                }
            });
        }
        // Those behind them may want less.
        self.unlock();
        self.settle();
    }

    /// Waits for permits.
    pub fn acquire(&self, permits: usize) -> Acquire<'_> {
        Acquire {
            gate: self,
            node: Node {
                next: null_mut(),
                previous: null_mut(),
                waker: None,
                wanted: permits,
                state: NodeState::New,
                _pinned: PhantomPinned,
            },
        }
    }

    /// Whether the gate was closed.
    pub fn is_closed(&self) -> bool {
        self.try_acquire(0) == Err(Closed)
    }

    /// How many permits could be taken now.
    pub fn available(&self) -> usize {
        self.lock();
        // SAFETY: locked.
        let (available, wakers, more) = unsafe {
            self.waiters.with_mut(|waiters| {
                let (wakers, more) = self.grant(&mut *waiters);
                (
                    if (*waiters).first.is_null() {
                        (*waiters).available
                    } else {
                        0
                    },
                    wakers,
                    more,
                )
            })
        };
        self.finish(wakers, more);
        available
    }
}

/// # Safety
/// `node` is queued in `waiters`, whose lock is held.
unsafe fn unlink(waiters: &mut Waiters, node: &mut Node) {
    // SAFETY: neighbours are queued too, hence alive.
    unsafe {
        if node.previous.is_null() {
            waiters.first = node.next;
        } else {
            (*node.previous).next = node.next;
        }
        if node.next.is_null() {
            waiters.last = node.previous;
        } else {
            (*node.next).previous = node.previous;
        }
    }
}

/// Waits for permits; dropped after they were granted but not taken, gives them back.
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct Acquire<'a> {
    gate: &'a Gate,
    node: Node,
}

// SAFETY: the node is shared with others only under the gate's lock.
unsafe impl Send for Acquire<'_> {}
// SAFETY: `&Acquire` gives access to nothing.
unsafe impl Sync for Acquire<'_> {}

impl Future for Acquire<'_> {
    type Output = Result<(), Closed>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // SAFETY: nothing is moved out; the node stays where it is.
        let this = unsafe { self.get_unchecked_mut() };
        let gate = this.gate;
        let node = &raw mut this.node;
        if this.node.state == NodeState::Done {
            return Poll::Pending;
        }
        let mut old = None;
        gate.lock();
        // SAFETY: locked, so the node is this future's to look at; it is pinned, so it may be queued.
        let (result, wakers, more) = unsafe {
            gate.waiters.with_mut(|waiters| {
                let waiters = &mut *waiters;
                let (wakers, more) = gate.grant(waiters);
                let node = &mut *node;
                let result = match node.state {
                    NodeState::Granted | NodeState::Done => Poll::Ready(Ok(())),
                    NodeState::Closed => Poll::Ready(Err(Closed)),
                    NodeState::Queued => {
                        if !node
                            .waker
                            .as_ref()
                            .is_some_and(|waker| waker.will_wake(context.waker()))
                        {
                            old = node.waker.replace(context.waker().clone());
                        }
                        Poll::Pending
                    }
                    NodeState::New if waiters.closed => Poll::Ready(Err(Closed)),
                    NodeState::New
                        if waiters.first.is_null() && waiters.available >= node.wanted =>
                    {
                        waiters.available -= node.wanted;
                        Poll::Ready(Ok(()))
                    }
                    NodeState::New => {
                        node.waker = Some(context.waker().clone());
                        node.previous = waiters.last;
                        node.next = null_mut();
                        if waiters.last.is_null() {
                            waiters.first = node;
                        } else {
                            (*waiters.last).next = node;
                        }
                        waiters.last = node;
                        node.state = NodeState::Queued;
                        Poll::Pending
                    }
                };
                if result.is_ready() {
                    node.state = NodeState::Done;
                }
                (result, wakers, more)
            })
        };
        gate.finish(wakers, more);
        drop(old);
        result
    }
}

/// Waits for a permit of a gate that is never closed: see [`Notify::notified`](crate::sync::Notify::notified).
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct Notified<'a>(Acquire<'a>);

impl<'a> Notified<'a> {
    pub(crate) fn new(gate: &'a Gate) -> Self {
        Self(gate.acquire(1))
    }
}

impl Future for Notified<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        // SAFETY: the field is pinned where its owner is, and nothing moves it.
        let acquire = unsafe { self.map_unchecked_mut(|notified| &mut notified.0) };
        acquire.poll(context).map(drop)
    }
}

impl Drop for Acquire<'_> {
    fn drop(&mut self) {
        if matches!(self.node.state, NodeState::New | NodeState::Done) {
            return;
        }
        let node = &raw mut self.node;
        self.gate.lock();
        // SAFETY: locked; the node is unlinked before it goes.
        let granted = unsafe {
            self.gate.waiters.with_mut(|waiters| {
                let node = &mut *node;
                match node.state {
                    NodeState::Queued => {
                        unlink(&mut *waiters, node);
                        0
                    }
                    NodeState::Granted => node.wanted,
                    _ => 0,
                }
            })
        };
        // A waiter that left may have stood before others whose wants are smaller.
        self.gate.unlock();
        self.gate.incoming.fetch_add(granted, Ordering::SeqCst);
        self.gate.settle();
    }
}
