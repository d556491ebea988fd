//! `svc`.

use core::array;

use proto::{Action, Cursor, Refused, UnitLogRow, UnitRow, UnitState};
use rt::{ByteSink, ByteSource, Closed, Either, first};

use super::log::Printable;
use super::options::Parsed;
use super::{Command, help};
use crate::Host;
use crate::json::Object;
use crate::output::{Output, put};
use crate::session::Session;
use crate::status;
use crate::units::Duration;

/// What may follow `svc`.
pub const WORDS: &[&str] = &[
    "list", "status", "start", "stop", "restart", "kill", "logs", "enable", "disable",
];

/// Rows asked for at once.
const PAGE_ROWS: usize = 4;

pub async fn svc<I: ByteSource, O: ByteSink, S: Host>(
    session: &mut Session<'_, I, O, S>,
    command: &Command,
    parsed: &Parsed<'_>,
) -> Result<u8, Closed> {
    let mut operands = parsed.operands.iter().copied();
    let word = operands.next().unwrap_or("list");
    let unit = operands.next();
    let problem = match (word, unit) {
        ("list", None) => return list(session, parsed).await,
        ("list", Some(_)) => "list takes no unit",
        ("logs", Some(unit)) => return logs(session, parsed, unit).await,
        (_, Some(_)) if parsed.has("follow") => "--follow goes with logs",
        ("status", Some(unit)) => return one(session, parsed, unit).await,
        (word, unit) => match (Action::from_word(word), unit) {
            (Some(action), Some(unit)) => return act(session, unit, action).await,
            (None, _) if !WORDS.contains(&word) => "no such action",
            (_, None) => "which unit? `svc list` shows them",
            (None, Some(_)) => "no such action",
        },
    };
    put!(session.output, "svc: {problem}\n");
    help::usage_line(&mut session.output, command);
    Ok(status::USAGE)
}

fn refused<O: ByteSink>(output: &mut Output<'_, O>, refused: &Refused) -> u8 {
    put!(*output, "svc: {refused}\n");
    status::FAILED
}

/// Does something with a unit; Ctrl-C ends the waiting, not the doing.
async fn act<I: ByteSource, O: ByteSink, S: Host>(
    session: &mut Session<'_, I, O, S>,
    unit: &str,
    action: Action,
) -> Result<u8, Closed> {
    session.output.flush().await?;
    match first(session.input.interrupt(), session.system.act(unit, action)).await {
        Either::A(()) => {
            super::machine::interrupted(session);
            Ok(status::INTERRUPTED)
        }
        Either::B(Ok(())) => Ok(status::OK),
        Either::B(Err(why)) => Ok(refused(&mut session.output, &why)),
    }
}

fn unit_json<O: ByteSink>(row: &UnitRow, output: &mut Output<'_, O>) {
    let object = Object::new(output)
        .string("unit", &row.name)
        .string("state", row.state.word())
        .boolean("enabled", row.enabled)
        .string("placement", row.placement.word())
        .number("generation", row.generation)
        .number("restarts", row.restarts)
        .maybe_number("process", row.process)
        .number("since_ns", row.since_ns);
    let object = match row.exit_code {
        Some(code) => object.number("exit_code", code),
        None => object.null("exit_code"),
    };
    let written = object.string("reason", &row.reason).end();
    debug_assert!(written.is_ok());
    put!(*output, "\n");
}

async fn list<I: ByteSource, O: ByteSink, S: Host>(
    session: &mut Session<'_, I, O, S>,
    parsed: &Parsed<'_>,
) -> Result<u8, Closed> {
    let json = parsed.has("json");
    let now_ns = session.system.time().await.uptime_ns;
    let mut header = !json;
    let mut left_out = 0_usize;
    let mut cursor = Cursor::START;
    let mut page: [UnitRow; PAGE_ROWS] = array::from_fn(|_| UnitRow::default());
    loop {
        let count = match session.system.units(&mut cursor, &mut page).await {
            Ok(count) => count,
            Err(why) => return Ok(refused(&mut session.output, &why)),
        };
        let output = &mut session.output;
        if core::mem::take(&mut header) {
            put!(
                *output,
                "{:<20} {:<9} {:>9} {:>7} {:>7} {:>8} {:<8} reason\n",
                "unit",
                "state",
                "since",
                "process",
                "started",
                "restarts",
                "enabled"
            );
        }
        for row in page.iter().take(count) {
            let output = &mut session.output;
            if json {
                unit_json(row, output);
            } else if is_idle(row) && !parsed.has("all") {
                left_out += 1;
            } else {
                put!(
                    *output,
                    "{:<20} {:<9} {:>9} {:>7} {:>7} {:>8} {:<8} {}\n",
                    row.name,
                    row.state.word(),
                    Duration(now_ns.saturating_sub(row.since_ns)),
                    ProcessId(row.process),
                    row.generation,
                    row.restarts,
                    yes_no(row.enabled),
                    Printable(&row.reason)
                );
            }
            output.checkpoint().await?;
        }
        if count == 0 {
            if left_out != 0 {
                let output = &mut session.output;
                put!(
                    *output,
                    "{left_out} more are not enabled and were never started: svc list --all\n"
                );
            }
            return Ok(status::OK);
        }
    }
}

/// Whether nothing ever became of the unit, and nothing will by itself.
fn is_idle(row: &UnitRow) -> bool {
    row.state == UnitState::Stopped && !row.enabled && row.generation == 0
}

fn yes_no(yes: bool) -> &'static str {
    if yes { "yes" } else { "no" }
}

struct ProcessId(Option<u64>);

impl core::fmt::Display for ProcessId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.0 {
            Some(id) => core::fmt::Display::fmt(&id, f),
            None => f.pad("-"),
        }
    }
}

async fn one<I: ByteSource, O: ByteSink, S: Host>(
    session: &mut Session<'_, I, O, S>,
    parsed: &Parsed<'_>,
    unit: &str,
) -> Result<u8, Closed> {
    let row = match session.system.unit(unit).await {
        Ok(row) => row,
        Err(why) => return Ok(refused(&mut session.output, &why)),
    };
    if parsed.has("json") {
        unit_json(&row, &mut session.output);
        return Ok(status::OK);
    }
    let now_ns = session.system.time().await.uptime_ns;
    let output = &mut session.output;
    put!(*output, "unit        {}\n", row.name);
    put!(
        *output,
        "state       {} for {}\n",
        row.state.word(),
        Duration(now_ns.saturating_sub(row.since_ns))
    );
    if !row.reason.is_empty() {
        put!(*output, "reason      {}\n", Printable(&row.reason));
    }
    put!(*output, "enabled     {}\n", yes_no(row.enabled));
    put!(*output, "placement   {}\n", row.placement.word());
    put!(*output, "process     {}\n", ProcessId(row.process));
    put!(
        *output,
        "started     {} times, {} of them because it had died\n",
        row.generation,
        row.restarts
    );
    if let Some(code) = row.exit_code {
        put!(*output, "last exit   {code}\n");
    }
    Ok(status::OK)
}

async fn logs<I: ByteSource, O: ByteSink, S: Host>(
    session: &mut Session<'_, I, O, S>,
    parsed: &Parsed<'_>,
    unit: &str,
) -> Result<u8, Closed> {
    let json = parsed.has("json");
    let mut next_seq = None;
    let mut cursor = Cursor::START;
    let mut page: [UnitLogRow; PAGE_ROWS] = array::from_fn(|_| UnitLogRow::default());
    loop {
        let count = match session.system.unit_log(unit, &mut cursor, &mut page).await {
            Ok(count) => count,
            Err(why) => return Ok(refused(&mut session.output, &why)),
        };
        for row in page.iter().take(count) {
            line(row, json, &mut next_seq, &mut session.output);
            session.output.checkpoint().await?;
        }
        if count > 0 {
            continue;
        }
        if !parsed.has("follow") {
            return Ok(status::OK);
        }
        session.output.flush().await?;
        let grown = session.system.unit_log_grown(unit, cursor);
        match first(session.input.interrupt(), grown).await {
            Either::A(()) => return Ok(status::INTERRUPTED),
            Either::B(Ok(())) => {}
            Either::B(Err(why)) => return Ok(refused(&mut session.output, &why)),
        }
    }
}

fn line<O: ByteSink>(
    row: &UnitLogRow,
    json: bool,
    next_seq: &mut Option<u64>,
    output: &mut Output<'_, O>,
) {
    if json {
        let written = Object::new(output)
            .number("seq", row.seq)
            .number("time_ns", row.time_ns)
            .number("generation", row.generation)
            .string("text", &row.text)
            .end();
        debug_assert!(written.is_ok());
        put!(*output, "\n");
        return;
    }
    let lost = next_seq.map_or(0, |expected| row.seq.saturating_sub(expected));
    *next_seq = Some(row.seq.saturating_add(1));
    if lost > 0 {
        put!(
            *output,
            "({lost} lines were overwritten before they could be read)\n"
        );
    }
    let (seconds, rest_ns) = (row.time_ns / 1_000_000_000, row.time_ns % 1_000_000_000);
    put!(
        *output,
        "[{seconds:>5}.{:06}] {}: {}\n",
        rest_ns / 1000,
        row.generation,
        Printable(&row.text)
    );
}
