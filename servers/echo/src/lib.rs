//! A server that answers with what it was told, and fails when it is told to: what tests of placements and restarts start.
//!
//! Its endpoint is named by its first argument, `echo` unless said. Isolated or resident, it is this same crate.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hint::black_box;
use core::time::Duration;

use proto::contract::Caller;
use proto::trial::{AtOnce, Failure, Serve, Server};
use rt::service::{say_ready, serve_at_once};
use rt::sys::object::{Endpoint, Object};
use rt::sys::provoke::{self, Instruction};
use rt::sys::{gate, process};
use rt::{Env, Watched, sleep};

/// Exit code when it is told to end itself.
pub const ENDED: i32 = 77;
/// What it takes of its memory at once.
const PIECE_BYTES: usize = 64 << 10;

struct Echo;

impl Server for Echo {
    async fn number(&self, _: Caller, value: u64) -> u64 {
        value
    }

    async fn later(&self, _: Caller, value: u64, delay_ms: u32) -> u64 {
        sleep(Duration::from_millis(delay_ms.into())).await;
        value
    }

    async fn fail(&self, _: Caller, how: Failure) {
        fail(how);
    }
}

/// A caller that has it answer in its own poll has it fail there.
impl AtOnce for Echo {
    fn number(&self, _: Caller, value: u64) -> Option<u64> {
        Some(value)
    }

    fn fail(&self, _: Caller, how: Failure) -> Option<()> {
        fail(how);
        Some(())
    }
}

fn fail(how: Failure) {
    match how {
        Failure::Panic => panic!("asked to"),
        Failure::NullPointer => {
            black_box(provoke::read(black_box(0)));
        }
        Failure::Memory => {
            let mut pieces = Vec::new();
            loop {
                pieces.push(black_box(Vec::<u8>::with_capacity(PIECE_BYTES)));
            }
        }
        Failure::Division => Instruction::Divide.execute(),
        Failure::Stack => {
            provoke::exhaust_stack();
        }
        Failure::DeepCalls => {
            black_box(deeper(black_box(0)));
        }
        Failure::Exit => gate::exit(ENDED),
        Failure::Loop => loop {
            core::hint::spin_loop();
        },
    }
}

/// System calls, each with a little less stack left.
#[expect(unconditional_recursion, reason = "that is how it ends")]
fn deeper(depth: u64) -> u64 {
    let room = black_box([depth; 64]);
    // The answer is of no interest, the way there is.
    let _ = black_box(process::this_process().info());
    deeper(depth + 1) + room.iter().sum::<u64>()
}

/// The server: what both placements start.
pub async fn main(mut env: Env) -> i32 {
    match run(&mut env).await {
        Ok(()) => 0,
        Err(what) => {
            log::error!("{what}");
            1
        }
    }
}

async fn run(env: &mut Env) -> Result<(), &'static str> {
    let name = env.argument(1).unwrap_or("echo");
    let endpoint: Endpoint = env.take(name).map_err(|_| "it was given no endpoint")?;
    let endpoint = Watched::endpoint(endpoint).map_err(|_| "its endpoint cannot be watched")?;
    // Without a manager nobody waits for that.
    if let Ok(manager) = env.take::<Endpoint>("manager") {
        say_ready(manager)
            .await
            .map_err(|_| "the manager does not listen")?;
    }
    serve_at_once(&endpoint, Arc::new(Serve(Echo)))
        .await
        .map_err(|_| "its endpoint was revoked")
}
