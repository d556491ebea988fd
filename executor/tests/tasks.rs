//! Spawning, waking, joining, cancelling, on host threads.
#[allow(dead_code)]
mod common;

use std::{
    cell::RefCell,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use common::{Host, background, become_core, block_on, in_interrupt, settle};
use executor::{CoreConfig, JoinError, Platform, SpawnError, Task, time, yield_now};

#[test]
fn local_tasks_run_in_turns() {
    let core = become_core(CoreConfig::new());
    let log = Rc::new(RefCell::new(Vec::new()));
    for name in ["a", "b"] {
        let log = log.clone();
        Task::<Host>::new(name)
            .spawn_local(async move {
                for round in 0..3 {
                    log.borrow_mut().push((name, round));
                    yield_now().await;
                }
            })
            .expect("spawns")
            .detach();
    }
    settle(core);
    // Strict turns hold while polls are short; here that depends on the machine (tests/shares.rs has them under virtual time).
    for name in ["a", "b"] {
        let rounds: Vec<_> = log
            .borrow()
            .iter()
            .filter(|entry| entry.0 == name)
            .map(|entry| entry.1)
            .collect();
        assert_eq!(rounds, [0, 1, 2]);
    }
}

#[test]
fn join_gives_the_output() {
    let core = become_core(CoreConfig::new());
    let sum = block_on(core, async {
        let first = Task::<Host>::new("first")
            .spawn(async { 40 })
            .expect("spawns");
        let second = Task::<Host>::new("second")
            .spawn_local(async {
                time::sleep::<Host>(Duration::from_millis(2)).await;
                Box::new(2)
            })
            .expect("spawns");
        first.await.expect("first") + *second.await.expect("second")
    });
    assert_eq!(sum, 42);
}

#[test]
fn earliest_deadline_first() {
    let core = become_core(CoreConfig::new());
    let log = Rc::new(RefCell::new(Vec::new()));
    for deadline in [50u64, 10, 30, 20, 10, 40] {
        let log = log.clone();
        Task::<Host>::new("timed")
            .deadline_at(deadline)
            .spawn_local(async move { log.borrow_mut().push(deadline) })
            .expect("spawns")
            .detach();
    }
    settle(core);
    assert_eq!(*log.borrow(), [10, 10, 20, 30, 40, 50]);
}

#[test]
fn cancel_drops_the_future() {
    let core = become_core(CoreConfig::new());
    let alive = Rc::new(());
    let held = alive.clone();
    let result = block_on(core, async move {
        let task = Task::<Host>::new("sleeper")
            .spawn_local(async move {
                let _held = held;
                time::sleep::<Host>(Duration::from_secs(1000)).await;
            })
            .expect("spawns");
        yield_now().await;
        assert!(task.cancel());
        task.await
    });
    assert_eq!(result, Err(JoinError::Cancelled));
    assert_eq!(Rc::strong_count(&alive), 1);
}

#[test]
fn spawns_across_cores() {
    let core = become_core(CoreConfig::new());
    let other = background(CoreConfig::new());
    let count = Arc::new(AtomicUsize::new(0));
    let seen = count.clone();
    let there = other.core;
    block_on(core, async move {
        for _ in 0..1000 {
            let seen = seen.clone();
            let index = Task::<Host>::new("remote")
                .core(there)
                .spawn(async move {
                    yield_now().await;
                    seen.fetch_add(1, Ordering::Relaxed);
                    Host::here().core().map(|core| core.index())
                })
                .expect("spawns")
                .await
                .expect("joins");
            assert_eq!(index, Some(there.index()));
        }
    });
    assert_eq!(count.load(Ordering::Relaxed), 1000);
}

#[test]
fn wakes_from_an_interrupt() {
    let core = become_core(CoreConfig::new());
    let state = Arc::new(AtomicUsize::new(0));
    let waker = Rc::new(RefCell::new(None));
    let (seen, slot) = (state.clone(), waker.clone());
    Task::<Host>::new("driver")
        .spawn_local(async move {
            std::future::poll_fn(|context| {
                *slot.borrow_mut() = Some(context.waker().clone());
                if seen.fetch_add(1, Ordering::Relaxed) == 1 {
                    std::task::Poll::Ready(())
                } else {
                    std::task::Poll::Pending
                }
            })
            .await;
        })
        .expect("spawns")
        .detach();
    settle(core);
    let waker = waker.borrow_mut().take().expect("was polled");
    in_interrupt(|| waker.wake_by_ref());
    settle(core);
    assert_eq!(state.load(Ordering::Relaxed), 2);
    // After death: nothing.
    waker.wake_by_ref();
    in_interrupt(|| waker.wake());
    settle(core);
    assert_eq!(state.load(Ordering::Relaxed), 2);
}

#[test]
fn refusals() {
    let core = become_core(CoreConfig {
        tasks: 2,
        remote_tasks: 0,
        ..CoreConfig::new()
    });
    let missing = executor::CoreId::new(250).expect("a number");
    assert!(matches!(
        Task::<Host>::new("x").core(missing).spawn(async {}),
        Err(SpawnError::NoCore { .. })
    ));
    for _ in 0..2 {
        Task::<Host>::new("x")
            .spawn(std::future::pending::<()>())
            .expect("fits")
            .detach();
    }
    assert!(matches!(
        Task::<Host>::new("x").spawn(async {}),
        Err(SpawnError::NoSlot { tasks: 2, .. })
    ));
    std::thread::spawn(move || {
        assert!(matches!(
            Task::<Host>::new("x").spawn(async {}),
            Err(SpawnError::NoHome)
        ));
        assert!(matches!(
            Task::<Host>::new("x").core(core).spawn_local(async {}),
            Err(SpawnError::NotHere { .. })
        ));
        assert!(matches!(
            Task::<Host>::new("x").core(core).spawn(async {}),
            Err(SpawnError::NoSlot { .. })
        ));
    })
    .join()
    .expect("asserts hold");
}
