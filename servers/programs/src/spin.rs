//! Runs for ever, or for as many milliseconds as its argument says, without a system call.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use rt::Env;
use rt::sys::{clock, provoke};

rt::entry!(main);

fn main(env: Env) -> i32 {
    let Some(milliseconds) = env.argument(1).and_then(|text| text.parse::<u64>().ok()) else {
        provoke::spin()
    };
    let end_ns = clock::now_ns().saturating_add(milliseconds.saturating_mul(1_000_000));
    while clock::now_ns() < end_ns {
        core::hint::spin_loop();
    }
    0
}
