//! loom models of the shipped inbox and halt handshake: `RUSTFLAGS="--cfg loom" cargo test --release -p executor --test loom_wake`.
#![cfg(loom)]

use std::sync::Arc;

use executor::modelled::{Inbox, Linked, Park, claim};
use loom::{
    model::Builder,
    sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering},
    thread,
};

/// What a slot is to the inbox.
struct Link {
    pending: AtomicBool,
    next: AtomicU32,
}

impl Link {
    fn new() -> Link {
        Link {
            pending: AtomicBool::new(false),
            next: AtomicU32::new(0),
        }
    }
}

impl Linked for Link {
    fn pending(&self) -> &AtomicBool {
        &self.pending
    }

    fn next(&self) -> &AtomicU32 {
        &self.next
    }
}

/// A core, its tasks' links, and a stand-in for the interrupt line.
struct Home {
    inbox: Inbox,
    park: Park,
    links: [Link; 2],
    /// What a wake is about: written before the wake, by plain (relaxed) stores.
    mail: [AtomicUsize; 2],
    kicked: AtomicBool,
}

impl Home {
    fn new() -> Arc<Home> {
        Arc::new(Home {
            inbox: Inbox::new(),
            park: Park::new(),
            links: [Link::new(), Link::new()],
            mail: [AtomicUsize::new(0), AtomicUsize::new(0)],
            kicked: AtomicBool::new(false),
        })
    }

    fn wake(&self, task: u32, letter: usize) {
        self.mail[task as usize].store(letter, Ordering::Relaxed);
        if claim(&self.links[task as usize]) {
            self.inbox.push(task, &self.links[task as usize]);
            if self.park.claim_kick() {
                self.kicked.swap(true, Ordering::AcqRel);
            }
        }
    }

    /// Runs what was woken; returns the latest letter of each task seen.
    fn run(&self, seen: &mut [usize; 2]) {
        for task in self.inbox.take(|task| &self.links[task as usize]) {
            seen[task as usize] = self.mail[task as usize].load(Ordering::Relaxed);
        }
    }

    /// The home core: runs and halts until the letters are there. A halt without a kick to come is a lost wake.
    fn live(&self, wanted: [usize; 2]) {
        let mut seen = [0; 2];
        loop {
            self.run(&mut seen);
            if seen == wanted {
                return;
            }
            if self.park.announce(&self.inbox) {
                // Halted: only a kick ends it. loom reports a deadlock if none comes.
                while !self.kicked.swap(false, Ordering::AcqRel) {
                    thread::yield_now();
                }
                self.park.resume();
            }
        }
    }
}

fn bounded() -> Builder {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(3);
    builder.max_branches = 20_000;
    builder
}

/// Two cores wake two tasks while the home core falls asleep.
#[test]
fn no_wake_is_lost_before_the_halt() {
    bounded().check(|| {
        let home = Home::new();
        let others: Vec<_> = (0..2u32)
            .map(|task| {
                let home = home.clone();
                thread::spawn(move || home.wake(task, 1))
            })
            .collect();
        home.live([1, 1]);
        for other in others {
            other.join().expect("no panic");
        }
    });
}

/// The same task is woken twice: the second wake may find the bit set, but its letter must be seen.
#[test]
fn a_coalesced_wake_delivers_the_latest_letter() {
    bounded().check(|| {
        let home = Home::new();
        let other = {
            let home = home.clone();
            thread::spawn(move || {
                home.wake(0, 1);
                home.wake(0, 2);
            })
        };
        home.live([2, 0]);
        other.join().expect("no panic");
    });
}

/// Two cores wake the same task, each with a letter of its own: both are read by a poll after the last wake.
#[test]
fn both_of_two_wakers_are_heard() {
    bounded().check(|| {
        let home = Home::new();
        let other = {
            let home = home.clone();
            thread::spawn(move || {
                home.mail[1].store(7, Ordering::Relaxed);
                home.wake(0, 1);
            })
        };
        home.wake(0, 1);
        let mut heard = 0;
        let mut seen = [0; 2];
        loop {
            for task in home.inbox.take(|task| &home.links[task as usize]) {
                seen[task as usize] = 1;
                heard = home.mail[1].load(Ordering::Relaxed);
            }
            if heard == 7 {
                break;
            }
            if home.park.announce(&home.inbox) {
                while !home.kicked.swap(false, Ordering::AcqRel) {
                    thread::yield_now();
                }
                home.park.resume();
            }
        }
        other.join().expect("no panic");
    });
}

/// A task is woken from elsewhere while its slot finishes and gets a new occupant: nothing is pushed twice, and the
/// new occupant is not left unwoken.
#[test]
fn a_slot_is_reused_while_in_the_inbox() {
    bounded().check(|| {
        let home = Home::new();
        let other = {
            let home = home.clone();
            thread::spawn(move || {
                // Stale: for the first occupant.
                home.wake(0, 1);
                // For the second.
                home.wake(0, 2);
            })
        };
        // The home core has already let the first occupant go; a drain in between only means a spurious poll.
        let mut seen = [0; 2];
        home.run(&mut seen);
        home.live_from(&mut seen);
        other.join().expect("no panic");
        let mut rest = [0; 2];
        home.run(&mut rest);
        assert!(home.inbox.is_empty() && !home.links[0].pending().load(Ordering::Relaxed));
    });
}

impl Home {
    fn live_from(&self, seen: &mut [usize; 2]) {
        while seen[0] != 2 {
            self.run(seen);
            if seen[0] == 2 {
                return;
            }
            if self.park.announce(&self.inbox) {
                while !self.kicked.swap(false, Ordering::AcqRel) {
                    thread::yield_now();
                }
                self.park.resume();
            }
        }
    }
}
