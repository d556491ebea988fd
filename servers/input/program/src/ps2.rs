//! Drives the i8042: keyboard and mouse.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering};

use abi::Error;
use i8042::{Controller, Lines, Mouse, Packets, Port, Receiver};
use input::Ps2;
use rt::sys::clock;
use rt::sys::env::Missing;
use rt::sys::object::{Interrupt, IoRange};
use rt::{Closed, Env, MonotonicClock, Watched};
use spin::mutex::SpinMutex;

use crate::hub::Hub;

/// What the manager opens for it.
pub struct Given {
    ports: Result<IoRange, Missing>,
    keyboard: Result<Interrupt, Missing>,
    mouse: Result<Interrupt, Missing>,
}

impl Given {
    /// What this process was given.
    pub fn take(env: &mut Env) -> Self {
        Self {
            ports: env.take("i8042.ports"),
            keyboard: env.take("i8042.keyboard"),
            mouse: env.take("i8042.mouse"),
        }
    }
}

type Driver = Controller<IoRange, Watched<Interrupt>>;

/// Drives it for as long as it is there.
pub async fn drive(given: Given, hub: Arc<Hub>) {
    match bring_up(given, &hub).await {
        Ok(Some((controller, is_resumed))) => {
            let mouse = controller.mouse();
            let bytes = Bytes {
                ps2: SpinMutex::new(Ps2::new(mouse, clock::ticks_in(Packets::PAUSE_NS))),
                hub,
                mouse,
                is_proven: AtomicBool::new(!is_resumed),
            };
            let end = controller.run(&bytes).await;
            bytes.hub.set_controller(None);
            log::error!("the i8042 is not driven any more: {end:?}");
        }
        Ok(None) => {}
        Err(error) => log::error!("the i8042 cannot be driven: {error}"),
    }
}

/// The controller, and whether it is as the instance before left it; `None` without one.
async fn bring_up(given: Given, hub: &Hub) -> Result<Option<(Driver, bool)>, Error> {
    let (Ok(ports), Ok(keyboard)) = (given.ports, given.keyboard) else {
        log::info!("there is no i8042 to drive");
        return Ok(None);
    };
    let keyboard = Watched::interrupt(keyboard)?;
    let mouse = match given.mouse {
        Ok(line) => Some(Watched::interrupt(line)?),
        Err(missing) => {
            log::warn!("no PS/2 mouse: its interrupt: {missing}");
            None
        }
    };
    let lines = Lines { keyboard, mouse };
    let left = hub.controller();
    // Until it has proven to work.
    hub.set_controller(None);
    if let Some(mouse) = left {
        log::info!("the i8042 goes on as the server before left it");
        return Ok(Some((Controller::resume(ports, lines, mouse), true)));
    }
    match Controller::start(ports, lines, &MonotonicClock).await {
        Ok(controller) => {
            match (controller.keyboard(), controller.mouse()) {
                (i8042::Keyboard::Answered, Some(mouse)) => {
                    log::info!("i8042: a keyboard and a mouse ({mouse:?})");
                }
                (i8042::Keyboard::Answered, None) => log::info!("i8042: a keyboard, no mouse"),
                (i8042::Keyboard::Silent, mouse) => {
                    log::warn!("i8042: no keyboard answers yet; mouse: {mouse:?}");
                }
            }
            hub.set_controller(Some(controller.mouse()));
            Ok(Some((controller, false)))
        }
        Err(error) => {
            log::warn!("{error}");
            Ok(None)
        }
    }
}

/// Hands bytes to the seat.
struct Bytes {
    ps2: SpinMutex<Ps2>,
    hub: Arc<Hub>,
    mouse: Option<Mouse>,
    /// A byte has come, or the controller was brought up by this instance.
    is_proven: AtomicBool,
}

impl Receiver for Bytes {
    fn try_take(&self, port: Port, byte: u8, stamp_ticks: u64) -> bool {
        if !self.is_proven.swap(true, Ordering::Relaxed) {
            self.hub.set_controller(Some(self.mouse));
        }
        self.hub
            .feed(|seat| self.ps2.lock().byte(seat, port, byte, stamp_ticks))
    }

    async fn room(&self) -> Result<(), Closed> {
        self.hub.room().await;
        Ok(())
    }
}
