//! The tables of `system` as processes read them: rows as bytes.

use abi::Error;
use abi::system::Table;
use futures_util::FutureExt;
use proto::table::Writer;
use proto::{Cursor, System};

use crate::process::process;
use crate::system::KernelSystem;
use crate::trace;

/// Puts rows after `cursor` into `bytes`; returns how many bytes, and the cursor after the last of them.
///
/// # Errors
/// [`Error::BufferTooSmall`] if not even one row fits; [`Error::BadArgument`] for handles of a process there is not.
pub fn query(table: Table, cursor: u64, bytes: &mut [u8]) -> Result<(usize, u64), Error> {
    let system = KernelSystem;
    let mut pages = Pages {
        writer: Writer::new(bytes),
        cursor,
        full: false,
    };
    // None of the kernel's own answers ever waits.
    match table {
        Table::Tasks => pages.fill(|cursor, page| system.tasks(cursor, page).now_or_never()),
        Table::Cores => pages.fill(|cursor, page| system.cores(cursor, page).now_or_never()),
        Table::Irqs => pages.fill(|cursor, page| system.irqs(cursor, page).now_or_never()),
        Table::Pci => pages.fill(|cursor, page| system.pci(cursor, page).now_or_never()),
        Table::Log => pages.fill(|cursor, page| system.log(cursor, page).now_or_never()),
        Table::Memory => pages.single(system.memory().now_or_never()),
        Table::Time => pages.single(system.time().now_or_never()),
        Table::Info => pages.single(system.info().now_or_never()),
        Table::Processes => {
            pages.fill(|cursor, page| system.processes(cursor, page).now_or_never());
        }
        Table::Trace => pages.fill(|cursor, page| Some(trace::rows(cursor, page))),
        Table::Handles => {
            process::find(cursor >> 32).ok_or(Error::BadArgument)?;
            pages.fill(|cursor, page| system.handles(cursor, page).now_or_never());
        }
    }
    if pages.full && pages.writer.is_empty() {
        return Err(Error::BufferTooSmall);
    }
    Ok((pages.writer.len(), pages.cursor))
}

struct Pages<'a> {
    writer: Writer<'a>,
    cursor: u64,
    full: bool,
}

impl Pages<'_> {
    fn push<R: serde::Serialize>(&mut self, row: &R, cursor: u64) -> bool {
        if self.writer.push(row).is_err() {
            self.full = true;
            return false;
        }
        self.cursor = cursor;
        true
    }

    /// One row at a time, so that the cursor stands behind the last that fitted.
    fn fill<R: serde::Serialize + Default>(
        &mut self,
        next: impl Fn(&mut Cursor, &mut [R]) -> Option<usize>,
    ) {
        loop {
            let mut page = [R::default()];
            let mut cursor = Cursor(self.cursor);
            let [row] = match next(&mut cursor, &mut page) {
                Some(1) => page,
                _ => return,
            };
            if !self.push(&row, cursor.0) {
                return;
            }
        }
    }

    fn single<R: serde::Serialize>(&mut self, row: Option<R>) {
        if let Some(row) = row.filter(|_| self.cursor == 0) {
            self.push(&row, 1);
        }
    }
}

/// Switches the machine off; comes back if that is not possible.
pub async fn power_off() {
    KernelSystem.poweroff().await;
}

/// Restarts the machine.
pub async fn reboot() {
    KernelSystem.reboot().await;
}
