//! Threads, and what drivers of threads ask.

use abi::process::{Registers, ThreadArgs, ThreadFlags};
use abi::{Call, Error, ObjectType, Rights};
use executor::{Class, CoreId};
use hal::user::UserContext;
use hal::user::extended::ExtendedError;
use objects::refs::Ref;

use super::memory::buffer;
use super::{Arguments, process, typed};
use crate::exec;
use crate::process::drive;
use crate::process::object::{Capability, Object};
use crate::process::outcome::Results;
use crate::process::process::Process;
use crate::process::reservation::ReservationObject;
use crate::process::thread::Thread;
use crate::process::{crash, memory, run};

pub(super) async fn call(
    thread: &Ref<Thread>,
    call: Call,
    [first, second, third, fourth, ..]: Arguments,
) -> Result<Results, Error> {
    match call {
        Call::ThreadCreate => {
            #[cfg(feature = "inject")]
            inject::at(inject::Point::ThreadStart);
            let process = process(thread, first, Rights::MANAGE)?;
            let args: ThreadArgs = memory::read(&thread.process.space, second).await?;
            let flags = ThreadFlags::from_bits(args.flags).ok_or(Error::BadArgument)?;
            if flags.contains(ThreadFlags::DRIVEN) {
                return create_driven(thread, &process, &args);
            }
            let (core, reservation) = home(thread, args.core, args.reservation)?;
            let mut room = thread.process.handles.reserve(1)?;
            let new = Thread::create(&process, core, context(&args)?, false)?;
            let capability = Capability::new(Object::Thread(new.clone()))?;
            run::start(&new, reservation.as_deref())?;
            Ok((room.install(capability).0, 0))
        }
        Call::ThreadRegisters => {
            let driven = of_thread(thread, first)?;
            let space = &thread.process.space;
            if is_write(third)? {
                let registers: Registers = memory::read(space, second).await?;
                drive::look(driven, |context| drive::set_registers(context, &registers))??;
            } else {
                let registers = drive::look(driven, |context| crash::registers(context))?;
                memory::write(space, second, &registers).await?;
            }
            Ok((0, 0))
        }
        Call::ThreadKick => {
            let driven = driven(thread, first)?;
            drive::kick(&driven);
            Ok((0, 0))
        }
        Call::ThreadContinue => {
            drive::go_on(&*of_thread(thread, first)?)?;
            Ok((0, 0))
        }
        Call::ThreadExtended => {
            let driven = of_thread(thread, first)?;
            extended(thread, &driven, second, third, is_write(fourth)?).await
        }
        Call::ThreadDeadline => {
            say_deadline(thread, first)?;
            Ok((0, 0))
        }
        _ => Err(Error::Unknown),
    }
}

/// The thread says from now on at this address by when it has something to do.
fn say_deadline(thread: &Thread, address: u64) -> Result<(), Error> {
    if thread.process.resident().is_some() {
        return Err(Error::Unsupported);
    }
    if !address.is_multiple_of(8) || hal::user::check(address, 8).is_err() {
        return Err(Error::BadAddress);
    }
    let task = thread.task().and_then(|task| exec::fleet().task(task));
    if !task.is_some_and(|task| matches!(task.class, Class::Reserved(_))) {
        return Err(Error::BadState);
    }
    thread.say_deadline_at(address);
    Ok(())
}

/// A thread that whoever has its handle runs.
fn create_driven(
    thread: &Ref<Thread>,
    process: &Ref<Process>,
    args: &ThreadArgs,
) -> Result<Results, Error> {
    if args.reservation != 0 {
        return Err(Error::BadArgument);
    }
    let mut context = context(args)?;
    context.set_foreign(true);
    let mut room = thread.process.handles.reserve(1)?;
    let new = Thread::create(process, thread.core, context, true)?;
    let capability = Capability::new(Object::Thread(new.clone()))?;
    drive::start(&new)?;
    Ok((room.install(capability).0, 0))
}

/// The thread that a handle lets one drive, or look at while it waits after an exception.
fn of_thread(thread: &Thread, handle: u64) -> Result<Ref<Thread>, Error> {
    match typed(thread, handle, ObjectType::Thread, Rights::DRIVE)?.into_object() {
        Object::Thread(of) if of.driven.is_open() => Ok(of),
        Object::Thread(_) => Err(Error::BadState),
        _ => Err(Error::WrongType),
    }
}

/// The driven thread that a handle lets one drive.
fn driven(thread: &Thread, handle: u64) -> Result<Ref<Thread>, Error> {
    let driven = of_thread(thread, handle)?;
    if driven.driven.is_driven() {
        Ok(driven)
    } else {
        Err(Error::BadState)
    }
}

fn is_write(argument: u64) -> Result<bool, Error> {
    match argument {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Error::BadArgument),
    }
}

/// Reads or writes the XSAVE state of a driven thread, from or to `len` bytes at `address`.
async fn extended(
    thread: &Thread,
    driven: &Ref<Thread>,
    address: u64,
    len: u64,
    write: bool,
) -> Result<Results, Error> {
    let size = hal::user::extended::size_bytes() as u64;
    let space = &thread.process.space;
    if write {
        if len != size {
            return Err(Error::OutOfRange);
        }
        let mut buffer = buffer(thread, size)?;
        memory::copy_in(space, buffer.bytes_mut(), address).await?;
        let set = |context: &mut UserContext| context.set_extended_state(buffer.bytes_mut());
        drive::look(driven.clone(), set)?.map_err(|error| match error {
            ExtendedError::WrongLength => Error::OutOfRange,
            ExtendedError::Malformed => Error::BadArgument,
            ExtendedError::OutOfMemory => Error::NoMemory,
        })?;
    } else {
        if len < size {
            return Ok((Error::BufferTooSmall.to_raw(), size));
        }
        let mut buffer = buffer(thread, size)?;
        drive::look(driven.clone(), |context| {
            // What the initial state leaves out is zeroes, as the buffer is.
            for (to, from) in buffer.bytes_mut().iter_mut().zip(context.extended_state()) {
                *to = *from;
            }
        })?;
        memory::copy_out(space, address, buffer.bytes_mut()).await?;
    }
    Ok((size, 0))
}

/// Where a new thread lives, and what it runs in.
pub fn home(
    thread: &Thread,
    core: u32,
    reservation: u64,
) -> Result<(CoreId, Option<Ref<ReservationObject>>), Error> {
    let reservation = match reservation {
        0 => None,
        handle => {
            let kind = ObjectType::Reservation;
            match typed(thread, handle, kind, Rights::MANAGE)?.into_object() {
                Object::Reservation(reservation) => Some(reservation),
                _ => return Err(Error::WrongType),
            }
        }
    };
    let core = match (core, &reservation) {
        (u32::MAX, Some(reservation)) => reservation.reserved.core(),
        (u32::MAX, None) => exec::fleet().least_loaded().ok_or(Error::Unsupported)?,
        (core, _) => CoreId::new(core as usize)
            .filter(|&core| exec::fleet().cores().any(|running| running == core))
            .ok_or(Error::BadArgument)?,
    };
    if reservation
        .as_ref()
        .is_some_and(|reservation| reservation.reserved.core() != core)
    {
        return Err(Error::BadArgument);
    }
    Ok((core, reservation))
}

/// The registers of a new thread.
pub fn context(args: &ThreadArgs) -> Result<UserContext, Error> {
    let mut context = UserContext::new(args.entry, args.stack).map_err(|_| Error::BadAddress)?;
    context.registers.rdi = args.first_argument;
    context.registers.rsi = args.second_argument;
    context
        .set_fs_base(args.fs_base)
        .map_err(|_| Error::BadAddress)?;
    Ok(context)
}
