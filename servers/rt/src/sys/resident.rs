//! A resident server's beginning: what the kernel calls, inside of the server's first poll, instead of jumping to a first instruction.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::future::Future;
use core::pin::Pin;

use super::env::{BAD_START, Env};
use super::gate::{self, Task};
use zerocopy::IntoBytes;

/// A server's main task.
pub type Main = Pin<Box<dyn Future<Output = i32> + Send>>;

/// The main task of a server whose crate's async entry `main` makes, from a start block that is copied into the server's memory. What
/// it ends with is the process's exit code.
///
/// Out of memory, this panics, which ends the server and nobody else.
#[must_use]
pub fn begin(main: fn(Env) -> Main, block: &[u64]) -> Task {
    // It goes with all of the server's memory.
    let block: &'static mut [u64] = Vec::from(block).leak();
    match Env::resident(block.as_bytes()) {
        Ok(env) => Box::pin(async move { gate::exit(main(env).await) }),
        Err(_) => gate::exit(BAD_START),
    }
}
