//! What can be wrong with a manifest.

use alloc::string::String;
use core::fmt;

/// What is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestError {
    /// The file.
    pub file: String,
    /// The line, from 1; 0 if it is about the file as a whole.
    pub line: u32,
    /// The key, with its table's: `health.every`. Empty if there is none.
    pub key: String,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// It is no TOML.
    Syntax(String),
    /// The file's name is no unit's name.
    FileName,
    /// No manifest has such a key.
    UnknownKey,
    /// The key must be there.
    Missing,
    /// The value is of another type than this.
    Type(&'static str),
    /// The value is none of these.
    Choice(&'static str),
    /// A time, like `500 ms`, was expected.
    Duration,
    /// A size, like `64 KiB`, was expected.
    Size,
    /// The number is not within these.
    Range(u64, u64),
    /// Not a name: 1 to 31 of `a-z 0-9 - _ .`, beginning with a letter.
    Name(String),
    /// Not a device as manifests name them.
    Device(String),
    /// The name is there twice.
    Twice(String),
    /// The handle's name belongs to the runtime.
    Reserved(String),
    /// More entries than this.
    TooMany(usize),
    /// Longer than so many bytes.
    TooLong(usize),
    /// It is about a service that the unit does not use.
    NotUsed(String),
    /// It holds a zero byte.
    Zero,
    /// Deadline or budget do not fit into the period.
    Reservation,
    /// No unit of this name.
    NoUnit(String),
    /// No unit offers this service.
    NoService(String),
    /// Another unit offers the service, too.
    OfferedTwice(String),
    /// The units need each other in a circle; these.
    Cycle(String),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax(what) => write!(f, "not TOML: {what}"),
            Self::FileName => f.write_str(
                "the file's name is no unit's: 1 to 31 of a-z 0-9 - _ . and first a letter",
            ),
            Self::UnknownKey => f.write_str("no manifest has such a key"),
            Self::Missing => f.write_str("must be there"),
            Self::Type(wanted) => write!(f, "must be {wanted}"),
            Self::Choice(choices) => write!(f, "must be one of {choices}"),
            Self::Duration => f.write_str("must be a time like \"500 ms\" (ns, us, ms or s)"),
            Self::Size => f.write_str("must be a size like \"64 KiB\" (B, KiB, MiB or GiB)"),
            Self::Range(from, to) => write!(f, "must be {from} to {to}"),
            Self::Name(name) => write!(
                f,
                "{name:?} is no name: 1 to 31 of a-z 0-9 - _ . and first a letter"
            ),
            Self::Device(name) => write!(
                f,
                "{name:?} is no device: virtio-net, virtio-block, virtio-gpu, virtio-input, i8042, or like 8086:10d3 or 0000:00:03.0"
            ),
            Self::Twice(name) => write!(f, "{name:?} is there twice"),
            Self::Reserved(name) => write!(f, "every process has {name:?} already"),
            Self::TooMany(most) => write!(f, "more than {most} entries"),
            Self::TooLong(most) => write!(f, "longer than {most} bytes"),
            Self::NotUsed(service) => {
                write!(f, "{service:?} is neither in uses nor in may-use")
            }
            Self::Zero => f.write_str("holds a zero byte"),
            Self::Reservation => {
                f.write_str("budget must be at most the deadline, and that at most the period")
            }
            Self::NoUnit(name) => write!(f, "there is no unit {name:?}"),
            Self::NoService(name) => write!(f, "no unit offers {name:?}"),
            Self::OfferedTwice(unit) => write!(f, "the unit {unit:?} offers the same"),
            Self::Cycle(units) => write!(f, "these need each other in a circle: {units}"),
        }
    }
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line != 0 {
            write!(f, ":{}", self.line)?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.problem)
    }
}

impl core::error::Error for ManifestError {}
