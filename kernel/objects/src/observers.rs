//! Who stays informed about an object: the bindings of ports.
//!
//! Plain waiters are not here: they wait on a [`Notify`](executor::sync::Notify), which takes no memory.

use alloc::vec::Vec;
use core::{
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    task::Waker,
};

use abi::{Error, Signals};
use spin::Mutex;

/// Most observers of one object.
pub const MAX_OBSERVERS: usize = 64;
/// Kernel bytes that an observer costs at most, with the room that its list keeps: what whoever attaches charges for.
pub const OBSERVER_BYTES: u64 = 4 * size_of::<Observer>() as u64;

/// Wakers that are called in one go, outside of the lock.
const BATCH: usize = 8;

#[derive(Debug)]
struct Observer {
    id: u64,
    mask: Signals,
    waker: Waker,
}

/// What to detach an observer with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObserverId(u64);

/// A list of observers. Its lock is held for no waker and is not taken by top halves.
#[derive(Debug, Default)]
pub struct Observers {
    count: AtomicUsize,
    next_id: AtomicU64,
    /// Ids rise.
    list: Mutex<Vec<Observer>>,
}

impl Observers {
    /// Nobody.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            count: AtomicUsize::new(0),
            next_id: AtomicU64::new(0),
            list: Mutex::new(Vec::new()),
        }
    }

    /// Wakes this waker whenever one of these signals becomes set, until detached. The caller charges for [`OBSERVER_BYTES`].
    ///
    /// # Errors
    /// [`Error::LimitReached`] at [`MAX_OBSERVERS`], [`Error::NoMemory`].
    pub fn attach(&self, mask: Signals, waker: Waker) -> Result<ObserverId, Error> {
        let mut list = self.list.lock();
        if list.len() >= MAX_OBSERVERS {
            return Err(Error::LimitReached);
        }
        if list.len() == list.capacity() {
            let more = list.len().max(2);
            list.try_reserve_exact(more).map_err(|_| Error::NoMemory)?;
        }
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        list.push(Observer { id, mask, waker });
        self.count.store(list.len(), Ordering::SeqCst);
        Ok(ObserverId(id))
    }

    /// Ends it. A wake that is under way on another core may still come.
    pub fn detach(&self, id: ObserverId) {
        let mut list = self.list.lock();
        let Ok(place) = list.binary_search_by_key(&id.0, |observer| observer.id) else {
            return;
        };
        let gone = list.remove(place);
        self.count.store(list.len(), Ordering::SeqCst);
        let unused = shrink(&mut list);
        drop(list);
        drop((gone, unused));
    }

    /// Wakes those who want one of these signals.
    #[inline]
    pub fn wake(&self, signals: Signals) {
        if self.count.load(Ordering::SeqCst) != 0 {
            self.wake_some(signals);
        }
    }

    fn wake_some(&self, signals: Signals) {
        let mut from = 0;
        loop {
            let mut wakers = [const { None }; BATCH];
            let mut found = 0;
            {
                let list = self.list.lock();
                let start = list.partition_point(|observer| observer.id < from);
                for observer in &list[start..] {
                    if found == BATCH {
                        break;
                    }
                    from = observer.id + 1;
                    if observer.mask.intersects(signals) {
                        wakers[found] = Some(observer.waker.clone());
                        found += 1;
                    }
                }
            }
            wakers.into_iter().flatten().for_each(Waker::wake);
            if found < BATCH {
                return;
            }
        }
    }
}

/// Gives room back when little of it is used; what is left to be freed, outside of the lock.
fn shrink(list: &mut Vec<Observer>) -> Vec<Observer> {
    if list.capacity() < 4 || list.len() > list.capacity() / 4 {
        return Vec::new();
    }
    let mut smaller = Vec::new();
    if smaller.try_reserve_exact(list.len() * 2).is_ok() {
        smaller.append(list);
        core::mem::swap(&mut smaller, list);
    }
    smaller
}
