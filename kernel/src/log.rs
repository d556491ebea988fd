//! The kernel's log: every record goes to a ring in memory. While the kernel starts, records also go straight to
//! the serial port and the screen; later the consoles follow the ring as tasks do.
//!
//! The ring's lock is a leaf: nothing else is locked while it is held. Top halves do not log; should an exception
//! handler log while the ring is locked under it, the record is counted as missed instead of waiting for ever.

use core::fmt::Write;
use core::future::poll_fn;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use core::task::Poll;

use futures_util::task::AtomicWaker;
use hal::cpu::percpu;
use hal::cpu::report;
use kerncore::log_ring::{Cursor, LogRing, Next, RecordCopy, Stamp};
use log::{Level, LevelFilter, Log, Metadata, Record};
use spin::{Mutex, MutexGuard};

use crate::{output, screen};

/// Room for about a thousand records.
const RING_BYTES: usize = 96 * 1024;
const RING_RECORDS: usize = 1024;
/// Consoles and `dmesg --follow`s at once.
const MOST_FOLLOWERS: usize = 8;

type Ring = LogRing<RING_BYTES, RING_RECORDS>;

static RING: Mutex<Ring> = Mutex::new(Ring::new());
static WRITTEN: AtomicU64 = AtomicU64::new(0);
static MISSED: AtomicU64 = AtomicU64::new(0);
static STARTING: AtomicBool = AtomicBool::new(true);
static CONSOLE_LEVEL: AtomicU8 = AtomicU8::new(Level::Info as u8);
static SERIAL_ON: AtomicBool = AtomicBool::new(true);

struct Seat {
    taken: AtomicBool,
    waker: AtomicWaker,
}

static SEATS: [Seat; MOST_FOLLOWERS] = [const {
    Seat {
        taken: AtomicBool::new(false),
        waker: AtomicWaker::new(),
    }
}; MOST_FOLLOWERS];

struct KernelLog;

impl Log for KernelLog {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        // The `log` crate has compared the level already.
        true
    }

    fn log(&self, record: &Record<'_>) {
        if crate::process::resident::says(record) {
            return;
        }
        let stamp = Stamp {
            time_ticks: hal::time::now_ticks(),
            level: record.level(),
            core: percpu::core_number() as u16,
            target: record.target().rsplit("::").next().unwrap_or_default(),
        };
        let Some(mut ring) = lock() else {
            MISSED.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let missed = MISSED.swap(0, Ordering::Relaxed);
        if missed > 0 {
            let stamp = Stamp {
                level: Level::Warn,
                target: "log",
                ..stamp
            };
            ring.push_fmt(
                stamp,
                format_args!(
                    "{missed} records of exception handlers were lost: the log was in use"
                ),
            );
            WRITTEN.fetch_add(1, Ordering::Release);
        }
        ring.push_fmt(stamp, *record.args());
        drop(ring);
        WRITTEN.fetch_add(1, Ordering::Release);
        if STARTING.load(Ordering::Relaxed) {
            echo_newest();
        }
        for seat in &SEATS {
            seat.waker.wake();
        }
    }

    fn flush(&self) {}
}

/// The ring; in a handler only if nobody holds it.
fn lock() -> Option<MutexGuard<'static, Ring>> {
    if percpu::here_word() & percpu::IN_INTERRUPT != 0 {
        RING.try_lock()
    } else {
        Some(RING.lock())
    }
}

/// Starts logging. Call once, before the first record.
pub fn init() {
    // The one other outcome is that it was set before.
    let _ = log::set_logger(&KernelLog);
    log::set_max_level(LevelFilter::Debug);
}

/// Chooses what consoles show (`loglevel=`), and whether the serial console shows any (`log.serial=`).
pub fn set_console(level: LevelFilter, serial: bool) {
    CONSOLE_LEVEL.store(level as u8, Ordering::Relaxed);
    SERIAL_ON.store(serial, Ordering::Relaxed);
    log::set_max_level(level.max(LevelFilter::Debug));
}

/// Whether consoles show records of `level`.
pub fn is_shown(level: Level) -> bool {
    level as u8 <= CONSOLE_LEVEL.load(Ordering::Relaxed)
}

/// Whether the serial console shows the log.
pub fn is_serial_on() -> bool {
    SERIAL_ON.load(Ordering::Relaxed)
}

/// Ends the direct echo: from now on consoles follow the ring.
pub fn end_start_up() {
    STARTING.store(false, Ordering::Relaxed);
}

/// A cursor behind the newest record.
pub fn end() -> Cursor {
    let mut cursor = Cursor::START;
    while !matches!(next(&mut cursor), Step::End) {}
    cursor
}

/// What [`next`] found.
#[expect(
    clippy::large_enum_variant,
    reason = "lives on the stack for a moment; a box would allocate"
)]
pub enum Step {
    /// A record; the cursor is behind it.
    Record(RecordCopy),
    /// This many records were overwritten before they were read.
    Lost(u64),
    /// There is none yet.
    End,
}

/// The record at `cursor`, which moves on.
pub fn next(cursor: &mut Cursor) -> Step {
    match RING.lock().next(cursor) {
        Next::Record(record) => Step::Record(record.to_copy()),
        Next::Lost(count) => Step::Lost(count),
        Next::End => Step::End,
    }
}

/// Shows what has not been shown yet on the serial port, and on the screen once there is one.
fn echo_newest() {
    static SERIAL: Mutex<Cursor> = Mutex::new(Cursor::START);
    static SCREEN: Mutex<Cursor> = Mutex::new(Cursor::START);
    if is_serial_on() {
        show_up_to_now(&mut SERIAL.lock(), report::write_serial_polled);
    }
    if screen::is_up() {
        show_up_to_now(&mut SCREEN.lock(), screen::write_early);
    }
}

fn show_up_to_now(cursor: &mut Cursor, show: fn(&str)) {
    while let Step::Record(record) = next(cursor) {
        if is_shown(record.level) {
            let mut line = heapless::String::<{ output::LINE_BYTES }>::new();
            // Sized for the longest record.
            let _ = writeln!(line, "{}", record.line(uptime_ns(record.time_ticks)));
            show(&line);
        }
    }
}

/// Nanoseconds from the kernel's entry to `ticks`.
pub fn uptime_ns(ticks: u64) -> u64 {
    hal::time::ticks_to_ns(ticks.saturating_sub(hal::boot::boot_info().entry_ticks))
}

/// Waits until records have been written beyond the one numbered `sequence`.
pub async fn grown(sequence: u64) {
    match Follower::new() {
        Some(follower) => follower.grown(Cursor::at(sequence)).await,
        // Every place is taken: the caller looks again after a while instead.
        None => crate::exec::sleep(core::time::Duration::from_millis(500)).await,
    }
}

/// A place among those who are told when the log grows.
pub struct Follower(&'static Seat);

impl Follower {
    /// Takes a free place; `None` if all are taken.
    pub fn new() -> Option<Self> {
        SEATS
            .iter()
            .find(|seat| !seat.taken.swap(true, Ordering::AcqRel))
            .map(Self)
    }

    /// Waits until more records have been written than `cursor` has passed.
    pub async fn grown(&self, cursor: Cursor) {
        poll_fn(|context| {
            self.0.waker.register(context.waker());
            if WRITTEN.load(Ordering::Acquire) > cursor.sequence() {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.0.waker.take();
        self.0.taken.store(false, Ordering::Release);
    }
}
