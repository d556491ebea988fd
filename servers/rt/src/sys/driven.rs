//! Driven threads: threads of other processes that this one runs, and whose every trap comes out to it.
//!
//! The calling task or thread runs the driven one, on its own core and in its own time, and waits for it meanwhile. One call both sets the
//! registers and runs: [`DrivenThread::resume`] for tasks, [`DrivenThread::resume_blocking`] for a server that has a thread for each thread that it
//! drives.
//!
//! A task of a resident server enters the driven thread in its own poll. In ring 3, where all tasks of a process share a thread, a driven thread that
//! computes takes turns with them.

use core::future::poll_fn;

use abi::process::{ExitReason, ExitReport, Registers, RunFlags, ThreadArgs, ThreadFlags};
use abi::{Call, Error, Handle};
use zerocopy::{FromZeros, IntoBytes};

use super::message::Handles;
use super::object::{Channel, Object, Owned, Process, Thread};
use super::{clock, gate};

/// A thread that runs only while it is driven.
#[derive(Debug, PartialEq, Eq)]
pub struct DrivenThread(Thread);

/// Why a driven thread stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It executed `syscall`, and stands behind it.
    SystemCall,
    /// A CPU exception.
    Exception {
        /// Its vector (Intel SDM vol. 3A table 7-1).
        vector: u32,
        /// Its error code.
        error_code: u64,
        /// What a page fault was about.
        address: u64,
        /// Why no page could be brought, after a page fault: [`Error::BadAddress`] if nothing is mapped there, say.
        refusal: Option<Error>,
    },
    /// It was kicked.
    Kicked,
    /// It is over.
    Ended,
    /// The deadline came first.
    Deadline,
}

/// How a driven thread stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop {
    report: ExitReport,
    refusal: Option<Error>,
}

impl Stop {
    /// Before its first run.
    fn new() -> Self {
        Self {
            report: ExitReport::new_zeroed(),
            refusal: None,
        }
    }

    /// Why it stopped.
    #[must_use]
    pub fn why(&self) -> Why {
        let report = &self.report;
        match report.reason {
            reason if reason == ExitReason::SystemCall as u32 => Why::SystemCall,
            reason if reason == ExitReason::Exception as u32 => Why::Exception {
                vector: report.vector,
                error_code: report.error_code,
                address: report.address,
                refusal: self.refusal,
            },
            reason if reason == ExitReason::Kicked as u32 => Why::Kicked,
            reason if reason == ExitReason::Deadline as u32 => Why::Deadline,
            _ => Why::Ended,
        }
    }

    /// Its registers.
    #[must_use]
    pub fn registers(&self) -> &Registers {
        &self.report.registers
    }

    /// Its registers, to be changed before it goes on with them.
    pub fn registers_mut(&mut self) -> &mut Registers {
        &mut self.report.registers
    }

    /// After a system call, its six arguments in the order of Linux: `rdi rsi rdx r10 r8 r9`.
    #[must_use]
    pub fn arguments(&self) -> [u64; 6] {
        let r = self.registers();
        [r.rdi, r.rsi, r.rdx, r.r10, r.r8, r.r9]
    }
}

/// How long a driven thread computes in ring 3 before other tasks of its driver's have their turns, in nanoseconds.
const TURN_NS: u64 = 1_000_000;

/// A resident driver's run. Dropped while it goes on, it is given up.
struct Running {
    resident: &'static gate::Resident,
    thread: Handle,
    goes_on: bool,
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.goes_on {
            (self.resident.end_run)(self.thread);
        }
    }
}

impl DrivenThread {
    /// A driven thread in `process`, which is not this one. Its core and reservation are its driver's.
    ///
    /// # Errors
    /// [`Error::BadArgument`] for this process; the job's limits; [`Error::BadAddress`].
    pub fn create(process: &Process, arguments: &ThreadArgs) -> Result<Self, Error> {
        let arguments = ThreadArgs {
            flags: ThreadFlags::DRIVEN.bits(),
            ..*arguments
        };
        process.start_thread(&arguments).map(Self)
    }

    /// A handle of a thread that is driven, which came from elsewhere. If it is not, calls answer [`Error::BadState`].
    #[must_use]
    pub const fn from_thread(thread: Thread) -> Self {
        Self(thread)
    }

    /// Its handle.
    #[must_use]
    pub const fn thread(&self) -> &Thread {
        &self.0
    }

    /// Runs it with the registers it has, with the whole calling thread, until it stops.
    ///
    /// # Errors
    /// [`Error::BadState`] if somebody else runs it; [`Error::NoRight`]; [`Error::Revoked`], also meanwhile; [`Error::NoMemory`] for its
    /// vector state.
    pub fn run_blocking(&self, deadline_ns: u64) -> Result<Stop, Error> {
        let mut stop = Stop::new();
        self.run_into(&mut stop, deadline_ns, RunFlags::empty())?;
        Ok(stop)
    }

    /// Runs it with the registers in `stop`, which then says how it stopped next.
    ///
    /// # Errors
    /// As [`run_blocking`](Self::run_blocking); [`Error::BadAddress`] for registers that cannot be set.
    pub fn resume_blocking(&self, stop: &mut Stop, deadline_ns: u64) -> Result<(), Error> {
        self.run_into(stop, deadline_ns, RunFlags::SET_REGISTERS)
    }

    /// Runs it with the registers it has until it stops, while other tasks go on. Dropped, the thread stands still.
    ///
    /// # Errors
    /// As [`run_blocking`](Self::run_blocking); [`Error::NoMemory`], [`Error::LimitReached`] for more than 16 runs that one task
    /// of a resident server awaits.
    pub async fn run(&self, deadline_ns: u64) -> Result<Stop, Error> {
        let mut stop = Stop::new();
        self.turns(&mut stop, deadline_ns, RunFlags::empty())
            .await?;
        Ok(stop)
    }

    /// [`run`](Self::run) with the registers in `stop`, which then says how it stopped next.
    ///
    /// # Errors
    /// As there; [`Error::BadAddress`] for registers that cannot be set.
    pub async fn resume(&self, stop: &mut Stop, deadline_ns: u64) -> Result<(), Error> {
        self.turns(stop, deadline_ns, RunFlags::SET_REGISTERS).await
    }

    async fn turns(
        &self,
        stop: &mut Stop,
        deadline_ns: u64,
        mut flags: RunFlags,
    ) -> Result<(), Error> {
        if let Some(resident) = gate::resident() {
            let thread = self.0.handle();
            let mut run = Running {
                resident,
                thread,
                goes_on: false,
            };
            let refusal = poll_fn(|context| {
                let report = &mut stop.report;
                let flags = flags.bits();
                let ran =
                    (resident.run_thread)(thread, report, deadline_ns, flags, context.waker());
                run.goes_on = ran.is_pending();
                ran
            })
            .await?;
            stop.refusal = refusal;
            return Ok(());
        }
        loop {
            let end_ns = clock::now_ns().saturating_add(TURN_NS);
            self.run_into(stop, deadline_ns.min(end_ns), flags)?;
            if stop.why() != Why::Deadline || deadline_ns <= end_ns {
                return Ok(());
            }
            flags = RunFlags::empty();
            crate::yield_now().await;
        }
    }

    fn run_into(&self, stop: &mut Stop, deadline_ns: u64, flags: RunFlags) -> Result<(), Error> {
        // SAFETY: the kernel reads and fills the report, whose layout both sides share. What runs is no Rust code of this process: see
        // `create`.
        let (rax, rdx) = unsafe {
            gate::call(
                Call::ThreadRun,
                [
                    self.0.handle().0,
                    stop.report.as_mut_bytes().as_mut_ptr() as u64,
                    deadline_ns,
                    u64::from(flags.bits()),
                ],
            )
        };
        Error::check(rax)?;
        stop.refusal = Error::check(rdx).err();
        Ok(())
    }

    /// Its registers.
    ///
    /// # Errors
    /// [`Error::BadState`] while it runs, [`Error::NoRight`].
    pub fn registers(&self) -> Result<Registers, Error> {
        let mut registers = Registers::new_zeroed();
        // SAFETY: the kernel fills the registers' copy, whose layout both sides share.
        let (rax, _) = unsafe {
            gate::call(
                Call::ThreadRegisters,
                [
                    self.0.handle().0,
                    registers.as_mut_bytes().as_mut_ptr() as u64,
                    0,
                ],
            )
        };
        Error::check(rax)?;
        Ok(registers)
    }

    /// Sets its registers.
    ///
    /// # Errors
    /// As [`registers`](Self::registers); [`Error::BadAddress`] for addresses that are none of a process.
    pub fn set_registers(&self, registers: &Registers) -> Result<(), Error> {
        // SAFETY: the kernel reads the registers; a driven thread runs no Rust code of this process.
        let (rax, _) = unsafe {
            gate::call(
                Call::ThreadRegisters,
                [self.0.handle().0, registers.as_bytes().as_ptr() as u64, 1],
            )
        };
        Error::check(rax).map(drop)
    }

    /// Makes it stop, or its next run come back at once.
    ///
    /// # Errors
    /// [`Error::NoRight`], [`Error::BadState`] if it is not driven.
    pub fn kick(&self) -> Result<(), Error> {
        // SAFETY: touches no memory.
        let (rax, _) = unsafe { gate::call(Call::ThreadKick, [self.0.handle().0]) };
        Error::check(rax).map(drop)
    }

    /// How many bytes its XSAVE state has: the same for all threads.
    ///
    /// # Errors
    /// [`Error::NoRight`], [`Error::BadState`] if it is not driven.
    pub fn extended_bytes(&self) -> Result<usize, Error> {
        // SAFETY: the kernel writes nothing, as there is no room for anything.
        let (rax, rdx) = unsafe { gate::call(Call::ThreadExtended, [self.0.handle().0, 0, 0, 0]) };
        match Error::check(rax) {
            Err(Error::BufferTooSmall) => Ok(rdx as usize),
            Err(error) => Err(error),
            Ok(bytes) => Ok(bytes as usize),
        }
    }

    /// Its XSAVE state, in the standard format (Intel SDM vol. 1 §13.4), or FXSAVE's where there is no XSAVE; how many bytes it has.
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`], [`Error::BadState`] while it runs, [`Error::NoRight`].
    pub fn extended(&self, to: &mut [u8]) -> Result<usize, Error> {
        // SAFETY: the kernel writes at most `to.len()` bytes there.
        let (rax, _) = unsafe {
            gate::call(
                Call::ThreadExtended,
                [
                    self.0.handle().0,
                    to.as_mut_ptr() as u64,
                    to.len() as u64,
                    0,
                ],
            )
        };
        Ok(Error::check(rax)? as usize)
    }

    /// Sets its XSAVE state: as many bytes as there are.
    ///
    /// # Errors
    /// [`Error::BadArgument`] for a state the processor would refuse, [`Error::OutOfRange`] for another length; else as
    /// [`extended`](Self::extended).
    pub fn set_extended(&self, from: &[u8]) -> Result<(), Error> {
        // SAFETY: as in `set_registers`.
        let (rax, _) = unsafe {
            gate::call(
                Call::ThreadExtended,
                [
                    self.0.handle().0,
                    from.as_ptr() as u64,
                    from.len() as u64,
                    1,
                ],
            )
        };
        Error::check(rax).map(drop)
    }

    /// Lets it go on, if it waits after an exception.
    ///
    /// # Errors
    /// [`Error::BadState`] if it does not; [`Error::NoRight`].
    pub fn go_on(&self) -> Result<(), Error> {
        // SAFETY: touches no memory of this process.
        let (rax, _) = unsafe { gate::call(Call::ThreadContinue, [self.0.handle().0]) };
        Error::check(rax).map(drop)
    }

    /// Ends it.
    ///
    /// # Errors
    /// [`Error::NoRight`].
    pub fn kill(&self) -> Result<(), Error> {
        self.0.kill()
    }
}

/// An exception of a process whose exceptions go to a [channel](Process::set_exceptions).
#[derive(Debug)]
pub struct Crash {
    /// What it was, and the registers then.
    pub stop: Stop,
    /// The thread, which waits. Its registers can be had and set, and it [goes on](DrivenThread::go_on), or is killed. `None` if it cannot go
    /// on: a resident server's.
    pub thread: Option<DrivenThread>,
}

impl Crash {
    /// Takes the next one from a channel's other end, if there is one.
    ///
    /// # Errors
    /// As [`Channel::read`]; [`Error::BadArgument`] for a message that is none of the kernel's.
    pub fn read(channel: &Channel) -> Result<Self, Error> {
        let mut stop = Stop::new();
        let mut handles = Handles::new();
        let bytes = stop.report.as_mut_bytes();
        let room = bytes.len();
        let lengths = channel.read(bytes, &mut handles)?;
        if lengths.bytes as usize != room {
            return Err(Error::BadArgument);
        }
        let thread = handles.pop_front().map(Owned::cast::<Thread>);
        let thread = thread.transpose().map_err(|_| Error::BadArgument)?;
        Ok(Self {
            stop,
            thread: thread.map(DrivenThread),
        })
    }
}

impl From<DrivenThread> for Owned {
    fn from(driven: DrivenThread) -> Self {
        driven.0.into_owned()
    }
}
