//! The net server: network cards at one side, programs' sockets at the other, the stack of the crate `net` in between.
//!
//! Handles: those to the cards, as its manifest's `devices` has them; `net`, the endpoint of its service ([`proto::net`]); `ports`, what the instance before
//! left; `manager`.
//!
//! # Tour
//! Tasks, all of one thread: one for each card, which gives its interface a turn when the card or a timer says so ([`shared`]); one for the
//! way to ourselves; one in which all sockets live ([`Crowd`], [`sockets`], [`ports`]); the first one answers calls ([`calls`]). A
//! frame that comes in is taken through the stack and put into its program's ring in the poll that its interrupt woke; what a program
//! puts into its ring is in the card's queue in the poll that its bell woke. [`cards`] finds the cards, [`rights`] asks what a client may,
//! [`saved`] is what the next instance goes on from.
//!
//! # Urgency
//! The server's reservation has a deadline of its own, and calls lend it that of their callers; a socket's bell wakes it within that.
//!
//! # In the kernel
//! The kernel carries this library: with `placement = "resident"` in the manifest, or `net=resident` among the manager's arguments, the same server runs in
//! ring 0. It maps what it maps in ring 3 (registers of cards, what they read and write, the rings of sockets), and its polls are as short: a turn of an
//! interface or of a socket moves a bounded number of frames, and then others have theirs.
//!
//! What must hold: no lock is held over a wait; a program can only damage its own sockets.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod calls;
mod cards;
mod ports;
mod rights;
mod saved;
mod shared;
mod sockets;

use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;

use abi::Error;
use proto::net::SERVICE;
use rt::sys::device::random;
use rt::sys::env::Missing;
use rt::sys::object::Object;
use rt::unit::Manager;
use rt::{Crowd, Either, Env, Watched, first};

use calls::Service;
use ports::Held;
use rights::Book;
use saved::Saved;
use shared::Shared;

/// Exit code of a server that lacks something.
const CANNOT_BEGIN: i32 = 1;
/// Exit code of one whose card cannot be driven any more.
const CARD_FAILED: i32 = 2;

enum CannotBegin {
    Handle(&'static str, Missing),
    Step(&'static str, Error),
    NoTask,
}

impl fmt::Display for CannotBegin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Handle(name, missing) => write!(f, "{name}: {missing}"),
            Self::Step(step, error) => write!(f, "{step}: {error}"),
            Self::NoTask => f.write_str("no room for the server's tasks"),
        }
    }
}

/// The server.
pub async fn main(mut env: Env) -> i32 {
    match run(&mut env).await {
        Ok(why) => {
            log::error!("a card cannot be driven any more: {why}");
            CARD_FAILED
        }
        Err(error) => {
            log::error!("{error}");
            CANNOT_BEGIN
        }
    }
}

fn take<T: Object>(env: &mut Env, name: &'static str) -> Result<T, CannotBegin> {
    env.take(name)
        .map_err(|missing| CannotBegin::Handle(name, missing))
}

async fn run(env: &mut Env) -> Result<String, CannotBegin> {
    let step = |step| move |error| CannotBegin::Step(step, error);
    let mut seed = [0; 32];
    random(&mut seed).map_err(step("asking for random numbers"))?;
    let shared = Arc::new(Shared::new(seed));
    let saved = Arc::new(Saved::open(take(env, "ports")?));
    let crowd = Arc::new(Crowd::default());
    let held = Arc::new(Held::default());
    let endpoint = Watched::endpoint(take(env, SERVICE)?).map_err(step("watching the endpoint"))?;
    // Before the first frame can come in: whoever asks for a connection then is heard.
    held.begin(&shared, &saved, &crowd);
    let (loopback, members) = (Arc::clone(&shared), Arc::clone(&crowd));
    let spawned = [
        rt::spawn("sockets", async move { members.run().await }),
        rt::spawn("loopback", async move {
            let _ = loopback.drive(0).await;
        }),
    ];
    if spawned.iter().any(Result::is_err) {
        return Err(CannotBegin::NoTask);
    }
    if cards::start(env, &shared, &saved).await == 0 {
        log::info!("no network card: this machine can talk to itself alone");
    }
    let service = Service {
        shared: Arc::clone(&shared),
        crowd,
        book: Book::new(Manager::new(take(env, "manager")?)),
        saved,
        held,
    };
    service
        .book
        .manager()
        .tell_ready()
        .await
        .map_err(step("saying that it is ready"))?;
    match first(shared.failed(), service.serve(&endpoint)).await {
        Either::A(why) => Ok(why),
        Either::B(ended) => ended.map(|()| String::new()).map_err(step("receiving")),
    }
}
