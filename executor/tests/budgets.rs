//! Reservations and lateness under virtual time: the shipped scheduler, one simulated core per test.
#[allow(dead_code)]
#[path = "common/machine.rs"]
mod machine;

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    rc::Rc,
    task::Poll,
    time::Duration,
};

use executor::{
    AdmissionError, CoreConfig, Event, Late, Platform, Reservation, Reserved, SpawnError, Step,
    Task, sync::Notify, time, yield_now,
};
use machine::*;

/// Starts the core, unless this test did so before.
fn start_once() {
    if Virtual::fleet().cores().next().is_none() {
        start(CoreConfig::new());
    }
}

#[test]
fn a_hard_reservation_gets_its_budget_and_no_more() {
    start(CoreConfig::new());
    let alone = hog(
        Task::new("hard").reservation(Reservation::new(us(2000), us(10_000))),
        50 * US,
    );
    let begin = NOW.get();
    run_until(begin + 1000 * MS);
    let share = alone.get() as f64 / (1000 * MS) as f64;
    assert!(
        (0.2..=0.2025).contains(&share),
        "alone on the core: {share}"
    );
}

#[test]
fn an_overrunning_soft_reservation_hurts_only_itself() {
    start(CoreConfig::new());
    let greedy = hog(
        Task::new("soft").reservation(Reservation::new(us(1000), us(10_000)).soft()),
        50 * US,
    );
    let misses = Rc::new(Cell::new(0));
    let (missed, jobs) = (misses.clone(), Rc::new(Cell::new(0u64)));
    let done = jobs.clone();
    Task::<Virtual>::new("periodic")
        .reservation(Reservation::new(us(4000), us(8000)))
        .spawn_local(async move {
            let mut interval = time::interval::<Virtual>(us(8000));
            loop {
                let due = interval.tick().await + 8 * MS;
                busy(3900 * US, 50 * US).await;
                done.set(done.get() + 1);
                missed.set(missed.get() + u64::from(NOW.get() > due));
            }
        })
        .expect("spawns")
        .detach();
    let rest = hog(Task::new("best effort"), 50 * US);
    let begin = NOW.get();
    run_until(begin + 4000 * MS);
    assert!(jobs.get() >= 498, "{}", jobs.get());
    assert_eq!(misses.get(), 0, "the admitted reservation misses nothing");
    let share = |got: &Cell<u64>| got.get() as f64 / (4000 * MS) as f64;
    assert!(share(&greedy) > 0.099, "{}", share(&greedy));
    assert!(
        share(&rest) > 0.049,
        "best effort is sure of its part: {}",
        share(&rest)
    );
}

#[test]
fn a_throttled_task_cannot_delay_another_and_lateness_says_throttled() {
    start(CoreConfig::new());
    hog(
        Task::new("hog").reservation(Reservation::new(us(5000), us(10_000))),
        20 * US,
    );
    let worst = Rc::new(Cell::new(0));
    let seen = worst.clone();
    Task::<Virtual>::new("urgent")
        .reservation(Reservation::new(us(200), us(1000)))
        .spawn_local(async move {
            let mut interval = time::interval::<Virtual>(us(1000));
            loop {
                let due = interval.tick().await;
                work(20 * US);
                seen.set(seen.get().max(NOW.get() - due));
            }
        })
        .expect("spawns")
        .detach();
    let begin = NOW.get();
    run_until(begin + 500 * MS);
    assert!(
        worst.get() <= 60 * US,
        "one poll of the other and its own: {}",
        worst.get()
    );
}

#[test]
fn reservations_change_and_go_while_they_run() {
    start(CoreConfig::new());
    let reserved =
        Reserved::<Virtual>::new(CORE, Reservation::new(us(1000), us(10_000))).expect("fits");
    let got = hog(Task::new("member").within(&reserved), 50 * US);
    let mut begin = NOW.get();
    run_until(begin + 500 * MS);
    let share = |got: u64| got as f64 / (500 * MS) as f64;
    assert!(
        (0.0995..0.11).contains(&share(got.get())),
        "{}",
        share(got.get())
    );
    reserved
        .change(Reservation::new(us(3000), us(10_000)))
        .expect("fits");
    let before = got.get();
    begin = NOW.get();
    run_until(begin + 500 * MS);
    assert!(
        (0.29..0.31).contains(&share(got.get() - before)),
        "{}",
        share(got.get() - before)
    );
    let refusal = reserved
        .change(Reservation::new(us(9800), us(10_000)))
        .expect_err("too much");
    assert!(refusal.excess_ppm() > 100_000, "{refusal}");
    let (load, limit) = Virtual::fleet().load_ppm(CORE).expect("a core");
    assert_eq!((load, limit), (350_000, 950_000));
    let mut ids = Vec::new();
    Virtual::fleet().for_each_task(|task| ids.push(task.id));
    assert_eq!(ids.len(), 1);
    assert!(Virtual::fleet().cancel(ids[0]));
    drop(reserved);
    let begin = NOW.get();
    run_until(begin + 50 * MS);
    assert_eq!(
        Virtual::fleet().load_ppm(CORE),
        Some((50_000, 950_000)),
        "the bandwidth came back"
    );
}

#[test]
fn refusals_say_by_how_much() {
    start(CoreConfig::new());
    let spawn = |budget, period| {
        Task::<Virtual>::new("r")
            .reservation(Reservation::new(us(budget), us(period)))
            .spawn_local(std::future::pending::<()>())
    };
    spawn(6000, 10_000).expect("60 % fit").detach();
    let Err(SpawnError::Refused {
        error:
            AdmissionError::DoesNotFit {
                wanted_ppm,
                free_ppm,
                ..
            },
        ..
    }) = spawn(3000, 10_000)
    else {
        panic!("30 % more do not fit")
    };
    assert_eq!(wanted_ppm, 300_000);
    assert!((240_000..=250_000).contains(&free_ppm), "{free_ppm}");
    for (budget, period) in [(0, 10), (11, 10), (0, 0)] {
        assert!(matches!(
            spawn(budget, period),
            Err(SpawnError::Refused {
                error: AdmissionError::BadReservation,
                ..
            })
        ));
    }
    let absurd = Reservation::new(Duration::MAX, Duration::MAX);
    assert!(
        Task::<Virtual>::new("r")
            .reservation(absurd)
            .spawn_local(async {})
            .is_err()
    );
}

#[test]
fn every_miss_has_a_cause() {
    start(CoreConfig::new());
    let go = Rc::new(Notify::new());
    let wait = go.clone();
    // Blocked by the poll of a later task.
    Task::<Virtual>::new("late")
        .deadline_at(NOW.get() + 1000 * MS)
        .spawn_local(async move {
            wait.notify_one();
            work(5 * MS);
        })
        .expect("spawns")
        .detach();
    let wait = go.clone();
    Task::<Virtual>::new("early")
        .deadline_after(us(1000))
        .spawn_local(async move { wait.notified().await })
        .expect("spawns")
        .detach();
    run_until(NOW.get() + 10 * MS);
    // Its own work; a deadline in the past; behind another.
    Task::<Virtual>::new("long")
        .deadline_after(us(100))
        .spawn_local(async { work(MS) })
        .expect("spawns")
        .detach();
    run_until(NOW.get() + 10 * MS);
    Task::<Virtual>::new("past")
        .deadline_at(5)
        .spawn_local(async { work(1) })
        .expect("spawns")
        .detach();
    run_until(NOW.get() + 10 * MS);
    for name in ["first", "second"] {
        Task::<Virtual>::new(name)
            .deadline_after(us(100))
            .spawn_local(async { work(90 * US) })
            .expect("spawns")
            .detach();
    }
    run_until(NOW.get() + 10 * MS);
    // Throttled.
    Task::<Virtual>::new("throttled")
        .reservation(Reservation::new(us(1000), us(10_000)))
        .spawn_local(busy(3 * MS, 50 * US))
        .expect("spawns")
        .detach();
    run_until(NOW.get() + 50 * MS);
    let causes: Vec<Late> = EVENTS.with_borrow(|events| {
        events
            .iter()
            .filter_map(|event| {
                if let Event::Missed { cause, .. } = event {
                    Some(*cause)
                } else {
                    None
                }
            })
            .collect()
    });
    assert_eq!(
        causes,
        [
            Late::BlockedByPoll,
            Late::OwnWork,
            Late::WokenLate,
            Late::Queued,
            Late::Throttled
        ]
    );
    let long_polls = EVENTS.with_borrow(|events| {
        events
            .iter()
            .filter(|event| matches!(event, Event::LongPoll { .. }))
            .count()
    });
    assert!(
        long_polls >= 2,
        "polls beyond the core's limit are reported: {long_polls}"
    );
}

#[test]
fn jobs_that_wait_for_their_budget_are_counted_once_each() {
    start(CoreConfig::new());
    let go = Rc::new(Notify::new());
    let wait = go.clone();
    let task = Task::<Virtual>::new("jobs")
        .reservation(Reservation::new(us(1000), us(10_000)))
        .spawn_local(async move {
            loop {
                wait.notified().await;
                busy(3 * MS, 50 * US).await;
                wait.notified().await;
                busy(100 * US, 50 * US).await;
            }
        })
        .expect("spawns");
    let look = || Virtual::fleet().task(task.id()).expect("lives").throttles;
    for round in 1..4 {
        go.notify_one();
        run_until(NOW.get() + 100 * MS);
        assert_eq!(look(), round, "the long one");
        go.notify_one();
        run_until(NOW.get() + 100 * MS);
        assert_eq!(look(), round, "the short one");
    }
}

#[test]
fn ten_thousand_sleepers_wake_in_order() {
    start(CoreConfig {
        tasks: 10_000,
        timers: 10_000,
        ..CoreConfig::new()
    });
    let order = Rc::new(RefCell::new(Vec::new()));
    let begin = NOW.get();
    for index in 0..9_800u64 {
        let (order, due) = (order.clone(), begin + 1000 + index * 7919 % 9_800 * 100);
        Task::<Virtual>::new("sleeper")
            .spawn_local(async move {
                time::sleep_until::<Virtual>(due).await;
                assert!(NOW.get() >= due, "never early");
                order.borrow_mut().push(due);
            })
            .expect("spawns")
            .detach();
    }
    run_until(begin + 10 * MS);
    assert_eq!(order.borrow().len(), 9_800);
    assert!(order.borrow().is_sorted());
}

#[test]
fn spawn_and_cancel_races_leave_memory_flat() {
    start(CoreConfig {
        tasks: 64,
        remote_tasks: 0,
        ..CoreConfig::new()
    });
    let mut held = 0;
    // The rest with `scripts/test --long`.
    let rounds = match std::env::var_os("RAEDE_TEST_LONG") {
        Some(_) => 1_000_000u64,
        None => 20_000,
    };
    for round in 0..rounds {
        let task = Task::<Virtual>::new("victim")
            .spawn_local(async move {
                let _sleep = time::sleep::<Virtual>(us(1000)).await;
                round
            })
            .expect("a slot is free again");
        let id = task.id();
        if round % 3 != 0 {
            run_until(NOW.get() + 1);
            NOW.set(NOW.get() + 1);
            Virtual::fleet().step(CORE).expect("runs here");
        }
        match round % 4 {
            0 => drop(task),
            1 => task.abort(),
            _ => {
                assert!(task.cancel());
                task.detach();
            }
        }
        while Virtual::fleet().step(CORE).expect("runs here") == Step::Ran {}
        if round % 4 == 0 {
            NOW.set(NOW.get() + 2 * MS);
            while Virtual::fleet().step(CORE).expect("runs here") == Step::Ran {}
        }
        assert!(Virtual::fleet().task(id).is_none(), "gone");
        assert!(
            !Virtual::fleet().cancel(id),
            "a cancel after death does nothing"
        );
        Virtual::fleet().wake(id);
        let bytes = Virtual::fleet()
            .core_stats(CORE)
            .expect("a core")
            .slab_bytes
            .get();
        if round == 100 {
            held = bytes;
        }
        assert!(
            round <= 100 || bytes == held,
            "memory grows: {bytes} from {held}"
        );
    }
}

/// Waits to be told of an event, `times` times, with polls of `poll` ticks; counts.
fn listener(task: Task<Virtual>, poll: u64, times: u64) -> Rc<Cell<u64>> {
    let heard = Rc::new(Cell::new(0));
    let count = heard.clone();
    let body = poll_fn(move |context| {
        TOLD.with_borrow_mut(|told| {
            if !told.iter().any(|waker| waker.will_wake(context.waker())) {
                told.push(context.waker().clone());
            }
        });
        work(poll);
        count.set(count.get() + 1);
        if count.get() > times {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    });
    task.spawn_local(body).expect("spawns").detach();
    heard
}

#[test]
fn events_may_wake_tasks_of_their_core() {
    start(CoreConfig::new());
    let reserved = Reservation::new(us(100), us(1000));
    let told = [
        listener(Task::new("fair"), 1, u64::MAX - 1),
        listener(Task::new("open").deadline_after(us(5000)), 1, u64::MAX - 1),
        listener(Task::new("reserved").reservation(reserved), 1, u64::MAX - 1),
    ];
    // Each poll of this one is too long and reported: that wakes itself and the others, of every class.
    let noisy = listener(Task::new("noisy"), 100 * US, 5);
    run_until(20 * MS);
    assert_eq!(noisy.get(), 6, "woken by the report of its own poll");
    for heard in told {
        assert_eq!(heard.get(), 7, "once of its own, then for each report");
    }
}

/// Start-up code spawns and wakes before the core has run, and between two steps: what is due when counts from then.
#[test]
fn outside_of_the_loop_the_clock_itself_says_the_time() {
    start(CoreConfig::new());
    NOW.set(NOW.get() + 50 * MS);
    let task = Task::<Virtual>::new("early")
        .deadline_after(us(1000))
        .spawn_local(std::future::pending::<()>())
        .expect("spawns");
    let reserved = Task::<Virtual>::new("reserved")
        .reservation(Reservation::new(us(100), us(2000)))
        .spawn_local(std::future::pending::<()>())
        .expect("spawns");
    let look = |id| Virtual::fleet().task(id).expect("lives");
    assert_eq!(look(task.id()).spawned_at, NOW.get());
    assert_eq!(look(task.id()).deadline, Some(NOW.get() + MS));
    let due = NOW.get() + 2 * MS;
    while Virtual::fleet().step(CORE).expect("runs here") == Step::Ran {
        work(1);
    }
    assert_eq!(look(reserved.id()).misses + look(task.id()).misses, 0);
    assert!(due > NOW.get());
    NOW.set(NOW.get() + 50 * MS);
    Virtual::fleet().wake(task.id());
    assert_eq!(look(task.id()).deadline, Some(NOW.get() + MS));
    while Virtual::fleet().step(CORE).expect("runs here") == Step::Ran {}
    assert_eq!(look(task.id()).misses, 0, "it was not late");
}

/// Two reservations with equal rights: the one with the shorter period goes first, unless it says that nothing of it is due. Then nobody gets
/// more than before: who let time go by has not saved it up.
#[test]
fn who_is_in_no_hurry_lets_others_go_first() {
    for (hurry, first) in [(0, "short"), (u64::MAX, "long")] {
        start_once();
        let order = Rc::new(RefCell::new(Vec::new()));
        let begin = NOW.get() + 20 * MS;
        let note = order.clone();
        Task::<Virtual>::new("short")
            .reservation(Reservation::new(us(4000), us(10_000)))
            .spawn_local(async move {
                time::sleep_until::<Virtual>(begin).await;
                for _ in 0..30 {
                    executor::postpone::<Virtual>(hurry);
                    work(100 * US);
                    executor::checkpoint::<Virtual>().await;
                }
                note.borrow_mut().push("short");
            })
            .expect("spawns")
            .detach();
        let note = order.clone();
        Task::<Virtual>::new("long")
            .reservation(Reservation::new(us(4000), us(12_000)))
            .spawn_local(async move {
                time::sleep_until::<Virtual>(begin + MS).await;
                busy(1000 * US, 100 * US).await;
                note.borrow_mut().push("long");
            })
            .expect("spawns")
            .detach();
        run_until(begin + 50 * MS);
        assert_eq!(order.borrow()[0], first);
        assert_eq!(order.borrow().len(), 2);
    }
}

/// Who let time go by and then claims all it has is no more urgent than if it had been blocked meanwhile.
#[test]
fn postponing_saves_nothing_up() {
    start(CoreConfig::new());
    let order = Rc::new(RefCell::new(Vec::new()));
    let begin = NOW.get() + 20 * MS;
    let reserved = |name, budget, period| {
        Task::<Virtual>::new(name).reservation(Reservation::new(us(budget), us(period)))
    };
    let note = order.clone();
    reserved("postponed", 4000, 10_000)
        .spawn_local(async move {
            time::sleep_until::<Virtual>(begin).await;
            for _ in 0..30 {
                let calm = NOW.get() < begin + MS;
                executor::postpone::<Virtual>(if calm { u64::MAX } else { 0 });
                work(100 * US);
                yield_now().await;
            }
            note.borrow_mut().push("postponed");
        })
        .expect("spawns")
        .detach();
    // The second one comes once the first goes on, whose deadline was at 10 ms and is at 14 ms now, as it went on at 4 ms.
    for (name, wakes_at, budget, period) in
        [("first", 50, 4000, 14_000), ("second", 4500, 800, 9000)]
    {
        let note = order.clone();
        reserved(name, budget, period)
            .spawn_local(async move {
                time::sleep_until::<Virtual>(begin + wakes_at * US).await;
                busy((budget - 100) * US, 100 * US).await;
                note.borrow_mut().push(name);
            })
            .expect("spawns")
            .detach();
    }
    run_until(begin + 50 * MS);
    assert_eq!(*order.borrow(), ["first", "second", "postponed"]);
}
