//! What an executor must offer to be measured.

use std::future::Future;
use std::task::Context;

/// In which order an executor claims to dispatch ready tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// By absolute deadline, earliest first.
    Deadline,
    /// By any other rule.
    Other,
}

/// What an executor does while nothing is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waits {
    /// It does not matter: something is always ready.
    Busy,
    /// Looks again at once.
    Spin,
    /// Halts its thread until a wake from another one.
    Park,
    /// Lets the clock jump to the next timer.
    Virtual,
}

/// How big an executor is needed, and how it waits.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Tasks alive at once, the main one included.
    pub tasks: usize,
    /// Timers armed at once.
    pub timers: usize,
    /// How it waits.
    pub waits: Waits,
}

impl Room {
    /// For `tasks` tasks beside the main one, always busy.
    pub fn busy(tasks: usize) -> Room {
        Room {
            tasks: tasks + 1,
            timers: 1,
            waits: Waits::Busy,
        }
    }
}

/// An executor, as a cheap handle that tasks can hold: on one thread, for futures that are not `Send`.
///
/// Everything is used as its documentation recommends for speed; where there are two ways, the faster one.
pub trait Peer: Clone + 'static {
    /// Its name in tables.
    const NAME: &'static str;
    /// In which order it claims to dispatch.
    const ORDER: Order = Order::Other;
    /// Whether it has timers that work under [`Waits::Virtual`].
    const TIMERS: bool = false;
    /// Whether it can wait by [`Waits::Park`].
    const PARKS: bool = true;

    /// Memory for tasks of one type, where the user has to bring it.
    type Storage<F: Future<Output = ()> + 'static>;

    /// Runs the future that `main` makes, and what it spawns, on this thread until it is done.
    fn run<M, F>(room: Room, main: M)
    where
        M: FnOnce(Self) -> F,
        F: Future<Output = ()> + 'static;

    /// Memory for `tasks` tasks at once.
    fn storage<F: Future<Output = ()> + 'static>(&self, tasks: usize) -> Self::Storage<F>;

    /// Spawns a task under the running executor. Without `deadline` it comes after all that have one.
    fn spawn<F: Future<Output = ()> + 'static>(
        &self,
        storage: &mut Self::Storage<F>,
        deadline: Option<u64>,
        future: F,
    );

    /// Gives the task that is polled with `context` another absolute deadline, in ticks of the time stamp counter.
    #[inline(always)]
    fn set_deadline(context: &mut Context<'_>, deadline: u64) {
        let _ = (context, deadline);
    }

    /// Sleeps. Only where [`Peer::TIMERS`].
    fn sleep(&self, millis: u64) -> impl Future<Output = ()> + 'static {
        let _ = millis;
        std::future::pending()
    }
}

/// Something to do with a peer that is known by name only.
pub trait Visit {
    /// What comes of it.
    type Output;

    /// Does it.
    fn visit<P: Peer>(self) -> Self::Output;
}
