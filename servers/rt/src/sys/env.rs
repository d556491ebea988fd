//! What a process was given: arguments and named handles.

use core::fmt;
use core::sync::atomic::Ordering;

use abi::Handle;
use abi::start::StartBlock;

use super::object::{Object, Owned};
use super::{clock, log, process};
use crate::start::{BadStart, Start, name_of};

/// Exit code of a process whose start block cannot be used.
pub const BAD_START: i32 = 102;

/// Arguments and named handles of this process.
#[derive(Debug)]
pub struct Env {
    start: Start<'static>,
    /// A bit for each of the first 64 handles that was taken.
    taken: u64,
}

/// A handle that a program needs was not given to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// None of that name, or it was taken before.
    Handle,
    /// It is for an object of another type.
    Type,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Handle => "no handle of that name was given to the program",
            Self::Type => "the handle of that name is for another type of object",
        })
    }
}

impl core::error::Error for Missing {}

impl Env {
    /// What a resident server was given: a start block in its own memory. Everything else about the server, the kernel knows.
    ///
    /// # Errors
    /// See [`BadStart`].
    pub fn resident(block: &'static [u8]) -> Result<Self, BadStart> {
        Start::parse(block).map(|start| Self { start, taken: 0 })
    }

    /// The arguments, the program's name first.
    pub fn arguments(&self) -> impl Iterator<Item = &'static str> + Clone + use<> {
        self.start.arguments()
    }

    /// Argument `index`; 0 is the program's name.
    #[must_use]
    pub fn argument(&self, index: usize) -> Option<&'static str> {
        self.arguments().nth(index)
    }

    /// The names of all handles that were given.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.start.handles.iter().map(name_of)
    }

    /// How often this server was started before, since boot.
    #[must_use]
    pub fn generation(&self) -> u32 {
        self.start.head.generation
    }

    /// Where the program was loaded.
    #[must_use]
    pub fn image_base(&self) -> u64 {
        self.start.head.image_base
    }

    /// The handle named `name`, once: it is then the caller's. `process`, `thread`, `job`, `log` and `output` stay the runtime's.
    ///
    /// # Errors
    /// [`Missing`].
    pub fn take<T: Object>(&mut self, name: &str) -> Result<T, Missing> {
        self.take_any(name)?.cast().map_err(|_| Missing::Type)
    }

    /// [`take`](Env::take), whatever its type.
    ///
    /// # Errors
    /// [`Missing::Handle`].
    pub fn take_any(&mut self, name: &str) -> Result<Owned, Missing> {
        if ["process", "thread", "job", "log", "output"].contains(&name) {
            return Err(Missing::Handle);
        }
        let (index, entry) = self
            .start
            .handles
            .iter()
            .enumerate()
            .take(64)
            .find(|(index, entry)| self.taken >> index & 1 == 0 && name_of(entry) == name)
            .ok_or(Missing::Handle)?;
        self.taken |= 1 << index;
        Owned::from_raw(Handle(entry.handle)).ok_or(Missing::Handle)
    }
}

/// Reads the start block and sets the runtime up: what [`entry!`](crate::entry) calls first.
///
/// # Safety
/// Once, at the first thread's first instruction, with the address that the kernel passed in `rdi`.
pub unsafe fn begin(block: *const u8) -> Env {
    // SAFETY: whoever made the process put a start block there (page-aligned), which stays mapped and unchanged.
    let start = unsafe { read(block) };
    let start = match start {
        Ok(start) => start,
        Err(_) => super::gate::exit(BAD_START),
    };
    let handle = |name: &str| start.handle(name).unwrap_or(Handle::NONE);
    process::PROCESS.store(handle("process").0, Ordering::Relaxed);
    process::THREAD.store(handle("thread").0, Ordering::Relaxed);
    process::JOB.store(handle("job").0, Ordering::Relaxed);
    process::GENERATION.store(u64::from(start.head.generation), Ordering::Relaxed);
    if start.head.time_page != 0 {
        // SAFETY: the kernel maps the time page read-only for the life of the process.
        unsafe { clock::install(start.head.time_page as *const _) };
    }
    log::install(handle("log"), handle("output"));
    Env { start, taken: 0 }
}

/// # Safety
/// A readable, aligned start block is there for ever.
unsafe fn read(block: *const u8) -> Result<Start<'static>, BadStart> {
    if block.is_null() || !block.addr().is_multiple_of(align_of::<StartBlock>()) {
        return Err(BadStart::Alignment);
    }
    // SAFETY: the caller's promise; the head first, as it says how long the block is.
    let head = unsafe { block.cast::<StartBlock>().read() };
    if head.magic != abi::start::MAGIC {
        return Err(BadStart::Magic);
    }
    let size = usize::try_from(head.size_bytes).map_err(|_| BadStart::Short)?;
    // SAFETY: as above.
    Start::parse(unsafe { core::slice::from_raw_parts(block, size) })
}
