//! Driven threads: threads that run only while somebody runs them, and whose every trap comes out to him.
//!
//! A driven thread makes no native system call. Whoever holds its handle with the right to drive awaits a [`Run`]: the calling poll
//! enters ring 3 as the driven thread and comes back with why it stopped. So a system-call personality is a server like any
//! other, and this is all the kernel knows of it.
//!
//! - [`stop`]: why a thread stopped, and its registers as others see and set them. [`run`]: running it until it stops.
//! - [`request`]: drivers in ring 3. Resident ones are in [`super::resident`].
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
//!   the one [`Claim`], and only he touches the registers. A second driver is refused with [`Error::BadState`]. Who only looks at a thread
//!   that stands still ([`LOOKING`]) has it for a few instructions, without ever pausing, so another one waits for that.
//! - What shall end a stay in ring 3 (a kick, a kill, a revocation, the driver's own end) is stored first, and then the core where the thread
//!   may be is interrupted. `Run::stay` looks with interrupts off, right before it enters: what comes after the look ends the stay.
//! - A kick stays until a run has reported it. A kill ends the thread when nobody has it, at once or when the claim is dropped.
//! - A driver that dies drops its claim: the thread stands still and can be driven by another. With its last handle the thread ends, as
//!   nobody could ever run it again.

mod request;
mod run;
mod stop;

use core::hint::spin_loop;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use abi::{Error, Handle, ObjectType, Rights, Signals};
use executor::TaskId;
use hal::user::UserContext;
use objects::lease::Lease;
use objects::refs::Ref;

use super::object::Object;
use super::process::Process;
use super::thread::Thread;
use crate::exec;

pub use request::{Unfinished, finish, run_now};
pub use run::{Run, Stay, Window, lease_revoked};
pub use stop::{Stop, set_registers};

/// Somebody runs the thread or looks at its registers.
const BUSY: u32 = 1 << 0;
/// Who has it only looks, or sets something, and will not pause before he lets go.
const LOOKING: u32 = 1 << 5;
/// It shall end.
const KILLED: u32 = 1 << 1;
/// It has ended.
const ENDED: u32 = 1 << 2;
/// It shall stop, and its driver be told.
const KICKED: u32 = 1 << 3;
/// It runs by itself, but now waits after an exception for somebody who may look at it.
const HELD: u32 = 1 << 6;
/// He said that it goes on.
const GOES_ON: u32 = 1 << 7;
/// It is driven at all.
const DRIVEN: u32 = 1 << 4;

/// Who has a driven thread, and where it is. Of a thread that is not driven it says just that.
pub struct State {
    /// [`DRIVEN`], [`BUSY`], [`LOOKING`], [`HELD`], [`GOES_ON`], [`KILLED`], [`ENDED`], [`KICKED`].
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

    /// Whether it may be looked at while it stands still: it is driven, or waits after an exception.
    pub fn is_open(&self) -> bool {
        self.word.load(Ordering::SeqCst) & (DRIVEN | HELD) != 0
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

/// The only one who runs the thread or touches its registers.
pub struct Claim(Ref<Thread>);

impl Claim {
    /// Of a thread that nobody has, to run it.
    ///
    /// # Errors
    /// [`Error::BadState`] if it is not driven, or somebody has it.
    pub fn new(thread: Ref<Thread>) -> Result<Self, Error> {
        Self::take(thread, DRIVEN, BUSY)
    }

    /// Of a thread that is one of these.
    fn take(thread: Ref<Thread>, one_of: u32, bits: u32) -> Result<Self, Error> {
        let word = &thread.driven.word;
        let mut now = word.load(Ordering::SeqCst);
        loop {
            if now & one_of == 0 || now & BUSY != 0 && now & LOOKING == 0 {
                return Err(Error::BadState);
            }
            if now & BUSY != 0 {
                // On another core, and over at once.
                spin_loop();
                now = word.load(Ordering::SeqCst);
                continue;
            }
            match word.compare_exchange_weak(now, now | bits, Ordering::SeqCst, Ordering::SeqCst) {
                Ok(_) => return Ok(Self(thread)),
                Err(other) => now = other,
            }
        }
    }

    /// Calls `look` with its registers.
    pub fn with<T>(&self, look: impl FnOnce(&mut UserContext) -> T) -> T {
        look(&mut self.0.context.lock())
    }
}

/// The thread that a handle of a driver's is for, to be run by it, and what can revoke the handle.
///
/// # Errors
/// Those of the handle; as [`Claim::new`].
pub fn claim(driver: &Thread, handle: Handle) -> Result<(Claim, Option<Ref<Lease>>), Error> {
    let handles = &driver.process.handles;
    let entry = handles.get_typed(handle, ObjectType::Thread, Rights::DRIVE)?;
    let lease = entry.lease().cloned();
    match entry.into_object() {
        Object::Thread(thread) => Ok((Claim::new(thread)?, lease)),
        _ => Err(Error::WrongType),
    }
}

/// Calls `look`, which does not take long, with the registers of a thread that stands still: a driven one, or one that waits after an
/// exception.
///
/// # Errors
/// [`Error::BadState`] if it is neither, or somebody runs it.
pub fn look<T>(thread: Ref<Thread>, look: impl FnOnce(&mut UserContext) -> T) -> Result<T, Error> {
    Ok(Claim::take(thread, DRIVEN | HELD, BUSY | LOOKING)?.with(look))
}

impl Drop for Claim {
    fn drop(&mut self) {
        let before = self
            .0
            .driven
            .word
            .fetch_and(!(BUSY | LOOKING), Ordering::SeqCst);
        if before & KILLED != 0 {
            end(&self.0);
        }
    }
}

/// A thread that waits after an exception, until this is dropped.
pub struct Held<'a>(&'a Thread);

impl<'a> Held<'a> {
    /// The current task's thread, which is not driven.
    pub fn new(thread: &'a Thread) -> Self {
        thread.driven.word.fetch_or(HELD, Ordering::SeqCst);
        thread.signals.set(Signals::STOPPED);
        Self(thread)
    }

    /// Whether it was told to go on.
    pub fn goes_on(&self) -> bool {
        self.0.driven.word.load(Ordering::SeqCst) & GOES_ON != 0
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        // Who looks at it now is done before its registers can be had.
        let gone = !(HELD | GOES_ON);
        self.0.driven.word.fetch_and(gone, Ordering::SeqCst);
        self.0.signals.clear(Signals::STOPPED);
    }
}

/// Lets a thread go on that waits after an exception.
///
/// # Errors
/// [`Error::BadState`] if it does not, or was told so already.
pub fn go_on(thread: &Thread) -> Result<(), Error> {
    let told = thread
        .driven
        .word
        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |word| {
            (word & HELD != 0 && word & GOES_ON == 0).then_some(word | GOES_ON)
        });
    told.map_err(|_| Error::BadState)?;
    thread.wake();
    Ok(())
}
