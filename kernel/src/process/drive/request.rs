//! Drivers in ring 3: a system call that runs a thread, and says in a report how it stopped.

use core::mem::offset_of;

use abi::process::{ExitReport, Registers, RunFlags};
use abi::{Error, Handle};
use hal::mem::user_tables;
use hal::user;
use objects::memory::Touch;
use zerocopy::{FromZeros, IntoBytes};

use super::{Claim, Run, Stay, Stop, Window, claim, set_registers};
use crate::process::memory::AddressSpace;
use crate::process::outcome::Results;
use crate::process::thread::Thread;

/// A run for a driver in ring 3 that could not be finished at once, or not even begun.
pub struct Unfinished {
    request: Request,
    progress: Option<(Run, Stay)>,
}

/// What a driver in ring 3 asked for.
#[derive(Clone, Copy)]
struct Request {
    handle: u64,
    report_at: u64,
    deadline_ns: u64,
    flags: RunFlags,
}

impl Request {
    fn new([handle, report_at, deadline_ns, flags, ..]: [u64; 6]) -> Result<Self, Error> {
        let flags = u32::try_from(flags)
            .ok()
            .and_then(RunFlags::from_bits)
            .ok_or(Error::BadArgument)?;
        Ok(Self {
            handle,
            report_at,
            deadline_ns,
            flags,
        })
    }

    /// Sets the registers from the report, if that is wanted; or says which address is missing.
    fn set(&self, claim: &Claim, space: &AddressSpace) -> Result<Result<(), u64>, Error> {
        if !self.flags.contains(RunFlags::SET_REGISTERS) {
            return Ok(Ok(()));
        }
        let at = offset_of!(ExitReport, registers) as u64;
        let mut registers = Registers::new_zeroed();
        user_tables::activate(space.tables().hardware());
        match user::copy_in(registers.as_mut_bytes(), self.report_at.wrapping_add(at)) {
            Ok(()) => claim
                .with(|context| set_registers(context, &registers))
                .map(Ok),
            Err(fault) => Ok(Err(fault.address)),
        }
    }

    /// Writes the report, or says which address is missing.
    fn report(&self, run: &Run, space: &AddressSpace, stop: &Stop) -> Result<(), u64> {
        let report = run.report(stop);
        user_tables::activate(space.tables().hardware());
        user::copy_out(self.report_at, report.as_bytes()).map_err(|fault| fault.address)
    }
}

/// What a run comes to in the driver's registers.
fn results(stop: &Stop) -> Results {
    (stop.reason as u64, stop.refusal.map_or(0, Error::to_raw))
}

/// Runs a thread for a driver in ring 3 that made the system call in `arguments`: as far as it goes without waiting, in the same window
/// as the driver, which ends at the tick `end`. Most foreign system calls need no more than this.
///
/// # Errors
/// As for [`Run::stop`]; [`Error::BadState`] if somebody else has the thread; [`Error::BadAddress`] if the registers hold what is no address.
pub fn run_now(
    driver: &Thread,
    arguments: [u64; 6],
    window: &mut Option<Window>,
    end: u64,
) -> Result<Result<Results, Unfinished>, Error> {
    let request = Request::new(arguments)?;
    let (claim, lease) = claim(driver, Handle(request.handle))?;
    let space = &driver.process.space;
    if request.set(&claim, space)?.is_err() {
        let progress = None;
        return Ok(Err(Unfinished { request, progress }));
    }
    let run = Run::new(claim, lease, request.deadline_ns);
    let stay = run.stay(driver, window, end);
    if let Stay::Over(over) = &stay {
        let stop = (*over)?;
        if request.report(&run, space, &stop).is_ok() {
            return Ok(Ok(results(&stop)));
        }
    }
    let progress = Some((run, stay));
    Ok(Err(Unfinished { request, progress }))
}

/// Finishes it.
///
/// # Errors
/// As for [`run_now`]; [`Error::BadAddress`] if the registers or the report are not accessible.
pub async fn finish(driver: &Thread, unfinished: Unfinished) -> Result<Results, Error> {
    let Unfinished { request, progress } = unfinished;
    let space = &driver.process.space;
    let (run, stay) = match progress {
        Some(progress) => progress,
        None => {
            let (claim, lease) = claim(driver, Handle(request.handle))?;
            // Nothing as large as a report is kept while a page is brought: a thread's future is small.
            while let Err(address) = request.set(&claim, space)? {
                space.fault_in(address, Touch::Read).await?;
            }
            (Run::new(claim, lease, request.deadline_ns), Stay::Yield)
        }
    };
    let stop = run.finish(driver, stay).await?;
    while let Err(address) = request.report(&run, space, &stop) {
        space.fault_in(address, Touch::Write).await?;
    }
    Ok(results(&stop))
}
