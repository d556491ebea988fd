//! Processes, threads and jobs; and this process's own.

use core::sync::atomic::AtomicU64;

use abi::process::{JobInfo, JobLimits, ProcessInfo, ReservationArgs, ResidentArgs, ThreadArgs};
use abi::{Call, Error, Handle, Rights};
use zerocopy::{FromZeros, IntoBytes};

use super::gate::{self, Own};
use super::object::{Borrowed, Channel, Job, Object, Owned, Process, Reservation, System, Thread};

/// Names of the handles each process has.
pub(super) static PROCESS: AtomicU64 = AtomicU64::new(0);
pub(super) static THREAD: AtomicU64 = AtomicU64::new(0);
pub(super) static JOB: AtomicU64 = AtomicU64::new(0);
/// How often this server was started before.
pub(super) static GENERATION: AtomicU64 = AtomicU64::new(0);

/// This process.
#[must_use]
pub fn this_process() -> Borrowed<'static, Process> {
    Borrowed::new(Handle(gate::own(Own::Process, &PROCESS)))
}

/// Its first thread.
#[must_use]
pub fn first_thread() -> Borrowed<'static, Thread> {
    Borrowed::new(Handle(gate::own(Own::Thread, &THREAD)))
}

/// The job it lives under.
#[must_use]
pub fn this_job() -> Borrowed<'static, Job> {
    Borrowed::new(Handle(gate::own(Own::Job, &JOB)))
}

/// How often this server was started before, since boot.
#[must_use]
pub fn generation() -> u32 {
    gate::own(Own::Generation, &GENERATION) as u32
}

/// Does nothing in the kernel: what the gate itself costs.
#[inline(always)]
pub fn nop() {
    // SAFETY: touches no memory.
    unsafe { gate::call(Call::Nop, []) };
}

/// Lets others of the same urgency run.
pub fn yield_now() {
    // SAFETY: touches no memory.
    unsafe { gate::call(Call::Yield, []) };
}

/// Ends what a handle is for, with all below it.
///
/// # Errors
/// [`Error::NoRight`] without [`Rights::KILL`], [`Error::WrongType`].
fn kill(handle: Handle, exit_code: i32) -> Result<(), Error> {
    // SAFETY: threads of this process that it ends never run again, so their memory may stay as it is.
    let (rax, _) = unsafe { gate::call(Call::Kill, [handle.0, u64::from(exit_code as u32)]) };
    Error::check(rax).map(drop)
}

impl Process {
    /// An empty process under `job`.
    ///
    /// # Errors
    /// The job's limits, [`Error::NoRight`], [`Error::BadArgument`] for a bad name.
    pub fn create(job: &Job, name: &str) -> Result<Self, Error> {
        // SAFETY: the kernel reads the name.
        let (rax, _) = unsafe {
            gate::call(
                Call::ProcessCreate,
                [job.handle().0, name.as_ptr() as u64, name.len() as u64],
            )
        };
        Owned::from_result(Error::check(rax)?).map(Self::from_owned)
    }

    /// An empty process with a copy-on-write copy of this one's memory.
    ///
    /// # Errors
    /// As [`create`](Process::create).
    pub fn fork(&self, job: &Job, name: &str) -> Result<Self, Error> {
        // SAFETY: the kernel reads the name.
        let (rax, _) = unsafe {
            gate::call(
                Call::ProcessFork,
                [
                    self.handle().0,
                    job.handle().0,
                    name.as_ptr() as u64,
                    name.len() as u64,
                ],
            )
        };
        Owned::from_result(Error::check(rax)?).map(Self::from_owned)
    }

    /// How it is.
    ///
    /// # Errors
    /// [`Error::NoRight`].
    pub fn status(&self) -> Result<ProcessInfo, Error> {
        let mut info = ProcessInfo::new_zeroed();
        // SAFETY: the kernel fills `info`, whose layout both sides share.
        let (rax, _) = unsafe {
            gate::call(
                Call::ProcessInfo,
                [self.handle().0, info.as_mut_bytes().as_mut_ptr() as u64],
            )
        };
        Error::check(rax)?;
        Ok(info)
    }

    /// Where exceptions of its threads go, to be read by [`Crash::read`](super::driven::Crash::read) from the other end; `None` for nowhere.
    ///
    /// # Errors
    /// [`Error::NoRight`], [`Error::WrongType`].
    pub fn set_exceptions(&self, channel: Option<&Channel>) -> Result<(), Error> {
        let channel = channel.map_or(0, |channel| channel.handle().0);
        // SAFETY: touches no memory.
        let (rax, _) =
            unsafe { gate::call(Call::ProcessSetExceptions, [self.handle().0, channel]) };
        Error::check(rax).map(drop)
    }

    /// Moves a handle into it, with `rights`, which must be among those it has. Its number there. A handle that cannot be given
    /// is closed.
    ///
    /// # Errors
    /// [`Error::NoRight`], the limits of its job.
    pub fn give(&self, handle: Owned, rights: Rights) -> Result<Handle, Error> {
        // SAFETY: moves a handle.
        let (rax, _) = unsafe {
            gate::call(
                Call::HandleGive,
                [self.handle().0, handle.handle().0, u64::from(rights.bits())],
            )
        };
        let there = Handle(Error::check(rax)?);
        core::mem::forget(handle);
        Ok(there)
    }

    /// A thread in it that runs at once; see [`DrivenThread`](super::driven::DrivenThread) for others.
    ///
    /// # Errors
    /// [`Error::BadArgument`] for this process (see [`thread`](super::thread)); the job's limits; [`Error::BadAddress`].
    pub fn start_thread(&self, arguments: &ThreadArgs) -> Result<Thread, Error> {
        if self.info()?.object_id == this_process().info()?.object_id {
            return Err(Error::BadArgument);
        }
        // SAFETY: the thread runs in another process's memory.
        unsafe { thread_create(self, arguments) }
    }

    /// Makes this process, which has handles only, a server of the kernel's image, with `block` as its start block.
    ///
    /// # Errors
    /// [`Error::BadArgument`] if the kernel carries no server of that name; [`Error::BadState`] if the process has memory or threads;
    /// [`Error::NoRight`]; the job's limits.
    pub fn start_resident(
        &self,
        arguments: &ResidentArgs,
        system: &System,
        server: &str,
        block: &[u8],
    ) -> Result<Thread, Error> {
        let arguments = ResidentArgs {
            system: system.handle().0,
            name: server.as_ptr() as u64,
            name_len: server.len() as u64,
            block: block.as_ptr() as u64,
            block_len: block.len() as u64,
            ..*arguments
        };
        // SAFETY: the kernel reads the arguments, the name and the block.
        let (rax, _) = unsafe {
            gate::call(
                Call::ResidentStart,
                [self.handle().0, arguments.as_bytes().as_ptr() as u64],
            )
        };
        Owned::from_result(Error::check(rax)?).map(Thread::from_owned)
    }

    /// Ends it.
    ///
    /// # Errors
    /// [`Error::NoRight`].
    pub fn kill(&self, exit_code: i32) -> Result<(), Error> {
        kill(self.handle(), exit_code)
    }
}

/// A thread.
///
/// # Safety
/// In this process: it runs code that is there, on a stack that nothing else uses.
pub(super) unsafe fn thread_create(
    process: &Process,
    arguments: &ThreadArgs,
) -> Result<Thread, Error> {
    // SAFETY: the kernel reads the arguments; what the thread does is the caller's promise.
    let (rax, _) = unsafe {
        gate::call(
            Call::ThreadCreate,
            [process.handle().0, arguments.as_bytes().as_ptr() as u64],
        )
    };
    Owned::from_result(Error::check(rax)?).map(Thread::from_owned)
}

impl Thread {
    /// Ends it.
    ///
    /// # Errors
    /// [`Error::NoRight`].
    pub fn kill(&self) -> Result<(), Error> {
        kill(self.handle(), abi::process::KILLED)
    }
}

impl Job {
    /// A job under this one.
    ///
    /// # Errors
    /// [`Error::NoRight`], this job's limits.
    pub fn create(&self, limits: &JobLimits) -> Result<Self, Error> {
        // SAFETY: the kernel reads the limits.
        let (rax, _) = unsafe {
            gate::call(
                Call::JobCreate,
                [self.handle().0, limits.as_bytes().as_ptr() as u64],
            )
        };
        Owned::from_result(Error::check(rax)?).map(Self::from_owned)
    }

    /// Limits and use.
    ///
    /// # Errors
    /// [`Error::NoRight`].
    pub fn usage(&self) -> Result<JobInfo, Error> {
        let mut info = JobInfo::new_zeroed();
        // SAFETY: the kernel fills `info`, whose layout both sides share.
        let (rax, _) = unsafe {
            gate::call(
                Call::JobInfo,
                [self.handle().0, info.as_mut_bytes().as_mut_ptr() as u64],
            )
        };
        Error::check(rax)?;
        Ok(info)
    }

    /// Other limits.
    ///
    /// # Errors
    /// [`Error::NoRight`].
    pub fn set_limits(&self, limits: &JobLimits) -> Result<(), Error> {
        // SAFETY: the kernel reads the limits.
        let (rax, _) = unsafe {
            gate::call(
                Call::JobSetLimits,
                [self.handle().0, limits.as_bytes().as_ptr() as u64],
            )
        };
        Error::check(rax).map(drop)
    }

    /// A process under it or below, by its id: with those of this handle's rights that a process has.
    ///
    /// # Errors
    /// [`Error::BadArgument`] if there is none of that id, or no more; [`Error::NoRight`] without [`Rights::INSPECT`].
    pub fn process(&self, id: u64) -> Result<Process, Error> {
        // SAFETY: touches no memory.
        let (rax, _) = unsafe { gate::call(Call::JobProcess, [self.handle().0, id]) };
        Owned::from_result(Error::check(rax)?).map(Process::from_owned)
    }

    /// Processor time under it. With [`Error::NotAdmitted`] comes by how many ppm it does not fit.
    ///
    /// # Errors
    /// The error and that number, which is 0 with any other error.
    pub fn reserve(&self, arguments: &ReservationArgs) -> Result<Reservation, (Error, u64)> {
        // SAFETY: the kernel reads the arguments.
        let (rax, rdx) = unsafe {
            gate::call(
                Call::ReservationCreate,
                [self.handle().0, arguments.as_bytes().as_ptr() as u64],
            )
        };
        match Error::check(rax).and_then(Owned::from_result) {
            Ok(owned) => Ok(Reservation::from_owned(owned)),
            Err(Error::NotAdmitted) => Err((Error::NotAdmitted, rdx)),
            Err(error) => Err((error, 0)),
        }
    }

    /// Ends all of its processes and the jobs below.
    ///
    /// # Errors
    /// [`Error::NoRight`].
    pub fn kill(&self, exit_code: i32) -> Result<(), Error> {
        kill(self.handle(), exit_code)
    }
}
