//! What the basic operations cost on this machine: `cargo run --release -p executor --example cost [on|off] [CASE COUNT]`.
//!
//! Nanoseconds of processor time, best of several runs, with statistics on or off. With a case named, that case
//! runs once, so many times: the difference of two counts under callgrind is the instructions of an operation.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    hint::black_box,
    rc::Rc,
    task::{Poll, Waker},
};

use executor::{
    CoreConfig, CoreId, Fleet, Here, Platform, Step, Task, set_deadline, time, yield_now,
};

macro_rules! platform {
    ($name:ident, $fleet:ident, $stats:expr) => {
        struct $name;
        static $fleet: Fleet<$name> = Fleet::new();
        impl Platform for $name {
            const STATS: bool = $stats;
            #[inline(always)]
            fn fleet() -> &'static Fleet<Self> {
                &$fleet
            }
            #[inline(always)]
            fn now() -> u64 {
                // SAFETY: reads a register.
                unsafe { core::arch::x86_64::_rdtsc() }
            }
            fn ticks_per_second() -> u64 {
                2_000_000_000
            }
            #[inline(always)]
            fn here() -> Here {
                HERE.get()
            }
            fn kick(_: CoreId) {}
            fn idle(_: CoreId, _: Option<u64>, still_idle: impl FnOnce() -> bool) {
                still_idle();
            }
        }
    };
}
platform!(On, ON, true);
platform!(Off, OFF, false);

thread_local! {
    static HERE: Cell<Here> = const { Cell::new(Here::foreign()) };
}

const CORE: CoreId = CoreId::FIRST;

/// Processor time of this thread in ns: other load on the machine does not count.
fn thread_ns() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    stat.split(' ')
        .next()
        .and_then(|ns| ns.parse().ok())
        .expect("a number")
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

fn drain<P: Platform>() {
    while P::fleet().step(CORE).is_ok_and(|step| step == Step::Ran) {}
}

/// Runs until the counter is down, and returns ns per count.
fn measure<P: Platform>(count: u64, left: &Rc<Cell<u64>>) -> f64 {
    left.set(count);
    let start = thread_ns();
    P::fleet()
        .run_until(CORE, || left.get() == 0)
        .expect("runs here");
    (thread_ns() - start) as f64 / count as f64
}

fn round_robin<P: Platform>(tasks: usize, count: u64) -> f64 {
    let left = Rc::new(Cell::new(u64::MAX));
    let handles: Vec<_> = (0..tasks)
        .map(|_| {
            let left = left.clone();
            let body = async move {
                loop {
                    left.set(left.get().saturating_sub(1));
                    yield_now().await;
                }
            };
            Task::<P>::new("yield").spawn_local(body).expect("spawns")
        })
        .collect();
    measure::<P>(count / 10, &left);
    let cost = measure::<P>(count, &left);
    handles.into_iter().for_each(|handle| handle.abort());
    drain::<P>();
    cost
}

fn hold<P: Platform>(tasks: usize, count: u64) -> f64 {
    let left = Rc::new(Cell::new(u64::MAX));
    let random = Rc::new(RefCell::new(Random(0x1234_5678_9abc_def1)));
    let handles: Vec<_> = (0..tasks)
        .map(|task| {
            let (left, random) = (left.clone(), random.clone());
            let mut deadline = 1u64 << 60 | task as u64;
            let body = async move {
                loop {
                    left.set(left.get().saturating_sub(1));
                    deadline += random.borrow_mut().next() % 1_000_000;
                    set_deadline::<P>(deadline);
                    yield_now().await;
                }
            };
            Task::<P>::new("hold")
                .deadline_at(1 << 60)
                .spawn_local(body)
                .expect("spawns")
        })
        .collect();
    measure::<P>(count / 10, &left);
    let cost = measure::<P>(count, &left);
    handles.into_iter().for_each(|handle| handle.abort());
    drain::<P>();
    cost
}

fn wake_chain<P: Platform>(tasks: usize, count: u64) -> f64 {
    let left = Rc::new(Cell::new(u64::MAX));
    let wakers: Rc<Vec<RefCell<Option<Waker>>>> =
        Rc::new((0..tasks).map(|_| RefCell::new(None)).collect());
    let handles: Vec<_> = (0..tasks)
        .map(|me| {
            let (left, wakers) = (left.clone(), wakers.clone());
            let body = poll_fn(move |context| -> Poll<()> {
                left.set(left.get().saturating_sub(1));
                if wakers[me].borrow().is_none() {
                    *wakers[me].borrow_mut() = Some(context.waker().clone());
                    return Poll::Pending;
                }
                if let Some(next) = &*wakers[(me + 1) % tasks].borrow() {
                    next.wake_by_ref();
                }
                Poll::Pending
            });
            Task::<P>::new("chain").spawn_local(body).expect("spawns")
        })
        .collect();
    drain::<P>();
    if let Some(first) = &*wakers[0].borrow() {
        first.wake_by_ref();
    }
    measure::<P>(count / 10, &left);
    let cost = measure::<P>(count, &left);
    handles.into_iter().for_each(|handle| handle.abort());
    for _ in 0..tasks * 2 {
        let _ = P::fleet().step(CORE);
    }
    drain::<P>();
    cost
}

fn spawn<P: Platform>(batch: usize, count: u64) -> f64 {
    let rounds = count / batch as u64;
    let sum = Rc::new(Cell::new(0u64));
    let mut best = f64::MAX;
    for _ in 0..3 {
        let start = thread_ns();
        for _ in 0..rounds {
            for _ in 0..batch {
                let sum = sum.clone();
                let body = async move { sum.set(sum.get() + 1) };
                Task::<P>::new("spawn")
                    .spawn_local(body)
                    .expect("spawns")
                    .detach();
            }
            drain_batch::<P>(batch);
        }
        best = best.min((thread_ns() - start) as f64 / (rounds * batch as u64) as f64);
    }
    black_box(sum.get());
    best
}

fn drain_batch<P: Platform>(batch: usize) {
    let mut left = batch + 1;
    let _ = P::fleet().run_until(CORE, || {
        left -= 1;
        left == 0
    });
}

fn timers<P: Platform>(sleepers: usize, count: u64) -> f64 {
    let left = Rc::new(Cell::new(u64::MAX));
    let handles: Vec<_> = (0..sleepers)
        .map(|task| {
            let left = left.clone();
            let mut random = Random(task as u64 + 1);
            let body = async move {
                loop {
                    left.set(left.get().saturating_sub(1));
                    let after = random.next() % (200 * sleepers as u64);
                    time::sleep_until::<P>(P::now() + after).await;
                }
            };
            Task::<P>::new("sleeper").spawn_local(body).expect("spawns")
        })
        .collect();
    measure::<P>(count / 10, &left);
    let cost = measure::<P>(count, &left);
    handles.into_iter().for_each(|handle| handle.abort());
    drain::<P>();
    cost
}

fn all<P: Platform>(label: &str, only: Option<(&str, u64)>) {
    let config = CoreConfig {
        tasks: 10_100,
        remote_tasks: 16,
        timers: 10_100,
        ..CoreConfig::new()
    };
    P::fleet().start_core(CORE, config).expect("a core");
    type Case<P> = (
        &'static str,
        fn(usize, u64) -> f64,
        usize,
        std::marker::PhantomData<P>,
    );
    let case = |name, run, size| -> Case<P> { (name, run, size, std::marker::PhantomData) };
    let cases: [Case<P>; 16] = [
        case("round_robin", round_robin::<P>, 1),
        case("round_robin", round_robin::<P>, 10),
        case("round_robin", round_robin::<P>, 100),
        case("round_robin", round_robin::<P>, 1000),
        case("round_robin", round_robin::<P>, 10_000),
        case("wake_chain", wake_chain::<P>, 1000),
        case("hold", hold::<P>, 1),
        case("hold", hold::<P>, 10),
        case("hold", hold::<P>, 100),
        case("hold", hold::<P>, 1000),
        case("hold", hold::<P>, 10_000),
        case("timers", timers::<P>, 100),
        case("timers", timers::<P>, 10_000),
        case("spawn", spawn::<P>, 1),
        case("spawn", spawn::<P>, 100),
        case("spawn", spawn::<P>, 10_000),
    ];
    for (name, run, size, _) in cases {
        let full = format!("{name}/{size}");
        if let Some((only, count)) = only {
            if only == full {
                run(size, count);
            }
            continue;
        }
        let best = (0..3)
            .map(|_| run(size, 2_000_000))
            .fold(f64::MAX, f64::min);
        println!("{label} {full:20} {best:8.1} ns");
    }
}

fn main() {
    // SAFETY: this thread alone runs core 0 of both fleets.
    HERE.set(unsafe { Here::on(CORE, false) });
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let count = arguments
        .get(2)
        .and_then(|count| count.parse().ok())
        .unwrap_or(200_000);
    let only = arguments.get(1).map(|case| (case.as_str(), count));
    match arguments.first().map(String::as_str) {
        Some("on") => all::<On>("on ", only),
        Some("off") => all::<Off>("off", only),
        _ => {
            all::<On>("on ", only);
            all::<Off>("off", only);
        }
    }
}
