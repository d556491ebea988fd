//! Counted references.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use objects::refs::{Ref, Wakeable, try_box};

struct Counts {
    drops: Arc<AtomicUsize>,
    wakes: AtomicUsize,
}

impl Drop for Counts {
    fn drop(&mut self) {
        self.drops.fetch_add(1, Ordering::SeqCst);
    }
}

impl Wakeable for Counts {
    fn wake(this: &Ref<Self>) {
        this.wakes.fetch_add(1, Ordering::SeqCst);
    }
}

fn counted() -> (Ref<Counts>, Arc<AtomicUsize>) {
    let drops = Arc::new(AtomicUsize::new(0));
    let value = Counts {
        drops: drops.clone(),
        wakes: AtomicUsize::new(0),
    };
    (Ref::try_new(value).unwrap(), drops)
}

#[test]
fn the_last_owner_drops_once() {
    let (one, drops) = counted();
    let weak = one.downgrade();
    let two = weak.upgrade().unwrap();
    assert!(one.is(&two) && weak.is_of(&one) && weak.is(&weak.clone()));
    assert_eq!(one.owners(), 2);
    drop(one);
    assert_eq!(drops.load(Ordering::SeqCst), 0);
    drop(two);
    assert_eq!(drops.load(Ordering::SeqCst), 1);
    assert!(weak.upgrade().is_none());
}

#[test]
fn wakers_own_what_they_wake() {
    let (one, drops) = counted();
    let weak = one.downgrade();
    let waker = one.into_waker();
    let other = waker.clone();
    assert!(waker.will_wake(&other));
    waker.wake_by_ref();
    other.wake();
    assert_eq!(weak.upgrade().unwrap().wakes.load(Ordering::SeqCst), 2);
    assert_eq!(drops.load(Ordering::SeqCst), 0);
    drop(waker);
    assert_eq!(drops.load(Ordering::SeqCst), 1);
}

#[test]
fn owners_and_observers_race() {
    for _ in 0..200 {
        let (one, drops) = counted();
        let weak = one.downgrade();
        let threads = [
            thread::spawn({
                let weak = weak.clone();
                move || {
                    for _ in 0..20 {
                        drop(weak.upgrade().map(|owner| owner.downgrade()));
                    }
                }
            }),
            thread::spawn(move || {
                for _ in 0..20 {
                    drop(one.clone());
                }
            }),
        ];
        for thread in threads {
            thread.join().unwrap();
        }
        assert!(weak.upgrade().is_none());
        assert_eq!(drops.load(Ordering::SeqCst), 1);
    }
}

#[test]
fn boxes_of_any_size() {
    assert_eq!(*try_box([7_u64; 100]).unwrap(), [7; 100]);
    try_box(()).unwrap();
}
