//! System calls that are answered at once, or hand the core over; all others are named to [`super::calls`].

use abi::message::Kind;
use abi::{Call, Error, Handle, ObjectType, Rights};
use executor::TaskId;
use hal::user::{UserContext, Words};
use objects::endpoint::{Called, Delivery, Handed, Receive, Token};
use objects::port::{Packet, Wait};
use objects::refs::Ref;

use super::clock;
use super::object::{Caller, Object, Receiver};
use super::outcome::Outcome;
use super::thread::{Parking, PendingCall, Place, Resume, Thread};

/// Answers the system call in `context`, which is `thread`'s. `below`: the thread that lends it its poll. `may_lend`: whether a
/// server can be run in its place.
pub fn ask(
    thread: &Ref<Thread>,
    below: Option<&Ref<Thread>>,
    may_lend: bool,
    context: &mut UserContext,
) -> Outcome {
    let Some(call) = Call::from_raw(context.call_number()) else {
        return Outcome::Failed(Error::Unknown);
    };
    let [first, second, ..] = context.arguments();
    match call {
        Call::Nop => Outcome::Done((0, 0)),
        Call::ClockGet => Outcome::Done((clock::now_ns(), 0)),
        Call::Yield => {
            context.set_results(0, 0);
            Outcome::Yield
        }
        Call::HandleClose => thread
            .process
            .handles
            .close(Handle(first))
            .map(|()| 0)
            .into(),
        Call::NotificationSignal => signal(thread, first, second).into(),
        Call::Call => call_endpoint(thread, may_lend, context, first, second),
        Call::Reply => reply(thread, below, context, first),
        Call::Receive => receive(thread, context, first, second),
        Call::ReplyReceive => {
            let back = match reply(thread, below, context, first) {
                Outcome::Back => true,
                Outcome::Failed(error) => return Outcome::Failed(error),
                _ => false,
            };
            // If it is asked again, the answer is out already.
            listen(context, Call::Receive, second);
            let outcome = receive(thread, context, second, abi::FOREVER);
            and_back(context, outcome, back)
        }
        Call::PortWait => port_wait(thread, context, first, second),
        Call::PortReplyWait => {
            let back = match reply(thread, below, context, first) {
                Outcome::Back => true,
                Outcome::Failed(error) => return Outcome::Failed(error),
                _ => false,
            };
            listen(context, Call::PortWait, second);
            let outcome = port_wait(thread, context, second, abi::FOREVER);
            and_back(context, outcome, back)
        }
        Call::ProcessExit => {
            thread.process.kill(first as i32);
            Outcome::End
        }
        Call::ThreadExit => Outcome::End,
        other => Outcome::Long(other),
    }
}

/// Makes the registers those of a call that waits at `object` for ever.
fn listen(context: &mut UserContext, call: Call, object: u64) {
    context.registers.rax = call as u64;
    context.registers.rdi = object;
    context.registers.rsi = abi::FOREVER;
}

/// What answering and then waiting comes to: `back` if the answer was for the thread below.
fn and_back(context: &mut UserContext, outcome: Outcome, back: bool) -> Outcome {
    match outcome {
        outcome if !back => outcome,
        Outcome::Parked => Outcome::ParkedBack,
        // It has an error or something to do at once: by itself, as the thread below goes on too.
        Outcome::Failed(error) => {
            context.set_results(error.to_raw(), 0);
            Outcome::Back
        }
        _ => Outcome::Back,
    }
}

fn signal(thread: &Thread, handle: u64, bits: u64) -> Result<u64, Error> {
    let entry = thread.process.handles.get_typed(
        Handle(handle),
        ObjectType::Notification,
        Rights::SIGNAL,
    )?;
    if let Object::Notification(notification) = entry.object() {
        notification.signal(bits);
    }
    Ok(0)
}

fn call_endpoint(
    thread: &Ref<Thread>,
    may_lend: bool,
    context: &mut UserContext,
    handle: u64,
    deadline_ns: u64,
) -> Outcome {
    let entry =
        match thread
            .process
            .handles
            .get_typed(Handle(handle), ObjectType::Endpoint, Rights::CALL)
        {
            Ok(entry) => entry,
            Err(error) => return Outcome::Failed(error),
        };
    let Object::Endpoint(endpoint) = entry.object() else {
        return Outcome::Failed(Error::WrongType);
    };
    let mut helper = None;
    let core = thread.core.index() as u32;
    let caller = Caller(thread.clone());
    let Called { in_flight, handed } =
        match endpoint.call(&caller, entry.badge(), deadline_ns, core) {
            Ok(called) => called,
            Err(error) => return Outcome::Failed(error),
        };
    let record = in_flight.leave();
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
    let lease = entry.lease().cloned();
    let Object::Endpoint(endpoint) = entry.into_object() else {
        return Outcome::Failed(Error::WrongType);
    };
    thread.set_pending_call(PendingCall {
        endpoint,
        record,
        deadline_ns,
        lease,
        helper,
    });
    match server {
        Some(server) => Outcome::Enter(server),
        None => Outcome::Answer,
    }
}

/// Gives a parked receiver the call it was handed. Comes back with the receiver if it is of this core, to be run in the caller's place;
/// else its own task runs it, and `helper` is that.
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
    server.set_parking(None);
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
pub fn deliver(context: &mut UserContext, kind: Kind, delivery: Delivery, words: &Words) {
    context.registers.rax = kind as u64;
    context.registers.rdi = u64::from(delivery.key) << 32 | u64::from(delivery.badge);
    context.registers.rsi = delivery.token.0;
    *context.words_mut() = *words;
}

/// Answers a call with the words in `context`.
fn reply(
    thread: &Ref<Thread>,
    below: Option<&Ref<Thread>>,
    context: &mut UserContext,
    token: u64,
) -> Outcome {
    let claimed = match thread
        .process
        .replies
        .take(Token(token))
        .and_then(|reply| reply.claim())
    {
        Ok(claimed) => claimed,
        Err(error) => return Outcome::Failed(error),
    };
    let mut back = false;
    if let Some(Caller(caller)) = claimed.caller() {
        let mut theirs = caller.context.lock();
        *theirs.words_mut() = *context.words();
        theirs.set_result(0);
        back = below.is_some_and(|below| below.is(caller));
    }
    if let Some(waker) = claimed.finish(Ok(())) {
        waker.wake();
        back = false;
    }
    context.set_results(0, 0);
    if back { Outcome::Back } else { Outcome::Set }
}

fn receive(
    thread: &Ref<Thread>,
    context: &mut UserContext,
    handle: u64,
    deadline_ns: u64,
) -> Outcome {
    let entry = match thread.process.handles.get_typed(
        Handle(handle),
        ObjectType::Endpoint,
        Rights::RECEIVE,
    ) {
        Ok(entry) => entry,
        Err(error) => return Outcome::Failed(error),
    };
    let Object::Endpoint(endpoint) = entry.object() else {
        return Outcome::Failed(Error::WrongType);
    };
    let arrival = if deadline_ns <= clock::now_ns() {
        endpoint.try_receive(&thread.process.replies)
    } else {
        let before = thread.begin_parking();
        let waiting = endpoint.receive(Receiver(thread.clone()), entry.lease());
        if !matches!(waiting, Ok(Receive::Parked(_))) {
            thread.end_parking(before);
        }
        match waiting {
            Ok(Receive::Parked(ticket)) => {
                thread.set_parking(Some(Parking {
                    object: entry.into_object(),
                    ticket,
                    deadline_ns,
                }));
                return Outcome::Parked;
            }
            Ok(Receive::Call(arrival)) => Ok(arrival),
            Err(error) => Err(error),
        }
    };
    match arrival {
        Ok(arrival) => {
            take_call(context, arrival.delivery, &arrival.caller.0);
            Outcome::Set
        }
        Err(Error::WouldWait) if deadline_ns != abi::AT_ONCE => Outcome::Failed(Error::TimedOut),
        Err(error) => Outcome::Failed(error),
    }
}

/// Puts a call that waited into the registers.
fn take_call(context: &mut UserContext, delivery: Delivery, caller: &Ref<Thread>) {
    let words = *caller.context.lock().words();
    let lengths = caller
        .message
        .lock()
        .as_ref()
        .map(|message| message.lengths());
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
) -> Outcome {
    let entry =
        match thread
            .process
            .handles
            .get_typed(Handle(handle), ObjectType::Port, Rights::READ)
        {
            Ok(entry) => entry,
            Err(error) => return Outcome::Failed(error),
        };
    let Object::Port(port) = entry.object() else {
        return Outcome::Failed(Error::WrongType);
    };
    let packet = if deadline_ns <= clock::now_ns() {
        port.try_take(&thread.process.replies)
    } else {
        let before = thread.begin_parking();
        let waiting = port.wait(Receiver(thread.clone()), entry.lease());
        if !matches!(waiting, Ok(Wait::Parked(_))) {
            thread.end_parking(before);
        }
        match waiting {
            Ok(Wait::Parked(ticket)) => {
                thread.set_parking(Some(Parking {
                    object: entry.into_object(),
                    ticket,
                    deadline_ns,
                }));
                return Outcome::Parked;
            }
            Ok(Wait::Packet(packet)) => Ok(packet),
            Err(error) => Err(error),
        }
    };
    match packet {
        Ok(Packet::Call(arrival)) => take_call(context, arrival.delivery, &arrival.caller.0),
        Ok(Packet::Signals { key, signals }) => {
            context.registers.rax = Kind::Signals as u64;
            context.registers.rdi = key;
            context.registers.rsi = u64::from(signals.bits());
        }
        Ok(Packet::Posted { key, words }) => {
            context.registers.rax = Kind::Posted as u64;
            context.registers.rdi = key;
            context.registers.rsi = 0;
            *context.words_mut() = words;
        }
        Err(Error::WouldWait) if deadline_ns != abi::AT_ONCE => {
            return Outcome::Failed(Error::TimedOut);
        }
        Err(error) => return Outcome::Failed(error),
    }
    Outcome::Set
}
