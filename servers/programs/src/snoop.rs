//! Listens for what is not meant for it: keys and pointers while another window has them, the clipboard, other windows by their numbers, what
//! was in memory before it was a window's. Logs all that it got.
//!
//! Handles: `window`, `manager`. Argument: for how many ms. Run by the scenarios of the desktop, which type and point meanwhile; ends with the
//! number of things that it got.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::vec;
use core::time::Duration;

use abi::FOREVER;
use proto::window::{
    CONNECT, DESKTOP_SERVICE, Event, Keepsake, Look, MAX_EVENT_BYTES, MAX_REQUEST_BYTES, Request,
    Size, Title, from_bytes, to_bytes,
};
use rt::sys::clock;
use rt::sys::message::Handles;
use rt::sys::object::{Channel, Endpoint, Owned, Vmo};
use rt::unit::Manager;
use rt::{Either, Env, Watched, first, sleep};

rt::entry!(async main);

const OWN: u32 = 1;
/// Windows of others have small numbers, too.
const OTHERS: core::ops::Range<u32> = 2..8;

async fn main(mut env: Env) -> i32 {
    let (Ok(endpoint), Ok(manager)) = (
        env.take::<Endpoint>("window"),
        env.take::<Endpoint>("manager"),
    ) else {
        log::error!("this takes the handles window and manager");
        return 100;
    };
    let time_ms = env.argument(1).and_then(|text| text.parse().ok());
    let manager = Manager::new(manager);
    if manager.connect(DESKTOP_SERVICE).await.is_ok() {
        log::error!("the manager gives the desktop's service to everybody");
        return 101;
    }
    match run(&endpoint, &manager, time_ms.unwrap_or(5000)).await {
        Ok(got) => {
            log::info!("overheard {got}");
            got
        }
        Err(why) => {
            log::error!("{why}");
            102
        }
    }
}

fn connect(endpoint: &Endpoint) -> Result<Watched<Channel>, &'static str> {
    let (mut send, mut receive) = (Handles::new(), Handles::new());
    endpoint
        .call_long_blocking(FOREVER, &[CONNECT], &mut send, &mut [0; 16], &mut receive)
        .map_err(|_| "the compositor does not answer")?;
    let Some(Ok(channel)) = receive.pop_front().map(Owned::cast::<Channel>) else {
        return Err("no channel came");
    };
    Watched::channel(channel).map_err(|_| "no room to watch the channel")
}

async fn ask(channel: &Watched<Channel>, request: &Request) -> Result<(), &'static str> {
    let mut buffer = [0; MAX_REQUEST_BYTES];
    let bytes = to_bytes(request, &mut buffer).ok_or("the request is too long")?;
    let sent = channel.send(bytes, &mut Handles::new()).await;
    sent.map_err(|_| "the connection is cut")
}

async fn run(endpoint: &Endpoint, manager: &Manager, time_ms: u64) -> Result<i32, &'static str> {
    let channel = connect(endpoint)?;
    let open = Request::Open {
        window: OWN,
        title: Title::from_start("nothing to see"),
        size: Size {
            width: 300,
            height: 200,
        },
        look: Look::default(),
        keepsake: Keepsake(1),
    };
    ask(&channel, &open).await?;
    // Out of sight it has neither focus nor pointer.
    ask(&channel, &Request::Minimise { window: OWN }).await?;
    manager.say_ready().map_err(|_| "the manager is gone")?;
    let end_ns = clock::now_ns() + time_ms * 1_000_000;
    let (mut got, mut round) = (0, 0);
    loop {
        let left_ns = end_ns.saturating_sub(clock::now_ns());
        if left_ns == 0 {
            return Ok(got);
        }
        let (mut bytes, mut handles) = ([0; MAX_EVENT_BYTES], Handles::new());
        let pause = sleep(Duration::from_millis(200));
        let Either::A(received) = first(channel.receive(&mut bytes, &mut handles), pause).await
        else {
            round += 1;
            try_others(&channel, round).await?;
            continue;
        };
        let lengths = received.map_err(|_| "the connection is cut")?;
        let event = from_bytes::<Event>(bytes.get(..lengths.bytes as usize).unwrap_or_default());
        got += i32::from(tells(&event, handles.pop_front()));
    }
}

/// Asks for the clipboard, and for something of windows that are not its own.
async fn try_others(channel: &Watched<Channel>, round: u32) -> Result<(), &'static str> {
    ask(channel, &Request::Paste).await?;
    let window = OTHERS.start + round % (OTHERS.end - OTHERS.start);
    let title = Title::from_start("mine now");
    ask(channel, &Request::SetTitle { window, title }).await?;
    ask(channel, &Request::Close { window }).await
}

/// Whether an event says something that it should not.
fn tells(event: &Option<Event>, handle: Option<Owned>) -> bool {
    match event {
        Some(Event::Configured { size, .. }) => {
            let Some(Ok(vmo)) = handle.map(Owned::cast::<Vmo>) else {
                return false;
            };
            let mut bytes = vec![0; size.picture_bytes() as usize];
            let is_read = vmo.read(0, &mut bytes).is_ok();
            is_read && bytes.iter().any(|byte| *byte != 0)
        }
        Some(
            Event::Screen { .. }
            | Event::Refused { .. }
            | Event::Visible { .. }
            | Event::Focus { .. }
            | Event::Presented { .. },
        ) => false,
        other => {
            log::error!("got {other:?}");
            true
        }
    }
}
