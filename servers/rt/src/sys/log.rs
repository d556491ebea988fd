//! The `log` crate's backend, and the last words of a program that panics.

use core::fmt::{self, Write};
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicU64, Ordering};

use abi::{Call, Error, Handle};

use super::gate;
use super::object::{Borrowed, Log, Object};

/// Exit code of a program that panicked.
pub const PANICKED: i32 = 101;

/// Longest text of a record; what is beyond it is cut off.
const TEXT_BYTES: usize = 512;

pub(super) static LOG: AtomicU64 = AtomicU64::new(0);

/// This process's handle of the log, for starting programs that write there too.
#[must_use]
pub fn this_log() -> Borrowed<'static, Log> {
    Borrowed::new(Handle(LOG.load(Ordering::Relaxed)))
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
    bytes: [u8; TEXT_BYTES],
    len: usize,
}

impl Line {
    const fn new() -> Self {
        Self {
            bytes: [0; TEXT_BYTES],
            len: 0,
        }
    }

    fn text(&self) -> &str {
        let bytes = self.bytes.get(..self.len).unwrap_or_default();
        core::str::from_utf8(bytes).unwrap_or_default()
    }
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
        LOG.load(Ordering::Relaxed) != 0
    }

    fn log(&self, record: &log::Record<'_>) {
        let mut line = Line::new();
        // Writing into a line does not fail; a `Display` of the caller's that does ends its text there.
        let _ = line.write_fmt(*record.args());
        // There is nowhere to say that the log cannot be written.
        let _ = write(
            Handle(LOG.load(Ordering::Relaxed)),
            record.level(),
            line.text(),
        );
    }

    fn flush(&self) {}
}

/// Makes `log`'s macros write to this handle.
pub(super) fn install(handle: Handle) {
    LOG.store(handle.0, Ordering::Relaxed);
    // Only the first call does anything, and one is enough.
    if log::set_logger(&Backend).is_ok() {
        log::set_max_level(log::LevelFilter::Trace);
    }
}

/// Writes a line into the log, for programs that have something to say but do not use the `log` crate.
pub fn print(arguments: fmt::Arguments<'_>) {
    log::logger().log(
        &log::Record::builder()
            .level(log::Level::Info)
            .args(arguments)
            .build(),
    );
}

/// Says where and why, and ends the process: what [`entry!`](crate::entry) makes a program's panic handler.
pub fn panicked(info: &PanicInfo<'_>) -> ! {
    let mut line = Line::new();
    let _ = match info.location() {
        Some(place) => write!(line, "panicked at {place}: {}", info.message()),
        None => write!(line, "panicked: {}", info.message()),
    };
    let _ = write(
        Handle(LOG.load(Ordering::Relaxed)),
        log::Level::Error,
        line.text(),
    );
    gate::exit(PANICKED)
}
