//! Says hello with its arguments, and exits with the number that the first one is.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use rt::Env;

rt::entry!(main);

fn main(env: Env) -> i32 {
    log::info!("hello from ring 3");
    for (index, argument) in env.arguments().enumerate() {
        log::info!("argument {index}: {argument}");
    }
    env.argument(1)
        .and_then(|argument| argument.parse().ok())
        .unwrap_or(0)
}
