//! What a core takes of memory, and what it does when there is none. One test: the allocator counts for the whole process.

#[allow(dead_code, reason = "each test uses some of it")]
mod common;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicUsize, Ordering},
};

use common::{Host, become_core, settle};
use executor::{CoreConfig, Platform, Task, stats::SiteRecord};

struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
/// Requests of this size are refused.
static REFUSED: AtomicUsize = AtomicUsize::new(usize::MAX);

// SAFETY: the system's allocator, or nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.size() == REFUSED.load(Ordering::Relaxed) {
            return std::ptr::null_mut();
        }
        HELD.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise; all memory came from the system's allocator.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn grown_by(action: impl FnOnce()) -> usize {
    let before = HELD.load(Ordering::Relaxed);
    action();
    HELD.load(Ordering::Relaxed).saturating_sub(before)
}

#[test]
fn a_core_is_small_and_grows_by_the_sites_it_sees() {
    let mut core = None;
    let config = CoreConfig {
        tasks: 1024,
        timers: 1024,
        ..CoreConfig::new()
    };
    let start = grown_by(|| core = Some(become_core(config)));
    let core = core.expect("started");
    assert!(start < 288 << 10, "{start} bytes to start a core");

    let records = || {
        let mut seen = 0;
        Host::fleet().for_each_site(core, |_, _, _| seen += 1);
        seen
    };
    let spawn_here = || {
        for _ in 0..10 {
            Task::<Host>::new("one")
                .spawn(async {})
                .expect("a slot")
                .detach();
        }
        settle(core);
    };
    let first = grown_by(spawn_here);
    assert!(first >= size_of::<SiteRecord>(), "{first}");
    assert_eq!(grown_by(spawn_here), 0, "the second time costs nothing");
    assert_eq!(records(), 1);

    // No memory for another site's record: its tasks run and share one.
    REFUSED.store(size_of::<SiteRecord>(), Ordering::Relaxed);
    Task::<Host>::new("two")
        .spawn(async {})
        .expect("a slot")
        .detach();
    settle(core);
    REFUSED.store(usize::MAX, Ordering::Relaxed);
    assert_eq!(records(), 1);
    let poor = Task::<Host>::new("three")
        .spawn(std::future::pending::<()>())
        .expect("a slot");
    settle(core);
    assert_eq!(records(), 2, "there is memory again");
    drop(poor);
}
