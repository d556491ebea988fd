//! What can be wrong with a card.

use core::fmt;

/// Why a card cannot be driven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A part of it cannot be had.
    Function(pci::Fault),
    /// Its window is too short.
    Window,
    /// It sends fewer than three messages.
    Messages(u32),
    /// It does not come out of its reset.
    NoReset,
    /// It has no address of its own.
    NoAddress,
    /// It does not answer any more.
    Gone,
    /// It says that it wrote more bytes than there was room for.
    Length(u16),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Function(fault) => fault.fmt(f),
            Self::Window => f.write_str("its registers do not fit into its window"),
            Self::Messages(count) => {
                write!(f, "it sends {count} messages: three are needed, by MSI-X")
            }
            Self::NoReset => f.write_str("it does not come out of its reset"),
            Self::NoAddress => f.write_str("it has no address of its own"),
            Self::Gone => f.write_str("it does not answer any more"),
            Self::Length(bytes) => {
                write!(f, "it says that it wrote {bytes} bytes into less room")
            }
        }
    }
}

impl core::error::Error for Fault {}

impl From<pci::Fault> for Fault {
    fn from(fault: pci::Fault) -> Self {
        Self::Function(fault)
    }
}
