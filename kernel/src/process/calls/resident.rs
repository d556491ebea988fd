//! Starting servers of the kernel's image.

use alloc::vec::Vec;

use abi::process::{MAX_START_BYTES, ResidentArgs};
use abi::{Error, ObjectType, Rights};
use objects::refs::Ref;
use zerocopy::IntoBytes;

use super::threads::home;
use super::{Arguments, process, text, typed};
use crate::process::object::{Capability, Object};
use crate::process::outcome::Results;
use crate::process::thread::Thread;
use crate::process::{memory, resident};

/// Longest name of a server.
const MAX_NAME_BYTES: usize = 64;

pub(super) async fn start(
    thread: &Ref<Thread>,
    [first, second, ..]: Arguments,
) -> Result<Results, Error> {
    let space = &thread.process.space;
    let process = process(thread, first, Rights::MANAGE)?;
    let args: ResidentArgs = memory::read(space, second).await?;
    typed(thread, args.system, ObjectType::System, Rights::MANAGE)?;
    if args.flags != 0 || !args.block_len.is_multiple_of(8) {
        return Err(Error::BadArgument);
    }
    if args.block_len > MAX_START_BYTES {
        return Err(Error::OutOfRange);
    }
    let name = text::<MAX_NAME_BYTES>(thread, args.name, args.name_len).await?;
    let server = resident::find(&name).ok_or(Error::BadArgument)?;
    let words = args.block_len as usize / 8;
    let mut block: Vec<u64> = Vec::new();
    block
        .try_reserve_exact(words)
        .map_err(|_| Error::NoMemory)?;
    block.resize(words, 0);
    memory::copy_in(space, block.as_mut_bytes(), args.block).await?;
    let (core, reservation) = home(thread, args.core, args.reservation)?;
    let mut room = thread.process.handles.reserve(1)?;
    let new = resident::start(&process, server, block, core, reservation)?;
    Ok((room.install(Capability::new(Object::Thread(new))?).0, 0))
}
