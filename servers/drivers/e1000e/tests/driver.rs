//! The driver against a model of a card.

mod model;

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use e1000e::registers::{received, register};
use e1000e::{E1000e, Fault, start};
use model::{Defect, MAC, Model};
use nic::{Card, Checked, Frame, Mac, Receive, SendError, Transmit};
use proptest::prelude::*;
use testkit::{Sim, TICKS_PER_SECOND};

const END: u8 = received::END;
/// Slots that the card has at most, received into or sent from.
const MOST: usize = 255;

fn begin(model: &Model) -> Result<E1000e<Model>, Fault> {
    let mut sim = Sim::new();
    let (clock, model) = (sim.clock(), model.clone());
    let slot = std::sync::Arc::new(std::sync::Mutex::new(None));
    let result = slot.clone();
    sim.spawn("start", async move {
        let started = start(model, &clock).await;
        *result.lock().expect("free") = Some(started);
    });
    sim.run();
    use rt::Clock;
    assert!(
        sim.clock().now_ticks() < TICKS_PER_SECOND,
        "a second is long"
    );
    slot.lock().expect("free").take().expect("it ends")
}

fn card(model: &Model) -> E1000e<Model> {
    begin(model).expect("starts")
}

fn ready(card: &mut E1000e<Model>) -> Option<Result<(), Fault>> {
    match pin!(card.ready()).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

fn is_ready(card: &mut E1000e<Model>) -> bool {
    ready(card).is_some_and(|ready| {
        ready.expect("no fault");
        true
    })
}

fn send(card: &mut E1000e<Model>, content: &[u8]) -> Result<(), SendError> {
    let (_, to) = card.halves();
    to.send(content.len(), |bytes| bytes.copy_from_slice(content))
}

fn next(card: &mut E1000e<Model>) -> Option<Vec<u8>> {
    let (from, _) = card.halves();
    from.next().map(|frame| frame.bytes().to_vec())
}

#[test]
fn frames_go_both_ways_many_times_around_the_rings() {
    let model = Model::new(Defect::None);
    let mut card = card(&model);
    assert_eq!(card.about().mac, Mac(MAC));
    assert!(card.link_is_up());
    for round in 0..1000u32 {
        assert!(!is_ready(&mut card));
        let content = [round as u8; 70];
        assert!(model.arrive(&content, END, 0));
        assert!(is_ready(&mut card));
        let (from, to) = card.halves();
        let frame = from.next().expect("a frame");
        to.send(70, |bytes| bytes.copy_from_slice(frame.bytes()))
            .expect("room");
        drop(frame);
        assert!(from.next().is_none());
        card.flush();
        assert_eq!(model.leave(), Some(content.to_vec()));
    }
    let counters = card.counters();
    assert_eq!(
        (counters.received_frames, counters.sent_frames),
        (1000, 1000)
    );
    assert_eq!((counters.dropped_bad, counters.refused_full), (0, 0));
    let [received, sent] = model.state().tails;
    assert!(received < 100, "{received} times the card was told");
    assert_eq!(sent, 1001, "the start, and once a round");
}

#[test]
fn who_is_awake_is_not_interrupted() {
    let model = Model::new(Defect::None);
    let mut card = card(&model);
    assert!(!is_ready(&mut card));
    for _ in 0..5 {
        assert!(model.arrive(&[1; 60], END, 0));
    }
    assert_eq!(model.pending(0), 1, "one is enough");
    assert!(is_ready(&mut card));
    while next(&mut card).is_some() {
        if card.counters().received_frames < 20 {
            assert!(model.arrive(&[2; 60], END, 0));
        }
    }
    assert_eq!(model.pending(0), 1, "it is awake");
    assert!(!is_ready(&mut card), "what is left pending is no frame");
    assert_eq!(model.pending(0), 0, "nor is what was pending in the card");
    assert!(model.arrive(&[3; 60], END, 0));
    assert!(model.pending(0) == 1 && is_ready(&mut card));
}

#[test]
fn the_card_fills_all_slots_but_one_and_gets_them_back() {
    let model = Model::new(Defect::None);
    let mut card = card(&model);
    for _ in 0..3 {
        let mut count = 0;
        while model.arrive(&[count as u8; 60], END, 0) {
            count += 1;
        }
        assert!(count >= MOST - 15);
        for n in 0..count {
            assert_eq!(next(&mut card), Some(vec![n as u8; 60]));
        }
        assert_eq!(next(&mut card), None);
        card.flush();
    }
    assert!(!is_ready(&mut card));
    model.set_link(false);
    assert!(is_ready(&mut card));
    assert_eq!(card.counters().dropped_no_buffer, 3);
}

#[test]
fn room_is_waited_for_only_when_there_is_none() {
    let model = Model::new(Defect::None);
    let mut card = card(&model);
    for n in 0..MOST {
        assert_eq!(send(&mut card, &[n as u8; 60]), Ok(()));
    }
    card.flush();
    assert_eq!(send(&mut card, &[9; 60]), Err(SendError::Full));
    // Frames wait as well, as they could not be answered.
    assert!(model.arrive(&[1; 60], END, 0));
    assert!(!is_ready(&mut card));
    assert_eq!(model.leave(), Some(vec![0; 60]));
    assert_eq!(model.pending(1), 1);
    assert!(is_ready(&mut card) && next(&mut card).is_some());
    assert_eq!(send(&mut card, &[5; 60]), Ok(()));
    card.flush();
    while model.leave().is_some() {}
    assert!(!is_ready(&mut card), "nobody waits for room now");
    assert_eq!(send(&mut card, &[0; 13]), Err(SendError::Length));
    assert_eq!(send(&mut card, &[0; 1515]), Err(SendError::Length));
    assert_eq!(send(&mut card, &[7; 1514]), Ok(()));
}

#[test]
fn the_link_is_news_and_its_loss_too() {
    let model = Model::new(Defect::None);
    let mut card = card(&model);
    for is_up in [false, true, false] {
        assert!(!is_ready(&mut card));
        model.set_link(is_up);
        assert!(is_ready(&mut card));
        assert_eq!(card.link_is_up(), is_up);
    }
    model.set_link(false);
    assert!(!is_ready(&mut card), "no news");
    model.vanish();
    assert_eq!(ready(&mut card), Some(Err(Fault::Gone)));
}

#[test]
fn checksums_are_believed_where_they_were_checked() {
    let (ip, tcp, udp) = (received::IPV4, received::PAYLOAD, received::UDP);
    let (no, bad_ip, bad_tcp) = (
        received::NO_CHECKSUMS,
        received::BAD_IPV4,
        received::BAD_PAYLOAD,
    );
    for (status, errors, ipv4, payload) in [
        (0, 0, false, false),
        (ip, 0, true, false),
        (ip | tcp, 0, true, true),
        (ip | udp, 0, true, true),
        (ip | tcp, bad_tcp, true, false),
        (ip | tcp, bad_ip, false, true),
        (ip | tcp | no, 0, false, false),
    ] {
        let model = Model::new(Defect::None);
        let mut card = card(&model);
        assert!(model.arrive(&[1; 60], END | status, errors));
        let (from, _) = card.halves();
        let checked = from.next().expect("it is passed on").checked();
        assert_eq!(checked, Checked { ipv4, payload });
    }
}

#[test]
fn damaged_short_and_long_frames_are_dropped() {
    let model = Model::new(Defect::None);
    let mut card = card(&model);
    assert!(model.arrive(&[1; 60], END, 1), "a wrong check sequence");
    assert!(model.arrive(&[1; 13], END, 0), "too short");
    assert!(model.arrive(&[1; 1515], END, 0), "too long");
    // In three parts.
    assert!(model.arrive(&[1; 2048], 0, 0));
    assert!(model.arrive(&[1; 2048], 0, 0));
    assert!(model.arrive(&[1; 100], END, 0));
    assert!(model.arrive(&[2; 60], END, 0));
    assert_eq!(next(&mut card), Some(vec![2; 60]));
    assert_eq!(next(&mut card), None);
    assert_eq!(card.counters().dropped_bad, 4);
}

#[test]
fn a_card_that_lies_is_given_up() {
    let model = Model::new(Defect::None);
    let mut card = card(&model);
    assert!(model.arrive_as(&[1; 60], 2049, END, 0));
    assert_eq!(next(&mut card), None);
    assert_eq!(ready(&mut card), Some(Err(Fault::Length(2049))));
}

#[test]
fn a_card_that_does_not_start_is_named() {
    for (defect, fault) in [
        (Defect::FewMessages, Fault::Messages(1)),
        (Defect::ShortWindow, Fault::Window),
        (Defect::NeverResets, Fault::NoReset),
        (Defect::NoAddress, Fault::NoAddress),
        (Defect::Gone, Fault::Gone),
    ] {
        assert_eq!(begin(&Model::new(defect)).err(), Some(fault), "{defect:?}");
    }
}

#[test]
fn dropped_it_is_stopped() {
    let model = Model::new(Defect::None);
    let card = card(&model);
    assert!(model.register(register::RCTL) & 2 != 0);
    drop(card);
    assert_eq!(model.register(register::RCTL) & 2, 0);
    assert_eq!(model.register(register::TCTL) & 2, 0);
    assert!(!model.arrive(&[1; 60], END, 0));
    model.set_link(false);
    assert_eq!((0..5).map(|message| model.pending(message)).sum::<u32>(), 0);
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
        3 => any::<u8>().prop_map(Step::Arrive),
        1 => Just(Step::Leave),
        2 => Just(Step::Ready),
        2 => Just(Step::Next),
        4 => any::<u8>().prop_map(Step::Send),
        1 => Just(Step::Flush),
    ];
    proptest::collection::vec(step, 0..900)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever the order of steps, frames arrive in order and whole, and who sleeps is woken when there is something.
    #[test]
    fn no_frame_and_no_wake_is_lost(steps in steps()) {
        let model = Model::new(Defect::None);
        let mut card = card(&model);
        let (mut incoming, mut outgoing) = (Vec::new(), Vec::new());
        let (mut got, mut left) = (Vec::new(), Vec::new());
        let (mut sleeps, mut wants_room) = (false, false);
        for step in steps {
            match step {
                Step::Arrive(n) => {
                    if model.arrive(&[n; 60], END, 0) {
                        incoming.push(vec![n; 60]);
                        prop_assert!(!sleeps || wants_room || model.pending(0) > 0, "a sleeper is not woken");
                    }
                }
                Step::Leave => {
                    if let Some(frame) = model.leave() {
                        left.push(frame);
                        prop_assert!(!sleeps || !wants_room || model.pending(1) > 0, "a sender is not woken");
                    }
                }
                Step::Ready => {
                    let waiting = !wants_room && incoming.len() > got.len();
                    let ready = is_ready(&mut card);
                    prop_assert!(!waiting || ready);
                    sleeps = !ready;
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
                            prop_assert!(outgoing.len() >= left.len() + MOST);
                            wants_room = true;
                        }
                    }
                }
                Step::Flush => card.flush(),
            }
        }
        card.flush();
        got.extend(std::iter::from_fn(|| next(&mut card)));
        left.extend(std::iter::from_fn(|| model.leave()));
        prop_assert_eq!(got, incoming);
        prop_assert_eq!(left, outgoing);
    }
}
