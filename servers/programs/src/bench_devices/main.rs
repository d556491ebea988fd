//! The latency bench's probes of devices: how long after its interrupt a key is at a program that listens to the input server, and what the host measures
//! of sockets ([`net`]).
//!
//! Handles: `system`, `manager`, and `input` or `net`. Argument: the keyboard that the harness presses keys of, `ps2` or `virtio`; or `net`. Each phase
//! asks the harness for what it does on COM2 (`ready`), so many key events for instance, each of which is told at port 0xe9 by a `k`, and is over with
//! the harness's `go`. An `r` there says that the machine has had its rest since the last key ([`REST`]).
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

#[path = "../bench/load.rs"]
mod load;
mod net;
#[path = "../bench/report.rs"]
mod report;

use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use abi::Error;
use net_client::NetError;
use proto::input::{Event, KeyChange, MAX_BYTES, SERVICE, What, from_bytes};
use rt::input::{AskError, listen};
use rt::sys::clock;
use rt::sys::message::Handles;
use rt::sys::object::Channel;
use rt::unit::Manager;
use rt::{Clock, Either, Env, MonotonicClock, Watched, first, sleep};

use load::Load;
use report::Report;

rt::entry!(async main);

/// As long as a budget is remembered that was used up.
const SETTLE: Duration = Duration::from_millis(400);
/// Keys come no faster than that, by the machine's own clock: nobody's fingers do, and the input server's budget is for fingers.
const REST: Duration = Duration::from_millis(1);
/// Key events in each phase.
const EVENTS: usize = 300;

/// Why the bench ends early.
enum Failed {
    Call(Error),
    Network(NetError),
    Input(AskError),
    Because(&'static str),
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call(error) => write!(f, "a system call failed: {error}"),
            Self::Network(error) => error.fmt(f),
            Self::Input(error) => error.fmt(f),
            Self::Because(why) => f.write_str(why),
        }
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Call(error)
    }
}

impl From<AskError> for Failed {
    fn from(error: AskError) -> Self {
        Self::Input(error)
    }
}

type Outcome<T = ()> = Result<T, Failed>;

async fn main(mut env: Env) -> i32 {
    match measure(&mut env).await {
        Ok(()) => 0,
        Err(failed) => {
            log::error!("{failed}");
            1
        }
    }
}

async fn measure(env: &mut Env) -> Outcome {
    let (Ok(system), Ok(manager)) = (env.take("system"), env.take("manager")) else {
        return Err(Failed::Because("it needs the system and the manager"));
    };
    let manager = Arc::new(Manager::new(manager));
    if manager.say_ready().is_err() {
        return Err(Failed::Because("the manager does not hear"));
    }
    let mut report = Report::open(&system)?;
    if env.argument(1) == Some("net") {
        net::all(&mut report, manager).await?;
        return report.done();
    }
    let Ok(endpoint) = env.take(SERVICE) else {
        return Err(Failed::Because("it needs the input server"));
    };
    let keyboard = env.argument(1).unwrap_or("ps2");
    let channel = listen(&endpoint).await?;
    for name in ["idle", "load"] {
        let load = (name == "load").then(Load::start).transpose()?;
        let mut samples = Vec::new();
        let made = samples.try_reserve_exact(EVENTS);
        made.map_err(|_| Failed::Call(Error::NoMemory))?;
        // What was told until now took of the budget; by then that is forgotten.
        sleep(SETTLE).await;
        report.ready(&format!("input.{keyboard}.{name}"), EVENTS)?;
        let mut rest_ends = None;
        while samples.len() < EVENTS {
            let key = next_key(&channel);
            match first(key, rest_until(rest_ends)).await {
                Either::A(age_ticks) => {
                    samples.push(age_ticks?);
                    report.tell(b'k')?;
                    rest_ends = Some(clock::now_ticks() + clock::ticks_in(REST.as_nanos() as u64));
                }
                Either::B(()) => {
                    rest_ends = None;
                    report.tell(b'r')?;
                }
            }
        }
        report.wait_go()?;
        load.map(Load::stop).transpose()?;
        report.ticks(
            &format!("input.{keyboard}.stamp_to_user.{name}"),
            &mut samples,
        )?;
    }
    report.done()
}

/// Until that tick, or for ever.
async fn rest_until(ends_ticks: Option<u64>) {
    match ends_ticks {
        Some(ends_ticks) => MonotonicClock.sleep_until(ends_ticks).await,
        None => core::future::pending().await,
    }
}

/// Ticks from the interrupt of the next change of a key until now.
async fn next_key(channel: &Watched<Channel>) -> Outcome<u64> {
    let (mut bytes, mut handles) = ([0; MAX_BYTES], Handles::new());
    loop {
        let received = channel.receive(&mut bytes, &mut handles).await;
        let now_ticks = clock::now_ticks();
        let lengths = received.map_err(|bad| Failed::Call(bad.error))?;
        let message = bytes.get(..lengths.bytes as usize).unwrap_or_default();
        let event: Event = from_bytes(message).ok_or(Error::BadArgument)?;
        // Not those that repeat: nobody pressed them.
        if let What::Key {
            change: KeyChange::Down | KeyChange::Up,
            ..
        } = event.what
        {
            return Ok(now_ticks.saturating_sub(event.time_ticks));
        }
    }
}
