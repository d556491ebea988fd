//! The first process: see the library.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use manager::world::Manager;
use rt::Env;
use rt::sys::gate::exit;

rt::entry!(main);

/// Exit code of a manager whose port failed.
const PORT_FAILED: i32 = 2;

fn main(env: Env) -> i32 {
    let mut manager = Manager::begin(env);
    let error = manager.run();
    log::error!("the manager's port failed: {error}");
    // Nothing is dropped: the next instance needs the handles.
    exit(PORT_FAILED)
}
