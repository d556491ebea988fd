//! The first process: loaded by the kernel from the archive it carries; it starts all others.
//!
//! * `given`: the handles it finds. `load`: how it gets into memory. Here: which program it is, and what follows on its end.
//!
//! A program of the archive's `programs/` runs once. A server, the manager above all, is started again whenever it has ended, whatever
//! it ended of, as a new process **with the handle table of the last one**: handles keep their numbers, so endpoints whose calls it
//! received stay open and units it started run on. Calls that it had not received yet wait for the next instance; those that it had
//! received and not answered end with [`PeerClosed`](abi::Error::PeerClosed), and who called asks again.
//!
//! It is started again at once if it had said that it is ready; after deaths before that, later each time, and never not at all.

mod given;
mod load;

use core::time::Duration;

use abi::memory::PAGE_BYTES;
use abi::process::JobLimits;
use abi::{Error, Handle, Signals};
use heapless::Vec;
use loader::{Archive, Image};
use objects::refs::Ref;
use spin::Once;

use super::job::JobObject;
use super::object::{Capability, Object};
use super::process::Process;
use crate::{exec, terminal};

use given::{Given, MOST};
pub use given::{renew, tell};

/// The programs this kernel carries.
static ARCHIVE: Pages<{ FILE.len() }> = Pages(*FILE);
const FILE: &[u8; include_bytes!(env!("RAEDE_PROGRAMS_ARCHIVE")).len()] =
    include_bytes!(env!("RAEDE_PROGRAMS_ARCHIVE"));
const _: () = assert!(
    FILE.len().is_multiple_of(PAGE_BYTES as usize),
    "the archive of programs is padded to whole pages: processes map it, and nothing of the kernel beside it"
);

/// Bytes in pages of their own.
#[repr(C, align(4096))]
struct Pages<const BYTES: usize>([u8; BYTES]);

/// What the manager is called in the archive.
pub const MANAGER: &str = "servers/manager";
/// The name of an instance's handle to its own process.
const OWN: &str = "process";
/// Where the archive has what is started again.
const SERVERS: &str = "servers/";

/// How long the next instance waits after the first death before readiness; twice as long each further time.
const FIRST_DELAY: Duration = Duration::from_millis(100);
/// How long it waits at most.
const MOST_DELAY: Duration = Duration::from_secs(10);
/// Deaths before readiness after which the log says that this is no accident.
const MANY_DEATHS: u32 = 5;

static ROOT: Once<Ref<JobObject>> = Once::new();

/// Why the first process does not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CannotStart {
    /// The kernel carries no programs.
    NoPrograms,
    /// There is none of this name.
    NoSuchProgram,
    /// Its file is no program; the log says why.
    BadProgram,
    /// Objects could not be made.
    Failed(Error),
}

impl core::fmt::Display for CannotStart {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::NoPrograms => f.write_str(
                "this kernel carries no programs: build it with scripts/run or scripts/image",
            ),
            Self::NoSuchProgram => f.write_str("the archive has no such program"),
            Self::BadProgram => f.write_str("it is no program"),
            Self::Failed(error) => error.fmt(f),
        }
    }
}

impl From<Error> for CannotStart {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// The job above all.
///
/// # Errors
/// [`Error::NoMemory`].
pub fn root_job() -> Result<&'static Ref<JobObject>, Error> {
    if let Some(root) = ROOT.get() {
        return Ok(root);
    }
    let free = hal::mem::frames::free_bytes().saturating_sub(hal::mem::heap::growth_bytes());
    let limits = JobLimits {
        // Some of both is left to the kernel itself.
        memory_bytes: free / 16 * 15,
        kernel_bytes: hal::mem::heap::promisable_bytes() as u64,
        ..JobLimits::NONE
    };
    let root = JobObject::root(&limits)?;
    Ok(ROOT.call_once(|| root))
}

/// The program's file in the archive.
fn image(path: &str) -> Result<Image<'static>, CannotStart> {
    let archive = Archive::new(&ARCHIVE.0).map_err(|error| {
        ::log::error!(target: "process", "{error}");
        CannotStart::NoPrograms
    })?;
    if archive.is_empty() {
        return Err(CannotStart::NoPrograms);
    }
    let file = archive.file(path).ok_or(CannotStart::NoSuchProgram)?;
    Image::parse(file).map_err(|error| {
        ::log::error!(target: "process", "{path}: {error}");
        CannotStart::BadProgram
    })
}

/// Runs the program of this path in the archive, with all rights there are: a server for as long as the system runs.
///
/// # Errors
/// See [`CannotStart`]: it never ran.
pub async fn run(path: &str, arguments: &[&str]) -> Result<(), CannotStart> {
    let mut first = First {
        path,
        arguments,
        image: image(path)?,
        given: Given::new()?,
        handles: Vec::new(),
        last: None,
        generation: 0,
    };
    if let Err(error) = first.start().await {
        first.ended().await;
        return Err(error);
    }
    if path == MANAGER {
        terminal::give_to_processes();
    } else {
        terminal::keep();
    }
    let mut deaths = 0;
    loop {
        let code = first.ended().await;
        if !path.starts_with(SERVERS) {
            ::log::info!(target: "process", "{path} has ended with {code}");
            return Ok(());
        }
        let was_ready = first.given.ready.try_take().is_ok();
        deaths = if was_ready { 0 } else { deaths + 1 };
        let delay = delay(deaths);
        ::log::error!(
            target: "process",
            "{path} {} has ended with {code}{}; the next one starts {}",
            first.generation,
            if was_ready { "" } else { " before it was ready" },
            Later(delay)
        );
        if deaths == MANY_DEATHS {
            ::log::error!(target: "process", "{path} has not become ready {deaths} times in a row; it is tried on");
        }
        exec::sleep(delay).await;
        first.start_again().await;
    }
}

/// How long to wait after so many deaths before readiness in a row.
fn delay(deaths: u32) -> Duration {
    match deaths {
        0 => Duration::ZERO,
        _ => FIRST_DELAY
            .saturating_mul(1 << (deaths - 1).min(16))
            .min(MOST_DELAY),
    }
}

/// When, for the log.
struct Later(Duration);

impl core::fmt::Display for Later {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        if self.0.is_zero() {
            f.write_str("at once")
        } else {
            write!(f, "in {} ms", self.0.as_millis())
        }
    }
}

/// The first process through its instances.
struct First<'a> {
    path: &'a str,
    arguments: &'a [&'a str],
    image: Image<'static>,
    given: Given,
    /// Names and numbers; the last one is the instance's own process.
    handles: Vec<(&'static str, Handle), MOST>,
    /// The present instance, or the last one, which has the handle table.
    last: Option<Ref<Process>>,
    generation: u32,
}

impl First<'_> {
    /// Makes the next instance. If it cannot be completed it is being ended.
    async fn start(&mut self) -> Result<(), CannotStart> {
        let name = self.path.rsplit('/').next().unwrap_or(self.path);
        let process = Process::create(root_job()?, name)?;
        if self.path.starts_with(SERVERS) {
            process.keep_handles();
        }
        match self.last.replace(process.clone()) {
            Some(last) => process.handles.take_over(&last.handles),
            None => self.handles = self.given.give(&process)?,
        }
        let started = self.complete(&process).await;
        if started.is_err() {
            Process::kill(&process, abi::process::KILLED);
        }
        started
    }

    async fn complete(&mut self, process: &Ref<Process>) -> Result<(), CannotStart> {
        let own = Capability::new(Object::Process(process.clone()))?;
        let own = process.handles.insert(own)?;
        self.handles
            .push((OWN, own))
            .map_err(|_| Error::LimitReached)?;
        load::load(
            process,
            &self.image,
            &self.handles,
            self.arguments,
            self.generation,
        )
        .await
    }

    /// Waits for the present instance's end; its exit code.
    async fn ended(&mut self) -> i32 {
        let Some(process) = &self.last else {
            return abi::process::KILLED;
        };
        // Nobody can revoke this wait.
        let _: Result<_, _> = process.signals.wait(Signals::ENDED, None).await;
        // The table must not keep the process that has it.
        if let Some(&(OWN, own)) = self.handles.last() {
            self.handles.pop();
            // It may have closed it.
            let _ = process.handles.close(own);
        }
        process.exit_code().unwrap_or(abi::process::KILLED)
    }

    /// Makes the next instance, however long it takes.
    async fn start_again(&mut self) {
        let mut tries = 0;
        loop {
            self.generation = self.generation.saturating_add(1);
            let Err(error) = self.start().await else {
                return;
            };
            tries += 1;
            let delay = delay(tries);
            ::log::error!(target: "process", "{} {} cannot be started: {error}; tried again {}", self.path, self.generation, Later(delay));
            self.ended().await;
            exec::sleep(delay).await;
        }
    }
}
