//! Units for tests of the manager; the argument says which.
//!
//! * `counter`: serves `counter`. A call `[0, ..]` reads, `[1, ticket, ..]` adds one if the ticket is newer than the last; both answer
//!   `[sum, generation]`. The sum lies in the state vmo `cells`, so that the next instance counts on.
//! * `metronome`: serves `metronome`. Works in each period of its reservation; a call answers how many deadlines it met and missed.
//! * `beats`: asks `metronome` and logs its answer.
//! * `exits CODE`: says that it is ready and ends with that code. `early COUNT`: so many instances die before they are ready.
//! * `sick`: its first instance stops saying that it is well. `polite`: ends when asked. `stubborn`: does not.
//! * `idle`: is ready, and that is all.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

mod metronome;

use abi::message::{WORDS, Words};
use abi::{Error, FOREVER};
use rt::Env;
use rt::sys::clock;
use rt::sys::endpoint::{Body, Token};
use rt::sys::env::Missing;
use rt::sys::object::{Endpoint, Notification, Vmo};
use rt::unit::Manager;

rt::entry!(main);

/// Exit code of a unit that lacks something, or does not know what to be.
const CANNOT: i32 = 9;
/// Exit code of an instance that dies before it is ready.
const EARLY: i32 = 3;
/// How often the unwell one says that it is well.
const ALIVE_NS: u64 = 20_000_000;

/// Why it cannot be what it shall be.
enum Cannot {
    Lacks(&'static str, Missing),
    Fails(&'static str, Error),
    Unknown,
}

type Be = Result<i32, Cannot>;

fn main(mut env: Env) -> i32 {
    let number = |env: &Env| {
        let text = env.argument(2)?;
        text.parse().ok()
    };
    let manager = match env.take("manager") {
        Ok(endpoint) => Manager::new(endpoint),
        Err(missing) => return report(&Cannot::Lacks("manager", missing)),
    };
    let outcome = match env.argument(1) {
        Some("counter") => counter(env, &manager),
        Some("metronome") => metronome::run(env, manager),
        Some("beats") => beats(env, &manager),
        Some("exits") => ready(&manager).map(|()| number(&env).unwrap_or(0)),
        Some("early") => early(&env, &manager, number(&env).unwrap_or(0)),
        Some("sick") => sick(&env, &manager),
        Some("polite") => polite(env, &manager),
        Some("stubborn" | "idle") => ready(&manager).and_then(|()| wait_for_ever()),
        _ => Err(Cannot::Unknown),
    };
    outcome.unwrap_or_else(|cannot| report(&cannot))
}

fn report(cannot: &Cannot) -> i32 {
    match cannot {
        Cannot::Lacks(name, missing) => log::error!("{name}: {missing}"),
        Cannot::Fails(step, error) => log::error!("{step}: {error}"),
        Cannot::Unknown => log::error!("no such unit for tests"),
    }
    CANNOT
}

fn at(step: &'static str) -> impl Fn(Error) -> Cannot {
    move |error| Cannot::Fails(step, error)
}

fn ready(manager: &Manager) -> Result<(), Cannot> {
    manager.say_ready().map(drop).map_err(at("saying ready"))
}

fn wait_for_ever() -> Be {
    Sleeper::new()?.until(FOREVER)?;
    Ok(0)
}

/// Sleeps with a whole thread: a notification that nobody signals.
struct Sleeper(Notification);

impl Sleeper {
    fn new() -> Result<Self, Cannot> {
        let never = Notification::create().map_err(at("making a notification"))?;
        Ok(Self(never))
    }

    /// Sleeps until this time of the monotonic clock.
    fn until(&self, deadline_ns: u64) -> Result<(), Cannot> {
        match self.0.take_blocking(deadline_ns) {
            Ok(_) | Err(Error::TimedOut | Error::WouldWait) => Ok(()),
            Err(error) => Err(Cannot::Fails("sleeping", error)),
        }
    }
}

/// How the metronome did since somebody asked.
fn beats(mut env: Env, manager: &Manager) -> Be {
    let endpoint = env.take::<Endpoint>("metronome");
    let endpoint = endpoint.map_err(|missing| Cannot::Lacks("metronome", missing))?;
    ready(manager)?;
    let [met, missed, worst_ns, ..] = endpoint
        .call_blocking(FOREVER, &[0; WORDS])
        .map_err(at("asking the metronome"))?;
    log::info!(
        "{met} deadlines met, {missed} missed, longest beat {} us",
        worst_ns / 1000
    );
    Ok(0)
}

fn early(env: &Env, manager: &Manager, count: i32) -> Be {
    if env.generation() < count.unsigned_abs() {
        return Ok(EARLY);
    }
    ready(manager)?;
    wait_for_ever()
}

fn sick(env: &Env, manager: &Manager) -> Be {
    ready(manager)?;
    let first = env.generation() == 0;
    let sleeper = Sleeper::new()?;
    for beat in 1_u64.. {
        if first && beat > 5 {
            return wait_for_ever();
        }
        sleeper.until(clock::now_ns() + ALIVE_NS)?;
        manager.say_alive().map_err(at("saying alive"))?;
    }
    Ok(0)
}

fn polite(mut env: Env, manager: &Manager) -> Be {
    let stop = env.take::<Notification>("stop");
    let stop = stop.map_err(|missing| Cannot::Lacks("stop", missing))?;
    ready(manager)?;
    stop.take_blocking(FOREVER)
        .map_err(at("waiting for the end"))?;
    rt::sys::log::print(format_args!("asked to end\n"));
    Ok(0)
}

/// Words of the cells: the sum, and the last ticket that was added.
type Cells = [u64; 2];

fn counter(mut env: Env, manager: &Manager) -> Be {
    let endpoint = env.take::<Endpoint>("counter");
    let endpoint = endpoint.map_err(|missing| Cannot::Lacks("counter", missing))?;
    let cells = env.take::<Vmo>("cells");
    let cells = cells.map_err(|missing| Cannot::Lacks("cells", missing))?;
    let generation = u64::from(env.generation());
    ready(manager)?;
    let mut answer: Option<(Token, Words)> = None;
    loop {
        let call = match answer.take() {
            Some((token, words)) => token.reply_receive_blocking(&words, &endpoint),
            None => endpoint.receive_blocking(FOREVER),
        };
        let call = call.map_err(at("receiving"))?;
        if let Body::Words([request, ticket, ..]) = call.body {
            let sum = count(&cells, request == 1, ticket).map_err(at("counting"))?;
            let mut words = [0; WORDS];
            words[0] = sum;
            words[1] = generation;
            answer = Some((call.token, words));
        }
    }
}

/// Adds one for a new ticket, with one write, so that an instance that dies over it has added or not; the sum.
fn count(vmo: &Vmo, add: bool, ticket: u64) -> Result<u64, Error> {
    let mut bytes = [0; size_of::<Cells>()];
    vmo.read(0, &mut bytes)?;
    let (sum, last) = bytes.split_at(8);
    let word = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_le_bytes);
    let (sum, last) = (word(sum), word(last));
    if !add || ticket <= last {
        return Ok(sum);
    }
    let mut bytes = [0; size_of::<Cells>()];
    for (place, byte) in bytes.iter_mut().zip(
        (sum + 1)
            .to_le_bytes()
            .into_iter()
            .chain(ticket.to_le_bytes()),
    ) {
        *place = byte;
    }
    vmo.write(0, &bytes)?;
    Ok(sum + 1)
}
