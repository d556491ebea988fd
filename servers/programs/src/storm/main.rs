//! Kills servers, and the manager, again and again while clients call them. Exits with 0 if nobody noticed more than a delay.
//!
//! `storm KILLS` runs as a unit that uses `test.echo`, `counter`, `metronome`, and one server in both placements: `echo-isolated`, `echo-resident`. The clients' calls are idempotent: one that ends with
//! `PeerClosed` is made again at the next instance, and every other error is a failure. Each storm prints how long it took from a
//! kill to the next answer; after it, the job above all must use as much as before, and the metronome tells of its deadlines.
//!
//! * [`clients`]: the load. [`system`]: what is seen of the system. [`rounds`]: who is killed, how, and what must hold after it.
//!   [`manifests`]: `storm manifests`: what manifests promise, kept by real units.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

mod clients;
mod figures;
mod manifests;
mod rounds;
mod system;

use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;

use abi::Error;
use rt::Env;
use rt::sys::clock;
use rt::sys::env::Missing;
use rt::sys::object::Notification;
use rt::unit::AskError;

use system::World;

rt::entry!(main);

/// Kills of each storm unless an argument says how many.
const KILLS: u32 = 20;

/// What went wrong.
pub struct Failed(String);

impl Failed {
    /// With these words.
    pub fn because(words: fmt::Arguments<'_>) -> Self {
        Self(alloc::fmt::format(words))
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::because(format_args!("a system call failed: {error}"))
    }
}

impl From<AskError> for Failed {
    fn from(error: AskError) -> Self {
        Self::because(format_args!("{error}"))
    }
}

impl From<Missing> for Failed {
    fn from(missing: Missing) -> Self {
        Self::because(format_args!("{missing}"))
    }
}

fn main(env: Env) -> i32 {
    let begun_ns = clock::now_ns();
    let manifests = env.argument(1) == Some("manifests");
    let kills = env.argument(1).and_then(|text| text.parse().ok());
    let outcome = World::new(env).map(Arc::new).and_then(|world| {
        if manifests {
            manifests::all(&world)
        } else {
            rounds::all(&world, kills.unwrap_or(KILLS))
        }
    });
    let took_ms = (clock::now_ns() - begun_ns) / 1_000_000;
    match outcome {
        Ok(()) => {
            log::info!("all is well after {took_ms} ms");
            0
        }
        Err(failed) => {
            log::error!("failed after {took_ms} ms: {}", failed.0);
            1
        }
    }
}

/// Sleeps with the whole thread.
pub fn pause(ns: u64) -> Result<(), Failed> {
    match Notification::create()?.take_blocking(clock::now_ns() + ns) {
        Ok(_) | Err(Error::TimedOut | Error::WouldWait) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Looks every millisecond until there is something to be seen, at most for `limit_ns`.
///
/// # Errors
/// What there was not, as `what` says.
pub fn await_until<T>(
    what: &str,
    limit_ns: u64,
    mut look: impl FnMut() -> Result<Option<T>, Failed>,
) -> Result<T, Failed> {
    let until_ns = clock::now_ns() + limit_ns;
    loop {
        if let Some(seen) = look()? {
            return Ok(seen);
        }
        if clock::now_ns() >= until_ns {
            return Err(Failed::because(format_args!("in vain waited for {what}")));
        }
        pause(1_000_000)?;
    }
}
