//! Loops that have something to do again and again, at a time.

use std::hint::black_box;

use crate::load::Load;
use crate::report::Report;
use crate::{Outcome, sys};

const TIMER_NS: u64 = 1_000_000;
const FRAME_NS: u64 = 8_333_333;
/// What a frame may take.
const FRAME_BUDGET_NS: u64 = 4_000_000;
/// What a frame blends.
const FRAME_BYTES: usize = 512 << 10;
const TIMER_PRIORITY: i32 = 90;
const MOST_CPUS: usize = 64;

/// How a loop is scheduled.
#[derive(Clone, Copy)]
enum Class {
    Other,
    Fifo,
    Deadline,
}

pub fn all(report: &mut Report, seconds: u64) -> Outcome {
    for (load, name) in [(false, "idle"), (true, "load")] {
        let _load = load.then(Load::start).transpose()?;
        let periods = seconds * 1_000_000_000 / TIMER_NS;
        let mut late = on_all_cpus(periods)?;
        missed(report, &format!("timer1k.{name}"), &late, TIMER_NS)?;
        report.ns(&format!("timer1k.{name}"), &mut late)?;
        for (class, word) in [
            (Class::Other, "other"),
            (Class::Fifo, "fifo"),
            (Class::Deadline, "deadline"),
        ] {
            let mut picture = vec![0x40_u8; FRAME_BYTES];
            let frames = seconds * 1_000_000_000 / FRAME_NS;
            let [mut start, mut finish] = run(class, FRAME_NS, frames, || blend(&mut picture))?;
            let metric = format!("frame120.{word}.{name}");
            missed(report, &metric, &finish, FRAME_NS)?;
            report.ns(&format!("{metric}.start"), &mut start)?;
            report.ns(&format!("{metric}.finish"), &mut finish)?;
        }
    }
    Ok(())
}

/// The timer's lateness on each CPU, all at the same time.
fn on_all_cpus(periods: u64) -> Outcome<Vec<u64>> {
    std::thread::scope(|scope| {
        let loops: Vec<_> = (0..sys::cpus())
            .map(|cpu| {
                scope.spawn(move || -> std::io::Result<Vec<u64>> {
                    sys::pin([cpu])?;
                    sys::set_fifo(TIMER_PRIORITY)?;
                    Ok(every(TIMER_NS, periods, || {}).0)
                })
            })
            .collect();
        let mut all = Vec::new();
        for one in loops {
            all.extend(one.join().map_err(|_| "a periodic loop panicked")??);
        }
        Ok(all)
    })
}

fn missed(report: &mut Report, metric: &str, late: &[u64], period_ns: u64) -> Outcome {
    let missed = late.iter().filter(|late| **late > period_ns).count();
    report.value(&format!("{metric}.missed"), "periods", missed as u64)
}

/// Half of what is there and half of what comes.
fn blend(picture: &mut [u8]) {
    for byte in picture.iter_mut() {
        *byte = ((u16::from(*byte) + 0x80) / 2) as u8;
    }
    black_box(picture);
}

/// Does `work` once a period: how long after the due time each began and ended, in nanoseconds.
fn run(
    class: Class,
    period_ns: u64,
    periods: u64,
    work: impl FnMut() + Send,
) -> Outcome<[Vec<u64>; 2]> {
    std::thread::scope(|scope| {
        let outcome = scope.spawn(move || -> std::io::Result<[Vec<u64>; 2]> {
            match class {
                Class::Other => sys::set_fifo(0)?,
                Class::Fifo => sys::set_fifo(TIMER_PRIORITY)?,
                Class::Deadline => {
                    // The kernel wants such threads to be free to move.
                    sys::pin(0..MOST_CPUS)?;
                    sys::set_fifo(0)?;
                    sys::set_deadline(FRAME_BUDGET_NS, period_ns)?;
                }
            }
            let (started, finished) = every(period_ns, periods, work);
            Ok([started, finished])
        });
        Ok(outcome.join().map_err(|_| "a periodic loop panicked")??)
    })
}

/// When each period's work began and ended, after it was due.
fn every(period_ns: u64, periods: u64, mut work: impl FnMut()) -> (Vec<u64>, Vec<u64>) {
    let mut started = Vec::with_capacity(periods as usize);
    let mut finished = Vec::with_capacity(periods as usize);
    let mut due_ns = sys::now_ns() + period_ns;
    for _ in 0..periods {
        sys::sleep_until(due_ns);
        started.push(sys::now_ns().saturating_sub(due_ns));
        work();
        let late_ns = sys::now_ns().saturating_sub(due_ns);
        finished.push(late_ns);
        // What was missed is over.
        due_ns += period_ns * late_ns.div_ceil(period_ns).max(1);
    }
    (started, finished)
}
