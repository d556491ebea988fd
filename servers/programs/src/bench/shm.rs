//! Bytes through shared memory: a producer copies into a ring of pieces, a consumer out of it.

use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use abi::memory::MapFlags;
use abi::{Error, FOREVER};
use rt::sys::memory::{Lane, Mapping, copy_lanes_into, copy_lanes_out_of};
use rt::sys::object::{Notification, Vmo};
use rt::sys::{clock, thread};

use crate::report::Report;
use crate::{CORE, Failed, OTHER_CORE, Outcome};

const PIECE_BYTES: usize = 64 << 10;
const PIECES: u64 = 16;
/// How many are sent: 256 MiB.
const COUNT: u64 = 4096;

/// What both sides have.
struct Ring {
    memory: Mapping,
    /// Pieces written, pieces read.
    written: AtomicU64,
    read: AtomicU64,
    /// Told with each piece written, with each piece read.
    more: Notification,
    room: Notification,
}

impl Ring {
    fn at(number: u64) -> usize {
        (number % PIECES) as usize * PIECE_BYTES
    }

    fn produce(&self, piece: &[Lane]) -> Outcome {
        for number in 0..COUNT {
            while number - self.read.load(Ordering::Acquire) == PIECES {
                self.room.take_blocking(FOREVER)?;
            }
            if !copy_lanes_into(&self.memory, Self::at(number), piece) {
                return Err(Failed::Because("the ring is too small"));
            }
            self.written.store(number + 1, Ordering::Release);
            self.more.signal(1)?;
        }
        Ok(())
    }

    fn consume(&self, piece: &mut [Lane]) -> Outcome {
        for number in 0..COUNT {
            while self.written.load(Ordering::Acquire) == number {
                self.more.take_blocking(FOREVER)?;
            }
            if !copy_lanes_out_of(&self.memory, Self::at(number), piece) {
                return Err(Failed::Because("the ring is too small"));
            }
            self.read.store(number + 1, Ordering::Release);
            self.room.signal(1)?;
        }
        Ok(())
    }
}

pub fn all(report: &mut Report) -> Outcome {
    for (word, core) in [("same", CORE), ("cross", OTHER_CORE)] {
        if core < clock::page().cores {
            let rate = copies(core)?;
            report.rate(&format!("shm.copy.{word}"), "GB/s", rate)?;
        }
    }
    Ok(())
}

fn piece() -> Outcome<Vec<Lane>> {
    let count = PIECE_BYTES / size_of::<Lane>();
    let mut lanes = Vec::new();
    let made = lanes.try_reserve_exact(count);
    made.map_err(|_| Failed::Call(Error::NoMemory))?;
    lanes.resize(count, Lane([7; 16]));
    Ok(lanes)
}

/// Megabytes a second, thousandths of gigabytes (10^9), from this core to `core`.
fn copies(core: u32) -> Outcome<u64> {
    let bytes = PIECES * PIECE_BYTES as u64;
    let ring = Arc::new(Ring {
        memory: Vmo::create(bytes)?.map(0, bytes, MapFlags::WRITE)?,
        written: AtomicU64::new(0),
        read: AtomicU64::new(0),
        more: Notification::create()?,
        room: Notification::create()?,
    });
    let (theirs, ours) = (Arc::clone(&ring), piece()?);
    let mut to = piece()?;
    let start_ns = clock::now_ns();
    let consumer = thread::spawn_with(thread::STACK_BYTES, core, move || {
        if let Err(failed) = theirs.consume(&mut to) {
            log::error!("{failed}");
        }
    })?;
    ring.produce(&ours)?;
    consumer.join_blocking(FOREVER)?;
    let took_ns = clock::now_ns() - start_ns;
    Ok(COUNT * PIECE_BYTES as u64 * 1000 / took_ns.max(1))
}
