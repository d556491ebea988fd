//! Loops that have something to do again and again, at a time.

use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hint::black_box;

use abi::{Error, FOREVER};
use rt::sys::clock;
use rt::sys::object::{Notification, Reservation};
use rt::sys::thread::{self, Joinable};
use spin::Mutex;

use crate::load::Load;
use crate::report::Report;
use crate::{CORE, Failed, Outcome, reserve, room};

const TIMER_NS: u64 = 1_000_000;
const TIMER_BUDGET_NS: u64 = 200_000;
const FRAME_NS: u64 = 8_333_333;
const FRAME_BUDGET_NS: u64 = 4_000_000;
/// What a frame blends.
const FRAME_BYTES: usize = 512 << 10;

pub fn all(report: &mut Report, seconds: u64) -> Outcome {
    for name in ["idle", "load"] {
        let load = (name == "load").then(Load::start).transpose()?;
        let periods = seconds * 1_000_000_000 / TIMER_NS;
        let mut late = on_all_cores(periods)?;
        missed(report, &format!("timer1k.{name}"), &late, TIMER_NS)?;
        report.ns(&format!("timer1k.{name}"), &mut late)?;
        for (budget_ns, word) in [(None, "other"), (Some(FRAME_BUDGET_NS), "deadline")] {
            let mut picture: Vec<u8> = Vec::new();
            let made = picture.try_reserve_exact(FRAME_BYTES);
            made.map_err(|_| Failed::Call(Error::NoMemory))?;
            picture.resize(FRAME_BYTES, 0x40);
            let frames = seconds * 1_000_000_000 / FRAME_NS;
            let [mut start, mut finish] =
                run(budget_ns, FRAME_NS, frames, move || blend(&mut picture))?;
            let metric = format!("frame120.{word}.{name}");
            missed(report, &metric, &finish, FRAME_NS)?;
            report.ns(&format!("{metric}.start"), &mut start)?;
            report.ns(&format!("{metric}.finish"), &mut finish)?;
        }
        load.map(Load::stop).transpose()?;
    }
    Ok(())
}

fn missed(report: &mut Report, metric: &str, late: &[u64], period_ns: u64) -> Outcome {
    let missed = late.iter().filter(|late| **late > period_ns).count();
    report.value(&format!("{metric}.missed"), "periods", missed as u64)
}

/// Half of what is there and half of what comes.
fn blend(picture: &mut [u8]) {
    for byte in picture.iter_mut() {
        *byte = u16::midpoint(u16::from(*byte), 0x80) as u8;
    }
    black_box(picture);
}

/// The timer's lateness on each core, all at the same time.
fn on_all_cores(periods: u64) -> Outcome<Vec<u64>> {
    let mut loops = Vec::new();
    for core in 0..clock::page().cores {
        loops.push(Loop::start(
            Some(TIMER_BUDGET_NS),
            core,
            TIMER_NS,
            periods,
            || {},
        )?);
    }
    let mut all = room(loops.len() * periods as usize)?;
    for one in loops {
        let [started, _] = one.join()?;
        all.extend_from_slice(&started);
    }
    Ok(all)
}

type Lateness = [Vec<u64>; 2];

/// Does `work` once a period on the core that is measured: how long after the due time each began and ended.
fn run(
    budget_ns: Option<u64>,
    period_ns: u64,
    periods: u64,
    work: impl FnMut() + Send + 'static,
) -> Outcome<Lateness> {
    Loop::start(budget_ns, CORE, period_ns, periods, work)?.join()
}

/// A thread that does something once a period.
struct Loop {
    thread: Joinable,
    measured: Arc<Mutex<Lateness>>,
    _reservation: Option<Reservation>,
}

impl Loop {
    /// In a reservation of `budget_ns` or as best effort.
    fn start(
        budget_ns: Option<u64>,
        core: u32,
        period_ns: u64,
        periods: u64,
        work: impl FnMut() + Send + 'static,
    ) -> Outcome<Self> {
        let [started, finished] = [room(periods as usize)?, room(periods as usize)?];
        let measured = Arc::new(Mutex::new([started, finished]));
        let theirs = Arc::clone(&measured);
        let body = move || {
            if let Err(failed) = every(period_ns, periods, &mut theirs.lock(), work) {
                log::error!("{failed}");
            }
        };
        let reservation = budget_ns
            .map(|budget_ns| reserve(core, budget_ns, period_ns))
            .transpose()?;
        let thread = match &reservation {
            Some(reservation) => {
                thread::spawn_reserved(thread::STACK_BYTES, core, reservation, body)?
            }
            None => thread::spawn_with(thread::STACK_BYTES, core, body)?,
        };
        Ok(Self {
            thread,
            measured,
            _reservation: reservation,
        })
    }

    fn join(self) -> Outcome<Lateness> {
        self.thread.join_blocking(FOREVER)?;
        let lateness = core::mem::take(&mut *self.measured.lock());
        Ok(lateness)
    }
}

fn every(
    period_ns: u64,
    periods: u64,
    [started, finished]: &mut Lateness,
    mut work: impl FnMut(),
) -> Outcome {
    let never = Notification::create()?;
    let mut due_ns = clock::now_ns() + period_ns;
    for _ in 0..periods {
        match never.take_blocking(due_ns) {
            Err(Error::TimedOut) => {}
            Ok(_) => return Err(Failed::Because("a bell rang that nobody has")),
            Err(error) => return Err(error.into()),
        }
        started.push(clock::now_ns().saturating_sub(due_ns));
        work();
        let late_ns = clock::now_ns().saturating_sub(due_ns);
        finished.push(late_ns);
        // What was missed is over.
        due_ns += period_ns * late_ns.div_ceil(period_ns).max(1);
    }
    Ok(())
}
