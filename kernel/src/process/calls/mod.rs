//! System calls that may take long, wait, or touch the caller's memory: each an async function of its area.
//!
//! Many of them could wait and hardly ever do: [`at_once`] answers those where they are asked.

mod channels;
mod devices;
mod endpoints;
mod handles;
mod jobs;
mod memory;
mod ports;
mod resident;
mod system;
mod threads;

use core::pin::pin;
use core::task::{Context, Poll, Waker};

use abi::{Call, Error, Handle, ObjectType, Rights};
use objects::memory::Touch;
use objects::refs::Ref;

use super::beside::beside;
use super::object::{Capability, Entry, Object};
use super::outcome::Results;
use super::process::Process;
use super::thread::Thread;
pub use endpoints::send_and_wait;

/// Six arguments, as they stand in `rdi rsi rdx r10 r8 r9`.
pub type Arguments = [u64; 6];

/// Answers a system call.
pub async fn long(
    thread: &Ref<Thread>,
    call: Call,
    arguments: Arguments,
) -> Result<Results, Error> {
    let account = thread.process.account();
    match call {
        Call::HandleClose
        | Call::HandleDuplicate
        | Call::HandleInfo
        | Call::HandleGive
        | Call::LeaseCreate
        | Call::LeaseRevoke
        | Call::Wait => handles::call(thread, call, arguments).await,
        Call::JobCreate
        | Call::JobInfo
        | Call::JobSetLimits
        | Call::ProcessCreate
        | Call::ProcessInfo
        | Call::ProcessSetExceptions
        | Call::ProcessFork
        | Call::JobProcess
        | Call::ReservationCreate => beside(account, jobs::call(thread, call, arguments))?.await,
        Call::Kill => jobs::kill(thread, arguments),
        Call::ResidentStart => resident::start(thread, arguments).await,
        Call::ThreadCreate
        | Call::ThreadRegisters
        | Call::ThreadKick
        | Call::ThreadExtended
        | Call::ThreadDeadline
        | Call::ThreadContinue => threads::call(thread, call, arguments).await,
        Call::VmoCreate
        | Call::VmoInfo
        | Call::VmoRead
        | Call::VmoWrite
        | Call::VmoClone
        | Call::VmoOp
        | Call::VmoResize
        | Call::PagerCreate
        | Call::PagerVmo
        | Call::PagerNext
        | Call::PagerSupply
        | Call::Map
        | Call::Unmap
        | Call::Protect
        | Call::MemoryRead
        | Call::MemoryWrite
        | Call::MemoryLookup => beside(account, memory::call(thread, call, arguments))?.await,
        Call::ChannelCreate | Call::ChannelWrite | Call::ChannelRead => {
            channels::call(thread, call, arguments).await
        }
        Call::CallLong => {
            let [handle, deadline_ns, message, ..] = arguments;
            endpoints::call_long(thread, handle, deadline_ns, message).await
        }
        Call::EndpointCreate
        | Call::EndpointMint
        | Call::ReplyLong
        | Call::MessageRead
        | Call::CallStart
        | Call::CallEnd
        | Call::AnswerRead => endpoints::call(thread, call, arguments).await,
        Call::PortCreate
        | Call::PortBind
        | Call::PortUnbind
        | Call::PortPost
        | Call::NotificationCreate
        | Call::TimerCreate
        | Call::TimerSet => ports::call(thread, call, arguments).await,
        Call::IoRangeCreate
        | Call::InterruptCreate
        | Call::DeviceOpen
        | Call::DeviceInfo
        | Call::DevicePart
        | Call::DeviceInterrupt
        | Call::DeviceDma
        | Call::DmaCreate
        | Call::DmaRelease
        | Call::DeviceConfig
        | Call::InterruptWait => devices::call(thread, call, arguments).await,
        Call::RandomGet
        | Call::LogWrite
        | Call::SystemQuery
        | Call::SystemControl
        | Call::LogWait => system::call(thread, call, arguments).await,
        // Answered by `dispatch`.
        Call::Nop
        | Call::ClockGet
        | Call::Yield
        | Call::NotificationSignal
        | Call::NotificationTake
        | Call::Call
        | Call::Reply
        | Call::Receive
        | Call::ReplyReceive
        | Call::PortWait
        | Call::PortReplyWait
        | Call::InterruptAck
        | Call::IoRead
        | Call::IoWrite
        | Call::ProcessExit
        | Call::ThreadExit
        | Call::ThreadRun => Err(Error::Unknown),
    }
}

/// Answers a system call that takes few instructions, unless it must wait after all, as for a page of the caller's: `None` then,
/// nothing has happened, and [`long`] answers it.
///
/// These are calls that change nothing before the last place where they can wait.
pub fn at_once(
    thread: &Ref<Thread>,
    call: Call,
    arguments: Arguments,
    waker: &Waker,
) -> Option<Result<Results, Error>> {
    let mut context = Context::from_waker(waker);
    let answered = match call {
        Call::ChannelWrite | Call::ChannelRead => {
            pin!(channels::call(thread, call, arguments)).poll(&mut context)
        }
        Call::ReplyLong | Call::CallStart | Call::CallEnd => {
            pin!(endpoints::call(thread, call, arguments)).poll(&mut context)
        }
        Call::PortBind | Call::PortUnbind | Call::PortPost | Call::TimerSet => {
            pin!(ports::call(thread, call, arguments)).poll(&mut context)
        }
        Call::HandleDuplicate => pin!(handles::call(thread, call, arguments)).poll(&mut context),
        _ => return None,
    };
    match answered {
        Poll::Ready(results) => Some(results),
        Poll::Pending => None,
    }
}

/// Makes a page of a process present for a touch that found it missing.
pub async fn bring_in(process: &Process, address: u64, touch: Touch) -> Result<(), Error> {
    Ok(process.space.fault_in(address, touch).await?)
}

/// The entry of a handle of this type, which must have these rights.
fn typed(thread: &Thread, handle: u64, object: ObjectType, rights: Rights) -> Result<Entry, Error> {
    thread
        .process
        .handles
        .get_typed(Handle(handle), object, rights)
}

/// Puts a new object into the caller's table, with all rights of its type.
fn install(thread: &Thread, object: Object) -> Result<u64, Error> {
    let handle = thread.process.handles.insert(Capability::new(object)?)?;
    Ok(handle.0)
}

/// Rights that an argument names.
fn rights(raw: u64) -> Result<Rights, Error> {
    u32::try_from(raw)
        .ok()
        .and_then(Rights::from_bits)
        .ok_or(Error::BadArgument)
}

/// The process that a handle is for.
fn process(thread: &Thread, handle: u64, rights: Rights) -> Result<Ref<Process>, Error> {
    match typed(thread, handle, ObjectType::Process, rights)?.into_object() {
        Object::Process(process) => Ok(process),
        _ => Err(Error::WrongType),
    }
}

/// Copies a text of the caller's, at most `N` bytes.
async fn text<const N: usize>(
    thread: &Thread,
    address: u64,
    len: u64,
) -> Result<heapless::String<N>, Error> {
    let mut bytes = [0; N];
    let len = usize::try_from(len).map_err(|_| Error::OutOfRange)?;
    let place = bytes.get_mut(..len).ok_or(Error::OutOfRange)?;
    super::memory::copy_in(&thread.process.space, place, address).await?;
    let text = core::str::from_utf8(place).map_err(|_| Error::BadArgument)?;
    heapless::String::try_from(text).map_err(|_| Error::OutOfRange)
}
