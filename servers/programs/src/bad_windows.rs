//! A program that does to the compositor what no program should: nonsense, floods, other programs' business. Each attack must end with a refusal or
//! with this program's connection cut off, and the next connection must be served as before.
//!
//! Handles: `window`, `manager`. Run by the scenarios of the desktop as the unit `test.windows`; ends with the number of attacks that went wrong.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::vec::Vec;
use core::time::Duration;

use abi::memory::VmoOp;
use abi::{Error, FOREVER};
use proto::window::{
    CONNECT, Demand, Event, Keepsake, Kind, Look, MAX_EVENT_BYTES, MAX_REQUEST_BYTES, MAX_WINDOWS,
    Request, Size, Theme, Title, WindowId, from_bytes, to_bytes,
};
use rt::sys::message::Handles;
use rt::sys::object::{Channel, Endpoint, Owned, Vmo};
use rt::unit::Manager;
use rt::{Either, Env, Watched, first, sleep};

rt::entry!(async main);

/// For an answer, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// Pages of a window's pictures that are taken away.
const SOME_BYTES: u64 = 8192;

type Verdict = Result<(), &'static str>;

async fn main(mut env: Env) -> i32 {
    let (Ok(endpoint), Ok(manager)) = (
        env.take::<Endpoint>("window"),
        env.take::<Endpoint>("manager"),
    ) else {
        log::error!("this takes the handles window and manager");
        return 100;
    };
    if let Err(error) = Manager::new(manager).say_ready() {
        log::error!("the manager: {error}");
        return 100;
    }
    let mut failed = 0;
    let mut count = 0;
    macro_rules! attack {
        ($name:ident) => {
            count += 1;
            let verdict = async {
                $name(&Connection::new(&endpoint)?).await?;
                // The compositor serves the next one.
                honest(&Connection::new(&endpoint)?).await
            };
            if let Err(why) = verdict.await {
                log::error!("{}: {why}", stringify!($name));
                failed += 1;
            }
        };
    }
    attack!(honest);
    attack!(garbage);
    attack!(empty_message);
    attack!(desktops_business);
    attack!(desktops_windows);
    attack!(absurd_sizes);
    attack!(many_windows);
    attack!(unknown_numbers);
    attack!(same_number_twice);
    attack!(clipboard_without_focus);
    attack!(pictures_taken_away);
    attack!(pictures_resized);
    attack!(present_flood);
    attack!(never_reads);
    attack!(wrong_clipboard);
    count += 1;
    if endpoint
        .call_blocking(FOREVER, &[7; 8])
        .is_ok_and(|words| words != [u64::MAX; 8])
    {
        log::error!("a short call was answered");
        failed += 1;
    }
    log::info!("{count} attacks, {failed} failed");
    failed
}

/// A connection to the compositor.
struct Connection(Watched<Channel>);

impl Connection {
    fn new(endpoint: &Endpoint) -> Result<Self, &'static str> {
        let (mut send, mut receive) = (Handles::new(), Handles::new());
        endpoint
            .call_long_blocking(FOREVER, &[CONNECT], &mut send, &mut [0; 16], &mut receive)
            .map_err(|_| "the compositor does not answer")?;
        let channel = receive.pop_front().map(Owned::cast::<Channel>);
        let Some(Ok(channel)) = channel else {
            return Err("no channel came");
        };
        Watched::channel(channel)
            .map(Self)
            .map_err(|_| "no room to watch the channel")
    }

    /// Sends a request, waiting for room.
    async fn ask(&self, request: &Request) -> Verdict {
        let mut buffer = [0; MAX_REQUEST_BYTES];
        let bytes = to_bytes(request, &mut buffer).ok_or("the request is too long")?;
        match first(self.0.send(bytes, &mut Handles::new()), sleep(PATIENCE)).await {
            Either::A(sent) => sent.map_err(|_| "the connection is cut"),
            Either::B(()) => Err("the compositor does not read"),
        }
    }

    /// The next event, and what came along; `None` if the connection is cut.
    async fn event(&self) -> Result<Option<(Event, Option<Owned>)>, &'static str> {
        let mut bytes = [0; MAX_EVENT_BYTES];
        let mut handles = Handles::new();
        match first(self.0.receive(&mut bytes, &mut handles), sleep(PATIENCE)).await {
            Either::A(Ok(lengths)) => {
                let event = from_bytes(bytes.get(..lengths.bytes as usize).unwrap_or_default());
                Ok(Some((
                    event.ok_or("what came is no event")?,
                    handles.pop_front(),
                )))
            }
            Either::A(Err(_)) => Ok(None),
            Either::B(()) => Err("nothing came"),
        }
    }

    /// Waits for an event of which `find` makes something.
    async fn until<T>(
        &self,
        mut find: impl FnMut(Event, Option<Owned>) -> Option<T>,
    ) -> Result<T, &'static str> {
        loop {
            match self.event().await? {
                Some((event, handle)) => {
                    if let Some(found) = find(event, handle) {
                        return Ok(found);
                    }
                }
                None => return Err("the connection is cut"),
            }
        }
    }

    /// Waits for a refusal.
    async fn refused(&self) -> Verdict {
        self.until(|event, _| matches!(event, Event::Refused { .. }).then_some(()))
            .await
    }

    /// Waits until the connection is cut.
    async fn cut(&self) -> Verdict {
        while self.event().await?.is_some() {}
        Ok(())
    }

    /// Opens a window and waits for its pictures.
    async fn open(
        &self,
        window: WindowId,
        size: Size,
        look: Look,
    ) -> Result<(u32, Size, Vmo), &'static str> {
        self.ask(&open(window, size, look)).await?;
        self.until(|event, handle| match event {
            Event::Configured {
                window: other,
                configuration,
                size,
                ..
            } if other == window => Some(
                handle?
                    .cast::<Vmo>()
                    .ok()
                    .map(|vmo| (configuration, size, vmo)),
            ),
            _ => None,
        })
        .await?
        .ok_or("no pictures came")
    }

    async fn present(
        &self,
        window: WindowId,
        configuration: u32,
        buffer: u8,
        size: Size,
    ) -> Verdict {
        let request = Request::Present {
            window,
            serial: 1,
            configuration,
            buffer,
            damage: size.whole(),
            target_ns: 0,
        };
        self.ask(&request).await
    }

    async fn shown(&self) -> Verdict {
        self.until(|event, _| matches!(event, Event::Presented { .. }).then_some(()))
            .await
    }
}

fn open(window: WindowId, size: Size, look: Look) -> Request {
    Request::Open {
        window,
        title: Title::from_start("bad"),
        size,
        look,
        keepsake: Keepsake::default(),
    }
}

const SMALL: Size = Size {
    width: 160,
    height: 90,
};

/// What an honest program does: a window is painted and shown.
async fn honest(connection: &Connection) -> Verdict {
    let (configuration, size, vmo) = connection.open(1, SMALL, Look::default()).await?;
    let pixels: Vec<u8> = (0..size.picture_bytes())
        .map(|at| at as u8 | 0x80)
        .collect();
    vmo.write(0, &pixels)
        .map_err(|_| "the pictures cannot be written")?;
    connection.present(1, configuration, 0, size).await?;
    connection.shown().await
}

async fn garbage(connection: &Connection) -> Verdict {
    let sent = connection.0.send(&[0xee; 200], &mut Handles::new()).await;
    sent.map_err(|_| "it cannot be sent")?;
    connection.cut().await
}

async fn empty_message(connection: &Connection) -> Verdict {
    let sent = connection.0.send(&[], &mut Handles::new()).await;
    sent.map_err(|_| "it cannot be sent")?;
    connection.cut().await
}

async fn desktops_business(connection: &Connection) -> Verdict {
    for request in [
        Request::List,
        Request::Demand {
            window: 1,
            demand: Demand::Close,
        },
        Request::SetTheme(Theme::Light),
        Request::SetKeymap(proto::Text::from_start("fr")),
        Request::SetRate(120),
        Request::ToggleOverlay,
        Request::Measure { anew: true },
    ] {
        connection.ask(&request).await?;
        connection.refused().await?;
    }
    Ok(())
}

async fn desktops_windows(connection: &Connection) -> Verdict {
    for kind in [Kind::Background, Kind::Panel, Kind::Menu] {
        connection
            .ask(&open(
                1,
                SMALL,
                Look {
                    kind,
                    ..Look::default()
                },
            ))
            .await?;
        connection.refused().await?;
    }
    Ok(())
}

async fn absurd_sizes(connection: &Connection) -> Verdict {
    for (width, height) in [(8192, 8192), (0, 5), (5, 0), (u16::MAX, u16::MAX)] {
        connection
            .ask(&open(1, Size { width, height }, Look::default()))
            .await?;
        connection.refused().await?;
    }
    let fixed = Look {
        fixed: true,
        ..Look::default()
    };
    let (configuration, size, _) = connection
        .open(
            2,
            Size {
                width: 1,
                height: 1,
            },
            fixed,
        )
        .await?;
    connection.present(2, configuration, 0, size).await?;
    connection.shown().await
}

async fn many_windows(connection: &Connection) -> Verdict {
    for window in 0..MAX_WINDOWS as u32 {
        let (configuration, size, _) = connection
            .open(
                window,
                Size {
                    width: 130,
                    height: 50,
                },
                Look::default(),
            )
            .await?;
        // All of them shown, over each other.
        connection.present(window, configuration, 0, size).await?;
    }
    connection.ask(&open(1000, SMALL, Look::default())).await?;
    connection.refused().await
}

async fn unknown_numbers(connection: &Connection) -> Verdict {
    connection.ask(&Request::Close { window: 9 }).await?;
    connection.refused().await?;
    connection
        .ask(&Request::SetTitle {
            window: 9,
            title: Title::new(),
        })
        .await?;
    connection.refused().await?;
    let (configuration, size, _) = connection.open(1, SMALL, Look::default()).await?;
    connection.present(1, configuration, 2, size).await?;
    connection.refused().await?;
    // An old configuration is too late, not wrong.
    connection.present(1, configuration + 7, 0, size).await?;
    connection.present(1, configuration, 0, size).await?;
    connection.shown().await?;
    connection.present(1, configuration, 0, size).await?;
    connection.refused().await
}

async fn same_number_twice(connection: &Connection) -> Verdict {
    connection.open(1, SMALL, Look::default()).await?;
    connection.ask(&open(1, SMALL, Look::default())).await?;
    connection.refused().await
}

async fn clipboard_without_focus(connection: &Connection) -> Verdict {
    connection.ask(&Request::Paste).await?;
    connection.refused().await?;
    connection.ask(&Request::Copy { bytes: 5 }).await?;
    connection.refused().await
}

async fn wrong_clipboard(connection: &Connection) -> Verdict {
    connection.open(1, SMALL, Look::default()).await?;
    // With the focus, but without the text, and with far too much.
    connection.ask(&Request::Copy { bytes: 5 }).await?;
    connection.refused().await?;
    connection.ask(&Request::Copy { bytes: u32::MAX }).await?;
    connection.refused().await
}

async fn pictures_taken_away(connection: &Connection) -> Verdict {
    let (configuration, size, vmo) = connection.open(1, SMALL, Look::default()).await?;
    connection.present(1, configuration, 0, size).await?;
    connection.shown().await?;
    // Pages that are being shown are given back: they are zeroes from now on, nothing worse.
    let _ = vmo.operate(VmoOp::Decommit, 0, SOME_BYTES);
    connection.present(1, configuration, 1, size).await?;
    connection.shown().await
}

async fn pictures_resized(connection: &Connection) -> Verdict {
    let (_, _, vmo) = connection.open(1, SMALL, Look::default()).await?;
    match vmo.resize(4096) {
        Err(Error::NoRight) => Ok(()),
        _ => Err("a program could resize the compositor's memory"),
    }
}

async fn present_flood(connection: &Connection) -> Verdict {
    let (configuration, size, _) = connection.open(1, SMALL, Look::default()).await?;
    for round in 0..2000_u32 {
        connection
            .present(1, configuration, (round % 2) as u8, size)
            .await?;
        // Reads now and then, as fast as nothing else would.
        if round % 8 == 0 {
            while let Either::A(event) = first(connection.event(), rt::yield_now()).await {
                event?;
            }
        }
    }
    Ok(())
}

async fn never_reads(connection: &Connection) -> Verdict {
    connection.open(1, SMALL, Look::default()).await?;
    // Each is answered by a refusal that nobody reads.
    for _ in 0..1000 {
        let asked = connection.ask(&Request::Close { window: 77 }).await;
        if asked.is_err() {
            return connection.cut().await;
        }
    }
    Err("it was not cut off")
}
