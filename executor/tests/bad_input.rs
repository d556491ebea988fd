//! Numbers and names that make no sense: errors or no-ops, as documented, and whoever else lives on the core lives on.
#[allow(dead_code)]
mod common;

use std::{cell::RefCell, future::pending, rc::Rc, time::Duration};

use common::{Host, background, become_core, block_on, in_interrupt, settle};
use executor::{
    AbandonError, AdmissionError, CoreConfig, CoreId, JoinError, MoveError, Platform, Reservation,
    Reserved, RunError, SpawnError, StartError, Task, TaskId, time, yield_now,
};
use proptest::prelude::*;

fn ms(value: u64) -> Duration {
    Duration::from_millis(value)
}

fn missing() -> CoreId {
    CoreId::new(CoreId::MAX - 1).expect("a number")
}

#[test]
fn zero_and_absurd_reservations() {
    let core = become_core(CoreConfig::new());
    let sane = Reservation::new(ms(1), ms(10));
    for bad in [
        Reservation::new(Duration::ZERO, ms(10)),
        Reservation::new(ms(1), Duration::ZERO),
        Reservation::new(Duration::ZERO, Duration::ZERO),
        Reservation::new(ms(11), ms(10)),
        sane.deadline(Duration::ZERO),
        sane.deadline(ms(11)),
        Reservation::new(ms(5), ms(10)).deadline(ms(4)),
        Reservation::new(ms(1), Duration::MAX),
        Reservation::new(Duration::MAX, Duration::MAX),
    ] {
        assert_eq!(
            Reserved::<Host>::new(core, bad).expect_err("makes no sense"),
            AdmissionError::BadReservation,
            "{bad:?}"
        );
    }
    // A reservation of polls that never end fits alone; but nobody else beside it, nor it beside anybody.
    let endless = sane.longest_poll(Duration::MAX);
    let alone = Reserved::<Host>::new(core, endless);
    drop(alone);
    settle(core);
    let first = Reserved::<Host>::new(core, sane).expect("fits");
    assert!(matches!(
        Reserved::<Host>::new(
            core,
            Reservation::new(ms(1), ms(20)).longest_poll(Duration::MAX)
        ),
        Err(AdmissionError::DoesNotFit { free_ppm: 0, .. })
    ));
    let changed = first.change(Reservation::new(Duration::ZERO, ms(1)));
    assert_eq!(changed, Err(AdmissionError::BadReservation));
    assert!(matches!(
        Reserved::<Host>::new(missing(), sane),
        Err(AdmissionError::NoCore)
    ));
    let task = Task::<Host>::new("elsewhere")
        .core(missing())
        .within(&first);
    assert!(matches!(
        task.spawn(async {}),
        Err(SpawnError::NoCore { .. })
    ));
}

#[test]
fn cores_that_cannot_be() {
    let fleet = Host::fleet();
    let good = CoreConfig::new();
    for (bad, field) in [
        (CoreConfig { tasks: 0, ..good }, "tasks"),
        (
            CoreConfig {
                tasks: usize::MAX - 1,
                ..good
            },
            "tasks",
        ),
        (
            CoreConfig {
                remote_tasks: 2000,
                ..good
            },
            "remote_tasks",
        ),
        (
            CoreConfig {
                timers: usize::MAX,
                ..good
            },
            "timers",
        ),
        (
            CoreConfig {
                reservations: 1 << 20,
                ..good
            },
            "reservations",
        ),
        (
            CoreConfig {
                best_effort_budget: Duration::ZERO,
                ..good
            },
            "best_effort_budget",
        ),
        (
            CoreConfig {
                best_effort_period: Duration::ZERO,
                ..good
            },
            "best_effort_budget",
        ),
        (
            CoreConfig {
                limit_permille: 0,
                ..good
            },
            "limit_permille",
        ),
        (
            CoreConfig {
                open_period: Duration::ZERO,
                ..good
            },
            "open_period",
        ),
        (
            CoreConfig {
                open_period: Duration::MAX,
                ..good
            },
            "open_period",
        ),
    ] {
        match fleet.start_core(missing(), bad) {
            Err(StartError::BadConfig(named)) => assert!(named.contains(field), "{named}"),
            other => panic!("{field}: {other:?}"),
        }
    }
    let core = become_core(good);
    assert_eq!(
        fleet.start_core(core, good),
        Err(StartError::AlreadyStarted(core))
    );
    assert_eq!(fleet.step(missing()), Err(RunError::NotStarted(missing())));
    let other = background(good);
    assert_eq!(fleet.step(other.core), Err(RunError::NotHere(other.core)));
    let nested = block_on(core, async move { fleet.step(core) });
    assert_eq!(nested, Err(RunError::Nested(core)));
}

/// A deadline in the past, at once, or never: first come those which are due first, and all come.
#[test]
fn deadlines_before_now_and_after_all_time() {
    let core = become_core(CoreConfig::new());
    let log = Rc::new(RefCell::new(Vec::new()));
    let note = |name| {
        let log = log.clone();
        async move {
            log.borrow_mut().push(name);
            // Another one, even more in the past.
            executor::set_deadline::<Host>(0);
            yield_now().await;
            log.borrow_mut().push(name);
        }
    };
    let spawn = |name, task: Task<Host>| {
        task.spawn_local(note(name)).expect("spawns").detach();
    };
    spawn("never", Task::new("").deadline_at(u64::MAX));
    spawn("far", Task::new("").deadline_after(Duration::MAX));
    spawn("now", Task::new("").deadline_after(Duration::ZERO));
    spawn("first", Task::new("").deadline_at(0));
    settle(core);
    let log = log.borrow();
    assert_eq!(log[..4], ["first", "first", "now", "now"]);
    assert_eq!(log.len(), 8);
}

#[test]
fn absurd_times_and_weights() {
    let core = become_core(CoreConfig::new());
    block_on(core, async {
        time::sleep::<Host>(Duration::ZERO).await;
        time::sleep_until::<Host>(0).await;
        let never = time::sleep::<Host>(Duration::MAX);
        assert_eq!(never.until(), u64::MAX);
        assert_eq!(
            time::timeout::<Host, _>(Duration::ZERO, never).await,
            Err(time::Elapsed)
        );
        let mut every_tick = time::interval::<Host>(Duration::ZERO);
        let first = every_tick.tick().await;
        assert_eq!(every_tick.tick().await, first + 1);
        let mut never = time::interval::<Host>(Duration::MAX);
        assert_eq!(never.skip_missed(), 0);
        assert!(time::timeout::<Host, _>(ms(1), never.tick()).await.is_err());
        for weight in [0, 1, u32::MAX] {
            let task = Task::<Host>::new("weighted").weight(weight);
            let handle = task.spawn(async {
                for _ in 0..10 {
                    yield_now().await;
                }
            });
            assert_eq!(handle.expect("spawns").await, Ok(()));
        }
    });
}

#[test]
fn nothing_reaches_the_dead_or_a_missing_core() {
    let core = become_core(CoreConfig::new());
    let other = background(CoreConfig::new());
    let fleet = Host::fleet();
    let there = other.core;
    let (id, waker) = block_on(core, async move {
        let task = Task::<Host>::new("dead")
            .spawn(std::future::poll_fn(|context| {
                std::task::Poll::Ready(context.waker().clone())
            }))
            .expect("spawns");
        let id = task.id();
        (id, task.await.expect("finishes"))
    });
    // A new occupant of the same slot is not disturbed.
    let spawn = || {
        Task::<Host>::new("heir")
            .spawn_local(pending::<()>())
            .expect("spawns")
    };
    let mut heir = spawn();
    for _ in 0..4 {
        if heir.id().slot() != id.slot() {
            heir = spawn();
        }
    }
    settle(core);
    assert_eq!((heir.id().slot(), heir.id() == id), (id.slot(), false));
    let polls = || fleet.task(heir.id()).expect("lives").polls;
    let before = polls();
    let disturb = || {
        waker.wake_by_ref();
        fleet.wake(id);
        assert!(!fleet.cancel(id));
        assert!(fleet.task(id).is_none());
    };
    disturb();
    in_interrupt(disturb);
    std::thread::scope(|scope| {
        scope.spawn(disturb);
    });
    assert_eq!(fleet.move_task(id, there), Err(MoveError::Gone));
    assert_eq!(fleet.abandon(id), Err(AbandonError::Gone));
    settle(core);
    assert_eq!(polls(), before);
    assert_eq!(
        fleet.move_task(heir.id(), missing()),
        Err(MoveError::NoCore)
    );
    assert!(matches!(
        Task::<Host>::new("nowhere")
            .core(missing())
            .spawn_local(async {}),
        Err(SpawnError::NoCore { .. })
    ));
    assert!(heir.cancel() && fleet.task(heir.id()).is_some());
    settle(core);
    let joined = block_on(core, heir);
    assert_eq!(joined, Err(JoinError::Cancelled));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Ids made up from nothing name nobody, on this core or a missing one. (The others belong to other tests.)
    #[test]
    fn made_up_ids(ids in prop::collection::vec((any::<u64>(), any::<bool>(), 0u64..8, 0u64..4), 1..40)) {
        let core = {
            thread_local!(static CORE: CoreId = become_core(CoreConfig { tasks: 4, remote_tasks: 2, ..CoreConfig::new() }));
            CORE.with(|core| *core)
        };
        let fleet = Host::fleet();
        let alive = Task::<Host>::new("alive").spawn_local(pending::<()>()).expect("spawns");
        settle(core);
        for (wild, here, slot, generation) in ids {
            let place = if here { core } else { missing() }.index() as u64;
            let near = generation << 28 | slot << 8;
            for bits in [wild & !0xff, near, near | 1 << 63] {
                let id = TaskId::from_bits(bits | place);
                if id == alive.id() {
                    continue;
                }
                fleet.wake(id);
                prop_assert!(!fleet.cancel(id), "{id}");
                prop_assert!(fleet.abandon(id).is_err(), "{id}");
                prop_assert!(fleet.task(id).is_none(), "{id}");
                prop_assert!(fleet.move_task(id, core).is_err(), "{id}");
            }
        }
        settle(core);
        prop_assert!(!alive.is_finished());
        alive.abort();
        settle(core);
    }
}
