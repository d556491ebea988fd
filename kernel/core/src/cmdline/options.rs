//! The one table of kernel options.

use core::fmt;

/// What an option takes as its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// A number ([`super::parse_number`]).
    Number,
    /// On or off; the key alone means on.
    Flag,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// Any text, described by the option's help.
    Text,
}

impl fmt::Display for Takes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number => {
                f.write_str("a number, decimal or 0x hexadecimal, with K, M, G or T if wanted")
            }
            Self::Flag => f.write_str("on or off"),
            Self::OneOf(choices) => {
                f.write_str("one of")?;
                choices.iter().try_for_each(|choice| write!(f, " {choice}"))
            }
            Self::Text => f.write_str("a text"),
        }
    }
}

/// How often an option may be given, and how its name is matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occurs {
    /// Once; a later one replaces an earlier one.
    Once,
    /// Any number of times.
    Repeated,
    /// The name is a prefix that a name of the caller's choosing follows.
    Prefix,
}

/// One option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownOption {
    /// The key, or the prefix of keys.
    pub name: &'static str,
    /// What it takes.
    pub takes: Takes,
    /// How often it may be given.
    pub occurs: Occurs,
    /// One line of help.
    pub help: &'static str,
}

/// The severities of `loglevel=`, in the order of [`log::LevelFilter`].
pub const LOG_LEVELS: &[&str] = &["off", "error", "warn", "info", "debug", "trace"];
/// What `panic=` can be.
pub const PANIC_ACTIONS: &[&str] = &["halt", "reboot", "poweroff"];
/// What `shell.serial=` can be. `script` is what `scripts/run --exec` talks to.
pub const SERIAL_SHELLS: &[&str] = &["on", "off", "script"];

const fn option(
    name: &'static str,
    takes: Takes,
    occurs: Occurs,
    help: &'static str,
) -> KnownOption {
    KnownOption {
        name,
        takes,
        occurs,
        help,
    }
}

/// Every option the kernel knows, by name.
pub const OPTIONS: &[KnownOption] = {
    use Occurs::{Once, Prefix, Repeated};
    use Takes::{Flag, Number, OneOf, Text};
    &[
        option(
            "acpi_rsdp",
            Number,
            Once,
            "physical address of the ACPI root pointer, tried before the firmware's",
        ),
        option("bench.", Text, Prefix, "settings of the measuring probes"),
        option(
            "init",
            Text,
            Once,
            "the first program, with its arguments (the manager's: units to start), in place of the manager; off: none",
        ),
        #[cfg(feature = "inject")]
        option(
            "inject",
            Text,
            Repeated,
            "METRIC:AMOUNT, a delay on purpose in that metric's path, in instructions",
        ),
        option(
            "kaslr",
            Flag,
            Once,
            "choose base addresses at random (on) or use the fixed ones (off)",
        ),
        option(
            "keymap",
            Text,
            Once,
            "layout of the keyboard, such as us or de",
        ),
        option(
            "log.serial",
            Flag,
            Once,
            "write the log to the first serial port",
        ),
        option(
            "loglevel",
            OneOf(LOG_LEVELS),
            Once,
            "least severe messages that are logged",
        ),
        option(
            "mem_limit",
            Number,
            Once,
            "bytes of memory to use at most, lowest addresses first",
        ),
        option(
            "panic",
            OneOf(PANIC_ACTIONS),
            Once,
            "what to do after a panic was reported",
        ),
        option(
            "screen",
            OneOf(&["desktop", "text"]),
            Once,
            "what the screen shows: windows, or the shell alone (the default)",
        ),
        option("selftest", Text, Repeated, "run the named test after boot"),
        option(
            "shell.serial",
            OneOf(SERIAL_SHELLS),
            Once,
            "the shell on the first serial port; script: no echo, no prompt, no log, statuses marked for programs",
        ),
        option("smp", Number, Once, "cores to use at most"),
        option(
            "watchdog",
            Flag,
            Once,
            "watch for cores stuck with interrupts off and for long polls",
        ),
        option(
            "x2apic",
            Flag,
            Once,
            "use the processor's x2APIC mode (by default: where APIC ids need it, and in virtual machines)",
        ),
    ]
};

/// The option that `key` names.
pub fn find(key: &str) -> Option<&'static KnownOption> {
    OPTIONS.iter().find(|option| match option.occurs {
        Occurs::Prefix => key.len() > option.name.len() && key.starts_with(option.name),
        Occurs::Once | Occurs::Repeated => key == option.name,
    })
}
