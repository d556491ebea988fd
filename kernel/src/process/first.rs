//! The first process: loaded by the kernel from the archive it carries; it loads all others.

use abi::memory::PAGE_BYTES;
use abi::process::JobLimits;
use abi::{Error, Handle, ObjectType, Rights};
use executor::CoreId;
use hal::user::UserContext;
use loader::start::Start;
use loader::{Archive, Image};
use objects::memory::{Access, Inherit, MapArgs, Place};
use objects::refs::Ref;
use spin::Once;

use super::job::JobObject;
use super::memory::{AddressSpace, Memory, VmoObject};
use super::object::{Capability, Object};
use super::process::Process;
use super::simple::Simple;
use super::thread::Thread;
use super::{clock, random, run};

/// The programs this kernel carries.
static ARCHIVE: &[u8] = include_bytes!(env!("RAEDE_PROGRAMS_ARCHIVE"));
/// Of the first process.
const STACK_BYTES: u64 = 256 << 10;
/// What the manager is called in the archive.
pub const MANAGER: &str = "servers/manager";

static ROOT: Once<Ref<JobObject>> = Once::new();
static TIME_PAGE: Once<Ref<VmoObject>> = Once::new();

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
    let frames = hal::mem::frames::stats();
    let limits = JobLimits {
        // Some of both is left to the kernel itself.
        memory_bytes: frames.free * PAGE_BYTES / 16 * 15,
        kernel_bytes: hal::mem::heap::promisable_bytes() as u64,
        ..JobLimits::NONE
    };
    let root = JobObject::root(&limits)?;
    Ok(ROOT.call_once(|| root))
}

/// The vmo with the clock's parameters.
async fn time_page() -> Result<Ref<VmoObject>, Error> {
    if let Some(page) = TIME_PAGE.get() {
        return Ok(page.clone());
    }
    let vmo = VmoObject::create(Memory, &root_job()?.account, PAGE_BYTES)?;
    vmo.write(0, zerocopy::IntoBytes::as_bytes(&clock::page()))
        .await?;
    Ok(TIME_PAGE.call_once(|| vmo).clone())
}

/// Where a program's bytes go.
struct Into<'a>(&'a Ref<VmoObject>);

impl loader::Memory for Into<'_> {
    type Error = Error;

    fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), Error> {
        let mut done = 0;
        while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
            // Nobody else has the vmo: nothing is ever waited for.
            done += self
                .0
                .try_write(address + done as u64, rest)
                .map_err(|_| Error::NoMemory)?;
        }
        Ok(())
    }
}

fn map(
    space: &AddressSpace,
    vmo: &Ref<VmoObject>,
    offset: u64,
    len: u64,
    place: Place,
    access: Access,
) -> Result<u64, Error> {
    space.map(&MapArgs {
        vmo,
        offset,
        len,
        place,
        access,
        // Never more than that: code stays code.
        rights: Rights::MAP | access.rights(),
        guarded: matches!(place, Place::Random(_)),
        lease: None,
        inherit: Inherit::Copy,
    })
}

/// Starts the program of this path in the archive, with all rights there are.
///
/// # Errors
/// See [`CannotStart`].
pub async fn start(path: &str, arguments: &[&str]) -> Result<Ref<Process>, CannotStart> {
    let archive = Archive::new(ARCHIVE).map_err(|error| {
        ::log::error!(target: "process", "{error}");
        CannotStart::NoPrograms
    })?;
    if archive.is_empty() {
        return Err(CannotStart::NoPrograms);
    }
    let file = archive.file(path).ok_or(CannotStart::NoSuchProgram)?;
    let image = Image::parse(file).map_err(|error| {
        ::log::error!(target: "process", "{path}: {error}");
        CannotStart::BadProgram
    })?;
    let job = root_job()?;
    let account = &job.account;
    let name = path.rsplit('/').next().unwrap_or(path);
    let process = Process::create(job, name)?;
    let space = &process.space;

    let program = VmoObject::create(Memory, account, image.span_bytes())?;
    let base = space.find_place(image.span_bytes(), random::word())?;
    image.load(base, &mut Into(&program))?;
    for region in image.regions() {
        let access = match region.access {
            loader::Access::Read => Access::Read,
            loader::Access::Write => Access::ReadWrite,
            loader::Access::Execute => Access::ReadExecute,
        };
        let place = Place::Fixed(base + region.address);
        map(space, &program, region.address, region.len, place, access)?;
    }

    let stack = VmoObject::create(Memory, account, STACK_BYTES)?;
    let place = Place::Random(random::word());
    let stack = map(space, &stack, 0, STACK_BYTES, place, Access::ReadWrite)? + STACK_BYTES;
    let place = Place::Random(random::word());
    let clock = map(
        space,
        &time_page().await?,
        0,
        PAGE_BYTES,
        place,
        Access::Read,
    )?;

    let carried = VmoObject::create(Memory, account, ARCHIVE.len() as u64)?;
    loader::Memory::write(&mut Into(&carried), 0, ARCHIVE)?;
    let handles = [
        ("process", give(&process, Object::Process(process.clone()))?),
        ("job", give(&process, Object::Job(job.clone()))?),
        (
            "log",
            give(
                &process,
                Object::Simple(Simple::create(ObjectType::Log, account)?),
            )?,
        ),
        (
            "system",
            give(
                &process,
                Object::Simple(Simple::create(ObjectType::System, account)?),
            )?,
        ),
        ("archive", give(&process, Object::Vmo(carried))?),
    ];
    let block = Start {
        time_page: clock,
        image_base: base,
        generation: 0,
        handles: &handles,
        arguments,
    };
    let mut bytes = [0; 1024];
    let len = block
        .write(&mut bytes)
        .map_err(|_| CannotStart::Failed(Error::OutOfRange))?;
    let block = stack - (len as u64).next_multiple_of(16);
    space
        .write(block, bytes.get(..len).unwrap_or_default())
        .await?;

    // As if called: the return address's place is below a multiple of 16 (System V ABI, §3.2.2).
    let mut context =
        UserContext::new(base + image.entry(), block - 8).map_err(|_| CannotStart::BadProgram)?;
    context.registers.rdi = block;
    let thread = Thread::create(&process, CoreId::FIRST, context)?;
    run::start(&thread, None)?;
    Ok(process)
}

fn give(process: &Process, object: Object) -> Result<Handle, Error> {
    process.handles.insert(Capability::new(object)?)
}
