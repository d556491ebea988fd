//! The recorder: what every core does, for as long as somebody wants to know.
//!
//! While it is off, each moment costs the look whether it is on. [`start`] takes memory once, and keeps it for the next time.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use executor::{Ended, Event, Moment};
use kerncore::trace::{Buffer, Kind, Place, Record};
use spin::Once;

use crate::cpu::percpu::{self, MAX_CORES};
use crate::time;

/// Records of a core, where there are few cores, and of all together.
const RECORDS: usize = 16_384;
const RECORDS_IN_ALL: usize = 8 * RECORDS;

static ON: AtomicBool = AtomicBool::new(false);
static BUFFERS: [Once<Buffer<'static>>; MAX_CORES] = [const { Once::new() }; MAX_CORES];

/// Whether moments are recorded.
#[inline(always)]
pub fn is_on() -> bool {
    ON.load(Ordering::Relaxed)
}

/// There is no memory for the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoMemory;

/// Forgets what there is and records from now on. Whoever asks last is right.
///
/// # Errors
/// [`NoMemory`]; nothing is recorded then.
pub fn start() -> Result<(), NoMemory> {
    stop();
    let cores = percpu::count() as usize;
    let places = RECORDS.min(RECORDS_IN_ALL / cores.max(1));
    for buffer in BUFFERS.iter().take(cores) {
        if let Some(buffer) = buffer.get() {
            buffer.clear();
            continue;
        }
        let mut memory = Vec::new();
        memory.try_reserve_exact(places).map_err(|_| NoMemory)?;
        memory.resize_with(places, Place::default);
        buffer.call_once(|| Buffer::new(memory.leak()));
    }
    ON.store(true, Ordering::Release);
    Ok(())
}

/// Records no more.
pub fn stop() {
    ON.store(false, Ordering::Release);
}

/// The record of this number of a core's.
pub fn get(core: u32, index: usize) -> Option<Record> {
    BUFFERS.get(core as usize)?.get()?.get(index)
}

/// How many records a core has, and how many found no place.
pub fn counts(core: u32) -> (usize, usize) {
    BUFFERS
        .get(core as usize)
        .and_then(Once::get)
        .map_or((0, 0), |buffer| (buffer.len(), buffer.lost()))
}

/// Records something on this core, from any context.
#[cold]
pub fn note(kind: Kind, task: u64, value: u64) {
    let buffer = BUFFERS.get(percpu::core_number() as usize);
    if let Some(buffer) = buffer.and_then(Once::get) {
        buffer.push(Record {
            at_ticks: time::now_ticks(),
            kind,
            task,
            value,
        });
    }
}

pub(crate) fn moment(moment: Moment) {
    match moment {
        Moment::Woken { task } => {
            let interrupt = percpu::here_word() & percpu::IN_INTERRUPT != 0;
            note(Kind::Woken, task.to_bits(), u64::from(interrupt));
        }
        Moment::Begins { task, deadline } => note(Kind::Begins, task.to_bits(), deadline),
        Moment::Ends {
            task,
            how,
            throttled,
        } => {
            let how = match how {
                Ended::Ready => 0,
                Ended::Waits => 1,
                Ended::Over => 2,
            };
            note(Kind::Ends, task.to_bits(), how | u64::from(throttled) << 2);
        }
        _ => {}
    }
}

pub(crate) fn event(event: &Event) {
    if let Event::Missed {
        task,
        late_ticks,
        cause,
        ..
    } = *event
    {
        note(Kind::Missed, task.to_bits(), late_ticks << 8 | cause as u64);
    }
}

/// The task of a record, if it has one.
#[must_use]
pub fn task_of(record: &Record) -> Option<executor::TaskId> {
    (record.task != 0).then(|| executor::TaskId::from_bits(record.task))
}
