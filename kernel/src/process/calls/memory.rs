//! Vmos, pagers, and address spaces.

use abi::memory::{MAX_VMO_BYTES, MapArgs, MapFlags, VmoOp};
use abi::{Call, Error, ObjectType, Rights};
use alloc::boxed::Box;
use objects::channel::Message;
use objects::memory::{Access, Inherit, MapArgs as Mapping, Place};
use objects::refs::Ref;

use super::{Arguments, install, process, typed};
use crate::process::memory::{self, Memory, PagerObject, VmoObject};
use crate::process::object::Object;
use crate::process::outcome::Results;
use crate::process::random;
use crate::process::thread::Thread;

/// Bytes that a copy between memories moves at a time, through the kernel. In memory of its own: a thread's future is small.
const COPY_BYTES: u64 = 4096;

/// A kernel copy of at most [`COPY_BYTES`] of the caller's bytes.
pub(super) fn buffer(thread: &Thread, len: u64) -> Result<Box<Message<Object>>, Error> {
    Message::new(thread.process.account(), len.min(COPY_BYTES) as usize, 0)
}

fn vmo(thread: &Thread, handle: u64, rights: Rights) -> Result<Ref<VmoObject>, Error> {
    match typed(thread, handle, ObjectType::Vmo, rights)?.into_object() {
        Object::Vmo(vmo) => Ok(vmo),
        _ => Err(Error::WrongType),
    }
}

fn pager(thread: &Thread, handle: u64) -> Result<Ref<PagerObject>, Error> {
    match typed(thread, handle, ObjectType::Pager, Rights::MANAGE)?.into_object() {
        Object::Pager(pager) => Ok(pager),
        _ => Err(Error::WrongType),
    }
}

fn size(bytes: u64) -> Result<u64, Error> {
    if bytes == 0 || bytes > MAX_VMO_BYTES {
        return Err(Error::OutOfRange);
    }
    Ok(bytes)
}

fn flags(raw: u64) -> Result<MapFlags, Error> {
    u32::try_from(raw)
        .ok()
        .and_then(MapFlags::from_bits)
        .ok_or(Error::BadArgument)
}

pub(super) async fn call(
    thread: &Ref<Thread>,
    call: Call,
    [first, second, third, fourth, fifth, _]: Arguments,
) -> Result<Results, Error> {
    let account = thread.process.account();
    let space = &thread.process.space;
    match call {
        Call::VmoCreate => {
            let vmo = VmoObject::create(Memory, account, size(first)?)?;
            Ok((install(thread, Object::Vmo(vmo))?, 0))
        }
        Call::VmoInfo => {
            let info = vmo(thread, first, Rights::INSPECT)?.info().await;
            memory::write(space, second, &info).await?;
            Ok((0, 0))
        }
        Call::VmoRead => {
            let vmo = vmo(thread, first, Rights::READ)?;
            check(second, fourth, vmo.bytes())?;
            let mut buffer = buffer(thread, fourth)?;
            for piece in Pieces::new(fourth) {
                let bytes = piece.of(buffer.bytes_mut())?;
                vmo.read(second + piece.start, bytes).await?;
                memory::copy_out(space, third.wrapping_add(piece.start), bytes).await?;
            }
            Ok((fourth, 0))
        }
        Call::VmoWrite => {
            let vmo = vmo(thread, first, Rights::WRITE)?;
            check(second, fourth, vmo.bytes())?;
            let mut buffer = buffer(thread, fourth)?;
            for piece in Pieces::new(fourth) {
                let bytes = piece.of(buffer.bytes_mut())?;
                memory::copy_in(space, bytes, third.wrapping_add(piece.start)).await?;
                vmo.write(second + piece.start, bytes).await?;
            }
            Ok((fourth, 0))
        }
        Call::VmoClone => {
            let vmo = vmo(thread, first, Rights::READ)?;
            let copy = vmo.snapshot(account, second, third).await?;
            Ok((install(thread, Object::Vmo(copy))?, 0))
        }
        Call::VmoOp => {
            let vmo = vmo(thread, first, Rights::WRITE)?;
            match VmoOp::from_raw(second).ok_or(Error::BadArgument)? {
                VmoOp::Commit => vmo.commit(third, fourth).await?,
                VmoOp::Decommit => vmo.decommit(third, fourth).await?,
            }
            Ok((0, 0))
        }
        Call::VmoResize => {
            // Not for everybody who may write: who shares memory would fault where it ends sooner.
            vmo(thread, first, Rights::MANAGE)?
                .resize(size(second)?)
                .await?;
            Ok((0, 0))
        }
        Call::PagerCreate => {
            let pager = PagerObject::create(account)?;
            Ok((install(thread, Object::Pager(pager))?, 0))
        }
        Call::PagerVmo => {
            let vmo = pager(thread, first)?.vmo(Memory, account, size(second)?)?;
            Ok((install(thread, Object::Vmo(vmo))?, 0))
        }
        Call::PagerNext => {
            let request = pager(thread, first)?.next().ok_or(Error::WouldWait)?;
            Ok((request.vmo_id, request.page))
        }
        Call::PagerSupply => {
            let from = vmo(thread, third, Rights::READ | Rights::WRITE)?;
            let vmo = vmo(thread, first, Rights::MANAGE)?;
            vmo.supply(second, &from, fourth, fifth).await?;
            Ok((0, 0))
        }
        Call::Map => {
            let target = process(thread, first, Rights::MANAGE)?;
            let args: MapArgs = memory::read(space, second).await?;
            map(thread, &target.space, &args).await.map(|at| (at, 0))
        }
        Call::Unmap => {
            let target = process(thread, first, Rights::MANAGE)?;
            target.space.unmap(second, third).await?;
            Ok((0, 0))
        }
        Call::Protect => {
            let target = process(thread, first, Rights::MANAGE)?;
            let flags = flags(fourth)?;
            if !(MapFlags::WRITE | MapFlags::EXECUTE).contains(flags) {
                return Err(Error::BadArgument);
            }
            let access = Access::from_flags(flags)?;
            check_resident(&target.space, access)?;
            target.space.protect(second, third, access).await?;
            Ok((0, 0))
        }
        Call::MemoryRead => {
            let target = process(thread, first, Rights::READ)?;
            let mut buffer = buffer(thread, fourth)?;
            for piece in Pieces::new(fourth) {
                let bytes = piece.of(buffer.bytes_mut())?;
                target
                    .space
                    .read(second.wrapping_add(piece.start), bytes)
                    .await?;
                memory::copy_out(space, third.wrapping_add(piece.start), bytes).await?;
            }
            Ok((fourth, 0))
        }
        Call::MemoryWrite => {
            let target = process(thread, first, Rights::WRITE)?;
            let mut buffer = buffer(thread, fourth)?;
            for piece in Pieces::new(fourth) {
                let bytes = piece.of(buffer.bytes_mut())?;
                memory::copy_in(space, bytes, third.wrapping_add(piece.start)).await?;
                target
                    .space
                    .write(second.wrapping_add(piece.start), bytes)
                    .await?;
            }
            Ok((fourth, 0))
        }
        Call::MemoryLookup => process(thread, first, Rights::READ)?.space.lookup(second),
        _ => Err(Error::Unknown),
    }
}

/// Resident servers execute the kernel's image alone.
fn check_resident(space: &memory::AddressSpace, access: Access) -> Result<(), Error> {
    if space.tables().is_resident() && access == Access::ReadExecute {
        return Err(Error::Unsupported);
    }
    Ok(())
}

async fn map(thread: &Thread, space: &memory::AddressSpace, args: &MapArgs) -> Result<u64, Error> {
    let flags = flags(u64::from(args.flags))?;
    if args.reserved != 0 || (!flags.contains(MapFlags::FIXED) && args.address != 0) {
        return Err(Error::BadArgument);
    }
    let access = Access::from_flags(flags)?;
    check_resident(space, access)?;
    let entry = typed(thread, args.vmo, ObjectType::Vmo, Rights::MAP)?;
    let Object::Vmo(vmo) = entry.object() else {
        return Err(Error::WrongType);
    };
    if space.tables().is_resident() && vmo.may_wait_for_pager() {
        // Its poll cannot wait.
        return Err(Error::Unsupported);
    }
    if flags.contains(MapFlags::CONSTANT) && !vmo.is_constant() {
        return Err(Error::Unsupported);
    }
    if let Some(lease) = entry.lease() {
        memory::note_leased(lease, vmo)?;
    }
    let address = space.map(&Mapping {
        vmo,
        offset: args.offset,
        len: args.len,
        place: if flags.contains(MapFlags::FIXED) {
            Place::Fixed(args.address)
        } else {
            Place::Random(random::word())
        },
        access,
        rights: entry.rights(),
        guarded: flags.contains(MapFlags::GUARDS),
        lease: entry.lease(),
        inherit: if flags.contains(MapFlags::SHARED) {
            Inherit::Share
        } else {
            Inherit::Copy
        },
    })?;
    if flags.contains(MapFlags::COMMIT)
        && let Err(error) = space.populate(address, args.len).await
    {
        space.unmap(address, args.len).await?;
        return Err(error);
    }
    Ok(address)
}

/// Whether `len` bytes at `offset` lie within `size`.
fn check(offset: u64, len: u64, size: u64) -> Result<(), Error> {
    match offset.checked_add(len) {
        Some(end) if end <= size => Ok(()),
        _ => Err(Error::OutOfRange),
    }
}

/// A length cut into pieces of a buffer.
struct Pieces {
    next: u64,
    end: u64,
}

#[derive(Clone, Copy)]
struct Piece {
    start: u64,
    len: usize,
}

impl Pieces {
    fn new(len: u64) -> Self {
        Self { next: 0, end: len }
    }
}

impl Iterator for Pieces {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        let start = self.next;
        let len = (self.end - start).min(COPY_BYTES);
        self.next += len;
        (len > 0).then_some(Piece {
            start,
            len: len as usize,
        })
    }
}

impl Piece {
    fn of(self, buffer: &mut [u8]) -> Result<&mut [u8], Error> {
        buffer.get_mut(..self.len).ok_or(Error::OutOfRange)
    }
}
