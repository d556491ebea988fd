//! loom models of the shipped executor as a whole, with one core per model thread: what reaches a core's own timers and loans
//! from elsewhere. Timers and loans themselves are plain memory of their core; concurrent are the cancellations, drops and loans
//! that come in while it fires, repays and runs tasks.
#![cfg(loom)]

use std::{
    cell::Cell,
    future::{Future, pending, poll_fn},
    pin::Pin,
    rc::Rc,
    task::Poll,
};

use executor::{CoreConfig, CoreId, Fleet, Here, Platform, Step, Task, lend, time};
use loom::{
    model::Builder,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

struct Model;

// All threads of a model run on one thread of the host, each test on its own.
std::thread_local! {
    static FLEET: Cell<*mut Fleet<Model>> = const { Cell::new(std::ptr::null_mut()) };
    static NOW: Cell<u64> = const { Cell::new(0) };
    /// The interrupt line of core 0.
    static KICKED: Cell<*mut AtomicBool> = const { Cell::new(std::ptr::null_mut()) };
}

loom::thread_local! {
    static HERE: Cell<Here> = Cell::new(Here::foreign());
}

fn kicked() -> &'static AtomicBool {
    // SAFETY: set for the time of an execution.
    unsafe { &*KICKED.get() }
}

impl Platform for Model {
    const STATS: bool = false;

    fn fleet() -> &'static Fleet<Self> {
        // SAFETY: as above.
        unsafe { &*FLEET.get() }
    }
    fn now() -> u64 {
        NOW.get()
    }
    fn ticks_per_second() -> u64 {
        1_000_000_000
    }
    fn here() -> Here {
        HERE.with(Cell::get)
    }
    fn kick(core: CoreId) {
        if core == CoreId::FIRST {
            kicked().swap(true, Ordering::AcqRel);
        }
    }
    fn idle(_: CoreId, until: Option<u64>, still_idle: impl FnOnce() -> bool) {
        if !still_idle() {
            return;
        }
        if let Some(until) = until {
            // The timer comes first, or else the kick: both happen, and which wins does not matter to the core.
            NOW.set(until);
            return;
        }
        // Only a kick ends this; without one to come, loom finds the model stuck.
        while !kicked().swap(false, Ordering::AcqRel) {
            thread::yield_now();
        }
    }
}

fn core(number: usize) -> CoreId {
    CoreId::new(number).expect("a core")
}

/// The calling thread is that core from now on.
fn become_core(number: usize) {
    let config = CoreConfig {
        tasks: 3,
        remote_tasks: 0,
        timers: 2,
        reservations: 1,
        ..CoreConfig::new()
    };
    Model::fleet()
        .start_core(core(number), config)
        .expect("a core");
    // SAFETY: one model thread for each.
    HERE.with(|here| here.set(unsafe { Here::on(core(number), false) }));
}

fn check(body: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(2);
    builder.max_branches = 20_000;
    builder.check(move || {
        let fleet = Box::into_raw(Box::new(Fleet::new()));
        let kicked = Box::into_raw(Box::new(AtomicBool::new(false)));
        FLEET.set(fleet);
        KICKED.set(kicked);
        NOW.set(0);
        become_core(0);
        body();
        // SAFETY: all threads of the execution were joined.
        unsafe {
            drop(Box::from_raw(fleet));
            drop(Box::from_raw(kicked));
        }
    });
}

fn settle() {
    while Model::fleet().step(core(0)).expect("runs here") == Step::Ran {}
}

struct Dropped(Rc<Cell<u32>>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

/// A sleeper is cancelled from elsewhere while its timer fires: it ends once, one way or the other, and no timer stays armed.
#[test]
fn a_timer_fires_while_its_task_is_cancelled() {
    check(|| {
        let (ends, woke) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(false)));
        let (held, seen) = (Dropped(ends.clone()), woke.clone());
        let sleeper = Task::<Model>::new("sleeper")
            .spawn_local(async move {
                let _held = held;
                time::sleep_until::<Model>(5).await;
                seen.set(true);
            })
            .expect("spawns");
        settle();
        let id = sleeper.id();
        let other = thread::spawn(move || Model::fleet().cancel(id));
        let count = ends.clone();
        Model::fleet()
            .run_until(core(0), || count.get() == 1)
            .expect("runs here");
        other.join().expect("no panic");
        settle();
        assert_eq!(ends.get(), 1);
        assert!(sleeper.is_finished());
        assert_eq!(
            Model::fleet().step(core(0)),
            Ok(Step::Idle(None)),
            "no timer is left"
        );
    });
}

/// A sleep went to another core and is dropped there while it fires here, and its timer is armed again for somebody else: the late
/// note disarms the timer it is about, or none.
#[test]
fn a_timer_fires_while_it_is_cancelled_from_elsewhere() {
    check(|| {
        let handed = Rc::new(Cell::new(None));
        let hand = handed.clone();
        Task::<Model>::new("leaves its sleep")
            .spawn_local(async move {
                let mut sleep = time::sleep_until::<Model>(5);
                poll_fn(|context| {
                    assert!(Pin::new(&mut sleep).poll(context).is_pending());
                    Poll::Ready(())
                })
                .await;
                hand.set(Some(sleep));
            })
            .expect("spawns")
            .detach();
        settle();
        let sleep = handed.take().expect("armed");
        let other = thread::spawn(move || drop(sleep));
        let woke = Rc::new(Cell::new(false));
        let seen = woke.clone();
        Task::<Model>::new("sleeps")
            .spawn_local(async move {
                // Until the first has fired or is disarmed; then on the timer that came free.
                time::sleep_until::<Model>(6).await;
                let mut late = time::sleep_until::<Model>(8);
                let mut soon = time::sleep_until::<Model>(7);
                poll_fn(|context| {
                    let _ = Pin::new(&mut soon).poll(context);
                    // All timers are taken now, that of the first sleep among them.
                    Pin::new(&mut late).poll(context)
                })
                .await;
                seen.set(true);
            })
            .expect("spawns")
            .detach();
        Model::fleet()
            .run_until(core(0), || woke.get())
            .expect("runs here");
        assert!(Model::now() >= 8, "never early");
        other.join().expect("no panic");
        settle();
        assert_eq!(Model::fleet().step(core(0)), Ok(Step::Idle(None)));
    });
}

/// A task of another core sends a request and waits, lending its deadline, while this core runs and halts: the job acts under it.
#[test]
fn a_loan_from_elsewhere_arrives_with_its_request() {
    check(|| {
        let (done, polls) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(0)));
        let seen = done.clone();
        let server = Task::<Model>::new("server")
            .deadline_after(std::time::Duration::from_nanos(1000))
            .spawn_local(poll_fn(move |_| {
                polls.set(polls.get() + 1);
                // Ends with the poll that runs under the caller's deadline; only a wake brings the next.
                if executor::deadline::<Model>() == Some(10) {
                    seen.set(true);
                    return Poll::Ready(());
                }
                Poll::Pending
            }))
            .expect("spawns");
        settle();
        let id = server.id();
        let other = thread::spawn(move || {
            become_core(1);
            Task::<Model>::new("caller")
                .deadline_at(10)
                .spawn_local(async move {
                    Model::fleet().wake(id);
                    lend::<Model, _>(id, pending::<()>()).await
                })
                .expect("spawns")
                .detach();
            assert_eq!(Model::fleet().step(core(1)), Ok(Step::Ran));
        });
        Model::fleet()
            .run_until(core(0), || done.get())
            .expect("runs here");
        other.join().expect("no panic");
    });
}

/// The lender is cancelled from elsewhere while it waits: its deadline comes back, whatever the borrower is doing.
#[test]
fn a_loan_ends_when_its_lender_is_cancelled() {
    check(|| {
        let borrower = Task::<Model>::new("borrower")
            .deadline_at(1000)
            .spawn_local(pending::<()>())
            .expect("spawns");
        let to = borrower.id();
        let lender = Task::<Model>::new("lender")
            .deadline_at(10)
            .spawn_local(lend::<Model, _>(to, pending::<()>()))
            .expect("spawns");
        settle();
        let deadline = move || Model::fleet().task(to).expect("lives").deadline;
        assert_eq!(deadline(), Some(10));
        let id = lender.id();
        let threads = [
            thread::spawn(move || {
                Model::fleet().cancel(id);
            }),
            // Meanwhile the borrower is woken.
            thread::spawn(move || Model::fleet().wake(to)),
        ];
        Model::fleet()
            .run_until(core(0), || lender.is_finished())
            .expect("runs here");
        assert_eq!(deadline(), Some(1000));
        for thread in threads {
            thread.join().expect("no panic");
        }
        settle();
        assert_eq!(deadline(), Some(1000));
    });
}
