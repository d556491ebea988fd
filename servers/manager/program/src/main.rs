//! The first process: see the library.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use manager::world::Manager;
use rt::Env;

rt::entry!(main);

/// Exit code of a manager that cannot begin.
const CANNOT_BEGIN: i32 = 1;
/// Exit code of one whose port failed.
const PORT_FAILED: i32 = 2;

fn main(env: Env) -> i32 {
    match Manager::begin(env) {
        Ok(mut manager) => {
            let error = manager.run();
            log::error!("the manager's port failed: {error}");
            PORT_FAILED
        }
        Err(error) => {
            log::error!("{error}");
            CANNOT_BEGIN
        }
    }
}
