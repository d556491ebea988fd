//! The reference counts under every order of events. Run with `RUSTFLAGS="--cfg loom"`.
#![cfg(loom)]

use loom::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};
use objects::refs::Ref;

struct Counted(Arc<AtomicUsize>, loom::cell::UnsafeCell<u32>);

// SAFETY: the cell is written by its last owner only, which is what is tested.
unsafe impl Sync for Counted {}
// SAFETY: as above.
unsafe impl Send for Counted {}

impl Drop for Counted {
    fn drop(&mut self) {
        // loom knows if somebody could still be reading.
        // SAFETY: the last owner.
        self.1.with_mut(|value| unsafe { *value += 1 });
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn read(owner: &Ref<Counted>) -> u32 {
    // SAFETY: an owner reads.
    owner.1.with(|value| unsafe { *value })
}

#[test]
fn owners_on_two_threads() {
    loom::model(|| {
        let drops = Arc::new(AtomicUsize::new(0));
        let one = Ref::try_new(Counted(drops.clone(), loom::cell::UnsafeCell::new(7))).unwrap();
        let two = one.clone();
        let other = thread::spawn(move || {
            assert_eq!(read(&two), 7);
            drop(two);
        });
        assert_eq!(read(&one), 7);
        drop(one);
        other.join().unwrap();
        assert_eq!(drops.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn an_upgrade_races_the_last_drop() {
    loom::model(|| {
        let drops = Arc::new(AtomicUsize::new(0));
        let one = Ref::try_new(Counted(drops.clone(), loom::cell::UnsafeCell::new(7))).unwrap();
        let weak = one.downgrade();
        let other = thread::spawn(move || {
            if let Some(owner) = weak.upgrade() {
                assert_eq!(read(&owner), 7);
            }
        });
        drop(one);
        other.join().unwrap();
        assert_eq!(drops.load(Ordering::Relaxed), 1);
    });
}
