//! One serial port of the guest over a Unix socket.

use crate::error::{Doing, Result};
use std::fmt;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The words that open the kernel's panic report.
pub const PANIC_MARK: &[u8] = b"RAEDE PANIC";
/// Starts of the report's last line. A kernel too broken to reach it is taken to have ended when
/// it has been silent for [`PANIC_SILENCE`].
pub const PANIC_END_MARKS: [&[u8]; 3] = [
    b"\nthe system is stopped",
    b"\nswitching off",
    b"\nrebooting",
];
/// See [`PANIC_END_MARKS`].
const PANIC_SILENCE: Duration = Duration::from_secs(3);
/// How much of the transcript a failure shows.
const TAIL_BYTES: usize = 3000;

/// Why an awaited text did not come. Each carries the end of the transcript.
#[derive(Debug)]
pub enum WaitError {
    /// The limit passed.
    TimedOut {
        /// What was awaited.
        awaited: String,
        /// The limit.
        limit: Duration,
        /// The transcript's end.
        tail: String,
    },
    /// QEMU closed the port: it ended.
    Closed {
        /// What was awaited.
        awaited: String,
        /// The transcript's end.
        tail: String,
    },
    /// The kernel panicked.
    Panicked {
        /// What came unread before the report.
        before: String,
        /// The whole report.
        report: String,
    },
}

impl fmt::Display for WaitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WaitError::TimedOut {
                awaited,
                limit,
                tail,
            } => {
                write!(
                    f,
                    "{awaited} did not come within {:.1} s",
                    limit.as_secs_f64()
                )?;
                write_tail(f, tail)
            }
            WaitError::Closed { awaited, tail } => {
                write!(f, "the machine ended before {awaited} came")?;
                write_tail(f, tail)
            }
            WaitError::Panicked { report, .. } => write!(f, "the kernel panicked:\n{report}"),
        }
    }
}

impl std::error::Error for WaitError {}

fn write_tail(f: &mut fmt::Formatter<'_>, tail: &str) -> fmt::Result {
    if tail.is_empty() {
        write!(f, "; the serial port stayed silent")
    } else {
        write!(f, "; the serial port's last words:\n{tail}")
    }
}

#[derive(Default)]
struct Received {
    bytes: Vec<u8>,
    closed: bool,
}

#[derive(Default)]
struct Shared {
    received: Mutex<Received>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Received> {
        // The reader thread only appends: what it held stays usable.
        self.received.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A serial port: all it ever said, a read position, and a way to write.
pub struct Serial {
    shared: Arc<Shared>,
    stream: UnixStream,
    /// Bytes before this have been consumed by waits.
    read: usize,
}

impl fmt::Debug for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serial")
            .field("read", &self.read)
            .finish_non_exhaustive()
    }
}

impl Serial {
    /// Starts reading the connected socket.
    pub fn new(stream: UnixStream) -> Result<Serial> {
        let shared = Arc::new(Shared::default());
        let mut reader = stream
            .try_clone()
            .doing(|| "cloning a serial socket".into())?;
        let writer = Arc::clone(&shared);
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            loop {
                // An error means the peer is gone, as an end of file does.
                let count = reader.read(&mut buffer).unwrap_or(0);
                let mut received = writer.lock();
                received.bytes.extend_from_slice(&buffer[..count]);
                received.closed = count == 0;
                writer.changed.notify_all();
                if count == 0 {
                    return;
                }
            }
        });
        Ok(Serial {
            shared,
            stream,
            read: 0,
        })
    }

    /// Sends bytes to the guest.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> Result<()> {
        self.stream
            .write_all(bytes.as_ref())
            .doing(|| "writing to the serial port".into())
    }

    /// Everything received so far.
    pub fn transcript(&self) -> Vec<u8> {
        self.shared.lock().bytes.clone()
    }

    /// The end of the transcript as text, from a line's start.
    pub fn tail(&self) -> String {
        tail_of(&self.shared.lock().bytes)
    }

    /// The core of all waits: calls `find` with the unread bytes whenever some arrive, until it
    /// answers how many of them it consumed and what it found.
    ///
    /// Fails early when the machine ends or the kernel panics.
    pub fn wait_until<T>(
        &mut self,
        awaited: &str,
        limit: Duration,
        mut find: impl FnMut(&[u8]) -> Option<(usize, T)>,
    ) -> std::result::Result<T, WaitError> {
        let end = Instant::now() + limit;
        let shared = Arc::clone(&self.shared);
        let mut received = shared.lock();
        loop {
            let unread = received.bytes.get(self.read..).unwrap_or_default();
            if let Some((consumed, found)) = find(unread) {
                self.read += consumed;
                return Ok(found);
            }
            if let Some(start) = position(unread, PANIC_MARK) {
                let before = String::from_utf8_lossy(&unread[..start]).replace('\r', "");
                drop(received);
                let report = self.panic_report(start);
                return Err(WaitError::Panicked { before, report });
            }
            if received.closed {
                let tail = tail_of(&received.bytes);
                return Err(WaitError::Closed {
                    awaited: awaited.into(),
                    tail,
                });
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let tail = tail_of(&received.bytes);
                return Err(WaitError::TimedOut {
                    awaited: awaited.into(),
                    limit,
                    tail,
                });
            }
            received = shared
                .changed
                .wait_timeout(received, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Waits for a text and consumes everything up to its end; gives what came before it.
    pub fn wait_for(
        &mut self,
        text: &str,
        limit: Duration,
    ) -> std::result::Result<String, WaitError> {
        self.wait_until(&format!("{text:?}"), limit, |unread| {
            let at = position(unread, text.as_bytes())?;
            Some((
                at + text.len(),
                String::from_utf8_lossy(&unread[..at]).into_owned(),
            ))
        })
    }

    /// Waits for a complete line that contains the text, consumes up to its end and gives it.
    pub fn wait_line(
        &mut self,
        text: &str,
        limit: Duration,
    ) -> std::result::Result<String, WaitError> {
        self.wait_until(&format!("a line with {text:?}"), limit, |unread| {
            let at = position(unread, text.as_bytes())?;
            let start = unread[..at]
                .iter()
                .rposition(|&b| b == b'\n')
                .map_or(0, |n| n + 1);
            let end = at + unread[at..].iter().position(|&b| b == b'\n')?;
            let line = String::from_utf8_lossy(&unread[start..end]);
            Some((end + 1, line.trim_end_matches('\r').to_owned()))
        })
    }

    /// Waits for the kernel's panic report and gives it whole.
    pub fn wait_panic(&mut self, limit: Duration) -> std::result::Result<String, WaitError> {
        let never = |_: &[u8]| None::<(usize, ())>;
        match self.wait_until("a panic report", limit, never) {
            Err(WaitError::Panicked { report, .. }) => Ok(report),
            Err(other) => Err(other),
            Ok(()) => Ok(self.panic_report(0)),
        }
    }

    /// Whether the other side has closed the port.
    pub fn closed(&self) -> bool {
        self.shared.lock().closed
    }

    /// Collects the report whose mark is `start` bytes after the read position, and consumes it.
    fn panic_report(&mut self, start: usize) -> String {
        let shared = Arc::clone(&self.shared);
        let mut received = shared.lock();
        let from = self.read + start;
        let from = received.bytes[..from]
            .iter()
            .rposition(|&b| b == b'\n')
            .map_or(0, |n| n + 1);
        let end = loop {
            let report = &received.bytes[from..];
            let last_line = PANIC_END_MARKS
                .iter()
                .filter_map(|mark| position(report, mark))
                .min();
            if let Some(start) = last_line
                && let Some(length) = position(&report[start + 1..], b"\n")
            {
                break from + start + 1 + length + 1;
            }
            let before = received.bytes.len();
            if received.closed {
                break before;
            }
            let (guard, timeout) = shared
                .changed
                .wait_timeout(received, PANIC_SILENCE)
                .unwrap_or_else(PoisonError::into_inner);
            received = guard;
            if timeout.timed_out() && received.bytes.len() == before {
                break before;
            }
        };
        self.read = end;
        String::from_utf8_lossy(&received.bytes[from..end]).replace('\r', "")
    }
}

/// Where `needle` starts in `hay`.
pub fn position(hay: &[u8], needle: &[u8]) -> Option<usize> {
    hay.windows(needle.len().max(1))
        .position(|window| window == needle)
}

fn tail_of(bytes: &[u8]) -> String {
    let mut tail = &bytes[bytes.len().saturating_sub(TAIL_BYTES)..];
    if tail.len() < bytes.len() {
        let line = tail.iter().position(|&b| b == b'\n').map_or(0, |n| n + 1);
        tail = &tail[line..];
    }
    String::from_utf8_lossy(tail)
        .replace('\r', "")
        .replace('\u{1e}', "␞")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(50);
    const LATE: Duration = Duration::from_secs(20);

    fn pair() -> (Serial, UnixStream) {
        let (ours, theirs) = UnixStream::pair().expect("a socket pair");
        (Serial::new(ours).expect("a serial port"), theirs)
    }

    #[test]
    fn waits_consume_in_order_and_across_writes() {
        let (mut serial, mut guest) = pair();
        guest.write_all(b"one two thr").expect("write");
        assert_eq!(serial.wait_for("two", LATE).expect("two"), "one ");
        let writer = thread::spawn(move || guest.write_all(b"ee\r\nlast line\r\n").map(|()| guest));
        assert_eq!(serial.wait_line("three", LATE).expect("three"), " three");
        assert_eq!(serial.wait_line("last", LATE).expect("last"), "last line");
        let guest = writer.join().expect("writer").expect("write");
        assert!(matches!(
            serial.wait_for("more", SOON),
            Err(WaitError::TimedOut { .. })
        ));
        drop(guest);
        assert!(matches!(
            serial.wait_for("more", LATE),
            Err(WaitError::Closed { .. })
        ));
    }

    #[test]
    fn a_panic_ends_a_wait_with_its_whole_report() {
        let (mut serial, mut guest) = pair();
        guest
            .write_all(b"fine\n--- RAEDE PANIC core 1\nwhy\nthe system is stopped; so\nrest")
            .expect("write");
        match serial.wait_for("prompt", LATE) {
            Err(WaitError::Panicked { report, .. }) => {
                assert_eq!(
                    report,
                    "--- RAEDE PANIC core 1\nwhy\nthe system is stopped; so\n"
                );
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(serial.wait_for("rest", LATE).expect("rest"), "");
    }

    #[test]
    fn text_before_a_panic_is_still_found() {
        let (mut serial, mut guest) = pair();
        guest.write_all(b"ready\nRAEDE PANIC\n").expect("write");
        drop(guest);
        serial.wait_for("ready", LATE).expect("it came first");
        assert_eq!(serial.wait_panic(LATE).expect("report"), "RAEDE PANIC\n");
    }
}
