//! Starting a program: from its file to a running process.
//!
//! The steps are those of [`loader`]: an empty process, one vmo for the image, mapped region by region at an address that the
//! kernel chooses at random, a guarded stack, a read-only start block, and a thread; or, for what is linked into the kernel, the start
//! block alone. A process that cannot be completed is ended.

use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::fmt;

use abi::memory::{MapArgs, MapFlags, PAGE_BYTES};
use abi::process::{ResidentArgs, ThreadArgs};
use abi::{Error, Handle, Rights};
use loader::image::Access;
use loader::start::{Start, StartError};
use loader::{Image, ImageError, Memory};

use zerocopy::IntoBytes;

use crate::sys::clock;
use crate::sys::memory::{map_at, unmap_in};
use crate::sys::object::{Job, Object, Owned, Process, Reservation, System, Thread, Vmo};

/// Stack of a program's first thread: committed as it is touched, guarded below and above.
pub const STACK_BYTES: u64 = 256 << 10;

/// What a program consists of.
#[derive(Clone, Copy, Debug)]
pub enum Code<'a> {
    /// Its file: it runs in ring 3.
    File(&'a [u8]),
    /// It is linked into the kernel and runs there.
    Resident {
        /// Its name in the kernel's list: as its file would be called in the archive.
        server: &'a str,
        /// What gives the right to that.
        system: &'a System,
    },
}

/// A program to be started.
#[derive(Debug)]
pub struct Launch<'a> {
    /// Name of the process: at most [`abi::process::MAX_NAME_BYTES`].
    pub name: &'a str,
    /// Its code.
    pub code: Code<'a>,
    /// Its arguments, the program's name first.
    pub arguments: &'a [&'a str],
    /// Named handles that go to it, with the rights they have there. `process` is added.
    pub handles: Vec<(&'a str, Owned, Rights)>,
    /// The vmo of the time page: see [`time_page`]. Without one its clock counts ticks.
    pub time_page: Option<&'a Vmo>,
    /// How often it was started before, since boot.
    pub generation: u32,
    /// Core of its first thread, or `u32::MAX` for the kernel's choice.
    pub core: u32,
    /// What its first thread runs in, if not as best effort.
    pub reservation: Option<&'a Reservation>,
}

/// A program that runs.
#[derive(Debug)]
pub struct Launched {
    /// Its process.
    pub process: Process,
    /// Its first thread.
    pub thread: Thread,
}

/// Why a program was not started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LaunchError {
    /// Its file is bad.
    Image(ImageError),
    /// Names or arguments are bad.
    Start(StartError),
    /// The kernel refused a step.
    Step {
        /// Which.
        step: &'static str,
        /// The kernel's answer.
        error: Error,
    },
}

impl fmt::Display for LaunchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Image(error) => error.fmt(f),
            Self::Start(error) => error.fmt(f),
            Self::Step { step, error } => write!(f, "{step}: {error}"),
        }
    }
}

impl core::error::Error for LaunchError {}

impl From<ImageError> for LaunchError {
    fn from(error: ImageError) -> Self {
        Self::Image(error)
    }
}

impl From<StartError> for LaunchError {
    fn from(error: StartError) -> Self {
        Self::Start(error)
    }
}

/// Names the step that an error came from.
trait During<T> {
    fn during(self, step: &'static str) -> Result<T, LaunchError>;
}

impl<T> During<T> for Result<T, Error> {
    fn during(self, step: &'static str) -> Result<T, LaunchError> {
        self.map_err(|error| LaunchError::Step { step, error })
    }
}

/// A vmo as memory to load into.
struct Target<'a>(&'a Vmo);

impl Memory for Target<'_> {
    type Error = Error;
    fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), Error> {
        self.0.write(address, bytes).map(drop)
    }
}

impl<'a> Launch<'a> {
    /// Starts it under `job`.
    ///
    /// # Errors
    /// See [`LaunchError`]. Nothing of it is left then; handles that were to go to it are closed.
    pub fn start(self, job: &Job) -> Result<Launched, LaunchError> {
        let image = match self.code {
            Code::File(file) => Some(Image::parse(file)?),
            Code::Resident { .. } => None,
        };
        let process = Process::create(job, self.name).during("making the process")?;
        let thread = match (self.code, &image) {
            (Code::Resident { server, system }, _) => self.reside(server, system, &process),
            (Code::File(_), Some(image)) => self.fill(image, &process),
            // Not reached: a file has an image.
            (Code::File(_), None) => Err(Error::BadState).during("loading it"),
        };
        match thread {
            Ok(thread) => Ok(Launched { process, thread }),
            Err(error) => {
                // An empty process needs no end of its own, one with handles does. It may have ended already.
                let _ = process.kill(abi::process::KILLED);
                Err(error)
            }
        }
    }

    /// Starts it in the kernel.
    fn reside(
        mut self,
        server: &str,
        system: &System,
        process: &Process,
    ) -> Result<Thread, LaunchError> {
        let names = self.give_handles(process)?;
        let block = start_block(&Start {
            time_page: 0,
            image_base: 0,
            generation: self.generation,
            handles: &names,
            arguments: self.arguments,
        })?;
        process
            .start_resident(
                &ResidentArgs {
                    core: self.core,
                    reservation: self.reservation_number(),
                    ..ResidentArgs::default()
                },
                system,
                server,
                &block,
            )
            .during("starting it in the kernel")
    }

    fn reservation_number(&self) -> u64 {
        self.reservation
            .map_or(0, |reservation| reservation.handle().0)
    }

    /// Gives the handles to the process, and one for itself. Their names and numbers there.
    fn give_handles(&mut self, process: &Process) -> Result<Vec<(&'a str, Handle)>, LaunchError> {
        let handles = core::mem::take(&mut self.handles);
        let mut names: Vec<(&str, Handle)> = Vec::new();
        names
            .try_reserve(handles.len() + 1)
            .map_err(|_| Error::NoMemory)
            .during("naming the handles")?;
        let rights = Rights::of_new(Process::TYPE);
        let own = process
            .duplicate(rights)
            .and_then(|own| process.give(own.into_owned(), rights))
            .during("giving it its own handle")?;
        names.push(("process", own));
        for (name, handle, rights) in handles {
            let there = process
                .give(handle, rights)
                .during("giving it its handles")?;
            names.push((name, there));
        }
        Ok(names)
    }

    fn fill(mut self, image: &Image<'_>, process: &Process) -> Result<Thread, LaunchError> {
        let base = load(image, process)?;
        let stack = Vmo::create(STACK_BYTES).during("making the stack")?;
        let stack = map(
            process,
            &stack,
            STACK_BYTES,
            MapFlags::WRITE | MapFlags::GUARDS,
        )
        .during("mapping the stack")?;
        let time_page = match self.time_page {
            Some(vmo) => {
                map(process, vmo, PAGE_BYTES, MapFlags::empty()).during("mapping the time page")?
            }
            None => 0,
        };
        let names = self.give_handles(process)?;
        let block = start_block(&Start {
            time_page,
            image_base: base,
            generation: self.generation,
            handles: &names,
            arguments: self.arguments,
        })?;
        let block = in_vmo(&block)?;
        let len = block.sizes().during("mapping the start block")?.size_bytes;
        let block =
            map(process, &block, len, MapFlags::empty()).during("mapping the start block")?;
        process
            .start_thread(&ThreadArgs {
                entry: base + image.entry(),
                stack: stack + STACK_BYTES - 8,
                first_argument: block,
                core: self.core,
                reservation: self.reservation_number(),
                ..ThreadArgs::default()
            })
            .during("starting its thread")
    }
}

/// Loads an image into a process, at an address that the kernel chooses at random; its base.
///
/// # Errors
/// Which step the kernel refused. What was mapped by then stays.
pub fn load(image: &Image<'_>, process: &Process) -> Result<u64, LaunchError> {
    let span = image.span_bytes();
    let vmo = Vmo::create(span).during("making its memory")?;
    // Where there is room for all of it the kernel says best, and at random.
    let base = map(process, &vmo, span, MapFlags::empty()).during("finding room for it")?;
    unmap_in(process, base, span).during("finding room for it")?;
    image.load(base, &mut Target(&vmo)).during("loading it")?;
    for region in image.regions() {
        let (access, right) = match region.access {
            Access::Read => (MapFlags::empty(), Rights::empty()),
            Access::Write => (MapFlags::WRITE, Rights::WRITE),
            Access::Execute => (MapFlags::EXECUTE, Rights::EXECUTE),
        };
        // With no more rights than that: the program cannot give its code or its constants another access.
        let part = vmo
            .duplicate(Rights::READ | Rights::MAP | right)
            .during("mapping it")?;
        let arguments = MapArgs {
            offset: region.address,
            len: region.len,
            address: base + region.address,
            flags: (access | MapFlags::FIXED).bits(),
            ..MapArgs::default()
        };
        map_at(process, &part, &arguments).during("mapping it")?;
    }
    Ok(base)
}

/// Maps a vmo where the kernel likes, with no more rights than that needs.
fn map(process: &Process, vmo: &Vmo, len: u64, flags: MapFlags) -> Result<u64, Error> {
    let right = if flags.contains(MapFlags::WRITE) {
        Rights::WRITE
    } else {
        Rights::empty()
    };
    map_at(
        process,
        &vmo.duplicate(Rights::READ | Rights::MAP | right)?,
        &MapArgs {
            len,
            flags: flags.bits(),
            ..MapArgs::default()
        },
    )
}

/// The start block, in whole words.
fn start_block(start: &Start<'_>) -> Result<Vec<u8>, LaunchError> {
    let len = start.len()?.next_multiple_of(8);
    let mut bytes = Vec::new();
    bytes
        .try_reserve(len)
        .map_err(|_| Error::NoMemory)
        .during("writing the start block")?;
    bytes.resize(len, 0);
    start.write(&mut bytes)?;
    Ok(bytes)
}

/// A vmo of whole pages that begins with these bytes.
fn in_vmo(bytes: &[u8]) -> Result<Vmo, LaunchError> {
    let vmo = Vmo::create((bytes.len() as u64).next_multiple_of(PAGE_BYTES))
        .during("writing the start block")?;
    vmo.write(0, bytes).during("writing the start block")?;
    Ok(vmo)
}

/// All bytes of a vmo: those that never change where they are, others copied.
///
/// # Errors
/// [`Error::NoMemory`], [`Error::NoRight`].
pub fn read_all(vmo: &Vmo) -> Result<Cow<'static, [u8]>, Error> {
    match vmo.map_constant() {
        // It may change, or may be read but not mapped.
        Err(Error::Unsupported | Error::NoRight) => {}
        mapped => return mapped.map(Cow::Borrowed),
    }
    let len = usize::try_from(vmo.sizes()?.size_bytes).map_err(|_| Error::NoMemory)?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(len).map_err(|_| Error::NoMemory)?;
    bytes.resize(len, 0);
    vmo.read(0, &mut bytes)?;
    Ok(Cow::Owned(bytes))
}

/// A vmo with a copy of this process's time page, for [`Launch::time_page`]. One serves any number of programs: the page never
/// changes.
///
/// # Errors
/// The job's limits.
pub fn time_page() -> Result<Vmo, Error> {
    let vmo = Vmo::create(PAGE_BYTES)?;
    vmo.write(0, clock::page().as_bytes())?;
    Ok(vmo)
}
