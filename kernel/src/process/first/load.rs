//! From a program in the archive to an address space with a thread.

use abi::memory::PAGE_BYTES;
use abi::{Error, Handle, Rights};
use executor::CoreId;
use hal::platform::KernelPlatform;
use hal::user::UserContext;
use loader::Image;
use loader::start::Start;
use objects::memory::{Access, Inherit, MapArgs, Place};
use objects::refs::Ref;
use spin::Once;

use super::{CannotStart, root_job};
use crate::process::memory::{AddressSpace, Memory, VmoObject};
use crate::process::process::Process;
use crate::process::thread::Thread;
use crate::process::{clock, random, run};

/// Of the first process.
const STACK_BYTES: u64 = 256 << 10;
/// Room for the names of its handles and for its arguments.
const START_BYTES: usize = 4096;

/// Words relocated between two looks at whether somebody more urgent waits.
const WORDS_BETWEEN: usize = 32;

static TIME_PAGE: Once<Ref<VmoObject>> = Once::new();

/// The vmo with the clock's parameters.
async fn time_page() -> Result<Ref<VmoObject>, Error> {
    if let Some(page) = TIME_PAGE.get() {
        return Ok(page.clone());
    }
    let vmo = VmoObject::create(Memory, root_job()?.job(), PAGE_BYTES)?;
    vmo.write(0, zerocopy::IntoBytes::as_bytes(&clock::page()))
        .await?;
    Ok(TIME_PAGE.call_once(|| vmo).clone())
}

/// Writes bytes to a vmo. Many take longer than a poll may, so others get their turn in between.
pub(super) async fn write(vmo: &Ref<VmoObject>, at: u64, bytes: &[u8]) -> Result<(), Error> {
    let mut offset = at;
    for piece in bytes.chunks(PAGE_BYTES as usize) {
        vmo.write(offset, piece).await?;
        offset += piece.len() as u64;
        executor::checkpoint::<KernelPlatform>().await;
    }
    Ok(())
}

/// Writes a program's bytes.
async fn fill(program: &Ref<VmoObject>, image: &Image<'_>, base: u64) -> Result<(), Error> {
    for segment in image.segments() {
        write(program, segment.address, segment.bytes).await?;
    }
    for (index, (address, value)) in image.relocated(base).enumerate() {
        program.write(address, &value.to_le_bytes()).await?;
        if index % WORDS_BETWEEN == WORDS_BETWEEN - 1 {
            executor::checkpoint::<KernelPlatform>().await;
        }
    }
    Ok(())
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

/// Loads a program into an empty process and starts its thread.
///
/// # Errors
/// See [`CannotStart`]. What was mapped by then goes with the process.
pub(super) async fn load(
    process: &Ref<Process>,
    image: &Image<'_>,
    handles: &[(&str, Handle)],
    arguments: &[&str],
    generation: u32,
) -> Result<(), CannotStart> {
    let account = root_job()?.job();
    let space = &process.space;
    let program = VmoObject::create(Memory, account, image.span_bytes())?;
    let base = space.find_place(image.span_bytes(), random::word())?;
    fill(&program, image, base).await?;
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
    let clock = time_page().await?;
    let clock = map(space, &clock, 0, PAGE_BYTES, place, Access::Read)?;

    let block = Start {
        time_page: clock,
        image_base: base,
        generation,
        handles,
        arguments,
    };
    let mut bytes = [0; START_BYTES];
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
    let thread = Thread::create(process, CoreId::FIRST, context, false)?;
    run::start(&thread, None)?;
    Ok(())
}
