//! Delays on purpose, inside the paths that are measured: with them a test shows that every gate of `bench/goals.toml` would notice.
//!
//! Each path has one [`Point`], where it calls [`at`]. Nobody depends on this crate but through a feature `inject`, and calls stand behind
//! that feature: a build without it is as if the calls were not written (a test compares the two). With it, the word `inject=METRIC:AMOUNT` on
//! the kernel's command line (or, for what ring 3 does by itself, the same as an argument of `programs/bench`) makes the metric's path that much longer.
#![no_std]
#![forbid(unsafe_code)]

use core::hint::black_box;
use core::sync::atomic::{AtomicU32, Ordering};

/// A place in a measured path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// The cheapest system call, where it is answered.
    NullCall,
    /// A program reads the clock.
    ClockRead,
    /// A thread lets others run.
    Switch,
    /// A thread wakes whoever waits for a notification.
    Wake,
    /// A call to another process.
    Call,
    /// A call to a server in the kernel.
    ResidentCall,
    /// A thread is started.
    ThreadStart,
    /// The time that somebody waited for has come.
    Timer,
    /// An interrupt's driver is woken.
    Interrupt,
    /// A task wakes another.
    TaskWake,
    /// A task is spawned.
    TaskSpawn,
    /// Bytes that each thread takes.
    ThreadBytes,
}

/// Which metrics lead through which point: the first whose name the metric's begins with.
const POINTS: [(&str, Point); 16] = [
    ("syscall.null", Point::NullCall),
    ("clock.read", Point::ClockRead),
    ("ctxsw.", Point::Switch),
    ("wake.", Point::Wake),
    ("pingpong.notification.", Point::Wake),
    ("ipc64.call.same.resident", Point::ResidentCall),
    ("ipc64.call.", Point::Call),
    ("thread.create_join.", Point::ThreadStart),
    ("thread.10k.spawn_each", Point::ThreadStart),
    ("thread.10k.bytes_each", Point::ThreadBytes),
    ("timer1k.", Point::Timer),
    ("frame120.", Point::Timer),
    ("input.", Point::Interrupt),
    ("net.", Point::Interrupt),
    ("exec.wake.", Point::TaskWake),
    ("exec.spawn_finish", Point::TaskSpawn),
];

const COUNT: usize = Point::ThreadBytes as usize + 1;
static AMOUNTS: [AtomicU32; COUNT] = [const { AtomicU32::new(0) }; COUNT];

/// The point in the path of `metric`, if it has one.
#[must_use]
pub fn point_of(metric: &str) -> Option<Point> {
    let mut points = POINTS.iter();
    points
        .find(|(prefix, _)| metric.starts_with(prefix))
        .map(|(_, point)| *point)
}

/// Obeys a word `METRIC:AMOUNT`; `false` if there is no such metric or amount.
pub fn obey(word: &str) -> bool {
    let Some((metric, amount)) = word.split_once(':') else {
        return false;
    };
    match (point_of(metric), amount.parse()) {
        (Some(point), Ok(amount)) => {
            AMOUNTS[point as usize].store(amount, Ordering::Relaxed);
            true
        }
        _ => false,
    }
}

/// What was asked for at `point`: instructions or bytes; 0 if nothing was.
#[must_use]
pub fn amount(point: Point) -> u32 {
    AMOUNTS[point as usize].load(Ordering::Relaxed)
}

/// Takes about as many instructions as were asked for at `point`.
#[inline]
pub fn at(point: Point) {
    // Of a round of the loop, as it is compiled.
    const EACH: u32 = 4;
    for round in 0..amount(point) / EACH {
        black_box(round);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_obeyed() {
        assert!(obey("wake.futex.same:500"));
        assert_eq!(amount(Point::Wake), 500);
        assert!(obey("ipc64.call.same.resident:7"));
        assert_eq!(amount(Point::ResidentCall), 7);
        assert_eq!(amount(Point::Call), 0);
        for wrong in ["", "wake.futex.same", "wake.futex.same:x", "no.such:5"] {
            assert!(!obey(wrong), "{wrong}");
        }
        at(Point::Wake);
    }
}
