//! Listens for what is not meant for it: keys and pointers while another window has them, the clipboard, other windows by their numbers, what
//! was in memory before it was a window's. Logs all that it got. Scenarios type and point meanwhile.

use alloc::vec;
use core::time::Duration;

use proto::window::{DESKTOP_SERVICE, Event, Look, Request, Size, Title};
use rt::sys::clock;
use rt::sys::object::{Endpoint, Owned, Vmo};
use rt::unit::Manager;
use rt::{Either, first, sleep};

use crate::connection::{Connection, Verdict, open};

const OWN: u32 = 1;
const SIZE: Size = Size {
    width: 300,
    height: 200,
};
/// Windows of others have small numbers, too.
const OTHERS: core::ops::Range<u32> = 2..8;

/// Listens for so long. How much was overheard.
pub async fn run(
    endpoint: &Endpoint,
    manager: &Manager,
    time_ms: u64,
) -> Result<i32, &'static str> {
    if manager.connect(DESKTOP_SERVICE).await.is_ok() {
        return Err("the manager gives the desktop's service to everybody");
    }
    let connection = Connection::new(endpoint)?;
    connection.ask(&open(OWN, SIZE, Look::default())).await?;
    // Out of sight it has neither focus nor pointer.
    connection.ask(&Request::Minimise { window: OWN }).await?;
    manager.say_ready().map_err(|_| "the manager is gone")?;
    let end_ns = clock::now_ns() + time_ms * 1_000_000;
    let (mut got, mut round) = (0, 0);
    loop {
        let left_ns = end_ns.saturating_sub(clock::now_ns());
        if left_ns == 0 {
            return Ok(got);
        }
        let pause = sleep(Duration::from_millis(200));
        let Either::A(received) = first(connection.event(), pause).await else {
            round += 1;
            try_others(&connection, round).await?;
            continue;
        };
        let (event, handle) = received?.ok_or("the connection is cut")?;
        got += i32::from(tells(&event, handle));
    }
}

/// Asks for the clipboard, and for something of windows that are not its own.
async fn try_others(connection: &Connection, round: u32) -> Verdict {
    connection.ask(&Request::Paste).await?;
    let window = OTHERS.start + round % (OTHERS.end - OTHERS.start);
    let title = Title::from_start("mine now");
    connection.ask(&Request::SetTitle { window, title }).await?;
    connection.ask(&Request::Close { window }).await
}

/// Whether an event says something that it should not.
fn tells(event: &Event, handle: Option<Owned>) -> bool {
    match event {
        Event::Configured { size, .. } => {
            let Some(Ok(vmo)) = handle.map(Owned::cast::<Vmo>) else {
                return false;
            };
            let mut bytes = vec![0; size.picture_bytes() as usize];
            let is_read = vmo.read(0, &mut bytes).is_ok();
            is_read && bytes.iter().any(|byte| *byte != 0)
        }
        Event::Screen { .. }
        | Event::Refused { .. }
        | Event::Visible { .. }
        | Event::Focus { .. }
        | Event::Presented { .. } => false,
        other => {
            log::error!("got {other:?}");
            true
        }
    }
}
