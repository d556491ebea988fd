//! The transport against a model of a device, well-behaved, faulty and hostile.

mod model;

use std::sync::{Arc, Mutex};

use model::{Defect, Model, Taken};
use proptest::prelude::*;
use testkit::{Sim, block_on};
use virtio::input::{Axis, Event, Input};
use virtio::{Broken, Buffer, Device, Fault, Queue};

fn start(model: &Model, wanted: u64) -> Result<Device<Model>, Fault> {
    let (model, clock) = (model.clone(), Sim::new().clock());
    // The clock's executor does not run: only a device that never resets would wait for it.
    block_on(async move { Device::start(model, wanted, &clock).await })
}

fn queue(model: &Model, most: u16) -> (Device<Model>, Queue<Model>) {
    let device = start(model, 0).expect("good");
    let queue = device.queue(0, most, 1).expect("there");
    device.go();
    (device, queue)
}

#[test]
fn a_device_is_reset_agreed_with_and_let_go() {
    let model = Model::new(Defect::None, &[64, 8]);
    let device = start(&model, 0b1100).expect("good");
    assert_eq!(device.features(), 1 << 32 | 0b100);
    let queue = device.queue(1, 100, 1).expect("there");
    assert_eq!((queue.size(), queue.free()), (8, 8));
    assert!(matches!(device.queue(2, 8, 1), Err(Fault::NoQueue(2))));
    assert!(matches!(device.queue(0, 8, 99), Err(Fault::NoInterrupt)));
    device.go();
    let state = model.state();
    assert_eq!(state.statuses, [0, 1, 3, 11, 15]);
    assert_eq!(state.agreed, 1 << 32 | 0b100);
    assert!(state.queues[1].enabled && !state.queues[0].enabled);
}

#[test]
fn each_fault_is_an_error() {
    let cases = [
        (
            Defect::NoCapabilities,
            Some(Fault::NoRegisters("it has no PCI capabilities")),
        ),
        (
            Defect::NoCommon,
            Some(Fault::NoRegisters("the common ones are missing")),
        ),
        (Defect::EndlessCapabilities, None),
        (
            Defect::OutsideOfWindow,
            Some(Fault::NoRegisters("they lie outside of their window")),
        ),
        (Defect::Legacy, Some(Fault::Legacy)),
        (Defect::RefusesFeatures, Some(Fault::Features)),
    ];
    for (defect, fault) in cases {
        let model = Model::new(defect, &[8]);
        assert_eq!(start(&model, 0).err(), fault, "{defect:?}");
    }
    for (defect, fault) in [
        (Defect::NoVectors, Fault::NoInterrupt),
        (
            Defect::NotifyOutside,
            Fault::NoRegisters("a queue is notified outside of their window"),
        ),
    ] {
        let model = Model::new(defect, &[8, 8]);
        let device = start(&model, 0).expect("starts");
        assert_eq!(device.queue(1, 8, 1).err(), Some(fault));
    }
    let model = Model::new(Defect::Unsteady, &[8]);
    let device = start(&model, 0).expect("starts");
    assert_eq!(device.own().read(0, &mut [0; 4]), Err(Fault::Unsteady));
    assert!(matches!(
        device.own().read(0x100, &mut [0]),
        Err(Fault::NoRegisters(_))
    ));
}

#[test]
fn a_device_that_never_resets_is_given_up() {
    let mut sim = Sim::new();
    let model = Model::new(Defect::NeverResets, &[8]);
    let end = Arc::new(Mutex::new(None));
    let (out, clock) = (end.clone(), sim.clock());
    sim.spawn("start", async move {
        let started = Device::start(model, 0, &clock).await;
        *out.lock().expect("free") = Some(started.err());
    });
    sim.run();
    assert_eq!(*end.lock().expect("free"), Some(Some(Fault::NoReset)));
}

fn buffer(address: u64, bytes: u32, device_writes: bool) -> Buffer {
    Buffer {
        address,
        bytes,
        device_writes,
    }
}

#[test]
fn indices_wrap_and_the_device_is_notified() {
    let model = Model::new(Defect::None, &[4]);
    let (_device, mut queue) = queue(&model, 4);
    for round in 0..66_000_u32 {
        let parts = [buffer(0, 7, false), buffer(8, round, true)];
        queue.add(&parts, round).expect("room");
        let chain = model.take(0).expect("available");
        assert_eq!(chain.parts, [(0, 7, false), (8, round, true)]);
        model.give(0, chain.head.into(), round);
        let used = queue.try_next().expect("good").expect("used");
        assert_eq!((used.cookie, used.written), (round, round));
    }
    assert_eq!((queue.free(), queue.try_next()), (4, Ok(None)));
    queue.notify();
    assert_eq!(model.state().notified, [0]);
    assert!(queue.add(&[], 0).is_err());
    assert!(queue.add(&[buffer(0, 1, false); 5], 0).is_err());
}

#[test]
fn what_no_device_does_breaks_the_queue() {
    let cases: [(u32, u32, Broken); 3] = [
        (3, 0, Broken::Head(3)),
        (u32::MAX, 0, Broken::Head(u32::MAX)),
        (0, 9, Broken::Length(9)),
    ];
    for (head, written, broken) in cases {
        let model = Model::new(Defect::None, &[8]);
        let (_device, mut queue) = queue(&model, 8);
        queue.add(&[buffer(0, 8, true)], 1).expect("room");
        model.give(0, head, written);
        assert_eq!(queue.try_next(), Err(broken));
    }
    let model = Model::new(Defect::None, &[8]);
    let (_device, mut queue) = queue(&model, 8);
    queue.add(&[buffer(0, 8, true)], 1).expect("room");
    model.claim_used(0, 2);
    assert_eq!(queue.try_next(), Err(Broken::Index));
}

#[test]
fn waiting_is_ended_by_interrupts_alone() {
    let mut sim = Sim::new();
    let model = Model::new(Defect::None, &[8]);
    let (device, mut queue) = queue(&model, 8);
    for cookie in 0..8 {
        queue.add(&[buffer(0, 8, true)], cookie).expect("room");
    }
    let seen = Arc::new(Mutex::new(Vec::new()));
    let out = seen.clone();
    sim.spawn("driver", async move {
        while let Ok(used) = queue.next().await {
            out.lock()
                .expect("free")
                .push((used.cookie, used.stamp_ticks));
        }
        drop(device);
    });
    sim.run();
    let polls = sim.polls();
    sim.run();
    assert_eq!(sim.polls(), polls);
    let mut expected = Vec::new();
    for round in 1..=4 {
        for _ in 0..2 {
            let chain = model.take(0).expect("available");
            model.give(0, chain.head.into(), 0);
        }
        sim.run();
        // Both of a round came before the driver ran, so they share a stamp.
        expected.extend([
            (2 * round - 2, 2 * u64::from(round)),
            (2 * round - 1, 2 * u64::from(round)),
        ]);
        assert_eq!(*seen.lock().expect("free"), expected);
    }
}

#[test]
fn an_input_device_says_what_it_is_and_what_happens() {
    let mut sim = Sim::new();
    let model = Model::new(Defect::None, &[16, 16]);
    model.state().answers = vec![
        ((0x01, 0), b"A tablet".to_vec()),
        ((0x11, 3), vec![3]),
        (
            (0x12, 0),
            [0_u32, 0x7fff, 0, 0, 0]
                .iter()
                .flat_map(|n| n.to_le_bytes())
                .collect(),
        ),
    ];
    let (function, clock) = (model.clone(), sim.clock());
    let seen: Arc<Mutex<Vec<Event>>> = Arc::default();
    let out = seen.clone();
    sim.spawn("driver", async move {
        let mut input = Input::start(function, &clock).await.expect("good");
        assert_eq!(input.name(), Ok(b"A tablet".to_vec()));
        assert_eq!(
            (input.has_events(3), input.has_events(2)),
            (Ok(true), Ok(false))
        );
        assert_eq!(
            input.axis(0),
            Ok(Some(Axis {
                min: 0,
                max: 0x7fff
            }))
        );
        assert_eq!(input.axis(1), Ok(None));
        while let Ok(event) = input.next().await {
            out.lock().expect("free").push(event);
        }
    });
    sim.run();
    for number in 0..100_u32 {
        let chain = model.take(0).expect("there is always a place");
        let (address, bytes, writes) = chain.parts[0];
        assert_eq!((bytes, writes), (8, true));
        let mut event = vec![3, 0, 1, 0];
        event.extend(number.to_le_bytes());
        model.write(address, &event);
        model.give(0, chain.head.into(), 8);
        if number % 5 == 0 {
            sim.run();
        }
    }
    sim.run();
    let seen = seen.lock().expect("free");
    let values: Vec<u32> = seen.iter().map(|event| event.value).collect();
    assert_eq!(values, (0..100).collect::<Vec<_>>());
    assert!(seen.iter().all(|event| (event.kind, event.code) == (3, 1)));
    drop(seen);
    // An event of another length ends it.
    let chain = model.take(0).expect("a place");
    model.give(0, chain.head.into(), 7);
    sim.run();
    assert_eq!(sim.unfinished(), [""; 0]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn chains_come_back_in_any_order(steps in proptest::collection::vec((0_u8..3, 1_usize..6, any::<prop::sample::Index>()), 1..300)) {
        let model = Model::new(Defect::None, &[16]);
        let (_device, mut queue) = queue(&model, 16);
        let (mut taken, mut cookie) = (Taken::new(), 0_u32);
        let (mut added, mut given, mut got) = (Vec::new(), Vec::new(), Vec::new());
        for (step, len, which) in steps {
            match step {
                0 => {
                    let parts: Vec<_> = (0..len as u32).map(|part| buffer(u64::from(cookie), part, part > 1)).collect();
                    let fits = len <= usize::from(queue.free());
                    prop_assert_eq!(queue.add(&parts, cookie).is_ok(), fits);
                    if fits {
                        added.push(cookie);
                        taken.extend(model.take(0));
                    }
                    cookie += 1;
                }
                1 if !taken.is_empty() => {
                    let chain = taken.remove(which.index(taken.len())).expect("in it");
                    given.push(chain.parts[0].0 as u32);
                    model.give(0, chain.head.into(), 0);
                }
                _ => got.extend(queue.try_next().expect("good").map(|used| used.cookie)),
            }
        }
        for chain in taken {
            given.push(chain.parts[0].0 as u32);
            model.give(0, chain.head.into(), 0);
        }
        while let Some(used) = queue.try_next().expect("good") {
            got.push(used.cookie);
        }
        prop_assert_eq!(&got, &given);
        got.sort_unstable();
        prop_assert_eq!(got, added);
        prop_assert_eq!(queue.free(), 16);
    }

    #[test]
    fn any_used_ring_is_survived(garbage in proptest::collection::vec((any::<u32>(), any::<u32>(), any::<u16>(), any::<bool>()), 1..40)) {
        let model = Model::new(Defect::None, &[8]);
        let (_device, mut queue) = queue(&model, 8);
        for cookie in 0..8 {
            queue.add(&[buffer(0, 8, true)], cookie).expect("room");
        }
        for (head, written, index, sane) in garbage {
            if sane {
                model.give(0, head % 9, written % 10);
            } else {
                model.claim_used(0, index);
            }
            match queue.try_next() {
                Ok(Some(used)) => prop_assert!(used.cookie < 8 && used.written <= 8),
                Ok(None) => {}
                Err(_) => break,
            }
            prop_assert!(queue.free() <= 8);
        }
    }
}
