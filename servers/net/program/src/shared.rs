//! What the server's tasks share: the stack, and who has it take a turn.
//!
//! All tasks are one thread's, so the lock is never waited for; it is never held over a wait.

use alloc::string::String;

use executor::sync::Notify;
use net::{Instant, Stack};
use nic::Card;
use proto::net::Setup;
use rt::race::only_if;
use rt::sys::clock;
use rt::{Clock, Either3, MonotonicClock, first_of_3};
use spin::{Mutex, MutexGuard};

/// What is shared.
#[derive(Debug)]
pub struct Shared {
    stack: Mutex<Stack>,
    /// For each interface: it is to have a turn, or its timer is another one.
    kicks: [Notify; net::stack::MAX_INTERFACES],
    /// When each interface's timer is.
    timers: Mutex<[Option<Instant>; net::stack::MAX_INTERFACES]>,
    /// Something cannot go on.
    failed: Notify,
    why: Mutex<Option<String>>,
}

/// The time, as the stack counts it.
pub fn now() -> Instant {
    let us = clock::now_ns() / 1000;
    Instant::from_micros(i64::try_from(us).unwrap_or(i64::MAX))
}

/// The tick at which the stack's clock shows this, or just behind it.
fn ticks_at(at: Instant, now: Instant) -> u64 {
    let us = at.total_micros().saturating_sub(now.total_micros());
    let ns = u64::try_from(us).unwrap_or(0).saturating_mul(1000);
    clock::now_ticks().saturating_add(clock::ticks_in(ns))
}

impl Shared {
    /// With random numbers from the kernel.
    pub fn new(seed: [u8; 32]) -> Self {
        Self {
            stack: Mutex::new(Stack::new(seed, now())),
            kicks: [const { Notify::new() }; net::stack::MAX_INTERFACES],
            timers: Mutex::new([None; net::stack::MAX_INTERFACES]),
            failed: Notify::new(),
            why: Mutex::new(None),
        }
    }

    /// The stack.
    pub fn lock(&self) -> MutexGuard<'_, Stack> {
        self.stack.lock()
    }

    /// Adds a card; its interface's number.
    pub fn add<C: Card + 'static>(&self, name: &str, card: C, setup: Setup) -> Option<usize> {
        self.lock().add(name, card, setup, now())
    }

    /// Gives interfaces a turn at once, as somebody has something to send.
    pub fn push(&self, stack: &mut Stack, numbers: impl IntoIterator<Item = usize>) {
        for number in numbers {
            let at = stack.push(number, now());
            self.arm(number, at);
        }
    }

    /// Sees to it that an interface has its turn by then.
    fn arm(&self, number: usize, at: Option<Instant>) {
        let armed = self.timers.lock().get(number).copied().flatten();
        let is_earlier = match (at, armed) {
            (Some(at), Some(armed)) => at < armed,
            (Some(_), None) => true,
            (None, _) => false,
        };
        if is_earlier {
            self.kick(number);
        }
    }

    /// Gives an interface a turn soon.
    pub fn kick(&self, number: usize) {
        if let Some(kick) = self.kicks.get(number) {
            kick.notify_one();
        }
    }

    /// Gives an interface its turns, for as long as its card can be driven. Why it cannot.
    pub async fn drive(&self, number: usize) -> String {
        let Some(kick) = self.kicks.get(number) else {
            return String::from("there is no such interface");
        };
        loop {
            let start = now();
            let turn = self.lock().turn(number, start);
            if turn.more {
                // The others' turn; then this one's.
                rt::yield_now().await;
                continue;
            }
            if let Some(timer) = self.timers.lock().get_mut(number) {
                *timer = turn.at;
            }
            let ready = core::future::poll_fn(|context| self.lock().poll_ready(number, context));
            let timer = only_if(turn.at.is_some(), async {
                let at = turn.at.unwrap_or(start);
                MonotonicClock.sleep_until(ticks_at(at, start)).await;
            });
            if let Either3::A(Err(fault)) = first_of_3(ready, kick.notified(), timer).await {
                return fault;
            }
        }
    }

    /// Ends the server: it cannot go on.
    pub fn fail(&self, why: String) {
        *self.why.lock() = Some(why);
        self.failed.notify_one();
    }

    /// Waits until it cannot go on; why.
    pub async fn failed(&self) -> String {
        loop {
            if let Some(why) = self.why.lock().take() {
                return why;
            }
            self.failed.notified().await;
        }
    }
}
