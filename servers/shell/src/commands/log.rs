//! `dmesg`.

use core::array;

use proto::{Cursor, Level, LogRow};
use rt::{ByteSink, ByteSource, Closed, Either, first};

use super::options::Parsed;
use crate::Host;
use crate::json::Object;
use crate::output::{Output, put};
use crate::session::Session;
use crate::status;

/// Rows asked for at once.
const PAGE_ROWS: usize = 4;

/// How records are printed.
struct Printer {
    json: bool,
    colored: bool,
    level: Level,
    next_seq: Option<u64>,
}

pub async fn dmesg<I: ByteSource, O: ByteSink, S: Host>(
    session: &mut Session<'_, I, O, S>,
    parsed: &Parsed<'_>,
) -> Result<u8, Closed> {
    let mut printer = Printer {
        json: parsed.has("json"),
        colored: !session.is_script(),
        level: parsed
            .value("level")
            .and_then(Level::from_word)
            .unwrap_or(Level::Trace),
        next_seq: None,
    };
    let mut cursor = Cursor::START;
    let mut page: [LogRow; PAGE_ROWS] = array::from_fn(|_| LogRow::default());
    loop {
        let count = session.system.log(&mut cursor, &mut page).await;
        for row in page.iter().take(count) {
            printer.print(row, &mut session.output);
            session.output.checkpoint().await?;
        }
        if count > 0 {
            continue;
        }
        if !parsed.has("follow") {
            return Ok(status::OK);
        }
        session.output.flush().await?;
        match first(session.input.interrupt(), session.system.log_grown(cursor)).await {
            Either::A(()) => return Ok(status::INTERRUPTED),
            Either::B(()) => {}
        }
    }
}

impl Printer {
    fn print<O: ByteSink>(&mut self, row: &LogRow, output: &mut Output<'_, O>) {
        let lost = self
            .next_seq
            .map_or(0, |expected| row.seq.saturating_sub(expected));
        self.next_seq = Some(row.seq.saturating_add(1));
        if lost > 0 && !self.json {
            put!(
                *output,
                "({lost} records were overwritten before they could be read)\n"
            );
        }
        if row.level > self.level {
            return;
        }
        if self.json {
            let written = Object::new(output)
                .number("seq", row.seq)
                .number("time_ns", row.time_ns)
                .number("core", row.core)
                .string("level", row.level.word())
                .string("target", &row.target)
                .string("text", &row.text)
                .end();
            debug_assert!(written.is_ok());
            put!(*output, "\n");
        } else {
            let (seconds, rest_ns) = (row.time_ns / 1_000_000_000, row.time_ns % 1_000_000_000);
            let (on, off) = match row.level {
                _ if !self.colored => ("", ""),
                Level::Error => ("\x1b[31m", "\x1b[0m"),
                Level::Warn => ("\x1b[33m", "\x1b[0m"),
                Level::Info => ("", ""),
                Level::Debug | Level::Trace => ("\x1b[90m", "\x1b[0m"),
            };
            put!(
                *output,
                "[{seconds:>5}.{:06}] {on}{:<5}{off} {}: {}\n",
                rest_ns / 1000,
                row.level.word(),
                row.target,
                Printable(&row.text)
            );
        }
    }
}

/// A text with its control characters left out: a record must not steer the terminal.
pub struct Printable<'a>(pub &'a str);

impl core::fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0
            .split(char::is_control)
            .try_for_each(|piece| f.write_str(piece))
    }
}
