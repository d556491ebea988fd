//! Drives the i8042: keyboard and mouse.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;

use abi::Error;
use i8042::{Controller, FIRST_PORT, Lines, Mouse, PORTS, Packets, Port, Receiver};
use input::Ps2;
use rt::sys::clock;
use rt::sys::object::{Interrupt, IoRange, System};
use rt::{Closed, MonotonicClock, Watched, sleep};
use spin::mutex::SpinMutex;

use crate::hub::Hub;

const KEYBOARD_LINE: u8 = 1;
const MOUSE_LINE: u8 = 12;
/// Its interrupts are taken by the first core.
const CORE: u32 = 0;
/// An instance that died has its ports and lines for a moment longer.
const AGAIN_AFTER: Duration = Duration::from_millis(5);
const TRIES: u32 = 400;

type Driver = Controller<IoRange, Watched<Interrupt>>;

/// Drives it for as long as it is there.
pub async fn drive(system: Arc<System>, hub: Arc<Hub>) {
    match bring_up(&system, &hub).await {
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

/// What a dead instance had may be its for a moment longer.
async fn claim<T>(mut open: impl FnMut() -> Result<T, Error> + Send) -> Result<T, Error> {
    for _ in 0..TRIES {
        match open() {
            Err(Error::Occupied) => sleep(AGAIN_AFTER).await,
            opened => return opened,
        }
    }
    Err(Error::Occupied)
}

async fn line(system: &System, line: u8) -> Result<Watched<Interrupt>, Error> {
    Watched::interrupt(claim(|| Interrupt::line(system, line, CORE)).await?)
}

/// The controller, and whether it is as the instance before left it.
async fn bring_up(system: &System, hub: &Hub) -> Result<Option<(Driver, bool)>, Error> {
    let ports = claim(|| IoRange::legacy(system, FIRST_PORT, PORTS)).await?;
    let keyboard = line(system, KEYBOARD_LINE).await?;
    let mouse = match line(system, MOUSE_LINE).await {
        Ok(line) => Some(line),
        Err(error) => {
            log::warn!("no PS/2 mouse: its interrupt cannot be had: {error}");
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
