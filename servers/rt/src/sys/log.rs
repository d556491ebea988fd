//! The `log` crate's backend, and the last words of a program that panics.

use core::fmt::{self, Write};
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicU64, Ordering};

use abi::system::MAX_LOG_BYTES;
use abi::{Call, Error, FOREVER, Handle, Signals};

use super::gate::{self, Own};
use super::message::Handles;
use super::object::{Borrowed, Channel, Log, Object};

/// Exit code of a program that panicked.
pub const PANICKED: i32 = 101;

/// Longest text of a record; what is beyond it is cut off.
const TEXT_BYTES: usize = MAX_LOG_BYTES;

static LOG: AtomicU64 = AtomicU64::new(0);
/// A channel for lines of text: what the manager keeps of a unit, and who ran a program sees of it. 0 without one.
static OUTPUT: AtomicU64 = AtomicU64::new(0);

fn log_handle() -> Handle {
    Handle(gate::own(Own::Log, &LOG))
}

/// This process's handle of the log, for starting programs that write there too.
#[must_use]
pub fn this_log() -> Borrowed<'static, Log> {
    Borrowed::new(log_handle())
}

impl Log {
    /// Adds a record to the kernel's log, under this process's name.
    ///
    /// # Errors
    /// [`Error::NoRight`], [`Error::BadArgument`] for a text too long or not UTF-8.
    pub fn write(&self, level: log::Level, text: &str) -> Result<(), Error> {
        write(self.handle(), level, text)
    }
}

fn write(handle: Handle, level: log::Level, text: &str) -> Result<(), Error> {
    // SAFETY: the kernel reads the text.
    let (rax, _) = unsafe {
        gate::call(
            Call::LogWrite,
            [
                handle.0,
                level as usize as u64,
                text.as_ptr() as u64,
                text.len() as u64,
            ],
        )
    };
    Error::check(rax).map(drop)
}

/// A text on the stack; what does not fit is left out.
struct Line {
    /// The last place is for the line's end.
    bytes: [u8; TEXT_BYTES + 1],
    len: usize,
}

impl Line {
    const fn new() -> Self {
        Self {
            bytes: [0; TEXT_BYTES + 1],
            len: 0,
        }
    }

    fn text(&self) -> &str {
        let bytes = self.bytes.get(..self.len).unwrap_or_default();
        core::str::from_utf8(bytes).unwrap_or_default()
    }

    /// The text with a line's end.
    fn ended(&mut self) -> &[u8] {
        if let Some(place) = self.bytes.get_mut(self.len) {
            *place = b'\n';
        }
        self.bytes.get(..=self.len).unwrap_or_default()
    }
}

/// What becomes of a line of output when nobody takes the ones before it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum IfFull {
    /// Wait, with the whole thread.
    Wait,
    /// Leave it out.
    Drop,
}

/// Puts a line out; whether there is anywhere to.
fn put_out(line: &mut Line, if_full: IfFull) -> bool {
    let handle = Handle(gate::own(Own::Output, &OUTPUT));
    if handle == Handle::NONE {
        return false;
    }
    let output = Borrowed::<Channel>::new(handle);
    let bytes = line.ended();
    while output.write(bytes, &mut Handles::new()) == Err(Error::QueueFull)
        && if_full == IfFull::Wait
    {
        let room = Signals::WRITABLE | Signals::PEER_CLOSED;
        if output.wait_blocking(room, FOREVER).is_err() {
            break;
        }
    }
    true
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = TEXT_BYTES - self.len;
        let mut take = text.len().min(room);
        while !text.is_char_boundary(take) {
            take -= 1;
        }
        let (Some(to), Some(from)) = (
            self.bytes.get_mut(self.len..self.len + take),
            text.as_bytes().get(..take),
        ) else {
            return Ok(());
        };
        to.copy_from_slice(from);
        self.len += take;
        Ok(())
    }
}

/// The process's log handle behind the `log` crate's macros.
struct Backend;

impl log::Log for Backend {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        log_handle() != Handle::NONE
    }

    fn log(&self, record: &log::Record<'_>) {
        let mut line = Line::new();
        // Writing into a line does not fail; a `Display` of the caller's that does ends its text there.
        let _ = line.write_fmt(*record.args());
        // There is nowhere to say that the log cannot be written.
        let _ = write(log_handle(), record.level(), line.text());
        put_out(&mut line, IfFull::Drop);
    }

    fn flush(&self) {}
}

/// Makes `log`'s macros write to these: the kernel's log, and lines of output.
pub(super) fn install(handle: Handle, output: Handle) {
    LOG.store(handle.0, Ordering::Relaxed);
    OUTPUT.store(output.0, Ordering::Relaxed);
    // Only the first call does anything, and one is enough.
    if log::set_logger(&Backend).is_ok() {
        log::set_max_level(log::LevelFilter::Trace);
    }
}

/// Puts a line out, for who started the program; into the log if nobody there listens. Waits, with the whole thread, while the
/// lines before it are not taken.
pub fn print(arguments: fmt::Arguments<'_>) {
    let mut line = Line::new();
    // As in the backend.
    let _ = line.write_fmt(arguments);
    if !put_out(&mut line, IfFull::Wait) {
        log::info!("{arguments}");
    }
}

/// Says where and why, and ends the process: what [`entry!`](crate::entry) makes a program's panic handler.
pub fn panicked(info: &PanicInfo<'_>) -> ! {
    let mut line = Line::new();
    let _ = match info.location() {
        Some(place) => write!(line, "panicked at {place}: {}", info.message()),
        None => write!(line, "panicked: {}", info.message()),
    };
    let _ = write(log_handle(), log::Level::Error, line.text());
    put_out(&mut line, IfFull::Drop);
    gate::exit(PANICKED)
}
