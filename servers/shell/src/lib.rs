//! The shell: a person's and a script's way to ask the system.
//!
//! [`run`] reads from a [`rt::ByteSource`], writes to a [`rt::ByteSink`] and asks a
//! [`Host`]; it knows nothing else. One shell runs on each terminal.
//!
//! From the outside in:
//! * `session`: the loop: a line in, its commands run, a status kept.
//! * `input`, [`keys`], [`editor`], `history`, `complete`: from bytes to a line.
//! * [`parse`]: from a line to words.
//! * `commands`: what the words can say; one table of names, options and help.
//! * `output`, [`json`], `units`: back to bytes.
//!
//! **Script mode** ([`Mode::Script`]) is for a program at the other end: no echo, no prompt, lines
//! end with `\n`. The shell writes [`MARK`] `ready\n` when it takes input, and after each line's
//! output [`MARK`], the status in decimal, and `\n`.
//!
//! With `--json` a table is one JSON object on each line, for a row; other answers are one object.
//!
//! What must hold:
//! * No allocation: fixed buffers, and output goes through one of them with back-pressure.
//! * No input does harm: over-long lines, bytes that are not UTF-8, unknown commands and options are
//!   answered with a message and a status, and the shell goes on.
//! * Every long command ends on Ctrl-C, and what was typed ahead of it is not lost otherwise.
#![no_std]
#![forbid(unsafe_code)]

mod commands;
mod complete;
pub mod editor;
mod history;
mod input;
pub mod json;
pub mod keys;
mod output;
pub mod parse;
mod session;
mod units;

use proto::{Services, System};
use rt::{ByteSink, ByteSource, Closed};

/// Longest line, in bytes.
pub const MAX_LINE_BYTES: usize = 1024;
/// Comes before everything the shell says about itself in script mode (ASCII "record separator").
pub const MARK: char = '\u{1e}';

/// The statuses a command can end with, beside its own.
pub mod status {
    /// All is well.
    pub const OK: u8 = 0;
    /// The command failed.
    pub const FAILED: u8 = 1;
    /// The command was not used as its usage line says.
    pub const USAGE: u8 = 2;
    /// There is no such command.
    pub const UNKNOWN: u8 = 127;
    // Of `run`: 137 for a program that was killed, 134 for one that crashed.
    /// The command was ended by Ctrl-C.
    pub const INTERRUPTED: u8 = 130;
}

/// Who is at the other end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// A person at a terminal.
    #[default]
    Interactive,
    /// A program.
    Script,
}

/// How a shell is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Who is at the other end.
    pub mode: Mode,
    /// Columns of the terminal; 80 where that is not known.
    pub columns: usize,
    /// Rows of the terminal; 24 where that is not known.
    pub rows: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            mode: Mode::Interactive,
            columns: 80,
            rows: 24,
        }
    }
}

/// What a shell asks: the system and the manager of its units.
pub trait Host: System + Services {}

impl<S: System + Services> Host for S {}

/// Runs a shell until one of its streams is closed by the other side; there is no other end.
pub async fn run<I: ByteSource, O: ByteSink, S: Host>(
    config: Config,
    input: &I,
    output: &O,
    system: &S,
) -> Closed {
    let mut session = session::Session::new(config, input, output, system);
    session.run().await
}
