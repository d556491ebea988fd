//! The driver against a model of the controller.

mod model;

use std::sync::{Arc, Mutex};

use i8042::{
    Controller, Counters, Fault, Keyboard, KeyboardStream, Lines, Mouse, Port, Receiver, RunEnd,
    StartError,
};
use model::{Defect, Line, Model};
use rt::{ByteSource, Clock, Closed, Pipe, PipeReader};
use testkit::Sim;

const SECOND: u64 = 1_000_000_000;

type Shared<T> = Arc<Mutex<Option<T>>>;

struct Machine {
    sim: Sim,
    model: Model,
    started: Shared<Result<Keyboard, StartError>>,
    controller: Shared<Arc<Controller<Model, Line>>>,
    end: Shared<RunEnd>,
    scancodes: Option<PipeReader<'static>>,
}

fn boot(defect: Defect, prepare: impl FnOnce(&Model)) -> Machine {
    boot_with_pipe::<64>(defect, prepare)
}

fn boot_with_pipe<const CAPACITY: usize>(defect: Defect, prepare: impl FnOnce(&Model)) -> Machine {
    let mut sim = Sim::new();
    let model = Model::new(sim.clock(), defect);
    prepare(&model);
    let pipe: &'static Pipe<CAPACITY> = Box::leak(Box::new(Pipe::new()));
    let (sink, source) = pipe.split().expect("first split");
    let (started, controller, end) = (Shared::default(), Shared::default(), Shared::default());
    let (a, b, c) = (started.clone(), controller.clone(), end.clone());
    let (ports, clock) = (model.clone(), sim.clock());
    sim.spawn("i8042", async move {
        let [keyboard, _] = ports.lines();
        let lines = Lines {
            keyboard,
            mouse: None,
        };
        match Controller::start(ports, lines, &clock).await {
            Err(error) => *a.lock().expect("free") = Some(Err(error)),
            Ok(controller) => {
                *a.lock().expect("free") = Some(Ok(controller.keyboard()));
                let controller = Arc::new(controller);
                *b.lock().expect("free") = Some(controller.clone());
                let why = controller.run(&KeyboardStream(sink)).await;
                *c.lock().expect("free") = Some(why);
            }
        }
    });
    sim.run();
    Machine {
        sim,
        model,
        started,
        controller,
        end,
        scancodes: Some(source),
    }
}

impl Machine {
    fn started(&self) -> Result<Keyboard, StartError> {
        self.started.lock().expect("free").expect("start ends")
    }

    fn counters(&self) -> Counters {
        self.controller
            .lock()
            .expect("free")
            .as_ref()
            .expect("started")
            .counters()
    }

    fn received(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        let mut buffer = [0; 7];
        loop {
            let count = self.scancodes.as_ref().expect("open").try_read(&mut buffer);
            all.extend_from_slice(&buffer[..count]);
            self.sim.run();
            if count == 0 {
                return all;
            }
        }
    }
}

#[test]
fn a_good_controller_starts_with_the_second_port_held_off() {
    for second_port in [0b00_0010, 0b10_0000, 0] {
        let machine = boot(Defect::None, |model| {
            let mut state = model.state();
            state.config = 0b0100_0001 | second_port;
            state.slowness_ticks = 300_000;
        });
        assert_eq!(machine.started(), Ok(Keyboard::Answered));
        let state = machine.model.state();
        assert_eq!(state.config, 0b0110_0001);
        assert!(state.keyboard_scans);
    }
}

#[test]
fn a_controller_that_forgets_its_configuration_starts() {
    let machine = boot(Defect::ForgetsConfigInSelfTest, |_| {});
    assert_eq!(machine.started(), Ok(Keyboard::Answered));
    assert_eq!(machine.model.state().config, 0b0110_0001);
}

#[test]
fn stale_bytes_are_thrown_away() {
    let mut machine = boot(Defect::None, |model| {
        for byte in 0..16 {
            model.arrive(byte, 0);
        }
    });
    assert_eq!(machine.started(), Ok(Keyboard::Answered));
    assert_eq!(machine.received(), []);
}

#[test]
fn each_fault_is_a_clear_error_within_seconds() {
    let cases = [
        (
            Defect::NoController,
            Fault::NothingThere,
            "no keyboard controller answers at port 0x64: the port reads 0xff; use the serial console",
        ),
        (
            Defect::NeverAccepts,
            Fault::NotAccepting { command: 0xad },
            "no keyboard controller answers at port 0x64: it did not take command 0xad in time; use the serial console",
        ),
        (
            Defect::NeverAnswers,
            Fault::NoAnswer { command: 0x20 },
            "no keyboard controller answers at port 0x64: command 0x20 got no answer in time; use the serial console",
        ),
        (
            Defect::AlwaysFull,
            Fault::NeverEmpty,
            "no keyboard controller answers at port 0x64: it never runs out of bytes to read; use the serial console",
        ),
        (
            Defect::FailsSelfTest,
            Fault::SelfTest { answer: 0xfc },
            "the keyboard controller at port 0x64 is faulty: its self test answered 0xfc instead of 0x55; use the serial console",
        ),
        (
            Defect::FailsPortTest,
            Fault::PortTest { answer: 1 },
            "the keyboard controller at port 0x64 is faulty: the test of the keyboard port answered 0x01 instead of 0; use the serial console",
        ),
    ];
    for (defect, fault, message) in cases {
        let machine = boot(defect, |_| {});
        let error = machine.started().expect_err("it is faulty");
        assert_eq!((error.fault, error.to_string().as_str()), (fault, message));
        assert!(machine.sim.clock().now_ticks() < 3 * SECOND);
        assert_eq!(machine.sim.unfinished(), [""; 0]);
    }
}

#[test]
fn a_missing_keyboard_is_no_fault() {
    let machine = boot(Defect::NoKeyboard, |_| {});
    assert_eq!(machine.started(), Ok(Keyboard::Silent));
    assert_eq!(machine.end.lock().expect("free").as_ref(), None);
}

#[test]
fn bytes_arrive_in_order_and_idle_is_silent() {
    let mut machine = boot(Defect::None, |_| {});
    let sent: Vec<u8> = (0..200).collect();
    let mut received = Vec::new();
    for burst in sent.chunks(16) {
        for byte in burst {
            machine.model.arrive(*byte, 0);
        }
        machine.sim.run();
        received.extend(machine.received());
    }
    assert_eq!(received, sent);
    // One is left of the firmware's configuration, which raised the line for the first answer.
    assert_eq!(machine.counters().spurious, 1);
    let polls = machine.sim.polls();
    machine.sim.run();
    assert_eq!(machine.sim.polls(), polls);
}

#[test]
fn a_full_reader_holds_the_controller_back() {
    let mut machine = boot_with_pipe::<4>(Defect::None, |_| {});
    for byte in 0..16 {
        machine.model.arrive(byte, 0);
    }
    machine.sim.run();
    assert_eq!(machine.counters().stalls, 1);
    assert_eq!(machine.received(), (0..16).collect::<Vec<u8>>());
}

#[test]
fn bytes_of_the_mouse_and_bad_bytes_do_not_block_the_keyboard() {
    let mut machine = boot(Defect::None, |_| {});
    machine.model.arrive(1, 0x80);
    machine.model.arrive(2, 0x20);
    machine.model.arrive(3, 0x40);
    machine.model.arrive(4, 0);
    machine.sim.run();
    assert_eq!(machine.received(), [4]);
    let counters = machine.counters();
    assert_eq!(
        (counters.second_port_bytes, counters.errors, counters.bytes),
        (1, 2, 1)
    );
}

#[test]
fn no_moment_for_a_byte_to_arrive_is_a_lost_edge() {
    for first in 0..12 {
        for gap in 0..8 {
            let mut machine = boot(Defect::None, |_| {});
            {
                let mut state = machine.model.state();
                let base = state.accesses;
                state.script = [(base + first, 1), (base + first + gap, 2)].into();
            }
            machine.model.arrive(0, 0);
            machine.sim.run();
            let mut received = machine.received();
            // What the script had left happens while the driver waits.
            let rest: Vec<_> = machine.model.state().script.drain(..).collect();
            for (_, byte) in rest {
                machine.model.arrive(byte, 0);
                machine.sim.run();
            }
            received.extend(machine.received());
            assert_eq!(received, [0, 1, 2], "first {first}, gap {gap}");
        }
    }
}

#[test]
fn a_controller_that_vanishes_or_a_closed_stream_ends_the_task() {
    let mut machine = boot(Defect::None, |_| {});
    machine.model.arrive(1, 0);
    machine.model.state().gone = true;
    machine.sim.run();
    assert_eq!(*machine.end.lock().expect("free"), Some(RunEnd::Vanished));

    let mut machine = boot(Defect::None, |_| {});
    machine.scancodes.take();
    machine.model.arrive(1, 0);
    machine.sim.run();
    assert_eq!(
        *machine.end.lock().expect("free"),
        Some(RunEnd::StreamClosed)
    );
}

/// Bytes with their ports and stamps, and how many more there is room for.
#[derive(Clone, Default)]
struct Taken(Arc<Mutex<Vec<(Port, u8, u64)>>>);

impl Receiver for Taken {
    fn try_take(&self, port: Port, byte: u8, stamp_ticks: u64) -> bool {
        self.0.lock().expect("free").push((port, byte, stamp_ticks));
        true
    }

    async fn room(&self) -> Result<(), Closed> {
        Ok(())
    }
}

fn boot_with_mouse(defect: Defect) -> (Sim, Model, Taken, Shared<Option<Mouse>>) {
    let mut sim = Sim::new();
    let model = Model::new(sim.clock(), defect);
    model.state().slowness_ticks = 100_000;
    let (taken, found) = (Taken::default(), Shared::default());
    let (ports, clock) = (model.clone(), sim.clock());
    let (receiver, out) = (taken.clone(), found.clone());
    sim.spawn("i8042", async move {
        let [keyboard, mouse] = ports.lines();
        let lines = Lines {
            keyboard,
            mouse: Some(mouse),
        };
        let controller = Controller::start(ports, lines, &clock).await.expect("good");
        assert_eq!(controller.keyboard(), Keyboard::Answered);
        *out.lock().expect("free") = Some(controller.mouse());
        controller.run(&receiver).await;
    });
    sim.run();
    (sim, model, taken, found)
}

#[test]
fn each_kind_of_mouse_is_found_and_a_bad_one_leaves_the_keyboard() {
    let cases = [
        (Defect::None, Some(Mouse::FiveButtons)),
        (Defect::WheelMouse, Some(Mouse::Wheel)),
        (Defect::OldMouse, Some(Mouse::Plain)),
        (Defect::NoMouse, None),
        (Defect::NoSecondPort, None),
        (Defect::DeafMouse, None),
    ];
    for (defect, mouse) in cases {
        let (mut sim, model, taken, found) = boot_with_mouse(defect);
        assert_eq!(*found.lock().expect("free"), Some(mouse), "{defect:?}");
        let state = model.state();
        assert_eq!(state.mouse_reports, mouse.is_some());
        let config = if mouse.is_some() {
            0b0100_0011
        } else {
            0b0110_0001
        };
        assert_eq!((state.config, state.keyboard_scans), (config, true));
        drop(state);
        model.arrive(0x1e, 0);
        sim.run();
        let got: Vec<u8> = taken
            .0
            .lock()
            .expect("free")
            .iter()
            .map(|got| got.1)
            .collect();
        assert_eq!(got, [0x1e]);
    }
}

#[test]
fn bytes_of_both_ports_come_in_order_with_the_ticks_of_their_interrupts() {
    let (mut sim, model, taken, _) = boot_with_mouse(Defect::None);
    let mut sent = Vec::new();
    for round in 0..40_u8 {
        for (port, flags) in [(Port::Second, 0x20), (Port::First, 0), (Port::Second, 0x20)] {
            sim.clock().advance(1000);
            model.arrive(round, flags);
            sent.push((port, round, sim.clock().now_ticks()));
            if round % 3 == 0 {
                sim.run();
            }
        }
        sim.run();
    }
    let taken = taken.0.lock().expect("free");
    let bytes = |all: &[(Port, u8, u64)]| all.iter().map(|got| (got.0, got.1)).collect::<Vec<_>>();
    assert_eq!(bytes(&taken), bytes(&sent));
    for ((_, byte, sent), (_, _, stamp)) in sent.iter().zip(taken.iter()) {
        // The bytes of a burst have the tick of one of its interrupts.
        let exact = byte % 3 == 0;
        assert!(
            !exact || stamp == sent,
            "{byte}: sent at {sent}, stamped {stamp}"
        );
        assert!(
            stamp + 3000 > *sent,
            "{byte}: sent at {sent}, stamped {stamp}"
        );
    }
}
