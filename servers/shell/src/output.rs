//! Output with back-pressure.
//!
//! Formatting is not async, so it goes into a buffer; [`Output::checkpoint`] is where the buffer goes
//! to the sink and the command waits for room there. The rule for commands: at most [`BETWEEN_BYTES`]
//! between two checkpoints. [`Output::row`] keeps it for all that is printed in rows.

use core::fmt::{self, Write};

use rt::{ByteSink, Closed, yield_now};

use crate::Mode;

/// The buffer.
const BUFFER_BYTES: usize = 8192;
/// Most bytes that may be written between two checkpoints. The longest is `version --json` with all
/// its texts full of characters that JSON escapes.
const BETWEEN_BYTES: usize = 6144;

pub struct Output<'a, O> {
    sink: &'a O,
    buffer: heapless::Vec<u8, BUFFER_BYTES>,
    carriage_returns: bool,
    overflowed: bool,
}

impl<'a, O: ByteSink> Output<'a, O> {
    pub fn new(sink: &'a O, mode: Mode) -> Self {
        Self {
            sink,
            buffer: heapless::Vec::new(),
            carriage_returns: mode == Mode::Interactive,
            overflowed: false,
        }
    }

    /// Sends what is buffered if there might be no room for what comes next. Other tasks that are due
    /// get their turn: a long table is many short polls.
    pub async fn checkpoint(&mut self) -> Result<(), Closed> {
        yield_now().await;
        if self.buffer.len() > BUFFER_BYTES - BETWEEN_BYTES {
            self.flush().await?;
        }
        Ok(())
    }

    /// Sends what is buffered.
    pub async fn flush(&mut self) -> Result<(), Closed> {
        let sent = self.sink.write_all(&self.buffer).await;
        self.buffer.clear();
        debug_assert!(
            !self.overflowed,
            "a command wrote too much between two checkpoints"
        );
        if core::mem::take(&mut self.overflowed) {
            self.sink.write_all("…\r\n".as_bytes()).await?;
        }
        sent
    }

    /// Puts out what a program wrote, at most a kibibyte: any bytes, but none that a script at the other end could take for
    /// the shell's own [`MARK`](crate::MARK).
    pub fn foreign(&mut self, bytes: &[u8]) {
        debug_assert!(
            bytes.len() <= 1024,
            "more than fits between two checkpoints"
        );
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            match line.strip_suffix(b"\n") {
                Some(line) if self.carriage_returns => {
                    self.put(line);
                    self.put(b"\r\n");
                }
                _ if self.carriage_returns => self.put(line),
                _ => {
                    for piece in line.split(|byte| *byte == crate::MARK as u8) {
                        self.put(piece);
                    }
                }
            }
        }
    }

    fn put(&mut self, bytes: &[u8]) {
        if self.buffer.extend_from_slice(bytes).is_err() {
            self.overflowed = true;
        }
    }
}

impl<O: ByteSink> Write for Output<'_, O> {
    /// Never fails: what does not fit is cut and said by the next flush.
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if !self.carriage_returns {
            self.put(text.as_bytes());
            return Ok(());
        }
        for piece in text.split_inclusive('\n') {
            match piece.strip_suffix('\n') {
                Some(line) => {
                    self.put(line.as_bytes());
                    self.put(b"\r\n");
                }
                None => self.put(piece.as_bytes()),
            }
        }
        Ok(())
    }
}

/// `write!` to an [`Output`], which cannot fail.
macro_rules! put {
    ($output:expr, $($argument:tt)*) => {{
        let written = ::core::fmt::Write::write_fmt(&mut $output, ::core::format_args!($($argument)*));
        debug_assert!(written.is_ok());
    }};
}

pub(crate) use put;
