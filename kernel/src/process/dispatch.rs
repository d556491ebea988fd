//! System calls that are answered at once, or hand the core over; all others are named to [`super::calls`].

use core::task::Waker;

use abi::message::Kind;
use abi::{Call, Error, Handle, Rights};
use executor::TaskId;
use hal::user::{UserContext, Words};
use objects::endpoint::{Delivery, Handed, Receive, Started, Ticket, Token};
use objects::handle::Picked;
use objects::notification::Taking;
use objects::port::{Packet, Wait};
use objects::refs::Ref;

use super::clock;
use super::context::Context;
use super::object::{Caller, Object, Receiver};
use super::outcome::Outcome;
use super::process::Process;
use super::resident::handler;
use super::thread::{ParkedAt, PendingCall, Place, Resume, Thread};

/// Answers the system call in `context`, which is `thread`'s. `below`: the thread that lends it its poll. `may_lend`: whether a
/// server can be run in its place.
#[inline]
pub fn ask(
    thread: &Ref<Thread>,
    below: Option<&Ref<Thread>>,
    may_lend: bool,
    context: &mut Context,
) -> Outcome {
    match context.call_number() {
        CALL => call_endpoint(thread, may_lend, context),
        REPLY_RECEIVE => reply_receive(thread, below, context),
        _ => answer(thread, below, context).unwrap_or_else(|error| refuse(context, error)),
    }
}

/// What programs ask for most is looked at first.
pub const CALL: u64 = Call::Call as u64;
/// As [`CALL`].
pub const REPLY_RECEIVE: u64 = Call::ReplyReceive as u64;
/// As [`CALL`].
pub const SIGNAL: u64 = Call::NotificationSignal as u64;
/// As [`CALL`].
pub const TAKE: u64 = Call::NotificationTake as u64;
/// As [`CALL`].
pub const YIELD: u64 = Call::Yield as u64;

#[cold]
fn refuse(context: &mut UserContext, error: Error) -> Outcome {
    context.set_results(error.to_raw(), 0);
    Outcome::Set
}

fn answer(
    thread: &Ref<Thread>,
    below: Option<&Ref<Thread>>,
    context: &mut UserContext,
) -> Result<Outcome, Error> {
    let call = Call::from_raw(context.call_number()).ok_or(Error::Unknown)?;
    let [first, second, ..] = context.arguments();
    let rax = match call {
        Call::Nop => 0,
        Call::ClockGet => clock::now_ns(),
        Call::HandleClose => {
            let handles = &thread.process.handles;
            if handles
                .pick_own(Handle(first), Rights::empty(), Object::as_vmo)
                .is_some()
            {
                // With it may go all its pages.
                return Ok(Outcome::Long(call));
            }
            handles.close(Handle(first))?;
            0
        }
        Call::NotificationSignal => return Ok(signal(thread, context)),
        Call::NotificationTake => return Ok(take(thread, None, context)),
        Call::Yield => {
            context.set_results(0, 0);
            return Ok(Outcome::Yield);
        }
        Call::Reply => {
            let back = reply(thread, below, context, first)?;
            return Ok(if back { Outcome::Back } else { Outcome::Set });
        }
        Call::Receive => return receive(thread, context, first, second),
        Call::PortWait => return port_wait(thread, context, first, second),
        Call::PortReplyWait => {
            let back = reply(thread, below, context, first)?;
            // If it is asked again, the answer is out already.
            listen(context, Call::PortWait, second);
            let waited = port_wait(thread, context, second, abi::FOREVER);
            return Ok(and_back(context, back, waited));
        }
        Call::IoRead | Call::IoWrite | Call::InterruptAck | Call::InterruptWait => {
            return device(thread, call, context);
        }
        // Answered before.
        Call::Call | Call::ReplyReceive => return Err(Error::Unknown),
        Call::ProcessExit => {
            Process::kill(&thread.process, first as i32);
            return Ok(Outcome::End);
        }
        Call::ThreadExit => return Ok(Outcome::End),
        Call::ThreadRun => return Ok(Outcome::Drive),
        other => return Ok(Outcome::Long(other)),
    };
    context.set_results(rax, 0);
    Ok(Outcome::Set)
}

/// What drivers ask for most.
fn device(thread: &Thread, call: Call, context: &mut UserContext) -> Result<Outcome, Error> {
    let [first, second, third, fourth, ..] = context.arguments();
    let handles = &thread.process.handles;
    let handle = Handle(first);
    let results = match call {
        Call::IoRead => {
            let range = handles.pick(handle, Rights::READ, Object::as_io_range)?;
            (0, range.object.read(second, third)?.into())
        }
        Call::IoWrite => {
            let range = handles.pick(handle, Rights::WRITE, Object::as_io_range)?;
            range.object.write(second, third, fourth)?;
            (0, 0)
        }
        Call::InterruptAck => {
            let interrupt = handles.pick(handle, Rights::SIGNAL, Object::as_interrupt)?;
            interrupt.object.acknowledge();
            (0, 0)
        }
        Call::InterruptWait => {
            let interrupt = handles.pick(handle, Rights::READ, Object::as_interrupt)?;
            match interrupt.object.take() {
                Some(event) => (event.count.into(), event.stamp_ticks),
                None if second == abi::AT_ONCE => return Err(Error::WouldWait),
                None => return Ok(Outcome::Long(call)),
            }
        }
        _ => return Err(Error::Unknown),
    };
    context.set_results(results.0, results.1);
    Ok(Outcome::Set)
}

/// Makes the registers those of a call that waits at `object` for ever.
pub fn listen(context: &mut UserContext, call: Call, object: u64) {
    context.registers.rax = call as u64;
    context.registers.rdi = object;
    context.registers.rsi = abi::FOREVER;
}

/// What answering and then waiting comes to; `back`: the thread below was answered, and goes on too.
#[inline]
fn and_back(context: &mut UserContext, back: bool, waited: Result<Outcome, Error>) -> Outcome {
    match waited {
        Ok(Outcome::Parked) if back => Outcome::ParkedBack,
        // It has something to do at once, by itself.
        Ok(_) if back => Outcome::Back,
        Ok(outcome) => outcome,
        Err(error) => {
            let refused = refuse(context, error);
            if back { Outcome::Back } else { refused }
        }
    }
}

fn reply_receive(
    thread: &Ref<Thread>,
    below: Option<&Ref<Thread>>,
    context: &mut UserContext,
) -> Outcome {
    let [token, endpoint, ..] = context.arguments();
    let back = match reply(thread, below, context, token) {
        Ok(back) => back,
        Err(error) => return refuse(context, error),
    };
    // If it is asked again, the answer is out already.
    listen(context, Call::Receive, endpoint);
    let received = receive(thread, context, endpoint, abi::FOREVER);
    and_back(context, back, received)
}

/// Sets bits of a notification.
#[inline]
pub fn signal(thread: &Thread, context: &mut UserContext) -> Outcome {
    #[cfg(feature = "inject")]
    inject::at(inject::Point::Wake);
    let [handle, bits, ..] = context.arguments();
    let handles = &thread.process.handles;
    match handles.pick(Handle(handle), Rights::SIGNAL, Object::as_notification) {
        Ok(picked) => {
            picked.object.signal(bits);
            context.set_results(0, 0);
            Outcome::Set
        }
        Err(error) => refuse(context, error),
    }
}

/// Takes the bits of a notification, if there are any. If not, and the thread waits for them for ever, `waker` is woken to ask again.
#[inline]
pub fn take(thread: &Thread, waker: Option<&Waker>, context: &mut UserContext) -> Outcome {
    let [handle, deadline_ns, ..] = context.arguments();
    let handles = &thread.process.handles;
    let picked = match handles.pick(Handle(handle), Rights::READ, Object::as_notification) {
        Ok(picked) => picked,
        Err(error) => return refuse(context, error),
    };
    if deadline_ns == abi::FOREVER
        && picked.lease.is_none()
        && let Some(waker) = waker
    {
        return match picked.object.take_or_wait(waker) {
            Taking::Taken(bits) => {
                context.set_results(0, bits);
                Outcome::Set
            }
            Taking::Waits => Outcome::Again,
            Taking::Busy => Outcome::Take,
        };
    }
    match picked.object.try_take() {
        Ok(bits) => context.set_results(0, bits),
        Err(Error::WouldWait) if deadline_ns == abi::AT_ONCE => {
            return refuse(context, Error::WouldWait);
        }
        Err(Error::WouldWait) if deadline_ns == abi::FOREVER || deadline_ns > clock::now_ns() => {
            return Outcome::Take;
        }
        Err(Error::WouldWait) => return refuse(context, Error::TimedOut),
        Err(error) => return refuse(context, error),
    }
    Outcome::Set
}

fn call_endpoint(thread: &Ref<Thread>, may_lend: bool, context: &mut Context) -> Outcome {
    try_call(thread, may_lend, context).unwrap_or_else(|error| refuse(context, error))
}

#[inline]
fn try_call(thread: &Ref<Thread>, may_lend: bool, context: &mut Context) -> Result<Outcome, Error> {
    let [handle, deadline_ns, ..] = context.arguments();
    let Picked {
        object: endpoint,
        badge,
        lease,
    } = thread
        .process
        .handles
        .pick(Handle(handle), Rights::CALL, Object::as_endpoint)?;
    if endpoint.has_handler() && handler::call(thread, context)? {
        return Ok(Outcome::Set);
    }
    let mut helper = None;
    let core = thread.core.index() as u32;
    let Started { record, handed } =
        endpoint.start(Caller::Thread(thread.clone()), badge, deadline_ns, core)?;
    let server = handed.and_then(|handed| {
        hand(
            handed,
            Kind::Call,
            context.words(),
            core,
            may_lend,
            &mut helper,
        )
    });
    thread.set_pending_call(PendingCall {
        endpoint,
        record,
        deadline_ns,
        lease,
        helper,
    });
    Ok(match server {
        Some(server) => Outcome::Enter(server),
        None => Outcome::Answer,
    })
}

/// Gives a parked receiver the call it was handed. Comes back with the receiver if it is of this core, to be run in the caller's place;
/// else its own task runs it, and `helper` is that.
#[inline]
pub fn hand(
    handed: Handed<Receiver>,
    kind: Kind,
    words: &Words,
    core: u32,
    may_lend: bool,
    helper: &mut Option<TaskId>,
) -> Option<Ref<Thread>> {
    let server = handed.receiver.0;
    deliver(&mut server.context.lock(), kind, handed.delivery, words);
    *helper = server.task();
    if may_lend
        && server.core.index() as u32 == core
        && !server.is_killed()
        && server.go(Place::Parked, Place::Lent)
    {
        return Some(server);
    }
    server.send_home(Resume::Enter);
    None
}

/// Puts a call into its receiver's registers.
#[inline]
pub fn deliver(context: &mut UserContext, kind: Kind, delivery: Delivery, words: &Words) {
    context.registers.rax = kind as u64;
    context.registers.rdi = u64::from(delivery.key) << 32 | u64::from(delivery.badge);
    context.registers.rsi = delivery.token.0;
    *context.words_mut() = *words;
}

/// Answers a call with the words in `context`. Whether its caller is the thread below, which can go on at once.
#[inline(always)]
fn reply(
    thread: &Ref<Thread>,
    below: Option<&Ref<Thread>>,
    context: &mut UserContext,
    token: u64,
) -> Result<bool, Error> {
    let words = context.words();
    let (caller, waker) = thread
        .process
        .replies
        .answer(Token(token), |caller| match caller {
            Caller::Thread(caller) => {
                let mut theirs = caller.context.lock();
                *theirs.words_mut() = *words;
                theirs.set_result(0);
            }
            Caller::Started(call) => call.put_answer(*words),
        })?;
    let mut back = match &caller {
        Caller::Thread(caller) => below.is_some_and(|below| below.is(caller)),
        Caller::Started(_) => false,
    };
    if let Some(waker) = waker {
        waker.wake();
        back = false;
    }
    context.set_results(0, 0);
    Ok(back)
}

/// Takes what is there, or parks the thread if the deadline is still to come.
#[inline]
fn take_or_park<T>(
    thread: &Ref<Thread>,
    deadline_ns: u64,
    take: impl FnOnce() -> Result<T, Error>,
    wait: impl FnOnce(Receiver) -> Result<Found<T>, Error>,
) -> Result<Found<T>, Error> {
    if deadline_ns == abi::FOREVER || deadline_ns > clock::now_ns() {
        let before = thread.begin_parking();
        let found = wait(Receiver(thread.clone()));
        if !matches!(found, Ok(Found::Parked(_))) {
            thread.end_parking(before);
        }
        return found;
    }
    match take() {
        Err(Error::WouldWait) if deadline_ns != abi::AT_ONCE => Err(Error::TimedOut),
        taken => taken.map(Found::There),
    }
}

/// What waiting found.
enum Found<T> {
    There(T),
    Parked(Ticket),
}

#[inline(always)]
fn receive(
    thread: &Ref<Thread>,
    context: &mut UserContext,
    handle: u64,
    deadline_ns: u64,
) -> Result<Outcome, Error> {
    let Picked {
        object: endpoint,
        lease,
        ..
    } = thread
        .process
        .handles
        .pick(Handle(handle), Rights::RECEIVE, Object::as_endpoint)?;
    let found = take_or_park(
        thread,
        deadline_ns,
        || endpoint.try_receive(&thread.process.replies),
        |receiver| {
            Ok(match endpoint.receive(receiver, lease.as_ref())? {
                Receive::Call(arrival) => Found::There(arrival),
                Receive::Parked(ticket) => Found::Parked(ticket),
            })
        },
    )?;
    match found {
        Found::Parked(ticket) => {
            thread.set_parking(ParkedAt::Endpoint(endpoint), ticket, deadline_ns);
            Ok(Outcome::Parked)
        }
        Found::There(arrival) => {
            take_call(context, arrival.delivery, &arrival.caller);
            Ok(Outcome::Set)
        }
    }
}

/// Puts a call that waited into the registers.
fn take_call(context: &mut UserContext, delivery: Delivery, caller: &Caller) {
    let words = caller.words();
    let message = caller.message().lock();
    let lengths = message.as_ref().map(|message| message.lengths());
    drop(message);
    match lengths {
        None => deliver(context, Kind::Call, delivery, &words),
        Some(lengths) => {
            let mut words = [0; abi::message::WORDS];
            words[0] = lengths.to_raw();
            deliver(context, Kind::LongCall, delivery, &words);
        }
    }
}

fn port_wait(
    thread: &Ref<Thread>,
    context: &mut UserContext,
    handle: u64,
    deadline_ns: u64,
) -> Result<Outcome, Error> {
    let Picked {
        object: port,
        lease,
        ..
    } = thread
        .process
        .handles
        .pick(Handle(handle), Rights::READ, Object::as_port)?;
    let found = take_or_park(
        thread,
        deadline_ns,
        || port.try_take(&thread.process.replies),
        |receiver| {
            Ok(match port.wait(receiver, lease.as_ref())? {
                Wait::Packet(packet) => Found::There(packet),
                Wait::Parked(ticket) => Found::Parked(ticket),
            })
        },
    )?;
    let packet = match found {
        Found::Parked(ticket) => {
            thread.set_parking(ParkedAt::Port(port), ticket, deadline_ns);
            return Ok(Outcome::Parked);
        }
        Found::There(packet) => packet,
    };
    match packet {
        Packet::Call(arrival) => take_call(context, arrival.delivery, &arrival.caller),
        Packet::Signals { key, signals } => {
            context.registers.rax = Kind::Signals as u64;
            context.registers.rdi = key;
            context.registers.rsi = u64::from(signals.bits());
        }
        Packet::Answer(answer) => {
            let kind = match answer.lengths {
                None => {
                    thread.process.started.answered(&answer);
                    *context.words_mut() = answer.words;
                    Kind::Answer
                }
                Some(lengths) => {
                    *context.words_mut() = [0; abi::message::WORDS];
                    context.registers.rdx = lengths.to_raw();
                    Kind::LongAnswer
                }
            };
            context.registers.rax = kind as u64;
            context.registers.rdi = answer.key;
            context.registers.rsi = answer.outcome.err().map_or(0, Error::to_raw);
        }
        Packet::Posted { key, words } => {
            context.registers.rax = Kind::Posted as u64;
            context.registers.rdi = key;
            context.registers.rsi = 0;
            *context.words_mut() = words;
        }
    }
    Ok(Outcome::Set)
}
