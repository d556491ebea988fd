//! What the system object answers: tables of the whole system, in pages, for the shell and monitors.
//!
//! A row is the `postcard` form of a type in `servers/proto`, preceded by its length as a `u16`.

/// A table of [`system_query`](crate::Call::SystemQuery).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Table {
    /// Tasks of all executors.
    Tasks = 1,
    /// Cores.
    Cores = 2,
    /// Interrupts.
    Irqs = 3,
    /// PCI functions.
    Pci = 4,
    /// Log records.
    Log = 5,
    /// Memory (one row).
    Memory = 6,
    /// Clocks (one row).
    Time = 7,
    /// Version, CPU, screen (one row).
    Info = 8,
    /// Processes.
    Processes = 9,
    /// Handles of the process whose id is the cursor's upper half.
    Handles = 10,
    /// What was recorded between [`Control::TraceStart`] and [`Control::TraceStop`].
    Trace = 11,
}

impl Table {
    /// The table of this number.
    #[must_use]
    pub const fn from_raw(raw: u64) -> Option<Self> {
        Some(match raw {
            1 => Self::Tasks,
            2 => Self::Cores,
            3 => Self::Irqs,
            4 => Self::Pci,
            5 => Self::Log,
            6 => Self::Memory,
            7 => Self::Time,
            8 => Self::Info,
            9 => Self::Processes,
            10 => Self::Handles,
            11 => Self::Trace,
            _ => return None,
        })
    }
}

/// Longest text of [`log_write`](crate::Call::LogWrite).
pub const MAX_LOG_BYTES: usize = 512;

/// Longest text of [`Control::Panic`].
pub const MAX_PANIC_BYTES: usize = 240;

/// What [`system_control`](crate::Call::SystemControl) does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Control {
    /// Switches the machine off.
    PowerOff = 1,
    /// Restarts it.
    Reboot = 2,
    /// Stops it with a report that gives a text (address and length, at most [`MAX_PANIC_BYTES`]), for tests.
    Panic = 3,
    /// Records from now on what the cores do, for [`Table::Trace`]. [`Rights::READ`](crate::Rights::READ) is enough for this and the next.
    TraceStart = 4,
    /// Records no more. What there is stays until the next start.
    TraceStop = 5,
}

impl Control {
    /// The operation of this number.
    #[must_use]
    pub const fn from_raw(raw: u64) -> Option<Self> {
        match raw {
            1 => Some(Self::PowerOff),
            2 => Some(Self::Reboot),
            3 => Some(Self::Panic),
            4 => Some(Self::TraceStart),
            5 => Some(Self::TraceStop),
            _ => None,
        }
    }
}
