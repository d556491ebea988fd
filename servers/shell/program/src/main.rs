//! The shell as a process: on a terminal it was given, with the system's tables and the manager to ask.
//!
//! Handles: `terminal.*` (a channel of bytes, both ways, whose first message says what is there: [`proto::terminal`]), `system`, and
//! `manager`. Arguments, if that message is not right: `--script` for a program at the other end, `--columns N` and `--rows N`.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::sync::Arc;
use core::fmt;

use abi::Error;
use proto::TerminalInfo;
use proto::terminal::SCRIPT;
use rt::sys::env::Missing;
use rt::sys::message::Handles;
use rt::sys::object::{Channel, Endpoint, System};
use rt::unit::Manager;
use rt::{ByteChannel, Env};
use shell::{Config, Mode};
use shell_host::Host;

rt::entry!(async main);

/// Exit code of a shell that lacks something.
const CANNOT_BEGIN: i32 = 1;

enum CannotBegin {
    Handle(&'static str, Missing),
    NoTerminal,
    Step(&'static str, Error),
    Argument(&'static str),
}

impl fmt::Display for CannotBegin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Handle(name, missing) => write!(f, "{name}: {missing}"),
            Self::NoTerminal => f.write_str("no handle terminal.* was given"),
            Self::Step(step, error) => write!(f, "{step}: {error}"),
            Self::Argument(word) => write!(
                f,
                "bad argument {word:?}; they are --script, --columns NUMBER, --rows NUMBER"
            ),
        }
    }
}

async fn main(env: Env) -> i32 {
    match begin(env) {
        Ok((config, terminal, host)) => {
            // The terminal is gone: the manager starts another shell when there is another one.
            let closed = shell::run(config, &terminal, &terminal, &host).await;
            log::info!("{closed}");
            0
        }
        Err(error) => {
            log::error!("{error}");
            CANNOT_BEGIN
        }
    }
}

fn begin(mut env: Env) -> Result<(Config, ByteChannel, Host), CannotBegin> {
    let mut config = Config::default();
    let name = env.names().find(|name| name.starts_with("terminal."));
    let name = name.ok_or(CannotBegin::NoTerminal)?;
    let terminal = env.take::<Channel>(name);
    let terminal = terminal.map_err(|missing| CannotBegin::Handle(name, missing))?;
    at_the_other_end(&terminal, &mut config);
    arguments(&env, &mut config)?;
    let terminal = ByteChannel::new(terminal);
    let terminal = terminal.map_err(|error| CannotBegin::Step("opening the terminal", error))?;
    let system = env.take::<System>("system");
    let system = system.map_err(|missing| CannotBegin::Handle("system", missing))?;
    let manager = env.take::<Endpoint>("manager");
    let manager = manager.map_err(|missing| CannotBegin::Handle("manager", missing))?;
    let manager = Manager::new(manager);
    manager
        .say_ready()
        .map_err(|error| CannotBegin::Step("saying that it is ready", error))?;
    let host = Host::new(system, Arc::new(manager));
    let host = host.map_err(|error| CannotBegin::Step("opening the tables", error))?;
    Ok((config, terminal, host))
}

/// What the terminal's first message says. A channel without one is a terminal of the usual size.
fn at_the_other_end(terminal: &Channel, config: &mut Config) {
    let mut message = [0; size_of::<TerminalInfo>()];
    let read = terminal.read(&mut message, &mut Handles::new());
    let Some(info) = read.ok().and_then(|_| TerminalInfo::parse(&message)) else {
        return;
    };
    if info.columns > 0 && info.rows > 0 {
        config.columns = info.columns as usize;
        config.rows = info.rows as usize;
    }
    if info.flags & SCRIPT != 0 {
        config.mode = Mode::Script;
    }
}

fn arguments(env: &Env, config: &mut Config) -> Result<(), CannotBegin> {
    let mut words = env.arguments().skip(1);
    while let Some(word) = words.next() {
        let mut number = || {
            let number = words.next().and_then(|value| value.parse().ok());
            number.ok_or(CannotBegin::Argument(word))
        };
        match word {
            "--script" => config.mode = Mode::Script,
            "--columns" => config.columns = number()?,
            "--rows" => config.rows = number()?,
            _ => return Err(CannotBegin::Argument(word)),
        }
    }
    Ok(())
}
