//! The compositor as a process, in ring 3 or in the kernel.
//!
//! Handles: `desktop.framebuffer` and `desktop.framebuffer.info` (see [`proto::framebuffer`]); `input`, a connection to the input server; `window` and
//! `desktop`, the endpoints of its services ([`proto::window`]); `windows`, what the compositor before left; `system`, for the
//! overlay's figures and the graphics device; `manager`.
//!
//! Tasks, all on this process's executor: one for each endpoint takes connections; one for each program reads what it asks ([`clients`]);
//! one listens to the input server ([`listen`]); one makes the frames ([`frames`]) for the [`screen`], one after the other and step by step ([`turns`]), one the overlay's figures ([`overlay`]). They share a [`State`] behind a lock that nobody holds while waiting.
//!
//! # In the kernel
//! The kernel carries this library: with `placement = "resident"` in the manifest, or `compositor=resident` among the manager's arguments, the same
//! compositor runs in ring 0. Frames are made in steps of 250 us ([`turns`]), as code in the kernel must be, and what a program asks is short. One step
//! is not: the first title has its font read, and the overlay's first line the other font, 30 million instructions each. That is once in an instance's
//! life, with the first window or overlay; cut in pieces it would need a reader of fonts of its own. So who has deadlines on the compositor's core that
//! must hold while it comes back from the dead leaves it isolated.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod clients;
mod frames;
mod listen;
mod overlay;
mod pictures;
mod screen;
mod state;
mod turns;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use abi::Error;
use executor::sync::Notify;
use proto::window::{DESKTOP_SERVICE, SERVICE};
use rt::framebuffer::{Framebuffer, NoFramebuffer};
use rt::sys::env::Missing;
use rt::sys::object::{Endpoint, Object, System, Vmo};
use rt::unit::Manager;
use rt::{Either3, Env, Watched, first_of_3};
use virtio::gpu::GpuError;

use screen::gpu::{self, Started};
use screen::pointer::{self, Shapes};
use screen::{Failure, Output, Screen};
use state::Shared;

/// How long after its wake a frame is to be on its way: half of one at 120 Hz.
const FRAME_DUE: Duration = Duration::from_millis(4);
/// How long after it came an input is to be told.
const INPUT_DUE: Duration = Duration::from_micros(500);
/// Exit code of a compositor that lacks something.
const CANNOT_BEGIN: i32 = 1;

enum CannotBegin {
    Handle(&'static str, Missing),
    Step(&'static str, Error),
    Framebuffer(NoFramebuffer),
    /// There is neither a graphics device nor a framebuffer.
    NoScreen,
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
            Self::NoScreen => f.write_str(
                "there is neither a graphics device that can be driven nor a framebuffer",
            ),
            Self::NoMemory => f.write_str("there is no memory for the picture of the screen"),
            Self::NoTask => f.write_str("no room for the compositor's tasks"),
        }
    }
}

/// The compositor.
pub async fn main(mut env: Env) -> i32 {
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
    let framebuffer = Framebuffer::take(env, "desktop.framebuffer", "desktop.framebuffer.info");
    let windows: Arc<Vmo> = Arc::new(take(env, "windows")?);
    let manager: Arc<Manager> = Arc::new(Manager::new(take(env, "manager")?));
    let system: Arc<System> = Arc::new(take(env, "system")?);
    let begun = begin(&system).await;
    let mut fallback = Fallback(framebuffer);
    let outputs = match &begun {
        Some((_, _, outputs)) => outputs.clone(),
        None => fallback.outputs().await?,
    };
    let shared =
        Shared::new(&outputs, &windows).map_err(|error| CannotBegin::Step("beginning", error))?;
    let shared = Arc::new(shared);
    serve(env, &shared, &manager, &system)?;
    manager
        .tell_ready()
        .await
        .map_err(|error| CannotBegin::Step("saying that it is ready", error))?;
    // Frames come before what programs ask for, and input before both.
    let over = Arc::new(Notify::new());
    let told = Arc::clone(&over);
    let showing = async move {
        if let Err(error) = show(begun, fallback, windows, shared).await {
            log::error!("{error}");
        }
        told.notify_one();
    };
    rt::spawn_due("frames", FRAME_DUE, showing).map_err(|_| CannotBegin::NoTask)?;
    over.notified().await;
    Err(CannotBegin::NoScreen)
}

/// Shows frames until there is no screen any more.
async fn show(
    begun: Option<(Started, Shapes, Vec<Output>)>,
    mut fallback: Fallback,
    windows: Arc<Vmo>,
    shared: Arc<Shared>,
) -> Result<(), CannotBegin> {
    if let Some((started, shapes, outputs)) = begun {
        let address = started.address;
        let why = drive(started, shapes, outputs, &windows, &shared).await;
        log::error!("{address}: the graphics device is given up: {why}");
        shared.change(|state| {
            state.pictures.set_function(None);
            state.desk.set_draws_pointer(true);
        });
    }
    let outputs = fallback.outputs().await?;
    let framebuffer = fallback.0.map_err(CannotBegin::Framebuffer)?;
    let (width, height) = framebuffer.size();
    log::info!("windows are shown on the framebuffer, {width} x {height}");
    let why = frames::Frames::new(framebuffer, windows, shared)
        .run(outputs)
        .await;
    log::error!("the framebuffer is given up: {why}");
    Ok(())
}

/// The screen for when there is no other.
struct Fallback(Result<Framebuffer, NoFramebuffer>);

impl Fallback {
    async fn outputs(&mut self) -> Result<Vec<Output>, CannotBegin> {
        match &mut self.0 {
            Ok(framebuffer) => framebuffer
                .arrange()
                .await
                .map_err(|_| CannotBegin::NoMemory),
            Err(_) => Err(CannotBegin::NoScreen),
        }
    }
}

/// Starts the graphics device, if there is one that can be driven.
async fn begin(system: &System) -> Option<(Started, Shapes, Vec<Output>)> {
    let (address, why) = match gpu::start(system).await? {
        Err((address, fault)) => (address, Failure::from(GpuError::from(fault))),
        Ok(mut started) => {
            let arranged = async {
                let shapes = Shapes::make(started.screen.control()).await?;
                Ok((shapes, started.screen.arrange().await?))
            };
            match arranged.await {
                Ok((shapes, outputs)) => {
                    log::info!(
                        "windows are shown by the graphics device {}",
                        started.address
                    );
                    return Some((started, shapes, outputs));
                }
                Err(why) => (started.address, why),
            }
        }
    };
    log::error!("{address}: the graphics device is not driven: {why}");
    None
}

/// Shows frames and the pointer until the device fails.
async fn drive(
    started: Started,
    shapes: Shapes,
    outputs: Vec<Output>,
    windows: &Arc<Vmo>,
    shared: &Arc<Shared>,
) -> Failure {
    let function = Arc::clone(started.screen.function());
    shared.change(|state| {
        state.pictures.set_function(Some(function));
        state.desk.set_draws_pointer(false);
    });
    let frames = frames::Frames::new(started.screen, Arc::clone(windows), Arc::clone(shared));
    let changes = async {
        loop {
            if let Err(fault) = started.changes.next().await {
                return fault;
            }
            shared.change(|state| state.outputs_changed = true);
        }
    };
    let pointer = pointer::follow(started.cursor, shapes, Arc::clone(shared));
    match first_of_3(frames.run(outputs), pointer, changes).await {
        Either3::A(failure) => failure,
        Either3::B(error) => error.into(),
        Either3::C(fault) => GpuError::from(fault).into(),
    }
}

/// Starts the tasks that serve programs.
fn serve(
    env: &mut Env,
    shared: &Arc<Shared>,
    manager: &Arc<Manager>,
    system: &Arc<System>,
) -> Result<(), CannotBegin> {
    for (service, is_desktop) in [(SERVICE, false), (DESKTOP_SERVICE, true)] {
        let endpoint = Watched::endpoint(take(env, service)?)
            .map_err(|error| CannotBegin::Step("watching an endpoint", error))?;
        let shared = Arc::clone(shared);
        rt::spawn(service, async move {
            clients::accept(endpoint, is_desktop, shared).await
        })
        .map_err(|_| CannotBegin::NoTask)?;
    }
    let input: Endpoint = take(env, "input")?;
    let listener = listen::Listener::new(input, Arc::clone(manager), Arc::clone(shared));
    rt::spawn_due("input", INPUT_DUE, listener.run()).map_err(|_| CannotBegin::NoTask)?;
    let overlay = overlay::run(Arc::clone(shared), Arc::clone(system));
    rt::spawn("overlay", overlay).map_err(|_| CannotBegin::NoTask)
}
