//! The input server as a process.
//!
//! Handles: `desktop.input`, which says that keyboard and pointer are this server's to drive, and in what layout; the devices that its
//! manifest names ([`ps2`], [`virtio`](mod@virtio)); `input`, the endpoint of its service ([`proto::input`]); `held`, what the server before left; `manager`.
//!
//! Tasks, all on this process's executor: one drives the i8042 ([`ps2`]), one each virtio device ([`virtio`](mod@virtio)); one repeats the key that is held, one waits for the listener to
//! have room ([`hub`]); the first one answers calls ([`service`]). They share a [`Hub`](hub::Hub), in which an event goes from
//! the device's task straight to the listener's channel.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

mod hub;
mod kept;
mod ps2;
mod service;
mod virtio;

use alloc::sync::Arc;
use core::fmt;

use abi::Error;
use input::Keymap;
use proto::input::SERVICE;
use rt::sys::env::Missing;
use rt::sys::object::{Notification, Object, Vmo};
use rt::unit::Manager;
use rt::{Env, Watched};

use hub::Hub;
use kept::Kept;

rt::entry!(async main);

/// Exit code of a server that lacks something.
const CANNOT_BEGIN: i32 = 1;

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

async fn main(mut env: Env) -> i32 {
    match start(&mut env).await {
        Ok(()) => 0,
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

async fn start(env: &mut Env) -> Result<(), CannotBegin> {
    let keyboard_is_ours: Notification = take(env, "desktop.input")?;
    // The kernel's option, for the first instance; later ones find the layout among what was kept.
    let keymap = keyboard_is_ours
        .take_blocking(abi::AT_ONCE)
        .ok()
        .and_then(Keymap::from_bits);
    let held: Vmo = take(env, "held")?;
    let (kept, before) = Kept::open(&held)
        .map_err(|error| CannotBegin::Step("mapping what the one before left", error))?;
    let hub = Arc::new(Hub::new(kept, before, keymap));
    let endpoint = Watched::endpoint(take(env, SERVICE)?)
        .map_err(|error| CannotBegin::Step("watching the endpoint", error))?;
    let spawned = [
        rt::spawn("repeat", hub::repeat(Arc::clone(&hub))),
        rt::spawn("backlog", hub::send_backlog(Arc::clone(&hub))),
        rt::spawn("i8042", ps2::drive(ps2::Given::take(env), Arc::clone(&hub))),
    ];
    if spawned.iter().any(Result::is_err) {
        return Err(CannotBegin::NoTask);
    }
    virtio::start(env, &hub);
    Manager::new(take(env, "manager")?)
        .say_ready()
        .map_err(|error| CannotBegin::Step("saying that it is ready", error))?;
    service::serve(&endpoint, &hub)
        .await
        .map_err(|error| CannotBegin::Step("receiving", error))
}
