//! Nonsense, floods, other programs' business. Each attack must end with a refusal or with the connection cut off, and the next connection must
//! be served as before.

use alloc::vec::Vec;

use abi::memory::VmoOp;
use abi::{Error, FOREVER};
use proto::window::{Demand, Kind, Look, MAX_WINDOWS, Rate, Request, Size, Theme, Title};
use rt::sys::object::Endpoint;
use rt::{Either, first};

use crate::connection::{Connection, Verdict, open};

/// Pages of a window's pictures that are taken away.
const SOME_BYTES: u64 = 8192;

/// All of them. How many went wrong.
pub async fn run(endpoint: &Endpoint) -> i32 {
    let mut failed = 0;
    let mut count = 0;
    macro_rules! attack {
        ($name:ident) => {
            count += 1;
            let verdict = async {
                $name(&Connection::new(endpoint)?).await?;
                // The compositor serves the next one.
                honest(&Connection::new(endpoint)?).await
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
    connection.send(&[0xee; 200]).await?;
    connection.cut().await
}

async fn empty_message(connection: &Connection) -> Verdict {
    connection.send(&[]).await?;
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
        Request::SetRate(Rate::Fixed(120)),
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
    connection.refused().await.map(drop)
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
    connection.refused().await.map(drop)
}

async fn same_number_twice(connection: &Connection) -> Verdict {
    connection.open(1, SMALL, Look::default()).await?;
    connection.ask(&open(1, SMALL, Look::default())).await?;
    connection.refused().await.map(drop)
}

async fn clipboard_without_focus(connection: &Connection) -> Verdict {
    connection.ask(&Request::Paste).await?;
    connection.refused().await?;
    connection.ask(&Request::Copy { bytes: 5 }).await?;
    connection.refused().await.map(drop)
}

async fn wrong_clipboard(connection: &Connection) -> Verdict {
    connection.open(1, SMALL, Look::default()).await?;
    // With the focus, but without the text, and with far too much.
    connection.ask(&Request::Copy { bytes: 5 }).await?;
    connection.refused().await?;
    connection.ask(&Request::Copy { bytes: u32::MAX }).await?;
    connection.refused().await.map(drop)
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
