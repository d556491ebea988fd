//! Faults and races provoked on purpose: `selftest=NAME` on the command line, for the test suite.
//!
//! Each test logs `selftest NAME: ok` or `selftest NAME: FAILED: ...`; those that provoke a fault end in the
//! fault's report instead. They run one after another, as a task on core 0, after everything else is up.

use core::future::poll_fn;
use core::sync::atomic::{AtomicU64, Ordering};
use core::task::Poll;
use core::time::Duration;

use executor::{Task, yield_now};
use futures_util::task::AtomicWaker;
use hal::platform::KernelPlatform;
use hal::provoke::{Fault, hog_with_interrupts_off, provoke};

use crate::exec::{self, CoreId};
use crate::options::options;

/// What a test found wrong.
type Outcome = Result<(), &'static str>;

/// Runs the tests that the command line names.
pub async fn run_all() {
    for word in options().words.all("selftest") {
        let text = word.value.unwrap_or("");
        let (name, argument) = text.split_once(':').unwrap_or((text, ""));
        match run(name, argument).await {
            Some(Ok(())) => ::log::info!(target: "selftest", "selftest {name}: ok"),
            Some(Err(what)) => ::log::error!(target: "selftest", "selftest {name}: FAILED: {what}"),
            None => ::log::error!(
                target: "selftest",
                "selftest {name}: FAILED: there is no such test; there are {}",
                "write_text write_constant exec_data page_fault general_protection double_fault stack_overflow irq_wakes_halted \
                 cross_core_wake wake_storm:COUNT alloc_fail nmi_watchdog device_irq load long_poll user_tables:ROUNDS user user_storm:SECONDS user_cost contain_held xmm"
            ),
        }
    }
}

async fn run(name: &str, argument: &str) -> Option<Outcome> {
    if let Some(fault) = Fault::from_name(name) {
        provoke(fault);
        return Some(Err("nothing stopped it"));
    }
    Some(match name {
        "irq_wakes_halted" => irq_wakes_halted().await,
        "cross_core_wake" => cross_core_wake().await,
        "wake_storm" => wake_storm(argument.parse().unwrap_or(100_000)).await,
        "alloc_fail" => crate::alloc_fail::run().await,
        "user" => crate::user_test::run().await,
        "user_storm" => crate::user_test::storm(argument.parse().unwrap_or(5)).await,
        "user_cost" => crate::user_test::cost().await,
        "contain_held" => crate::user_test::contain_held(),
        "nmi_watchdog" => nmi_watchdog().await,
        "load" => crate::load_test::run().await,
        "long_poll" => long_poll().await,
        "xmm" if hal::provoke::xmm_survives_a_trap() => Ok(()),
        "xmm" => Err("a trap does not preserve XMM0-15 and MXCSR"),
        "device_irq" => crate::device_irq::run().await,
        "user_tables" => crate::user_tables_test::run(argument.parse().unwrap_or(10_000)).await,
        _ => return None,
    })
}

/// Long enough for a core with nothing to do to halt, on the slowest emulator.
const SETTLE: Duration = Duration::from_millis(50);

/// The core that tests wake: the last one, so that nothing else runs there.
fn other_core() -> Result<CoreId, &'static str> {
    exec::fleet()
        .cores()
        .last()
        .filter(|&core| core != CoreId::FIRST)
        .ok_or("this test needs two cores: scripts/run --smp 2")
}

fn is_halted_without_timer(core: CoreId) -> bool {
    let number = core.index() as u32;
    hal::platform::idle_time(number).is_some_and(|idle| idle.halted_now)
        && hal::time::armed_for_ticks(number).is_none()
}

/// Waits until `core` is halted with no timer armed.
async fn settled(core: CoreId) -> Outcome {
    for _ in 0..200 {
        if is_halted_without_timer(core) {
            return Ok(());
        }
        exec::sleep(SETTLE / 10).await;
    }
    Err("the target core does not come to rest")
}

/// A count that one task raises and another waits for.
struct Counter {
    count: AtomicU64,
    waker: AtomicWaker,
}

impl Counter {
    const fn new() -> Self {
        Self {
            count: AtomicU64::new(0),
            waker: AtomicWaker::new(),
        }
    }

    fn raise(&self) {
        self.count.fetch_add(1, Ordering::AcqRel);
        self.waker.wake();
    }

    async fn reaches(&self, wanted: u64) {
        poll_fn(|context| {
            self.waker.register(context.waker());
            if self.count.load(Ordering::Acquire) >= wanted {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }
}

/// One interrupt, no timer: the halted core must run the task that waits for it.
async fn irq_wakes_halted() -> Outcome {
    static ARRIVED: Counter = Counter::new();
    let target = other_core()?;
    let interrupt = hal::irq::claim_msi("selftest", target.index() as u32)
        .map_err(|_| "no interrupt vector is free")?;
    let doorbell = interrupt.doorbell();
    let waiter = Task::<KernelPlatform>::new("irq-waiter")
        .core(target)
        .deadline_after(exec::DRIVER_DEADLINE)
        .spawn(async move {
            interrupt.wait().await;
            interrupt.ack();
            ARRIVED.raise();
        })
        .map_err(|_| "no memory for the waiting task")?;
    settled(target).await?;
    doorbell.ring();
    within(Duration::from_secs(5), ARRIVED.reaches(1))
        .await
        .map_err(|()| "the interrupt did not wake the halted core")?;
    waiter.detach();
    Ok(())
}

/// A wake from core 0 must end the halt of a tickless core, a hundred times.
async fn cross_core_wake() -> Outcome {
    static THERE: Counter = Counter::new();
    static BACK: Counter = Counter::new();
    const ROUNDS: u64 = 100;
    let target = other_core()?;
    exec::spawn("wake-target", target, exec::DRIVER_DEADLINE, async {
        for round in 1..=ROUNDS {
            THERE.reaches(round).await;
            BACK.raise();
        }
    });
    for round in 1..=ROUNDS {
        settled(target).await?;
        THERE.raise();
        within(Duration::from_secs(5), BACK.reaches(round))
            .await
            .map_err(|()| "a wake from another core was lost")?;
    }
    Ok(())
}

/// `count` wakes from core 0, each answered before the next: none lost, none doubled.
async fn wake_storm(count: u64) -> Outcome {
    static THERE: Counter = Counter::new();
    static BACK: Counter = Counter::new();
    let target = other_core()?;
    exec::spawn("storm-target", target, exec::DRIVER_DEADLINE, async move {
        for round in 1..=count {
            THERE.reaches(round).await;
            BACK.raise();
        }
    });
    for round in 1..=count {
        THERE.raise();
        within(Duration::from_secs(5), BACK.reaches(round))
            .await
            .map_err(|()| "a wake was lost")?;
        if BACK.count.load(Ordering::Acquire) != round {
            return Err("a wake was doubled");
        }
    }
    ::log::info!(target: "selftest", "{count} wakes from core 0 to core {target}: all answered once");
    Ok(())
}

/// Runs `future` for at most `limit`.
async fn within(limit: Duration, future: impl Future<Output = ()>) -> Result<(), ()> {
    executor::time::timeout::<KernelPlatform, _>(limit, future)
        .await
        .map_err(|_| ())
}

/// Holds core 0 in one poll for longer than anybody may: the monitor must name the task.
async fn long_poll() -> Outcome {
    const HOLD: Duration = Duration::from_millis(400);
    let hold_ticks = hal::time::ns_to_ticks(HOLD.as_nanos() as u64);
    let task = Task::<KernelPlatform>::new("never-yields")
        .core(CoreId::FIRST)
        .spawn(async move {
            let start = hal::time::now_ticks();
            while hal::time::now_ticks() - start < hold_ticks {
                core::hint::spin_loop();
            }
        })
        .map_err(|_| "no memory for the task")?;
    // It ends by itself; its name is in the log then.
    let _ = task.await;
    exec::sleep(SETTLE).await;
    Ok(())
}

/// Holds a core with interrupts off until the watchdog has had time to name it.
async fn nmi_watchdog() -> Outcome {
    const HOG: Duration = Duration::from_secs(9);
    let before = hal::irq::stuck_reports();
    let ticks = hal::time::ns_to_ticks(HOG.as_nanos() as u64);
    let target = other_core().unwrap_or(CoreId::FIRST);
    let hog = Task::<KernelPlatform>::new("hog")
        .core(target)
        .spawn(async move { hog_with_interrupts_off(ticks) })
        .map_err(|_| "no memory for the task")?;
    // The handle answers when the task has ended, whatever it did.
    let _ = hog.await;
    yield_now().await;
    if hal::irq::stuck_reports() > before {
        Ok(())
    } else {
        Err("no report of a core stuck with interrupts off")
    }
}
