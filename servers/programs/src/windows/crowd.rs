//! Two hundred windows, one of a single pixel, one that is larger than any screen, and beside them programs without manners: one that paints as fast as it can,
//! one that never reads what it is told, one that sends garbage. What the frames make of that is measured by others (`programs/pace`).

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
use core::time::Duration;

use proto::window::{Look, MAX_SIDE, Request, Size};
use rt::sys::object::Endpoint;
use rt::unit::Manager;
use rt::{Either, first, sleep, yield_now};

use crate::connection::{Connection, Verdict, open};

/// Windows that are only there.
const WINDOWS: u32 = 200;
const SMALL: Size = Size {
    width: 160,
    height: 90,
};
/// Of the window that is painted as fast as can be.
const LARGE: Size = Size {
    width: 640,
    height: 400,
};
/// How often is said what was done so far.
const EVERY: Duration = Duration::from_secs(1);

/// What was done so far.
#[derive(Default)]
struct Counts {
    presented: AtomicU32,
    cut: AtomicU32,
    garbage: AtomicU32,
}

/// Opens the windows and makes trouble for ever.
pub async fn run(endpoint: Endpoint, manager: &Manager) -> Result<i32, &'static str> {
    manager.say_ready().map_err(|_| "the manager is gone")?;
    let quiet = Connection::new(&endpoint)?;
    for window in 0..WINDOWS {
        let (configuration, size, _) = quiet.open(window, SMALL, Look::default()).await?;
        quiet.present(window, configuration, 0, size).await?;
    }
    let fixed = Look {
        fixed: true,
        ..Look::default()
    };
    let one = Size {
        width: 1,
        height: 1,
    };
    let (configuration, size, _) = quiet.open(WINDOWS, one, fixed).await?;
    quiet.present(WINDOWS, configuration, 0, size).await?;
    quiet.shown().await?;
    let whole = Size {
        width: MAX_SIDE,
        height: MAX_SIDE,
    };
    quiet
        .ask(&open(WINDOWS + 1, whole, Look::default()))
        .await?;
    let why = quiet.refused().await?;
    log::info!(
        "{WINDOWS} windows, one of {} x {}; {MAX_SIDE} x {MAX_SIDE} is refused: {}",
        size.width,
        size.height,
        &*why
    );
    let endpoint = Arc::new(endpoint);
    let counts = Arc::new(Counts::default());
    for trouble in [Trouble::Fast, Trouble::Mute, Trouble::Garbage] {
        let (endpoint, counts) = (Arc::clone(&endpoint), Arc::clone(&counts));
        rt::spawn("trouble", async move {
            loop {
                if let Err(why) = trouble.make(&endpoint, &counts).await {
                    log::error!("{trouble:?}: {why}");
                    return;
                }
            }
        })
        .map_err(|_| "no room for a task")?;
    }
    log::info!("all is there");
    loop {
        sleep(EVERY).await;
        log::info!(
            "{} pictures, {} times cut off for not reading, {} times for garbage",
            counts.presented.load(Relaxed),
            counts.cut.load(Relaxed),
            counts.garbage.load(Relaxed)
        );
    }
}

/// A program without manners.
#[derive(Clone, Copy, Debug)]
enum Trouble {
    Fast,
    Mute,
    Garbage,
}

impl Trouble {
    /// Makes trouble on a new connection, until that is over.
    async fn make(self, endpoint: &Endpoint, counts: &Counts) -> Verdict {
        let connection = Connection::new(endpoint)?;
        match self {
            Self::Fast => fast(&connection, counts).await,
            Self::Mute => mute(&connection, counts).await,
            Self::Garbage => {
                connection.send(&[0xa5; 100]).await?;
                connection.cut().await?;
                counts.garbage.fetch_add(1, Relaxed);
                Ok(())
            }
        }
    }
}

/// Presents a picture after the other, however many of them can be seen.
async fn fast(connection: &Connection, counts: &Counts) -> Verdict {
    let (configuration, size, _) = connection.open(1, LARGE, Look::default()).await?;
    let mut buffer = 0;
    loop {
        connection.present(1, configuration, buffer, size).await?;
        counts.presented.fetch_add(1, Relaxed);
        buffer = 1 - buffer;
        while let Either::A(event) = first(connection.event(), yield_now()).await {
            event?.ok_or("the connection is cut")?;
        }
    }
}

/// Asks for what is refused and does not read that, until it is cut off.
async fn mute(connection: &Connection, counts: &Counts) -> Verdict {
    while connection.ask(&Request::Close { window: 77 }).await.is_ok() {
        yield_now().await;
    }
    counts.cut.fetch_add(1, Relaxed);
    Ok(())
}
