//! A small kernel for tests: its objects, threads that call and receive, and a graveyard for each test.
#![allow(dead_code, missing_docs)]

use std::{
    cell::Cell,
    future::Future,
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
};

use abi::{Error, ObjectType, Rights, Signals, message::Words, process::JobLimits};
use objects::{
    KernelObject,
    capability::Capability,
    channel::Channel,
    endpoint::{self, CallSlot, Endpoint, ReplyTable},
    graveyard::{Graveyard, Progress},
    handle::HandleTable,
    job::{Job, Resource},
    lease::Lease,
    notification::Notification,
    object::Header,
    port::{Port, StartedCall},
    refs::{Ref, WeakRef},
    signals::SignalState,
    timer::Timer,
};

/// Something with a handle table, as a process is.
#[derive(Debug)]
pub struct Process {
    pub header: Header,
    pub signals: SignalState,
    pub handles: HandleTable<Object>,
}

impl Process {
    pub fn create(job: &Ref<Job>) -> Result<Ref<Self>, Error> {
        Ok(Ref::try_new(Self {
            header: Header::new(ObjectType::Process, job, Ref::<Self>::BYTES)?,
            signals: SignalState::new(Signals::empty()),
            handles: HandleTable::new(job)?,
        })?)
    }
}

macro_rules! objects {
    ($($name:ident($type:ty)),+) => {
        #[derive(Clone, Debug)]
        pub enum Object {
            $($name(Ref<$type>),)+
        }

        #[derive(Clone, Debug)]
        pub enum WeakObject {
            $($name(WeakRef<$type>),)+
        }

        impl Object {
            fn parts(&self) -> (&Header, &SignalState) {
                match self {
                    $(Self::$name(object) => (header_of(&**object), signals_of(&**object)),)+
                }
            }

            fn weak(&self) -> WeakObject {
                match self {
                    $(Self::$name(object) => WeakObject::$name(object.downgrade()),)+
                }
            }
        }

        impl WeakObject {
            fn strong(&self) -> Option<Object> {
                Some(match self {
                    $(Self::$name(object) => Object::$name(object.upgrade()?),)+
                })
            }
        }

        $(impl Parts for $type {
            fn header_(&self) -> &Header {
                objects!(@header self $name)
            }
            fn signals_(&self) -> &SignalState {
                objects!(@signals self $name)
            }
        })+
    };
    (@header $self:ident Process) => { &$self.header };
    (@header $self:ident $name:ident) => { $self.header() };
    (@signals $self:ident Process) => { &$self.signals };
    (@signals $self:ident $name:ident) => { $self.signals() };
}

trait Parts {
    fn header_(&self) -> &Header;
    fn signals_(&self) -> &SignalState;
}

fn header_of(object: &impl Parts) -> &Header {
    object.header_()
}

fn signals_of(object: &impl Parts) -> &SignalState {
    object.signals_()
}

objects! {
    Process(Process),
    Channel(Channel<Object>),
    Endpoint(Endpoint<Object>),
    Port(Port<Object>),
    Notification(Notification),
    Timer(Timer),
    Lease(Lease)
}

thread_local! {
    static GRAVEYARD: Cell<Option<&'static Graveyard<Object>>> = const { Cell::new(None) };
}

impl KernelObject for Object {
    type Weak = WeakObject;
    type Caller = Caller;
    type Receiver = Receiver;
    type Handler = &'static str;

    fn header(&self) -> &Header {
        self.parts().0
    }

    fn signals(&self) -> Option<&SignalState> {
        Some(self.parts().1)
    }

    fn downgrade(&self) -> WeakObject {
        self.weak()
    }

    fn upgrade(weak: &WeakObject) -> Option<Self> {
        weak.strong()
    }

    fn channel(&self) -> Option<&Ref<Channel<Self>>> {
        match self {
            Self::Channel(channel) => Some(channel),
            _ => None,
        }
    }

    fn endpoint(&self) -> Option<&Ref<Endpoint<Self>>> {
        match self {
            Self::Endpoint(endpoint) => Some(endpoint),
            _ => None,
        }
    }

    fn handle_opened(&self, rights: Rights) {
        if let Self::Endpoint(endpoint) = self {
            endpoint.handle_opened(rights);
        }
    }

    fn handle_closed(&self, rights: Rights) {
        if let Self::Endpoint(endpoint) = self {
            endpoint.handle_closed(rights);
        }
    }

    fn last_handle_closed(&self) {
        match self {
            Self::Channel(channel) => channel.close(),
            Self::Port(port) => port.close(),
            _ => {}
        }
    }

    fn graveyard() -> &'static Graveyard<Self> {
        graveyard()
    }
}

/// All graveyards there are, so that a leak checker finds them.
static GRAVEYARDS: Mutex<Vec<&'static Graveyard<Object>>> = Mutex::new(Vec::new());

/// Digs when a test's thread ends.
struct Sexton;

impl Drop for Sexton {
    fn drop(&mut self) {
        if let Some(own) = GRAVEYARD.get() {
            while own.step(64) == Progress::More {}
        }
    }
}

thread_local! {
    static SEXTON: Sexton = const { Sexton };
}

/// The graveyard of this test's threads.
pub fn graveyard() -> &'static Graveyard<Object> {
    GRAVEYARD.get().unwrap_or_else(|| {
        let new = Box::leak(Box::new(Graveyard::new()));
        GRAVEYARDS.lock().unwrap().push(new);
        GRAVEYARD.set(Some(new));
        SEXTON.with(|_| ());
        new
    })
}

/// Makes this thread use another one's.
pub fn use_graveyard(shared: &'static Graveyard<Object>) {
    GRAVEYARD.set(Some(shared));
}

/// Digs until nothing is left.
pub fn dig() {
    while graveyard().step(8) == Progress::More {}
    assert!(graveyard().is_empty());
}

/// A thread that calls.
#[derive(Debug, Default)]
pub struct Registers {
    pub slot: CallSlot,
    pub words: Mutex<Words>,
}

/// It, or a call that was started.
#[derive(Clone, Debug)]
pub struct Caller(pub Ref<Registers>, pub Option<StartedCall<Object>>);

impl Caller {
    pub fn new() -> Self {
        Self(Ref::try_new(Registers::default()).unwrap(), None)
    }

    pub fn started(call: &StartedCall<Object>) -> Self {
        Self(Self::new().0, Some(call.clone()))
    }
}

impl endpoint::Caller for Caller {
    fn calls(&self) -> &CallSlot {
        match &self.1 {
            Some(call) => call.calls(),
            None => &self.0.slot,
        }
    }
}

/// A thread that receives.
#[derive(Clone, Debug)]
pub struct Receiver {
    pub replies: Arc<ReplyTable<Caller>>,
    pub core: u32,
    pub woken: Arc<AtomicUsize>,
}

impl Receiver {
    pub fn new(job: &Ref<Job>, core: u32) -> Self {
        Self {
            replies: Arc::new(ReplyTable::new(job)),
            core,
            woken: Arc::default(),
        }
    }

    pub fn wakes(&self) -> usize {
        self.woken.load(Ordering::SeqCst)
    }
}

impl endpoint::Receiver for Receiver {
    type Caller = Caller;

    fn replies(&self) -> &ReplyTable<Caller> {
        &self.replies
    }

    fn core(&self) -> u32 {
        self.core
    }

    fn wake(self) {
        self.woken.fetch_add(1, Ordering::SeqCst);
    }
}

pub const LIMITS: JobLimits = JobLimits {
    memory_bytes: 64 << 20,
    kernel_bytes: 64 << 20,
    handles: 1 << 20,
    processes: 64,
    threads: 64,
    reserved_ppm: 1_000_000,
    cpu_ppm: u64::MAX,
    weight: 1024,
};

pub fn job() -> Ref<Job> {
    Job::root(&LIMITS).unwrap()
}

pub fn assert_unused(job: &Ref<Job>) {
    for resource in Resource::ALL {
        assert_eq!(job.used(resource), 0, "{resource:?}");
    }
}

pub fn capability(object: Object) -> Capability<Object> {
    Capability::new(object).unwrap()
}

pub fn notification(job: &Ref<Job>) -> Object {
    Object::Notification(Notification::create(job).unwrap())
}

pub fn channel(job: &Ref<Job>) -> (Object, Object) {
    let (one, other) = Channel::create(job).unwrap();
    (Object::Channel(one), Object::Channel(other))
}

/// A waker that counts.
#[derive(Debug, Default)]
pub struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Wakes {
    pub fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

pub fn poll_once<F: Future>(future: std::pin::Pin<&mut F>, wakes: &Arc<Wakes>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(&Waker::from(wakes.clone())))
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

pub fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        thread::park();
    }
}
