//! Endpoints, calls and replies.

use std::{collections::BTreeMap, pin::pin, sync::Arc, task::Poll, thread};

use abi::{Error, Rights, Signals, message::MAX_WAITING_CALLS};
use objects::{
    KernelObject,
    capability::Capability,
    endpoint::{
        Borrowed, CallRecord, Called, Caller as _, Endpoint, InFlight, Parked, Receive, ReplyTable,
        Ticket, Token,
    },
    graveyard::Progress,
    job::Job,
    lease::Lease,
    refs::Ref,
};
use proptest::prelude::*;

use crate::common::{
    Caller, Object, Receiver, Wakes, assert_unused, block_on, capability, job, poll_once,
};

fn endpoint(job: &Ref<Job>) -> (Ref<Endpoint<Object>>, Capability<Object>) {
    let endpoint = Endpoint::create(job).unwrap();
    (endpoint.clone(), capability(Object::Endpoint(endpoint)))
}

fn answer(replies: &ReplyTable<Caller>, token: Token) -> Result<(), Error> {
    let claimed = replies.take(token)?.claim()?;
    if let Some(waker) = claimed.finish(Ok(())) {
        waker.wake();
    }
    Ok(())
}

#[test]
fn a_parked_receiver_is_handed_the_call() {
    let job = job();
    let (endpoint, handle) = endpoint(&job);
    let near = Receiver::new(&job, 1);
    let far = Receiver::new(&job, 2);
    for receiver in [&near, &far] {
        let parked = endpoint.receive(receiver.clone(), None).unwrap();
        assert!(matches!(parked, Receive::Parked(_)));
    }
    let caller = Caller::new();
    caller.0.words.lock().unwrap()[0] = 42;
    let Called { in_flight, handed } = endpoint.call(&caller, 9, 0, 1).unwrap();
    let handed = handed.unwrap();
    assert_eq!(handed.receiver.core, 1, "of the caller's core");
    assert_eq!((handed.delivery.badge, handed.delivery.key), (9, 0));
    let token = handed.delivery.token;
    assert!((token.0 as i64) > 0);
    let server = near.replies.caller(token).unwrap();
    assert_eq!(server.0.words.lock().unwrap()[0], 42);
    assert_eq!(in_flight.try_answer(), None);
    assert_eq!(far.replies.take(token).unwrap_err(), Error::BadHandle);
    assert_eq!(answer(&near.replies, token), Ok(()));
    assert_eq!(in_flight.try_answer(), Some(Ok(())));
    assert_eq!(answer(&near.replies, token), Err(Error::BadHandle), "twice");
    for forged in [0, 1, u64::MAX, token.0 + (1 << 32), token.0 + 1] {
        assert_eq!(
            near.replies.take(Token(forged)).unwrap_err(),
            Error::BadHandle
        );
    }
    drop(in_flight);
    drop((endpoint, handle, handed.receiver, near, far));
    assert_unused(&job);
}

fn borrow(endpoint: &Endpoint<Object>, core: u32, caller: &Caller) -> Option<Borrowed<Receiver>> {
    endpoint.borrow(core, |_| true, || caller.clone())
}

#[test]
fn a_borrowed_receiver_keeps_its_place() {
    let job = job();
    let (endpoint, handle) = endpoint(&job);
    let server = Receiver::new(&job, 1);
    let caller = Caller::new();
    assert!(borrow(&endpoint, 1, &caller).is_none(), "nobody is there");
    endpoint.receive(server.clone(), None).unwrap();
    assert!(borrow(&endpoint, 2, &caller).is_none(), "of another core");
    assert!(endpoint.borrow(1, |_| false, || caller.clone()).is_none());
    let mut old = Token(0);
    for _ in 0..3 {
        let Borrowed {
            receiver,
            token,
            ticket,
        } = borrow(&endpoint, 1, &caller).unwrap();
        assert_eq!((endpoint.parked(), server.replies.len()), (0, 1));
        assert!(borrow(&endpoint, 1, &Caller::new()).is_none(), "it is away");
        assert!(!endpoint.unpark(ticket), "it was handed something");
        assert!(server.replies.answer_here(old, |_| true).is_none());
        assert!(server.replies.answer_here(token, |_| false).is_none());
        let answered = server.replies.answer_here(token, |_| true).unwrap();
        assert!(answered.0.is(&caller.0));
        assert!(
            server.replies.answer_here(token, |_| true).is_none(),
            "twice"
        );
        let mut noted = false;
        let parked = endpoint.park_again(receiver, ticket, |_| noted = true);
        assert!(matches!(parked, Parked::Again) && noted);
        assert_eq!((endpoint.parked(), server.replies.len()), (1, 0));
        old = token;
    }
    drop((endpoint, handle, server));
    assert_unused(&job);
}

#[test]
fn a_borrowed_receiver_cannot_always_come_back() {
    let job = job();
    let (endpoint, handle) = endpoint(&job);
    let server = Receiver::new(&job, 1);
    let (caller, other) = (Caller::new(), Caller::new());
    endpoint.receive(server.clone(), None).unwrap();
    let lent = borrow(&endpoint, 1, &caller).unwrap();
    let waits = endpoint.call(&other, 0, 0, 1).unwrap();
    assert!(waits.handed.is_none(), "a place is not a receiver");
    server.replies.answer_here(lent.token, |_| true).unwrap();
    assert!(matches!(
        endpoint.park_again(lent.receiver, lent.ticket, |_| panic!("a call waits")),
        Parked::Not(_)
    ));
    endpoint.give_place_up(lent.ticket);
    drop(waits);
    endpoint.receive(server.clone(), None).unwrap();
    let lent = borrow(&endpoint, 1, &caller).unwrap();
    // It takes its time; the answer comes by the long way.
    endpoint.give_place_up(lent.ticket);
    let call = endpoint.resume(caller.calls(), CallRecord::last_of(caller.calls()));
    assert_eq!(call.try_answer(), None);
    assert_eq!(answer(&server.replies, lent.token), Ok(()));
    assert_eq!(call.try_answer(), Some(Ok(())));
    drop(call);
    endpoint.receive(lent.receiver, None).unwrap();
    let lent = borrow(&endpoint, 1, &caller).unwrap();
    drop(handle);
    server.replies.answer_here(lent.token, |_| true).unwrap();
    assert!(matches!(
        endpoint.park_again(lent.receiver, lent.ticket, |_| panic!("it is closed")),
        Parked::Not(_)
    ));
    assert_eq!(server.wakes(), 0);
    drop((endpoint, server));
    assert_unused(&job);
}

#[test]
fn who_dies_or_can_be_revoked_is_not_borrowed() {
    let job = job();
    let (endpoint, _handle) = endpoint(&job);
    let caller = Caller::new();
    let leased = Receiver::new(&job, 1);
    let lease = Lease::new(&job, None).unwrap();
    endpoint.receive(leased, Some(&lease)).unwrap();
    assert!(borrow(&endpoint, 1, &caller).is_none());
    let dying = Receiver::new(&job, 1);
    endpoint.receive(dying.clone(), None).unwrap();
    assert_eq!(dying.replies.close_some(8), Progress::Done);
    assert!(borrow(&endpoint, 1, &caller).is_none());
    assert_eq!(dying.wakes(), 1);
    assert_eq!(endpoint.parked(), 1, "it is out of the list");
    let called = endpoint.call(&caller, 0, 0, 1).unwrap();
    assert!(called.handed.is_some(), "the slot is free for another call");
}

#[test]
fn calls_wait_by_deadline_and_then_by_arrival() {
    let job = job();
    let (endpoint, _handle) = endpoint(&job);
    let receiver = Receiver::new(&job, 0);
    let deadlines = [30, 10, u64::MAX, 20, 10, 0, u64::MAX];
    let callers = deadlines.map(|_| Caller::new());
    let calls: Vec<_> = deadlines
        .iter()
        .zip(&callers)
        .enumerate()
        .map(|(badge, (&deadline, caller))| {
            endpoint.call(caller, badge as u32, deadline, 0).unwrap()
        })
        .collect();
    assert!(endpoint.signals().get().contains(Signals::READABLE));
    let mut order = Vec::new();
    while let Ok(arrival) = endpoint.try_receive(&receiver.replies) {
        order.push(arrival.delivery.badge);
        answer(&receiver.replies, arrival.delivery.token).unwrap();
    }
    assert_eq!(order, [5, 1, 4, 3, 0, 2, 6]);
    assert!(endpoint.signals().get().is_empty());
    for call in calls {
        assert_eq!(call.in_flight.try_answer(), Some(Ok(())));
    }
}

#[test]
fn a_call_that_was_given_up_is_gone_and_its_answer_late() {
    let job = job();
    let (endpoint, _handle) = endpoint(&job);
    let receiver = Receiver::new(&job, 0);
    let caller = Caller::new();
    drop(endpoint.call(&caller, 1, 0, 0).unwrap());
    assert_eq!(endpoint.waiting(), 0);
    assert!(endpoint.signals().get().is_empty());
    // Given up after it was received; the answer must not end the next call.
    let call = endpoint.call(&caller, 2, 0, 0).unwrap();
    let old = endpoint.try_receive(&receiver.replies).unwrap();
    drop(call);
    let next = endpoint.call(&caller, 3, 0, 0).unwrap();
    assert_eq!(
        receiver.replies.caller(old.delivery.token).unwrap_err(),
        Error::PeerClosed
    );
    assert_eq!(
        answer(&receiver.replies, old.delivery.token),
        Err(Error::PeerClosed)
    );
    assert_eq!(next.in_flight.try_answer(), None);
    let new = endpoint.try_receive(&receiver.replies).unwrap();
    assert_eq!(new.delivery.badge, 3);
    assert_eq!(answer(&receiver.replies, new.delivery.token), Ok(()));
    assert_eq!(next.in_flight.try_answer(), Some(Ok(())));
}

#[test]
fn callers_of_a_dead_server_hear_of_it() {
    let job = job();
    let (endpoint, handle) = endpoint(&job);
    let receiver = Receiver::new(&job, 0);
    let callers: Vec<_> = (0..100).map(|_| Caller::new()).collect();
    let calls: Vec<_> = callers
        .iter()
        .map(|caller| endpoint.call(caller, 0, 0, 0).unwrap().in_flight)
        .collect();
    for _ in 0..60 {
        endpoint.try_receive(&receiver.replies).unwrap();
    }
    let wakes = Arc::new(Wakes::default());
    let mut first = pin!(calls[0].answered(None));
    assert!(poll_once(first.as_mut(), &wakes).is_pending());
    let mut steps = 0;
    while receiver.replies.close_some(10) == Progress::More {
        steps += 1;
    }
    assert!(steps >= 6);
    assert_eq!(wakes.count(), 1);
    assert_eq!(
        poll_once(first.as_mut(), &wakes),
        Poll::Ready(Err(Error::PeerClosed))
    );
    let ended = || {
        calls
            .iter()
            .filter(|call| call.try_answer() == Some(Err(Error::PeerClosed)))
            .count()
    };
    assert_eq!(ended(), 60);
    assert_eq!(
        endpoint.try_receive(&receiver.replies).unwrap_err(),
        Error::Dying
    );
    // A handle that may only call does not keep it.
    let client = handle.entry().mint(1, Rights::CALL).unwrap();
    drop(handle);
    assert_eq!(ended(), 100);
    assert!(endpoint.signals().get().contains(Signals::PEER_CLOSED));
    let late = Caller::new();
    assert_eq!(
        endpoint.call(&late, 0, 0, 0).unwrap_err(),
        Error::PeerClosed
    );
    drop(client);
}

#[test]
fn receivers_of_a_closed_endpoint_are_woken() {
    let job = job();
    let (endpoint, mut handle) = endpoint(&job);
    let receiver = Receiver::new(&job, 0);
    let Receive::Parked(ticket) = endpoint.receive(receiver.clone(), None).unwrap() else {
        panic!("nobody calls");
    };
    // Taking the right away is as good as closing.
    handle.restrict(Rights::CALL).unwrap();
    assert_eq!(receiver.wakes(), 1);
    assert!(!endpoint.unpark(ticket));
    assert_eq!(
        endpoint.receive(receiver.clone(), None).unwrap_err(),
        Error::PeerClosed
    );
    assert_eq!(handle.restrict(Rights::RECEIVE), Err(Error::NoRight));
}

#[test]
fn a_dying_process_is_handed_nothing() {
    let job = job();
    let (endpoint, _handle) = endpoint(&job);
    let dying = Receiver::new(&job, 0);
    let alive = Receiver::new(&job, 1);
    endpoint.receive(alive.clone(), None).unwrap();
    endpoint.receive(dying.clone(), None).unwrap();
    assert_eq!(dying.replies.close_some(8), Progress::Done);
    let caller = Caller::new();
    let called = endpoint.call(&caller, 0, 0, 0).unwrap();
    assert_eq!(called.handed.unwrap().receiver.core, 1);
    assert_eq!(dying.wakes(), 1);
}

#[test]
fn the_queue_is_bounded() {
    let job = job();
    let (endpoint, handle) = endpoint(&job);
    let callers: Vec<_> = (0..=MAX_WAITING_CALLS).map(|_| Caller::new()).collect();
    let (last, others) = callers.split_last().unwrap();
    let calls: Vec<_> = others
        .iter()
        .map(|caller| endpoint.call(caller, 0, 0, 0).unwrap())
        .collect();
    assert_eq!(endpoint.call(last, 0, 0, 0).unwrap_err(), Error::QueueFull);
    drop(calls);
    assert_eq!(endpoint.waiting(), 0);
    assert!(endpoint.call(last, 0, 0, 0).is_ok());
    drop((endpoint, handle));
    assert_unused(&job);
}

#[test]
fn revocation_ends_waiting_for_an_answer() {
    let job = job();
    let (endpoint, _handle) = endpoint(&job);
    let lease = Lease::new(&job, None).unwrap();
    let caller = Caller::new();
    let call = endpoint.call(&caller, 0, 0, 0).unwrap();
    let wakes = Arc::new(Wakes::default());
    let mut waiting = pin!(call.in_flight.answered(Some(&lease)));
    assert!(poll_once(waiting.as_mut(), &wakes).is_pending());
    lease.revoke();
    assert_eq!(wakes.count(), 1);
    assert_eq!(
        poll_once(waiting.as_mut(), &wakes),
        Poll::Ready(Err(Error::Revoked))
    );
}

#[test]
fn replies_that_are_dropped_end_the_call() {
    let job = job();
    let (endpoint, _handle) = endpoint(&job);
    let receiver = Receiver::new(&job, 0);
    let caller = Caller::new();
    for claim in [false, true] {
        let call = endpoint.call(&caller, 0, 0, 0).unwrap();
        let token = endpoint
            .try_receive(&receiver.replies)
            .unwrap()
            .delivery
            .token;
        let reply = receiver.replies.take(token).unwrap();
        if claim {
            drop(reply.claim().unwrap());
        } else {
            drop(reply);
        }
        assert_eq!(call.in_flight.try_answer(), Some(Err(Error::PeerClosed)));
    }
}

#[test]
fn clients_and_servers_on_different_cores() {
    let job = job();
    let (endpoint, handle) = endpoint(&job);
    const CALLS: u64 = 2000;
    thread::scope(|scope| {
        let endpoint = &endpoint;
        let server = Receiver::new(&job, 1);
        scope.spawn(move || {
            let mut answered = 0;
            while answered < 2 * CALLS {
                block_on(endpoint.signals().wait(Signals::READABLE, None)).unwrap();
                while let Ok(arrival) = endpoint.try_receive(&server.replies) {
                    let reply = server.replies.take(arrival.delivery.token).unwrap();
                    // One in five callers loses patience.
                    if let Ok(claimed) = reply.claim() {
                        let caller = claimed.caller().unwrap();
                        caller.0.words.lock().unwrap()[1] = u64::from(arrival.delivery.badge);
                        if let Some(waker) = claimed.finish(Ok(())) {
                            waker.wake();
                        }
                        answered += 1;
                    }
                }
            }
        });
        for client in 0..2_u32 {
            scope.spawn(move || {
                let caller = Caller::new();
                let mut answered = 0;
                let mut attempt = 0_u32;
                while answered < CALLS {
                    attempt += 1;
                    let badge = attempt << 1 | client;
                    let call = endpoint
                        .call(&caller, badge, u64::from(attempt), 0)
                        .unwrap();
                    if attempt.is_multiple_of(5) {
                        // May have been answered all the same.
                        let in_flight: InFlight<'_, Object> = call.in_flight;
                        if in_flight.try_answer().is_none() {
                            drop(in_flight);
                            // Unless the server was faster than that.
                            if caller.0.words.lock().unwrap()[1] != u64::from(badge) {
                                continue;
                            }
                        }
                    } else {
                        block_on(call.in_flight.answered(None)).unwrap();
                    }
                    assert_eq!(caller.0.words.lock().unwrap()[1], u64::from(badge));
                    answered += 1;
                }
            });
        }
    });
    drop((endpoint, handle));
    assert_unused(&job);
}

#[derive(Clone, Debug)]
enum Step {
    Call(usize, u64),
    GiveUp(usize),
    Park(usize),
    Unpark(usize),
    Receive(usize),
    Answer(usize),
    Borrow(usize),
    Return(usize),
    Leave(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..6_usize, 0..4_u64).prop_map(|(caller, deadline)| Step::Call(caller, deadline)),
        1 => (0..6_usize).prop_map(Step::GiveUp),
        2 => (0..3_usize).prop_map(Step::Park),
        1 => any::<usize>().prop_map(Step::Unpark),
        2 => (0..3_usize).prop_map(Step::Receive),
        3 => any::<usize>().prop_map(Step::Answer),
        4 => (0..6_usize).prop_map(Step::Borrow),
        3 => any::<usize>().prop_map(Step::Return),
        1 => any::<usize>().prop_map(Step::Leave),
    ];
    prop::collection::vec(step, 0..100)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn endpoints_match_a_sorted_queue(steps in steps()) {
        let job = job();
        let (endpoint, handle) = endpoint(&job);
        let callers: Vec<_> = (0..6).map(|_| Caller::new()).collect();
        // Of one core each.
        let servers: Vec<_> = (0..3).map(|core| Receiver::new(&job, core)).collect();
        let mut calls: Vec<Option<InFlight<'_, Object>>> = (0..6).map(|_| None).collect();
        let mut waiting: BTreeMap<(u64, usize), usize> = BTreeMap::new();
        // Whether it is there, or was borrowed and has its place kept.
        let mut parked: Vec<(Ticket, usize, bool)> = Vec::new();
        let mut borrowed: Vec<(Borrowed<Receiver>, usize)> = Vec::new();
        let mut received: Vec<(usize, Token, usize, usize)> = Vec::new();
        let mut generation = [0_usize; 6];
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Call(who, deadline) => {
                    if calls[who].is_some() || borrowed.iter().any(|(_, caller)| *caller == who) { continue; }
                    generation[who] += 1;
                    let called = endpoint.call(&callers[who], who as u32, deadline, 1).unwrap();
                    calls[who] = Some(called.in_flight);
                    match called.handed {
                        None => {
                            prop_assert!(!parked.iter().any(|(_, _, here)| *here));
                            waiting.insert((deadline, number), who);
                        }
                        Some(handed) => {
                            let near = parked.len().saturating_sub(8);
                            let best = parked[near..].iter().rposition(|(_, server, here)| *here && *server == 1).map(|place| near + place);
                            let expected = best.or_else(|| parked.iter().rposition(|(_, _, here)| *here)).unwrap();
                            let (_, server, _) = parked.remove(expected);
                            prop_assert_eq!(handed.receiver.core as usize, server);
                            prop_assert_eq!(handed.delivery.badge as usize, who);
                            received.push((server, handed.delivery.token, who, generation[who]));
                        }
                    }
                }
                Step::GiveUp(who) => if calls[who].take().is_some() {
                    waiting.retain(|_, waiting| *waiting != who);
                    generation[who] += 1;
                },
                Step::Park(server) => {
                    match endpoint.receive(servers[server].clone(), None).unwrap() {
                        Receive::Parked(ticket) => {
                            prop_assert!(waiting.is_empty());
                            parked.push((ticket, server, true));
                        }
                        Receive::Call(arrival) => {
                            let (_, who) = waiting.pop_first().unwrap();
                            prop_assert_eq!(arrival.delivery.badge as usize, who);
                            received.push((server, arrival.delivery.token, who, generation[who]));
                        }
                    }
                }
                Step::Unpark(which) => if let Some(place) = which.checked_rem(parked.len()) {
                    let (ticket, _, here) = parked[place];
                    if here {
                        parked.remove(place);
                        prop_assert!(endpoint.unpark(ticket));
                    }
                    prop_assert!(!endpoint.unpark(ticket));
                },
                Step::Receive(server) => {
                    match endpoint.try_receive(&servers[server].replies) {
                        Ok(arrival) => {
                            let (_, who) = waiting.pop_first().unwrap();
                            prop_assert_eq!(arrival.delivery.badge as usize, who);
                            received.push((server, arrival.delivery.token, who, generation[who]));
                        }
                        Err(error) => prop_assert!(error == Error::WouldWait && waiting.is_empty()),
                    }
                }
                Step::Answer(which) => if let Some(place) = which.checked_rem(received.len()) {
                    let (server, token, who, of) = received.swap_remove(place);
                    let answered = answer(&servers[server].replies, token);
                    if of == generation[who] {
                        prop_assert_eq!(answered, Ok(()));
                        prop_assert_eq!(calls[who].take().unwrap().try_answer(), Some(Ok(())));
                        generation[who] += 1;
                    } else {
                        prop_assert_eq!(answered, Err(Error::PeerClosed));
                    }
                    prop_assert_eq!(answer(&servers[server].replies, token), Err(Error::BadHandle));
                },
                Step::Borrow(who) => {
                    if calls[who].is_some() || borrowed.iter().any(|(_, caller)| *caller == who) { continue; }
                    let lent = borrow(&endpoint, 1, &callers[who]);
                    let expected = matches!(parked.last(), Some((_, 1, true)));
                    prop_assert_eq!(lent.is_some(), expected);
                    if let (Some(lent), Some(last)) = (lent, parked.last_mut()) {
                        prop_assert_eq!(lent.ticket, last.0);
                        last.2 = false;
                        generation[who] += 1;
                        borrowed.push((lent, who));
                    }
                }
                Step::Return(which) => if let Some(place) = which.checked_rem(borrowed.len()) {
                    let (lent, who) = borrowed.swap_remove(place);
                    let is_caller = |caller: &Caller| caller.0.is(&callers[who].0);
                    prop_assert!(lent.receiver.replies.answer_here(lent.token, is_caller).is_some());
                    let place = parked.iter().position(|(ticket, ..)| *ticket == lent.ticket).unwrap();
                    match endpoint.park_again(lent.receiver, lent.ticket, |_| {}) {
                        Parked::Again => {
                            prop_assert!(waiting.is_empty());
                            parked[place].2 = true;
                        }
                        Parked::Not(_) => {
                            prop_assert!(!waiting.is_empty());
                            endpoint.give_place_up(lent.ticket);
                            parked.remove(place);
                        }
                    }
                },
                Step::Leave(which) => if let Some(place) = which.checked_rem(borrowed.len()) {
                    let (lent, who) = borrowed.swap_remove(place);
                    endpoint.give_place_up(lent.ticket);
                    parked.retain(|(ticket, ..)| *ticket != lent.ticket);
                    let slot = callers[who].calls();
                    calls[who] = Some(endpoint.resume(slot, CallRecord::last_of(slot)));
                    received.push((lent.receiver.core as usize, lent.token, who, generation[who]));
                },
            }
            prop_assert_eq!(endpoint.waiting(), waiting.len());
            prop_assert_eq!(endpoint.parked(), parked.iter().filter(|(_, _, here)| *here).count());
            prop_assert_eq!(endpoint.signals().get().contains(Signals::READABLE), !waiting.is_empty());
        }
        drop((calls, borrowed));
        drop((endpoint, handle));
        drop(servers);
        assert_unused(&job);
    }
}

#[test]
fn minting_gives_no_more_than_there_is() {
    let job = job();
    let (_endpoint, handle) = endpoint(&job);
    let client = handle
        .entry()
        .mint(7, Rights::CALL | Rights::DUPLICATE)
        .unwrap();
    assert_eq!(client.entry().badge(), 7);
    assert_eq!(
        client.entry().mint(8, Rights::CALL).unwrap_err(),
        Error::NoRight
    );
    assert_eq!(
        client
            .entry()
            .duplicate(Rights::CALL)
            .unwrap()
            .entry()
            .badge(),
        7
    );
    assert_eq!(
        handle.entry().mint(1, Rights::KILL).unwrap_err(),
        Error::NoRight
    );
    let other = capability(crate::common::notification(&job));
    assert_eq!(
        other.entry().mint(1, Rights::READ).unwrap_err(),
        Error::WrongType
    );
    assert_eq!(handle.entry().object().header().handles(), 2);
}

#[test]
fn a_handler_stays_until_it_is_taken_or_the_endpoint_closes() {
    let job = job();
    let (endpoint, handle) = endpoint(&job);
    assert_eq!(endpoint.handler(), None);
    endpoint.set_handler("first").unwrap();
    endpoint.set_handler("second").unwrap();
    assert_eq!(endpoint.handler(), Some("second"));
    endpoint.take_handler(|&which| which == "first");
    assert_eq!(endpoint.handler(), Some("second"));
    endpoint.take_handler(|&which| which == "second");
    assert_eq!(endpoint.handler(), None);
    endpoint.set_handler("third").unwrap();
    drop(handle);
    assert_eq!(endpoint.handler(), None);
    assert_eq!(endpoint.set_handler("fourth"), Err(Error::PeerClosed));
    assert_eq!(endpoint.handler(), None);
}
