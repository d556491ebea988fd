//! The commands: one table, and a file for each family.

mod devices;
mod general;
mod help;
mod log;
mod machine;
mod options;
mod tasks;
mod top;

use proto::System;
use rt::{ByteSink, ByteSource, Closed};

use crate::output::put;
use crate::parse::Words;
use crate::session::Session;
use crate::status;
use options::Parsed;

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
}

const JSON: OptionSpec = OptionSpec {
    short: None,
    long: "json",
    value: None,
    choices: &[],
    about: "print JSON, an object on each line",
};

const NONE: (usize, usize) = (0, 0);
const ANY: (usize, usize) = (0, usize::MAX);

/// All commands, in the order `help` shows them.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "help",
        operands: "[COMMAND]",
        operand_counts: (0, 1),
        about: "list the commands, or show one's usage",
        options: &[JSON],
        id: Id::Help,
    },
    Command {
        name: "version",
        operands: "",
        operand_counts: NONE,
        about: "what runs, on what, and how it was booted",
        options: &[JSON],
        id: Id::Version,
    },
    Command {
        name: "ps",
        operands: "",
        operand_counts: NONE,
        about: "list the tasks",
        options: &[JSON],
        id: Id::Ps,
    },
    Command {
        name: "top",
        operands: "",
        operand_counts: NONE,
        about: "watch cores and tasks; q or Ctrl-C ends it",
        options: &[
            OptionSpec {
                short: Some('n'),
                long: "count",
                value: Some("COUNT"),
                choices: &[],
                about: "end after COUNT refreshes",
            },
            OptionSpec {
                short: Some('d'),
                long: "delay",
                value: Some("SECONDS"),
                choices: &[],
                about: "refresh every SECONDS (1)",
            },
            OptionSpec {
                about: "print one snapshot as JSON",
                ..JSON
            },
        ],
        id: Id::Top,
    },
    Command {
        name: "cores",
        operands: "",
        operand_counts: NONE,
        about: "list the cores",
        options: &[JSON],
        id: Id::Cores,
    },
    Command {
        name: "irq",
        operands: "",
        operand_counts: NONE,
        about: "list the interrupts, by core",
        options: &[JSON],
        id: Id::Irq,
    },
    Command {
        name: "mem",
        operands: "",
        operand_counts: NONE,
        about: "show memory and the kernel heap",
        options: &[JSON],
        id: Id::Mem,
    },
    Command {
        name: "pci",
        operands: "",
        operand_counts: NONE,
        about: "list the PCI functions",
        options: &[JSON],
        id: Id::Pci,
    },
    Command {
        name: "dmesg",
        operands: "",
        operand_counts: NONE,
        about: "show the log",
        options: &[
            OptionSpec {
                short: Some('l'),
                long: "level",
                value: Some("LEVEL"),
                choices: &["error", "warn", "info", "debug", "trace"],
                about: "only records as grave as LEVEL or graver",
            },
            OptionSpec {
                short: Some('f'),
                long: "follow",
                value: None,
                choices: &[],
                about: "go on with new records until Ctrl-C",
            },
            OptionSpec { ..JSON },
        ],
        id: Id::Dmesg,
    },
    Command {
        name: "time",
        operands: "",
        operand_counts: NONE,
        about: "show uptime, time of day and the clock",
        options: &[JSON],
        id: Id::Time,
    },
    Command {
        name: "sleep",
        operands: "SECONDS",
        operand_counts: (1, 1),
        about: "wait; decimals are understood; Ctrl-C ends it",
        options: &[],
        id: Id::Sleep,
    },
    Command {
        name: "echo",
        operands: "[WORD]...",
        operand_counts: ANY,
        about: "print the words; $? is the status of the command before",
        options: &[],
        id: Id::Echo,
    },
    Command {
        name: "poweroff",
        operands: "",
        operand_counts: NONE,
        about: "power the machine off",
        options: &[],
        id: Id::Poweroff,
    },
    Command {
        name: "reboot",
        operands: "",
        operand_counts: NONE,
        about: "restart the machine",
        options: &[],
        id: Id::Reboot,
    },
    Command {
        name: "panic",
        operands: "[TEXT]...",
        operand_counts: ANY,
        about: "panic the kernel, to see its report",
        options: &[OptionSpec {
            short: Some('y'),
            long: "yes",
            value: None,
            choices: &[],
            about: "do not ask",
        }],
        id: Id::Panic,
    },
];

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
pub async fn execute<I: ByteSource, O: ByteSink, S: System>(
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
    }
}
