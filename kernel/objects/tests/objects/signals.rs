//! Signals, and what sets them by itself: notifications and timers.

use std::{pin::pin, sync::Arc, task::Poll, thread};

use abi::{Error, FOREVER, Signals};
use objects::{
    notification::Notification,
    observers::MAX_OBSERVERS,
    signals::SignalState,
    timer::{Fired, Timer},
};

use crate::common::{Wakes, assert_unused, block_on, job, poll_once};

#[test]
fn a_waiter_wakes_for_its_signals_only() {
    let state = SignalState::new(Signals::WRITABLE);
    let wakes = Arc::new(Wakes::default());
    let mut wait = pin!(state.wait(Signals::READABLE | Signals::ENDED, None));
    assert!(poll_once(wait.as_mut(), &wakes).is_pending());
    state.set(Signals::FIRED);
    assert!(poll_once(wait.as_mut(), &wakes).is_pending());
    state.set(Signals::READABLE);
    assert!(wakes.count() >= 1);
    assert_eq!(
        poll_once(wait.as_mut(), &wakes),
        Poll::Ready(Ok(Signals::READABLE))
    );
    let before = wakes.count();
    state.set(Signals::READABLE);
    assert_eq!(wakes.count(), before, "it was set already");
    assert_eq!(
        block_on(state.wait(Signals::empty(), None)),
        Err(Error::BadArgument)
    );
    assert_eq!(
        block_on(state.wait(Signals::all(), None)),
        Ok(Signals::WRITABLE | Signals::READABLE | Signals::FIRED)
    );
}

#[test]
fn a_signal_that_was_cleared_again_is_none() {
    let state = SignalState::default();
    let wakes = Arc::new(Wakes::default());
    let mut wait = pin!(state.wait(Signals::READABLE, None));
    assert!(poll_once(wait.as_mut(), &wakes).is_pending());
    state.set(Signals::READABLE);
    state.clear(Signals::READABLE);
    assert!(poll_once(wait.as_mut(), &wakes).is_pending(), "levels");
    state.set(Signals::READABLE);
    assert_eq!(wakes.count(), 2, "the second look registered again");
    assert!(poll_once(wait.as_mut(), &wakes).is_ready());
}

#[test]
fn dropped_waiters_leave_nothing_behind() {
    let state = SignalState::default();
    let wakes = Arc::new(Wakes::default());
    for _ in 0..100 {
        let mut wait = pin!(state.wait(Signals::READABLE, None));
        assert!(poll_once(wait.as_mut(), &wakes).is_pending());
    }
    state.set(Signals::READABLE);
    assert_eq!(wakes.count(), 0);
}

#[test]
fn observers_are_limited_and_detached_exactly() {
    let state = SignalState::default();
    let wakes = Arc::new(Wakes::default());
    let ids: Vec<_> = (0..MAX_OBSERVERS)
        .map(|_| {
            state
                .observers()
                .attach(Signals::READABLE, wakes.clone().into())
                .unwrap()
        })
        .collect();
    assert_eq!(
        state
            .observers()
            .attach(Signals::READABLE, wakes.clone().into()),
        Err(Error::LimitReached)
    );
    state.set(Signals::READABLE);
    assert_eq!(wakes.count(), MAX_OBSERVERS);
    state.set(Signals::WRITABLE);
    for id in ids.iter().skip(1) {
        state.observers().detach(*id);
        state.observers().detach(*id);
    }
    state.clear(Signals::READABLE);
    state.set(Signals::READABLE);
    assert_eq!(wakes.count(), MAX_OBSERVERS + 1);
    state.observers().detach(ids[0]);
    assert_eq!(Arc::strong_count(&wakes), 1, "no waker is kept");
}

#[test]
fn notifications_lose_no_bit_and_no_wake() {
    let job = job();
    let notification = Notification::create(&job).unwrap();
    let other = notification.clone();
    let giver = thread::spawn(move || {
        for bit in (0..64).cycle().take(640) {
            other.signal(1 << bit);
            while other.signals().get().contains(Signals::READABLE) {
                thread::yield_now();
            }
        }
    });
    for bit in (0..64).cycle().take(640) {
        // Each is given once, and the next only after it was taken.
        assert_eq!(block_on(notification.take(None)), Ok(1 << bit));
    }
    giver.join().unwrap();
    assert_eq!(notification.try_take(), Err(Error::WouldWait));
    assert!(notification.signals().get().is_empty());
    notification.signal(0);
    assert!(notification.signals().get().is_empty());
    drop(notification);
    assert_unused(&job);
}

#[test]
fn a_timer_fires_when_set_and_not_before() {
    let job = job();
    let timer = Timer::create(&job).unwrap();
    assert_eq!(timer.armed(), None);
    let old = timer.set(100);
    let armed = timer.set(200);
    assert_eq!(timer.fire(old, 150), Fired::Stale);
    assert_eq!(timer.fire(armed, 199), Fired::Early);
    assert_eq!(timer.armed(), Some(armed));
    assert!(timer.signals().get().is_empty());
    assert_eq!(timer.fire(armed, 200), Fired::Now);
    assert_eq!(timer.signals().get(), Signals::FIRED);
    assert_eq!(timer.fire(armed, 200), Fired::Stale);
    assert_eq!(timer.armed(), None);
    let never = timer.set(FOREVER);
    assert!(timer.signals().get().is_empty(), "set anew");
    assert_eq!(timer.fire(never, u64::MAX), Fired::Stale);
}
