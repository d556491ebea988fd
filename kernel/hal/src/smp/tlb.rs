//! Telling other cores that page tables have changed.
//!
//! [`shootdown`] raises the space's generation, posts a request to every core that has the space active, interrupts those that
//! are not about to look anyway, and gives a future that is ready when all have answered. The other side is [`serve`], the
//! top half of `vectors::CALL`: it flushes, counts and wakes, and takes no lock. Cores that only hold translations
//! of the space under a PCID they do not use are not disturbed: the generation tells them when they come back. A core found halted leaves the
//! space altogether, so that it is interrupted once and not for every change while it sleeps.
//!
//! Any number of shootdowns may be under way; nobody waits with a lock held. Who waits on the spot with interrupts off serves its own
//! core's requests meanwhile, so two that wait for each other both get on.

use core::pin::Pin;
use core::sync::atomic::{AtomicU64, Ordering};
use core::task::{Context, Poll};

use futures_util::task::AtomicWaker;
use kerncore::tlb::{Cores, Flush, Mailbox};
use x86_64::instructions::interrupts;

use super::call;
use crate::cpu::percpu::{self, PerCpu};
use crate::mem::user_tables::{RetiredTables, Served, UserTables, flush_here, serve_active};

/// Tasks that can await the same core's answers at a time. More wait on the spot.
const WAITERS: usize = 64;

/// What a core keeps for requests to it.
pub(crate) struct TlbCore {
    mailbox: Mailbox,
    /// Which of `wakers` are somebody's.
    waiting: AtomicU64,
    wakers: [AtomicWaker; WAITERS],
    interrupts: AtomicU64,
    ranges: AtomicU64,
    whole: AtomicU64,
    left: AtomicU64,
    /// Interrupts sent by this core.
    sent: AtomicU64,
    posted: AtomicU64,
}

impl TlbCore {
    pub(crate) const fn new() -> Self {
        Self {
            mailbox: Mailbox::new(),
            waiting: AtomicU64::new(0),
            wakers: [const { AtomicWaker::new() }; WAITERS],
            interrupts: AtomicU64::new(0),
            ranges: AtomicU64::new(0),
            whole: AtomicU64::new(0),
            left: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            posted: AtomicU64::new(0),
        }
    }

    /// Takes one of the wakers.
    fn take_place(&self) -> Option<u32> {
        self.waiting
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |taken| {
                (taken != u64::MAX).then(|| taken | (taken + 1))
            })
            .ok()
            .map(|taken| taken.trailing_ones())
    }

    fn leave_place(&self, place: u32) {
        if let Some(waker) = self.wakers.get(place as usize) {
            waker.take();
        }
        self.waiting
            .fetch_and(!(1u64.wrapping_shl(place)), Ordering::SeqCst);
    }
}

/// Figures of one core, since boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TlbStats {
    /// Requests it posted to other cores.
    pub posted: u64,
    /// Interrupts it sent for them.
    pub interrupts_sent: u64,
    /// Times it looked for requests.
    pub served: u64,
    /// Times it flushed just some pages.
    pub ranges: u64,
    /// Times it flushed a whole space.
    pub whole: u64,
    /// Times it left a space: because it was halted, or because the space went.
    pub left: u64,
}

/// Core `core`'s figures.
pub fn stats(core: u32) -> Option<TlbStats> {
    let tlb = &percpu::get(core)?.platform.tlb;
    let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
    Some(TlbStats {
        posted: read(&tlb.posted),
        interrupts_sent: read(&tlb.sent),
        served: read(&tlb.interrupts),
        ranges: read(&tlb.ranges),
        whole: read(&tlb.whole),
        left: read(&tlb.left),
    })
}

/// Counts in a core's own figure.
fn count(figure: &AtomicU64) {
    figure.store(
        figure.load(Ordering::Relaxed).wrapping_add(1),
        Ordering::Relaxed,
    );
}

/// Serves the requests to this core. Its interrupts are off.
pub(crate) fn serve() {
    let block = percpu::this();
    let TlbCore {
        mailbox,
        waiting,
        wakers,
        ..
    } = &block.platform.tlb;
    count(&block.platform.tlb.interrupts);
    let halted = block.platform.halts().0;
    while let Some(pending) = mailbox.pending() {
        let served = serve_active(halted, |flush| mailbox.ranges(pending, flush));
        match served {
            Served::Ranges => count(&block.platform.tlb.ranges),
            Served::All => count(&block.platform.tlb.whole),
            Served::Left => count(&block.platform.tlb.left),
            Served::Nothing => {}
        }
        mailbox.done(pending);
        let mut places = waiting.load(Ordering::SeqCst);
        while places != 0 {
            if let Some(waker) = wakers.get(places.trailing_zeros() as usize) {
                waker.wake();
            }
            places &= places - 1;
        }
    }
}

/// See [`UserTables::shootdown`].
pub(crate) fn shootdown(tables: &UserTables, flush: Flush) -> Shootdown<'_> {
    let shared = tables.shared();
    let retired = shared.take_retired();
    let from = shared.generation.fetch_add(1, Ordering::SeqCst);
    flush_here(tables, from, flush);
    post(tables, flush, retired)
}

/// See [`UserTables::flush_if_alone`].
pub(crate) fn flush_if_alone(tables: &UserTables, flush: Flush) -> bool {
    let shared = tables.shared();
    let others = || {
        let mut cores = shared.cores.snapshot();
        cores.remove(percpu::core_number());
        !cores.is_empty()
    };
    if others() {
        return false;
    }
    let retired = shared.take_retired();
    let from = shared.generation.fetch_add(1, Ordering::SeqCst);
    // Only now is it certain: who comes later sees the generation.
    if others() {
        shared.put_back_retired(retired);
        return false;
    }
    flush_here(tables, from, flush);
    shared.free_retired(retired);
    true
}

/// See [`UserTables::evict`].
pub(crate) fn evict(tables: &UserTables) -> Shootdown<'_> {
    let shared = tables.shared();
    shared.leave.store(true, Ordering::SeqCst);
    if crate::mem::user_tables::is_active(tables) {
        crate::mem::user_tables::activate_kernel();
    }
    let retired = shared.take_retired();
    shared.generation.fetch_add(1, Ordering::SeqCst);
    post(tables, Flush::All, retired)
}

/// Posts to all other cores that have the tables active.
fn post(tables: &UserTables, flush: Flush, retired: RetiredTables) -> Shootdown<'_> {
    let mut waiting = tables.shared().cores.snapshot();
    let own = percpu::this();
    waiting.remove(percpu::core_number());
    for core in waiting {
        let Some(block) = percpu::get(core) else {
            continue;
        };
        own.platform.tlb.posted.fetch_add(1, Ordering::Relaxed);
        if block.platform.tlb.mailbox.post(flush) {
            own.platform.tlb.sent.fetch_add(1, Ordering::Relaxed);
            call(core);
        }
    }
    Shootdown {
        tables,
        waiting,
        current: None,
        retired,
    }
}

/// The core whose answer is waited for.
#[derive(Debug)]
struct Awaited {
    core: u32,
    /// The answer to this many requests covers ours.
    posted: u64,
    place: Option<u32>,
}

/// Answers of other cores that are on their way. Ready when all are in. Dropping it earlier waits for them on the spot only if
/// page tables are to be freed.
#[derive(Debug)]
#[must_use = "the change is everywhere only when this is ready"]
pub struct Shootdown<'a> {
    tables: &'a UserTables,
    /// Cores not looked at yet.
    waiting: Cores,
    current: Option<Awaited>,
    retired: RetiredTables,
}

fn core_block(core: u32) -> Option<&'static PerCpu> {
    percpu::get(core)
}

impl Shootdown<'_> {
    /// The next core that has not answered.
    fn next(&mut self) -> Option<(&'static TlbCore, &mut Awaited)> {
        loop {
            let awaited = match self.current.take() {
                Some(awaited) => awaited,
                None => {
                    let core = self.waiting.pop()?;
                    let Some(block) = core_block(core) else {
                        continue;
                    };
                    Awaited {
                        core,
                        // Ours is among those posted by now.
                        posted: block.platform.tlb.mailbox.posted(),
                        place: None,
                    }
                }
            };
            let Some(block) = core_block(awaited.core) else {
                continue;
            };
            let tlb = &block.platform.tlb;
            if tlb.mailbox.has_served(awaited.posted) {
                if let Some(place) = awaited.place {
                    tlb.leave_place(place);
                }
                continue;
            }
            return Some((tlb, self.current.insert(awaited)));
        }
    }

    /// Waits on the spot.
    pub fn wait(mut self) {
        self.wait_here();
    }

    fn wait_here(&mut self) {
        while let Some((tlb, awaited)) = self.next() {
            spin_until_served(tlb, awaited.posted);
        }
        self.finish();
    }

    /// All have answered.
    fn finish(&mut self) {
        let retired = core::mem::take(&mut self.retired);
        self.tables.shared().free_retired(retired);
    }
}

/// Waits until the core of `tlb` has served `posted` requests, and serves this one's if its interrupts are off.
fn spin_until_served(tlb: &TlbCore, posted: u64) {
    while !tlb.mailbox.has_served(posted) {
        if !interrupts::are_enabled() {
            serve();
        }
        core::hint::spin_loop();
    }
}

impl Future for Shootdown<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        while let Some((tlb, awaited)) = self.next() {
            if awaited.place.is_none() {
                awaited.place = tlb.take_place();
            }
            let waker = awaited
                .place
                .and_then(|place| tlb.wakers.get(place as usize));
            let Some(waker) = waker else {
                spin_until_served(tlb, awaited.posted);
                continue;
            };
            waker.register(context.waker());
            // An answer after the look above but before the waker was there woke nobody.
            if !tlb.mailbox.has_served(awaited.posted) {
                return Poll::Pending;
            }
        }
        self.finish();
        Poll::Ready(())
    }
}

impl Drop for Shootdown<'_> {
    fn drop(&mut self) {
        if !self.retired.is_empty() {
            self.wait_here();
        }
        if let Some(awaited) = self.current.take()
            && let Some(place) = awaited.place
            && let Some(block) = core_block(awaited.core)
        {
            block.platform.tlb.leave_place(place);
        }
    }
}
