//! Ways for tasks to meet, on one core or several, on any executor.
//!
//! | | waits for | from an interrupt handler |
//! |---|---|---|
//! | [`Mutex`] | sole access to a value; lends its deadline to the holder | no |
//! | [`RwLock`] | shared or sole access | no |
//! | [`Semaphore`] | a number of permits | [`release`](Semaphore::release) |
//! | [`Notify`] | an event | [`notify_one`](Notify::notify_one), [`notify_waiters`](Notify::notify_waiters) |
//! | [`oneshot`] | one value | [`send`](oneshot::Sender::send) |
//! | [`mpsc`] | a bounded stream of values from many senders | [`try_send`](mpsc::Sender::try_send) |
//! | [`broadcast`] | every value, by every receiver | no |
//!
//! All of them serve first come, first served, and all are cancel-safe: a future that is dropped while it waits
//! loses nothing and takes nothing with it. Every lock inside is held for a few instructions, never across a wait; those marked for
//! interrupt handlers never spin there.

pub mod broadcast;
pub mod mpsc;
mod mutex;
mod notify;
mod rwlock;
mod semaphore;

pub use crate::raw::{
    guarded::{ReadGuard, WriteGuard},
    oneshot::{self, Disconnected, NoMemory},
};
pub use mutex::{Mutex, MutexGuard};
pub use notify::{Notified, Notify};
pub use rwlock::RwLock;
pub use semaphore::{Permit, Semaphore};
