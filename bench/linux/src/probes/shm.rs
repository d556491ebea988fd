//! Bytes through shared memory: a producer copies into a ring of pieces, a consumer out of it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use super::places;
use crate::Outcome;
use crate::report::Report;
use crate::sys::{self, Lane};

const LANES: usize = (64 << 10) / size_of::<Lane>();
const PIECES: usize = 16;
/// How many are sent: 256 MiB.
const COUNT: u32 = 4096;

/// What both sides have.
struct Ring {
    /// Never contended: whose turn it is says the counters.
    pieces: Vec<Mutex<Vec<Lane>>>,
    /// Pieces written, pieces read; told with each.
    written: AtomicU32,
    read: AtomicU32,
}

fn piece() -> Vec<Lane> {
    vec![Lane([7; 16]); LANES]
}

impl Ring {
    fn produce(&self) {
        let from = piece();
        for number in 0..COUNT {
            loop {
                let read = self.read.load(Ordering::Acquire);
                if number - read < PIECES as u32 {
                    break;
                }
                sys::futex_wait(&self.read, read, false);
            }
            if let Ok(mut to) = self.pieces[number as usize % PIECES].lock() {
                sys::copy_lanes(&from, &mut to);
            }
            self.written.store(number + 1, Ordering::Release);
            sys::futex_wake(&self.written, false);
        }
    }

    fn consume(&self) {
        let mut to = piece();
        for number in 0..COUNT {
            while self.written.load(Ordering::Acquire) == number {
                sys::futex_wait(&self.written, number, false);
            }
            if let Ok(from) = self.pieces[number as usize % PIECES].lock() {
                sys::copy_lanes(&from, &mut to);
            }
            self.read.store(number + 1, Ordering::Release);
            sys::futex_wake(&self.read, false);
        }
    }
}

pub fn all(report: &mut Report) -> Outcome {
    for (word, cpu) in places() {
        let ring = Ring {
            pieces: (0..PIECES).map(|_| Mutex::new(piece())).collect(),
            written: AtomicU32::new(0),
            read: AtomicU32::new(0),
        };
        let start_ns = sys::now_ns();
        std::thread::scope(|scope| {
            let consumer = scope.spawn(|| sys::pin([cpu]).map(|()| ring.consume()));
            ring.produce();
            consumer.join().map_err(|_| "the consumer panicked")
        })??;
        let took_ns = sys::now_ns() - start_ns;
        let bytes = u64::from(COUNT) * (LANES * size_of::<Lane>()) as u64;
        report.rate(
            &format!("shm.copy.{word}"),
            "GB/s",
            bytes * 1000 / took_ns.max(1),
        )?;
    }
    Ok(())
}
