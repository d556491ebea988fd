//! Calls that a server of the caller's core answers within the caller's poll: the shortest way there and back.
//!
//! The server was parked where it receives, and its place there stays its own while it [rides](Rider) on the caller's poll; with the
//! reply it is parked there again. Nothing is queued or woken, and what a caller that waits needs is put together only when the
//! server does something else ([`Rider::gets_off`]). All that is not as simple (leases, ports, other cores, a place where a call waits
//! already) is for [`dispatch`].

use abi::message::Kind;
use abi::{Call, Handle, Rights};
use hal::user::UserContext;
use objects::endpoint::{Borrowed, CallRecord, Delivery, Endpoint, Parked, Ticket, Token};
use objects::refs::Ref;

use super::dispatch::{deliver, listen};
use super::object::{Caller, Object, Receiver};
use super::thread::{PendingCall, Resume, Thread};

/// A server's thread that is run in the place of the thread that called it.
pub struct Rider {
    /// The server's.
    pub thread: Ref<Thread>,
    /// Where a place is kept for it; `None` if the call went the way of [`dispatch`](super::dispatch), and the caller has it pending.
    endpoint: Option<Ref<Endpoint<Object>>>,
    /// Which place.
    ticket: Ticket,
}

impl Rider {
    /// One without a place.
    pub fn new(thread: Ref<Thread>) -> Self {
        Self {
            thread,
            endpoint: None,
            ticket: Ticket::NONE,
        }
    }

    /// It does not come back to its place. If it has not answered, `waits` is its caller, which has the call pending from now on.
    pub fn gets_off(self, waits: Option<&Thread>) -> Ref<Thread> {
        let Self {
            thread,
            endpoint,
            ticket,
        } = self;
        if let Some(endpoint) = endpoint {
            endpoint.give_place_up(ticket);
            if let Some(caller) = waits {
                let [_, deadline_ns, ..] = caller.context.lock().arguments();
                caller.set_pending_call(PendingCall {
                    endpoint,
                    record: CallRecord::last_of(&caller.calls),
                    deadline_ns,
                    lease: None,
                    helper: thread.task(),
                });
            }
        }
        thread
    }
}

/// The server that is to be run in the place of `thread`, which makes the call in `context`; `None`: nothing has happened.
#[inline(always)]
pub fn call(thread: &Ref<Thread>, context: &UserContext) -> Option<Rider> {
    #[cfg(feature = "inject")]
    inject::at(inject::Point::Call);
    let [handle, ..] = context.arguments();
    let (endpoint, badge) =
        thread
            .process
            .handles
            .pick_own(Handle(handle), Rights::CALL, Object::as_endpoint)?;
    let Borrowed {
        receiver: Receiver(server),
        token,
        ticket,
    } = endpoint.borrow(
        thread.core.index() as u32,
        |receiver| !receiver.0.is_killed(),
        || Caller::Thread(thread.clone()),
    )?;
    server.lend();
    let delivery = Delivery {
        key: 0,
        badge,
        token,
    };
    deliver(
        &mut server.context.lock(),
        Kind::Call,
        delivery,
        context.words(),
    );
    Some(Rider {
        thread: server,
        endpoint: Some(endpoint),
        ticket,
    })
}

/// Whether `rider` has answered `below` by the reply-and-receive in `context`, and is to be [parked](park) now; else nothing has happened.
#[inline(always)]
pub fn reply(rider: &Rider, below: &Ref<Thread>, context: &mut UserContext) -> bool {
    let Some(endpoint) = &rider.endpoint else {
        return false;
    };
    let [token, handle, ..] = context.arguments();
    let process = &rider.thread.process;
    let same = |object: &Object| object.is_endpoint(endpoint).then_some(());
    if process
        .handles
        .pick_own(Handle(handle), Rights::RECEIVE, same)
        .is_none()
    {
        return false;
    }
    let is_below = |caller: &Caller| matches!(caller, Caller::Thread(thread) if thread.is(below));
    let Some(caller) = process.replies.answer_here(Token(token), is_below) else {
        return false;
    };
    let mut theirs = below.context.lock();
    *theirs.words_mut() = *context.words();
    theirs.set_result(0);
    drop(theirs);
    drop(caller);
    // If it is asked again, the answer is out already.
    listen(context, Call::Receive, handle);
    true
}

/// Parks a rider that has [answered](reply). If it cannot, its own task asks again.
#[inline(always)]
pub fn park(rider: Rider) {
    let Some(endpoint) = rider.endpoint else {
        return;
    };
    let ticket = rider.ticket;
    let receiver = Receiver(rider.thread);
    match endpoint.park_again(receiver, ticket, |receiver| receiver.0.park_again()) {
        Parked::Again => {}
        Parked::Not(receiver) => {
            endpoint.give_place_up(ticket);
            receiver.0.send_home(Resume::Ask);
        }
    }
}
