//! Traces as processes read them: `system`'s table of what the cores did.

use abi::Error;
use hal::cpu::percpu;
use hal::trace;
use kerncore::trace::{Kind, Record};
use proto::{Cursor, TaskId};
use proto::{TaskState, TraceRow, Traced};

use crate::log::uptime_ns;
use crate::process::process::{self, Process};
use crate::process::thread::Thread;

/// Records from now on.
///
/// # Errors
/// [`Error::NoMemory`].
pub fn start() -> Result<(), Error> {
    trace::start().map_err(|trace::NoMemory| Error::NoMemory)?;
    // Threads that start later say so themselves.
    process::for_each(|process| {
        process.for_each_task(|task| thread(task, process.id()));
    });
    Ok(())
}

/// Notes that a task is a thread of this process.
pub fn thread(task: executor::TaskId, process: u64) {
    if trace::is_on() {
        trace::note(Kind::Thread, task.to_bits(), process);
    }
}

/// Notes that ring 3 is entered for a process, to serve this thread's task, so many calls deep.
#[cold]
pub fn runs(own: &Thread, process: &Process, depth: usize) {
    if let Some(task) = own.task() {
        let value = process.id() << 8 | depth as u64 & 0xff;
        trace::note(Kind::Runs, task.to_bits(), value);
    }
}

/// Rows after `cursor`, which is a core and the number of its next record.
pub fn rows(cursor: &mut Cursor, page: &mut [TraceRow]) -> usize {
    let mut count = 0;
    let mut core = (cursor.0 >> 32) as u32;
    let mut next = cursor.0 & u64::from(u32::MAX);
    for place in page {
        let row = loop {
            if core >= percpu::count() {
                return count;
            }
            let (len, lost) = trace::counts(core);
            let index = next as usize;
            next += 1;
            if index < len {
                // One that was about to be written when the recorder stopped is left out.
                let Some(record) = trace::get(core, index) else {
                    continue;
                };
                break row(core, &record);
            }
            if index == len && lost != 0 {
                break TraceRow {
                    core: core as u16,
                    what: Traced::Lost { count: lost as u64 },
                    ..TraceRow::default()
                };
            }
            core += 1;
            next = 0;
        };
        *place = row;
        count += 1;
        cursor.0 = u64::from(core) << 32 | next;
    }
    count
}

fn row(core: u32, record: &Record) -> TraceRow {
    let value = record.value;
    let what = match record.kind {
        Kind::Woken if value != 0 => Traced::WokenByInterrupt,
        Kind::Woken => Traced::Woken,
        Kind::Begins => Traced::Begins {
            deadline_ns: (value != u64::MAX).then(|| uptime_ns(value)),
        },
        Kind::Ends => Traced::Ends {
            state: match value & 3 {
                0 => TaskState::Queued,
                1 => TaskState::Waiting,
                _ => TaskState::Done,
            },
            throttled: value & 4 != 0,
        },
        Kind::Runs => Traced::Runs {
            process: value >> 8,
            depth: value as u8,
        },
        Kind::Missed => Traced::Missed {
            late_ns: hal::time::ticks_to_ns(value >> 8),
            cause: value as u8,
        },
        Kind::Thread => Traced::Thread { process: value },
        Kind::Interrupt => Traced::Interrupt {
            vector: value as u8,
        },
    };
    let task = trace::task_of(record).map_or_else(TaskId::default, |task| TaskId {
        core: task.core().index() as u16,
        slot: task.slot(),
        generation: u32::try_from(task.generation()).unwrap_or(u32::MAX),
    });
    TraceRow {
        core: core as u16,
        at_ns: uptime_ns(record.at_ticks),
        task,
        what,
    }
}
