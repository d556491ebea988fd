//! Who gets how much of what is left, and in what turns: under virtual time, one simulated core per test.
#[allow(dead_code)]
#[path = "common/machine.rs"]
mod machine;

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use executor::{CoreConfig, Platform, Reservation, Reserved, Step, Task, yield_now};
use machine::*;

#[test]
fn turns_are_strict_while_polls_are_short() {
    start(CoreConfig::new());
    let log = Rc::new(RefCell::new(Vec::new()));
    for (name, deadline) in [
        ("a", None),
        ("b", None),
        ("due later", Some(20)),
        ("due", Some(10)),
        ("due too", Some(10)),
    ] {
        let log = log.clone();
        let task = Task::<Virtual>::new(name);
        let task = if let Some(deadline) = deadline {
            task.deadline_at(deadline)
        } else {
            task
        };
        task.spawn_local(async move {
            for _ in 0..2 {
                log.borrow_mut().push(name);
                work(10);
                yield_now().await;
            }
        })
        .expect("spawns")
        .detach();
    }
    run_until(NOW.get() + US);
    assert_eq!(
        *log.borrow(),
        [
            "due",
            "due too",
            "due",
            "due too",
            "due later",
            "due later",
            "a",
            "b",
            "a",
            "b"
        ]
    );
}

#[test]
fn best_effort_shares_by_weight() {
    start(CoreConfig::new());
    let light = hog(Task::new("light").weight(1024), 30 * US);
    let heavy = hog(Task::new("heavy").weight(3072), 70 * US);
    let begin = NOW.get();
    run_until(begin + 1000 * MS);
    let ratio = heavy.get() as f64 / light.get() as f64;
    assert!((2.9..3.1).contains(&ratio), "{ratio}");
}

/// Weights far below the default, beside it and among themselves; a few tasks, and more than are dealt out at a time.
#[test]
fn shares_follow_weights_over_three_decades() {
    start(CoreConfig::new());
    for copies in [1, 20] {
        let weights = [1u32, 3, 16, 64, 200, 1024];
        let tasks: Vec<_> = weights
            .iter()
            .flat_map(|&weight| (0..copies).map(move |_| weight))
            .map(|weight| (weight, hog(Task::new("weighted").weight(weight), 50 * US)))
            .collect();
        let begin = NOW.get();
        run_until(begin + 654 * MS * copies);
        let total: u64 = tasks.iter().map(|(_, got)| got.get()).sum();
        let weight: u64 = tasks.iter().map(|&(weight, _)| u64::from(weight)).sum();
        for (own, got) in &tasks {
            let expected = total as f64 * f64::from(*own) / weight as f64;
            // To within a poll, and the polls by which it may be ahead at the end.
            let error = (got.get() as f64 - expected).abs();
            assert!(
                error <= 150.0 * US as f64 + expected / 50.0,
                "{copies} copies, weight {own}: {} of {expected}",
                got.get()
            );
        }
        let mut ids = Vec::new();
        Virtual::fleet().for_each_task(|task| ids.push(task.id));
        for id in ids {
            Virtual::fleet().cancel(id);
        }
        run_until(NOW.get() + 1000 * MS);
    }
}

/// A best-effort task that gives itself a deadline leaves its queue, wherever in virtual time that has come to.
#[test]
fn best_effort_may_take_on_a_deadline_at_any_time() {
    start(CoreConfig::new());
    let rest = hog(Task::new("rest"), 40 * US);
    for _ in 0..20 {
        run_until(NOW.get() + 3 * MS);
        let done = Rc::new(Cell::new(false));
        let seen = done.clone();
        Task::<Virtual>::new("late riser")
            .spawn_local(async move {
                busy(200 * US, 50 * US).await;
                executor::set_deadline::<Virtual>(NOW.get() + 100 * US);
                let before = NOW.get();
                yield_now().await;
                work(10 * US);
                yield_now().await;
                seen.set(NOW.get() - before <= 60 * US);
            })
            .expect("spawns")
            .detach();
        run_until(NOW.get() + 3 * MS);
        assert!(done.get(), "it comes before best effort now");
    }
    let before = rest.get();
    run_until(NOW.get() + 10 * MS);
    assert!(rest.get() > before + 9 * MS);
}

#[test]
fn tasks_with_deadlines_leave_best_effort_its_part() {
    start(CoreConfig::new());
    let urgent = hog(Task::new("urgent").deadline_after(us(10)), 20 * US);
    let rest = hog(Task::new("rest"), 20 * US);
    let begin = NOW.get();
    run_until(begin + 1000 * MS);
    assert_eq!(urgent.get() + rest.get(), 1000 * MS);
    let share = rest.get() as f64 / (1000 * MS) as f64;
    assert!((0.049..0.056).contains(&share), "{share}");
}

#[test]
fn reclaiming_takes_what_others_leave() {
    start(CoreConfig::new());
    let reserve = |budget| Reservation::new(us(budget), us(10_000));
    let idle = Reserved::<Virtual>::new(CORE, reserve(4000)).expect("fits");
    let plain = hog(Task::new("plain").reservation(reserve(1000)), 20 * US);
    let clever = hog(
        Task::new("clever").reservation(reserve(1000).reclaiming()),
        20 * US,
    );
    let begin = NOW.get();
    run_until(begin + 1000 * MS);
    let share = |got: &Cell<u64>| got.get() as f64 / (1000 * MS) as f64;
    assert!((0.099..0.103).contains(&share(&plain)), "{}", share(&plain));
    assert!(share(&clever) > 0.4, "{}", share(&clever));
    drop(idle);
}

#[test]
fn a_zero_lag_time_arms_no_timer() {
    start(CoreConfig::new());
    let reserve = |budget| Reservation::new(us(budget), us(10_000));
    let other = Reserved::<Virtual>::new(CORE, reserve(1000).reclaiming()).expect("fits");
    Task::<Virtual>::new("sleeper")
        .reservation(reserve(4000))
        .spawn_local(async {
            work(10);
            std::future::pending::<()>().await;
        })
        .expect("spawns")
        .detach();
    let fleet = Virtual::fleet();
    while fleet.step(CORE) == Ok(Step::Ran) {}
    assert_eq!(fleet.step(CORE), Ok(Step::Idle(None)));
    drop(other);
}

/// A task that runs in windows, as a thread in ring 3 does: what it got, and its longest window.
fn windowed(name: &'static str) -> Rc<Cell<(u64, u64)>> {
    let got = Rc::new(Cell::new((0, 0)));
    let count = got.clone();
    Task::<Virtual>::new(name)
        .spawn_local(async move {
            loop {
                let Some(window) = executor::preemptible::<Virtual>() else {
                    yield_now().await;
                    continue;
                };
                let until = window.until().min(NOW.get() + 10 * MS);
                let ran = until - NOW.get();
                NOW.set(until);
                assert!(until < 10_000 * MS, "it is never interrupted");
                let (total, longest) = count.get();
                count.set((total + ran, ran.max(longest)));
            }
        })
        .expect("spawns")
        .detach();
    got
}

#[test]
fn best_effort_in_windows_takes_turns() {
    start(CoreConfig::new());
    let (a, b) = (windowed("a"), windowed("b"));
    run_until(NOW.get() + 1000 * MS);
    for (total, longest) in [a.get(), b.get()] {
        assert!((495 * MS..505 * MS).contains(&total), "{total}");
        assert!(longest <= 2 * MS, "{longest}");
    }
}
