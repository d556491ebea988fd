//! `exec.*`: the executor measured from inside, on the core the bench runs on (core 0) and, for `cross`, core 1.

use core::future::poll_fn;
use core::hint::black_box;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use core::task::Poll;
use core::time::Duration;

use executor::sync::Notify;
use executor::{CoreId, Platform, Task, time, yield_now};
use futures_util::task::AtomicWaker;
use rt::{ByteSink, Closed};

use crate::protocol::{Line, fitting, send};
use crate::samples::Samples;
use crate::{Host, SAMPLES};

/// Polls before the samples that count, to warm caches and translation.
const WARM_UP: usize = 100;
/// Long enough for the other core to have halted again.
const SETTLE: Duration = Duration::from_micros(500);
/// Enough that what the memory's pieces have in common counts for little.
const SLEEPERS: u32 = 2000;
/// A poll of a task that has something to do all the time: some microseconds.
const BUSY_ROUNDS: u32 = 2000;
/// Deadline of the task that is woken: earlier than the bench's own, so that it runs next.
const URGENT: Duration = Duration::from_micros(10);

/// A place where one task waits for a tick stamp that another leaves.
struct Baton {
    stamp_ticks: AtomicU64,
    waker: AtomicWaker,
}

impl Baton {
    const fn new() -> Self {
        Self {
            stamp_ticks: AtomicU64::new(0),
            waker: AtomicWaker::new(),
        }
    }

    /// Leaves `stamp_ticks` (not zero) and wakes the one who waits.
    fn pass(&self, stamp_ticks: u64) {
        self.stamp_ticks.store(stamp_ticks, Ordering::Release);
        self.waker.wake();
    }

    async fn take(&self) -> u64 {
        poll_fn(|context| {
            self.waker.register(context.waker());
            match self.stamp_ticks.swap(0, Ordering::Acquire) {
                0 => Poll::Pending,
                stamp_ticks => Poll::Ready(stamp_ticks),
            }
        })
        .await
    }
}

/// To the woken task, and back from it. Statics: the woken task outlives no borrow.
static THERE: Baton = Baton::new();
static BACK: Baton = Baton::new();

pub(crate) async fn probe<P: Platform>(
    host: &'static impl Host,
    out: &impl ByteSink,
    memory: &mut [u64; SAMPLES],
) -> Result<(), Closed> {
    let mut samples = Samples::new(memory);
    for sample in 0..WARM_UP + SAMPLES {
        let start = P::now();
        yield_now().await;
        keep(&mut samples, sample, P::now() - start);
    }
    finish(host, out, "exec.yield", samples).await?;

    let mut samples = Samples::new(memory);
    for sample in 0..WARM_UP + SAMPLES {
        let start = P::now();
        if let Ok(handle) = Task::<P>::new("bench-child")
            .core(CoreId::FIRST)
            .spawn(async {})
        {
            // An empty task cannot fail.
            let _ = handle.await;
            keep(&mut samples, sample, P::now() - start);
        }
    }
    finish(host, out, "exec.spawn_finish", samples).await?;

    let samples = wakes::<P>(CoreId::FIRST, None, Samples::new(memory)).await;
    finish(host, out, "exec.wake.same", samples).await?;
    sleepers::<P>(host, out).await?;

    match CoreId::new(1).filter(|_| host.cores() > 1) {
        Some(other) => across::<P>(host, out, memory, other).await?,
        None => {
            for metric in [
                "floor.ipi_to_halted",
                "exec.wake.cross",
                "exec.wake.cross.busy",
            ] {
                let reason = "one core";
                send(out, Line::Skipped { metric, reason }).await?;
            }
        }
    }

    let samples = interrupts::<P>(host, Samples::new(memory)).await;
    finish(host, out, "exec.irq_to_task", samples).await
}

/// Tasks that sleep: the memory that each takes.
async fn sleepers<P: Platform>(
    host: &'static impl Host,
    out: &impl ByteSink,
) -> Result<(), Closed> {
    static UP: Notify = Notify::new();
    static ENDED: AtomicU32 = AtomicU32::new(0);
    ENDED.store(0, Ordering::Relaxed);
    let before = host.memory_in_use();
    let mut started = 0;
    for _ in 0..SLEEPERS {
        let sleeper = Task::<P>::new("bench-sleeper")
            .core(CoreId::FIRST)
            .spawn(async {
                UP.notified().await;
                ENDED.fetch_add(1, Ordering::Relaxed);
            });
        let Ok(sleeper) = sleeper else { break };
        sleeper.detach();
        started += 1;
    }
    // Until each has been polled and waits.
    yield_now().await;
    let taken = host.memory_in_use().saturating_sub(before);
    while ENDED.load(Ordering::Relaxed) < started {
        UP.notify_waiters();
        yield_now().await;
    }
    let metric = "exec.task_bytes";
    match taken.checked_div(u64::from(started)) {
        Some(value) => {
            let unit = "bytes";
            send(
                out,
                Line::Value {
                    metric,
                    unit,
                    value,
                },
            )
            .await
        }
        None => {
            let reason = "no memory for its tasks";
            send(out, Line::Skipped { metric, reason }).await
        }
    }
}

/// What another core takes part in.
async fn across<P: Platform>(
    host: &'static impl Host,
    out: &impl ByteSink,
    memory: &mut [u64; SAMPLES],
    other: CoreId,
) -> Result<(), Closed> {
    let samples = floor::<P>(host, other, Samples::new(memory)).await;
    finish(host, out, "floor.ipi_to_halted", samples).await?;
    let samples = wakes::<P>(other, Some(SETTLE), Samples::new(memory)).await;
    finish(host, out, "exec.wake.cross", samples).await?;
    // Somebody without a deadline, who looks up as often as a task should.
    static OVER: AtomicBool = AtomicBool::new(false);
    OVER.store(false, Ordering::Relaxed);
    let busy = Task::<P>::new("bench-busy").core(other).spawn(async {
        while !OVER.load(Ordering::Relaxed) {
            for round in 0..BUSY_ROUNDS {
                black_box(round);
            }
            yield_now().await;
        }
    });
    let Ok(busy) = busy else {
        let (metric, reason) = ("exec.wake.cross.busy", "no memory for its tasks");
        return send(out, Line::Skipped { metric, reason }).await;
    };
    let samples = wakes::<P>(other, Some(SETTLE), Samples::new(memory)).await;
    OVER.store(true, Ordering::Relaxed);
    // It cannot fail.
    let _ = busy.await;
    finish(host, out, "exec.wake.cross.busy", samples).await
}

/// From the command that sends an interrupt to a core that halts, to the first instruction of its top half: nothing that wakes a halted core
/// can be sooner. The waiting task is there to re-arm the interrupt.
async fn floor<'a, P: Platform>(
    host: &'static impl Host,
    other: CoreId,
    mut samples: Samples<'a>,
) -> Samples<'a> {
    let rounds = WARM_UP + SAMPLES;
    let woken = Task::<P>::new("bench-floor")
        .core(other)
        .deadline_after(URGENT)
        .spawn(async move {
            for _ in 0..rounds {
                BACK.pass(host.interrupt_there().await.max(1));
            }
        });
    let Ok(woken) = woken else { return samples };
    for sample in 0..rounds {
        time::sleep::<P>(SETTLE).await;
        let start = P::now();
        host.raise_interrupt_there();
        keep(
            &mut samples,
            sample,
            BACK.take().await.saturating_sub(start),
        );
    }
    // It has said all it had to.
    let _ = woken.await;
    samples
}

/// Raises an interrupt that another task of this core waits for, and lets it say how long after the top half's stamp it
/// ran. The bench's own task has no deadline, so the woken one is next.
async fn interrupts<'a, P: Platform>(
    host: &'static impl Host,
    mut samples: Samples<'a>,
) -> Samples<'a> {
    let rounds = WARM_UP + SAMPLES;
    let woken = Task::<P>::new("bench-irq")
        .core(CoreId::FIRST)
        .deadline_after(URGENT)
        .spawn(async move {
            for _ in 0..rounds {
                let stamp_ticks = host.interrupt().await;
                BACK.pass(P::now().saturating_sub(stamp_ticks).max(1));
            }
        });
    let Ok(woken) = woken else { return samples };
    for sample in 0..rounds {
        // The other task waits again after this.
        yield_now().await;
        host.raise_interrupt();
        keep(&mut samples, sample, BACK.take().await);
    }
    // It has said all it had to.
    let _ = woken.await;
    samples
}

/// Wakes a task on `core` and lets it say how long that took; `settle` between two wakes lets the core halt.
async fn wakes<'a, P: Platform>(
    core: CoreId,
    settle: Option<Duration>,
    mut samples: Samples<'a>,
) -> Samples<'a> {
    let rounds = WARM_UP + SAMPLES;
    let woken = Task::<P>::new("bench-woken")
        .core(core)
        .deadline_after(URGENT)
        .spawn(async move {
            for _ in 0..rounds {
                let stamp_ticks = THERE.take().await;
                BACK.pass((P::now().saturating_sub(stamp_ticks)).max(1));
            }
        });
    let Ok(woken) = woken else { return samples };
    for sample in 0..rounds {
        match settle {
            Some(settle) => time::sleep::<P>(settle).await,
            None => yield_now().await,
        }
        THERE.pass(P::now());
        keep(&mut samples, sample, BACK.take().await);
    }
    // It has said all it had to.
    let _ = woken.await;
    samples
}

fn keep(samples: &mut Samples<'_>, number: usize, ticks: u64) {
    if number >= WARM_UP {
        samples.push(ticks);
    }
}

async fn finish(
    host: &impl Host,
    out: &impl ByteSink,
    metric: &'static str,
    mut samples: Samples<'_>,
) -> Result<(), Closed> {
    samples.map(|ticks| host.ns(ticks));
    let mut from = 0;
    while let Some(values) = samples.kept().get(from..).filter(|rest| !rest.is_empty()) {
        let values = values.get(..fitting(metric, values)).unwrap_or(values);
        let count = values.len();
        send(
            out,
            Line::Samples {
                metric,
                from,
                values,
            },
        )
        .await?;
        from += count;
    }
    match samples.summary() {
        Some(summary) => send(out, Line::Latency { metric, summary }).await,
        None => {
            send(
                out,
                Line::Skipped {
                    metric,
                    reason: "no memory for its tasks",
                },
            )
            .await
        }
    }
}
