//! The process's own executor at work: timers, messages between tasks, calls between tasks and a thread, wakes from a thread,
//! a contract's server and clients as tasks of one process, many calls under way in one task.
//! Exits with 0 if all went well, else with the number of the step that did not.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use core::time::Duration;

use abi::{Error, FOREVER, Rights};
use proto::contract::Caller;
use proto::{Text, echo};
use rt::service::{Connection, Never, serve};
use rt::sys::endpoint::{Body, DROPPED};
use rt::sys::message::Handles;
use rt::sys::object::{Channel, Endpoint, Notification, Object};
use rt::sys::reactor::StartedCall;
use rt::sys::started::Message;
use rt::sys::{clock, thread};
use rt::{Env, Watched, sleep, spawn};

rt::entry!(async main);

/// Rounds of each step.
const ROUNDS: u32 = 100;

async fn main(_: Env) -> i32 {
    let steps: [(&str, bool); 6] = [
        ("timers", timers().await),
        ("messages", messages().await.is_some()),
        ("calls", calls().await.is_some()),
        ("wakes", wakes().await.is_some()),
        ("contracts", contracts().await.is_some()),
        ("started calls", started().await.is_some()),
    ];
    for (number, (name, good)) in (1..).zip(steps) {
        if !good {
            log::error!("step {name} failed");
            return number;
        }
    }
    log::info!("the executor works");
    0
}

/// Sleeps are never short, and tasks that sleep do not hold each other up.
async fn timers() -> bool {
    static WOKEN: AtomicU32 = AtomicU32::new(0);
    let start_ns = clock::now_ns();
    for milliseconds in 1..=10 {
        let task = async move {
            let before_ns = clock::now_ns();
            sleep(Duration::from_millis(milliseconds)).await;
            if clock::now_ns() - before_ns >= milliseconds * 1_000_000 {
                WOKEN.fetch_add(1, Ordering::Relaxed);
            }
        };
        if spawn("sleeper", task).is_err() {
            return false;
        }
    }
    sleep(Duration::from_millis(30)).await;
    let took_ms = (clock::now_ns() - start_ns) / 1_000_000;
    log::info!("ten sleepers took {took_ms} ms");
    WOKEN.load(Ordering::Relaxed) == 10
}

/// Two tasks on the two ends of a channel.
async fn messages() -> Option<()> {
    let (here, there) = Channel::create().ok()?;
    let here = Watched::channel(here).ok()?;
    let there = Watched::channel(there).ok()?;
    let echo = async move {
        let mut bytes = [0; 64];
        let mut handles = Handles::new();
        while let Ok(lengths) = there.receive(&mut bytes, &mut handles).await {
            let bytes = bytes.get(..lengths.bytes as usize).unwrap_or_default();
            if there.send(bytes, &mut handles).await.is_err() {
                return;
            }
        }
    };
    spawn("echo", echo).ok()?;
    let mut answer = [0; 64];
    for round in 0..ROUNDS {
        let sent = round.to_le_bytes();
        here.send(&sent, &mut Handles::new()).await.ok()?;
        let lengths = here.receive(&mut answer, &mut Handles::new()).await.ok()?;
        if answer.get(..lengths.bytes as usize) != Some(&sent) {
            return None;
        }
    }
    Some(())
}

/// A thread calls a task.
async fn calls() -> Option<()> {
    let endpoint = Endpoint::create().ok()?;
    let client = endpoint.mint(7, Rights::CALL).ok()?;
    let endpoint = Watched::endpoint(endpoint).ok()?;
    let caller = move || {
        for round in 0..ROUNDS {
            let answer = client.call_blocking(FOREVER, &[u64::from(round); 8]);
            if answer != Ok([u64::from(round) + 1; 8]) {
                log::error!("call {round} got {answer:?}");
                return;
            }
        }
        log::info!("the thread's calls were answered");
    };
    let caller = thread::spawn(caller).ok()?;
    for _ in 0..ROUNDS {
        let call = endpoint.receive().await.ok()?;
        let Body::Words(words) = call.body else {
            return None;
        };
        if call.badge != 7 {
            return None;
        }
        call.token.reply(&words.map(|word| word + 1)).ok()?;
    }
    caller.join_blocking(FOREVER).ok()
}

/// One task has many calls under way and gives up every third; those left are answered last first.
async fn started() -> Option<()> {
    const CALLS: u64 = 200;
    let endpoint = Endpoint::create().ok()?;
    let client = endpoint.mint(7, Rights::CALL).ok()?;
    let endpoint = Watched::endpoint(endpoint).ok()?;
    let mut calls = Vec::new();
    for number in 0..CALLS {
        let message = Message::Words([number; 8]);
        calls.push((number, StartedCall::new(&client, FOREVER, message).ok()?));
    }
    let mut received = Vec::new();
    for number in 0..CALLS {
        let call = endpoint.receive().await.ok()?;
        if call.body != Body::Words([number; 8]) || call.badge != 7 {
            return None;
        }
        received.push((number, call.token));
    }
    calls.retain(|(number, _)| number % 3 != 0);
    for (number, token) in received.into_iter().rev() {
        let answered = token.reply(&[number + 1; 8]);
        if answered.is_ok() != (number % 3 != 0) {
            log::error!("answer {number}: {answered:?}");
            return None;
        }
    }
    for (number, mut call) in calls {
        if call.answered().await != Ok(Body::Words([number + 1; 8])) {
            return None;
        }
    }
    // A call that nobody will answer ends; it may have been received or not.
    let mut one = StartedCall::new(&client, FOREVER, Message::Words([0; 8])).ok()?;
    let mut other = StartedCall::new(&client, FOREVER, Message::Words([1; 8])).ok()?;
    drop(endpoint.receive().await.ok()?);
    drop(endpoint);
    let dropped = one.answered().await == Ok(Body::Words(DROPPED));
    let closed = match other.answered().await {
        Ok(body) => body == Body::Words(DROPPED),
        Err(error) => error == Error::PeerClosed,
    };
    (dropped && closed).then_some(())
}

/// A thread signals a notification that a task waits for.
async fn wakes() -> Option<()> {
    let notification = Notification::create().ok()?;
    let signaller = notification.duplicate(Rights::SIGNAL).ok()?;
    let notification = Watched::notification(notification).ok()?;
    let signaller = thread::spawn(move || {
        for round in 0..ROUNDS {
            if signaller.signal(1 << (round % 64)).is_err() {
                return;
            }
        }
        // The last bit says that all were sent.
        let _ = signaller.signal(1 << 63);
    })
    .ok()?;
    let mut seen = 0;
    while seen >> 63 == 0 {
        seen |= notification.take().await.ok()?;
    }
    signaller.join_blocking(FOREVER).ok()?;
    Some(())
}

/// The server of the contract for tests.
#[derive(Default)]
struct Echo {
    count: AtomicU64,
}

impl echo::Server for Echo {
    async fn number(&self, _: Caller, value: u64) -> u64 {
        value
    }

    async fn text(&self, _: Caller, text: Text<512>, delay_ms: u32) -> Text<512> {
        sleep(Duration::from_millis(delay_ms.into())).await;
        text
    }

    async fn count(&self, _: Caller) -> u64 {
        self.count.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// A server and its client are tasks of one executor; calls that take long hold up no others.
async fn contracts() -> Option<()> {
    static SLOW: AtomicU32 = AtomicU32::new(0);
    let endpoint = Endpoint::create().ok()?;
    let rights = Rights::CALL | Rights::DUPLICATE;
    let client = endpoint.mint(1, rights).ok()?;
    let endpoint = Watched::endpoint(endpoint).ok()?;
    let server = async move {
        let ended = serve(&endpoint, Arc::new(echo::Serve(Echo::default()))).await;
        log::error!("the server ended: {ended:?}");
    };
    spawn("server", server).ok()?;
    let client = Arc::new(echo::Client(Connection::new(client, Never)));
    for _ in 0..4 {
        let client = Arc::clone(&client);
        let slow = async move {
            let text = Text::from("slow");
            if client.text(text.clone(), 50).await == Ok(text) {
                SLOW.fetch_add(1, Ordering::Relaxed);
            }
        };
        spawn("slow client", slow).ok()?;
    }
    let start_ns = clock::now_ns();
    for round in 0..u64::from(ROUNDS) {
        if client.number(round).await != Ok(round) || client.count().await != Ok(round + 1) {
            return None;
        }
    }
    let took_us = (clock::now_ns() - start_ns) / 1000;
    log::info!("{} calls of a contract took {took_us} us", 2 * ROUNDS);
    while SLOW.load(Ordering::Relaxed) < 4 {
        if clock::now_ns() > start_ns + 2_000_000_000 {
            return None;
        }
        sleep(Duration::from_millis(1)).await;
    }
    Some(())
}
