//! Network cards against a model: frames, interrupts, checksums, commands, and devices that lie.

mod model;

use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use model::{Chain, Defect, Model};
use nic::{Card, Frame, Mac, Receive, SendError, Transmit, checksum};
use proptest::prelude::*;
use testkit::Sim;
use virtio::net::wire::{command, feature};
use virtio::net::{Net, start};
use virtio::{Broken, Fault};

const EVENT_INDEX: u64 = 1 << 29;
const BASIC: u64 = feature::MAC | feature::STATUS;
const HEADER: usize = 12;
const MAC: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];

/// The device's configuration: address, link up, pairs, MTU.
fn own(pairs: u16, mtu: u16) -> Vec<u8> {
    let mut own = MAC.to_vec();
    for word in [1, pairs, mtu] {
        own.extend(u16::to_le_bytes(word));
    }
    own.resize(0x100, 0);
    own
}

fn model(features: u64, queues: &[u16]) -> Model {
    let model = Model::new(Defect::None, queues);
    model.offer(features);
    model.state().own = Some(own(1, 1500));
    model
}

fn poll<T>(future: Pin<&mut impl Future<Output = T>>) -> Option<T> {
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

type Started = Result<Vec<Net<Model>>, Fault>;

/// Starts it; commands on queue `control` are kept and answered with `answer`.
fn begin(model: &Model, pairs: u16, control: usize, answer: u8) -> (Started, Vec<Vec<u8>>) {
    let clock = Sim::new().clock();
    let mut starting = pin!(start(model.clone(), pairs, &clock));
    let mut commands = Vec::new();
    loop {
        if let Some(started) = poll(starting.as_mut()) {
            return (started, commands);
        }
        let Chain { head, parts } = model.take(control).expect("a command, or it is stuck");
        commands.push(model.read(parts[0].0, parts[0].1 as usize));
        model.write(parts[1].0, &[answer]);
        model.give(control, head.into(), 1);
    }
}

fn card(model: &Model) -> Net<Model> {
    let (cards, commands) = begin(model, 1, 2, 0);
    assert!(commands.is_empty());
    cards.expect("starts").pop().expect("one")
}

fn is_ready(card: &mut Net<Model>) -> bool {
    poll(pin!(card.ready())).is_some_and(|ready| {
        ready.expect("no fault");
        true
    })
}

fn fault(card: &mut Net<Model>) -> Option<Fault> {
    poll(pin!(card.ready())).and_then(Result::err)
}

/// The device receives a frame, its header with these flags.
fn arrive(model: &Model, queue: usize, flags: u8, frame: &[u8]) -> bool {
    let Some(Chain { head, parts }) = model.take(queue) else {
        return false;
    };
    let [(address, room, true)] = parts[..] else {
        panic!("a chain to receive into is one part")
    };
    assert!(room as usize >= HEADER + frame.len());
    let mut bytes = vec![flags, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0];
    bytes.extend(frame);
    model.write(address, &bytes);
    model.give(queue, head.into(), bytes.len() as u32);
    true
}

/// The device sends a frame: its header, and the frame.
fn leave(model: &Model, queue: usize) -> Option<(Vec<u8>, Vec<u8>)> {
    let Chain { head, parts } = model.take(queue)?;
    let [(address, len, false)] = parts[..] else {
        panic!("a chain to send is one part")
    };
    let mut bytes = model.read(address, len as usize);
    model.give(queue, head.into(), 0);
    let frame = bytes.split_off(HEADER);
    Some((bytes, frame))
}

fn send(card: &mut Net<Model>, content: &[u8]) -> Result<(), SendError> {
    let (_, to) = card.halves();
    to.send(content.len(), |bytes| bytes.copy_from_slice(content))
}

fn next(card: &mut Net<Model>) -> Option<Vec<u8>> {
    let (from, _) = card.halves();
    from.next().map(|frame| frame.bytes().to_vec())
}

#[test]
fn frames_go_both_ways_and_slots_come_back() {
    for features in [BASIC, BASIC | EVENT_INDEX] {
        let model = model(features, &[16, 8]);
        let mut card = card(&model);
        assert_eq!(card.about().mac, Mac(MAC));
        assert_eq!((card.about().mtu_bytes, card.link_is_up()), (1500, true));
        assert!(model.state().notified.contains(&0), "told of the room");
        for round in 0..100u32 {
            let content = [round as u8; 80];
            assert!(!is_ready(&mut card));
            assert!(arrive(&model, 0, 0, &content));
            assert!(is_ready(&mut card));
            let (from, to) = card.halves();
            let frame = from.next().expect("a frame");
            to.send(80, |bytes| bytes.copy_from_slice(frame.bytes()))
                .expect("room");
            drop(frame);
            assert!(from.next().is_none());
            card.flush();
            assert_eq!(leave(&model, 1), Some((vec![0; HEADER], content.to_vec())));
        }
        let counters = card.counters();
        assert_eq!((counters.received_frames, counters.sent_frames), (100, 100));
        assert_eq!((counters.received_bytes, counters.sent_bytes), (8000, 8000));
        assert!(counters.interrupts <= 100, "none for what was sent");
    }
}

#[test]
fn who_is_awake_is_not_interrupted() {
    for features in [BASIC, BASIC | EVENT_INDEX] {
        let model = model(features, &[16, 8]);
        let mut card = card(&model);
        assert!(!is_ready(&mut card));
        for _ in 0..4 {
            assert!(arrive(&model, 0, 0, &[1; 60]));
        }
        assert!(is_ready(&mut card));
        let before = model.pending(0);
        assert!(before == 1 || features == BASIC, "one is enough");
        while next(&mut card).is_some() {
            // More comes while these are read: no interrupt is needed to see it.
            if card.counters().received_frames < 12 {
                assert!(arrive(&model, 0, 0, &[2; 60]));
            }
        }
        assert_eq!(card.counters().received_frames, 15);
        assert_eq!(model.pending(0), before, "it is awake");
        assert!(!is_ready(&mut card), "what is left pending is no frame");
        assert!(arrive(&model, 0, 0, &[3; 60]));
        assert!(is_ready(&mut card));
    }
}

#[test]
fn room_is_waited_for_only_when_there_is_none() {
    for features in [BASIC, BASIC | EVENT_INDEX] {
        let model = model(features, &[8, 4]);
        let mut card = card(&model);
        for n in 0..4 {
            assert_eq!(send(&mut card, &[n; 60]), Ok(()));
        }
        card.flush();
        assert_eq!(send(&mut card, &[9; 60]), Err(SendError::Full));
        assert!(!is_ready(&mut card));
        assert_eq!(leave(&model, 1).expect("sent").1, [0; 60]);
        assert!(model.pending(1) > 0, "it interrupts when it is awaited");
        assert!(is_ready(&mut card) && !is_ready(&mut card), "once");
        assert_eq!(send(&mut card, &[5; 60]), Ok(()));
        card.flush();
        let before = model.pending(1);
        while leave(&model, 1).is_some() {}
        assert_eq!(model.pending(1), before, "nobody waits");
        assert_eq!(card.counters().refused_full, 1);
        assert_eq!(send(&mut card, &[0; 13]), Err(SendError::Length));
        assert_eq!(send(&mut card, &[0; 1515]), Err(SendError::Length));
        assert_eq!(send(&mut card, &[7; 1514]), Ok(()));
    }
}

#[test]
fn the_link_is_news() {
    let model = model(BASIC, &[8, 8]);
    let mut card = card(&model);
    for is_up in [false, true, false] {
        assert!(!is_ready(&mut card));
        if let Some(own) = &mut model.state().own {
            own[6] = is_up.into();
        }
        model.interrupt_config();
        assert!(is_ready(&mut card));
        assert_eq!(card.link_is_up(), is_up);
    }
    // Something else of its configuration has changed.
    model.interrupt_config();
    assert!(!is_ready(&mut card));
    model.state().status |= 64;
    model.interrupt_config();
    assert_eq!(fault(&mut card), Some(Fault::GaveUp));
}

#[test]
fn checksums_are_left_to_a_device_that_adds_them() {
    // UDP over IPv4.
    let mut frame = vec![2; 12];
    frame.extend([8, 0, 0x45, 0, 0, 33, 0, 1, 0x40, 0, 64, 17, 0, 0]);
    frame.extend([10, 0, 2, 15, 10, 0, 2, 2, 0, 7, 0, 7, 0, 13, 0, 0]);
    frame.extend(b"hello");
    let model = model(BASIC | feature::CSUM | feature::GUEST_CSUM, &[8, 8]);
    let mut card = card(&model);
    let sums = card.about().checksums;
    assert!(sums.transmit.udp && sums.transmit.tcp && !sums.transmit.ipv4 && sums.receive.tcp);
    send(&mut card, &frame).expect("room");
    card.flush();
    let (header, mut sent) = leave(&model, 1).expect("sent");
    assert_eq!(header, [1, 0, 0, 0, 0, 0, 34, 0, 6, 0, 0, 0]);
    // What the device does with it.
    let sum = !checksum::sum(&sent[34..], 0);
    sent[40..42].copy_from_slice(&sum.to_be_bytes());
    checksum::fill(&mut frame);
    assert_eq!(sent[34..], frame[34..]);
    // What is no IP packet has none.
    send(&mut card, &[0xff; 60]).expect("room");
    card.flush();
    assert_eq!(leave(&model, 1).expect("sent").0, [0; HEADER]);
    for (flags, is_checked) in [(0, false), (1, true), (2, true)] {
        arrive(&model, 0, flags, &frame);
        let (from, _) = card.halves();
        let checked = from.next().expect("a frame").checked();
        assert_eq!((checked.payload, checked.ipv4), (is_checked, false));
    }
}

#[test]
fn commands_and_several_pairs() {
    let features = BASIC | feature::MQ | feature::CTRL_VQ | feature::CTRL_RX | feature::MTU;
    // Three pairs and the queue of commands; two pairs are wanted.
    let there = || {
        let model = model(features, &[8, 8, 8, 8, 8, 8, 8]);
        model.state().own = Some(own(3, 9000));
        model
    };
    let model = there();
    let (cards, commands) = begin(&model, 2, 6, command::OK);
    let mut cards = cards.expect("starts");
    assert_eq!(cards.len(), 2);
    assert_eq!(commands, [vec![0, 1, 1], vec![0, 0, 0], vec![4, 0, 2, 0]]);
    assert_eq!(cards[1].about().max_frame_bytes(), 9014);
    for (pair, card) in cards.iter_mut().enumerate() {
        assert!(!is_ready(card));
        assert!(arrive(&model, 2 * pair, 0, &[pair as u8; 9014]));
        assert!(is_ready(card));
        assert_eq!(next(card), Some(vec![pair as u8; 9014]));
        send(card, &[pair as u8; 60]).expect("room");
        card.flush();
        assert_eq!(
            leave(&model, 2 * pair + 1).expect("sent").1,
            [pair as u8; 60]
        );
    }
    let (refused, _) = begin(&there(), 2, 6, 1);
    assert!(matches!(refused.err(), Some(Fault::Nonsense(_))));
    // One that only receives more than it is asked to is good enough.
    let (one, commands) = begin(&there(), 1, 2, 1);
    assert_eq!((one.expect("starts").len(), commands.len()), (1, 2));
}

#[test]
fn what_cannot_be_is_refused_at_the_start() {
    type Spoil = fn(&mut Vec<u8>);
    let cases: [(u64, Spoil); 5] = [
        (feature::STATUS, |_| {}),
        (BASIC, |own| own[..6].fill(0)),
        (BASIC, |own| own[0] = 1),
        (BASIC | feature::MTU, |own| own[10..12].fill(0)),
        (BASIC | feature::MTU, |own| own[10..12].fill(0xff)),
    ];
    for (features, spoil) in cases {
        let model = model(features, &[8, 8]);
        model.state().own.as_mut().map(spoil);
        let (refused, _) = begin(&model, 1, 2, 0);
        assert!(matches!(refused.err(), Some(Fault::Nonsense(_))));
    }
    let (refused, _) = begin(&model(BASIC, &[8]), 1, 2, 0);
    assert_eq!(refused.err(), Some(Fault::NoQueue(1)));
}

#[test]
fn a_device_that_lies_is_given_up() {
    type Lie = fn(&Model);
    let lies: [(Lie, Broken); 4] = [
        (|model| model.claim_used(0, 99), Broken::Index),
        (|model| model.give(0, 77, 60), Broken::Head(77)),
        (|model| model.give(0, 0, 5000), Broken::Length(5000)),
        (|model| model.give(1, 3, 0), Broken::Head(3)),
    ];
    for (lie, broken) in lies {
        let model = model(BASIC, &[8, 8]);
        let mut card = card(&model);
        send(&mut card, &[1; 60]).expect("room");
        lie(&model);
        assert_eq!(next(&mut card), None);
        let (_, to) = card.halves();
        to.has_room();
        assert_eq!(fault(&mut card), Some(Fault::Broken(broken)));
        assert_eq!(next(&mut card), None);
    }
    // The same slot twice.
    let model = model(BASIC, &[8, 8]);
    let mut card = card(&model);
    arrive(&model, 0, 0, &[1; 60]);
    model.give(0, 0, 72);
    let (from, _) = card.halves();
    let frame = from.next();
    assert!(frame.is_some());
    drop(frame);
    // It was given back in between, so what the device does now is early, but possible: old bytes, never another's.
    assert_eq!(next(&mut card), Some(vec![1; 60]));
}

#[test]
fn frames_that_are_too_short_are_dropped() {
    let model = model(BASIC, &[8, 8]);
    let mut card = card(&model);
    for written in 0..26 {
        let Chain { head, .. } = model.take(0).expect("slots come back");
        model.give(0, head.into(), written);
        assert_eq!(next(&mut card), None);
    }
    assert_eq!(card.counters().dropped_bad, 26);
    assert!(arrive(&model, 0, 0, &[4; 14]));
    assert_eq!(next(&mut card), Some(vec![4; 14]));
}

/// A step of either side.
#[derive(Clone, Debug)]
enum Step {
    Arrive(u8),
    Leave,
    Ready,
    Next,
    Send(u8),
    Flush,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        any::<u8>().prop_map(Step::Arrive),
        Just(Step::Leave),
        Just(Step::Ready),
        Just(Step::Next),
        any::<u8>().prop_map(Step::Send),
        Just(Step::Flush),
    ];
    proptest::collection::vec(step, 0..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Whatever the order of steps, frames arrive in order and whole, and who is told to wait is woken when there is something.
    #[test]
    fn no_frame_and_no_wake_is_lost(steps in steps(), by_index in any::<bool>()) {
        let features = if by_index { BASIC | EVENT_INDEX } else { BASIC };
        let model = model(features, &[8, 4]);
        let mut card = card(&model);
        let (mut incoming, mut outgoing) = (Vec::new(), Vec::new());
        let (mut got, mut left) = (Vec::new(), Vec::new());
        let (mut sleeps, mut wants_room) = (false, false);
        for step in steps {
            match step {
                Step::Arrive(n) => {
                    if arrive(&model, 0, 0, &[n; 60]) {
                        incoming.push(vec![n; 60]);
                        if sleeps && !wants_room {
                            prop_assert!(model.pending(0) > 0, "a sleeper is not woken");
                        }
                    }
                }
                Step::Leave => {
                    if let Some((_, frame)) = leave(&model, 1) {
                        left.push(frame);
                        if sleeps && wants_room {
                            prop_assert!(model.pending(1) > 0, "a sender is not woken");
                        }
                    }
                }
                Step::Ready => {
                    let waiting = !wants_room && incoming.len() > got.len();
                    let ready = is_ready(&mut card);
                    prop_assert!(!waiting || ready);
                    sleeps = !ready;
                    // It says once that there is room.
                    wants_room &= !ready;
                }
                Step::Next => {
                    sleeps = false;
                    got.extend(next(&mut card));
                }
                Step::Send(n) => {
                    sleeps = false;
                    match send(&mut card, &[n; 70]) {
                        Ok(()) => {
                            wants_room = false;
                            outgoing.push(vec![n; 70]);
                        }
                        Err(error) => {
                            prop_assert_eq!(error, SendError::Full);
                            prop_assert!(outgoing.len() >= left.len() + 4);
                            wants_room = true;
                        }
                    }
                }
                Step::Flush => card.flush(),
            }
        }
        card.flush();
        got.extend(std::iter::from_fn(|| next(&mut card)));
        left.extend(std::iter::from_fn(|| leave(&model, 1)).map(|(_, frame)| frame));
        prop_assert_eq!(got, incoming);
        prop_assert_eq!(left, outgoing);
    }

    /// A device that writes whatever it likes into the rings is given up or not: nothing panics, and nothing leaves its memory.
    #[test]
    fn any_used_ring_is_survived(
        lies in proptest::collection::vec((0..2usize, any::<u16>(), any::<u16>(), 0..20_000u32), 1..40),
        by_index in any::<bool>(),
    ) {
        let features = if by_index { BASIC | EVENT_INDEX } else { BASIC };
        let model = model(features, &[8, 4]);
        let mut card = card(&model);
        for (queue, head, index, written) in lies {
            let _ = send(&mut card, &[1; 60]);
            card.flush();
            model.give(queue, (head % 12).into(), written);
            if index % 8 == 0 {
                model.claim_used(queue, index);
            }
            for _ in 0..8 {
                next(&mut card);
            }
            if fault(&mut card).is_some() {
                break;
            }
        }
    }
}
