//! Calls that are started and answered by a packet.

use abi::{
    Error,
    message::{MAX_STARTED_CALLS, WORDS},
};
use objects::{
    capability::Capability,
    channel::Message,
    endpoint::{Endpoint, Receive, Token},
    graveyard::Progress,
    job::Job,
    lease::Lease,
    port::{Answer, Packet, Port, StartedCall, StartedCalls},
    refs::Ref,
};
use proptest::prelude::*;

use crate::common::{Caller, Object, Receiver, assert_unused, capability, dig, job};

/// A process that calls an endpoint, and the one that serves it.
struct World {
    job: Ref<Job>,
    table: StartedCalls<Object>,
    port: Ref<Port<Object>>,
    endpoint: Ref<Endpoint<Object>>,
    server: Receiver,
    _handles: [Capability<Object>; 2],
}

impl World {
    fn new(job: &Ref<Job>) -> Self {
        let port = Port::create(job).unwrap();
        let endpoint = Endpoint::create(job).unwrap();
        Self {
            table: StartedCalls::new(job),
            server: Receiver::new(job, 0),
            _handles: [
                capability(Object::Port(port.clone())),
                capability(Object::Endpoint(endpoint.clone())),
            ],
            job: job.clone(),
            port,
            endpoint,
        }
    }

    /// Starts a call with this key and word; its id.
    fn start(&self, key: u64, lease: Option<&Ref<Lease>>) -> Result<u64, Error> {
        let words = [key; WORDS];
        let call = StartedCall::new(&self.job, &self.port, key, words, lease.cloned())?;
        let id = self.table.put(&call)?;
        let caller = Caller::started(&call);
        match call.start(self.endpoint.clone(), caller, 0, u64::MAX, 0) {
            Ok(handed) => assert!(handed.is_none(), "nobody is parked"),
            Err(error) => {
                self.table.end(id).unwrap();
                return Err(error);
            }
        }
        Ok(id)
    }

    /// Token and key of the next call.
    fn receive(&self) -> Result<(Token, u64), Error> {
        let arrival = self.endpoint.try_receive(&self.server.replies)?;
        let [key, ..] = arrival.caller.1.unwrap().words();
        Ok((arrival.delivery.token, key))
    }

    fn answer(&self, token: Token, word: u64) -> Result<(), Error> {
        let (_, waker) = self.server.replies.answer(token, |caller| {
            caller.1.as_ref().unwrap().put_answer([word; WORDS]);
        })?;
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(())
    }

    fn next(&self) -> Result<Answer, Error> {
        match self.port.try_take(&self.server.replies)? {
            Packet::Answer(answer) => {
                if answer.lengths.is_none() {
                    self.table.answered(&answer);
                }
                Ok(answer)
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn an_answer_comes_as_a_packet() {
    let job = job();
    let world = World::new(&job);
    let id = world.start(7, None).unwrap();
    assert!((id as i64) > 0);
    assert_eq!(world.next().unwrap_err(), Error::WouldWait);
    let (token, key) = world.receive().unwrap();
    assert_eq!(key, 7);
    world.answer(token, 70).unwrap();
    assert!(world.table.get(id).unwrap().is_over());
    let answer = world.next().unwrap();
    assert_eq!((answer.key, answer.outcome, answer.id), (7, Ok(()), id));
    assert_eq!((answer.words, answer.lengths), ([70; WORDS], None));
    assert_eq!(world.table.end(id), Err(Error::BadHandle), "it is over");
    assert_eq!(world.answer(token, 71), Err(Error::BadHandle));
    for forged in [0, 1, u64::MAX, id, id + (1 << 32)] {
        assert_eq!(world.table.end(forged), Err(Error::BadHandle));
    }
    drop(world);
    dig();
    assert_unused(&job);
}

#[test]
fn a_parked_receiver_is_handed_it() {
    let job = job();
    let world = World::new(&job);
    let parked = world.endpoint.receive(world.server.clone(), None).unwrap();
    assert!(matches!(parked, Receive::Parked(_)));
    let call = StartedCall::new(&job, &world.port, 1, [1; WORDS], None).unwrap();
    world.table.put(&call).unwrap();
    let caller = Caller::started(&call);
    let handed = call.start(world.endpoint.clone(), caller, 5, 0, 0).unwrap();
    let handed = handed.unwrap();
    assert_eq!(handed.delivery.badge, 5);
    world.answer(handed.delivery.token, 2).unwrap();
    assert_eq!(world.next().unwrap().words, [2; WORDS]);
    drop((handed, call, world));
    dig();
    assert_unused(&job);
}

#[test]
fn a_call_that_nobody_will_answer_says_so() {
    let job = job();
    let world = World::new(&job);
    world.start(1, None).unwrap();
    world.start(2, None).unwrap();
    let (token, _) = world.receive().unwrap();
    drop(world.server.replies.take(token).unwrap());
    let answer = world.next().unwrap();
    assert_eq!((answer.key, answer.outcome), (1, Err(Error::PeerClosed)));
    world.endpoint.close();
    let answer = world.next().unwrap();
    assert_eq!((answer.key, answer.outcome), (2, Err(Error::PeerClosed)));
    assert_eq!(world.start(3, None).unwrap_err(), Error::PeerClosed);
    assert_eq!(world.next().unwrap_err(), Error::WouldWait, "no packet");
    assert!(world.table.is_empty());
    drop(world);
    dig();
    assert_unused(&job);
}

#[test]
fn who_gives_up_hears_nothing() {
    let job = job();
    let world = World::new(&job);
    let waiting = world.start(1, None).unwrap();
    world.table.end(waiting).unwrap();
    assert_eq!(world.receive().unwrap_err(), Error::WouldWait, "withdrawn");
    let received = world.start(2, None).unwrap();
    let (token, _) = world.receive().unwrap();
    world.table.end(received).unwrap();
    assert_eq!(world.answer(token, 0), Err(Error::PeerClosed));
    let answered = world.start(3, None).unwrap();
    let (token, _) = world.receive().unwrap();
    world.answer(token, 0).unwrap();
    world.table.end(answered).unwrap();
    assert_eq!(world.next().unwrap_err(), Error::WouldWait);
    // A process that ends gives up all of them.
    for key in 0..50 {
        world.start(key, None).unwrap();
    }
    while world.table.close_some(8) == Progress::More {}
    assert_eq!(world.endpoint.waiting(), 0);
    assert_eq!(world.start(4, None).unwrap_err(), Error::Dying);
    drop(world);
    dig();
    assert_unused(&job);
}

#[test]
fn revocation_ends_a_call() {
    let job = job();
    let world = World::new(&job);
    let lease = Lease::new(&job, None).unwrap();
    world.start(1, Some(&lease)).unwrap();
    world.start(2, Some(&lease)).unwrap();
    let (token, _) = world.receive().unwrap();
    lease.revoke();
    for _ in 0..2 {
        assert_eq!(world.next().unwrap().outcome, Err(Error::Revoked));
    }
    assert_eq!(world.answer(token, 0), Err(Error::PeerClosed));
    assert_eq!(world.endpoint.waiting(), 0);
    // One through a lease that is revoked already ends at once.
    world.start(3, Some(&lease)).unwrap();
    assert_eq!(world.next().unwrap().outcome, Err(Error::Revoked));
    drop((world, lease));
    dig();
    assert_unused(&job);
}

#[test]
fn a_long_answer_waits_to_be_fetched() {
    let job = job();
    let world = World::new(&job);
    let id = world.start(1, None).unwrap();
    let (token, _) = world.receive().unwrap();
    let message = Message::new(&job, 100, 0).unwrap();
    let (_, waker) = world
        .server
        .replies
        .answer(token, |caller| {
            caller.1.as_ref().unwrap().put_message(message)
        })
        .unwrap();
    waker.unwrap().wake();
    let answer = world.next().unwrap();
    assert_eq!(answer.lengths.map(|lengths| lengths.bytes), Some(100));
    let call = world.table.get(id).unwrap();
    assert_eq!(call.message().lock().take().unwrap().bytes().len(), 100);
    world.table.end(id).unwrap();
    drop((call, world));
    dig();
    assert_unused(&job);
}

#[test]
fn there_are_not_more_than_the_limit() {
    let job = job();
    let world = World::new(&job);
    let first = world.start(0, None).unwrap();
    for key in 1..MAX_STARTED_CALLS as u64 {
        world.start(key, None).unwrap();
    }
    assert_eq!(world.start(0, None).unwrap_err(), Error::LimitReached);
    world.table.end(first).unwrap();
    world.start(0, None).unwrap();
    while world.table.close_some(64) == Progress::More {}
    drop(world);
    dig();
    assert_unused(&job);
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Start,
    Receive,
    Answer(usize),
    Refuse(usize),
    End(usize),
    Next,
    Revoke,
}

/// What the model knows of a call.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Waiting,
    Received,
    Over(Result<(), Error>),
    Gone,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn started_calls_match_a_model(steps in prop::collection::vec(prop_oneof![
        4 => Just(Step::Start),
        3 => Just(Step::Receive),
        3 => (0..8_usize).prop_map(Step::Answer),
        1 => (0..8_usize).prop_map(Step::Refuse),
        2 => (0..8_usize).prop_map(Step::End),
        3 => Just(Step::Next),
        1 => Just(Step::Revoke),
    ], 0..80)) {
        let job = job();
        let world = World::new(&job);
        let mut lease = Lease::new(&job, None).unwrap();
        // Id, fate, and whether it is under the present lease.
        let mut calls: Vec<(u64, Fate, bool)> = Vec::new();
        let mut tokens: Vec<(Token, usize)> = Vec::new();
        let mut packets: Vec<usize> = Vec::new();
        for step in steps {
            match step {
                Step::Start => {
                    let leased = calls.len().is_multiple_of(3);
                    let id = world.start(calls.len() as u64, leased.then_some(&lease)).unwrap();
                    calls.push((id, Fate::Waiting, leased));
                }
                Step::Receive => {
                    let first = calls.iter().position(|call| call.1 == Fate::Waiting);
                    match (world.receive(), first) {
                        (Ok((token, key)), Some(first)) => {
                            prop_assert_eq!(key, first as u64);
                            calls[first].1 = Fate::Received;
                            tokens.push((token, first));
                        }
                        (Err(error), None) => prop_assert_eq!(error, Error::WouldWait),
                        (got, wanted) => prop_assert!(false, "{:?} {:?}", got, wanted),
                    }
                }
                Step::Answer(which) | Step::Refuse(which) => {
                    if tokens.is_empty() {
                        continue;
                    }
                    let (token, call) = tokens.remove(which % tokens.len());
                    let waits = calls[call].1 == Fate::Received;
                    let outcome = if matches!(step, Step::Answer(_)) {
                        let answered = world.answer(token, call as u64);
                        prop_assert_eq!(answered.is_ok(), waits);
                        Ok(())
                    } else {
                        drop(world.server.replies.take(token).unwrap());
                        Err(Error::PeerClosed)
                    };
                    if waits {
                        calls[call].1 = Fate::Over(outcome);
                        packets.push(call);
                    }
                }
                Step::End(which) => {
                    if calls.is_empty() {
                        continue;
                    }
                    let call = calls.len().saturating_sub(1 + which);
                    let ended = world.table.end(calls[call].0);
                    prop_assert_eq!(ended.is_ok(), calls[call].1 != Fate::Gone);
                    calls[call].1 = Fate::Gone;
                    packets.retain(|&packet| packet != call);
                }
                Step::Next => match world.next() {
                    Ok(answer) => {
                        let call = packets.remove(0);
                        prop_assert_eq!(answer.key, call as u64);
                        prop_assert_eq!(Fate::Over(answer.outcome), calls[call].1);
                        calls[call].1 = Fate::Gone;
                    }
                    Err(error) => {
                        prop_assert_eq!(error, Error::WouldWait);
                        prop_assert!(packets.is_empty());
                    }
                },
                Step::Revoke => {
                    lease.revoke();
                    lease = Lease::new(&job, None).unwrap();
                    for (number, call) in calls.iter_mut().enumerate() {
                        if call.2 && matches!(call.1, Fate::Waiting | Fate::Received) {
                            call.1 = Fate::Over(Err(Error::Revoked));
                            packets.push(number);
                        }
                        call.2 = false;
                    }
                }
            }
            let known = calls.iter().filter(|call| call.1 != Fate::Gone).count();
            prop_assert_eq!(world.table.len(), known);
        }
        while world.table.close_some(8) == Progress::More {}
        drop((world, lease));
        dig();
        assert_unused(&job);
    }
}

#[test]
fn answers_revocations_and_ends_race() {
    let job = job();
    for round in 0..300_u64 {
        let world = World::new(&job);
        let lease = Lease::new(&job, None).unwrap();
        let graveyard = crate::common::graveyard();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                crate::common::use_graveyard(graveyard);
                let ids: Vec<u64> = (0..8)
                    .filter_map(|key| world.start(key, (key % 2 == 0).then_some(&lease)).ok())
                    .collect();
                for id in ids {
                    if (id ^ round) % 3 == 0 {
                        let _ = world.table.end(id);
                    }
                }
            });
            scope.spawn(|| {
                crate::common::use_graveyard(graveyard);
                for _ in 0..20 {
                    if let Ok((token, key)) = world.receive() {
                        let _ = world.answer(token, key);
                    }
                    std::thread::yield_now();
                }
            });
            scope.spawn(|| {
                crate::common::use_graveyard(graveyard);
                std::thread::yield_now();
                lease.revoke();
                while world.next().is_ok() {}
            });
        });
        while world.next().is_ok() {}
        while world.table.close_some(8) == Progress::More {}
        drop((world, lease));
        dig();
    }
    assert_unused(&job);
}
