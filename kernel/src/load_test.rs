//! The executor under a full load, in the kernel: 1 000 tasks on one core, some with reservations, for five seconds.
//!
//! Who is there: periodic tasks with hard and soft reservations (70 % of the core in all); a greedy task that always wants
//! more than its hard reservation; tasks with deadlines but no reservation; best effort in numbers. The verdict, meant for
//! `--icount` where the host steals no time: no reserved job ends later after its deadline than the longest poll took, and
//! the greedy task gets no more than it reserved.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use core::time::Duration;

use executor::{JoinHandle, Late, Reservation, Reserved, Task, yield_now};
use hal::platform::KernelPlatform;
use hal::time::{now_ticks, ns_to_ticks, ticks_to_ns};

use crate::exec::{self, CoreId};

/// How long it runs.
const RUN: Duration = Duration::from_secs(5);
/// Tasks of each kind.
const RESERVED_TASKS: usize = 40;
const DEADLINE_TASKS: usize = 60;
const BEST_EFFORT_TASKS: usize = 899;
/// The longest that a well-behaved task works without a pause.
const POLL: Duration = Duration::from_micros(40);
/// Periods of the reserved tasks, in turn; with budgets of 1.75 % each they fill 70 % of the core.
const PERIODS_MS: [u64; 8] = [4, 5, 8, 10, 16, 20, 33, 50];
const BUDGET_PER_MILLE: u64 = 175; // of a tenth of the period
/// What the greedy task reserves, and how much of that more it may have got: its last poll.
const GREEDY_BUDGET: Duration = Duration::from_micros(500);
const GREEDY_PERIOD: Duration = Duration::from_millis(20);

/// Set when the time is over; the tasks then end.
static END_TICKS: AtomicU64 = AtomicU64::new(0);
static JOBS: AtomicU64 = AtomicU64::new(0);
static LATE_JOBS: AtomicU32 = AtomicU32::new(0);
static WORST_LATE_TICKS: AtomicU64 = AtomicU64::new(0);
static GREEDY_TICKS: AtomicU64 = AtomicU64::new(0);

fn is_over() -> bool {
    now_ticks() >= END_TICKS.load(Ordering::Relaxed)
}

/// Iterations between two looks at the clock: an emulator that counts instructions takes long for each look.
const WORK_CHUNK: u64 = 1000;

fn work(duration: Duration) {
    let end = now_ticks() + ticks(duration);
    let mut value = 1u64;
    while now_ticks() < end {
        for _ in 0..WORK_CHUNK {
            value = core::hint::black_box(value.wrapping_mul(3));
        }
    }
}

fn ticks(duration: Duration) -> u64 {
    ns_to_ticks(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
}

/// Every period: works for most of its budget, in pieces, and notes when it was done.
async fn periodic(period: Duration, budget: Duration) {
    let pieces = (budget * 8 / 10).as_nanos() / POLL.as_nanos();
    let mut release = now_ticks();
    while !is_over() {
        for _ in 0..pieces.max(1) {
            work(POLL.min(budget * 8 / 10));
            yield_now().await;
        }
        let due = release + ticks(period);
        let late = now_ticks().saturating_sub(due);
        JOBS.fetch_add(1, Ordering::Relaxed);
        if late > 0 {
            LATE_JOBS.fetch_add(1, Ordering::Relaxed);
            WORST_LATE_TICKS.fetch_max(late, Ordering::Relaxed);
        }
        release = due;
        exec::sleep_until(release).await;
    }
}

/// Wants all it can get.
async fn greedy() {
    while !is_over() {
        let start = now_ticks();
        work(POLL);
        GREEDY_TICKS.fetch_add(now_ticks() - start, Ordering::Relaxed);
        yield_now().await;
    }
}

/// Works a little, sleeps a little.
async fn background(number: u64) {
    while !is_over() {
        work(POLL / 2);
        exec::sleep(Duration::from_micros(20_000 + number * 37 % 5000)).await;
    }
}

/// Runs the load on core 0.
pub async fn run() -> Result<(), &'static str> {
    let mut tasks = heapless::Vec::<JoinHandle<KernelPlatform, ()>, 1024>::new();
    let mut keep = |task: Result<JoinHandle<KernelPlatform, ()>, executor::SpawnError>| {
        let task = task.map_err(|_| "a task of the load cannot be spawned")?;
        tasks
            .push(task)
            .map_err(|_| "more tasks than are kept track of")
    };
    END_TICKS.store(now_ticks() + ticks(RUN), Ordering::Relaxed);
    for number in 0..RESERVED_TASKS {
        let milliseconds = PERIODS_MS
            .get(number % PERIODS_MS.len())
            .copied()
            .unwrap_or(10);
        let period = Duration::from_millis(milliseconds);
        let budget = Duration::from_nanos(milliseconds * BUDGET_PER_MILLE * 100);
        let terms = Reservation::new(budget, period).longest_poll(POLL * 2);
        let terms = if number % 2 == 0 { terms } else { terms.soft() };
        let reserved = reserve(terms)?;
        keep(
            Task::new("load-reserved")
                .core(CoreId::FIRST)
                .within(&reserved)
                .spawn(periodic(period, budget)),
        )?;
    }
    let reserved = reserve(Reservation::new(GREEDY_BUDGET, GREEDY_PERIOD).longest_poll(POLL * 2))?;
    keep(
        Task::new("load-greedy")
            .core(CoreId::FIRST)
            .within(&reserved)
            .spawn(greedy()),
    )?;
    for number in 0..DEADLINE_TASKS as u64 {
        let task = Task::new("load-deadline")
            .core(CoreId::FIRST)
            .deadline_after(Duration::from_millis(50));
        keep(task.spawn(background(number)))?;
    }
    for number in 0..BEST_EFFORT_TASKS as u64 {
        keep(
            Task::new("load-best-effort")
                .core(CoreId::FIRST)
                .spawn(background(number)),
        )?;
    }
    let count = tasks.len();
    for task in tasks {
        // A task of the load ends by itself.
        let _ = task.await;
    }
    verdict(count)
}

fn reserve(terms: Reservation) -> Result<Reserved<KernelPlatform>, &'static str> {
    Reserved::new(CoreId::FIRST, terms).map_err(|error| {
        ::log::error!(target: "selftest", "load: {error}");
        "a reservation of the load is not admitted"
    })
}

fn verdict(tasks: usize) -> Result<(), &'static str> {
    let longest = exec::fleet()
        .core_stats(CoreId::FIRST)
        .map_or(0, |stats| stats.longest_poll.get());
    let microseconds = |ticks| ticks_to_ns(ticks) / 1000;
    let worst = WORST_LATE_TICKS.load(Ordering::Relaxed);
    let greedy = GREEDY_TICKS.load(Ordering::Relaxed);
    let greedy_may =
        ticks(GREEDY_BUDGET) * (RUN.as_millis() / GREEDY_PERIOD.as_millis() + 1) as u64 + longest;
    ::log::info!(
        target: "selftest",
        "load: {tasks} tasks, {} reserved jobs, {} late, worst by {} us; longest poll {} us; greedy task {} us of {} us",
        JOBS.load(Ordering::Relaxed),
        LATE_JOBS.load(Ordering::Relaxed),
        microseconds(worst),
        microseconds(longest),
        microseconds(greedy),
        microseconds(greedy_may),
    );
    log_why_late();
    if worst > longest {
        return Err("a reserved job was late by more than the longest poll");
    }
    if greedy > greedy_may {
        return Err("the throttled task got more than its reservation");
    }
    Ok(())
}

/// What stole the time, by the executor's own account.
fn log_why_late() {
    exec::fleet().for_each_site(CoreId::FIRST, |name, _, site| {
        let total: u64 = site.misses.iter().map(|count| count.get()).sum();
        if total > 0 {
            for (cause, count) in Late::ALL.iter().zip(&site.misses).filter(|(_, count)| count.get() > 0) {
                ::log::info!(target: "selftest", "load: {name}: {} of {total} late jobs: {}", count.get(), cause.name());
            }
        }
    });
}
