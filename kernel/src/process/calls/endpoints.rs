//! Endpoints, and calls that carry bytes and handles.

use abi::message::{BufferArgs, Kind, Lengths, LongArgs, MAX_HANDLES, StartArgs};
use abi::{Call, Error, Handle, ObjectType, Rights};
use alloc::boxed::Box;
use core::pin::pin;
use hal::platform::KernelPlatform;
use objects::channel::Message;
use objects::endpoint::{Called, Endpoint, Token};
use objects::handle::Taken;
use objects::port::StartedCall;
use objects::refs::Ref;
use zerocopy::IntoBytes;

use super::channels::{byte_count, handles_at};
use super::{Arguments, install, rights, typed};
use crate::process::object::{Caller, Entry, Object};
use crate::process::outcome::Results;
use crate::process::run::until;
use crate::process::thread::Thread;
use crate::process::{dispatch, memory};

pub(super) async fn call(
    thread: &Ref<Thread>,
    call: Call,
    [first, second, third, ..]: Arguments,
) -> Result<Results, Error> {
    match call {
        Call::EndpointCreate => {
            let endpoint = Endpoint::create(thread.process.account())?;
            Ok((install(thread, Object::Endpoint(endpoint))?, 0))
        }
        Call::EndpointMint => {
            let entry = typed(thread, first, ObjectType::Endpoint, Rights::RECEIVE)?;
            let badge = u32::try_from(second).map_err(|_| Error::BadArgument)?;
            let minted = entry.mint(badge, rights(third)?)?;
            Ok((thread.process.handles.insert(minted)?.0, 0))
        }
        Call::ReplyLong => reply_long(thread, first, second).await,
        Call::MessageRead => {
            let space = &thread.process.space;
            let buffer: BufferArgs = memory::read(space, second).await?;
            let caller = thread.process.replies.caller(Token(first))?;
            fetch(thread, caller.message(), &buffer).await
        }
        Call::CallStart => start(thread, first, second).await,
        Call::CallEnd => {
            thread.process.started.end(first)?;
            Ok((0, 0))
        }
        Call::AnswerRead => {
            let buffer: BufferArgs = memory::read(&thread.process.space, second).await?;
            let call = thread.process.started.get(first)?;
            if !call.is_over() {
                return Err(Error::WouldWait);
            }
            let results = fetch(thread, call.message(), &buffer).await?;
            if Error::check(results.0).is_ok() {
                // By another thread meanwhile, or here.
                let _: Result<(), Error> = thread.process.started.end(first);
            }
            Ok(results)
        }
        _ => Err(Error::Unknown),
    }
}

/// Where somebody's message is.
type Place = spin::Mutex<Option<Box<Message<Object>>>>;

/// Takes the message that is at `place` into the caller's memory and table; too small a buffer leaves it.
async fn fetch(thread: &Thread, place: &Place, buffer: &BufferArgs) -> Result<Results, Error> {
    let Some(message) = place.lock().take() else {
        return Err(Error::BadState);
    };
    let lengths = message.lengths();
    if u64::from(lengths.bytes) > buffer.bytes_len
        || u64::from(lengths.handles) > buffer.handles_len
    {
        *place.lock() = Some(message);
        return Ok((Error::BufferTooSmall.to_raw(), lengths.to_raw()));
    }
    unpack(thread, message, buffer.bytes, buffer.handles).await?;
    Ok((lengths.to_raw(), 0))
}

/// Starts a call whose answer comes to a port.
async fn start(thread: &Ref<Thread>, handle: u64, args: u64) -> Result<Results, Error> {
    let handles = &thread.process.handles;
    let account = thread.process.account();
    let called = handles.pick(Handle(handle), Rights::CALL, Object::as_endpoint)?;
    let args: StartArgs = memory::read(&thread.process.space, args).await?;
    let port = handles.pick(Handle(args.port), Rights::SIGNAL, Object::as_port)?;
    let long = match args.long {
        0 => None,
        1 => {
            let BufferArgs {
                bytes,
                bytes_len,
                handles,
                handles_len,
            } = args.message;
            let args = LongArgs {
                bytes,
                bytes_len,
                handles,
                handles_len,
                ..LongArgs::default()
            };
            Some(pack(thread, &args).await?)
        }
        _ => return Err(Error::BadArgument),
    };
    let call = StartedCall::new(account, &port.object, args.key, args.words, called.lease)?;
    let id = thread.process.started.put(&call)?;
    let core = thread.core.index() as u32;
    let caller = Caller::Started(call.clone());
    let (endpoint, badge) = (called.object, called.badge);
    let started = match long {
        None => call
            .start(endpoint, caller, badge, args.deadline_ns, core)
            .map(|handed| (handed, Kind::Call, args.words)),
        Some((mut message, taken)) => {
            // As for long calls: whoever receives it waits for the few instructions until the message is there.
            let mut place = call.message().lock();
            call.start(endpoint, caller, badge, args.deadline_ns, core)
                .and_then(|handed| {
                    message.put_handles(taken)?;
                    let mut words = [0; abi::message::WORDS];
                    words[0] = message.lengths().to_raw();
                    *place = Some(message);
                    Ok((handed, Kind::LongCall, words))
                })
        }
    };
    let (handed, kind, words) = started.inspect_err(|_| {
        // It is in the table still, unless another thread guessed its number.
        let _: Result<(), Error> = thread.process.started.end(id);
    })?;
    if let Some(handed) = handed {
        dispatch::hand(handed, kind, &words, core, false, &mut None);
    }
    Ok((id, 0))
}

/// A message, and the handles that go into it once it is accepted: until then they are the sender's.
type Packed<'a> = (Box<Message<Object>>, Taken<'a, Object>);

/// Makes a message of what `args` say.
async fn pack<'a>(thread: &'a Thread, args: &LongArgs) -> Result<Packed<'a>, Error> {
    let mut handles = [Handle::NONE; MAX_HANDLES];
    let handles = handles_at(thread, &mut handles, args.handles, args.handles_len).await?;
    let mut message = Message::new(
        thread.process.account(),
        byte_count(args.bytes_len)?,
        handles.len(),
    )?;
    memory::copy_in(&thread.process.space, message.bytes_mut(), args.bytes).await?;
    Ok((message, thread.process.handles.take(handles)?))
}

/// Puts a message where the caller wants it, in its memory and its table.
async fn unpack(
    thread: &Thread,
    mut message: Box<Message<Object>>,
    bytes: u64,
    handles: u64,
) -> Result<(), Error> {
    let space = &thread.process.space;
    memory::copy_out(space, bytes, message.bytes()).await?;
    let count = message.lengths().handles as usize;
    let mut installed = [Handle::NONE; MAX_HANDLES];
    let place = installed.get_mut(..count).ok_or(Error::OutOfRange)?;
    memory::copy_out(space, handles, place.as_bytes()).await?;
    let mut room = thread.process.handles.reserve(count)?;
    let mut index = 0;
    message.install_handles(&mut room, |handle| {
        if let Some(slot) = place.get_mut(index) {
            *slot = handle;
        }
        index += 1;
    });
    memory::copy_out(space, handles, place.as_bytes()).await
}

/// Calls with a message, into which the handles `taken` go, and waits for the answer: a message, or if there is none, the words in the caller's registers.
pub async fn send_and_wait(
    thread: &Ref<Thread>,
    entry: &Entry,
    deadline_ns: u64,
    mut message: Box<Message<Object>>,
    taken: Option<Taken<'_, Object>>,
) -> Result<Option<Box<Message<Object>>>, Error> {
    let Object::Endpoint(endpoint) = entry.object() else {
        return Err(Error::WrongType);
    };
    let _clear = Clear(thread);
    let core = thread.core.index() as u32;
    let caller = Caller::Thread(thread.clone());
    let (in_flight, handed, lengths) = {
        // Whoever receives the call looks here, and waits for the few instructions until the message is there.
        let mut place = thread.message.lock();
        let Called { in_flight, handed } =
            endpoint.call(&caller, entry.badge(), deadline_ns, core)?;
        if let Some(taken) = taken {
            message.put_handles(taken)?;
        }
        let lengths = message.lengths();
        *place = Some(message);
        (in_flight, handed, lengths)
    };
    let mut helper = None;
    if let Some(handed) = handed {
        let mut words = [0; abi::message::WORDS];
        words[0] = lengths.to_raw();
        dispatch::hand(handed, Kind::LongCall, &words, core, false, &mut helper);
    }
    let answered = pin!(in_flight.answered(entry.lease().map(|lease| &**lease)));
    let mut answer = pin!(until(deadline_ns, answered));
    let answer = match helper {
        Some(task) => executor::lend::<KernelPlatform, _>(task, answer.as_mut()).await,
        None => answer.as_mut().await,
    };
    match answer.or_else(|| in_flight.try_answer()) {
        Some(Ok(())) => {}
        Some(Err(error)) => return Err(error),
        None => return Err(Error::TimedOut),
    }
    let answer = thread.message.lock().take();
    Ok(answer)
}

/// Calls with a message, and takes the answer into the caller's memory.
pub(super) async fn call_long(
    thread: &Ref<Thread>,
    handle: u64,
    deadline_ns: u64,
    args: u64,
) -> Result<Results, Error> {
    let entry = typed(thread, handle, ObjectType::Endpoint, Rights::CALL)?;
    let args: LongArgs = memory::read(&thread.process.space, args).await?;
    let (message, taken) = pack(thread, &args).await?;
    let answer = send_and_wait(thread, &entry, deadline_ns, message, Some(taken)).await?;
    let Some(answer) = answer else {
        // Answered with words alone: they are the bytes.
        let words = *thread.context.lock().words();
        let bytes = words.as_bytes();
        let len = bytes
            .len()
            .min(usize::try_from(args.answer_bytes_capacity).unwrap_or(usize::MAX));
        let bytes = bytes.get(..len).unwrap_or(bytes);
        memory::copy_out(&thread.process.space, args.answer_bytes, bytes).await?;
        let lengths = Lengths {
            bytes: len as u32,
            handles: 0,
        };
        return Ok((lengths.to_raw(), 0));
    };
    let lengths = answer.lengths();
    if u64::from(lengths.bytes) > args.answer_bytes_capacity
        || u64::from(lengths.handles) > args.answer_handles_capacity
    {
        return Ok((Error::BufferTooSmall.to_raw(), lengths.to_raw()));
    }
    unpack(thread, answer, args.answer_bytes, args.answer_handles).await?;
    Ok((lengths.to_raw(), 0))
}

/// Takes what is left of a thread's message away when its call is over, however.
struct Clear<'a>(&'a Ref<Thread>);

impl Drop for Clear<'_> {
    fn drop(&mut self) {
        let message = self.0.message.lock().take();
        drop(message);
    }
}

async fn reply_long(thread: &Ref<Thread>, token: u64, args: u64) -> Result<Results, Error> {
    let args: LongArgs = memory::read(&thread.process.space, args).await?;
    let (mut message, taken) = pack(thread, &args).await?;
    let claimed = thread.process.replies.take(Token(token))?.claim()?;
    message.put_handles(taken)?;
    let mut before = None;
    if let Some(caller) = claimed.caller() {
        let lengths = message.lengths();
        before = caller.message().lock().replace(message);
        if let Caller::Thread(caller) = caller {
            // For a caller that made a short call: the answer does not fit, and it learns how much it would have been.
            let mut context = caller.context.lock();
            context.set_results(Error::BufferTooSmall.to_raw(), lengths.to_raw());
        }
    }
    if let Some(waker) = claimed.finish(Ok(())) {
        waker.wake();
    }
    drop(before);
    Ok((0, 0))
}
