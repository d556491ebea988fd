//! The commands: one table ([`table`]), and a file for each family.

mod devices;
mod general;
mod help;
mod log;
mod machine;
mod network;
mod options;
mod processes;
mod run;
mod svc;
mod table;
mod tasks;
mod top;

use rt::{ByteSink, ByteSource, Closed};

use crate::Host;
use crate::output::put;
use crate::parse::Words;
use crate::session::Session;
use crate::status;
use options::Parsed;
pub use svc::WORDS as SVC_WORDS;
pub use table::COMMANDS;

/// An option of a command.
pub struct OptionSpec {
    /// Its letter, if it has one.
    pub short: Option<char>,
    /// Its long name.
    pub long: &'static str,
    /// What its value is called, if it takes one.
    pub value: Option<&'static str>,
    /// The words its value may be; empty if any.
    pub choices: &'static [&'static str],
    /// What it does.
    pub about: &'static str,
}

/// A command.
pub struct Command {
    /// Its name.
    pub name: &'static str,
    /// What may follow its options.
    pub operands: &'static str,
    /// Fewest and most operands.
    pub operand_counts: (usize, usize),
    /// What it does, in a few words.
    pub about: &'static str,
    /// Its options, without `--help`, which all have.
    pub options: &'static [OptionSpec],
    id: Id,
}

#[derive(Clone, Copy)]
enum Id {
    Help,
    Version,
    Ps,
    Top,
    Cores,
    Irq,
    Mem,
    Pci,
    Dmesg,
    Time,
    Sleep,
    Echo,
    Poweroff,
    Reboot,
    Panic,
    Svc,
    Caps,
    Kill,
    Run,
    Network,
}

impl Command {
    /// The command named `name`.
    pub fn find(name: &str) -> Option<&'static Self> {
        COMMANDS.iter().find(|command| command.name == name)
    }

    /// The option written as `word`: `--long` or `-s`.
    pub fn option(&self, word: &str) -> Option<&'static OptionSpec> {
        self.options
            .iter()
            .find(|option| match word.strip_prefix("--") {
                Some(long) => option.long == long,
                None => {
                    let mut letters = word.strip_prefix('-').unwrap_or_default().chars();
                    option.short.is_some()
                        && letters.next() == option.short
                        && letters.next().is_none()
                }
            })
    }
}

/// Runs the command `words` says; gives its status.
pub async fn execute<I: ByteSource, O: ByteSink, S: Host>(
    session: &mut Session<'_, I, O, S>,
    words: &Words,
) -> Result<u8, Closed> {
    let name = words.get(0).unwrap_or_default();
    let Some(command) = Command::find(name) else {
        help::unknown(&mut session.output, name);
        return Ok(status::UNKNOWN);
    };
    let parsed = match Parsed::new(command, words) {
        Ok(parsed) => parsed,
        Err(error) => {
            put!(session.output, "{name}: {error}\n");
            help::usage_line(&mut session.output, command);
            return Ok(status::USAGE);
        }
    };
    if parsed.help {
        help::usage(&mut session.output, command);
        return Ok(status::OK);
    }
    match command.id {
        Id::Help => help::help(session, &parsed).await,
        Id::Version => general::version(session, &parsed).await,
        Id::Time => general::time(session, &parsed).await,
        Id::Echo => Ok(general::echo(session, &parsed)),
        Id::Ps => tasks::ps(session, &parsed).await,
        Id::Cores => tasks::cores(session, &parsed).await,
        Id::Top => top::top(session, &parsed).await,
        Id::Irq => devices::irq(session, &parsed).await,
        Id::Pci => devices::pci(session, &parsed).await,
        Id::Mem => general::mem(session, &parsed).await,
        Id::Dmesg => log::dmesg(session, &parsed).await,
        Id::Sleep => machine::sleep(session, command, &parsed).await,
        Id::Poweroff => machine::poweroff(session).await,
        Id::Reboot => machine::reboot(session).await,
        Id::Panic => machine::panic(session, &parsed).await,
        Id::Svc => svc::svc(session, command, &parsed).await,
        Id::Caps => processes::caps(session, command, &parsed).await,
        Id::Kill => processes::kill(session, command, &parsed).await,
        Id::Run => run::run(session, &parsed).await,
        Id::Network => network::network(session, command, &parsed).await,
    }
}
