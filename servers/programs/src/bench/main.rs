//! The latency bench in ring 3: what programs wait for, under the names and definitions of the bench protocol, so that each figure
//! can be divided by the same program's of another kernel (`bench/linux`).
//!
//! Results go to COM2 as the protocol's lines, which a harness reads; `bench.seconds=` on the kernel's command line is not seen here: the first argument
//! is how many seconds each periodic probe lasts (2; 0: nothing but the start is measured), the second what the metrics that are
//! wanted begin with.
//!
//! - [`report`]: samples become lines. [`load`]: busy loops and memory hogs.
//! - [`calls`]: system calls, the clock, switches. [`wakes`], [`ipc`]: others. [`shm`]: bytes through shared memory. [`periods`]: timer and frames. [`threads`]: what threads cost.
//!
//! It starts itself again for the other side of probes between two processes.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

mod calls;
mod ipc;
mod load;
mod periods;
mod report;
mod shm;
mod threads;
mod wakes;

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use abi::process::ReservationArgs;
use abi::{Error, FOREVER, Rights};
use loader::Archive;
use rt::Env;
use rt::launch::{Code, Launch, LaunchError, Launched, time_page};
use rt::sys::env::Missing;
use rt::sys::object::{Owned, Reservation, System, Vmo};
use rt::sys::process::this_job;
use rt::sys::{clock, thread};

use report::Report;
use spin::Mutex;

rt::entry!(main);

/// Samples of each latency, after a tenth as many to warm up.
const SAMPLES: usize = 4000;
/// The core that everything on one core runs on.
const CORE: u32 = 0;
/// What takes part from elsewhere runs on this one, if there is one.
const OTHER_CORE: u32 = 1;
const PROGRAM: &str = "programs/bench";

/// Why the bench ends early.
enum Failed {
    Call(Error),
    Handle(&'static str, Missing),
    Start(LaunchError),
    Reservation { missing_ppm: u64 },
    Because(&'static str),
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call(error) => write!(f, "a system call failed: {error}"),
            Self::Handle(name, missing) => write!(f, "{name}: {missing}"),
            Self::Start(error) => write!(f, "the other side cannot be started: {error}"),
            Self::Reservation { missing_ppm } => {
                write!(f, "a reservation does not fit, by {missing_ppm} ppm")
            }
            Self::Because(why) => f.write_str(why),
        }
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Call(error)
    }
}

impl From<LaunchError> for Failed {
    fn from(error: LaunchError) -> Self {
        Self::Start(error)
    }
}

type Outcome<T = ()> = Result<T, Failed>;

fn main(mut env: Env) -> i32 {
    let (began_ticks, began_ns) = (clock::now_ticks(), clock::now_ns());
    let outcome = match env.argument(1) {
        Some("yield") => calls::yield_for_ever(),
        Some("answer") => ipc::answer(&mut env),
        seconds => {
            #[cfg(feature = "inject")]
            if let Some(word) = env.argument(3) {
                inject::obey(word);
            }
            let only = Only(env.argument(2).unwrap_or_default().into());
            let seconds = seconds.and_then(|text| text.parse().ok()).unwrap_or(2);
            let began = [began_ticks, began_ns];
            on_core(move || measure(env, began, &only, seconds))
        }
    };
    match outcome {
        Ok(()) => 0,
        Err(failed) => {
            log::error!("{failed}");
            1
        }
    }
}

/// The first thread may live anywhere; the figures are those of a thread on a core that is known.
fn on_core(body: impl FnOnce() -> Outcome + Send + 'static) -> Outcome {
    let outcome = Arc::new(Mutex::new(Err(Failed::Because("the bench's thread died"))));
    let theirs = Arc::clone(&outcome);
    let thread = thread::spawn_with(thread::STACK_BYTES, CORE, move || {
        let outcome = body();
        *theirs.lock() = outcome;
    })?;
    thread.join_blocking(FOREVER)?;
    core::mem::replace(&mut *outcome.lock(), Ok(()))
}

/// Which metrics are wanted: those that begin with this text.
struct Only(String);

impl Only {
    /// Whether probes whose metrics begin with one of these are wanted.
    fn wants(&self, prefixes: &[&str]) -> bool {
        let mut prefixes = prefixes.iter();
        prefixes.any(|prefix| prefix.starts_with(&*self.0) || self.0.starts_with(prefix))
    }
}

fn measure(mut env: Env, began: [u64; 2], only: &Only, seconds: u64) -> Outcome {
    let system: System = env
        .take("system")
        .map_err(|missing| Failed::Handle("system", missing))?;
    let archive: Vmo = env
        .take("archive")
        .map_err(|missing| Failed::Handle("archive", missing))?;
    let mut report = Report::open(&system)?;
    let partners = Partners::new(&archive)?;
    let [began_ticks, began_ns] = began;
    report.value("boot.tsc_at_user", "ticks", began_ticks)?;
    report.value("boot.kernel_clock_at_user", "ns", began_ns)?;
    threads::memory_at_start(&mut report, &system)?;
    // To measure the start alone.
    if seconds == 0 {
        return report.done();
    }
    // Whatever is wanted: the host's noise belongs to it.
    calls::machine(&mut report)?;
    if only.wants(&["syscall.", "clock.", "ctxsw."]) {
        calls::all(&mut report, &partners)?;
    }
    if only.wants(&["wake.", "pingpong."]) {
        wakes::all(&mut report)?;
    }
    if only.wants(&["ipc64."]) {
        ipc::all(&mut report, &partners, &system)?;
    }
    if only.wants(&["shm."]) {
        shm::all(&mut report)?;
    }
    if only.wants(&["thread.create_join."]) {
        threads::create_join(&mut report)?;
    }
    if only.wants(&["timer1k.", "frame120."]) {
        periods::all(&mut report, seconds)?;
    }
    if only.wants(&["thread.10k."]) {
        threads::many(&mut report, &system)?;
    }
    report.done()
}

/// Starts this program again.
struct Partners {
    archive: &'static [u8],
    time: Vmo,
}

impl Partners {
    fn new(archive: &Vmo) -> Outcome<Self> {
        Ok(Self {
            archive: archive.map_constant()?,
            time: time_page()?,
        })
    }

    /// With this argument, on this core.
    fn start(
        &self,
        what: &str,
        core: u32,
        handles: Vec<(&str, Owned, Rights)>,
    ) -> Outcome<Launched> {
        let archive = Archive::new(self.archive).ok();
        let file = archive.and_then(|archive| archive.file(PROGRAM));
        let file = file.ok_or(Failed::Because("the archive has no program of this name"))?;
        let launch = Launch {
            name: "partner",
            code: Code::File(file),
            arguments: &["bench", what],
            handles,
            time_page: Some(&self.time),
            generation: 0,
            core,
            reservation: None,
        };
        Ok(launch.start(&this_job())?)
    }
}

/// Processor time for one thread on a core.
fn reserve(core: u32, budget_ns: u64, period_ns: u64) -> Outcome<Reservation> {
    let arguments = ReservationArgs {
        budget_ns,
        period_ns,
        deadline_ns: 0,
        core,
        soft: 1,
    };
    this_job()
        .reserve(&arguments)
        .map_err(|refused| match refused {
            (Error::NotAdmitted, missing_ppm) => Failed::Reservation { missing_ppm },
            (error, _) => Failed::Call(error),
        })
}

/// Samples of what `step` measures by itself.
fn sample(mut step: impl FnMut() -> Outcome<u64>) -> Outcome<Vec<u64>> {
    let mut samples = room(SAMPLES)?;
    for _ in 0..SAMPLES / 10 {
        step()?;
    }
    for _ in 0..SAMPLES {
        samples.push(step()?);
    }
    Ok(samples)
}

/// Ticks that `step` takes.
fn time(mut step: impl FnMut() -> Outcome) -> Outcome<Vec<u64>> {
    sample(|| {
        let start = clock::now_ticks();
        step()?;
        Ok(clock::now_ticks() - start)
    })
}

/// Room for so many samples: none of them allocates.
fn room(count: usize) -> Outcome<Vec<u64>> {
    let mut samples = Vec::new();
    let made = samples.try_reserve_exact(count);
    made.map_err(|_| Failed::Call(Error::NoMemory))?;
    Ok(samples)
}
