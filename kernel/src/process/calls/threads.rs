//! Threads.

use abi::process::{ThreadArgs, ThreadFlags};
use abi::{Call, Error, ObjectType, Rights};
use executor::CoreId;
use hal::user::UserContext;
use objects::refs::Ref;

use super::{Arguments, process, typed};
use crate::exec;
use crate::process::object::{Capability, Object};
use crate::process::outcome::Results;
use crate::process::thread::Thread;
use crate::process::{memory, run};

pub(super) async fn call(
    thread: &Ref<Thread>,
    call: Call,
    [first, second, ..]: Arguments,
) -> Result<Results, Error> {
    match call {
        Call::ThreadCreate => {
            let process = process(thread, first, Rights::MANAGE)?;
            let args: ThreadArgs = memory::read(&thread.process.space, second).await?;
            let flags = ThreadFlags::from_bits(args.flags).ok_or(Error::BadArgument)?;
            if flags.contains(ThreadFlags::DRIVEN) {
                return Err(Error::Unsupported);
            }
            let reservation = match args.reservation {
                0 => None,
                handle => {
                    let kind = ObjectType::Reservation;
                    match typed(thread, handle, kind, Rights::MANAGE)?.into_object() {
                        Object::Reservation(reservation) => Some(reservation),
                        _ => return Err(Error::WrongType),
                    }
                }
            };
            let core = match (args.core, &reservation) {
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
            let mut room = thread.process.handles.reserve(1)?;
            let new = Thread::create(&process, core, context(&args)?)?;
            let capability = Capability::new(Object::Thread(new.clone()))?;
            run::start(&new, reservation.as_deref())?;
            Ok((room.install(capability).0, 0))
        }
        Call::ThreadRun | Call::ThreadRegisters | Call::ThreadKick | Call::ThreadExtended => {
            typed(thread, first, ObjectType::Thread, Rights::DRIVE)?;
            Err(Error::Unsupported)
        }
        _ => Err(Error::Unknown),
    }
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
