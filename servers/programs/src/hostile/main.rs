//! Attacks on the kernel, one for each run: `hostile NAME`.
//!
//! Each attack expects to end the process ([`Expect::Crash`]), to be refused with one of the documented errors
//! ([`Expect::Refused`]), or to see that something did not give ([`Expect::Holds`]). Exit codes: 0 as expected (an attack that is
//! expected to crash has none), 1 not so, 2 no such attack, 3 survived what should have ended it.
//!
//! `hostile suite` makes all of them, each in a process of its own; `hostile all` makes all that return, in one process;
//! `hostile list` logs all names, each with `crash` or `return`.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

mod arguments;
mod driven;
mod drivers;
mod exceptions;
mod floods;
mod handles;
mod memory;
mod processor;
mod races;
mod suite;

use abi::{Call, Error};
use rt::Env;
use rt::sys::provoke;

rt::entry!(main);

const UNEXPECTED: i32 = 1;
const USAGE: i32 = 2;
const SURVIVED: i32 = 3;

/// What an attack came to.
type Outcome = Result<u64, Error>;

/// What an attack should come to.
#[derive(Clone, Copy, Debug)]
enum Expect {
    /// The process's end, as a crash.
    Crash,
    /// One of these errors.
    Refused(&'static [Error]),
    /// `Ok(0)`: what the attack looks at is as it should be.
    Holds,
}

/// An attack.
struct Attack {
    name: &'static str,
    expect: Expect,
    run: fn() -> Outcome,
}

impl Attack {
    const fn crash(name: &'static str, run: fn() -> Outcome) -> Self {
        Self {
            name,
            expect: Expect::Crash,
            run,
        }
    }

    const fn refused(name: &'static str, errors: &'static [Error], run: fn() -> Outcome) -> Self {
        Self {
            name,
            expect: Expect::Refused(errors),
            run,
        }
    }

    const fn holds(name: &'static str, run: fn() -> Outcome) -> Self {
        Self {
            name,
            expect: Expect::Holds,
            run,
        }
    }
}

/// A raw system call.
fn call<const N: usize>(call: Call, arguments: [u64; N]) -> Outcome {
    let mut six = [0; 6];
    for (to, from) in six.iter_mut().zip(arguments) {
        *to = from;
    }
    Error::check(provoke::call(call as u64, six).0)
}

/// `Ok(0)` if so.
fn holds(condition: bool) -> Outcome {
    Ok(u64::from(!condition))
}

fn attacks() -> impl Iterator<Item = &'static Attack> {
    [
        memory::ATTACKS,
        handles::ATTACKS,
        arguments::ATTACKS,
        processor::ATTACKS,
        floods::ATTACKS,
        races::ATTACKS,
        driven::ATTACKS,
        drivers::ATTACKS,
        exceptions::ATTACKS,
    ]
    .into_iter()
    .flatten()
}

fn main(env: Env) -> i32 {
    match env.argument(1) {
        Some("list") => {
            for attack in attacks() {
                log::info!("{} {}", attack.name, returns(attack.expect));
            }
            for name in processor::instruction_names() {
                log::info!("{name} crash");
            }
            0
        }
        Some("suite") => suite::run(env),
        Some("all") => attacks()
            .filter(|attack| !matches!(attack.expect, Expect::Crash))
            .map(make)
            .max()
            .unwrap_or(USAGE),
        Some(name) => match attacks().find(|attack| attack.name == name) {
            Some(attack) => make(attack),
            None if processor::execute(name) => {
                log::error!("{name}: survived");
                SURVIVED
            }
            None => {
                log::error!("no such attack: {name}");
                USAGE
            }
        },
        None => {
            log::error!("which attack? `hostile list` names them");
            USAGE
        }
    }
}

const fn returns(expect: Expect) -> &'static str {
    match expect {
        Expect::Crash => "crash",
        Expect::Refused(_) | Expect::Holds => "return",
    }
}

/// Makes an attack and judges it.
fn make(attack: &Attack) -> i32 {
    let name = attack.name;
    let outcome = (attack.run)();
    match (attack.expect, outcome) {
        (Expect::Refused(errors), Err(error)) if errors.contains(&error) => {
            log::info!("{name}: refused: {error}");
            0
        }
        (Expect::Holds, Ok(0)) => {
            log::info!("{name}: holds");
            0
        }
        (Expect::Crash, outcome) => {
            log::error!("{name}: survived with {outcome:?}");
            SURVIVED
        }
        (expect, outcome) => {
            log::error!("{name}: {outcome:?} instead of {expect:?}");
            UNEXPECTED
        }
    }
}
