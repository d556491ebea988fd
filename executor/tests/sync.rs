//! `executor::sync` on one core: order, cancellation, donation.
#[allow(dead_code)]
mod common;

use std::{cell::RefCell, rc::Rc, time::Duration};

use common::{Host, become_core, block_on, settle};
use executor::{
    CoreConfig, Task,
    sync::{Mutex, Notify, RwLock, Semaphore, broadcast, mpsc, oneshot},
    time, yield_now,
};
use futures_util::FutureExt;

type Log = Rc<RefCell<Vec<&'static str>>>;

#[test]
fn a_waiter_lends_its_deadline_to_the_holder() {
    let core = become_core(CoreConfig::new());
    let log: Log = Log::default();
    let mutex: Rc<Mutex<Host, ()>> = Rc::new(Mutex::new(()));
    let start = Rc::new(Notify::new());
    // A late task takes the mutex and works in several polls.
    let (l, m, s) = (log.clone(), mutex.clone(), start.clone());
    Task::<Host>::new("late")
        .deadline_at(3_000_000_000_000)
        .spawn_local(async move {
            let guard = m.lock().await;
            s.notified().await;
            for _ in 0..3 {
                l.borrow_mut().push("late");
                yield_now().await;
            }
            drop(guard);
            yield_now().await;
            l.borrow_mut().push("late after");
        })
        .expect("spawns")
        .detach();
    settle(core);
    // A middle task would come before it, and an urgent one waits for the mutex.
    for (name, deadline, locks) in [
        ("middle", 2_000_000_000_000, false),
        ("urgent", 1_000_000_000_000, true),
    ] {
        let (l, m) = (log.clone(), mutex.clone());
        Task::<Host>::new(name)
            .deadline_at(deadline)
            .spawn_local(async move {
                if locks {
                    let _guard = m.lock().await;
                    l.borrow_mut().push(name);
                } else {
                    l.borrow_mut().push(name);
                    yield_now().await;
                    l.borrow_mut().push(name);
                }
            })
            .expect("spawns")
            .detach();
    }
    start.notify_one();
    settle(core);
    assert_eq!(
        *log.borrow(),
        [
            "late",
            "late",
            "late",
            "urgent",
            "middle",
            "middle",
            "late after"
        ]
    );
}

#[test]
fn donation_is_transitive_and_ends_with_a_cancelled_wait() {
    let core = become_core(CoreConfig::new());
    let log: Log = Log::default();
    let a: Rc<Mutex<Host, ()>> = Rc::new(Mutex::new(()));
    let b: Rc<Mutex<Host, ()>> = Rc::new(Mutex::new(()));
    let go = Rc::new(Notify::new());
    let spawn =
        |name: &'static str, deadline: u64, body: std::pin::Pin<Box<dyn Future<Output = ()>>>| {
            Task::<Host>::new(name)
                .deadline_at(deadline)
                .spawn_local(body)
                .expect("spawns")
        };
    let (l, m, g) = (log.clone(), a.clone(), go.clone());
    spawn(
        "holder of a",
        4_000_000_000_000,
        Box::pin(async move {
            let _a = m.lock().await;
            g.notified().await;
            for _ in 0..2 {
                l.borrow_mut().push("holder of a");
                yield_now().await;
            }
        }),
    )
    .detach();
    settle(core);
    let (l, m, n) = (log.clone(), a.clone(), b.clone());
    spawn(
        "holder of b",
        3_000_000_000_000,
        Box::pin(async move {
            let _b = n.lock().await;
            let _a = m.lock().await;
            l.borrow_mut().push("holder of b");
        }),
    )
    .detach();
    settle(core);
    let n = b.clone();
    let urgent = spawn(
        "urgent",
        1_000_000_000_000,
        Box::pin(async move {
            let _b = n.lock().await;
        }),
    );
    settle(core);
    let deadline = |name: &str| {
        let mut found = None;
        <Host as executor::Platform>::fleet().for_each_task_of(core, |task| {
            if task.name == name {
                found = task.deadline;
            }
        });
        found
    };
    assert_eq!(deadline("holder of b"), Some(1_000_000_000_000));
    assert_eq!(
        deadline("holder of a"),
        Some(1_000_000_000_000),
        "through the holder of b"
    );
    urgent.cancel();
    settle(core);
    assert_eq!(deadline("holder of b"), Some(3_000_000_000_000));
    assert_eq!(
        deadline("holder of a"),
        Some(3_000_000_000_000),
        "still lent by the holder of b"
    );
    go.notify_one();
    settle(core);
    assert_eq!(*log.borrow(), ["holder of a", "holder of a", "holder of b"]);
}

#[test]
fn a_dropped_waiter_passes_its_turn_on() {
    let core = become_core(CoreConfig::new());
    block_on(core, async {
        let notify = Notify::new();
        let mut first = Box::pin(notify.notified());
        let mut second = Box::pin(notify.notified());
        assert!((&mut first).now_or_never().is_none());
        assert!((&mut second).now_or_never().is_none());
        notify.notify_one();
        drop(first);
        assert!(
            second.now_or_never().is_some(),
            "the notification was not lost"
        );
        notify.notify_one();
        notify.notify_one();
        assert!(notify.notified().now_or_never().is_some());
        assert!(
            notify.notified().now_or_never().is_none(),
            "two notifications are one"
        );
        notify.notify_waiters();
        assert!(notify.notified().now_or_never().is_none(), "nobody waited");
    });
}

#[test]
fn semaphore_is_fair_and_takes_back() {
    let core = become_core(CoreConfig::new());
    block_on(core, async {
        let semaphore = Semaphore::new(2);
        let one = semaphore.try_acquire(1).expect("free");
        let mut both = Box::pin(semaphore.acquire(2));
        assert!((&mut both).now_or_never().is_none());
        assert!(semaphore.try_acquire(1).is_none(), "somebody waits already");
        let mut late = Box::pin(semaphore.acquire(1));
        assert!((&mut late).now_or_never().is_none());
        drop(both);
        assert!(
            (&mut late).now_or_never().is_some(),
            "the one behind does not wait for who left"
        );
        drop(one);
        drop(late);
        assert_eq!(semaphore.available(), 2);
        semaphore.close();
        assert!(semaphore.acquire(1).await.is_err());
    });
}

#[test]
fn rwlock_admits_readers_or_a_writer() {
    let core = become_core(CoreConfig::new());
    block_on(core, async {
        let lock = RwLock::new(1);
        let (a, b) = (lock.read().await, lock.read().await);
        assert_eq!(*a + *b, 2);
        assert!(lock.try_write().is_none());
        let mut writer = Box::pin(lock.write());
        assert!((&mut writer).now_or_never().is_none());
        assert!(lock.try_read().is_none(), "a writer waits");
        drop((a, b));
        *writer.await += 1;
        assert_eq!(lock.into_inner(), 2);
    });
}

#[test]
fn oneshot_both_ways() {
    let core = become_core(CoreConfig::new());
    block_on(core, async {
        let (sender, receiver) = oneshot::channel().expect("memory");
        Task::<Host>::new("sender")
            .spawn_local(async move { sender.send(5).expect("is awaited") })
            .expect("spawns")
            .detach();
        assert_eq!(receiver.await, Ok(5));
        let (sender, receiver) = oneshot::channel::<u8>().expect("memory");
        drop(sender);
        assert!(receiver.await.is_err());
        let (sender, receiver) = oneshot::channel().expect("memory");
        drop(receiver);
        assert!(sender.is_closed());
        assert_eq!(sender.send(Box::new(7)), Err(Box::new(7)));
        let (sender, receiver) = oneshot::channel().expect("memory");
        sender.send(Box::new(1)).expect("there");
        drop(receiver);
    });
}

#[test]
fn mpsc_keeps_order_and_bound() {
    let core = become_core(CoreConfig::new());
    let sum = block_on(core, async {
        let (sender, mut receiver) = mpsc::channel(3).expect("memory");
        for part in 0..4u64 {
            let sender = sender.clone();
            Task::<Host>::new("sender")
                .spawn_local(async move {
                    for i in 0..100 {
                        sender.send(part * 1000 + i).await.expect("is received");
                    }
                })
                .expect("spawns")
                .detach();
        }
        for i in 0..3 {
            sender.try_send(9000 + i).expect("room");
        }
        assert!(sender.try_send(0).is_err(), "no room");
        drop(sender);
        let mut last = std::collections::HashMap::new();
        let mut count = 0;
        while let Ok(value) = receiver.receive().await {
            let before = last.insert(value / 1000, value);
            assert!(before.is_none_or(|before| before < value));
            count += 1;
        }
        count
    });
    assert_eq!(sum, 403);
}

#[test]
fn broadcast_reaches_all_and_reports_lag() {
    let core = become_core(CoreConfig::new());
    block_on(core, async {
        let (sender, mut slow) = broadcast::channel(4).expect("memory");
        let mut fast = sender.subscribe();
        let reader = Task::<Host>::new("reader")
            .spawn_local(async move {
                let mut seen = Vec::new();
                while let Ok(value) = fast.receive().await {
                    seen.push(value);
                }
                seen
            })
            .expect("spawns");
        for value in 0..6 {
            sender.send(value);
            yield_now().await;
        }
        assert_eq!(
            slow.receive().await,
            Err(broadcast::ReceiveError::Lagged(2))
        );
        assert_eq!(slow.receive().await, Ok(2));
        drop(sender);
        assert_eq!(reader.await.expect("ends"), [0, 1, 2, 3, 4, 5]);
    });
}

#[test]
fn timeout_disarms_its_timer() {
    let core = become_core(CoreConfig {
        timers: 2,
        ..CoreConfig::new()
    });
    block_on(core, async {
        for _ in 0..10_000 {
            assert_eq!(
                time::timeout::<Host, _>(Duration::from_secs(100), async { 1 }).await,
                Ok(1)
            );
            let mut sleep = Box::pin(time::sleep::<Host>(Duration::from_secs(100)));
            assert!((&mut sleep).now_or_never().is_none());
        }
        let forever = std::future::pending::<()>();
        assert_eq!(
            time::timeout::<Host, _>(Duration::from_millis(1), forever).await,
            Err(time::Elapsed)
        );
        let mut interval = time::interval::<Host>(Duration::from_millis(1));
        let first = interval.tick().await;
        assert_eq!(interval.tick().await, first + 1_000_000, "no drift");
    });
    let stats = <Host as executor::Platform>::fleet()
        .core_stats(core)
        .expect("runs");
    assert_eq!(stats.timers_exhausted.get(), 0);
}
