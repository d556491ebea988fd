//! What can be wrong with a device.

use core::fmt;

/// Why a device cannot be driven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It has no registers of this sort, or they lie outside of its windows.
    NoRegisters(&'static str),
    /// It does not come out of its reset.
    NoReset,
    /// It is from before version 1.0.
    Legacy,
    /// It does not agree to features that it offered itself.
    Features,
    /// It has no such queue.
    NoQueue(u16),
    /// It takes no message interrupt for a queue or for itself.
    NoInterrupt,
    /// What it says of itself changes faster than it can be read.
    Unsteady,
    /// It says what cannot be.
    Nonsense(&'static str),
    /// The kernel refused a part of it.
    Refused(&'static str, abi::Error),
    /// It has given up and wants to be reset.
    GaveUp,
    /// No memory.
    NoMemory,
    /// It broke a queue.
    Broken(Broken),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRegisters(which) => write!(f, "it has no usable registers: {which}"),
            Self::NoReset => f.write_str("it does not come out of its reset"),
            Self::Legacy => f.write_str(
                "it is a device from before virtio 1.0: QEMU makes others with disable-legacy=on",
            ),
            Self::Features => f.write_str("it does not agree to the features that it offered"),
            Self::NoQueue(index) => write!(f, "it has no queue {index}"),
            Self::NoInterrupt => f.write_str("it sends no message interrupts: MSI-X is needed"),
            Self::Unsteady => f.write_str("its configuration changes faster than it can be read"),
            Self::Nonsense(what) => write!(f, "what it says cannot be: {what}"),
            Self::Refused(what, error) => write!(f, "{what}: {error}"),
            Self::GaveUp => f.write_str("it has given up: it has to be started anew"),
            Self::NoMemory => f.write_str("no memory"),
            Self::Broken(broken) => broken.fmt(f),
        }
    }
}

impl core::error::Error for Fault {}

impl From<pci::Fault> for Fault {
    fn from(fault: pci::Fault) -> Self {
        match fault {
            pci::Fault::NoRegisters(which) => Self::NoRegisters(which),
            pci::Fault::Refused(what, error) => Self::Refused(what, error),
        }
    }
}

impl From<Broken> for Fault {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

/// What a device did to a queue that no device does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// It gave back more than it had.
    Index,
    /// It gave back what it did not have.
    Head(u32),
    /// It wrote more than there was room for.
    Length(u32),
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Index => f.write_str("it gave back more buffers than it had"),
            Self::Head(head) => write!(f, "it gave back buffer {head}, which it did not have"),
            Self::Length(len) => write!(f, "it says that it wrote {len} bytes into less room"),
        }
    }
}

impl core::error::Error for Broken {}

impl From<pci::Fault> for crate::gpu::GpuError {
    fn from(fault: pci::Fault) -> Self {
        Fault::from(fault).into()
    }
}
