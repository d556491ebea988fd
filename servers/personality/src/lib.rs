//! A server that runs a program of another system, by driving its threads: the proof that another system's processes need nothing of
//! the kernel but that, wherever the server is placed.
//!
//! - [`linux`]: as much of Linux as the program `foreign` asks for. [`checks`]: what is looked at while it runs.
//! - [`raw_code`]: a driven thread in a process of one page, for tests. [`cost`]: what a foreign system call costs.
//!
//! Each foreign process has a task, which drives its thread. Needs the program's file as the vmo `program`; exits with how many checks
//! failed, each of which is logged as an error. With the argument `cost` it measures instead.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod checks;
mod cost;
mod linux;
pub mod raw_code;

use rt::Env;
use rt::launch::read_all;
use rt::sys::object::Vmo;

/// Exit code without a program.
const NO_PROGRAM: i32 = 100;

/// Makes all checks with the program's file; how many failed.
pub async fn run(file: &[u8]) -> i32 {
    checks::all(file).await
}

/// The server: what both placements start.
pub async fn main(mut env: Env) -> i32 {
    if env.argument(1) == Some("cost") {
        return match cost::measure().await {
            Ok(()) => 0,
            Err(error) => {
                log::error!("{error}");
                1
            }
        };
    }
    let file = env.take::<Vmo>("program").map(|vmo| read_all(&vmo));
    match file {
        Ok(Ok(file)) => run(&file).await,
        Ok(Err(error)) => {
            log::error!("the program cannot be read: {error}");
            NO_PROGRAM
        }
        Err(missing) => {
            log::error!("{missing}");
            NO_PROGRAM
        }
    }
}
