//! `caps`, `kill`, and the processes in `ps`.

use core::array;

use proto::{Cursor, HandleRow, ProcessRow};
use rt::{ByteSink, ByteSource, Closed};

use super::log::Printable;
use super::options::Parsed;
use super::{Command, help};
use crate::Host;
use crate::json::Object;
use crate::output::put;
use crate::session::Session;
use crate::status;
use crate::units::{Bytes, Duration};

/// Rows asked for at once.
const PAGE_ROWS: usize = 8;

/// Lists the processes; whether there are any.
pub async fn list<I: ByteSource, O: ByteSink, S: Host>(
    session: &mut Session<'_, I, O, S>,
    json: bool,
) -> Result<bool, Closed> {
    let mut any = false;
    let mut cursor = Cursor::START;
    let mut page: [ProcessRow; PAGE_ROWS] = array::from_fn(|_| ProcessRow::default());
    loop {
        let count = session.system.processes(&mut cursor, &mut page).await;
        if count > 0 && !any && !json {
            put!(
                session.output,
                "{:>7} {:<20} {:<8} {:<8} {:>5} {:>4} {:>5} {:>7} {:>7} {:>10} {:>9}\n",
                "process",
                "name",
                "placed",
                "state",
                "exit",
                "core",
                "job",
                "threads",
                "handles",
                "memory",
                "cpu"
            );
        }
        any |= count > 0;
        for row in page.iter().take(count) {
            let output = &mut session.output;
            if json {
                process(row, output);
            } else {
                let or_dash = |number: Option<i64>| match number {
                    Some(number) => proto::Text::<24>::format(format_args!("{number}")),
                    None => proto::Text::from("-"),
                };
                put!(
                    *output,
                    "{:>7} {:<20} {:<8} {:<8} {:>5} {:>4} {:>5} {:>7} {:>7} {:>10} {:>9}\n",
                    row.id,
                    proto::Text::<96>::format(format_args!("{}", Printable(&row.name))),
                    row.placement.word(),
                    row.state.word(),
                    or_dash(row.state.exit_code().map(i64::from)),
                    or_dash(row.core.map(i64::from)),
                    row.job,
                    row.threads,
                    row.handles,
                    Bytes(row.memory_bytes),
                    Duration(row.cpu_ns)
                );
            }
            output.checkpoint().await?;
        }
        if count == 0 {
            return Ok(any);
        }
    }
}

fn process<O: ByteSink>(row: &ProcessRow, output: &mut crate::output::Output<'_, O>) {
    let object = Object::new(output)
        .string("kind", "process")
        .number("process", row.id)
        .string("name", &row.name)
        .number("job", row.job)
        .string("placement", row.placement.word())
        .string("state", row.state.word());
    let object = match row.state.exit_code() {
        Some(code) => object.number("exit_code", code),
        None => object.null("exit_code"),
    };
    let written = object
        .number("threads", row.threads)
        .number("handles", row.handles)
        .number("memory_bytes", row.memory_bytes)
        .number("cpu_ns", row.cpu_ns)
        .maybe_number("core", row.core.map(u64::from))
        .maybe_number("budget_ns", row.reserved.map(|reserved| reserved.budget_ns))
        .maybe_number("period_ns", row.reserved.map(|reserved| reserved.period_ns))
        .number("late_jobs", row.late_jobs)
        .number("throttled_jobs", row.throttled_jobs)
        .end();
    debug_assert!(written.is_ok());
    put!(*output, "\n");
}

/// The process id that the first operand is, or a usage error.
fn process_id<I: ByteSource, O: ByteSink, S: Host>(
    session: &mut Session<'_, I, O, S>,
    command: &Command,
    parsed: &Parsed<'_>,
) -> Option<u64> {
    let text = parsed.operands.first().copied().unwrap_or_default();
    let id = text.parse().ok();
    if id.is_none() {
        put!(
            session.output,
            "{}: {text:?} is no process id; `ps` shows them\n",
            command.name
        );
        help::usage_line(&mut session.output, command);
    }
    id
}

pub async fn kill<I: ByteSource, O: ByteSink, S: Host>(
    session: &mut Session<'_, I, O, S>,
    command: &Command,
    parsed: &Parsed<'_>,
) -> Result<u8, Closed> {
    let Some(id) = process_id(session, command, parsed) else {
        return Ok(status::USAGE);
    };
    let exit_code = match parsed.operands.get(1).map(|word| word.parse()) {
        None => abi::process::KILLED,
        Some(Ok(code)) => code,
        Some(Err(_)) => {
            put!(session.output, "kill: the exit code is a whole number\n");
            help::usage_line(&mut session.output, command);
            return Ok(status::USAGE);
        }
    };
    match session.system.kill(id, exit_code).await {
        Ok(()) => Ok(status::OK),
        Err(refused) => {
            put!(session.output, "kill: {refused}\n");
            Ok(status::FAILED)
        }
    }
}

pub async fn caps<I: ByteSource, O: ByteSink, S: Host>(
    session: &mut Session<'_, I, O, S>,
    command: &Command,
    parsed: &Parsed<'_>,
) -> Result<u8, Closed> {
    let Some(id) = process_id(session, command, parsed) else {
        return Ok(status::USAGE);
    };
    let json = parsed.has("json");
    let mut any = false;
    let mut page = [HandleRow::default(); PAGE_ROWS];
    if let Some(mut cursor) = Cursor::of_process(id) {
        loop {
            let count = session.system.handles(&mut cursor, &mut page).await;
            if count == 0 {
                break;
            }
            if !any && !json {
                put!(
                    session.output,
                    "{:>18} {:<12} {:>8} {:>6} {:<6} rights\n",
                    "handle",
                    "type",
                    "object",
                    "badge",
                    "leased"
                );
            }
            any = true;
            for row in page.iter().take(count) {
                handle(session, row, json);
                session.output.checkpoint().await?;
            }
        }
    }
    // A process holds at least itself.
    if !any {
        put!(session.output, "caps: there is no process {id}\n");
        return Ok(status::FAILED);
    }
    Ok(status::OK)
}

fn handle<I: ByteSource, O: ByteSink, S: Host>(
    session: &mut Session<'_, I, O, S>,
    row: &HandleRow,
    json: bool,
) {
    let output = &mut session.output;
    if json {
        let written = Object::new(output)
            .number("handle", row.handle)
            .string("type", row.type_name())
            .number("object", row.object_id)
            .number("badge", row.badge)
            .boolean("leased", row.leased)
            .array("rights", row.rights_names(), |writer, name| {
                use core::fmt::Write;
                write!(writer, "\"{name}\"")
            })
            .end();
        debug_assert!(written.is_ok());
    } else {
        put!(
            *output,
            "{:>#18x} {:<12} {:>8} {:>6} {:<6}",
            row.handle,
            row.type_name(),
            row.object_id,
            row.badge,
            if row.leased { "yes" } else { "no" }
        );
        for name in row.rights_names() {
            put!(*output, " ");
            for letter in name.chars() {
                put!(*output, "{}", letter.to_ascii_lowercase());
            }
        }
    }
    put!(*output, "\n");
}
