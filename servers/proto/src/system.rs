//! [`System`]: what a shell may ask of the running system.

use core::fmt;
use core::future::Future;

use serde::{Deserialize, Serialize};

use crate::info::{MemoryInfo, SystemInfo, TimeInfo};
use crate::process::{HandleRow, ProcessRow};
use crate::rows::{CoreRow, IrqRow, LogRow, PciRow, TaskRow};
use crate::text::Text;

/// Where a table's last page ended. Only the side that serves the table gives the number a meaning
/// (a slot, a sequence number); [`Cursor::START`] is before the first row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor(pub u64);

impl Cursor {
    /// Before the first row.
    pub const START: Self = Self(0);

    /// Before the first handle of a process, for [`System::handles`]: the process id in bits 63:32.
    /// `None` for an id beyond those.
    #[must_use]
    pub fn of_process(process: u64) -> Option<Self> {
        let process = u32::try_from(process).ok()?;
        Some(Self(u64::from(process) << 32))
    }
}

/// The system would not do it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Why, and what to do instead.
    pub reason: Text<120>,
}

impl Refused {
    /// For this reason; cut if it is too long.
    #[must_use]
    pub fn because(reason: fmt::Arguments<'_>) -> Self {
        Self {
            reason: Text::format(reason),
        }
    }

    /// There is no manager to ask.
    #[must_use]
    pub fn without_manager() -> Self {
        Self::because(format_args!(
            "this shell runs inside the kernel and has no manager of units to ask"
        ))
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl core::error::Error for Refused {}

/// What a shell may ask of the running system.
///
/// All methods are async because an answer may come from another core or, for an isolated client,
/// from another process; an implementation that has the answer at hand just gives it (`async fn`
/// without an await). None allocates. Every future is cancel-safe and `Send`.
///
/// The table methods fill `page` from its start with rows after `cursor`, move `cursor` behind the
/// last row given, and return how many rows were filled. 0 means the end of the table. Rows are
/// read one by one while the system runs: a page is not a snapshot, but no row is torn, and a row
/// that exists during the whole walk is given exactly once.
pub trait System: Send + Sync {
    /// All tasks of all cores.
    fn tasks(
        &self,
        cursor: &mut Cursor,
        page: &mut [TaskRow],
    ) -> impl Future<Output = usize> + Send;
    /// All cores, in order.
    fn cores(
        &self,
        cursor: &mut Cursor,
        page: &mut [CoreRow],
    ) -> impl Future<Output = usize> + Send;
    /// All interrupt vectors in use, in order.
    fn irqs(&self, cursor: &mut Cursor, page: &mut [IrqRow]) -> impl Future<Output = usize> + Send;
    /// All PCI functions, in order of address.
    fn pci(&self, cursor: &mut Cursor, page: &mut [PciRow]) -> impl Future<Output = usize> + Send;
    /// The log, from the oldest record still kept.
    fn log(&self, cursor: &mut Cursor, page: &mut [LogRow]) -> impl Future<Output = usize> + Send;
    /// All processes, in order of their ids. A system that runs none has no rows.
    fn processes(
        &self,
        cursor: &mut Cursor,
        page: &mut [ProcessRow],
    ) -> impl Future<Output = usize> + Send {
        let _ = (cursor, page);
        async { 0 }
    }
    /// The handles of the process that the cursor was made of by [`Cursor::of_process`]; none if
    /// there is no such process.
    fn handles(
        &self,
        cursor: &mut Cursor,
        page: &mut [HandleRow],
    ) -> impl Future<Output = usize> + Send {
        let _ = (cursor, page);
        async { 0 }
    }
    /// Waits until [`System::log`] has a record after `cursor`.
    fn log_grown(&self, cursor: Cursor) -> impl Future<Output = ()> + Send;

    /// Memory now.
    fn memory(&self) -> impl Future<Output = MemoryInfo> + Send;
    /// The clock now.
    fn time(&self) -> impl Future<Output = TimeInfo> + Send;
    /// What runs, on what.
    fn info(&self) -> impl Future<Output = SystemInfo> + Send;

    /// Sleeps for `duration_ns` nanoseconds.
    fn sleep(&self, duration_ns: u64) -> impl Future<Output = ()> + Send;

    /// Powers the machine off. Returns only if that did not work.
    fn poweroff(&self) -> impl Future<Output = Refused> + Send;
    /// Restarts the machine. Returns only if that did not work.
    fn reboot(&self) -> impl Future<Output = Refused> + Send;
    /// Panics the kernel with `text`, to see the report. Returns only if refused.
    fn panic(&self, text: &str) -> impl Future<Output = Refused> + Send;
}
