//! What a console shows: the log, and what its shell writes, merged into one stream of bytes.

use core::fmt::Write;
use core::future::pending;

use kerncore::log_ring::Cursor;
use rt::{ByteSink, ByteSource, PipeReader};

use crate::log::{self, Follower, Step};

/// One log line at most: a record's text and target, and what surrounds them.
pub const LINE_BYTES: usize = 704;
/// Bytes of shell output moved at a time.
const CHUNK_BYTES: usize = 512;

/// Forwards the log (if `with_log`) and the shell's output to `sink` until the sink closes.
///
/// A log record that comes while the shell is in the middle of a line starts a line of its own.
pub async fn forward(shell: PipeReader<'static>, with_log: bool, mut cursor: Cursor, sink: impl ByteSink) {
    let follower = if with_log { Follower::new() } else { None };
    let mut at_line_start = true;
    let mut chunk = [0u8; CHUNK_BYTES];
    loop {
        if follower.is_some() {
            if show_log(&mut cursor, &mut at_line_start, &sink).await.is_err() {
                return;
            }
        }
        let count = shell.try_read(&mut chunk);
        if let Some(bytes) = chunk.get(..count).filter(|bytes| !bytes.is_empty()) {
            at_line_start = bytes.last() == Some(&b'\n');
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

async fn show_log(cursor: &mut Cursor, at_line_start: &mut bool, sink: &impl ByteSink) -> Result<(), rt::Closed> {
    loop {
        let mut line = heapless::String::<LINE_BYTES>::new();
        if !*at_line_start {
            // Room for everything a line can be is reserved above, so writing to it cannot fail.
            let _ = line.push_str("\r\n");
        }
        let shown = match log::next(cursor) {
            Step::End => return Ok(()),
            Step::Lost(count) => write!(line, "({count} log records were overwritten before they could be shown)\r\n"),
            Step::Record(record) if log::is_shown(record.level) => {
                write!(line, "{}\r\n", record.line(log::uptime_ns(record.time_ticks)))
            }
            Step::Record(_) => continue,
        };
        if shown.is_ok() {
            *at_line_start = true;
            sink.write_all(line.as_bytes()).await?;
        }
    }
}
