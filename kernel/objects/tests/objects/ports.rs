//! Ports.

use std::sync::Arc;

use abi::{
    Error, Rights, Signals,
    message::{MAX_PORT_PACKETS, WORDS},
};
use objects::{
    capability::Capability,
    endpoint::{Endpoint, Receive},
    job::{Job, Resource},
    lease::Lease,
    port::{Packet, Port, Wait},
    refs::Ref,
};
use proptest::prelude::*;

use crate::common::{
    Caller, Object, Receiver, assert_unused, capability, channel, dig, job, notification,
};

fn port(job: &Ref<Job>) -> (Ref<Port<Object>>, Capability<Object>) {
    let port = Port::create(job).unwrap();
    (port.clone(), capability(Object::Port(port)))
}

fn signal(object: &Object) -> &objects::notification::Notification {
    match object {
        Object::Notification(notification) => notification,
        _ => panic!("not one"),
    }
}

/// Key and signals of the next packet.
fn next(port: &Port<Object>, receiver: &Receiver) -> Result<(u64, Signals), Error> {
    match port.try_take(&receiver.replies)? {
        Packet::Signals { key, signals } => Ok((key, signals)),
        Packet::Posted { key, .. } => Ok((key, Signals::empty())),
        Packet::Answer(answer) => Ok((answer.key, Signals::empty())),
        Packet::Call(arrival) => Ok((u64::from(arrival.delivery.key), Signals::all())),
    }
}

#[test]
fn a_packet_comes_when_a_signal_becomes_set_and_once() {
    let job = job();
    let receiver = Receiver::new(&job, 0);
    let (port, handle) = port(&job);
    let object = capability(notification(&job));
    port.bind(&job, object.entry(), Signals::READABLE, 7)
        .unwrap();
    assert_eq!(
        port.bind(&job, object.entry(), Signals::READABLE, 8),
        Err(Error::BadState)
    );
    assert_eq!(next(&port, &receiver), Err(Error::WouldWait));
    let bits = signal(object.entry().object());
    bits.signal(1);
    bits.signal(2);
    assert!(port.signals().get().contains(Signals::READABLE));
    assert_eq!(next(&port, &receiver), Ok((7, Signals::READABLE)));
    assert_eq!(next(&port, &receiver), Err(Error::WouldWait));
    assert!(port.signals().get().is_empty());
    bits.signal(4);
    assert_eq!(next(&port, &receiver), Err(Error::WouldWait), "still set");
    assert_eq!(bits.try_take(), Ok(7));
    bits.signal(1);
    bits.try_take().unwrap();
    bits.signal(1);
    assert_eq!(next(&port, &receiver), Ok((7, Signals::READABLE)));
    assert_eq!(next(&port, &receiver), Err(Error::WouldWait), "one packet");
    port.unbind(object.entry().object()).unwrap();
    assert_eq!(port.unbind(object.entry().object()), Err(Error::BadState));
    bits.try_take().unwrap();
    bits.signal(1);
    assert_eq!(next(&port, &receiver), Err(Error::WouldWait));
    // Set already when it is bound.
    port.bind(&job, object.entry(), Signals::READABLE, 9)
        .unwrap();
    assert_eq!(next(&port, &receiver), Ok((9, Signals::READABLE)));
    drop((port, handle, object, receiver));
    dig();
    assert_unused(&job);
}

#[test]
fn what_cannot_be_bound() {
    let job = job();
    let (first, _one) = port(&job);
    let (_, two) = port(&job);
    let object = notification(&job);
    let mute = Capability::with_rights(object, Rights::READ).unwrap();
    let bind = |object: &Capability<Object>, mask, key| first.bind(&job, object.entry(), mask, key);
    assert_eq!(bind(&two, Signals::READABLE, 0), Err(Error::WrongType));
    assert_eq!(bind(&mute, Signals::READABLE, 0), Err(Error::NoRight));
    assert_eq!(bind(&mute, Signals::empty(), 0), Err(Error::BadArgument));
    let endpoint = Object::Endpoint(Endpoint::create(&job).unwrap());
    let receive = capability(endpoint);
    let caller = receive
        .entry()
        .mint(1, Rights::CALL | Rights::WAIT)
        .unwrap();
    assert_eq!(bind(&caller, Signals::READABLE, 0), Err(Error::NoRight));
    assert_eq!(bind(&caller, Signals::PEER_CLOSED, 1 << 40), Ok(()));
    let (second, _three) = port(&job);
    assert_eq!(
        second.bind(&job, receive.entry(), Signals::READABLE, 1 << 32),
        Err(Error::BadArgument)
    );
    assert_eq!(
        second.bind(&job, receive.entry(), Signals::READABLE, 1),
        Ok(())
    );
    let (third, _four) = port(&job);
    assert_eq!(
        third.bind(&job, receive.entry(), Signals::READABLE, 1),
        Err(Error::BadState),
        "to one port at a time"
    );
    assert_eq!(third.bindings(), 0);
    second.close();
    assert_eq!(
        third.bind(&job, receive.entry(), Signals::READABLE, 1),
        Ok(())
    );
    assert_eq!(
        second.bind(&job, receive.entry(), Signals::READABLE, 1),
        Err(Error::PeerClosed)
    );
}

#[test]
fn bindings_end_with_the_last_handle() {
    let job = job();
    let receiver = Receiver::new(&job, 0);
    let (port, _handle) = port(&job);
    let base = job.used(Resource::Kernel);
    for round in 0..100 {
        let (one, other) = channel(&job);
        let (one, other) = (capability(one), capability(other));
        port.bind(&job, one.entry(), Signals::READABLE, round)
            .unwrap();
        port.bind(&job, other.entry(), Signals::PEER_CLOSED, 1000 + round)
            .unwrap();
        drop(one);
        assert_eq!(
            next(&port, &receiver),
            Ok((1000 + round, Signals::PEER_CLOSED))
        );
        drop(other);
        assert_eq!(port.bindings(), 0);
    }
    // The list of bindings keeps its room, and nothing else is left.
    assert!(job.used(Resource::Kernel) - base < 200);
}

#[test]
fn a_revoked_binding_says_so_once() {
    let job = job();
    let receiver = Receiver::new(&job, 0);
    let (port, _handle) = port(&job);
    let object = capability(notification(&job));
    let lease = Lease::new(&job, None).unwrap();
    let leased = object
        .entry()
        .lease_out(Rights::WAIT | Rights::READ, &lease)
        .unwrap();
    port.bind(&job, leased.entry(), Signals::READABLE, 3)
        .unwrap();
    lease.revoke();
    assert_eq!(next(&port, &receiver), Ok((3, Signals::REVOKED)));
    signal(object.entry().object()).signal(1);
    assert_eq!(next(&port, &receiver), Err(Error::WouldWait));
}

#[test]
fn posted_packets_are_bounded_and_in_order() {
    let job = job();
    let poster = crate::common::job();
    let receiver = Receiver::new(&job, 0);
    let (port, handle) = port(&job);
    let object = capability(notification(&job));
    port.bind(&job, object.entry(), Signals::READABLE, 5000)
        .unwrap();
    for key in 0..MAX_PORT_PACKETS as u64 {
        port.post(&poster, key, [key; WORDS]).unwrap();
        if key == 10 {
            signal(object.entry().object()).signal(1);
        }
    }
    assert_eq!(port.post(&poster, 0, [0; WORDS]), Err(Error::QueueFull));
    for key in 0..=10 {
        assert_eq!(next(&port, &receiver), Ok((key, Signals::empty())));
    }
    assert_eq!(next(&port, &receiver), Ok((5000, Signals::READABLE)));
    match port.try_take(&receiver.replies).unwrap() {
        Packet::Posted { key, words } => assert_eq!((key, words), (11, [11; WORDS])),
        packet => panic!("{packet:?}"),
    }
    drop(handle);
    assert_eq!(port.post(&poster, 0, [0; WORDS]), Err(Error::PeerClosed));
    assert_eq!(next(&port, &receiver), Err(Error::PeerClosed));
    dig();
    assert_unused(&poster);
}

#[test]
fn receivers_are_woken_one_for_each_packet() {
    let job = job();
    let receivers = [0, 1].map(|core| Receiver::new(&job, core));
    let (port, handle) = port(&job);
    let park = |receiver: &Receiver| match port.wait(receiver.clone(), None).unwrap() {
        Wait::Parked(ticket) => ticket,
        Wait::Packet(packet) => panic!("{packet:?}"),
    };
    let first = park(&receivers[0]);
    let second = park(&receivers[1]);
    port.post(&job, 1, [0; WORDS]).unwrap();
    assert_eq!(receivers.each_ref().map(Receiver::wakes), [0, 1]);
    // The one that was woken leaves without looking: the other is woken in its place.
    assert!(!port.unpark(second));
    assert_eq!(receivers.each_ref().map(Receiver::wakes), [1, 1]);
    assert!(!port.unpark(first));
    assert_eq!(next(&port, &receivers[0]), Ok((1, Signals::empty())));
    let third = park(&receivers[0]);
    assert!(port.unpark(third));
    park(&receivers[0]);
    drop(handle);
    assert_eq!(receivers[0].wakes(), 2, "closed");
    assert_eq!(
        port.wait(receivers[0].clone(), None).unwrap_err(),
        Error::PeerClosed
    );
    drop((port, receivers));
    dig();
    assert_unused(&job);
}

#[test]
fn calls_of_bound_endpoints_come_as_packets() {
    let job = job();
    let receiver = Receiver::new(&job, 0);
    let (port, _handle) = port(&job);
    let endpoint = Endpoint::create(&job).unwrap();
    let server = capability(Object::Endpoint(endpoint.clone()));
    let callers = [0; 3].map(|_| Caller::new());
    let early = endpoint.call(&callers[0], 10, 500, 0).unwrap();
    assert!(early.handed.is_none());
    port.bind(
        &job,
        server.entry(),
        Signals::READABLE | Signals::PEER_CLOSED,
        77,
    )
    .unwrap();
    let late = endpoint.call(&callers[1], 11, 400, 0).unwrap();
    assert!(late.handed.is_none());
    let mut tokens = Vec::new();
    for badge in [11, 10] {
        match port.try_take(&receiver.replies).unwrap() {
            Packet::Call(arrival) => {
                assert_eq!((arrival.delivery.key, arrival.delivery.badge), (77, badge));
                tokens.push(arrival.delivery.token);
            }
            packet => panic!("{packet:?}"),
        }
    }
    assert_eq!(
        port.try_take(&receiver.replies).unwrap_err(),
        Error::WouldWait
    );
    // Straight to a parked receiver.
    assert!(matches!(
        port.wait(receiver.clone(), None).unwrap(),
        Wait::Parked(_)
    ));
    let straight = endpoint.call(&callers[2], 12, 300, 0).unwrap();
    let handed = straight.handed.unwrap();
    assert_eq!((handed.delivery.key, handed.delivery.badge), (77, 12));
    assert_eq!(receiver.wakes(), 0, "it is run by the caller");
    tokens.push(handed.delivery.token);
    for token in tokens {
        let claimed = receiver.replies.take(token).unwrap().claim().unwrap();
        assert!(claimed.finish(Ok(())).is_none());
    }
    for call in [&early.in_flight, &late.in_flight, &straight.in_flight] {
        assert_eq!(call.try_answer(), Some(Ok(())));
    }
    // Calls that are received past the port leave it no packet.
    let past = endpoint.call(&callers[0], 1, 1, 0).unwrap();
    assert!(matches!(
        endpoint.receive(receiver.clone(), None).unwrap(),
        Receive::Call(_)
    ));
    assert_eq!(
        port.try_take(&receiver.replies).unwrap_err(),
        Error::WouldWait
    );
    drop(past);
}

#[test]
fn a_revoked_port_of_an_endpoint_gets_no_calls() {
    let job = job();
    let receiver = Receiver::new(&job, 0);
    let (port, _handle) = port(&job);
    let endpoint = Endpoint::create(&job).unwrap();
    let owner = capability(Object::Endpoint(endpoint.clone()));
    let lease = Lease::new(&job, None).unwrap();
    let rights = Rights::RECEIVE | Rights::WAIT;
    let leased = owner.entry().lease_out(rights, &lease).unwrap();
    port.bind(&job, leased.entry(), Signals::READABLE, 1)
        .unwrap();
    assert!(matches!(
        port.wait(receiver.clone(), None).unwrap(),
        Wait::Parked(_)
    ));
    lease.revoke();
    let caller = Caller::new();
    let call = endpoint.call(&caller, 0, 0, 0).unwrap();
    assert!(call.handed.is_none());
    assert_eq!(endpoint.waiting(), 1);
    assert_eq!(receiver.wakes(), 1, "to hear of the revocation");
    assert_eq!(next(&port, &receiver), Ok((1, Signals::REVOKED)));
    assert_eq!(next(&port, &receiver), Err(Error::WouldWait));
    // And one that is parked at the endpoint itself.
    drop(call);
    let lease = Lease::new(&job, None).unwrap();
    assert!(matches!(
        endpoint.receive(receiver.clone(), Some(&lease)).unwrap(),
        Receive::Parked(_)
    ));
    lease.revoke();
    assert!(endpoint.call(&caller, 0, 0, 0).unwrap().handed.is_none());
    assert_eq!(receiver.wakes(), 2);
}

#[derive(Clone, Debug)]
enum Step {
    Set(usize),
    Take(usize),
    Bind(usize),
    Unbind(usize),
    CloseObject(usize),
    Next,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let which = 0..4_usize;
    let step = prop_oneof![
        3 => which.clone().prop_map(Step::Set),
        2 => which.clone().prop_map(Step::Take),
        2 => which.clone().prop_map(Step::Bind),
        1 => which.clone().prop_map(Step::Unbind),
        1 => which.prop_map(Step::CloseObject),
        3 => Just(Step::Next),
    ];
    prop::collection::vec(step, 0..80)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn ports_match_a_queue_of_edges(steps in steps()) {
        let job = job();
        let receiver = Receiver::new(&job, 0);
        let (port, handle) = port(&job);
        let mut objects: Vec<Option<Capability<Object>>> = (0..4).map(|_| Some(capability(notification(&job)))).collect();
        let (mut set, mut bound) = ([false; 4], [false; 4]);
        let mut queue: Vec<usize> = Vec::new();
        for step in steps {
            match step {
                Step::Set(which) => if let Some(object) = &objects[which] {
                    signal(object.entry().object()).signal(1);
                    if !set[which] && bound[which] && !queue.contains(&which) {
                        queue.push(which);
                    }
                    set[which] = true;
                },
                Step::Take(which) => if let Some(object) = &objects[which] {
                    prop_assert_eq!(signal(object.entry().object()).try_take().is_ok(), set[which]);
                    set[which] = false;
                },
                Step::Bind(which) => if let Some(object) = &objects[which] {
                    let result = port.bind(&job, object.entry(), Signals::READABLE, which as u64);
                    prop_assert_eq!(result.is_ok(), !bound[which]);
                    if !bound[which] && set[which] {
                        queue.push(which);
                    }
                    bound[which] = true;
                },
                Step::Unbind(which) => if let Some(object) = &objects[which] {
                    prop_assert_eq!(port.unbind(object.entry().object()).is_ok(), bound[which]);
                    bound[which] = false;
                    queue.retain(|&queued| queued != which);
                },
                Step::CloseObject(which) => {
                    objects[which] = None;
                    bound[which] = false;
                    queue.retain(|&queued| queued != which);
                }
                Step::Next => {
                    let expected = if queue.is_empty() {
                        Err(Error::WouldWait)
                    } else {
                        Ok((queue.remove(0) as u64, Signals::READABLE))
                    };
                    prop_assert_eq!(next(&port, &receiver), expected);
                }
            }
            prop_assert_eq!(port.bindings(), bound.iter().filter(|bound| **bound).count());
        }
        drop((port, handle));
        dig();
        drop((objects, receiver));
        assert_unused(&job);
    }
}

#[test]
fn bindings_and_signals_race() {
    let job = job();
    for _ in 0..200 {
        let receiver = Receiver::new(&job, 0);
        let (port, handle) = port(&job);
        let object = Arc::new(capability(notification(&job)));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let graveyard = crate::common::graveyard();
                for _ in 0..10 {
                    let _ = port.bind(&job, object.entry(), Signals::READABLE, 1);
                    let _ = port.unbind(object.entry().object());
                }
                while graveyard.step(8) == objects::graveyard::Progress::More {}
            });
            scope.spawn(|| {
                for _ in 0..20 {
                    signal(object.entry().object()).signal(1);
                    let _ = signal(object.entry().object()).try_take();
                }
            });
        });
        assert_eq!(port.bindings(), 0);
        // None is left behind: the object says nothing to anybody.
        port.bind(&job, object.entry(), Signals::READABLE, 2)
            .unwrap();
        signal(object.entry().object()).signal(1);
        assert_eq!(next(&port, &receiver), Ok((2, Signals::READABLE)));
        assert_eq!(next(&port, &receiver), Err(Error::WouldWait));
        drop((port, handle, receiver));
        drop(object);
        dig();
    }
    assert_unused(&job);
}
