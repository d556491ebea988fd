//! Calls that resident servers make: each is a task of the kernel's, with a caller of its own, so that nothing of it lies in an arena.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::pin::pin;
use core::task::Poll;

use abi::message::{Kind, Lengths, Words};
use abi::{Error, Handle, ObjectType, Rights};
use executor::TaskId;
use hal::platform::KernelPlatform;
use hal::user::UserContext;
use objects::channel::Message;
use objects::endpoint::Called;
use objects::refs::Ref;
use proto::contract::{SHORT_BYTES, from_words, to_words};
use spin::Mutex;

use super::{Resident, running};
use crate::exec;
use crate::process::calls::send_and_wait;
use crate::process::dispatch;
use crate::process::object::{Caller, Entry, Object};
use crate::process::run::until;
use crate::process::thread::Thread;

/// Most calls of one server that are under way at once.
const MOST: usize = 64;

/// The bytes of an answer.
enum Answered {
    Words(Words),
    Message(Box<Message<Object>>),
}

/// An answer on its way.
struct Coming {
    answer: Option<Result<Answered, Error>>,
    /// Who asked for it last.
    waiter: TaskId,
}

type Place = Mutex<Coming>;

struct UnderWay {
    number: u64,
    task: TaskId,
    answer: Ref<Place>,
}

/// A server's calls under way.
pub struct Calls {
    next: u64,
    list: Vec<UnderWay>,
}

impl Calls {
    /// None.
    pub const fn new() -> Self {
        Self {
            next: 1,
            list: Vec::new(),
        }
    }

    fn find(&self, number: u64) -> Option<usize> {
        self.list.iter().position(|call| call.number == number)
    }
}

fn with_resident<R>(thread: &Thread, with: impl FnOnce(&Resident) -> R) -> Result<R, Error> {
    thread
        .process
        .resident()
        .map(|resident| with(resident))
        .ok_or(Error::Unknown)
}

/// Calls an endpoint on behalf of the running task, at length if with `handles`, which leave then. The call's number.
///
/// # Errors
/// As `call_long`; [`Error::LimitReached`] at 64 calls. The handles stay.
pub fn begin(
    handle: Handle,
    deadline_ns: u64,
    request: &[u8],
    handles: Option<&[Handle]>,
    max_answer_bytes: usize,
) -> Result<u64, Error> {
    let (thread, waiter) =
        running::with(|running| (running.thread.clone(), running.task)).ok_or(Error::Unknown)?;
    let process = &thread.process;
    let entry = process
        .handles
        .get_typed(handle, ObjectType::Endpoint, Rights::CALL)?;
    with_resident(&thread, |resident| {
        let mut calls = resident.calls.lock();
        if calls.list.len() >= MOST {
            return Err(Error::LimitReached);
        }
        calls.list.try_reserve(1).map_err(|_| Error::NoMemory)
    })??;
    let is_long = handles.is_some() || max_answer_bytes > SHORT_BYTES;
    let handles = handles.unwrap_or_default();
    let mut message = Message::new(process.account(), request.len(), handles.len())?;
    message.bytes_mut().copy_from_slice(request);
    let context = UserContext::new(0, 0).map_err(|_| Error::BadAddress)?;
    let caller = Thread::create(process, thread.core, context, false)?;
    let answer: Ref<Place> = Ref::try_new(Mutex::new(Coming {
        answer: None,
        waiter,
    }))?;
    let place = answer.clone();
    message.put_handles(process.handles.take(handles)?)?;
    let call = async move {
        let result = exchange(&caller, entry, deadline_ns, message, is_long).await;
        let waiter = {
            let mut coming = place.lock();
            coming.answer = Some(result);
            coming.waiter
        };
        exec::fleet().wake(waiter);
    };
    let task = executor::Task::<KernelPlatform>::new("resident's call")
        .core(thread.core)
        .spawn(call)
        .map_err(|_| Error::NoMemory)?;
    let id = task.id();
    task.detach();
    with_resident(&thread, |resident| {
        let mut calls = resident.calls.lock();
        let number = calls.next;
        calls.next += 1;
        // Room was made above.
        calls.list.push(UnderWay {
            number,
            task: id,
            answer,
        });
        number
    })
}

async fn exchange(
    caller: &Ref<Thread>,
    entry: Entry,
    deadline_ns: u64,
    message: Box<Message<Object>>,
    is_long: bool,
) -> Result<Answered, Error> {
    if is_long {
        return Ok(
            match send_and_wait(caller, &entry, deadline_ns, message, None).await? {
                Some(answer) => Answered::Message(answer),
                None => Answered::Words(*caller.context.lock().words()),
            },
        );
    }
    let words = to_words(message.bytes()).ok_or(Error::OutOfRange)?;
    let Object::Endpoint(endpoint) = entry.object() else {
        return Err(Error::WrongType);
    };
    *caller.context.lock().words_mut() = words;
    let core = caller.core.index() as u32;
    let from = Caller::Thread(caller.clone());
    let Called { in_flight, handed } = endpoint.call(&from, entry.badge(), deadline_ns, core)?;
    let mut helper = None;
    if let Some(handed) = handed {
        dispatch::hand(handed, Kind::Call, &words, core, false, &mut helper);
    }
    let lease = entry.lease().map(|lease| &**lease);
    let answered = pin!(in_flight.answered(lease));
    let mut answer = pin!(until(deadline_ns, answered));
    let answer = match helper {
        Some(task) => executor::lend::<KernelPlatform, _>(task, answer.as_mut()).await,
        None => answer.as_mut().await,
    };
    match answer.or_else(|| in_flight.try_answer()) {
        Some(Ok(())) => Ok(Answered::Words(*caller.context.lock().words())),
        Some(Err(error)) => Err(error),
        None => Err(Error::TimedOut),
    }
}

/// The answer to a call, put at the front of `to`, and its handles at that of `handles`; how much there is of both. Handles that do not fit are
/// closed. Ends the call.
pub fn answer(number: u64, to: &mut [u8], handles: &mut [Handle]) -> Poll<Result<Lengths, Error>> {
    let running = running::with(|running| (running.thread.clone(), running.task));
    let Some((thread, task)) = running else {
        return Poll::Ready(Err(Error::Unknown));
    };
    let taken = with_resident(&thread, |resident| {
        let mut calls = resident.calls.lock();
        let Some(index) = calls.find(number) else {
            return Some(Err(Error::BadState));
        };
        let answer = {
            let mut coming = calls.list.get(index)?.answer.lock();
            coming.waiter = task;
            coming.answer.take()?
        };
        calls.list.swap_remove(index);
        Some(answer)
    });
    let answered = match taken {
        Ok(None) => return Poll::Pending,
        Ok(Some(Ok(answered))) => answered,
        Ok(Some(Err(error))) | Err(error) => return Poll::Ready(Err(error)),
    };
    Poll::Ready(match answered {
        Answered::Words(words) => from_words(&words, to)
            .map(|len| Lengths {
                bytes: len as u32,
                handles: 0,
            })
            .ok_or(Error::OutOfRange),
        Answered::Message(mut message) => unpack(&thread, &mut message, to, handles),
    })
}

fn unpack(
    thread: &Thread,
    message: &mut Message<Object>,
    to: &mut [u8],
    handles: &mut [Handle],
) -> Result<Lengths, Error> {
    let place = to
        .get_mut(..message.bytes().len())
        .ok_or(Error::BufferTooSmall)?;
    place.copy_from_slice(message.bytes());
    let mut lengths = message.lengths();
    lengths.handles = lengths.handles.min(handles.len() as u32);
    let mut room = thread.process.handles.reserve(lengths.handles as usize)?;
    let mut places = handles.iter_mut();
    message.install_handles(&mut room, |handle| {
        if let Some(place) = places.next() {
            *place = handle;
        }
    });
    Ok(lengths)
}

/// Nobody wants the answer to a call any more.
pub fn give_up(number: u64) {
    let Some(thread) = running::thread() else {
        return;
    };
    let call = with_resident(&thread, |resident| {
        let mut calls = resident.calls.lock();
        let index = calls.find(number)?;
        Some(calls.list.swap_remove(index))
    });
    if let Ok(Some(call)) = call {
        exec::fleet().cancel(call.task);
    }
}

/// The server ends.
pub fn give_all_up(resident: &Resident) {
    loop {
        let call = resident.calls.lock().list.pop();
        let Some(call) = call else { return };
        exec::fleet().cancel(call.task);
    }
}
