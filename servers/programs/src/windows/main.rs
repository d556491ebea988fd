//! Programs that make life hard for the compositor, each by its word.
//!
//! Handles: `window`, `manager`. Arguments:
//! * `attacks`: what no program should do ([`attacks`]); ends with the number of attacks that went wrong.
//! * `snoop` MS: listens for what is not meant for it, for so long ([`snoop`]); ends with the number of things that it got.
//! * `crowd`: very many windows, and programs without manners, until it is killed ([`crowd`]).
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

mod attacks;
mod connection;
mod crowd;
mod snoop;

use rt::Env;
use rt::sys::object::Endpoint;
use rt::unit::Manager;

rt::entry!(async main);

/// Exit code of a program that lacks something, or was told nothing that it knows.
const CANNOT_BEGIN: i32 = 100;
/// Of one that could not do what it was told.
const FAILED: i32 = 102;

async fn main(mut env: Env) -> i32 {
    let (Ok(endpoint), Ok(manager)) = (
        env.take::<Endpoint>("window"),
        env.take::<Endpoint>("manager"),
    ) else {
        log::error!("this takes the handles window and manager");
        return CANNOT_BEGIN;
    };
    let manager = Manager::new(manager);
    let done = match env.argument(1) {
        Some("attacks") => match manager.say_ready() {
            Ok(_) => Ok(attacks::run(&endpoint).await),
            Err(_) => Err("the manager is gone"),
        },
        Some("snoop") => {
            let time_ms = env.argument(2).and_then(|text| text.parse().ok());
            let got = snoop::run(&endpoint, &manager, time_ms.unwrap_or(5000)).await;
            got.inspect(|got| log::info!("overheard {got}"))
        }
        Some("crowd") => crowd::run(endpoint, &manager).await,
        _ => {
            log::error!("this takes one of the words attacks, snoop, crowd");
            return CANNOT_BEGIN;
        }
    };
    done.unwrap_or_else(|why| {
        log::error!("{why}");
        FAILED
    })
}
