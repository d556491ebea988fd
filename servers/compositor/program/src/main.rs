//! The compositor as a process.
//!
//! Handles: `desktop.framebuffer` and `desktop.framebuffer.info` (see [`proto::framebuffer`]); `input`, a connection to the input server; `window` and
//! `desktop`, the endpoints of its services ([`proto::window`]); `windows`, what the compositor before left; `system`, for the
//! overlay's figures; `manager`.
//!
//! Tasks, all on this process's executor: one for each endpoint takes connections; one for each program reads what it asks ([`clients`]);
//! one listens to the input server ([`listen`]); one makes the frames ([`frames`]), one the overlay's figures ([`overlay`]). They share a [`State`] behind a lock that nobody holds while waiting.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

mod clients;
mod frames;
mod listen;
mod overlay;
mod pictures;
mod state;

use alloc::sync::Arc;
use core::fmt;

use abi::Error;
use proto::window::{DESKTOP_SERVICE, SERVICE};
use rt::framebuffer::{Framebuffer, NoFramebuffer};
use rt::sys::env::Missing;
use rt::sys::object::{Endpoint, Object, Vmo};
use rt::unit::Manager;
use rt::{Env, Watched};

use state::Shared;

rt::entry!(async main);

/// Exit code of a compositor that lacks something.
const CANNOT_BEGIN: i32 = 1;

enum CannotBegin {
    Handle(&'static str, Missing),
    Step(&'static str, Error),
    Framebuffer(NoFramebuffer),
    /// No memory for the picture of the screen.
    NoMemory,
    NoTask,
}

impl fmt::Display for CannotBegin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Handle(name, missing) => write!(f, "{name}: {missing}"),
            Self::Step(step, error) => write!(f, "{step}: {error}"),
            Self::Framebuffer(why) => why.fmt(f),
            Self::NoMemory => f.write_str("there is no memory for the picture of the screen"),
            Self::NoTask => f.write_str("no room for the compositor's tasks"),
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
    let framebuffer = Framebuffer::take(env, "desktop.framebuffer", "desktop.framebuffer.info")
        .map_err(CannotBegin::Framebuffer)?;
    let windows: Vmo = take(env, "windows")?;
    let manager: Arc<Manager> = Arc::new(Manager::new(take(env, "manager")?));
    let shared = Shared::new(&framebuffer, &windows)
        .map_err(|error| CannotBegin::Step("beginning", error))?;
    let shared = Arc::new(shared);
    for (service, is_desktop) in [(SERVICE, false), (DESKTOP_SERVICE, true)] {
        let endpoint = Watched::endpoint(take(env, service)?)
            .map_err(|error| CannotBegin::Step("watching an endpoint", error))?;
        let shared = Arc::clone(&shared);
        rt::spawn(service, async move {
            clients::accept(endpoint, is_desktop, shared).await
        })
        .map_err(|_| CannotBegin::NoTask)?;
    }
    let input: Endpoint = take(env, "input")?;
    let listener = listen::Listener::new(input, Arc::clone(&manager), Arc::clone(&shared));
    rt::spawn("input", listener.run()).map_err(|_| CannotBegin::NoTask)?;
    let system = take(env, "system")?;
    rt::spawn("overlay", overlay::run(Arc::clone(&shared), system))
        .map_err(|_| CannotBegin::NoTask)?;
    let frames = frames::Frames::new(framebuffer, windows, Arc::clone(&shared))
        .ok_or(CannotBegin::NoMemory)?;
    manager
        .say_ready()
        .map_err(|error| CannotBegin::Step("saying that it is ready", error))?;
    frames.run().await;
    Ok(())
}
