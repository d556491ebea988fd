//! Threads that resident servers drive: each entered in the very poll that awaits it.
//!
//! Most foreign system calls come back within that poll. What is left of a run that does not is a future of the kernel's, kept with the
//! task's other waits and polled when the task asks again; it goes, and the thread stands still, with the task.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

use abi::process::{ExitReport, RunFlags};
use abi::{Error, Handle};
use objects::job::Charge;
use objects::refs::{Ref, try_box};

use super::running;
use crate::process::drive::{Run, Stay, Stop, claim, set_registers};
use crate::process::thread::Thread;

/// Most runs of one task at once.
const MOST: usize = 16;

/// The end of a run, with which the thread still stands as it stopped.
type End = Pin<Box<dyn Future<Output = (Run, Result<Stop, Error>)> + Send>>;

struct UnderWay {
    handle: Handle,
    end: End,
    _charge: Charge,
}

/// A task's runs that are under way.
#[derive(Default)]
pub struct Runs(Vec<UnderWay>);

impl Runs {
    fn take(&mut self, handle: Handle) -> Option<UnderWay> {
        let place = self.0.iter().position(|run| run.handle == handle)?;
        Some(self.0.swap_remove(place))
    }

    fn room(&mut self) -> Result<(), Error> {
        if self.0.len() >= MOST {
            return Err(Error::LimitReached);
        }
        self.0.try_reserve(1).map_err(|_| Error::NoMemory)
    }
}

/// What running a thread comes to: why no page could be brought, after a page fault.
pub type Ran = Poll<Result<Option<Error>, Error>>;

/// Runs a thread for the running task until it stops, or goes on with that; then `report` says how it stands.
pub fn run(handle: Handle, report: &mut ExitReport, deadline_ns: u64, flags: u32) -> Ran {
    let found = running::with(|running| (running.thread.clone(), running.runs.take(handle)));
    let Some((driver, under_way)) = found else {
        return Poll::Ready(Err(Error::Unsupported));
    };
    let under_way = match under_way {
        Some(under_way) => under_way,
        None => match begin(&driver, handle, report, deadline_ns, flags) {
            Ok(Ok(refusal)) => return Poll::Ready(Ok(refusal)),
            Ok(Err(under_way)) => under_way,
            Err(error) => return Poll::Ready(Err(error)),
        },
    };
    go_on(under_way, report)
}

/// Begins a run; what it came to, or what is left of it.
fn begin(
    driver: &Ref<Thread>,
    handle: Handle,
    report: &mut ExitReport,
    deadline_ns: u64,
    flags: u32,
) -> Result<Result<Option<Error>, UnderWay>, Error> {
    let flags = RunFlags::from_bits(flags).ok_or(Error::BadArgument)?;
    let (claim, lease) = claim(driver, handle)?;
    if flags.contains(RunFlags::SET_REGISTERS) {
        claim.with(|context| set_registers(context, &report.registers))?;
    }
    let run = Run::new(claim, lease, deadline_ns);
    let stay = run.stay(driver, &mut None, u64::MAX);
    if let Stay::Over(over) = stay {
        let stop = over?;
        *report = run.report(&stop);
        return Ok(Ok(stop.refusal));
    }
    let face = driver.clone();
    let end = try_box(async move {
        let stopped = run.finish(&face, stay).await;
        (run, stopped)
    })?;
    let bytes = (size_of_val(&*end) + size_of::<UnderWay>()) as u64;
    Ok(Err(UnderWay {
        handle,
        end: Box::into_pin(end),
        _charge: driver.process.account().charge_kernel(bytes)?,
    }))
}

fn go_on(mut under_way: UnderWay, report: &mut ExitReport) -> Ran {
    let Some(waker) = running::with(|running| running.waker.clone()) else {
        return Poll::Ready(Err(Error::Unsupported));
    };
    match under_way
        .end
        .as_mut()
        .poll(&mut Context::from_waker(&waker))
    {
        Poll::Ready((run, Ok(stop))) => {
            *report = run.report(&stop);
            Poll::Ready(Ok(stop.refusal))
        }
        Poll::Ready((_, Err(error))) => Poll::Ready(Err(error)),
        Poll::Pending => {
            let kept = running::with(|running| {
                running.runs.room()?;
                running.runs.0.push(under_way);
                Ok(())
            });
            match kept {
                Some(Ok(())) => Poll::Pending,
                Some(Err(error)) => Poll::Ready(Err(error)),
                None => Poll::Ready(Err(Error::Unsupported)),
            }
        }
    }
}

/// The running task does not want to know how a thread stops any more: that stands still, and can be run again.
pub fn end(handle: Handle) {
    let run = running::with(|running| running.runs.take(handle));
    drop(run);
}
