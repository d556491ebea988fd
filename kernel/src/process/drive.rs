//! Driven threads: threads that run only while somebody runs them, and whose every trap comes out to him.
//!
//! A driven thread makes no native system call. Whoever holds its handle with the right to drive awaits a [`Run`]: the calling poll
//! enters ring 3 as the driven thread and comes back with why it stopped. So a system-call personality is a server like any
//! other, and this is all the kernel knows of it.
//!
//! # Whose task it runs in
//! The task that awaits a [`Run`] *is* the driven thread's executor task: it is preempted in ring 3 and yields like any other,
//! with that task's deadline, budget and core. A server has a task (in ring 3: a thread) for each thread that it drives. A task of the
//! driven thread's own would cost a wake and a dispatch each way for every foreign system call, and would need a deadline
//! of its own that follows the driver's. A resident driver awaits a [`Run`] in its own poll, and
//! so pays for no switch at all; one in ring 3 makes a system call, whose poll enters the driven thread at once ([`run_now`]).
//!
//! # What must hold
//! - [`State::word`] says in one atomic word whether somebody has the thread ([`BUSY`]), and what he must be told. Who has it holds
//!   the one [`Claim`], and only he touches the registers. A second driver is refused with [`Error::BadState`].
//! - What shall end a stay in ring 3 (a kick, a kill, a revocation, the driver's own end) is stored first, and then the core where the thread
//!   may be is interrupted. [`Run::stay`] looks with interrupts off, right before it enters: what comes after the look ends the stay.
//! - A kick stays until a run has reported it. A kill ends the thread when nobody has it, at once or when the claim is dropped.
//! - A driver that dies drops its claim: the thread stands still and can be driven by another. With its last handle the thread ends, as
//!   nobody could ever run it again.

use core::future::{Future, pending, poll_fn};
use core::mem::offset_of;
use core::pin::pin;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use core::task::Poll;

use abi::process::{ExitReason, ExitReport, Registers, RunFlags};
use abi::{Error, Handle, ObjectType, Rights, Signals};
use executor::TaskId;
use hal::cpu::percpu;
use hal::mem::user_tables;
use hal::platform::KernelPlatform;
use hal::user::{self, Exit, InterruptsOff, UserContext};
use objects::lease::Lease;
use objects::memory::{Blocked, Outcome, Touch};
use objects::refs::Ref;
use zerocopy::{FromZeros, IntoBytes};

use super::memory::AddressSpace;
use super::object::Object;
use super::outcome::Results;
use super::process::Process;
use super::run::{keep_open, until};
use super::thread::Thread;
use super::{clock, cpu, crash};
use crate::exec;

/// Somebody runs the thread or looks at its registers.
const BUSY: u32 = 1 << 0;
/// It shall end.
const KILLED: u32 = 1 << 1;
/// It has ended.
const ENDED: u32 = 1 << 2;
/// It shall stop, and its driver be told.
const KICKED: u32 = 1 << 3;
/// It is driven at all.
const DRIVEN: u32 = 1 << 4;

/// Who has a driven thread, and where it is. Of a thread that is not driven it says just that.
pub struct State {
    /// [`DRIVEN`], [`BUSY`], [`KILLED`], [`ENDED`], [`KICKED`].
    word: AtomicU32,
    /// The core that ran it last.
    core: AtomicU32,
    /// The task that runs it, as bits; 0 for none.
    task: AtomicU64,
}

impl State {
    /// Of a thread that nobody has run yet.
    pub const fn new(driven: bool) -> Self {
        Self {
            word: AtomicU32::new(if driven { DRIVEN } else { 0 }),
            core: AtomicU32::new(0),
            task: AtomicU64::new(0),
        }
    }

    /// Whether the thread is driven.
    pub fn is_driven(&self) -> bool {
        self.word.load(Ordering::Relaxed) & DRIVEN != 0
    }
}

/// Counts a new driven thread among its process's.
///
/// # Errors
/// [`Error::Dying`], [`Error::NoMemory`].
pub fn start(thread: &Ref<Thread>) -> Result<(), Error> {
    let state = &thread.driven;
    thread.signals.set(Signals::STOPPED);
    thread.process.thread_begins(thread).inspect_err(|_| {
        // It never began, so it must not end when its handle goes.
        state.word.fetch_or(ENDED, Ordering::SeqCst);
    })
}

/// Ends a driven thread: at once, or as soon as whoever has it lets go of it, which this makes him do.
pub fn kill(thread: &Thread) {
    let state = &thread.driven;
    let before = state.word.fetch_or(KILLED, Ordering::SeqCst);
    if before & BUSY != 0 {
        interrupt(state);
    } else if before & KILLED == 0 {
        end(thread);
    }
}

fn end(thread: &Thread) {
    if thread.driven.word.fetch_or(ENDED, Ordering::SeqCst) & ENDED == 0 {
        Process::thread_ended(&thread.process, thread);
    }
}

/// Makes a driven thread stop: now, or before its next instruction if nobody runs it.
pub fn kick(thread: &Thread) {
    let state = &thread.driven;
    if state.word.fetch_or(KICKED, Ordering::SeqCst) & BUSY != 0 {
        interrupt(state);
    }
}

/// Makes whoever runs the thread look at its word: from ring 3, or while he waits for a page.
fn interrupt(state: &State) {
    match state.task.load(Ordering::SeqCst) {
        0 => {}
        task => exec::fleet().wake(TaskId::from_bits(task)),
    }
    hal::smp::wake(state.core.load(Ordering::SeqCst));
}

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

/// The only one who runs the thread or touches its registers.
pub struct Claim(Ref<Thread>);

impl Claim {
    /// Of a thread that nobody has.
    ///
    /// # Errors
    /// [`Error::BadState`] if it is not driven, or somebody has it.
    pub fn new(thread: Ref<Thread>) -> Result<Self, Error> {
        if !thread.driven.is_driven() {
            return Err(Error::BadState);
        }
        if thread.driven.word.fetch_or(BUSY, Ordering::SeqCst) & BUSY != 0 {
            return Err(Error::BadState);
        }
        Ok(Self(thread))
    }

    /// Calls `look` with its registers.
    pub fn with<T>(&self, look: impl FnOnce(&mut UserContext) -> T) -> T {
        look(&mut self.0.context.lock())
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let before = self.0.driven.word.fetch_and(!BUSY, Ordering::SeqCst);
        if before & KILLED != 0 {
            end(&self.0);
        }
    }
}

/// Why a driven thread stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop {
    /// In a word.
    pub reason: ExitReason,
    vector: u8,
    error_code: u64,
    address: u64,
    /// Why no page could be brought, after a page fault.
    pub refusal: Option<Error>,
}

impl Stop {
    const fn plain(reason: ExitReason) -> Self {
        Self {
            reason,
            vector: 0,
            error_code: 0,
            address: 0,
            refusal: None,
        }
    }

    fn report(&self, thread: &Thread, context: &UserContext) -> ExitReport {
        ExitReport {
            reason: self.reason as u32,
            vector: u32::from(self.vector),
            error_code: self.error_code,
            address: self.address,
            thread_id: thread.id(),
            registers: crash::registers(context),
        }
    }
}

/// What a stay in ring 3 came to.
enum Stay {
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

/// A run going on: `driver` below is the thread that waits meanwhile, `None` for a resident driver, which is dropped where it waits.
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

    /// Runs the thread until it stops.
    ///
    /// # Errors
    /// [`Error::Revoked`], [`Error::Dying`] if the driver is, [`Error::NoMemory`] for the thread's vector state. The thread stands
    /// where it stood, and can be run again.
    pub async fn stop(&self, driver: Option<&Thread>) -> Result<Stop, Error> {
        loop {
            // The driver's time: a resident one's is looked at when it is polled.
            let share = driver.map_or(cpu::Share::Until(u64::MAX), cpu::share_of);
            let stay = match share {
                cpu::Share::Until(end) => self.stay(driver, &mut None, end),
                cpu::Share::Wait(until) => Stay::Wait(until),
            };
            if let Some(over) = self.after(stay).await {
                return over;
            }
        }
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
    fn over(&self, driver: Option<&Thread>) -> Option<Result<Stop, Error>> {
        let state = &self.claim.0.driven;
        let word = state.word.load(Ordering::SeqCst);
        if word & KILLED != 0 {
            return Some(Ok(Stop::plain(ExitReason::Ended)));
        }
        if driver.is_some_and(Thread::is_killed) {
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
    fn stay(&self, driver: Option<&Thread>, window: &mut Option<Window>, end: u64) -> Stay {
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
        match until(self.deadline_ns, first).await {
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

    fn claim(&self, driver: &Thread) -> Result<(Claim, Option<Ref<Lease>>), Error> {
        let handle = Handle(self.handle);
        let handles = &driver.process.handles;
        let entry = handles.get_typed(handle, ObjectType::Thread, Rights::DRIVE)?;
        let lease = entry.lease().cloned();
        match entry.into_object() {
            Object::Thread(thread) => Ok((Claim::new(thread)?, lease)),
            _ => Err(Error::WrongType),
        }
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
    fn report(&self, claim: &Claim, space: &AddressSpace, stop: &Stop) -> Result<(), u64> {
        let report = claim.with(|context| stop.report(&claim.0, context));
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
    let (claim, lease) = request.claim(driver)?;
    let space = &driver.process.space;
    if request.set(&claim, space)?.is_err() {
        let progress = None;
        return Ok(Err(Unfinished { request, progress }));
    }
    let run = Run::new(claim, lease, request.deadline_ns);
    let stay = run.stay(Some(driver), window, end);
    if let Stay::Over(over) = &stay {
        let stop = (*over)?;
        if request.report(&run.claim, space, &stop).is_ok() {
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
            let (claim, lease) = request.claim(driver)?;
            // Nothing as large as a report is kept while a page is brought: a thread's future is small.
            while let Err(address) = request.set(&claim, space)? {
                space.fault_in(address, Touch::Read).await?;
            }
            (Run::new(claim, lease, request.deadline_ns), Stay::Yield)
        }
    };
    let stop = match run.after(stay).await {
        Some(over) => over?,
        None => run.stop(Some(driver)).await?,
    };
    while let Err(address) = request.report(&run.claim, space, &stop) {
        space.fault_in(address, Touch::Write).await?;
    }
    Ok(results(&stop))
}

/// Sets all registers, or none.
///
/// # Errors
/// [`Error::BadAddress`] if RIP or a base is not below [`USER_END`](user::USER_END).
pub fn set_registers(context: &mut UserContext, all: &Registers) -> Result<(), Error> {
    let is_address = |address: u64| address < user::USER_END;
    if !(is_address(all.rip) && is_address(all.fs_base) && is_address(all.gs_base)) {
        return Err(Error::BadAddress);
    }
    context.registers = user::Registers {
        rdx: all.rdx,
        r8: all.r8,
        r9: all.r9,
        r10: all.r10,
        r12: all.r12,
        r13: all.r13,
        r14: all.r14,
        r15: all.r15,
        rdi: all.rdi,
        rsi: all.rsi,
        rax: all.rax,
        rbx: all.rbx,
        rbp: all.rbp,
        rcx: all.rcx,
        r11: all.r11,
    };
    context.rsp = all.rsp;
    let refused = |_| Error::BadAddress;
    context.set_rip(all.rip).map_err(refused)?;
    // Each change of a base costs the next entry two writes of MSRs.
    if context.fs_base() != all.fs_base {
        context.set_fs_base(all.fs_base).map_err(refused)?;
    }
    if context.gs_base() != all.gs_base {
        context.set_gs_base(all.gs_base).map_err(refused)?;
    }
    context.set_rflags(all.rflags);
    context.return_as_after_syscall();
    Ok(())
}
