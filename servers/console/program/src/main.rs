//! The console as a process: shows the bytes of a channel on a framebuffer.
//!
//! Handles: `framebuffer` and `framebuffer.info` (see [`proto::framebuffer`]), `terminal.display` (a channel of bytes to show),
//! and `manager`.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

mod pixels;

use alloc::vec::Vec;
use core::fmt;

use abi::Error;
use console::{Cell, Console, ConsoleError, cells_needed};
use rt::framebuffer::{Framebuffer, NoFramebuffer};
use rt::sys::env::Missing;
use rt::sys::object::{Channel, Endpoint, Object};
use rt::unit::Manager;
use rt::{ByteChannel, Env};

use pixels::Pixels;

rt::entry!(async main);

/// Exit code of a console that lacks something.
const CANNOT_BEGIN: i32 = 1;

enum CannotBegin {
    Handle(&'static str, Missing),
    Step(&'static str, Error),
    Framebuffer(NoFramebuffer),
    Console(ConsoleError),
}

impl fmt::Display for CannotBegin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Handle(name, missing) => write!(f, "{name}: {missing}"),
            Self::Step(step, error) => write!(f, "{step}: {error}"),
            Self::Framebuffer(bad) => bad.fmt(f),
            Self::Console(error) => error.fmt(f),
        }
    }
}

async fn main(mut env: Env) -> i32 {
    match show(&mut env).await {
        // Nobody sends any more: the manager starts another console when there is something to show.
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

async fn show(env: &mut Env) -> Result<(), CannotBegin> {
    let source = ByteChannel::new(take::<Channel>(env, "terminal.display")?)
        .map_err(|error| CannotBegin::Step("opening the stream", error))?;
    let pixels = Framebuffer::take(env, "framebuffer", "framebuffer.info");
    let pixels = Pixels(pixels.map_err(CannotBegin::Framebuffer)?);
    let (width, height) = console::Framebuffer::size(&pixels);
    let count = cells_needed(width, height);
    let mut cells: Vec<Cell> = Vec::new();
    cells
        .try_reserve_exact(count)
        .map_err(|_| CannotBegin::Step("making room for the text", Error::NoMemory))?;
    cells.resize(count, Cell::default());
    let mut console = Console::new(pixels, &mut cells).map_err(CannotBegin::Console)?;
    let manager: Endpoint = take(env, "manager")?;
    Manager::new(manager)
        .say_ready()
        .map_err(|error| CannotBegin::Step("saying that it is ready", error))?;
    console::run(&mut console, &source).await;
    Ok(())
}
