//! The driver against a register-level model of its chip.

mod model;

use std::sync::{Arc, Mutex};

use model::{Masking, Model, Wire};
use proptest::prelude::*;
use rt::{ByteSink, ByteSource, Clock, Pipe, PipeReader, PipeWriter};
use testkit::Sim;
use uart16550::{Config, RunEnd, Uart, UartError};

const CONFIG: Config = Config {
    base_port: 0x3f8,
    baud: 115_200,
};
/// One byte on the wire at 115 200 bits/s: ten bits.
const BYTE_TIME_TICKS: u64 = 86_805;

struct Bench {
    sim: Sim,
    model: Model,
    uart: Arc<Uart<Model, Model>>,
    from_wire: Option<PipeReader<'static>>,
    to_wire: Option<PipeWriter<'static>>,
    end: Arc<Mutex<Option<RunEnd>>>,
}

fn bench<const CAPACITY: usize>(model: Model) -> Bench {
    let pipe: &'static Pipe<CAPACITY> = Box::leak(Box::new(Pipe::new()));
    let (received, from_wire) = pipe.split().expect("first split");
    let pipe: &'static Pipe<CAPACITY> = Box::leak(Box::new(Pipe::new()));
    let (to_wire, to_send) = pipe.split().expect("first split");
    let uart = Uart::probe(model.clone(), model.clone(), CONFIG).expect("the model is a 16550");
    let uart = Arc::new(uart);
    let end = Arc::new(Mutex::new(None));
    let mut sim = Sim::new();
    let (driver, result) = (uart.clone(), end.clone());
    sim.spawn("uart", async move {
        let why = driver.run(&received, &to_send).await;
        *result.lock().expect("not poisoned") = Some(why);
    });
    Bench {
        sim,
        model,
        uart,
        from_wire: Some(from_wire),
        to_wire: Some(to_wire),
        end,
    }
}

impl Bench {
    /// Collects what the driver received.
    fn collect(&mut self) -> Arc<Mutex<Vec<u8>>> {
        let collected = Arc::new(Mutex::new(Vec::new()));
        let (copy, source) = (collected.clone(), self.from_wire.take().expect("once"));
        self.sim.spawn("reader", async move {
            let mut buffer = [0; 64];
            loop {
                let count = source.read(&mut buffer).await;
                if count == 0 {
                    return;
                }
                copy.lock()
                    .expect("not poisoned")
                    .extend_from_slice(&buffer[..count]);
            }
        });
        collected
    }

    /// A sender without flow control, at the rate of the wire.
    fn send_at_wire_rate(&mut self, bytes: Vec<u8>) {
        let (clock, model) = (self.sim.clock(), self.model.clone());
        self.sim.spawn("wire in", async move {
            for byte in bytes {
                clock.sleep_until(clock.now_ticks() + BYTE_TIME_TICKS).await;
                model.chip().happen(Wire::Byte(byte));
            }
        });
    }

    /// The other end of the wire takes bytes at its rate: the FIFO empties as a whole.
    fn transmit_at_wire_rate(&mut self) {
        let (clock, model) = (self.sim.clock(), self.model.clone());
        self.sim.spawn("wire out", async move {
            loop {
                clock
                    .sleep_until(clock.now_ticks() + 16 * BYTE_TIME_TICKS)
                    .await;
                model.chip().happen(Wire::Sent);
            }
        });
    }
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length)
        .map(|index| (index * 7 + index / 251) as u8)
        .collect()
}

#[test]
fn no_chip_is_a_clear_error() {
    let model = Model::new(Masking::Remember);
    model.chip().present = false;
    let error = Uart::probe(model.clone(), model, CONFIG)
        .err()
        .expect("nothing answers");
    assert_eq!(error, UartError::Absent { base_port: 0x3f8 });
    assert!(
        error
            .to_string()
            .starts_with("no serial port answers at port 0x3f8")
    );
}

#[test]
fn an_impossible_rate_is_a_clear_error() {
    for baud in [0, 1, 3_000_000, 100_000] {
        let model = Model::new(Masking::Remember);
        let config = Config { baud, ..CONFIG };
        assert_eq!(
            Uart::probe(model.clone(), model, config).err(),
            Some(UartError::Baud { baud })
        );
    }
}

#[test]
fn the_divisor_is_set() {
    let model = Model::new(Masking::Remember);
    let config = Config {
        baud: 9600,
        ..CONFIG
    };
    assert!(Uart::probe(model.clone(), model.clone(), config).is_ok());
    assert_eq!(model.chip().divisor, [12, 0]);
}

#[test]
fn a_burst_of_500_bytes_arrives_complete_and_in_order() {
    for masking in [Masking::Remember, Masking::UntilAck] {
        let mut bench = bench::<64>(Model::new(masking));
        let collected = bench.collect();
        bench.send_at_wire_rate(pattern(500));
        bench.sim.run();
        assert_eq!(*collected.lock().expect("not poisoned"), pattern(500));
        let counters = bench.uart.counters();
        assert_eq!(
            (counters.received, counters.overruns, counters.stalls),
            (500, 0, 0)
        );
        assert!(counters.spurious <= 1, "{counters:?}");
    }
}

#[test]
fn a_long_message_is_sent_complete_and_in_order() {
    let mut bench = bench::<64>(Model::new(Masking::UntilAck));
    bench.transmit_at_wire_rate();
    let sink = bench.to_wire.take().expect("once");
    bench.sim.spawn("writer", async move {
        assert!(sink.write_all(&pattern(1000)).await.is_ok());
        std::future::pending::<()>().await;
    });
    bench.sim.run_until(10_000_000_000);
    assert_eq!(bench.model.chip().sent, pattern(1000));
    assert_eq!(bench.uart.counters().sent, 1000);
    assert!(
        bench.uart.counters().interrupts <= 1000 / 16 + 3,
        "{:?}",
        bench.uart.counters()
    );
}

/// An emulated chip has sent each byte when the write returns.
#[test]
fn a_chip_that_sends_at_once_needs_no_interrupts() {
    let mut bench = bench::<64>(Model::new(Masking::Remember));
    bench.model.chip().instant_transmit = true;
    let sink = bench.to_wire.take().expect("once");
    bench.sim.spawn("writer", async move {
        assert!(sink.write_all(&pattern(1000)).await.is_ok());
        std::future::pending::<()>().await;
    });
    bench.sim.run();
    assert_eq!(bench.model.chip().sent, pattern(1000));
    assert_eq!(bench.uart.counters().interrupts, 0);
}

#[test]
fn an_idle_port_is_silent() {
    let mut bench = bench::<64>(Model::new(Masking::Remember));
    bench.sim.run();
    let polls = bench.sim.polls();
    bench.sim.clock().advance(1_000_000_000);
    bench.sim.run();
    assert_eq!(bench.sim.polls(), polls);
}

#[test]
fn a_full_reader_holds_the_wire_back_and_loses_nothing() {
    let mut bench = bench::<16>(Model::new(Masking::UntilAck));
    let (clock, model) = (bench.sim.clock(), bench.model.clone());
    bench.sim.spawn("wire in, with flow control", async move {
        for byte in pattern(300) {
            while !model.chip().can_receive() {
                clock.sleep(1_000_000).await;
            }
            model.chip().happen(Wire::Byte(byte));
        }
    });
    bench.sim.run_until(1_000_000_000);
    assert_eq!(bench.uart.counters().stalls, 1);
    let collected = bench.collect();
    bench.sim.run_until(20_000_000_000);
    assert_eq!(*collected.lock().expect("not poisoned"), pattern(300));
    assert_eq!(bench.uart.counters().overruns, 0);
}

#[test]
fn a_sender_that_ignores_a_full_reader_overruns_and_it_is_counted() {
    let mut bench = bench::<16>(Model::new(Masking::Remember));
    bench.send_at_wire_rate(pattern(100));
    bench.sim.run();
    let collected = bench.collect();
    bench.sim.run();
    // 16 in the pipe, one held by the driver, 16 in the chip.
    assert_eq!(*collected.lock().expect("not poisoned"), pattern(33));
    assert!(bench.uart.counters().overruns >= 1);
}

#[test]
fn line_errors_are_counted_and_a_break_is_no_byte() {
    let mut bench = bench::<64>(Model::new(Masking::Remember));
    let collected = bench.collect();
    bench.sim.run();
    for event in [
        Wire::Bad(1, 1 << 2),
        Wire::Bad(2, 1 << 3),
        Wire::Bad(0, 1 << 4),
        Wire::Byte(3),
    ] {
        bench.model.chip().happen(event);
    }
    bench.sim.run();
    assert_eq!(*collected.lock().expect("not poisoned"), [1, 2, 3]);
    let counters = bench.uart.counters();
    assert_eq!(
        (
            counters.parity_errors,
            counters.framing_errors,
            counters.breaks
        ),
        (1, 1, 1)
    );
}

#[test]
fn a_chip_without_fifos_is_fed_one_byte_at_a_time() {
    let model = Model::new(Masking::Remember);
    model.chip().fifo_works = false;
    let mut bench = bench::<64>(model);
    assert_eq!(bench.uart.fifo_bytes(), 1);
    bench.transmit_at_wire_rate();
    let sink = bench.to_wire.take().expect("once");
    bench.sim.spawn("writer", async move {
        assert!(sink.write_all(&pattern(40)).await.is_ok());
        std::future::pending::<()>().await;
    });
    bench.sim.run_until(10_000_000_000);
    assert_eq!(bench.model.chip().sent, pattern(40));
}

#[test]
fn a_chip_that_vanishes_ends_the_task() {
    let mut bench = bench::<64>(Model::new(Masking::Remember));
    bench.sim.run();
    bench.model.chip().happen(Wire::Byte(1));
    bench.model.chip().present = false;
    bench.sim.run();
    assert_eq!(
        *bench.end.lock().expect("not poisoned"),
        Some(RunEnd::Vanished)
    );
}

#[test]
fn closed_streams_end_the_task_and_a_second_task_is_refused() {
    let mut bench = bench::<64>(Model::new(Masking::Remember));
    bench.sim.run();
    let uart = bench.uart.clone();
    let second = Arc::new(Mutex::new(None));
    let result = second.clone();
    let pipe: &'static Pipe<16> = Box::leak(Box::new(Pipe::new()));
    bench.sim.spawn("second", async move {
        let (sink, source) = pipe.split().expect("first split");
        *result.lock().expect("not poisoned") = Some(uart.run(&sink, &source).await);
    });
    bench.sim.run();
    assert_eq!(
        *second.lock().expect("not poisoned"),
        Some(RunEnd::AlreadyRunning)
    );
    bench.from_wire.take();
    bench.to_wire.take();
    bench.model.chip().happen(Wire::Byte(1));
    bench.sim.run();
    assert_eq!(
        *bench.end.lock().expect("not poisoned"),
        Some(RunEnd::StreamsClosed)
    );
}

/// Runs a script of wire events at given register accesses; afterwards everything must have moved.
fn run_script(masking: Masking, mut at: Vec<usize>, to_send: usize) {
    at.sort_unstable();
    let mut bench = bench::<256>(Model::new(masking));
    let collected = bench.collect();
    let sink = bench.to_wire.take().expect("once");
    bench.sim.spawn("writer", async move {
        assert!(sink.write_all(&pattern(to_send)).await.is_ok());
        std::future::pending::<()>().await;
    });
    let base = bench.model.chip().accesses;
    let mut bytes = pattern(at.len()).into_iter();
    let script = at.iter().enumerate().map(|(index, at)| {
        let event = if index % 3 == 2 {
            Wire::Sent
        } else {
            Wire::Byte(bytes.next().unwrap_or(0))
        };
        (base + at, event)
    });
    let script: Vec<_> = script.collect();
    let expected: Vec<u8> = script
        .iter()
        .filter_map(|(_, event)| {
            if let Wire::Byte(byte) = event {
                Some(*byte)
            } else {
                None
            }
        })
        .collect();
    bench.model.chip().script = script.into();
    // Time passes: what is left of the script happens while the driver waits.
    loop {
        bench.sim.run();
        let next = bench.model.chip().script.pop_front();
        let busy = bench.model.chip().transmitting();
        match next {
            Some((_, event)) => bench.model.chip().happen(event),
            None if busy => bench.model.chip().happen(Wire::Sent),
            None => break,
        }
    }
    assert_eq!(
        bench.model.chip().overran,
        0,
        "the script keeps within the FIFO"
    );
    assert_eq!(*collected.lock().expect("not poisoned"), expected);
    assert_eq!(bench.model.chip().sent, pattern(to_send));
}

/// A byte at each single register access of a run, with a second one soon after: the windows
/// between the look at IIR, the acknowledgement and the wait among them.
#[test]
fn no_moment_for_a_byte_to_arrive_is_a_lost_edge() {
    for masking in [Masking::Remember, Masking::UntilAck] {
        for first in 0..60 {
            for gap in 0..12 {
                run_script(masking, vec![first, first + gap], 20);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn any_interleaving_moves_every_byte(
        at in proptest::collection::vec(0usize..200, 0..24),
        to_send in 0usize..80,
        mask in any::<bool>(),
    ) {
        // No more than a FIFO's worth can arrive between two accesses: spread equal moments out.
        let masking = if mask { Masking::UntilAck } else { Masking::Remember };
        let mut at = at;
        at.sort_unstable();
        for index in 1..at.len() {
            at[index] = at[index].max(at[index - 1] + 2);
        }
        run_script(masking, at, to_send);
    }
}
