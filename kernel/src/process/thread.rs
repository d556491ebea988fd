//! A thread while it does not run: its registers, its home task, and who may touch them.

use alloc::boxed::Box;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use abi::{Error, ObjectType, Signals};
use executor::{CoreId, TaskId};
use hal::user::UserContext;
use objects::channel::Message;
use objects::endpoint::{CallRecord, CallSlot, Endpoint, Ticket};
use objects::job::Charge;
use objects::lease::Lease;
use objects::object::Header;
use objects::port::Port;
use objects::refs::Ref;
use objects::signals::SignalState;
use spin::{Mutex, Once};

use super::context::Context;
use super::cpu::{self, Metered};
use super::crash::Fault;
use super::drive;
use super::object::Object;
use super::process::Process;
use crate::exec;

/// Who runs a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Place {
    /// Its own task, or nobody as it waits for something.
    Home = 0,
    /// Nobody: it waits for a call or packet, and a caller of its core may run it.
    Parked = 1,
    /// A caller's task.
    Lent = 2,
    /// On its way home: its task is about to be woken.
    Leaving = 3,
}

/// What a thread's own task does first when it gets the thread back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Resume {
    /// Enters ring 3.
    Enter = 0,
    /// Asks the system call in the registers (again).
    Ask = 1,
    /// Waits for the answer to [`Thread::pending_call`].
    Answer = 2,
    /// Settles [`Thread::fault`].
    Settle = 3,
}

/// Where threads park.
#[allow(missing_docs)] // named as what they are
pub enum ParkedAt {
    Endpoint(Ref<Endpoint<Object>>),
    Port(Ref<Port<Object>>),
}

/// Where a parked thread waits. It stays when the thread was handed something, whose ticket then means nothing any more.
struct Parking {
    at: ParkedAt,
    /// Its place there.
    ticket: Ticket,
}

/// A call that a thread waits for the answer of. Dropping it gives the call up, unless it was answered.
pub struct PendingCall {
    /// What was called.
    pub endpoint: Ref<Endpoint<Object>>,
    /// Which call.
    pub record: CallRecord,
    /// In nanoseconds of the monotonic clock.
    pub deadline_ns: u64,
    /// What can revoke the handle that was called.
    pub lease: Option<Ref<Lease>>,
    /// Who has it, as far as is known: lent the caller's deadline.
    pub helper: Option<TaskId>,
}

/// Something that runs.
pub struct Thread {
    header: Header,
    /// Where it belongs.
    pub process: Ref<Process>,
    /// Where it lives.
    pub core: CoreId,
    /// Its registers. Held by the poll that runs the thread, also while it is in ring 3; by others only while it is stopped.
    pub context: Mutex<Context>,
    /// Signals it shows: ended, stopped.
    pub signals: SignalState,
    /// Its one call at a time.
    pub calls: CallSlot,
    /// The bytes and handles of its call, and then of the answer, where they do not fit registers.
    pub message: Mutex<Option<Box<Message<Object>>>>,
    /// See [`Metered`].
    metered: AtomicU64,
    /// Where it says by when it has something to do; 0: nowhere.
    deadline_at: AtomicU64,
    parking: Mutex<Option<Parking>>,
    /// Until when it is parked, in nanoseconds of the monotonic clock.
    parked_until_ns: AtomicU64,
    pending_call: Mutex<Option<PendingCall>>,
    task: Once<TaskId>,
    place: AtomicU8,
    resume: AtomicU8,
    killed: AtomicBool,
    /// Its home task is over, though it is not.
    home_is_over: AtomicBool,
    /// The exception that it has not got over yet.
    pub fault: Mutex<Option<Fault>>,
    /// Whether it is driven, and who has it then; or whether it waits after an exception.
    pub driven: drive::State,
    _charge: Charge,
    #[cfg(feature = "inject")]
    _ballast: alloc::vec::Vec<u8>,
}

/// Bytes that each thread takes on purpose.
#[cfg(feature = "inject")]
fn ballast() -> Result<alloc::vec::Vec<u8>, Error> {
    let mut ballast = alloc::vec::Vec::new();
    let made = ballast.try_reserve_exact(inject::amount(inject::Point::ThreadBytes) as usize);
    made.map_err(|_| Error::NoMemory)?;
    Ok(ballast)
}

impl Thread {
    /// A thread that has not started, with these registers. Driven, it is counted by [`drive::start`], else by its life.
    ///
    /// # Errors
    /// [`Error::NoMemory`], [`Error::LimitReached`].
    pub fn create(
        process: &Ref<Process>,
        core: CoreId,
        context: UserContext,
        driven: bool,
    ) -> Result<Ref<Self>, Error> {
        let charge = process.account().charge_threads(1)?;
        // The registers' vector-state area and the task's future are paid for from the beginning.
        let bytes =
            Ref::<Self>::BYTES + hal::user::extended::size_bytes() as u64 + super::run::TASK_BYTES;
        let header = Header::new(ObjectType::Thread, process.account(), bytes)?;
        Ok(Ref::try_new(Self {
            header,
            process: process.clone(),
            core,
            context: Mutex::new(Context::new(context)),
            signals: SignalState::new(Signals::empty()),
            calls: CallSlot::new(),
            message: Mutex::new(None),
            metered: AtomicU64::new(Metered::new().to_word()),
            deadline_at: AtomicU64::new(0),
            parking: Mutex::new(None),
            parked_until_ns: AtomicU64::new(abi::FOREVER),
            pending_call: Mutex::new(None),
            task: Once::new(),
            place: AtomicU8::new(Place::Home as u8),
            resume: AtomicU8::new(Resume::Enter as u8),
            killed: AtomicBool::new(false),
            home_is_over: AtomicBool::new(false),
            fault: Mutex::new(None),
            driven: drive::State::new(driven),
            _charge: charge,
            #[cfg(feature = "inject")]
            _ballast: ballast()?,
        })?)
    }

    /// What every object has.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Its number.
    pub fn id(&self) -> u64 {
        self.header.id()
    }

    /// Tells the thread which task is its home.
    pub fn set_task(&self, task: TaskId) {
        self.task.call_once(|| task);
    }

    /// Its home task, once there is one.
    pub fn task(&self) -> Option<TaskId> {
        self.task.get().copied()
    }

    /// Processor time in ticks, up to now; 0 once it is over, as its process then has it.
    pub fn cpu_ticks(&self) -> u64 {
        let over = self.home_is_over.load(Ordering::Acquire);
        if over || self.signals.get().contains(Signals::ENDED) {
            return 0;
        }
        self.task().map_or(0, cpu::ticks_of)
    }

    /// A resident server's main task is over; others of its tasks may go on.
    pub fn home_is_over(&self) {
        self.home_is_over.store(true, Ordering::Release);
    }

    /// What its job's limits know of its time.
    pub fn metered(&self) -> Metered {
        Metered::from_word(self.metered.load(Ordering::Relaxed))
    }

    /// Its own task's to say.
    pub fn set_metered(&self, metered: Metered) {
        self.metered.store(metered.to_word(), Ordering::Relaxed);
    }

    /// The address of the word in which it says by which tick it has something to do; 0: it does not.
    #[inline]
    pub fn deadline_at(&self) -> u64 {
        self.deadline_at.load(Ordering::Relaxed)
    }

    /// Sets that address, which was checked; 0: no more.
    pub fn say_deadline_at(&self, address: u64) {
        self.deadline_at.store(address, Ordering::Relaxed);
    }

    /// Wakes its home task.
    pub fn wake(&self) {
        if let Some(&task) = self.task.get() {
            exec::fleet().wake(task);
        }
    }

    /// Whether it shall end.
    #[inline]
    pub fn is_killed(&self) -> bool {
        self.killed.load(Ordering::Acquire)
    }

    /// Ends it, wherever it is: in ring 3, waiting, parked or lent.
    pub fn kill(&self) {
        if self.killed.swap(true, Ordering::AcqRel) {
            return;
        }
        if self.driven.is_driven() {
            drive::kill(self);
            return;
        }
        if let Some(&task) = self.task.get() {
            exec::fleet().cancel(task);
            // Whoever carries it looks at the flag when it comes back from ring 3, which this makes it do.
            hal::smp::wake(self.core.index() as u32);
        }
    }

    /// Who runs it.
    #[inline]
    pub fn place(&self) -> Place {
        match self.place.load(Ordering::Acquire) {
            0 => Place::Home,
            1 => Place::Parked,
            2 => Place::Lent,
            _ => Place::Leaving,
        }
    }

    /// Moves it from one place to another; `false` if it was not in the first.
    #[inline]
    pub fn go(&self, from: Place, to: Place) -> bool {
        self.place
            .compare_exchange(from as u8, to as u8, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    /// Notes where it was parked, for whoever takes it out again.
    #[inline]
    pub fn set_parking(&self, at: ParkedAt, ticket: Ticket, deadline_ns: u64) {
        self.parked_until_ns.store(deadline_ns, Ordering::Relaxed);
        let before = self.parking.lock().replace(Parking { at, ticket });
        drop(before);
    }

    /// Until when it is parked, in nanoseconds of the monotonic clock.
    pub fn parked_until_ns(&self) -> u64 {
        self.parked_until_ns.load(Ordering::Relaxed)
    }

    /// It was taken from where it is parked, and its place there is kept for it: a caller's poll runs it.
    #[inline]
    pub fn lend(&self) {
        self.place.store(Place::Lent as u8, Ordering::Release);
    }

    /// It is parked in its place again.
    #[inline]
    pub fn park_again(&self) {
        self.parked_until_ns.store(abi::FOREVER, Ordering::Relaxed);
        self.place.store(Place::Parked as u8, Ordering::Release);
    }

    /// Leaves where it is parked; `false` if it was handed something first.
    pub fn unpark(&self) -> bool {
        let parking = self.parking.lock().take();
        let left = parking.is_some_and(|Parking { at, ticket, .. }| match at {
            ParkedAt::Endpoint(endpoint) => endpoint.unpark(ticket),
            ParkedAt::Port(port) => port.unpark(ticket),
        });
        left && self.go(Place::Parked, Place::Home)
    }

    /// Gives a lent or leaving thread back to its own task, which then does what `resume` says.
    pub fn send_home(&self, resume: Resume) {
        self.resume.store(resume as u8, Ordering::Relaxed);
        self.place.store(Place::Home as u8, Ordering::Release);
        self.wake();
    }

    /// What to do first after it came home.
    pub fn take_resume(&self) -> Resume {
        match self.resume.swap(Resume::Enter as u8, Ordering::Relaxed) {
            1 => Resume::Ask,
            2 => Resume::Answer,
            3 => Resume::Settle,
            _ => Resume::Enter,
        }
    }

    /// Notes the call it waits for.
    #[inline]
    pub fn set_pending_call(&self, call: PendingCall) {
        let before = self.pending_call.lock().replace(call);
        drop(before);
    }

    /// The call it waits for.
    #[inline]
    pub fn take_pending_call(&self) -> Option<PendingCall> {
        self.pending_call.lock().take()
    }

    /// Gives up the call it waits for, if that was not answered.
    pub fn give_call_up(&self) {
        if let Some(call) = self.take_pending_call() {
            drop(call.endpoint.resume(&self.calls, call.record));
        }
    }

    /// It is about to park: where it was.
    pub fn begin_parking(&self) -> Place {
        let before = self.place();
        self.place.store(Place::Parked as u8, Ordering::Release);
        before
    }

    /// It was not parked after all.
    pub fn end_parking(&self, before: Place) {
        self.place.store(before as u8, Ordering::Release);
    }
}
