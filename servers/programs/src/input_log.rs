//! Listens to the input server and logs each event: what tests of it drive from outside. F1 and F2 ask for the German and the American layout,
//! F3 for quick repetitions. It listens to the next server when one dies.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::sync::Arc;

use abi::Error;
use proto::Text;
use proto::input::{Event, KeyChange, MAX_BYTES, Request, SERVICE, What, from_bytes};
use proto::key::{Key, KeyPress};
use rt::Env;
use rt::input::{AskError, ask};
use rt::service::Reconnect;
use rt::sys::clock;
use rt::sys::message::Handles;
use rt::sys::object::Endpoint;
use rt::unit::{Found, Manager};

rt::entry!(async main);

async fn main(mut env: Env) -> i32 {
    let (Ok(manager), Ok(endpoint)) = (env.take("manager"), env.take(SERVICE)) else {
        log::error!("it needs the input server and the manager");
        return 1;
    };
    let found = Found {
        manager: Arc::new(Manager::new(manager)),
        service: SERVICE,
    };
    let mut next = Some(endpoint);
    if let Err(error) = found.manager.say_ready() {
        log::error!("the manager: {error}");
        return 1;
    }
    while let Some(endpoint) = next {
        let end = listen(&endpoint).await;
        log::info!("the server is gone: {end:?}");
        next = found.reconnect().await;
    }
    1
}

async fn listen(endpoint: &Endpoint) -> Result<(), AskError> {
    let channel = rt::input::listen(endpoint).await?;
    log::info!("listening");
    let (mut bytes, mut handles) = ([0; MAX_BYTES], Handles::new());
    loop {
        let received = channel.receive(&mut bytes, &mut handles).await;
        let lengths = received.map_err(|bad| bad.error)?;
        let message = bytes.get(..lengths.bytes as usize).unwrap_or_default();
        let event: Event = from_bytes(message).ok_or(Error::BadArgument)?;
        show(&event);
        let What::Key {
            change: KeyChange::Down,
            press: Some(KeyPress { key, .. }),
            ..
        } = event.what
        else {
            continue;
        };
        let request = match key {
            Key::Function(1) => Request::SetKeymap(Text::from_start("de")),
            Key::Function(2) => Request::SetKeymap(Text::from_start("us")),
            Key::Function(3) => Request::SetRepeat {
                delay_ms: 60,
                interval_ms: 20,
            },
            _ => continue,
        };
        ask(endpoint, &request).await?;
        log::info!("asked");
    }
}

/// One line: the device, what happened, and how long after its interrupt it came here.
fn show(event: &Event) {
    let device = event.device;
    let page = clock::page();
    let age_ns = clock::now_ns().saturating_sub(clock::ns_at(page, event.time_ticks));
    let age_us = age_ns / 1000;
    match event.what {
        What::Key {
            code,
            change,
            press,
            modifiers,
        } => {
            let key = press.map(|press| press.key);
            let shift = modifiers.shift;
            log::info!("{device}: key {code} {change:?} {key:?} shift={shift} after {age_us} us");
        }
        What::Motion { dx, dy } => log::info!("{device}: motion {dx} {dy} after {age_us} us"),
        What::Position { x, y } => log::info!("{device}: position {x} {y} after {age_us} us"),
        What::Button { button, pressed } => {
            log::info!("{device}: button {button:?} {pressed} after {age_us} us");
        }
        What::Wheel { down, right } => {
            log::info!("{device}: wheel {down} {right} after {age_us} us");
        }
    }
}
