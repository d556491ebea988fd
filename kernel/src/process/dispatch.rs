//! System calls that are answered at once, or hand the core over; all others are named to [`super::calls`].

use abi::message::Kind;
use abi::{Call, Error, Handle, ObjectType, Rights};
use executor::TaskId;
use hal::user::{UserContext, Words};
use objects::endpoint::{Called, Delivery, Handed, Receive, Ticket, Token};
use objects::port::{Packet, Wait};
use objects::refs::Ref;

use super::clock;
use super::object::{Caller, Object, Receiver};
use super::outcome::Outcome;
use super::process::Process;
use super::thread::{Parking, PendingCall, Place, Resume, Thread};

/// Answers the system call in `context`, which is `thread`'s. `below`: the thread that lends it its poll. `may_lend`: whether a
/// server can be run in its place.
pub fn ask(
    thread: &Ref<Thread>,
    below: Option<&Ref<Thread>>,
    may_lend: bool,
    context: &mut UserContext,
) -> Outcome {
    answer(thread, below, may_lend, context).unwrap_or_else(|error| {
        context.set_results(error.to_raw(), 0);
        Outcome::Set
    })
}

fn answer(
    thread: &Ref<Thread>,
    below: Option<&Ref<Thread>>,
    may_lend: bool,
    context: &mut UserContext,
) -> Result<Outcome, Error> {
    let call = Call::from_raw(context.call_number()).ok_or(Error::Unknown)?;
    let [first, second, ..] = context.arguments();
    let rax = match call {
        Call::Nop => 0,
        Call::ClockGet => clock::now_ns(),
        Call::HandleClose => {
            thread.process.handles.close(Handle(first))?;
            0
        }
        Call::NotificationSignal => signal(thread, first, second)?,
        Call::Yield => {
            context.set_results(0, 0);
            return Ok(Outcome::Yield);
        }
        Call::Call => return call_endpoint(thread, may_lend, context, first, second),
        Call::Reply => return reply(thread, below, context, first),
        Call::Receive => return receive(thread, context, first, second),
        Call::ReplyReceive => {
            let replied = reply(thread, below, context, first)?;
            // If it is asked again, the answer is out already.
            listen(context, Call::Receive, second);
            let received = receive(thread, context, second, abi::FOREVER);
            return and_back(context, replied, received);
        }
        Call::PortWait => return port_wait(thread, context, first, second),
        Call::PortReplyWait => {
            let replied = reply(thread, below, context, first)?;
            listen(context, Call::PortWait, second);
            let waited = port_wait(thread, context, second, abi::FOREVER);
            return and_back(context, replied, waited);
        }
        Call::ProcessExit => {
            Process::kill(&thread.process, first as i32);
            return Ok(Outcome::End);
        }
        Call::ThreadExit => return Ok(Outcome::End),
        other => return Ok(Outcome::Long(other)),
    };
    context.set_results(rax, 0);
    Ok(Outcome::Set)
}

/// Makes the registers those of a call that waits at `object` for ever.
fn listen(context: &mut UserContext, call: Call, object: u64) {
    context.registers.rax = call as u64;
    context.registers.rdi = object;
    context.registers.rsi = abi::FOREVER;
}

/// What answering and then waiting comes to.
fn and_back(
    context: &mut UserContext,
    replied: Outcome,
    waited: Result<Outcome, Error>,
) -> Result<Outcome, Error> {
    if !matches!(replied, Outcome::Back) {
        return waited;
    }
    match waited {
        Ok(Outcome::Parked) => return Ok(Outcome::ParkedBack),
        // It has an error or something to do at once: by itself, as the thread below goes on too.
        Ok(_) => {}
        Err(error) => context.set_results(error.to_raw(), 0),
    }
    Ok(Outcome::Back)
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
) -> Result<Outcome, Error> {
    let entry =
        thread
            .process
            .handles
            .get_typed(Handle(handle), ObjectType::Endpoint, Rights::CALL)?;
    let Object::Endpoint(endpoint) = entry.object() else {
        return Err(Error::WrongType);
    };
    let mut helper = None;
    let core = thread.core.index() as u32;
    let caller = Caller(thread.clone());
    let Called { in_flight, handed } = endpoint.call(&caller, entry.badge(), deadline_ns, core)?;
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
        return Err(Error::WrongType);
    };
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
) -> Result<Outcome, Error> {
    let claimed = thread.process.replies.take(Token(token))?.claim()?;
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
    Ok(if back { Outcome::Back } else { Outcome::Set })
}

/// Takes what is there, or parks the thread if the deadline is still to come.
fn take_or_park<T>(
    thread: &Ref<Thread>,
    deadline_ns: u64,
    take: impl FnOnce() -> Result<T, Error>,
    wait: impl FnOnce(Receiver) -> Result<Found<T>, Error>,
) -> Result<Found<T>, Error> {
    if deadline_ns > clock::now_ns() {
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

/// Notes where the thread was parked, for whoever takes it out again.
fn parked(thread: &Thread, object: Object, ticket: Ticket, deadline_ns: u64) -> Outcome {
    thread.set_parking(Some(Parking {
        object,
        ticket,
        deadline_ns,
    }));
    Outcome::Parked
}

/// What waiting found.
enum Found<T> {
    There(T),
    Parked(Ticket),
}

fn receive(
    thread: &Ref<Thread>,
    context: &mut UserContext,
    handle: u64,
    deadline_ns: u64,
) -> Result<Outcome, Error> {
    let entry =
        thread
            .process
            .handles
            .get_typed(Handle(handle), ObjectType::Endpoint, Rights::RECEIVE)?;
    let Object::Endpoint(endpoint) = entry.object() else {
        return Err(Error::WrongType);
    };
    let found = take_or_park(
        thread,
        deadline_ns,
        || endpoint.try_receive(&thread.process.replies),
        |receiver| {
            Ok(match endpoint.receive(receiver, entry.lease())? {
                Receive::Call(arrival) => Found::There(arrival),
                Receive::Parked(ticket) => Found::Parked(ticket),
            })
        },
    )?;
    match found {
        Found::Parked(ticket) => Ok(parked(thread, entry.into_object(), ticket, deadline_ns)),
        Found::There(arrival) => {
            take_call(context, arrival.delivery, &arrival.caller.0);
            Ok(Outcome::Set)
        }
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
) -> Result<Outcome, Error> {
    let entry = thread
        .process
        .handles
        .get_typed(Handle(handle), ObjectType::Port, Rights::READ)?;
    let Object::Port(port) = entry.object() else {
        return Err(Error::WrongType);
    };
    let found = take_or_park(
        thread,
        deadline_ns,
        || port.try_take(&thread.process.replies),
        |receiver| {
            Ok(match port.wait(receiver, entry.lease())? {
                Wait::Packet(packet) => Found::There(packet),
                Wait::Parked(ticket) => Found::Parked(ticket),
            })
        },
    )?;
    let packet = match found {
        Found::Parked(ticket) => {
            return Ok(parked(thread, entry.into_object(), ticket, deadline_ns));
        }
        Found::There(packet) => packet,
    };
    match packet {
        Packet::Call(arrival) => take_call(context, arrival.delivery, &arrival.caller.0),
        Packet::Signals { key, signals } => {
            context.registers.rax = Kind::Signals as u64;
            context.registers.rdi = key;
            context.registers.rsi = u64::from(signals.bits());
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
