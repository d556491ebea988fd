//! Ends as its argument says: `panic`, `exit CODE`, `null`, `stack`, `allocate`, or any instruction of
//! [`Instruction::ALL`](rt::sys::provoke::Instruction::ALL).
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::vec::Vec;

use rt::Env;
use rt::sys::provoke::{self, Instruction};

rt::entry!(main);

/// Exit code for an argument that is none of the ways to end.
const USAGE: i32 = 2;
/// Exit code of a program that should have ended.
const SURVIVED: i32 = 3;

fn main(env: Env) -> i32 {
    match env.argument(1) {
        Some("panic") => panic!("as asked"),
        Some("exit") => {
            return env
                .argument(2)
                .and_then(|code| code.parse().ok())
                .unwrap_or(USAGE);
        }
        Some("null") => log::error!("null holds {}", provoke::read(0)),
        Some("stack") => log::error!("the stack ends nowhere: {}", provoke::exhaust_stack()),
        Some("allocate") => log::error!(
            "{} bytes allocated",
            Vec::<u8>::with_capacity(1 << 50).capacity()
        ),
        Some(name) => match Instruction::ALL.iter().find(|(known, _)| *known == name) {
            Some((_, instruction)) => instruction.execute(),
            None => {
                log::error!("no such way to end: {name}");
                return USAGE;
            }
        },
        None => {
            log::error!("how to end is not said");
            return USAGE;
        }
    }
    SURVIVED
}
