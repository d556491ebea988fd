//! The table of commands, in the order `help` shows them.

use super::{Command, Id, OptionSpec};

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
        about: "list the processes and the tasks",
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
        name: "svc",
        operands: "[list | ACTION UNIT]",
        operand_counts: (0, 2),
        about: "list the units; status, start, stop, restart, kill, logs, enable, disable one",
        options: &[
            OptionSpec {
                short: Some('f'),
                long: "follow",
                value: None,
                choices: &[],
                about: "with logs: go on with new lines until Ctrl-C",
            },
            JSON,
        ],
        id: Id::Svc,
    },
    Command {
        name: "run",
        operands: "PROGRAM [ARGUMENT]...",
        operand_counts: (1, usize::MAX),
        about: "run a program; Ctrl-C kills it; its exit code is the status",
        options: &[],
        id: Id::Run,
    },
    Command {
        name: "kill",
        operands: "PROCESS [EXIT_CODE]",
        operand_counts: (1, 2),
        about: "end a process (a unit's is started again); `ps` shows their ids",
        options: &[],
        id: Id::Kill,
    },
    Command {
        name: "caps",
        operands: "PROCESS",
        operand_counts: (1, 1),
        about: "list the handles that a process holds",
        options: &[JSON],
        id: Id::Caps,
    },
    Command {
        name: "ip",
        operands: "[set INTERFACE ADDRESS/BITS [GATEWAY [NAMESERVER]] | dhcp INTERFACE | off INTERFACE]",
        operand_counts: (0, 5),
        about: "show the network's interfaces, addresses, routes; set one up",
        options: &[
            JSON,
        ],
        id: Id::Network,
    },
    Command {
        name: "ping",
        operands: "HOST",
        operand_counts: (1, 1),
        about: "ask a host for echoes",
        options: &[
            OptionSpec {
                short: Some('c'),
                long: "count",
                value: Some("COUNT"),
                choices: &[],
                about: "so many times (4)",
            },
            OptionSpec {
                short: Some('s'),
                long: "size",
                value: Some("BYTES"),
                choices: &[],
                about: "carrying so many bytes (56)",
            },

        ],
        id: Id::Network,
    },
    Command {
        name: "dns",
        operands: "NAME",
        operand_counts: (1, 1),
        about: "look up a name's addresses",
        options: &[

        ],
        id: Id::Network,
    },
    Command {
        name: "netstat",
        operands: "",
        operand_counts: NONE,
        about: "list the sockets",
        options: &[
            JSON,
        ],
        id: Id::Network,
    },
    Command {
        name: "nc",
        operands: "HOST PORT [TEXT]...",
        operand_counts: (1, 16),
        about: "connect, send the text, and print what comes",
        options: &[
            OptionSpec {
                short: Some('u'),
                long: "udp",
                value: None,
                choices: &[],
                about: "by datagrams",
            },
            OptionSpec {
                short: Some('l'),
                long: "listen",
                value: None,
                choices: &[],
                about: "at this port of ours instead: PORT [TEXT]...",
            },

        ],
        id: Id::Network,
    },
    Command {
        name: "curl",
        operands: "URL",
        operand_counts: (1, 1),
        about: "fetch a page over HTTP",
        options: &[
            OptionSpec {
                short: Some('i'),
                long: "head",
                value: None,
                choices: &[],
                about: "print the answer's status first",
            },
            OptionSpec {
                short: None,
                long: "sha256",
                value: None,
                choices: &[],
                about: "print the hash and length of the body in place of it",
            },

        ],
        id: Id::Network,
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
