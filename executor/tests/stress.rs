//! Several host threads at once: what crosses cores, and stays there. Modest counts: the suite also runs under
//! AddressSanitizer and valgrind.
#[allow(dead_code)]
mod common;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    task::{Poll, Waker},
    time::Duration,
};

use common::{Host, background, become_core, block_on};
use executor::{
    CoreConfig, JoinError, Platform, Task,
    sync::{Mutex, Notify, mpsc, oneshot},
    time, yield_now,
};

/// A foreign thread wakes a task of a core that halts in between: every wake is followed by a poll.
#[test]
fn no_wake_is_lost_and_none_is_doubled() {
    const WAKES: u64 = 20_000;
    let home = background(CoreConfig::new());
    let shared: Arc<(AtomicU64, AtomicU64, std::sync::Mutex<Option<Waker>>)> = Arc::default();
    let state = shared.clone();
    let task = Task::<Host>::new("woken")
        .core(home.core)
        .spawn(std::future::poll_fn(move |context| {
            let mut waker = state.2.lock().expect("not poisoned");
            if waker.is_none() {
                *waker = Some(context.waker().clone());
            }
            // Answer: as far as the waker had come.
            let seen = state.0.load(Ordering::Acquire);
            state.1.store(seen, Ordering::Release);
            if seen == WAKES {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        }))
        .expect("spawns");
    let waker = loop {
        if let Some(waker) = shared.2.lock().expect("not poisoned").clone() {
            break waker;
        }
        std::thread::yield_now();
    };
    for round in 1..=WAKES {
        shared.0.store(round, Ordering::Release);
        waker.wake_by_ref();
        while shared.1.load(Ordering::Acquire) < round {
            std::hint::spin_loop();
            std::thread::yield_now();
        }
    }
    while !task.is_finished() {
        std::thread::yield_now();
    }
    task.detach();
}

/// Two cores pass a value to and fro.
#[test]
fn ping_pong_between_cores() {
    let core = become_core(CoreConfig::new());
    let other = background(CoreConfig::new());
    let (ping, mut pinged) = mpsc::channel(1).expect("memory");
    let (pong, mut ponged) = mpsc::channel(1).expect("memory");
    Task::<Host>::new("echo")
        .core(other.core)
        .spawn(async move {
            while let Ok(value) = pinged.receive().await {
                pong.send(value + 1u64).await.expect("is awaited");
            }
        })
        .expect("spawns")
        .detach();
    block_on(core, async move {
        for round in 0..2000 {
            ping.send(round).await.expect("echo lives");
            assert_eq!(ponged.receive().await, Ok(round + 1));
        }
    });
}

/// Spawns, joins, drops and cancels race with the tasks they concern.
#[test]
fn spawn_join_cancel_across_cores() {
    let core = become_core(CoreConfig::new());
    let other = background(CoreConfig::new());
    let dropped = Arc::new(AtomicUsize::new(0));
    struct Count(Arc<AtomicUsize>);
    impl Drop for Count {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let there = other.core;
    // With `scripts/test --long` a million.
    let rounds = match std::env::var_os("RAEDE_TEST_LONG") {
        Some(_) => 1_000_000,
        None => 3000,
    };
    let bytes = move || {
        [core, there].map(|core| {
            let stats = Host::fleet().core_stats(core).expect("a core");
            stats.slab_bytes.get()
        })
    };
    let count = dropped.clone();
    block_on(core, async move {
        for round in 0..rounds {
            let guard = Count(count.clone());
            let task = Task::<Host>::new("raced")
                .core(there)
                .spawn(async move {
                    let guard = guard;
                    for _ in 0..round % 3 {
                        yield_now().await;
                    }
                    if round % 5 == 0 {
                        std::future::pending::<()>().await;
                    }
                    guard
                })
                .expect("slots come back");
            match round % 5 {
                0 => {
                    task.cancel();
                    assert!(matches!(task.await, Err(JoinError::Cancelled)));
                }
                1 => drop(task.await.expect("finishes")),
                2 => task.abort(),
                3 => {
                    task.cancel();
                    drop(task.await);
                }
                _ => task.detach(),
            }
            if round % 64 == 0 {
                time::sleep::<Host>(Duration::from_micros(200)).await;
            }
        }
        // No more than all slots for such tasks need at a time, however many there were.
        assert!(
            bytes().iter().all(|&held| held <= 64 << 10),
            "{:?}",
            bytes()
        );
        // A core that stops leaves its tasks where they are: wait for those that were let go.
        while count.load(Ordering::Relaxed) < rounds {
            time::sleep::<Host>(Duration::from_micros(200)).await;
        }
    });
    drop(other);
    assert_eq!(
        dropped.load(Ordering::Relaxed),
        rounds,
        "each future or output was dropped once"
    );
}

/// A mutex, a notification and one-shots between three cores.
#[test]
fn locks_hold_between_cores() {
    let core = become_core(CoreConfig::new());
    let others = [background(CoreConfig::new()), background(CoreConfig::new())];
    let total: Arc<Mutex<Host, u64>> = Arc::new(Mutex::new(0));
    let inside = Arc::new(AtomicBool::new(false));
    let all = Arc::new(Notify::new());
    let mut done = Vec::new();
    for task in 0..6 {
        let (total, inside, all) = (total.clone(), inside.clone(), all.clone());
        let (sender, receiver) = oneshot::channel().expect("memory");
        done.push(receiver);
        let there = if task % 3 == 2 {
            core
        } else {
            others[task % 3].core
        };
        Task::<Host>::new("locker")
            .core(there)
            .deadline_after(Duration::from_millis(1 + task as u64))
            .spawn(async move {
                for _ in 0..300 {
                    let mut guard = total.lock().await;
                    assert!(!inside.swap(true, Ordering::AcqRel), "alone");
                    *guard += 1;
                    yield_now().await;
                    inside.store(false, Ordering::Release);
                    drop(guard);
                    all.notify_one();
                }
                sender.send(Host::here().core()).expect("is awaited");
            })
            .expect("spawns")
            .detach();
    }
    block_on(core, async move {
        for receiver in done {
            receiver.await.expect("sends");
        }
        assert_eq!(*total.lock().await, 1800);
    });
}

/// A task is moved to and fro while it is woken, sleeps and is joined by its first id.
#[test]
fn moved_tasks_keep_their_ids_and_wakes() {
    let core = become_core(CoreConfig::new());
    let other = background(CoreConfig::new());
    let isolated = background(CoreConfig {
        isolated: true,
        ..CoreConfig::new()
    });
    let fleet = Host::fleet();
    assert_ne!(fleet.least_loaded(), Some(isolated.core));
    let there = other.core;
    block_on(core, async move {
        for round in 0..500u64 {
            let (sender, mut receiver) = mpsc::channel(4).expect("memory");
            let task = Task::<Host>::new("mover")
                .spawn(async move {
                    let mut sum = 0;
                    while let Ok(value) = receiver.receive().await {
                        sum += value;
                        time::sleep::<Host>(Duration::from_micros(value)).await;
                    }
                    (sum, Host::here().core())
                })
                .expect("spawns");
            let first = task.id();
            if round % 2 == 0 {
                sender.send(1u64).await.expect("received");
                yield_now().await;
            }
            let second = fleet.move_task(first, there).expect("moves");
            assert_eq!(second.core(), there);
            assert_eq!(
                fleet.move_task(first, there),
                Err(executor::MoveError::Gone)
            );
            for value in 2..5 {
                sender.send(value).await.expect("received");
            }
            if round % 5 == 4 {
                // By its first id.
                assert!(fleet.cancel(first));
                assert_eq!(task.await, Err(JoinError::Cancelled));
            } else {
                drop(sender);
                let (sum, ran_on) = task.await.expect("finishes");
                assert_eq!((sum, ran_on), (9 + (round + 1) % 2, Some(there)));
            }
        }
        let pinned = Task::<Host>::new("pinned")
            .spawn_local(std::future::pending::<()>())
            .expect("spawns");
        assert_eq!(
            fleet.move_task(pinned.id(), there),
            Err(executor::MoveError::Pinned)
        );
        pinned.abort();
    });
}
