//! Where devices and listener meet: the seat, the listener's channel, and what is kept for the next instance.
//!
//! What must hold: the lock is never held over a wait; what is kept is written before an event of it is sent, so that a listener
//! never knows of a key that the next instance does not.

use alloc::sync::Arc;

use abi::{Error, Signals};
use executor::sync::Notify;
use i8042::Mouse;
use input::{Keymap, RepeatTicks, Saved, Seat};
use proto::input::{MAX_BYTES, to_bytes};
use rt::sys::clock;
use rt::sys::message::Handles;
use rt::sys::object::Channel;
use rt::{Clock, Either, MonotonicClock, Watched, first};
use spin::mutex::{SpinMutex, SpinMutexGuard};

use crate::kept::Kept;

type Listener = Arc<Watched<Channel>>;

struct State {
    seat: Seat,
    saved: Saved,
    listener: Option<Listener>,
    kept: Kept,
}

impl State {
    fn keep(&mut self) {
        self.kept.store(&self.saved);
    }
}

/// The meeting place.
pub struct Hub {
    state: SpinMutex<State>,
    /// Something waits for the listener, or there is another one.
    backlog: Notify,
    /// Another key repeats.
    repeats: Notify,
    /// There is room again for what devices say.
    room: Notify,
}

const NS_IN_MS: u64 = 1_000_000;

fn ticks(milliseconds: (u16, u16)) -> RepeatTicks {
    let ticks = |ms: u16| clock::ticks_in(u64::from(ms) * NS_IN_MS);
    RepeatTicks {
        delay: ticks(milliseconds.0),
        interval: ticks(milliseconds.1),
    }
}

impl Hub {
    /// Goes on from what an instance before left in `kept`; if there was none, with this layout.
    pub fn new(kept: Kept, before: Option<Saved>, keymap: Option<Keymap>) -> Self {
        let saved = before.unwrap_or(Saved::new(keymap.unwrap_or_default()));
        let mut seat = Seat::new(saved.keymap, ticks(saved.repeat_ms));
        seat.restore(&saved, clock::now_ticks());
        Self {
            state: SpinMutex::new(State {
                seat,
                saved,
                listener: None,
                kept,
            }),
            backlog: Notify::new(),
            repeats: Notify::new(),
            room: Notify::new(),
        }
    }

    /// Hands what devices say to the seat, and what comes of it to the listener. False, and nothing happened, if there is no
    /// [room](Self::room): the device keeps it.
    pub fn feed(&self, say: impl FnOnce(&mut Seat)) -> bool {
        let mut state = self.state.lock();
        if !state.seat.has_room() {
            return false;
        }
        let before = state.seat.repeats_at();
        say(&mut state.seat);
        if state.seat.repeats_at() != before {
            self.repeats.notify_one();
        }
        self.pass_on(&mut state);
        true
    }

    /// Waits until there is room for what a device says.
    pub async fn room(&self) {
        self.room.notified().await;
    }

    /// Keeps what changed and sends what the listener takes.
    fn pass_on(&self, state: &mut SpinMutexGuard<'_, State>) {
        let State {
            seat,
            saved,
            listener,
            kept,
        } = &mut **state;
        if seat.save(saved) {
            kept.store(saved);
        }
        let had_room = seat.has_room();
        let mut buffer = [0; MAX_BYTES];
        while let (Some(event), Some(channel)) = (seat.next(), &*listener) {
            // The longest event fits: a test of the contract says so.
            let bytes = to_bytes(event, &mut buffer).unwrap_or_default();
            match channel.write(bytes, &mut Handles::new()) {
                Ok(()) => seat.sent(),
                Err(Error::QueueFull) => {
                    self.backlog.notify_one();
                    break;
                }
                Err(_) => {
                    log::debug!("the listener is gone");
                    *listener = None;
                    seat.forget_listener();
                }
            }
        }
        if !had_room && seat.has_room() {
            self.room.notify_waiters();
        }
    }

    /// Makes the holder of the other end of `channel` the listener; the one before is cut off.
    pub fn listen(&self, channel: Listener) {
        let mut state = self.state.lock();
        let had_room = state.seat.has_room();
        state.listener = Some(channel);
        state.seat.listen(clock::now_ticks());
        if !had_room {
            self.room.notify_waiters();
        }
        self.pass_on(&mut state);
        // Who waits for the one before lets go of it.
        self.backlog.notify_one();
    }

    /// Another layout.
    pub fn set_keymap(&self, keymap: Keymap) {
        let mut state = self.state.lock();
        state.seat.set_keymap(keymap);
        state.saved.keymap = keymap;
        state.keep();
    }

    /// Other times for repetitions.
    pub fn set_repeat(&self, delay_ms: u16, interval_ms: u16) {
        let mut state = self.state.lock();
        state.saved.repeat_ms = (delay_ms, interval_ms);
        state.seat.set_repeat(ticks((delay_ms, interval_ms)));
        state.keep();
        self.repeats.notify_one();
    }

    /// Whether the i8042 is up, and with which mouse.
    pub fn controller(&self) -> Option<Option<Mouse>> {
        self.state.lock().saved.controller
    }

    /// Notes whether the next instance can go on with the i8042 as it is.
    pub fn set_controller(&self, controller: Option<Option<Mouse>>) {
        let mut state = self.state.lock();
        if state.saved.controller != controller {
            state.saved.controller = controller;
            state.keep();
        }
    }
}

/// Repeats the key that is held.
pub async fn repeat(hub: Arc<Hub>) {
    loop {
        let due = hub.state.lock().seat.repeats_at();
        match due {
            None => hub.repeats.notified().await,
            Some(due) => {
                let sleep = MonotonicClock.sleep_until(due);
                if let Either::B(()) = first(hub.repeats.notified(), sleep).await {
                    let mut state = hub.state.lock();
                    state.seat.repeat(clock::now_ticks());
                    hub.pass_on(&mut state);
                }
            }
        }
    }
}

/// Sends what waits as soon as the listener has room.
pub async fn send_backlog(hub: Arc<Hub>) {
    const ROOM: Signals = Signals::WRITABLE.union(Signals::PEER_CLOSED);
    loop {
        let listener = {
            let state = hub.state.lock();
            state.seat.next().and(state.listener.clone())
        };
        match listener {
            None => hub.backlog.notified().await,
            Some(channel) => {
                if let Either::B(shown) =
                    first(hub.backlog.notified(), channel.signalled(ROOM)).await
                {
                    if let Err(error) = shown {
                        return log::error!("the listener's channel cannot be waited for: {error}");
                    }
                    hub.pass_on(&mut hub.state.lock());
                }
            }
        }
    }
}
