//! All kinds of objects that a handle can be for.

use abi::message::Words;
use abi::{Rights, Signals};
use alloc::boxed::Box;
use objects::KernelObject;
use objects::capability;
use objects::channel::{Channel, Message};
use objects::endpoint::{self, CallSlot, ReplyTable};
use objects::graveyard::Graveyard;
use objects::lease::Lease;
use objects::notification::Notification;
use objects::object::Header;
use objects::port::{Port, StartedCall};
use objects::refs::{Ref, WeakRef};
use objects::signals::SignalState;
use objects::timer::Timer;
use spin::Mutex;

use super::device::{DeviceObject, DmaObject, InterruptObject, IoRange};
use super::job::JobObject;
use super::memory::{PagerObject, VmoObject};
use super::process::Process;
use super::reservation::ReservationObject;
use super::resident::handler::Handler;
use super::simple::Simple;
use super::thread::{Place, Resume, Thread};

/// A handle's worth of an object.
pub type Capability = capability::Capability<Object>;
/// A copy of it for the length of a system call.
pub type Entry = capability::Entry<Object>;
/// A process's handles.
pub type Handles = objects::handle::HandleTable<Object>;

macro_rules! objects {
    ($($name:ident($type:ty),)+) => {
        /// An object.
        #[derive(Clone)]
        #[allow(missing_docs)] // named as the types of `abi::ObjectType`
        pub enum Object {
            $($name(Ref<$type>),)+
        }

        /// An object that is not kept.
        #[derive(Clone)]
        #[allow(missing_docs)]
        pub enum WeakObject {
            $($name(WeakRef<$type>),)+
        }

        impl Object {
            fn get_header(&self) -> &Header {
                match self {
                    $(Self::$name(object) => object.header(),)+
                }
            }

            fn to_weak(&self) -> WeakObject {
                match self {
                    $(Self::$name(object) => WeakObject::$name(object.downgrade()),)+
                }
            }
        }

        impl WeakObject {
            fn to_object(&self) -> Option<Object> {
                Some(match self {
                    $(Self::$name(object) => Object::$name(object.upgrade()?),)+
                })
            }
        }
    };
}

objects! {
    Process(Process),
    Thread(Thread),
    Vmo(VmoObject),
    Channel(Channel<Object>),
    Endpoint(endpoint::Endpoint<Object>),
    Notification(Notification),
    Port(Port<Object>),
    Timer(Timer),
    Job(JobObject),
    Pager(PagerObject),
    Reservation(ReservationObject),
    Lease(Lease),
    Interrupt(InterruptObject),
    Device(DeviceObject),
    Dma(DmaObject),
    IoRange(IoRange),
    Simple(Simple),
}

/// Who calls endpoints.
#[derive(Clone)]
pub enum Caller {
    /// A thread, which waits for the answer.
    Thread(Ref<Thread>),
    /// A call that nobody waits for.
    Started(StartedCall<Object>),
}

impl endpoint::Caller for Caller {
    #[inline]
    fn calls(&self) -> &CallSlot {
        match self {
            Self::Thread(thread) => &thread.calls,
            Self::Started(call) => call.calls(),
        }
    }
}

impl Caller {
    /// The words of its call.
    pub fn words(&self) -> Words {
        match self {
            Self::Thread(thread) => *thread.context.lock().words(),
            Self::Started(call) => call.words(),
        }
    }

    /// Where the message of its call is, and then that of the answer.
    pub fn message(&self) -> &Mutex<Option<Box<Message<Object>>>> {
        match self {
            Self::Thread(thread) => &thread.message,
            Self::Started(call) => call.message(),
        }
    }
}

/// A thread as one who receives calls.
pub struct Receiver(pub Ref<Thread>);

impl endpoint::Receiver for Receiver {
    type Caller = Caller;

    fn replies(&self) -> &ReplyTable<Caller> {
        &self.0.process.replies
    }

    fn core(&self) -> u32 {
        self.0.core.index() as u32
    }

    fn wake(self) {
        if self.0.go(Place::Parked, Place::Leaving) {
            self.0.send_home(Resume::Ask);
        }
    }
}

static GRAVEYARD: Graveyard<Object> = Graveyard::new();

impl KernelObject for Object {
    type Weak = WeakObject;
    type Caller = Caller;
    type Receiver = Receiver;
    type Handler = Ref<Handler>;

    fn header(&self) -> &Header {
        self.get_header()
    }

    fn signals(&self) -> Option<&SignalState> {
        Some(match self {
            Self::Process(object) => &object.signals,
            Self::Thread(object) => &object.signals,
            Self::Channel(object) => object.signals(),
            Self::Endpoint(object) => object.signals(),
            Self::Notification(object) => object.signals(),
            Self::Port(object) => object.signals(),
            Self::Timer(object) => object.signals(),
            Self::Job(object) => object.signals(),
            Self::Lease(object) => object.signals(),
            Self::Pager(object) => object.signals(),
            Self::Interrupt(object) => &object.signals,
            Self::Device(object) => object.signals(),
            Self::Vmo(_)
            | Self::Reservation(_)
            | Self::Dma(_)
            | Self::IoRange(_)
            | Self::Simple(_) => return None,
        })
    }

    fn downgrade(&self) -> WeakObject {
        self.to_weak()
    }

    fn upgrade(weak: &WeakObject) -> Option<Self> {
        weak.to_object()
    }

    fn channel(&self) -> Option<&Ref<Channel<Self>>> {
        match self {
            Self::Channel(channel) => Some(channel),
            _ => None,
        }
    }

    fn endpoint(&self) -> Option<&Ref<endpoint::Endpoint<Self>>> {
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
            Self::Endpoint(endpoint) => endpoint.close(),
            Self::Port(port) => port.close(),
            Self::Pager(pager) => pager.close(),
            Self::Interrupt(interrupt) => interrupt.close(),
            Self::Timer(timer) => {
                timer.set(abi::FOREVER);
            }
            // Nobody could ever run it again.
            Self::Thread(thread) if thread.driven.is_driven() => thread.kill(),
            // A process or thread runs on without handles, a job counts on, memory stays mapped.
            _ => {}
        }
    }

    fn graveyard() -> &'static Graveyard<Self> {
        &GRAVEYARD
    }
}

impl Object {
    /// An owner of the endpoint, if it is one.
    #[inline]
    pub fn as_endpoint(&self) -> Option<Ref<endpoint::Endpoint<Self>>> {
        match self {
            Self::Endpoint(endpoint) => Some(endpoint.clone()),
            _ => None,
        }
    }

    /// Whether it is this endpoint.
    #[inline]
    pub fn is_endpoint(&self, endpoint: &Ref<endpoint::Endpoint<Self>>) -> bool {
        matches!(self, Self::Endpoint(own) if own.is(endpoint))
    }

    /// An owner of the port, if it is one.
    #[inline]
    pub fn as_port(&self) -> Option<Ref<Port<Self>>> {
        match self {
            Self::Port(port) => Some(port.clone()),
            _ => None,
        }
    }

    /// An owner of the vmo, if it is one.
    pub fn as_vmo(&self) -> Option<Ref<VmoObject>> {
        match self {
            Self::Vmo(vmo) => Some(vmo.clone()),
            _ => None,
        }
    }

    /// An owner of the ports of a device, if it is some.
    pub fn as_io_range(&self) -> Option<Ref<IoRange>> {
        match self {
            Self::IoRange(range) => Some(range.clone()),
            _ => None,
        }
    }

    /// An owner of the interrupt, if it is one.
    pub fn as_interrupt(&self) -> Option<Ref<InterruptObject>> {
        match self {
            Self::Interrupt(interrupt) => Some(interrupt.clone()),
            _ => None,
        }
    }

    /// An owner of the notification, if it is one.
    #[inline]
    pub fn as_notification(&self) -> Option<Ref<Notification>> {
        match self {
            Self::Notification(notification) => Some(notification.clone()),
            _ => None,
        }
    }

    /// What it shows now.
    pub fn signals_now(&self) -> Signals {
        self.signals()
            .map_or(Signals::empty(), |signals| signals.get())
    }
}
