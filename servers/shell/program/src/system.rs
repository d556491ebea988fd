//! The system's tables, by system calls.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

use abi::system::Control;
use abi::{Error, Rights};
use proto::table::{MAX_ROW_BYTES, Reader, Row};
use proto::{
    CoreRow, Cursor, HandleRow, IrqRow, LogRow, MemoryInfo, PciRow, ProcessRow, Refused,
    SystemInfo, TaskRow, TimeInfo,
};
use rt::sys::object::{Notification, Object, System};
use rt::sys::thread;
use rt::{Watched, sleep};
use spin::Mutex;

use crate::Host;

/// Rows that came with others and were not asked for yet.
struct Ahead {
    table: u32,
    /// The cursor that asks for them: the kernel's, behind the last of them.
    cursor: u64,
    bytes: [u8; 4 * MAX_ROW_BYTES],
    next: usize,
    len: usize,
}

/// The system object, and what reading it in pages takes.
pub struct Tables {
    system: System,
    ahead: Mutex<Ahead>,
    log: LogWait,
}

/// Waiting for the log: a system call that waits with its whole thread, so it has one of its own.
struct LogWait {
    cursor: Arc<AtomicU64>,
    /// Set: wait for records after the cursor.
    ask: Notification,
    /// Set: there may be some.
    grown: Watched<Notification>,
}

impl LogWait {
    fn new(system: &System) -> Result<Self, Error> {
        let system = system.duplicate(Rights::READ)?;
        let cursor = Arc::new(AtomicU64::new(0));
        let (ask, grown) = (Notification::create()?, Notification::create()?);
        let (asked, tell) = (
            ask.duplicate(Rights::READ)?,
            grown.duplicate(Rights::SIGNAL)?,
        );
        let from = cursor.clone();
        thread::spawn(move || {
            while asked.take_blocking(abi::FOREVER).is_ok() {
                let after = from.load(Ordering::Acquire);
                // An error is told, too: whoever asked looks again and sees for itself.
                let _ = system.wait_log_blocking(after, abi::FOREVER);
                if tell.signal(1).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self {
            cursor,
            ask,
            grown: Watched::notification(grown)?,
        })
    }

    /// Ready when there may be records after `cursor`; also when there were some after an earlier one, for a wait given up.
    async fn grown(&self, cursor: u64) -> Result<(), Error> {
        self.cursor.store(cursor, Ordering::Release);
        self.ask.signal(1)?;
        self.grown.take().await.map(drop)
    }
}

impl Tables {
    /// The tables of a system object.
    pub fn new(system: System) -> Result<Self, Error> {
        Ok(Self {
            log: LogWait::new(&system)?,
            system,
            ahead: Mutex::new(Ahead {
                table: 0,
                cursor: 0,
                bytes: [0; 4 * MAX_ROW_BYTES],
                next: 0,
                len: 0,
            }),
        })
    }

    /// Fills a page. The kernel gives as many rows as fit into bytes, which may be more than the page takes: the rest is kept
    /// for the next page.
    fn page<R: Row>(&self, cursor: &mut Cursor, page: &mut [R]) -> usize {
        let ahead = &mut *self.ahead.lock();
        let kept =
            ahead.next < ahead.len && ahead.table == R::TABLE as u32 && ahead.cursor == cursor.0;
        if !kept {
            let mut behind = cursor.0;
            let query = self.system.query(R::TABLE, &mut behind, &mut ahead.bytes);
            ahead.len = query.unwrap_or_else(|error| {
                // The cursor names a process that is gone: a table without rows.
                if error != Error::BadArgument {
                    log::warn!("a table cannot be read: {error}");
                }
                0
            });
            ahead.next = 0;
            ahead.table = R::TABLE as u32;
            ahead.cursor = behind;
        }
        let rest = ahead.bytes.get(ahead.next..ahead.len).unwrap_or_default();
        let mut rows = Reader::<R>::new(rest);
        let mut count = 0;
        for place in page.iter_mut() {
            match rows.next() {
                Some(Ok(row)) => *place = row,
                Some(Err(bad)) => {
                    log::error!("{bad}");
                    break;
                }
                None => break,
            }
            count += 1;
        }
        ahead.next = ahead.len - rows.rest().len();
        cursor.0 = ahead.cursor;
        count
    }

    /// The row of a table that has one.
    fn only<R: Row + Default>(&self) -> R {
        let mut page = [R::default()];
        self.page(&mut Cursor::default(), &mut page);
        let [row] = page;
        row
    }

    fn control(&self, operation: Control, text: &str) -> Refused {
        let error = self.system.control(operation, text);
        Refused::because(format_args!("{error}"))
    }
}

impl proto::System for Host {
    async fn tasks(&self, cursor: &mut Cursor, page: &mut [TaskRow]) -> usize {
        self.tables.page(cursor, page)
    }
    async fn cores(&self, cursor: &mut Cursor, page: &mut [CoreRow]) -> usize {
        self.tables.page(cursor, page)
    }
    async fn irqs(&self, cursor: &mut Cursor, page: &mut [IrqRow]) -> usize {
        self.tables.page(cursor, page)
    }
    async fn pci(&self, cursor: &mut Cursor, page: &mut [PciRow]) -> usize {
        self.tables.page(cursor, page)
    }
    async fn log(&self, cursor: &mut Cursor, page: &mut [LogRow]) -> usize {
        self.tables.page(cursor, page)
    }
    async fn processes(&self, cursor: &mut Cursor, page: &mut [ProcessRow]) -> usize {
        self.tables.page(cursor, page)
    }
    async fn handles(&self, cursor: &mut Cursor, page: &mut [HandleRow]) -> usize {
        self.tables.page(cursor, page)
    }

    async fn log_grown(&self, cursor: Cursor) {
        if let Err(error) = self.tables.log.grown(cursor.0).await {
            log::warn!("the log cannot be waited for: {error}");
            sleep(Duration::from_secs(1)).await;
        }
    }

    async fn memory(&self) -> MemoryInfo {
        self.tables.only()
    }
    async fn time(&self) -> TimeInfo {
        self.tables.only()
    }
    async fn info(&self) -> SystemInfo {
        self.tables.only()
    }

    async fn sleep(&self, duration_ns: u64) {
        sleep(Duration::from_nanos(duration_ns)).await;
    }

    async fn poweroff(&self) -> Refused {
        self.tables.control(Control::PowerOff, "")
    }
    async fn reboot(&self) -> Refused {
        self.tables.control(Control::Reboot, "")
    }
    async fn panic(&self, text: &str) -> Refused {
        self.tables.control(Control::Panic, text)
    }
}
