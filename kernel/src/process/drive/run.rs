//! Running a driven thread until it stops.

use core::future::{Future, pending, poll_fn};
use core::pin::pin;
use core::sync::atomic::{AtomicU32, Ordering};
use core::task::Poll;

use abi::process::{ExitReason, ExitReport};
use abi::{Error, Signals};
use executor::TaskId;
use hal::cpu::percpu;
use hal::mem::user_tables;
use hal::platform::KernelPlatform;
use hal::user::{self, Exit, InterruptsOff};
use objects::lease::Lease;
use objects::memory::{Blocked, Outcome, Touch};
use objects::refs::Ref;

use super::{Claim, KICKED, KILLED, Stop};
use crate::exec;
use crate::process::memory::AddressSpace;
use crate::process::run::{keep_open, until};
use crate::process::thread::Thread;
use crate::process::{clock, cpu, crash};

/// Stays in ring 3 of threads that are driven through leased handles, going on now.
static LEASED_STAYS: AtomicU32 = AtomicU32::new(0);

/// A lease was revoked: whoever drives a thread through it finds that out.
pub fn lease_revoked() {
    if LEASED_STAYS.load(Ordering::SeqCst) != 0 {
        for core in 0..percpu::count() {
            hal::smp::wake(core);
        }
    }
}

/// What a stay in ring 3 came to.
pub enum Stay {
    /// The run is over.
    Over(Result<Stop, Error>),
    /// Others first.
    Yield,
    /// Until then its driver's job has no processor time.
    Wait(u64),
    /// A page is to be brought; if it cannot be, that is why the thread stopped.
    Page(Touch, Stop),
}

/// What is open while threads of the running task are in ring 3.
pub type Window = executor::Window<KernelPlatform>;

/// A run going on: `driver` below is the thread that waits meanwhile, or a resident driver's face.
pub struct Run {
    claim: Claim,
    /// What can revoke the handle it is driven through.
    lease: Option<Ref<Lease>>,
    /// In nanoseconds of the monotonic clock.
    deadline_ns: u64,
    /// `u64::MAX`: none.
    deadline_ticks: u64,
}

impl Run {
    /// Of a claimed thread, by the current task.
    pub fn new(claim: Claim, lease: Option<Ref<Lease>>, deadline_ns: u64) -> Self {
        let task = executor::current_task::<KernelPlatform>();
        let bits = task.map_or(0, TaskId::to_bits);
        claim.0.driven.task.store(bits, Ordering::SeqCst);
        claim.0.signals.clear(Signals::STOPPED);
        let deadline_ticks = match deadline_ns {
            abi::FOREVER => u64::MAX,
            deadline_ns => clock::ticks_at(deadline_ns),
        };
        Self {
            claim,
            lease,
            deadline_ns,
            deadline_ticks,
        }
    }

    /// Goes on after a stay, until the thread stops.
    ///
    /// # Errors
    /// [`Error::Revoked`], [`Error::Dying`] if the driver is, [`Error::NoMemory`] for the thread's vector state. The thread stands
    /// where it stood, and can be run again.
    pub async fn finish(&self, driver: &Thread, stay: Stay) -> Result<Stop, Error> {
        if let Some(over) = self.after(stay).await {
            return over;
        }
        loop {
            // The driver's time: a resident one's is looked at when it is polled.
            let share = match driver.process.resident() {
                Some(_) => cpu::Share::Until(u64::MAX),
                None => cpu::share_of(driver),
            };
            let stay = match share {
                cpu::Share::Until(end) => self.stay(driver, &mut None, end),
                cpu::Share::Wait(until) => Stay::Wait(until),
            };
            if let Some(over) = self.after(stay).await {
                return over;
            }
        }
    }

    /// How the thread stands.
    pub fn report(&self, stop: &Stop) -> ExitReport {
        self.claim
            .with(|context| stop.report(&self.claim.0, context))
    }

    /// Awaits what a stay came to; `None`: on to the next.
    async fn after(&self, stay: Stay) -> Option<Result<Stop, Error>> {
        match stay {
            Stay::Over(over) => return Some(over),
            Stay::Yield => executor::yield_now().await,
            Stay::Wait(until) => exec::sleep_until(until.min(self.deadline_ticks)).await,
            Stay::Page(touch, fault) => {
                if let Err(error) = self.bring(fault.address, touch).await {
                    let refusal = Some(error);
                    return Some(Ok(Stop { refusal, ..fault }));
                }
            }
        }
        None
    }

    /// What ends the run here, apart from what the thread does.
    fn over(&self, driver: &Thread) -> Option<Result<Stop, Error>> {
        let state = &self.claim.0.driven;
        let word = state.word.load(Ordering::SeqCst);
        if word & KILLED != 0 {
            return Some(Ok(Stop::plain(ExitReason::Ended)));
        }
        if driver.is_killed() {
            return Some(Err(Error::Dying));
        }
        if self.lease.as_ref().is_some_and(|lease| lease.is_revoked()) {
            return Some(Err(Error::Revoked));
        }
        if word & KICKED != 0 {
            state.word.fetch_and(!KICKED, Ordering::SeqCst);
            return Some(Ok(Stop::plain(ExitReason::Kicked)));
        }
        if self.deadline_ticks != u64::MAX && hal::time::now_ticks() >= self.deadline_ticks {
            return Some(Ok(Stop::plain(ExitReason::Deadline)));
        }
        None
    }

    /// Says where the thread is about to be. An interrupt that was sent to the wrong core is made up for by the look after this.
    fn note_core(&self) {
        let here = percpu::core_number();
        let core = &self.claim.0.driven.core;
        if core.load(Ordering::Relaxed) != here {
            core.swap(here, Ordering::SeqCst);
        }
    }

    /// Runs the thread until it stops or something must be awaited, at most until the tick `end`.
    pub fn stay(&self, driver: &Thread, window: &mut Option<Window>, end: u64) -> Stay {
        let thread = &self.claim.0;
        let _leased = self.lease.as_ref().map(|_| LeasedStay::new());
        let mut context = thread.context.lock();
        loop {
            // Before both looks, so that what comes after them ends the stay at once.
            let interrupts_off = InterruptsOff::new();
            self.note_core();
            if let Some(over) = self.over(driver) {
                return Stay::Over(over);
            }
            let Some(until) = keep_open(window, end, &interrupts_off, || ()) else {
                return Stay::Yield;
            };
            let until = until.min(self.deadline_ticks);
            user_tables::activate_now(thread.process.tables().hardware(), &interrupts_off);
            match user::enter(interrupts_off, &mut context, until, &mut user::Nobody) {
                // Maybe the timer's: the window's end.
                // The latter two do not come to driven threads.
                Exit::Interrupt | Exit::Answered | Exit::Abandoned => *window = None,
                Exit::Syscall => {
                    thread.process.system_calls.fetch_add(1, Ordering::Relaxed);
                    return Stay::Over(Ok(Stop::plain(ExitReason::SystemCall)));
                }
                Exit::OutOfMemory => return Stay::Over(Err(Error::NoMemory)),
                Exit::Exception {
                    vector,
                    error_code,
                    address,
                } => {
                    *window = None;
                    let stop = Stop {
                        vector,
                        error_code,
                        address,
                        ..Stop::plain(ExitReason::Exception)
                    };
                    if let Some(stay) = judge(&thread.process.space, stop) {
                        return stay;
                    }
                }
            }
        }
    }

    /// Brings a page, unless the run ends meanwhile: [`stay`](Self::stay) finds out why.
    async fn bring(&self, address: u64, touch: Touch) -> Result<(), Error> {
        let space = &self.claim.0.process.space;
        let word = &self.claim.0.driven.word;
        let mut brought = pin!(space.fault_in(address, touch));
        let mut revoked = pin!(async {
            match &self.lease {
                Some(lease) => lease.revoked().await,
                None => pending().await,
            }
        });
        // Polled in place: futures that are passed on are stored once more each time, and a thread's future is small.
        let first = poll_fn(|context| {
            if let Poll::Ready(brought) = brought.as_mut().poll(context) {
                return Poll::Ready(brought);
            }
            // Whoever sets these wakes this task.
            let told = word.load(Ordering::SeqCst) & (KILLED | KICKED) != 0;
            if told || revoked.as_mut().poll(context).is_ready() {
                return Poll::Ready(Ok(()));
            }
            Poll::Pending
        });
        match until(self.deadline_ns, core::pin::pin!(first)).await {
            Some(brought) => Ok(brought?),
            None => Ok(()),
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let thread = &self.claim.0;
        thread.driven.task.store(0, Ordering::Relaxed);
        // Before the claim goes: the next one clears it.
        thread.signals.set(Signals::STOPPED);
    }
}

struct LeasedStay;

impl LeasedStay {
    fn new() -> Self {
        LEASED_STAYS.fetch_add(1, Ordering::SeqCst);
        Self
    }
}

impl Drop for LeasedStay {
    fn drop(&mut self) {
        LEASED_STAYS.fetch_sub(1, Ordering::SeqCst);
    }
}

/// What becomes of a thread that stopped by an exception; `None`: it goes on, as the page was missing for no reason of its own.
fn judge(space: &AddressSpace, stop: Stop) -> Option<Stay> {
    let over = |refusal| {
        let stop = Stop { refusal, ..stop };
        Some(Stay::Over(Ok(stop)))
    };
    if stop.vector != crash::PAGE_FAULT {
        return over(None);
    }
    let Some(touch) = crash::touch_of(stop.error_code) else {
        return over(None);
    };
    match space.fault(stop.address, touch) {
        Outcome::Mapped => None,
        Outcome::Blocked(Blocked::Failed(error)) => over(Some(error)),
        Outcome::Blocked(_) => Some(Stay::Page(touch, stop)),
        Outcome::Violation(violation) => over(Some(violation.into())),
    }
}
