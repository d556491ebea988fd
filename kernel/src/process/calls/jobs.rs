//! Jobs, processes, reservations.

use abi::process::{JobLimits, MAX_NAME_BYTES, ReservationArgs};
use abi::{Call, Error, Handle, ObjectType, Rights};
use objects::refs::Ref;

use super::{Arguments, install, process, text, typed};
use crate::process::job::{self, JobObject};
use crate::process::memory;
use crate::process::object::Object;
use crate::process::outcome::Results;
use crate::process::process::{Process, find};
use crate::process::reservation::ReservationObject;
use crate::process::thread::Thread;

fn job_of(thread: &Thread, handle: u64, rights: Rights) -> Result<Ref<JobObject>, Error> {
    match typed(thread, handle, ObjectType::Job, rights)?.into_object() {
        Object::Job(job) => Ok(job),
        _ => Err(Error::WrongType),
    }
}

/// Ends a process, thread or job. Takes no memory: it is how memory comes back.
pub(super) fn kill(thread: &Thread, [handle, exit_code, ..]: Arguments) -> Result<Results, Error> {
    let entry = thread.process.handles.get(Handle(handle), Rights::KILL)?;
    match entry.object() {
        Object::Process(process) => Process::kill(process, exit_code as i32),
        Object::Thread(thread) => thread.kill(),
        Object::Job(job) => job::kill(job, exit_code as i32),
        _ => return Err(Error::WrongType),
    }
    Ok((0, 0))
}

pub(super) async fn call(
    thread: &Ref<Thread>,
    call: Call,
    [first, second, third, fourth, ..]: Arguments,
) -> Result<Results, Error> {
    let space = &thread.process.space;
    match call {
        Call::JobCreate => {
            let above = job_of(thread, first, Rights::CREATE)?;
            let limits: JobLimits = memory::read(space, second).await?;
            let below = above.child(&limits)?;
            Ok((install(thread, Object::Job(below))?, 0))
        }
        Call::JobInfo => {
            let job = job_of(thread, first, Rights::INSPECT)?;
            memory::write(space, second, &job::info(&job)).await?;
            Ok((0, 0))
        }
        Call::JobSetLimits => {
            let job = job_of(thread, first, Rights::MANAGE)?;
            let limits: JobLimits = memory::read(space, second).await?;
            job.job().set_limits(&limits)?;
            Ok((0, 0))
        }
        Call::ProcessCreate => {
            let job = job_of(thread, first, Rights::CREATE)?;
            let name = text::<MAX_NAME_BYTES>(thread, second, third).await?;
            let process = Process::create(&job, &name)?;
            Ok((install(thread, Object::Process(process))?, 0))
        }
        Call::ProcessInfo => {
            let process = process(thread, first, Rights::INSPECT)?;
            memory::write(space, second, &process.info()).await?;
            Ok((0, 0))
        }
        Call::ProcessSetExceptions => {
            let process = process(thread, first, Rights::MANAGE)?;
            let channel = match second {
                0 => None,
                handle => {
                    let entry = typed(thread, handle, ObjectType::Channel, Rights::WRITE)?;
                    Some(entry.lead_to(entry.object().clone())?)
                }
            };
            process.set_exceptions(channel);
            Ok((0, 0))
        }
        Call::ProcessFork => {
            let from = process(thread, first, Rights::MANAGE)?;
            let job = job_of(thread, second, Rights::CREATE)?;
            let name = text::<MAX_NAME_BYTES>(thread, third, fourth).await?;
            let child = Process::create(&job, &name)?;
            from.space.fork_into(&child.space, child.account()).await?;
            Ok((install(thread, Object::Process(child))?, 0))
        }
        Call::JobProcess => {
            let entry = typed(thread, first, ObjectType::Job, Rights::INSPECT)?;
            let Object::Job(above) = entry.object() else {
                return Err(Error::WrongType);
            };
            let process = find(second)
                .filter(|process| above.is_above(process.account()))
                .ok_or(Error::BadArgument)?;
            let found = entry.lead_to(Object::Process(process))?;
            Ok((thread.process.handles.insert(found)?.0, 0))
        }
        Call::ReservationCreate => {
            let job = job_of(thread, first, Rights::CREATE)?;
            let args: ReservationArgs = memory::read(space, second).await?;
            match ReservationObject::create(&job, &args) {
                Ok(reservation) => Ok((install(thread, Object::Reservation(reservation))?, 0)),
                Err((error, excess_ppm)) => Ok((error.to_raw(), excess_ppm)),
            }
        }
        _ => Err(Error::Unknown),
    }
}
