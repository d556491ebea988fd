//! The pipe: order, back-pressure, closing, and two threads at it.

use std::sync::{Arc, Mutex};
use std::thread;

use proptest::prelude::*;
use rt::race::only_if;
use rt::{
    ByteSink, ByteSource, Clock, Closed, Either, Either3, Pipe, PipeReader, PipeWriter, first,
    first_of_3, yield_now,
};
use testkit::{Sim, block_on};

fn pipe<const CAPACITY: usize>() -> (PipeWriter<'static>, PipeReader<'static>) {
    let pipe: &'static Pipe<CAPACITY> = Box::leak(Box::new(Pipe::new()));
    pipe.split().expect("first split")
}

/// A pipe fits a static.
static STATIC: Pipe<16> = Pipe::new();

#[test]
fn the_ends_are_handed_out_once() {
    assert!(STATIC.split().is_ok());
    let error = STATIC.split().err().expect("the second time");
    assert_eq!(
        error.to_string(),
        "the two ends of this pipe were handed out before"
    );
}

#[test]
fn what_does_not_fit_is_refused_or_dropped_and_counted() {
    let (writer, reader) = pipe::<4>();
    assert_eq!(writer.try_write(b"abc"), 3);
    assert_eq!(writer.try_write(b"def"), 1);
    assert_eq!(writer.try_write(b"x"), 0);
    assert_eq!(writer.write_or_drop(b"xyz"), 3);
    let mut buffer = [0; 8];
    assert_eq!(reader.try_read(&mut buffer), 4);
    assert_eq!(&buffer[..4], b"abcd");
    assert_eq!(reader.try_read(&mut buffer), 0);
    let counters = reader.counters();
    assert_eq!(
        (counters.dropped, counters.waits, counters.high_water),
        (3, 0, 4)
    );
}

#[test]
fn closing_delivers_what_is_left_and_then_the_end() {
    let (left, end) = block_on(async {
        let (writer, reader) = pipe::<8>();
        assert_eq!(writer.write_all(b"left").await, Ok(()));
        drop(writer);
        let mut buffer = [0; 8];
        (
            reader.read(&mut buffer).await,
            reader.read(&mut buffer).await,
        )
    });
    assert_eq!((left, end), (4, 0));
    let refused = block_on(async {
        let (writer, reader) = pipe::<8>();
        drop(reader);
        writer.write_all(b"nobody reads").await
    });
    assert_eq!(refused, Err(Closed));
}

#[test]
fn closing_wakes_who_waits() {
    let mut sim = Sim::new();
    let (writer, reader) = pipe::<8>();
    sim.spawn("reader", async move {
        assert_eq!(reader.read(&mut [0; 8]).await, 0);
    });
    sim.run();
    assert_eq!(sim.unfinished(), ["reader"]);
    drop(writer);
    let (full, reader) = pipe::<8>();
    sim.spawn("writer", async move {
        assert_eq!(full.write_all(&[0; 9]).await, Err(Closed));
    });
    sim.run();
    drop(reader);
    sim.run();
    assert_eq!(sim.unfinished(), [""; 0]);
}

#[test]
fn a_dropped_read_takes_nothing() {
    block_on(async {
        let (writer, reader) = pipe::<8>();
        let mut buffer = [0; 8];
        for _ in 0..3 {
            // The read is polled first, finds nothing, and loses.
            let lost = first(reader.read(&mut buffer), yield_now()).await;
            assert_eq!(lost, Either::B(()));
        }
        assert_eq!(writer.write_all(b"abc").await, Ok(()));
        assert_eq!(reader.read(&mut buffer).await, 3);
    });
}

#[test]
fn races_are_biased_and_arms_can_be_off() {
    block_on(async {
        assert_eq!(first(async { 1 }, async { 2 }).await, Either::A(1));
        assert_eq!(
            first(only_if(false, async { 1 }), async { 2 }).await,
            Either::B(2)
        );
        let off = || only_if(false, async {});
        assert_eq!(first_of_3(off(), off(), async { 3 }).await, Either3::C(3));
        assert_eq!(
            first_of_3(off(), async { 2 }, async { 3 }).await,
            Either3::B(2)
        );
    });
}

#[test]
fn a_sleep_is_never_short() {
    struct Slow;
    impl Clock for Slow {
        fn now_ticks(&self) -> u64 {
            0
        }
        fn ticks_per_second(&self) -> u64 {
            3
        }
        async fn sleep_until(&self, _: u64) {}
    }
    assert_eq!(Slow.ticks_in(0), 0);
    assert_eq!(Slow.ticks_in(1), 1);
    assert_eq!(Slow.ticks_in(333_333_334), 2);
    assert_eq!(Slow.ticks_in(1_000_000_000), 3);
    assert_eq!(Slow.ticks_in(u64::MAX), 55_340_232_222);
}

/// Real threads: each byte once, in order, through a pipe that is nearly always full or empty.
#[test]
fn two_threads_move_every_byte_in_order() {
    const BYTES: usize = 300_000;
    let (writer, reader) = pipe::<8>();
    let sender = thread::spawn(move || {
        let mut sent = 0usize;
        while sent < BYTES {
            let chunk: Vec<u8> = (sent..(sent + 1 + sent % 11).min(BYTES))
                .map(|n| n as u8)
                .collect();
            let count = writer.try_write(&chunk);
            sent += count;
            if count == 0 {
                thread::yield_now();
            }
        }
    });
    let (mut received, mut buffer) = (0usize, [0; 5]);
    while received < BYTES {
        let count = reader.try_read(&mut buffer);
        for byte in &buffer[..count] {
            assert_eq!(*byte, received as u8);
            received += 1;
        }
        if count == 0 {
            thread::yield_now();
        }
    }
    assert!(sender.join().is_ok());
}

/// Real threads and real wakes: a lost one hangs the test.
#[test]
fn no_wake_is_lost_between_threads() {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Wake, Waker};

    struct Unpark(thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    fn run<T>(future: impl Future<Output = T>) -> T {
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut future = pin!(future);
        loop {
            if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                return value;
            }
            thread::park();
        }
    }

    let (writer, reader) = pipe::<2>();
    let sender = thread::spawn(move || {
        run(async {
            for number in 0..20_000u32 {
                assert_eq!(writer.write_all(&number.to_le_bytes()).await, Ok(()));
            }
        });
    });
    let total = run(async {
        let (mut total, mut buffer) = (0, [0; 3]);
        loop {
            match reader.read(&mut buffer).await {
                0 => return total,
                count => total += count,
            }
        }
    });
    assert!(sender.join().is_ok());
    assert_eq!(total, 80_000);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    /// Any split of the bytes into writes and reads, by two tasks with wakes only.
    #[test]
    fn any_chunking_keeps_order(
        writes in proptest::collection::vec(0usize..40, 0..30),
        read_size in 1usize..40,
    ) {
        let (writer, reader) = pipe::<16>();
        let expected: Vec<u8> = (0..writes.iter().sum::<usize>()).map(|n| n as u8).collect();
        let mut sim = Sim::new();
        let bytes = expected.clone();
        sim.spawn("writer", async move {
            let mut rest = bytes.as_slice();
            for size in writes {
                let (chunk, after) = rest.split_at(size);
                assert_eq!(writer.write_all(chunk).await, Ok(()));
                rest = after;
            }
        });
        let received = Arc::new(Mutex::new(Vec::new()));
        let collected = received.clone();
        sim.spawn("reader", async move {
            let mut buffer = vec![0; read_size];
            loop {
                let count = reader.read(&mut buffer).await;
                if count == 0 {
                    return;
                }
                collected.lock().expect("not poisoned").extend_from_slice(&buffer[..count]);
            }
        });
        sim.run();
        prop_assert_eq!(sim.unfinished(), [""; 0]);
        prop_assert_eq!(&*received.lock().expect("not poisoned"), &expected);
    }
}
