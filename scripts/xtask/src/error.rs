//! What can go wrong in the tools, each with what to do about it.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// A failure of a tool: what happened, where, and what the person at the terminal can do.
#[derive(Debug)]
pub enum Error {
    /// The command line makes no sense. The text says which part.
    Usage(String),
    /// An operating-system call failed while doing `doing`.
    Io {
        /// What was being done, with the path.
        doing: String,
        /// The system's answer.
        source: io::Error,
    },
    /// A program ended unsuccessfully.
    Command {
        /// The program and its arguments.
        command: String,
        /// Its exit status, as the system words it.
        status: String,
        /// Its last words, if they were captured.
        output: String,
    },
    /// A program, package or file that the action needs is not there.
    Missing {
        /// What is missing.
        what: String,
        /// How to get it.
        fix: String,
    },
    /// A file is not what it has to be.
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// QEMU ended or refused something.
    Qemu(String),
    /// Something awaited did not come in time.
    Timeout {
        /// What was awaited.
        awaited: String,
        /// How long, in seconds.
        seconds: u64,
    },
}

/// A result of the tools.
pub type Result<T> = std::result::Result<T, Error>;

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Usage(text) => write!(f, "{text} (see --help)"),
            Error::Io { doing, source } => write!(f, "{doing}: {source}"),
            Error::Command {
                command,
                status,
                output,
            } => {
                write!(f, "`{command}` failed: {status}")?;
                if !output.is_empty() {
                    write!(f, "\n{}", output.trim_end())?;
                }
                Ok(())
            }
            Error::Missing { what, fix } => write!(f, "{what} is missing: {fix}"),
            Error::Format { path, problem } => write!(f, "{}: {problem}", path.display()),
            Error::Qemu(text) => write!(f, "QEMU: {text}"),
            Error::Timeout { awaited, seconds } => {
                write!(f, "{awaited}: nothing within {seconds} s")
            }
        }
    }
}

impl std::error::Error for Error {}

/// Adds what was being done to an I/O error.
pub trait Doing<T> {
    /// Turns the error into [`Error::Io`]; `what` is only evaluated on failure.
    fn doing(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| Error::Io {
            doing: what(),
            source,
        })
    }
}
