//! The tables of `system` as processes read them: rows as bytes.

use abi::Error;
use abi::system::Table;
use futures_util::FutureExt;
use proto::table::Writer;
use proto::{Cursor, HandleRow, ProcessRow, ProcessState, System, Text};

use crate::process::process::{self, Process};
use crate::system::KernelSystem;

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
        Table::Processes => pages.processes(),
        Table::Handles => pages.handles()?,
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

    fn processes(&mut self) {
        let after = self.cursor;
        process::for_each(|process| {
            if process.id() > after && !self.full {
                self.push(&process_row(process), process.id());
            }
        });
    }

    fn handles(&mut self) -> Result<(), Error> {
        let (id, mut place) = (self.cursor >> 32, self.cursor as u32);
        let mut found = None;
        process::for_each(|process| {
            if process.id() == id {
                found = Some(process.clone());
            }
        });
        let process = found.ok_or(Error::BadArgument)?;
        while let Some((after, listed)) = process.handles.list(place) {
            place = after;
            let cursor = id << 32 | u64::from(after);
            let Some(listed) = listed else {
                self.cursor = cursor;
                continue;
            };
            let row = HandleRow {
                handle: listed.handle.0,
                object_id: listed.object_id,
                object_type: listed.object_type as u32,
                rights: listed.rights.bits(),
                badge: listed.badge,
                leased: listed.leased,
            };
            if !self.push(&row, cursor) {
                break;
            }
        }
        Ok(())
    }
}

fn process_row(process: &Process) -> ProcessRow {
    let info = process.info();
    ProcessRow {
        id: info.id,
        name: Text::from_start(process.name()),
        job: process.job().map_or(0, |job| job.header().id()),
        state: match process.exit_code() {
            Some(exit_code) => ProcessState::Ended { exit_code },
            None if info.threads == 0 => ProcessState::New,
            None => ProcessState::Running,
        },
        threads: info.threads as u32,
        handles: info.handles as u32,
        memory_bytes: info.resident_bytes,
        cpu_ns: info.cpu_ns,
        core: process.first_core(),
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
