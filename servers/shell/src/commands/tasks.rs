//! `ps` and `cores`.

use core::array;
use core::fmt::{self, Write};

use proto::{CoreRow, Cursor, TaskRow};
use rt::{ByteSink, ByteSource, Closed};

use super::general::deadline;
use super::log::Printable;
use super::options::Parsed;
use super::processes;
use crate::Host;
use crate::json::Object;
use crate::output::put;
use crate::session::Session;
use crate::status;
use crate::units::{Duration, Permille, permille};

/// Rows asked for at once.
const PAGE_ROWS: usize = 8;

pub fn task_object<W: Write>(row: &TaskRow, object: Object<'_, W>) -> fmt::Result {
    object
        .string("kind", "task")
        .plain("id", row.id)
        .string("name", &row.name)
        .number("core", row.core)
        .string("state", row.state.word())
        .maybe_number("deadline_ns", row.deadline_ns)
        .number("polls", row.polls)
        .number("cpu_ns", row.cpu_ns)
        .number("longest_poll_ns", row.longest_poll_ns)
        .string("spawned_file", &row.spawned_file)
        .number("spawned_line", row.spawned_line)
        .end()
}

pub async fn ps<I: ByteSource, O: ByteSink, S: Host>(
    session: &mut Session<'_, I, O, S>,
    parsed: &Parsed<'_>,
) -> Result<u8, Closed> {
    let json = parsed.has("json");
    let any = processes::list(session, json).await?;
    if !json {
        if any {
            put!(session.output, "\n");
        }
        put!(
            session.output,
            "{:<10} {:<20} {:>4} {:<8} {:>9} {:>10} {:>9} {:>9}  spawned at\n",
            "id",
            "name",
            "core",
            "state",
            "deadline",
            "polls",
            "cpu",
            "longest"
        );
    }
    let mut cursor = Cursor::START;
    let mut page: [TaskRow; PAGE_ROWS] = array::from_fn(|_| TaskRow::default());
    loop {
        let count = session.system.tasks(&mut cursor, &mut page).await;
        for row in page.iter().take(count) {
            let output = &mut session.output;
            if json {
                let written = task_object(row, Object::new(output));
                debug_assert!(written.is_ok());
                put!(*output, "\n");
            } else {
                put!(
                    *output,
                    "{:<10} {:<20} {:>4} {:<8} {:>9} {:>10} {:>9} {:>9}  {}:{}\n",
                    row.id,
                    proto::Text::<96>::format(format_args!("{}", Printable(&row.name))),
                    row.core,
                    row.state.word(),
                    deadline(row.deadline_ns),
                    row.polls,
                    Duration(row.cpu_ns),
                    Duration(row.longest_poll_ns),
                    row.spawned_file,
                    row.spawned_line
                );
            }
            output.checkpoint().await?;
        }
        if count == 0 {
            return Ok(status::OK);
        }
    }
}

pub fn core_object<W: Write>(
    row: &CoreRow,
    load_permille: u64,
    object: Object<'_, W>,
) -> fmt::Result {
    object
        .number("core", row.core)
        .number("apic_id", row.apic_id)
        .string("state", row.state.word())
        .number("load_permille", load_permille)
        .number("dispatches", row.dispatches)
        .number("up_ns", row.up_ns)
        .number("idle_ns", row.idle_ns)
        .number("ipis", row.ipis)
        .number("timer_irqs", row.timer_irqs)
        .number("irqs", row.irqs)
        .number("tsc_offset_ticks", row.tsc_offset_ticks)
        .number("deadline_misses", row.misses.iter().sum::<u64>())
        .end()
}

pub async fn cores<I: ByteSource, O: ByteSink, S: Host>(
    session: &mut Session<'_, I, O, S>,
    parsed: &Parsed<'_>,
) -> Result<u8, Closed> {
    let json = parsed.has("json");
    if !json {
        put!(
            session.output,
            "{:>4} {:>7} {:<8} {:>8} {:>12} {:>10} {:>10} {:>10} {:>10}\n",
            "core",
            "apic id",
            "state",
            "idle",
            "dispatches",
            "ipis",
            "timer",
            "irqs",
            "tsc offset"
        );
    }
    let mut cursor = Cursor::START;
    let mut page: [CoreRow; PAGE_ROWS] = array::from_fn(|_| CoreRow::default());
    loop {
        let count = session.system.cores(&mut cursor, &mut page).await;
        for row in page.iter().take(count) {
            let output = &mut session.output;
            let idle = permille(row.idle_ns, row.up_ns);
            if json {
                let load = permille(row.up_ns.saturating_sub(row.idle_ns), row.up_ns);
                let written = core_object(row, load, Object::new(output));
                debug_assert!(written.is_ok());
                put!(*output, "\n");
            } else {
                put!(
                    *output,
                    "{:>4} {:>7} {:<8} {:>8} {:>12} {:>10} {:>10} {:>10} {:>10}\n",
                    row.core,
                    row.apic_id,
                    row.state.word(),
                    Permille(idle),
                    row.dispatches,
                    row.ipis,
                    row.timer_irqs,
                    row.irqs,
                    row.tsc_offset_ticks
                );
            }
            output.checkpoint().await?;
        }
        if count == 0 {
            return Ok(status::OK);
        }
    }
}
