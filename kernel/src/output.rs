//! What a console shows: the log, and what its shell writes, merged into one stream of bytes.

use core::fmt::Write;
use core::future::pending;

use kerncore::log_ring::Cursor;
use rt::{ByteSink, ByteSource, PipeReader};

use crate::log::{self, Follower, Step};

/// One log line at most: a record's text and target, and what surrounds them.
pub const LINE_BYTES: usize = 704;
/// A prompt and a line of typing with the editor's escape sequences.
const OPEN_LINE_BYTES: usize = 2048;
/// Bytes of shell output moved at a time.
const CHUNK_BYTES: usize = 512;

/// What the shell has written since its last line end: its prompt and what is being typed. Replayed after log lines, so
/// that they do not leave a person without either.
struct OpenLine {
    bytes: heapless::Vec<u8, OPEN_LINE_BYTES>,
    is_whole: bool,
}

impl OpenLine {
    const fn new() -> Self {
        Self {
            bytes: heapless::Vec::new(),
            is_whole: true,
        }
    }

    fn follow(&mut self, written: &[u8]) {
        let rest = match written.iter().rposition(|&byte| byte == b'\n') {
            Some(end) => {
                *self = Self::new();
                written.get(end + 1..).unwrap_or_default()
            }
            None => written,
        };
        // A line longer than this is not replayed.
        self.is_whole &= self.bytes.extend_from_slice(rest).is_ok();
    }

    fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.is_whole
    }
}

/// Forwards the log (if `with_log`) and the shell's output to `sink` until the sink closes.
pub async fn forward(
    shell: PipeReader<'static>,
    with_log: bool,
    mut cursor: Cursor,
    sink: impl ByteSink,
) {
    let follower = if with_log { Follower::new() } else { None };
    let mut open_line = OpenLine::new();
    let mut chunk = [0u8; CHUNK_BYTES];
    loop {
        if follower.is_some() && show_log(&mut cursor, &open_line, &sink).await.is_err() {
            return;
        }
        let count = shell.try_read(&mut chunk);
        if let Some(bytes) = chunk.get(..count).filter(|bytes| !bytes.is_empty()) {
            if with_log {
                open_line.follow(bytes);
            }
            if sink.write_all(bytes).await.is_err() {
                return;
            }
            continue;
        }
        let log_grows = async {
            match &follower {
                Some(follower) => follower.grown(cursor).await,
                None => pending().await,
            }
        };
        if let rt::Either::B(Err(_)) = rt::first(log_grows, shell.readable()).await {
            return;
        }
    }
}

/// Back to the start of the line, and clears it.
const WIPE_LINE: &[u8] = b"\r\x1b[K";

/// What a console shows of the record at `cursor`, which moves on: a line, or nothing. `None` at the end.
pub fn next_line(cursor: &mut Cursor) -> Option<Option<heapless::String<LINE_BYTES>>> {
    let mut line = heapless::String::new();
    let formatted = match log::next(cursor) {
        Step::End => return None,
        Step::Lost(count) => write!(
            line,
            "({count} log records were overwritten before they could be shown)\r\n"
        ),
        Step::Record(record) if log::is_shown(record.level) => {
            write!(
                line,
                "{}\r\n",
                record.line(log::uptime_ns(record.time_ticks))
            )
        }
        Step::Record(_) => return Some(None),
    };
    Some(formatted.is_ok().then_some(line))
}

async fn show_log(
    cursor: &mut Cursor,
    open_line: &OpenLine,
    sink: &impl ByteSink,
) -> Result<(), rt::Closed> {
    let mut has_shown = false;
    while let Some(next) = next_line(cursor) {
        let Some(line) = next else { continue };
        if !has_shown && !open_line.is_empty() {
            sink.write_all(if open_line.is_whole {
                WIPE_LINE
            } else {
                b"\r\n"
            })
            .await?;
        }
        has_shown = true;
        sink.write_all(line.as_bytes()).await?;
    }
    if has_shown && open_line.is_whole {
        sink.write_all(&open_line.bytes).await?;
    }
    Ok(())
}
